//! `train --report`: the page and the JSON beside it, and the page in a real browser.

use crate::{
    browser::Browser,
    harness::{Dir, says},
    npz::Npz,
};
use serde_json::{Value, json};

/// Vectors in overlapping clusters, imported: there are no images.
fn imported(classes: &[&str], per_class: usize) -> Dir {
    let dir = Dir::new();
    let mut state = 7_u64;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32 - 0.5
    };
    let (mut x, mut y, mut split) = (Vec::new(), Vec::new(), Vec::new());
    for (class, name) in classes.iter().enumerate() {
        for row in 0..per_class {
            let mean = |column: usize| if column == class { 0.9 } else { 0.0 };
            x.extend((0..classes.len()).map(|column| 2.0 * uniform() + mean(column)));
            y.push(*name);
            split.push(if row % 3 == 2 { "test" } else { "train" });
        }
    }
    Npz::new().floats("X", classes.len(), &x).strings("y", &y).strings("split", &split).save(&dir.path("x.npz"));
    dir.run("import x.npz -o x.h5");
    dir
}

fn report(dir: &Dir, folder: &str) -> (String, Value) {
    let page = String::from_utf8(dir.read(&format!("{folder}/index.html"))).unwrap();
    (page, serde_json::from_slice(&dir.read(&format!("{folder}/metrics.json"))).unwrap())
}

#[test]
fn the_report_holds_what_train_prints() {
    let dir = imported(&["<b>ant</b>", "bee & co", "fly"], 45);
    let shown = dir.json("train x.h5 --cv 3 -o x.head --report deep/er");
    let (page, metrics) = report(&dir, "deep/er");
    for field in ["c", "kind", "layer", "test", "test_rows", "selection", "training", "refit", "training_metrics"] {
        let seconds = |value: &Value| {
            let mut value = value.clone();
            value.as_object_mut().and_then(|object| object.remove("seconds"));
            value
        };
        assert_eq!(seconds(&metrics[field]), seconds(&shown[field]), "{field}");
    }
    assert!(!page.contains("<b>ant") && page.contains("&lt;b&gt;ant&lt;/b&gt;"));
    says(
        &page,
        &["train x.h5 --cv 3 -o x.head --report deep/er --json", "Reliability", "were imported", "bee &amp; co"],
    );
    assert!(!page.contains("<img") && !page.contains("http://") && !page.contains("https://"), "a page of its own");
    assert_eq!(metrics["images"]["rows"], json!({"part": "test", "split": "test"}));
    assert_eq!(metrics["images"]["reachable"], false);
    let points = metrics["map"]["points"].as_array().unwrap();
    assert_eq!(
        (points.len(), page.matches("<g><title>").count() + page.matches("<g class=\"hollow\"><title>").count()),
        (135, 135)
    );
    assert_eq!(page.matches("<g class=\"hollow\">").count(), 45, "those of the test");

    // Without test rows a head that has no probabilities.
    let said = dir.run("train x.h5 --head svm --split train:test -o x.head --report again");
    says(&said, &["wrote the report again/index.html"]);
    let (page, metrics) = report(&dir, "again");
    says(&page, &["confidence is the margin", "split test, which chose C"]);
    assert_eq!(metrics["images"]["rows"], json!({"part": "validation", "split": "test"}));
    assert!(!page.contains("Reliability"));
    // Without validation there is no choice of C to show, and the page says so.
    dir.run("train x.h5 --c 1 --cv none -o x.head --report once");
    says(&report(&dir, "once").0, &["C = 1 was given"]);
}

#[test]
fn a_folder_that_cannot_be_made_is_named_before_the_training() {
    let dir = imported(&["ant", "bee"], 30);
    dir.write("taken", "a file");
    says(&dir.fails("train x.h5 -o x.head --report taken"), &["taken", "folder of the report", "--report"]);
    assert!(!dir.exists("x.head"));
}

/// A head on pictures, some of which lie in the folder of another class, so that there are mistakes.
#[cfg(feature = "torch")]
fn pictures() -> Dir {
    let dir = Dir::new();
    let classes = ["<b>cat", "dog", "a class with a name longer than all of the others"];
    dir.class_folders("photos/train", &classes, 12);
    for (class, name) in classes.iter().enumerate() {
        for index in 0..9 {
            let shown = if index < 3 { (class + 1) % 3 } else { class };
            dir.picture(&crate::pictures::picture_name("photos/test", name, index), shown, 100 + index);
        }
    }
    dir.run("extract --images photos --backbone lenet5 --weights random:0 --layers conv2:grid2,fc1 -o x.h5");
    dir
}

