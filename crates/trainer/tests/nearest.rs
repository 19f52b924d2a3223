//! Heads that look at what is nearest, against the definition spelled out.

use headstart_trainer::{
    ClassWeight, EngineChoice, HeadKind, HeadParams, Measure, ParamGuard, Prepared, Samples, TrainParams, Tuned,
    Validation, train,
};
use ndarray::{Array2, Axis};

/// Overlapping clusters off the origin, in columns of very different size, classes of unequal number.
fn clusters(rows: usize, columns: usize, classes: usize, seed: u64) -> (Array2<f32>, Vec<usize>) {
    let mut state = 2 * seed + 1;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    let y: Vec<usize> = (0..rows).map(|row| if row < classes { row } else { (row * row) % classes }).collect();
    let x = Array2::from_shape_fn((rows, columns), |(row, column)| {
        let unit = 10f32.powi(column as i32 % 3 - 1);
        unit * (5.0 + 2.0 * noise() + if column % classes == y[row] { 0.7 } else { 0.0 })
    });
    (x, y)
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|class| format!("class {class}")).collect()
}

/// Weighted mean of each class, and −½ of the squared distance from it of every row.
fn by_definition(x: &Array2<f64>, y: &[usize], classes: usize, weights: &[f64]) -> Array2<f64> {
    let mut means = Array2::<f64>::zeros((classes, x.ncols()));
    for class in 0..classes {
        let rows: Vec<usize> = (0..y.len()).filter(|&row| y[row] == class).collect();
        let total: f64 = rows.iter().map(|&row| weights[row]).sum();
        rows.iter().for_each(|&row| means.row_mut(class).scaled_add(weights[row] / total, &x.row(row)));
    }
    Array2::from_shape_fn((x.nrows(), classes), |(row, class)| {
        let off = &x.row(row) - &means.row(class);
        -0.5 * off.dot(&off)
    })
}

#[test]
fn scores_of_class_means_are_distances() {
    for (rows, columns, classes, standardize) in
        [(60, 9, 3, false), (60, 9, 3, true), (40, 90, 2, false), (40, 90, 4, true), (30, 6, 2, true)]
    {
        let (x, y) = clusters(rows, columns, classes, 3);
        let (classes, groups) = (names(classes), (0..rows).collect::<Vec<_>>());
        let weights: Vec<f64> = (0..rows).map(|row| 0.5 + (row % 4) as f64).collect();
        let samples = Samples {
            features: x.view(),
            labels: &y,
            groups: &groups,
            classes: &classes,
            scored: None,
            weights: Some(&weights),
        };
        let prepared = Prepared::new(samples, &Validation::None, standardize, 0).unwrap();
        let fitted = prepared.fit(&HeadKind::Ncm.into(), 1.0).unwrap();
        assert_eq!((fitted.report.tuned, fitted.report.objective), (Tuned::Nothing, None));
        assert_eq!(fitted.report.certificate.measure, Measure::ClosedForm);
        assert!(fitted.report.certificate.converged);

        let mut raw = x.mapv(f64::from);
        if standardize {
            let (mean, deviation) = (raw.mean_axis(Axis(0)).unwrap(), raw.std_axis(Axis(0), 0.0));
            raw = (raw - mean) / deviation;
        }
        let wanted = by_definition(&raw, &y, classes.len(), &weights);
        let got = fitted.model.decision(x.view()).unwrap();
        for (got, wanted) in got.outer_iter().zip(wanted.outer_iter()) {
            // Up to what all classes of a row share.
            let (a, b) = (&got - got[0], &wanted - wanted[0]);
            for (a, b) in a.iter().zip(&b) {
                assert!((a - b).abs() < 1e-9 * wanted[0].abs().max(1.0), "{a} instead of {b}");
            }
        }
        let nearest = wanted
            .outer_iter()
            .map(|row| (1..classes.len()).fold(0, |best, class| if row[class] > row[best] { class } else { best }));
        assert_eq!(fitted.model.predict(x.view()).unwrap(), nearest.collect::<Vec<_>>());
    }
}

#[test]
fn what_class_means_do_not_heed_is_refused() {
    let message = |params: TrainParams| params.check().unwrap_err().to_string();
    let ncm = || TrainParams::new(HeadKind::Ncm);
    assert!(ncm().check().is_ok());
    assert!(message(ncm().cs([0.1])).contains("C is [0.1]"));
    assert!(message(ncm().cs([0.1, 1.0])).contains("have no C; leave it out"));
    let head = HeadParams::new(HeadKind::Ncm);
    let balanced = HeadParams { class_weight: ClassWeight::Balanced, ..head };
    assert!(message(TrainParams::new(balanced)).contains("--class-weight is balanced: class means do not depend"));
    let linfa = HeadParams { engine: EngineChoice::Linfa, ..head };
    assert!(message(TrainParams::new(linfa)).contains("--engine is linfa"));
}

#[test]
fn class_means_have_one_grid_point() {
    let (x, y) = clusters(50, 8, 2, 1);
    let (classes, groups) = (names(2), (0..50).collect::<Vec<_>>());
    let samples =
        Samples { features: x.view(), labels: &y, groups: &groups, classes: &classes, scored: None, weights: None };
    let outcome = train(samples, &TrainParams::new(HeadKind::Ncm).check().unwrap(), &|_| ()).unwrap();
    let selection = outcome.selection.unwrap();
    assert_eq!((selection.points.len(), selection.best().tuned), (1, Tuned::Nothing));
    assert!(selection.best().fold_objective.is_empty() && outcome.warnings.is_empty(), "{:?}", outcome.warnings);
    let text = serde_json::to_value(&selection.points[0]).unwrap();
    assert!(text.get("c").is_none(), "{text}");
}
