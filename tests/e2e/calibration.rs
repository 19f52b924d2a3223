//! `train --calibrate`: probabilities for every kind of head, and what is told of them.

use crate::{
    harness::{Dir, says, texts},
    heads::{clusters, description, number, three_classes},
};
use serde_json::{Value, json};

#[test]
fn every_kind_of_head_gets_probabilities() {
    let dir = three_classes();
    for (head, asked, method) in [
        ("svm", "auto", "platt"),
        ("logistic", "auto", "temperature"),
        ("ridge", "isotonic", "isotonic"),
        ("svm", "temperature", "temperature"),
    ] {
        let shown = dir.json(&format!("train x.h5 --head {head} --c-grid 1e-3:1:3 --calibrate {asked} -o x.head"));
        let about = &shown["training"]["calibration"];
        assert_eq!((&about["method"], &about["n"], &about["parts"]), (&json!(method), &json!(60), &json!(5)));
        assert_eq!(about["before"].is_object(), head == "logistic", "{head}");
        for field in ["expected_calibration_error", "log_loss", "brier", "accuracy"] {
            assert!(number(&about["after"][field]) >= 0.0);
        }
        let after = &shown["calibrated_out_of_fold"];
        assert_eq!((&after["n"], &after["accuracy"]["value"]), (&json!(60), &about["after"]["accuracy"]));
        let description = description(&dir, "x.head");
        assert_eq!(
            (&description["format_version"], &description["calibration"]["method"]),
            (&json!(2), &json!(method))
        );

        let mut scored = dir.json("evaluate x.head x.h5");
        scored.as_object_mut().unwrap().retain(|field, _| field != "rows" && field != "left_out");
        assert_eq!(scored, shown["test"]);
        assert!(scored["log_loss"].is_number() && scored["brier"].is_number());
        says(&dir.run("evaluate x.head x.h5"), &["log-loss", "Brier", "expected calibration error"]);

        // The class is the likeliest, and what is counted as right is that class.
        let summary = dir.json("predict x.head --cache x.h5 --split test -o x.jsonl");
        assert_eq!(summary["accuracy"], scored["accuracy"]);
        let text = String::from_utf8(dir.read("x.jsonl")).unwrap();
        for row in text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
            let shares = ["ant", "bee", "fly"].map(|class| number(&row[format!("p:{class}")]));
            assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{row}");
            let predicted = number(&row[format!("p:{}", row["predicted"].as_str().unwrap())]);
            assert!(shares.iter().all(|&share| share <= predicted + 1e-9), "{row}");
        }
        says(&dir.run("predict x.head --cache x.h5 --split test"), &[" %, "]);
        let first = &dir.json("predict x.head --cache x.h5 --split test")[0]["guesses"];
        let shares: Vec<f64> = first.as_array().unwrap().iter().map(|guess| number(&guess["probability"])).collect();
        assert!(shares.is_sorted_by(|a, b| a >= b) && texts(first, "class").len() == 3, "{first}");
    }
    let shown = dir.run("train x.h5 --head svm --calibrate platt -o x.head");
    says(&shown, &["calibrated by platt on 60 held-out rows: expected calibration error ", "had not seen it"]);
    assert!(!shown.contains('→'), "an SVM has no probabilities before");
    says(&dir.run("train x.h5 --calibrate temperature -o x.head"), &["expected calibration error", " % → "]);
    // Where nothing is asked for, nothing changes.
    dir.run("train x.h5 --head svm -o plain.head");
    assert_eq!(description(&dir, "plain.head")["format_version"], 1);
    assert!(description(&dir, "plain.head").get("calibration").is_none());
}

