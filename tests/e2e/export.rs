//! `export`: what other programs compute with an exported head is what headstart itself predicts.

use crate::{
    harness::{Dir, printed_json, python, repository, says},
    npz::Npz,
};
use serde_json::{Value, json};

const WIDTH: usize = 96;

/// Vectors as networks give them: not negative, and each column with a mean of its own far from 0, beside which the
/// differences between rows and classes are small.
fn uncentred(dir: &Dir, classes: &[&str], rows: usize) {
    let mut state = 3_u64;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32
    };
    let means: Vec<f32> = (0..WIDTH).map(|_| 50.0 + 150.0 * uniform()).collect();
    let mut x = Vec::new();
    for row in 0..rows {
        let signal = |column: usize| if column % classes.len() == row % classes.len() { 0.3 } else { 0.0 };
        // A row of zeros has no direction.
        let size = if row == 7 { 0.0 } else { 1.0 };
        x.extend((0..WIDTH).map(|column| size * (means[column] + uniform() + signal(column))));
    }
    let y: Vec<&str> = (0..rows).map(|row| classes[row % classes.len()]).collect();
    Npz::new().floats("X", WIDTH, &x).strings("y", &y).save(&dir.path("x.npz"));
    dir.run("import x.npz -o x.h5");
}

/// The numbers of a nested list, row after row.
fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(items) => items.iter().flat_map(numbers).collect(),
        other => vec![other.as_f64().unwrap()],
    }
}

#[track_caller]
fn assert_close(got: &Value, expected: &[f64], what: &str) {
    let got = numbers(got);
    assert_eq!(got.len(), expected.len(), "{what}");
    let off = |(got, expected): (&f64, &f64)| (got - expected).abs() / expected.abs().max(1e-300);
    let worst = got.iter().zip(expected).map(off).fold(0.0, f64::max);
    assert!(worst <= 1e-5, "{what}: {worst:e} off");
}

#[track_caller]
fn assert_near(got: &Value, expected: &[f64], what: &str) {
    let got = numbers(got);
    assert_eq!(got.len(), expected.len(), "{what}");
    let worst = got.iter().zip(expected).map(|(got, expected)| (got - expected).abs()).fold(0.0, f64::max);
    assert!(worst <= 1e-6, "{what}: {worst:e} off");
}

#[test]
fn onnx_runtime_and_numpy_agree_with_headstart() {
    let (two, three) = (&["no", "yes"][..], &["ant", "bee", "käfer ✓"][..]);
    for (names, head, options) in [
        (three, "logistic", ""),
        (two, "logistic", ""),
        (three, "svm", ""),
        (three, "logistic", "--calibrate temperature"),
        (two, "svm", "--calibrate platt"),
        (three, "svm", "--calibrate platt"),
        (two, "ridge", "--calibrate isotonic"),
        (three, "svm", "--calibrate isotonic"),
        (two, "ncm", ""),
        (three, "ncm", "--calibrate temperature"),
        (three, "logistic", "--normalize l2"),
        (two, "svm", "--normalize l2 --standardize"),
        (two, "ncm", "--normalize l2 --calibrate platt"),
    ] {
        let c = if head == "ncm" { "" } else { "--c 0.01" };
        let what = format!("{head} {options}, {} classes", names.len());
        let dir = Dir::new();
        uncentred(&dir, names, 60);
        dir.run(&format!("train x.h5 --head {head} {options} {c} --cv 2 -o x.head"));
        dir.run("export x.head -o out/x.onnx");
        dir.run("export x.head -o out/x.npz");
        let Some(mut command) = python("onnxruntime, numpy") else { return };
        command.arg(repository().join("scripts/run_exported.py"));
        command.args([dir.path("out/x.onnx"), dir.path("out/x.npz"), dir.path("x.npz")]);
        let ran = printed_json(command);

        let predictions = dir.json("predict x.head --cache x.h5");
        let predictions = predictions.as_array().unwrap();
        assert_eq!(predictions.len(), 60);
        let of = |field: &str| -> Vec<f64> {
            let value = |prediction: &Value, class: &str| {
                let guesses = prediction["guesses"].as_array().unwrap();
                guesses.iter().find(|guess| guess["class"] == class).unwrap()[field].as_f64().unwrap()
            };
            predictions.iter().flat_map(|prediction| names.iter().map(|class| value(prediction, class))).collect()
        };
        let (onnx, npz) = (&ran["onnx"], &ran["npz"]);
        assert_close(&onnx["scores"], &of("score"), &what);
        assert_close(&npz["scores"], &of("score"), &what);
        let has_probabilities = head == "logistic" || options.contains("--calibrate");
        assert_eq!(onnx["probabilities"].is_array(), has_probabilities);
        if has_probabilities {
            assert_near(&onnx["probabilities"], &of("probability"), &what);
        }
        if options.contains("--calibrate") {
            assert_near(&npz["probabilities"], &of("probability"), &what);
        }
        for (label, prediction) in onnx["label"].as_array().unwrap().iter().zip(predictions) {
            assert_eq!(prediction["guesses"][0]["class"], names[label.as_u64().unwrap() as usize]);
        }
        assert_eq!(ran["onnx_one_row"]["scores"][0], onnx["scores"][0], "rows do not depend on each other");

        assert_eq!(ran["shapes"]["features"], json!(["N", WIDTH]));
        assert_eq!(ran["types"]["features"], "tensor(float)");
        assert_eq!(ran["types"]["label"], "tensor(int64)");
        let about = &ran["metadata"];
        assert_eq!((&about["classes"], &about["kind"]), (&json!(names), &json!(head)));
        assert_eq!((&npz["classes"], &npz["kind"]), (&json!(names), &json!(head)));
        assert_eq!(npz["normalize"], if options.contains("l2") { "l2" } else { "none" });
        assert_eq!(npz["layer"], "features:flatten");
        assert_eq!(npz["provenance"], about["source"]["provenance"]);
        assert_eq!(npz["provenance"], dir.json("inspect x.h5")["provenance"]);
    }
}

#[test]
fn exports_say_what_they_hold_and_are_the_same_every_time() {
    let dir = Dir::new();
    uncentred(&dir, &["no", "yes"], 20);
    dir.run("train x.h5 --head svm --c 0.01 --cv 2 -o x.head");
    for ending in ["onnx", "npz"] {
        let shown = dir.json(&format!("export x.head -o x.{ending}"));
        let bytes = dir.read(&format!("x.{ending}"));
        assert_eq!((&shown["format"], &shown["bytes"]), (&json!(ending), &json!(bytes.len())));
        assert_eq!((&shown["kind"], &shown["width"]), (&json!("svm"), &json!(WIDTH)));
        assert_eq!(shown["classes"], json!(["no", "yes"]));
        says(
            &dir.run(&format!("export x.head -o x.{ending}")),
            &["svm on features:flatten", "96 features", "2 classes"],
        );
        assert!(dir.read(&format!("x.{ending}")) == bytes, "{ending} differs");
    }
    says(&dir.misused("export x.head -o x.pt"), &["x.pt", ".onnx", ".npz"]);
    says(&dir.fails("export absent.head -o x.npz"), &["absent.head", "No such file"]);
    dir.write("folder.npz/file", "");
    says(&dir.fails("export x.head -o folder.npz"), &["folder.npz"]);
    assert!(dir.exists("folder.npz/file"));
}
