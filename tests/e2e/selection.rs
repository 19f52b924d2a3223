//! How C is chosen, by the options of `train` and `sweep`.

use crate::{
    harness::{Dir, says},
    heads::{description, number, three_classes},
    npz::Npz,
};
use serde_json::{Value, json};

/// The points of a selection, by ascending C.
fn points(shown: &Value) -> &[Value] {
    let points = shown["selection"]["points"].as_array().unwrap();
    assert!(points.is_sorted_by(|a, b| number(&a["c"]) < number(&b["c"])));
    points
}

#[track_caller]
fn near(a: &Value, b: f64) {
    assert!((number(a) - b).abs() < 1e-9, "{a} instead of {b}");
}

#[test]
fn each_metric_chooses_and_is_named() {
    let dir = three_classes();
    let of_evaluation = [("balanced", "balanced_accuracy"), ("logloss", "log_loss"), ("auc", "auc")];
    for (metric, title) in
        [("accuracy", "accuracy"), ("balanced", "balanced accuracy"), ("logloss", "log-loss"), ("auc", "AUC")]
    {
        let train = format!("train x.h5 --c-grid 1e-3:1e2:6 --metric {metric} -o {metric}.head");
        let shown = dir.json(&train);
        assert_eq!(shown["selection"]["metric"], metric);
        let sign = if metric == "logloss" { -1.0 } else { 1.0 };
        let merit = |point: &Value| sign * number(&point["mean_score"]);
        let best =
            points(&shown).iter().fold(&points(&shown)[0], |a, b| if merit(b) > merit(a) + 1e-12 { b } else { a });
        assert_eq!(shown["c"], best["c"], "{metric}");
        for point in points(&shown) {
            let folds: Vec<f64> = point["fold_score"].as_array().unwrap().iter().map(number).collect();
            near(&point["mean_score"], folds.iter().sum::<f64>() / 5.0);
            let squares: f64 = folds.iter().map(|fold| (fold - number(&point["mean_score"])).powi(2)).sum();
            near(&point["score_standard_error"], (squares / 20.0).sqrt());
            // Folds of four rows of each class.
            assert_eq!(point["mean_score"] == point["mean_accuracy"], ["accuracy", "balanced"].contains(&metric));
        }
        let about = description(&dir, &format!("{metric}.head"));
        assert_eq!(
            (&about["training"]["metric"], &about["training"]["cv_score"]),
            (&json!(metric), &best["mean_score"])
        );
        assert_eq!(about["training"]["cv_mean"], best["mean_accuracy"]);
        let said = dir.run(&format!("{train} --report {metric}"));
        says(&said, &[&format!("cross-validated {title} "), "standard error over 5 folds"]);
        assert_eq!(said.contains("; accuracy"), metric != "accuracy", "{said}");
        assert_eq!(said.contains("\nAUC 0."), metric == "auc", "{said}");
        let page = String::from_utf8(dir.read(&format!("{metric}/index.html"))).unwrap();
        says(&page, &[" against C</title>", title, "AUC"]);

        let swept = dir.json(&format!("sweep x.h5 --heads logistic --c-grid 1e-3:1e2:6 --metric {metric}"));
        let row = &swept["rows"][0];
        assert_eq!((&row["metric"], &row["c"]), (&json!(metric), &shown["c"]));
        assert_eq!((&row["cv_score"], &row["cv_mean"]), (&best["mean_score"], &best["mean_accuracy"]));
        let field = of_evaluation.iter().find(|(name, _)| *name == metric).map(|(_, field)| &shown["test"][*field]);
        let score = field.map_or(&row["test"], |field| if field.is_object() { &field["value"] } else { field });
        assert_eq!(&row["test_score"], score, "{metric}");
        let table = dir.run(&format!("sweep x.h5 --heads logistic --metric {metric}"));
        says(&table, &[&format!("CV {title}"), "test accuracy %", "best by cross-valida"]);
    }
}

#[test]
fn metrics_that_cannot_be_computed_are_refused_before_anything_is_trained() {
    let dir = three_classes();
    let error = dir.misused("train x.h5 --head svm --metric logloss -o no.head");
    says(
        &error,
        &["--metric is logloss", "heads of kind svm give no probabilities", "choose accuracy, balanced or auc"],
    );
    says(&dir.misused("sweep absent.h5 --metric logloss"), &["kind svm", "train logistic and knn heads only"]);
    says(&dir.misused("train x.h5 --metric f1 -o no.head"), &["--metric", "f1", "balanced"]);
    assert!(!dir.exists("no.head"));
}

