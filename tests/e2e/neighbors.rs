//! `--head knn`: the head that is its training vectors.

use crate::{
    harness::{printed_json, python, says, texts},
    heads::{clusters, description, number, three_classes},
};
use safetensors::SafeTensors;
use serde_json::{Value, json};

#[test]
fn neighbours_are_chosen_and_told_as_such() {
    let dir = three_classes();
    let shown = dir.json("train x.h5 --head knn --standardize -o x.head --report r");
    let points = shown["selection"]["points"].as_array().unwrap();
    assert_eq!(points.iter().map(|point| number(&point["neighbors"])).collect::<Vec<_>>(), [1.0, 3.0, 5.0, 11.0, 21.0]);
    assert!(shown.get("c").is_none() && points.iter().all(|point| point.get("c").is_none()));
    // The k of the best mean, of equals the largest.
    let best = points.iter().rev().fold(&points[4], |best, point| {
        if number(&point["mean_score"]) > number(&best["mean_score"]) { point } else { best }
    });
    assert_eq!(shown["neighbors"], best["neighbors"]);
    assert!(shown["test"]["log_loss"].is_number(), "shares of votes are probabilities");
    let mut scored = dir.json("evaluate x.head x.h5");
    scored.as_object_mut().unwrap().retain(|field, _| field != "rows" && field != "left_out");
    assert_eq!(scored, shown["test"]);
    let about = description(&dir, "x.head");
    assert_eq!((&about["kind"], &about["neighbors"]), (&json!("knn"), &best["neighbors"]));
    assert_eq!((&about["knn_metric"], &about["format_version"]), (&json!("euclidean"), &json!(2)));
    let bytes = dir.read("x.head");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut names = file.names();
    names.sort();
    assert_eq!(names, ["labels", "mean", "scale", "vectors"]);
    assert_eq!(file.tensor("vectors").unwrap().shape(), [60, 12]);

    let page = String::from_utf8(dir.read("r/index.html")).unwrap();
    let chosen = format!("k = {}", best["neighbors"]);
    says(&page, &["Nearest neighbours on", "Choice of k", &chosen, "k (nearest neighbours", "Nothing is fitted"]);
    assert!(!page.contains("C = ") && !page.contains(">C<"), "no C anywhere");
    let shown = dir.run("train x.h5 --head knn --neighbors 5 --knn-metric cosine -o y.head");
    says(&shown, &["knn on features:flatten (60 images, 3 classes), k = 5\n"]);
    says(&shown, &["the head keeps its 60 training vectors, 2.9 kB"]);
    assert_eq!(description(&dir, "y.head")["knn_metric"], "cosine");
    dir.run("train x.h5 --head knn --neighbors 3 --cv none -o z.head");
    let swept = dir.json("sweep x.h5 --heads logistic,knn --neighbors 3,7");
    assert_eq!(texts(&swept["rows"], "head"), ["logistic", "knn"]);
    assert!([3, 7].contains(&swept["rows"][1]["neighbors"].as_u64().unwrap()), "{swept}");
    says(&dir.run("sweep x.h5 --heads knn --neighbors 3"), &["k = 3"]);
    let shown = dir.json("train x.h5 --head knn --split train:val --calibrate isotonic -o z.head");
    assert!(shown["training"]["calibration"]["before"].is_object());
    let rows = dir.json("predict z.head --cache x.h5 --split test");
    for row in rows.as_array().unwrap() {
        let sum: f64 = row["guesses"].as_array().unwrap().iter().map(|guess| number(&guess["probability"])).sum();
        assert!((sum - 1.0).abs() < 1e-9, "{row}");
    }
}

#[test]
fn neighbours_go_with_every_way_of_choosing() {
    let dir = three_classes();
    let options = "--metric logloss --repeats 2 --cv 3 --nested 3 --normalize l2 --standardize";
    let shown =
        dir.json(&format!("train x.h5 --head knn --neighbors 5,9 {options} --calibrate auto -o x.head --report r"));
    assert!(shown["nested"]["outer"][0]["neighbors"].is_number(), "{}", shown["nested"]["outer"]);
    let points = shown["selection"]["points"].as_array().unwrap();
    // The chosen metric is the log-loss of the shares, which no mean over other numbers would be.
    for point in points {
        let folds: Vec<f64> = point["fold_score"].as_array().unwrap().iter().map(number).collect();
        assert_eq!(folds.len(), 6);
        assert!((folds.iter().sum::<f64>() / 6.0 - number(&point["log_loss"])).abs() < 1e-9, "{point}");
    }
    assert_eq!((&shown["training"]["calibration"]["n"], &shown["normalize"]), (&json!(60), &json!("l2")));
    let mut scored = dir.json("evaluate x.head x.h5");
    scored.as_object_mut().unwrap().retain(|field, _| field != "rows" && field != "left_out");
    assert_eq!(scored, shown["test"]);
    let page = String::from_utf8(dir.read("r/index.html")).unwrap();
    says(&page, &["k chosen", "Here k was chosen anew", "Log-loss against k"]);
    let shown = dir.run(&format!("train x.h5 --head knn --neighbors 5,9 {options} -o x.head"));
    says(&shown, &["nested cross-validation: ", "; k chosen in 3 outer folds: "]);
    let shown = dir.run("train x.h5 --head ncm --nested 3 -o x.head");
    says(&shown, &["nested cross-validation: accuracy ", "; 3 outer folds\n"]);
    for head in ["knn", "ncm"] {
        says(&dir.misused(&format!("train x.h5 --head {head} --refine 2 -o no.head")), &["--refine:", "no C"]);
    }
    says(&dir.misused("train x.h5 --head ncm --metric logloss -o no.head"), &["--metric", "ncm", "no probabilities"]);
    dir.run("sweep x.h5 --heads logistic,ncm,knn --refine 1 --cv 3");
}