#[cfg(feature = "torch")]
#[test]
fn images_are_shown_where_they_can_be_read_and_named_where_not() {
    let dir = pictures();
    dir.run("train x.h5 --layer conv2:grid2 --cv 3 -o x.head --report here");
    let (page, metrics) = report(&dir, "here");
    assert_eq!(metrics["images"]["reachable"], true);
    let mistakes = metrics["images"]["most_confident_mistakes"].as_array().unwrap();
    assert!(mistakes.len() >= 9 && mistakes.iter().all(|pick| pick["truth"] != pick["predicted"]), "{mistakes:?}");
    let length = |list: &Value| list.as_array().unwrap().len();
    let of_classes = metrics["images"]["by_class"].as_array().unwrap();
    let of_classes: usize = of_classes.iter().map(|of| length(&of["wrong"]) + length(&of["hardest_right"])).sum();
    let shown = mistakes.len() + length(&metrics["images"]["least_certain"]) + of_classes;
    assert_eq!(page.matches("src=\"data:image/jpeg;base64,").count(), shown);
    says(&page, &["lenet5", "random:0", "conv2:grid2", &dir.path("photos").display().to_string()]);

    // One image less: it alone is missing.
    std::fs::remove_file(dir.path(&format!("photos/{}", mistakes[0]["path"].as_str().unwrap()))).unwrap();
    dir.run("train x.h5 --layer conv2:grid2 --cv 3 -o x.head --report fewer");
    let (page, _) = report(&dir, "fewer");
    assert!(page.contains("cannot be shown: No such file") && page.contains("src=\"data:image/jpeg"));

    std::fs::rename(dir.path("photos"), dir.path("elsewhere")).unwrap();
    dir.run("train x.h5 --layer conv2:grid2 --cv 3 -o x.head --report there");
    let (page, metrics) = report(&dir, "there");
    assert_eq!(metrics["images"]["reachable"], false);
    says(&page, &["they cannot be read where they were listed", "/photos", "No such file"]);
    assert!(!page.contains("<img"));
    says(&page, &[&mistakes[0]["path"].as_str().unwrap().replace('<', "&lt;").replace('>', "&gt;")]);
}

#[cfg(feature = "torch")]
#[test]
fn pictures_in_a_browser() {
    let Some(browser) = Browser::find() else { return };
    let dir = pictures();
    dir.run("train x.h5 --layer conv2:grid2 --cv 3 -o x.head --report r");
    for (width, name) in [(1280, "pictures-desktop"), (390, "pictures-phone")] {
        let seen = browser.look(&dir, "r/index.html", width, name);
        seen.is_sound(width);
        assert!(seen.measured["images"].as_u64().unwrap() >= 18, "{}", seen.measured);
        assert_eq!(seen.measured["plots"], 3, "C, reliability, map");
    }
}

#[test]
fn many_classes_in_a_browser() {
    let Some(browser) = Browser::find() else { return };
    let names: Vec<String> =
        (0..24).map(|class| format!("species_{}{class}", "of_a_long_name_".repeat(class % 3))).collect();
    let dir = imported(&names.iter().map(String::as_str).collect::<Vec<_>>(), 12);
    // Either C is at an end of the grid, so that there is a warning to show.
    dir.run("train x.h5 --head svm --cv 2 --c-grid 1e-2:1e-1:2 --metric auc --nested 2 -o x.head --report r");
    says(&report(&dir, "r").0, &["<h3>Warnings</h3>"]);
    for (width, name) in [(1280, "classes-desktop"), (390, "classes-phone")] {
        browser.look(&dir, "r/index.html", width, name).is_sound(width);
    }
    dir.run("train x.h5 --cv 2 --c-grid 1e-2:1:3 --calibrate auto -o x.head --report c");
    for (width, name) in [(1280, "calibration-desktop"), (390, "calibration-phone")] {
        let seen = browser.look(&dir, "c/index.html", width, name);
        seen.is_sound(width);
        assert_eq!(seen.measured["plots"], 5, "C, test rows, held-out rows before and after, map");
    }
}