#[test]
fn a_split_that_lacks_a_class_is_scored_by_the_others_and_said() {
    let dir = Dir::new();
    let x: Vec<f32> = (0..24).map(|row| (row % 3) as f32 + 0.3 * (row % 7) as f32).collect();
    let names: Vec<&str> = (0..24).map(|row| ["ant", "bee", "fly"][row % 3]).collect();
    let split = |held: &dyn Fn(usize) -> bool| -> Vec<&str> {
        (0..24).map(|row| if row >= 12 && held(row) { "val" } else { "train" }).collect()
    };
    let two = split(&|row| row % 3 < 2);
    Npz::new().floats("X", 1, &x).strings("y", &names).strings("split", &two).save(&dir.path("two.npz"));
    let one = split(&|row| row % 3 == 2);
    Npz::new().floats("X", 1, &x).strings("y", &names).strings("split", &one).save(&dir.path("one.npz"));
    dir.run("import two.npz -o two.h5");
    dir.run("import one.npz -o one.h5");
    for metric in ["balanced", "auc"] {
        let trained =
            dir.headstart(&format!("train two.h5 --split train:val --metric {metric} -o x.head")).run().exits(0);
        says(&trained.stderr, &["warning", "the split lacks held-out rows of 'fly'", "mean over the other classes"]);
    }
    let plain = dir.headstart("train two.h5 --split train:val -o x.head").run().exits(0);
    assert!(!plain.stderr.contains("lacks"), "{}", plain.stderr);
    let error = dir.fails("train one.h5 --split train:val --metric auc -o y.head");
    says(&error, &["the AUC is undefined", "at least two classes", "--metric accuracy"]);
    assert!(!dir.exists("y.head"));
}

#[test]
fn repeats_deal_the_rows_out_again() {
    let dir = three_classes();
    let train = "train x.h5 --cv 4 --c-grid 1e-2:1e1:4 -o x.head";
    let shown = dir.json(&format!("{train} --repeats 3 --seed 5"));
    let selection = &shown["selection"];
    assert_eq!((&selection["folds"], &selection["repeats"], &selection["seed"]), (&json!(4), &json!(3), &json!(5)));
    let about = description(&dir, "x.head");
    assert_eq!((&about["training"]["folds"], &about["training"]["repeats"]), (&json!(4), &json!(3)));
    let alone: Vec<Value> = (5..8).map(|seed| dir.json(&format!("{train} --seed {seed}"))).collect();
    for (index, point) in points(&shown).iter().enumerate() {
        let folds = point["fold_score"].as_array().unwrap();
        let expected: Vec<Value> =
            alone.iter().flat_map(|one| points(one)[index]["fold_score"].as_array().unwrap().clone()).collect();
        assert_eq!((folds.len(), folds), (12, &expected));
        let mean = folds.iter().map(number).sum::<f64>() / 12.0;
        near(&point["mean_score"], mean);
        // Nadeau and Bengio 2003: a quarter of the rows test.
        let variance = folds.iter().map(|fold| (number(fold) - mean).powi(2)).sum::<f64>() / 11.0;
        near(&point["score_standard_error"], (variance * (1.0 / 12.0 + 1.0 / 3.0)).sqrt());
    }
    assert_eq!(selection["out_of_fold"]["n"], 60, "every row counts once");
    let said = dir.run(&format!("{train} --repeats 3 --report r"));
    says(&said, &["(standard error over 3 × 4 folds, corrected)"]);
    says(&String::from_utf8(dir.read("r/index.html")).unwrap(), &["dealt out 3 times (seeds 0 to 2)", "Nadeau"]);
    let swept = dir.json("sweep x.h5 --heads logistic --cv 4 --c-grid 1e-2:1e1:4 --repeats 3 --seed 5");
    assert_eq!((&swept["rows"][0]["cv_score"], &swept["rows"][0]["c"]), (&shown["training"]["cv_score"], &shown["c"]));

    says(&dir.misused("train x.h5 --repeats 0 -o no.head"), &["--repeats is 0", "at least 1"]);
    says(&dir.misused("train x.h5 --cv none --c 1 --repeats 2 -o no.head"), &["--repeats", "--cv"]);
    says(&dir.misused("train x.h5 --split train:val --repeats 2 -o no.head"), &["--split", "--repeats"]);
    says(&dir.misused("sweep x.h5 --repeats 0"), &["--repeats is 0"]);
    assert!(!dir.exists("no.head"));
}