#[test]
fn options_of_other_heads_are_refused() {
    let dir = three_classes();
    for (command, parts) in [
        ("train x.h5 --head knn --c 1", &["--c:", "no C", "--neighbors"][..]),
        ("train x.h5 --head knn --c-grid 1:2:2", &["--c-grid:", "no C", "--neighbors"]),
        ("train x.h5 --head knn --neighbors 0,1", &["--neighbors is '0,1'", "whole numbers from 1"]),
        ("train x.h5 --head knn --neighbors 1,two", &["--neighbors is '1,two'"]),
        ("train x.h5 --head knn --neighbors 1.5", &["--neighbors is '1.5'"]),
        ("train x.h5 --head knn --knn-metric manhattan", &["--knn-metric", "'manhattan'", "euclidean or cosine"]),
        ("train x.h5 --head knn --cv none", &["--neighbors", "without validation"]),
        ("train x.h5 --head knn --class-weight balanced", &["--class-weight"]),
        ("train x.h5 --head knn --engine linfa", &["--engine"]),
        ("train x.h5 --head knn --bias regularized", &["--bias"]),
        ("train x.h5 --head ncm --bias regularized", &["--bias", "ncm"]),
        ("train x.h5 --head svm --neighbors 3", &["--neighbors is for heads of kind knn", "svm"]),
        ("train x.h5 --head ncm --knn-metric cosine", &["--knn-metric is for heads of kind knn", "ncm"]),
    ] {
        says(&dir.misused(&format!("{command} -o no.head")), parts);
    }
    says(&dir.misused("sweep x.h5 --neighbors 3"), &["--neighbors is for heads of kind knn"]);
    let error = dir.fails("train x.h5 --head knn --neighbors 1,49 -o no.head");
    says(&error, &["--neighbors asks for 49", "48 training rows when fold 1 is held out", "smaller numbers"]);
    assert!(!dir.exists("no.head"));
}

#[test]
fn neighbours_are_the_same_on_any_number_of_threads() {
    let dir = three_classes();
    clusters(&dir, "wide.npz", &["ant", "bee", "fly"], 60, 300);
    dir.run("import wide.npz -o wide.h5");
    for metric in ["euclidean", "cosine"] {
        let train = |threads: &str| {
            let command = format!("train wide.h5 --head knn --knn-metric {metric} --calibrate auto -o {threads}.head");
            dir.headstart(&command).env("RAYON_NUM_THREADS", threads).run().exits(0);
            dir.run(&format!("predict {threads}.head --cache wide.h5 -o {threads}.csv"));
            (dir.read(&format!("{threads}.head")), dir.read(&format!("{threads}.csv")))
        };
        assert!(train("1") == train("4"), "{metric}");
    }
}

#[test]
fn numpy_finds_the_same_neighbours_in_the_export() {
    let dir = three_classes();
    dir.run("train x.h5 --head knn --neighbors 3 --standardize -o x.head");
    let error = dir.fails("export x.head -o x.onnx");
    says(&error, &["x.onnx", "nearest neighbours", "export to .npz"]);
    assert!(!dir.exists("x.onnx"));
    says(&dir.run("export x.head -o x-head.npz"), &["knn on features:flatten", "12 features"]);
    let Some(mut command) = python("numpy, json") else { return };
    let script = "import numpy as np, json; h = np.load('x-head.npz'); x = np.load('x.npz')['X']; \
                  a, b = (x - h['mean']) / h['scale'], (h['vectors'] - h['mean']) / h['scale']; \
                  near = ((a[:, None] - b[None]) ** 2).sum(2).argsort(1)[:, :int(h['neighbors'])]; \
                  print(json.dumps([np.eye(3)[h['labels'][near]].mean(1).tolist(), str(h['vectors'].dtype)]))";
    command.args(["-c", script]).current_dir(dir.path(""));
    let found = printed_json(command);
    assert_eq!(found[1], "float32");
    let predictions = dir.json("predict x.head --cache x.h5");
    for (row, shares) in predictions.as_array().unwrap().iter().zip(found[0].as_array().unwrap()) {
        for (class, share) in ["ant", "bee", "fly"].iter().zip(shares.as_array().unwrap()) {
            let guesses: &Vec<Value> = row["guesses"].as_array().unwrap();
            let guess = guesses.iter().find(|guess| guess["class"] == *class).unwrap();
            assert!((number(&guess["probability"]) - number(share)).abs() < 1e-12, "{row}");
        }
    }
}
