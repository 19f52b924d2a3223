//! `scenario`: from a folder of images to a head and its reports.

use crate::{
    browser::Browser,
    harness::{Dir, says},
};
use serde_json::json;

fn photos() -> Dir {
    let dir = Dir::new();
    dir.class_folders("photos", &["cat", "dog", "fox"], 8);
    dir
}

const LENET: &str = "--backbone lenet5 --weights random:0 --cv 4";

#[test]
fn few_similar_images_get_a_linear_classifier_on_the_top() {
    let dir = photos();
    let told = dir.run(&format!("scenario 1 photos {LENET} -o out/one"));
    says(&told, &["scenario 1", "linear classifier", "logistic on", "next: headstart predict out/one/model.head"]);
    for file in ["features.h5", "model.head", "report/index.html", "report/metrics.json", "commands.sh"] {
        assert!(dir.exists(&format!("out/one/{file}")), "{file}");
    }
    assert!(!dir.exists("out/one/sweep"), "there is one layer, so none is chosen");
    // The head is one like any other, with probabilities.
    let image = "photos/cat/000.png";
    let said = dir.json(&format!("predict out/one/model.head {image}"));
    assert!(said[0]["guesses"][0]["probability"].is_number(), "{said}");
    // Again: nothing is computed anew, and the head is the same.
    let head = dir.read("out/one/model.head");
    let again = dir.json(&format!("scenario 1 photos {LENET} -o out/one"));
    assert_eq!(again["extraction"]["computed"], 0);
    assert!(head == dir.read("out/one/model.head"));
}

#[test]
fn few_different_images_get_an_svm_on_the_layer_that_suits_them() {
    let dir = photos();
    let done = dir.json(&format!("scenario 3 photos {LENET} -o out"));
    let rows = done["sweep"]["rows"].as_array().unwrap();
    let layers = done["recipe"]["layers"].as_array().unwrap();
    assert_eq!(rows.len(), 2 * layers.len());
    let svms = rows.iter().filter(|row| row["head"] == "svm");
    let best = svms.reduce(|a, b| if b["cv_score"].as_f64() > a["cv_score"].as_f64() { b } else { a }).unwrap();
    let name = format!("{}:{}", best["layer"].as_str().unwrap(), best["pool"].as_str().unwrap());
    assert_eq!((&done["trained"]["kind"], &done["trained"]["layer"]), (&json!("svm"), &json!(name)));
    assert!(dir.exists("out/sweep/index.html") && dir.exists("out/report/index.html"));
    // What is written down does the same, weights named.
    let commands = String::from_utf8(dir.read("out/commands.sh")).unwrap();
    let head = dir.read("out/model.head");
    for line in commands.lines().filter_map(|line| line.strip_prefix("headstart ")) {
        dir.run(&line.replace("--backbone lenet5", "--backbone lenet5 --weights random:0"));
    }
    assert!(head == dir.read("out/model.head"));
}

#[test]
fn what_would_fail_after_the_extraction_fails_before_it() {
    let dir = photos();
    dir.class_folders("flat", &["cat"], 5);
    let error = dir.fails(&format!("scenario 1 flat/cat {LENET} -o out"));
    says(&error, &["flat/cat", "labels of 0 class(es)", "class folders", "column label"]);
    dir.class_folders("photos", &["owl"], 3);
    let error = dir.fails(&format!("scenario 3 photos {LENET} -o out"));
    says(&error, &["photos", "'owl' has 3 training image(s)", "4 folds", "--cv 3"]);
    assert!(!dir.exists("out"));
}

#[test]
fn copies_in_training_and_test_images_are_told() {
    let dir = Dir::new();
    for (split, classes) in [("train", ["cat", "dog"]), ("test", ["cat", "dog"])] {
        dir.class_folders(&format!("photos/{split}"), &classes, if split == "train" { 8 } else { 2 });
    }
    let copy = std::fs::read(dir.path("photos/train/cat/004.png")).unwrap();
    dir.write("photos/test/cat/again.png", copy);
    let told = dir.headstart(&format!("scenario 1 photos {LENET} -o out")).run().exits(0);
    says(&told.stderr, &["warning", "test/cat/again.png", "train/cat/004.png", "too good"]);
    let done = dir.json(&format!("scenario auto photos {LENET} -o out2"));
    assert!(done["leaks"].to_string().contains("test/cat/again.png"), "{}", done["leaks"]);
}

#[test]
fn a_broken_image_is_no_obstacle_to_a_measurement() {
    let dir = photos();
    let whole = dir.json("advise photos --backbone lenet5 --weights random:0");
    dir.write("photos/cat/broken.png", "no image");
    let told = dir.headstart("advise photos --backbone lenet5 --weights random:0 --json").run().exits(0);
    says(&told.stderr, &["broken.png"]);
    let advice = told.json();
    assert_eq!(advice["size"]["training"], 24);
    assert_eq!(advice["similarity"], whole["similarity"]);
    let scores = |advice: &serde_json::Value| {
        let rows = advice["sweep"]["rows"].as_array().unwrap();
        rows.iter().map(|row| row["fold_scores"].to_string()).collect::<Vec<_>>()
    };
    assert_eq!(scores(&advice), scores(&whole));
}

#[test]
fn the_scenario_can_be_measured() {
    let dir = photos();
    let told = dir.headstart(&format!("scenario auto photos {LENET} -o out")).run().exits(0);
    says(
        &told.stderr,
        &["measured: scenario", "headstart advise photos --backbone lenet5 --weights random:0 --explain"],
    );
    assert!(dir.exists("out/model.head") && dir.exists("out/report/index.html"));
}

#[test]
fn what_cannot_be_done_yet_is_explained() {
    let dir = photos();
    says(&dir.fails("scenario 2 photos -o out"), &["fine-tune", "cannot do yet", "headstart scenario 1 photos -o out"]);
    says(&dir.fails("scenario 4 photos -o out"), &["whole network", "headstart scenario 3 photos -o out"]);
    says(
        &dir.fails("scenario 2 photos --backbone mobilenet_v2 --cv 3 -o out"),
        &["headstart scenario 1 photos --backbone mobilenet_v2 --cv 3 -o out"],
    );
    says(&dir.misused("scenario 5 photos -o out"), &["\"5\"", "use 1"]);
    says(&dir.fails(&format!("scenario 1 absent {LENET} -o out")), &["absent"]);
    dir.write("file", "");
    says(&dir.fails(&format!("scenario 1 photos {LENET} -o file")), &["file", "-o"]);
}

#[test]
fn the_comparison_of_layers_in_a_browser() {
    let Some(browser) = Browser::find() else { return };
    let dir = photos();
    dir.run(&format!("scenario 3 photos {LENET} -o out"));
    for (width, name) in [(1280, "sweep-desktop"), (390, "sweep-phone")] {
        browser.look(&dir, "out/sweep/index.html", width, name).is_sound(width);
    }
}