#[test]
fn refinement_goes_on_around_the_best() {
    let dir = three_classes();
    for metric in ["accuracy", "logloss"] {
        let train = format!("train x.h5 --c-grid 1e-3:1e1:3 --metric {metric} -o x.head");
        let plain = dir.json(&train);
        let mut sizes = vec![plain["selection"]["points"].as_array().unwrap().len()];
        let mut known: Vec<f64> = points(&plain).iter().map(|point| number(&point["c"])).collect();
        let mut best = number(&plain["c"]);
        for rounds in 1..4 {
            let shown = dir.json(&format!("{train} --refine {rounds}"));
            sizes.push(points(&shown).len());
            let new: Vec<f64> =
                points(&shown).iter().filter(|p| p["round"] == rounds).map(|p| number(&p["c"])).collect();
            assert_eq!(new.len(), 2);
            // One on each side of the best so far, each a power of the same ratio away or half of it.
            assert!(new[0] < best && best < new[1] && new.iter().all(|c| !known.contains(c)), "{best} {new:?}");
            known.extend(&new);
            // What was known is not scored otherwise, and the choice is among all.
            for point in points(&plain) {
                let again = points(&shown).iter().find(|other| other["c"] == point["c"]).unwrap();
                assert_eq!(again["fold_score"], point["fold_score"]);
            }
            let sign = if metric == "logloss" { -1.0 } else { 1.0 };
            let merit = |point: &&Value| sign * number(&point["mean_score"]);
            let top = points(&shown).iter().max_by(|a, b| merit(a).total_cmp(&merit(b))).unwrap();
            let chosen = points(&shown).iter().find(|point| point["c"] == shown["c"]).unwrap();
            near(&chosen["mean_score"], number(&top["mean_score"]));
            best = number(&shown["c"]);
        }
        assert_eq!(sizes, [3, 5, 7, 9]);
    }
    // Beyond the end of the grid, by its ratio, and the warning is of what was tried.
    let end = |refine: &str| {
        dir.headstart(&format!("train x.h5 --metric logloss --c-grid 1e-6:1e-5:2 {refine} -o x.head")).run()
    };
    says(&end("").exits(0).stderr, &["the best C, 0.00001, is the largest one tried"]);
    says(&end("--refine 2").exits(0).stderr, &["the best C, 0.001, is the largest one tried"]);
    assert_eq!(end("--refine 8").exits(0).stderr, "");
    let swept = dir.json("sweep x.h5 --heads logistic --refine 2");
    assert_eq!(swept["rows"][0]["c"], dir.json("train x.h5 --refine 2 -o x.head")["c"]);
    says(&dir.misused("train x.h5 --c 1 --refine 1 -o no.head"), &["--refine is 1", "--c-grid with at least two"]);
    says(&dir.misused("train x.h5 --refine=-1 -o no.head"), &["--refine"]);
    says(&dir.misused("sweep absent.h5 --c-grid 1:1:1 --refine 1"), &["--refine is 1"]);
    assert!(!dir.exists("no.head"));
}

#[test]
fn normalised_rows_have_no_size() {
    let dir = Dir::new();
    // Both caches have rows of the same directions: in the second each has a size of its own.
    let value = |row: usize, column: usize| {
        let noise = ((row * 37 + column * 101 + row * column * 7) % 97) as f32 / 97.0;
        noise + if row % 3 == column % 3 { 0.6 } else { 0.0 }
    };
    let names: Vec<&str> = (0..90).map(|row| ["ant", "bee", "fly"][row % 3]).collect();
    let split: Vec<&str> = (0..90).map(|row| if row < 60 { "train" } else { "test" }).collect();
    for (name, sized) in [("plain", false), ("sized", true)] {
        let size = |row: usize| if sized { 2.0_f32.powi((row * 7 % 11) as i32 - 5) } else { 1.0 };
        let x: Vec<f32> = (0..90).flat_map(|row| (0..6).map(move |column| size(row) * value(row, column))).collect();
        let npz = Npz::new().floats("X", 6, &x).strings("y", &names).strings("split", &split);
        npz.save(&dir.path(&format!("{name}.npz")));
        dir.run(&format!("import {name}.npz -o {name}.h5"));
    }
    for options in ["", "--standardize", "--head svm"] {
        let train = |cache: &str, normalize: &str| {
            let mut shown = dir.json(&format!("train {cache}.h5 {options} --normalize {normalize} -o {cache}.head"));
            assert_eq!(shown["normalize"], normalize);
            shown["test"].take()
        };
        // Sizes are powers of two, so that not a bit is different.
        assert_eq!(train("plain", "l2"), train("sized", "l2"), "{options}");
        assert_ne!(train("plain", "none"), train("sized", "none"), "{options}");
        dir.run(&format!("train plain.h5 {options} --normalize l2 -o l2.head --report r"));
        says(&String::from_utf8(dir.read("r/index.html")).unwrap(), &["to unit Euclidean length"]);
        let about = description(&dir, "l2.head");
        assert_eq!((&about["normalize"], &about["format_version"]), (&json!("l2"), &json!(2)));
        // `predict` and `evaluate` normalise as well.
        let scored = |cache: &str| dir.json(&format!("evaluate l2.head {cache}.h5"));
        assert_eq!(scored("plain"), scored("sized"));
        let predicted = |cache: &str| dir.json(&format!("predict l2.head --cache {cache}.h5 --split test"));
        assert_eq!(predicted("plain"), predicted("sized"));
    }
    let swept = dir.json("sweep plain.h5 --heads svm --normalize l2");
    assert_eq!(swept["rows"][0]["c"], dir.json("train plain.h5 --head svm --normalize l2 -o x.head")["c"]);
    assert_eq!(swept["rows"][0]["test"], dir.json("evaluate x.head plain.h5")["accuracy"]["value"]);
    says(&dir.misused("train plain.h5 --normalize l1 -o no.head"), &["--normalize", "l1", "none, l2"]);
}