#[test]
fn calibration_without_held_out_rows_is_refused() {
    let dir = three_classes();
    for method in ["platt", "isotonic", "temperature", "auto"] {
        let error = dir.misused(&format!("train x.h5 --c 1 --cv none --calibrate {method} -o x.head"));
        says(&error, &["--calibrate", "without validation", "--cv or --split"]);
    }
    dir.run("train x.h5 --c 1 --cv none --calibrate none -o y.head");
    let error = dir.misused("train x.h5 --calibrate beta -o x.head");
    says(&error, &["--calibrate", "'beta'", "platt, isotonic, temperature or auto"]);
    assert!(!dir.exists("x.head"));
    // The rows of a fixed split take turns.
    let shown = dir.json("train x.h5 --split train:val --calibrate platt --head svm -o x.head");
    let about = &shown["training"]["calibration"];
    assert_eq!((&about["n"], &about["parts"]), (&json!(30), &json!(5)));
}

#[test]
fn calibrated_heads_are_the_same_on_any_number_of_threads() {
    let dir = Dir::new();
    clusters(&dir, "x.npz", &["ant", "bee", "fly"], 40, 30);
    dir.run("import x.npz -o x.h5");
    for (head, method) in [("svm", "isotonic"), ("svm", "platt"), ("logistic", "temperature")] {
        let train = |threads: &str| {
            let out = format!("{head}-{threads}.head");
            let command = format!("train x.h5 --head {head} --calibrate {method} --c-grid 1e-3:1:3 -o {out}");
            dir.headstart(&command).env("RAYON_NUM_THREADS", threads).run().exits(0);
            dir.read(&out)
        };
        assert!(train("1") == train("4"), "{head} {method}");
    }
}

#[test]
fn the_report_shows_held_out_rows_before_and_after() {
    let dir = Dir::new();
    clusters(&dir, "x.npz", &["ant", "bee", "fly"], 40, 12);
    dir.run("import x.npz -o x.h5");
    dir.run("train x.h5 --split train:val --calibrate auto -o x.head --report fixed");
    let page = |name: &str| String::from_utf8(dir.read(&format!("{name}/index.html"))).unwrap();
    says(&page("fixed"), &["Calibration</h2>", "One temperature was fitted", "30 held-out rows", "Before", "After"]);

    dir.run("train x.h5 --head svm --calibrate isotonic -o x.head --report folds");
    let metrics: Value = serde_json::from_slice(&dir.read("folds/metrics.json")).unwrap();
    assert!(metrics["out_of_fold_reliability"]["before"].is_null());
    assert!(!metrics["out_of_fold_reliability"]["after"]["bins"].as_array().unwrap().is_empty());
    assert!(metrics["reliability"]["bins"].is_array(), "an SVM has probabilities now");
    assert_eq!(metrics["images"]["confidence"], "probability");
    says(&page("folds"), &["Isotonic curves", "Expected calibration error", "Out of fold, calibrated"]);

    // Without test rows, the rows that are shown are judged by models that had not seen them.
    let npz = crate::npz::Npz::new();
    let x: Vec<f32> = (0..60).flat_map(|row| [(row % 2) as f32 + (row * 7 % 19) as f32 / 9.0, 1.0]).collect();
    let y: Vec<&str> = (0..60).map(|row| ["no", "yes"][row % 2]).collect();
    npz.floats("X", 2, &x).strings("y", &y).save(&dir.path("y.npz"));
    dir.run("import y.npz -o y.h5");
    for calibrate in ["none", "auto"] {
        let shown = dir.json(&format!("train y.h5 --calibrate {calibrate} -o y.head --report all"));
        let metrics: Value = serde_json::from_slice(&dir.read("all/metrics.json")).unwrap();
        assert_eq!(metrics["images"]["rows"], json!({"part": "out_of_fold"}));
        assert_eq!(metrics["images"]["n"], 60);
        assert_eq!(metrics["training"]["calibration"], shown["training"]["calibration"]);
        says(&page("all"), &["judged by a model that had not seen it"]);
    }
    says(&dir.run("train y.h5 --calibrate auto -o y.head"), &["60 images, out-of-fold, calibrated: accuracy"]);
}
