use super::*;
use crate::{
    curve::{curves, fixture::*},
    report::assert_well_formed,
};

#[test]
fn the_page_is_sound_and_says_what_the_json_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = Made { per_class: 40, ..Made::default() }.write(folder.path(), "x.h5");
    let mut options = options(&[&path]);
    options.layers.clear();
    let found = curves(&options, &|_, _, _| {}).unwrap();
    let command = ["headstart", "curve", "it's <x>.h5"].map(OsString::from);
    let file = write_curves(&found, &command, &folder.path().join("r")).unwrap();
    let page = std::fs::read_to_string(file).unwrap();
    assert_well_formed(&page);
    assert!(!page.contains("<script") && !page.contains("<i>") && !page.contains("<b>"), "names stay text");
    assert!(page.contains("&lt;i&gt;/") && page.contains("&lt;script&gt;"));
    let json: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(folder.path().join("r/metrics.json")).unwrap()).unwrap();
    for line in json["lines"].as_array().unwrap() {
        for point in line["points"].as_array().unwrap() {
            let test = &point["test"];
            let [low, high] = ["low", "high"].map(|end| test[end].as_f64().unwrap());
            assert!(page.contains(&format!("<td>{}</td>", interval(low, high))), "{point}");
        }
        assert!(page.contains(&escape(line["outlook"]["why"].as_str().unwrap())));
    }
    assert_eq!(json["test"].as_array().unwrap().len(), found.test_images);
    let shares = json["test"][0]["wrong"].as_array().unwrap();
    assert_eq!((shares.len(), shares[0].as_array().unwrap().len()), (2, 4));
    assert_eq!(page.matches("<svg viewBox").count(), 3, "all together, and each of two");
    assert!(page.contains(&escape(json["command"].as_str().unwrap())));
    assert!(!page.contains("http://") && !page.contains("https://"));
    assert!(!page.contains("views together"));
    let mut summed = found;
    summed.lines.iter_mut().for_each(|line| line.test_views = 5);
    let page = std::fs::read_to_string(write_curves(&summed, &command, &folder.path().join("s")).unwrap()).unwrap();
    assert!(page.contains("test images judged by 5 views together"));
}

/// Curves of two layers.
fn two() -> Curves {
    let folder = tempfile::tempdir().unwrap();
    let path = Made::default().write(folder.path(), "x.h5");
    let mut options = options(&[&path]);
    options.layers.clear();
    curves(&options, &|_, _, _| {}).unwrap()
}

#[test]
fn the_headline_says_what_chose_its_curve() {
    let mut found = two();
    for (line, (judged, tested)) in found.lines.iter_mut().zip([(0.9, 0.5), (0.6, 0.99)]) {
        let point = line.points.last_mut().unwrap();
        assert!(point.cv_score.is_some(), "there are folds");
        (point.cv_score, point.test.value) = (Some(judged), tested);
    }
    let says = |found: &Curves| headline(found);
    let text = says(&found);
    assert!(text.contains("fc1:flatten") && !text.contains("fc2:flatten"), "{text}");
    assert!(text.contains("best of 2 curves by cross-validated accuracy") && text.contains("50.0 %"), "{text}");
    found.metric = headstart_trainer::Metric::LogLoss;
    assert!(says(&found).contains("fc2:flatten"), "of losses the smaller one is better");
    found.lines[0].points.last_mut().unwrap().cv_score = None;
    let text = says(&found);
    assert!(text.contains("fc2:flatten") && text.contains("best of 2 curves on these test images"), "{text}");
    found.lines.truncate(1);
    assert!(!says(&found).contains("best of"));
}

#[test]
fn eight_curves_can_be_told_apart_in_print() {
    let mut found = two();
    found.lines = found.lines.iter().cycle().take(8).cloned().collect();
    let shown = picture::all(&found);
    let swatches: std::collections::HashSet<String> = shown
        .split(r#"<svg class="swatch""#)
        .skip(1)
        .map(|swatch| {
            let swatch = swatch.split("</svg>").next().unwrap();
            (0..6).fold(swatch.to_owned(), |text, colour| text.replace(&format!("c{colour}"), ""))
        })
        .collect();
    assert_eq!(swatches.len(), 8, "{shown}");
    let marks: std::collections::HashSet<&str> =
        swatches.iter().map(|swatch| swatch.split_once("M1,7H35").unwrap().1).collect();
    assert_eq!(marks.len(), 8, "by their marks alone");
}
