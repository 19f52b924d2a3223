//! Objectives and accuracies against scikit-learn's, from the files that scripts/golden_heads.py makes.

use std::path::Path;

use headstart_trainer::{ClassWeight, EngineChoice, HeadKind, Prepared, Samples, Validation, evaluate, objective};
use ndarray::{Array2, Axis};
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    classes: usize,
    logistic: Vec<Point>,
    svm: Vec<Point>,
    svm_balanced: Vec<Point>,
}

#[derive(Deserialize)]
struct Point {
    c: f64,
    objective: f64,
    accuracy: f64,
}

struct Data {
    x: Array2<f32>,
    y: Vec<usize>,
    test: Vec<bool>,
    golden: Golden,
}

fn read(name: &str) -> Data {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../tests/golden/heads/{name}.safetensors"));
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let x = file.tensor("x").unwrap();
    let values: Vec<f32> = match x.dtype() {
        Dtype::U8 => x.data().iter().map(|&value| f32::from(value)).collect(),
        Dtype::F32 => x.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
        other => panic!("{other:?}"),
    };
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    Data {
        x: Array2::from_shape_vec((x.shape()[0], x.shape()[1]), values).unwrap(),
        y: file.tensor("y").unwrap().data().iter().map(|&label| usize::from(label)).collect(),
        test: file.tensor("test").unwrap().data().iter().map(|&flag| flag == 1).collect(),
        golden: serde_json::from_str(&header.metadata().as_ref().unwrap()["golden"]).unwrap(),
    }
}

/// Fits at every C of the file.
fn compare(name: &str, kind: HeadKind, class_weight: ClassWeight) {
    let Data { x, y, test, golden } = read(name);
    let rows = |wanted: bool| (0..y.len()).filter(|&row| test[row] == wanted).collect::<Vec<_>>();
    let part = |rows: &[usize]| (x.select(Axis(0), rows), rows.iter().map(|&row| y[row]).collect::<Vec<_>>());
    let ((train_x, train_y), (test_x, test_y)) = (part(&rows(false)), part(&rows(true)));
    let classes: Vec<String> = (0..golden.classes).map(|class| class.to_string()).collect();
    let groups: Vec<usize> = (0..train_y.len()).collect();
    let samples =
        Samples { features: train_x.view(), labels: &train_y, groups: &groups, classes: &classes, scored: None };
    let prepared = Prepared::new(samples, &Validation::None, false, 0).unwrap();
    assert_eq!(prepared.is_reduced(), train_x.nrows() <= train_x.ncols());
    let points = match (kind, class_weight) {
        (HeadKind::Logistic, _) => golden.logistic,
        (HeadKind::Svm, ClassWeight::None) => golden.svm,
        (HeadKind::Svm, ClassWeight::Balanced) => golden.svm_balanced,
    };
    for point in points {
        let fitted = prepared.fit(kind, EngineChoice::Default, point.c, class_weight).unwrap();
        let place = format!("{name} {kind} C = {}", point.c);
        assert!(fitted.report.certificate.converged, "{place}: {:?}", fitted.report.certificate);
        // What the head does to raw features is what the solver reported in its own coordinates, and what scikit-learn reached.
        let raw = objective(&fitted.model, train_x.view(), &train_y, class_weight).unwrap();
        let off = (fitted.report.objective / point.objective - 1.0).abs();
        assert!((raw / fitted.report.objective - 1.0).abs() < 1e-6, "{place}: {raw} {}", fitted.report.objective);
        assert!(off < 1e-4, "{place}: {} instead of {}, {off:.1e} off", fitted.report.objective, point.objective);
        let accuracy = evaluate(&fitted.model, test_x.view(), &test_y).unwrap().accuracy.value;
        assert!((accuracy - point.accuracy).abs() <= 0.005, "{place}: {accuracy} instead of {}", point.accuracy);
    }
}

#[test]
fn digits_logistic() {
    compare("digits", HeadKind::Logistic, ClassWeight::None);
}

#[test]
fn digits_svm() {
    compare("digits", HeadKind::Svm, ClassWeight::None);
}

#[test]
fn digits_svm_balanced() {
    compare("digits", HeadKind::Svm, ClassWeight::Balanced);
}

#[test]
fn two_classes() {
    compare("binary", HeadKind::Logistic, ClassWeight::None);
    compare("binary", HeadKind::Svm, ClassWeight::None);
    compare("binary", HeadKind::Svm, ClassWeight::Balanced);
}

#[test]
fn more_columns_than_rows() {
    compare("wide", HeadKind::Logistic, ClassWeight::None);
    compare("wide", HeadKind::Svm, ClassWeight::None);
    compare("wide", HeadKind::Svm, ClassWeight::Balanced);
}
