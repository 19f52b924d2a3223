//! The page as a whole: its sections, in the order in which a reader asks.

use super::{
    confusion,
    content::Content,
    curve,
    document::{Document, section},
    gallery,
    html::{escape, name},
    map, nested, scores, training,
};

/// The whole HTML file.
pub fn page(content: &Content) -> String {
    let backbone = &content.provenance.backbone;
    let title = format!("{} on {}", capitalised(content.kind.name()), content.layer);
    // Of held-out rows that were calibrated there is a section of its own.
    let reliability = content.reliability.as_ref().filter(|_| content.calibrated.is_none() || content.test.is_some());
    let reliability = reliability.map(|found| (reliability_title(content), found.section()));
    let calibrated: String = content.calibrated.iter().map(|found| section("Calibration", &found.section())).collect();
    let choice =
        content.tuned.symbol().map_or_else(|| "Cross-validation".into(), |symbol| format!("Choice of {symbol}"));
    let plots: String = [(choice, curve::section(content))]
        .into_iter()
        .chain(reliability)
        .map(|(title, body)| section(&title, &body))
        .collect();
    let sections = [
        ("Scores", scores::side_by_side(content)),
        ("By class", scores::by_class(content)),
        ("Confusion", confusion::section(content)),
        ("Images worth a look", gallery::section(content)),
        ("The wrong and the hardest, class by class", gallery::by_class(content)),
        ("Where the time went", training::seconds(content)),
        ("Where it comes from", training::provenance(content)),
        ("The command", training::command(content)),
    ];
    let (scores, rest) = sections.split_at(1);
    let (images, rest) = rest.split_at(4);
    let map: String =
        content.map.iter().map(|map| section("The images as the layer sees them", &map::section(map))).collect();
    let nested =
        content.outcome.nested.as_ref().map(|nested| section("Nested cross-validation", &nested::section(nested)));
    let join = |part: &[(&str, String)]| part.iter().map(|(title, body)| section(title, body)).collect::<String>();
    let lead = format!(
        "{} · {} classes · {} training images{}",
        name(backbone),
        content.classes.len(),
        content.outcome.training.images,
        super::html::chosen(content.tuned).map_or_else(String::new, |chosen| format!(" · {chosen}")),
    );
    let main = format!(
        "{}<div class=\"pair\">\n{plots}</div>\n{}{calibrated}{}{map}{}",
        join(scores),
        nested.unwrap_or_default(),
        join(images),
        join(rest)
    );
    Document { title: &title, about: backbone, lead: &lead, headline: &scores::headline(content), main: &main }.html()
}

/// Of which rows the plot is, unless these are the test rows.
fn reliability_title(content: &Content) -> String {
    let rows = if content.test.is_some() {
        String::new()
    } else {
        format!(", {}", scores::lower_first(&escape(&content.held_out())))
    };
    format!("Reliability of the probabilities{rows}")
}

fn capitalised(kind: &str) -> &str {
    match kind {
        "logistic" => "Logistic regression",
        "svm" => "Linear SVM",
        "ridge" => "Ridge classifier",
        "ncm" => "Nearest class mean",
        "knn" => "Nearest neighbours",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{
        fixture::{Fixture, assert_well_formed},
        html::percent,
    };
    use headstart_trainer::HeadKind;

    fn rendered(fixture: &Fixture) -> (String, serde_json::Value) {
        let content = Content::gather(&fixture.subject()).unwrap();
        (page(&content), serde_json::to_value(&content).unwrap())
    }

    #[test]
    fn the_page_says_what_the_json_says() {
        for kind in [HeadKind::Logistic, HeadKind::Svm] {
            let (page, json) = rendered(&Fixture::new(kind));
            let number = |value: &serde_json::Value| value.as_f64().unwrap();
            for scores in [&json["test"], &json["selection"]["out_of_fold"], &json["training_metrics"]] {
                let accuracy = &scores["accuracy"];
                let [value, low, high] = ["value", "low", "high"].map(|end| percent(number(&accuracy[end])));
                let shown = format!(r#"<td>{value} <span class="interval">[{low}, {high}]</span></td>"#);
                assert!(page.contains(&shown), "{shown} is not in the page");
            }
            for row in json["test"]["confusion"].as_array().unwrap() {
                for count in row.as_array().unwrap() {
                    assert!(page.contains(&format!(">{count}</td>")), "{count}");
                }
            }
            for pick in json["images"]["least_certain"].as_array().unwrap() {
                assert!(page.contains(&escape(pick["path"].as_str().unwrap())), "{pick}");
            }
            assert_eq!(json["reliability"].is_object(), kind == HeadKind::Logistic);
            assert_eq!(page.contains("Reliability of"), kind == HeadKind::Logistic);
            assert_eq!(page.contains("confidence is the margin"), kind == HeadKind::Svm);
            assert!(page.contains(&escape(json["command"].as_str().unwrap())));
        }
    }

    #[test]
    fn names_from_outside_stay_text() {
        let (page, _) = rendered(&Fixture::new(HeadKind::Logistic));
        assert_well_formed(&page);
        assert!(!page.contains("<script") && !page.contains("<b>") && !page.contains("<i>"));
        assert!(page.contains("&lt;b&gt;bold&lt;/b&gt;"), "a class is called so");
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "the weights are");
        assert!(page.contains("&lt;i&gt;/"), "paths begin so");
    }

    #[test]
    fn nothing_is_loaded_from_a_network() {
        let (page, _) = rendered(&Fixture::new(HeadKind::Logistic));
        for start in ["src=\"", "href=\"", "url(", "@import", "action=\""] {
            for found in page.split(start).skip(1) {
                assert!(found.starts_with("data:"), "{start}{}", &found[..found.len().min(60)]);
            }
        }
        assert!(!page.contains("http://") && !page.contains("https://"));
        assert!(page.contains("default-src 'none'"));
    }

    #[test]
    fn headings_are_in_order_and_headers_have_a_scope() {
        let mut fixture = Fixture::new(HeadKind::Svm);
        for _ in 0..2 {
            let (page, _) = rendered(&fixture);
            let levels: Vec<u32> =
                page.match_indices("<h").filter_map(|(at, _)| page[at + 2..].chars().next()?.to_digit(10)).collect();
            assert_eq!(levels.iter().filter(|&&level| level == 1).count(), 1);
            assert!(levels.windows(2).all(|pair| pair[1] <= pair[0] + 1), "{levels:?}");
            assert!(page.matches("<th").count() - page.matches("<thead").count() == page.matches(" scope=").count());
            assert_eq!(page.matches("<img").count(), page.matches(" alt=").count());
            fixture.forget_test();
        }
    }

    #[test]
    fn rows_are_called_what_they_are() {
        let mut fixture = Fixture::new(HeadKind::Logistic);
        fixture.forget_test();
        let (page, json) = rendered(&fixture);
        assert!(page.contains("judged by a model that had not seen it"));
        assert_eq!(json["images"]["rows"]["part"], "out_of_fold");
        assert!(page.contains("Reliability of the probabilities, out of fold"));
        fixture.forget_held_out();
        let (page, json) = rendered(&fixture);
        assert!(page.contains("fitted on these very images") && !page.contains("Reliability of"));
        assert_eq!(json["images"]["rows"]["part"], "training");
    }
}
