//! Objectives and accuracies against scikit-learn's, from the files that scripts/golden_heads.py makes.

use std::collections::BTreeMap;
use std::path::Path;

use headstart_trainer::{
    Bias, ClassWeight, HeadKind, HeadParams, Prepared, Samples, SvmLoss, Validation, evaluate, objective,
};
use ndarray::{Array2, Axis};
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    classes: usize,
    /// By the name of the head in scripts/golden_heads.py.
    heads: BTreeMap<String, Vec<Point>>,
}

#[derive(Deserialize)]
struct Point {
    c: f64,
    objective: f64,
    accuracy: f64,
    /// One list for each output; only of some heads.
    #[serde(default)]
    weights: Vec<Vec<f64>>,
    #[serde(default)]
    bias: Vec<f64>,
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

/// What a name in the file stands for.
fn head(name: &str) -> HeadParams {
    let (name, bias) = match name.strip_suffix("_regularized") {
        Some(name) => (name, Bias::Regularized),
        None => (name, Bias::Free),
    };
    let (kind, weighted) = match name.strip_suffix("_balanced") {
        Some(kind) => (kind, ClassWeight::Balanced),
        None => (name, ClassWeight::None),
    };
    let (kind, svm_loss) = match kind {
        "svm_squared" => (HeadKind::Svm, SvmLoss::SquaredHinge),
        kind => (kind.parse().unwrap(), SvmLoss::Hinge),
    };
    HeadParams { svm_loss, class_weight: weighted, bias, ..HeadParams::new(kind) }
}

/// Fits every head of the file at every C.
fn compare(name: &str) {
    let Data { x, y, test, golden } = read(name);
    let rows = |wanted: bool| (0..y.len()).filter(|&row| test[row] == wanted).collect::<Vec<_>>();
    let part = |rows: &[usize]| (x.select(Axis(0), rows), rows.iter().map(|&row| y[row]).collect::<Vec<_>>());
    let ((train_x, train_y), (test_x, test_y)) = (part(&rows(false)), part(&rows(true)));
    let classes: Vec<String> = (0..golden.classes).map(|class| class.to_string()).collect();
    let groups: Vec<usize> = (0..train_y.len()).collect();
    let samples = Samples {
        features: train_x.view().into(),
        labels: &train_y,
        groups: &groups,
        classes: &classes,
        scored: None,
        weights: None,
    };
    let prepared = Prepared::new(samples, &Validation::None, false, 0).unwrap();
    assert_eq!(prepared.is_reduced(), train_x.nrows() <= train_x.ncols());
    assert_eq!(golden.heads.len(), if golden.classes == 2 { 10 } else { 9 });
    for (kind, points) in golden.heads {
        let head = head(&kind);
        for point in points {
            let fitted = prepared.fit(&head, point.c).unwrap();
            let place = format!("{name} {kind} C = {}", point.c);
            assert!(fitted.report.certificate.converged, "{place}: {:?}", fitted.report.certificate);
            let reached = fitted.report.objective.unwrap();
            // What the head does to raw features is what the solver reported in its own coordinates, and what scikit-learn
            // reached.
            let linear = fitted.model.linear().unwrap();
            let raw = objective(linear, train_x.view(), &train_y, &head).unwrap();
            let off = (reached / point.objective - 1.0).abs();
            assert!((raw / reached - 1.0).abs() < 1e-6, "{place}: {raw} {}", reached);
            assert!(off < 1e-4, "{place}: {} instead of {}, {off:.1e} off", reached, point.objective);
            if let [weights] = &point.weights[..] {
                // The row of class 1; of logistic heads half of it.
                let factor = if head.kind == HeadKind::Logistic { 2.0 } else { 1.0 };
                let (own, bias) = (linear.weights().row(1), linear.bias()[1]);
                let pairs = own.iter().zip(weights).chain([(&bias, &point.bias[0])]);
                let (mut square, mut size) = (0.0, 0.0);
                pairs.for_each(|(own, golden)| {
                    square += (own * factor - golden).powi(2);
                    size += golden.powi(2);
                });
                let error = (square / size).sqrt();
                assert!(error < 1e-3, "{place}: weights and bias are {error:.1e} off");
            }
            let accuracy = evaluate(&fitted.model, test_x.view(), &test_y).unwrap().accuracy.value;
            assert!((accuracy - point.accuracy).abs() <= 0.005, "{place}: {accuracy} instead of {}", point.accuracy);
        }
    }
}

#[test]
fn digits() {
    compare("digits");
}

#[test]
fn two_classes() {
    compare("binary");
}

#[test]
fn more_columns_than_rows() {
    compare("wide");
}