#[test]
fn nested_folds_score_the_whole_selection() {
    let dir = three_classes();
    let train = "train x.h5 --c-grid 1e-3:1e1:3 --refine 1 --cv 4 --metric auc -o x.head";
    let plain = dir.json(train);
    assert!(plain["nested"].is_null() && plain["training"]["nested_accuracy"].is_null());
    let plain_head = dir.read("x.head");
    let shown = dir.json(&format!("{train} --nested 3 --report r"));
    // The head and what is said of its choice are the same.
    assert_eq!((&shown["c"], &shown["training"]["cv_score"]), (&plain["c"], &plain["training"]["cv_score"]));
    let tensors = |bytes: &[u8]| bytes[bytes.len() - 3 * 13 * 8..].to_vec();
    assert_eq!(tensors(&plain_head), tensors(&dir.read("x.head")));
    let nested = &shown["nested"];
    let outer = nested["outer"].as_array().unwrap();
    assert_eq!((outer.len(), &nested["metrics"]["n"], &nested["metric"]), (3, &json!(60), &json!("auc")));
    let mean = outer.iter().map(|fold| number(&fold["score"])).sum::<f64>() / 3.0;
    near(&nested["score"]["value"], mean);
    let (low, high) = (number(&nested["score"]["low"]), number(&nested["score"]["high"]));
    assert!(low <= mean && mean <= high && high <= 1.0);
    let rows: f64 = outer.iter().map(|fold| number(&fold["n_test"])).sum();
    let right: f64 = outer.iter().map(|fold| number(&fold["accuracy"]) * number(&fold["n_test"])).sum();
    assert_eq!(rows, 60.0);
    near(&nested["metrics"]["accuracy"]["value"], right / 60.0);
    assert!(outer.iter().all(|fold| number(&fold["n_train"]) + number(&fold["n_test"]) == 60.0));
    assert_eq!(description(&dir, "x.head")["training"]["nested_accuracy"], nested["metrics"]["accuracy"]);
    let page = String::from_utf8(dir.read("r/index.html")).unwrap();
    says(&page, &["<h2>Nested cross-validation</h2>", "Accuracy, nested cross-validation", "free of the optimism"]);
    let said = dir.run(&format!("{train} --nested 3"));
    says(
        &said,
        &["cross-validated AUC ", "nested cross-validation: AUC ", "(95 % interval); C chosen in 3 outer folds: "],
    );
    says(&dir.run("train x.h5 --nested 2 -o x.head"), &["nested cross-validation: accuracy "]);

    says(&dir.misused("train x.h5 --nested 1 -o no.head"), &["--nested is 1", "at least 2"]);
    says(&dir.misused("train x.h5 --nested 3 --c 1 --cv none -o no.head"), &["--nested is 3", "--cv"]);
    says(&dir.misused("train x.h5 --nested 3 --split train:val -o no.head"), &["--nested", "--split"]);
    says(&dir.fails("train x.h5 --nested 21 -o no.head"), &["x.h5", "20 image(s)", "21 folds"]);
    let inner = dir.fails("train x.h5 --nested 2 --cv 11 -o no.head");
    says(&inner, &["outer fold 1 of 2", "10 image(s)", "11 folds"]);
    assert!(!dir.exists("no.head"));
}
