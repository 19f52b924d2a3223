//! Heads that look at what is nearest, against the definition spelled out.

use headstart_trainer::{
    CalibrationChoice, ClassWeight, EngineChoice, HeadKind, HeadParams, KnnMetric, Measure, ParamGuard, Prepared,
    Samples, TrainParams, Tuned, Validation, train,
};
use ndarray::{Array2, Axis};

/// Overlapping clusters off the origin, in columns of very different size, classes of unequal number.
fn clusters(rows: usize, columns: usize, classes: usize, seed: u64) -> (Array2<f32>, Vec<usize>) {
    let mut state = 2 * seed + 1;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    let y: Vec<usize> = (0..rows).map(|row| if row < classes { row } else { (row + row / 5) % classes }).collect();
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
            features: x.view().into(),
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
    assert!(
        message(TrainParams::new(balanced))
            .contains("--class-weight is balanced: class means (ncm) and neighbours (knn) do not heed it")
    );
    let linfa = HeadParams { engine: EngineChoice::Linfa, ..head };
    assert!(message(TrainParams::new(linfa)).contains("--engine is linfa"));
}

#[test]
fn class_means_have_one_grid_point() {
    let (x, y) = clusters(50, 8, 2, 1);
    let (classes, groups) = (names(2), (0..50).collect::<Vec<_>>());
    let samples = Samples {
        features: x.view().into(),
        labels: &y,
        groups: &groups,
        classes: &classes,
        scored: None,
        weights: None,
    };
    let outcome = train(samples, &TrainParams::new(HeadKind::Ncm).check().unwrap(), &|_| ()).unwrap();
    let selection = outcome.selection.unwrap();
    assert_eq!((selection.points.len(), selection.best().tuned), (1, Tuned::Nothing));
    assert!(selection.best().fold_objective.is_empty() && outcome.warnings.is_empty(), "{:?}", outcome.warnings);
    let text = serde_json::to_value(&selection.points[0]).unwrap();
    assert!(text.get("c").is_none(), "{text}");
}

#[derive(serde::Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(serde::Deserialize)]
struct Case {
    x: Vec<Vec<f32>>,
    y: Vec<usize>,
    queries: Vec<Vec<f32>>,
    runs: Vec<Run>,
}

#[derive(serde::Deserialize)]
struct Run {
    metric: KnnMetric,
    standardize: bool,
    k: usize,
    shares: Vec<Vec<f64>>,
    predicted: Vec<i64>,
}

#[test]
fn scikit_learn_counts_the_same_votes() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/neighbors.json");
    let golden: Golden = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let matrix = |rows: &[Vec<f32>]| Array2::from_shape_vec((rows.len(), rows[0].len()), rows.concat()).unwrap();
    for Case { x, y, queries, runs } in golden.cases {
        let (x, queries) = (matrix(&x), matrix(&queries));
        let (classes, groups) = (names(y.iter().max().unwrap() + 1), (0..y.len()).collect::<Vec<_>>());
        let samples = Samples {
            features: x.view().into(),
            labels: &y,
            groups: &groups,
            classes: &classes,
            scored: None,
            weights: None,
        };
        assert_eq!(runs.len(), 20);
        for Run { metric, standardize, k, shares, predicted } in runs {
            let prepared = Prepared::new(samples, &Validation::None, standardize, 0).unwrap();
            let head = HeadParams { knn_metric: metric, ..HeadParams::new(HeadKind::Knn) };
            let model = prepared.fit(&head, k as f64).unwrap().model;
            let got = model.verdicts(queries.view()).unwrap();
            let what = format!("{metric:?} {standardize} k = {k}");
            assert_eq!(got.probabilities.as_ref(), Some(&got.decision));
            for (got, wanted) in got.decision.iter().zip(shares.concat()) {
                assert!((got - wanted).abs() < 1e-8, "{what}");
            }
            for (&got, wanted) in got.predicted.iter().zip(predicted) {
                assert!(wanted < 0 || got as i64 == wanted, "{what}");
            }
        }
    }
}

#[test]
fn the_number_of_neighbours_is_chosen_by_the_folds() {
    let (x, y) = clusters(90, 12, 3, 5);
    let (classes, groups) = (names(3), (0..90).collect::<Vec<_>>());
    let samples = Samples {
        features: x.view().into(),
        labels: &y,
        groups: &groups,
        classes: &classes,
        scored: None,
        weights: None,
    };
    for (standardize, knn_metric) in [(true, KnnMetric::Euclidean), (false, KnnMetric::Cosine)] {
        let head = HeadParams { knn_metric, ..HeadParams::new(HeadKind::Knn) };
        let params = TrainParams::new(head).neighbors([21, 1, 3, 5]).standardize(standardize).keep_held_out(true);
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let params = params.clone().calibration(CalibrationChoice::Auto).check().unwrap();
            pool.install(|| train(samples, &params, &|_| ())).unwrap()
        };
        let outcome = run(1);
        let selection = outcome.selection.as_ref().unwrap();
        let tried: Vec<Tuned> = selection.points.iter().map(|point| point.tuned).collect();
        assert_eq!(tried, [1, 3, 5, 21].map(Tuned::Neighbors));
        assert_eq!(outcome.model.tuned(), selection.best().tuned);
        assert_eq!(serde_json::to_value(&selection.points[1]).unwrap()["neighbors"], 3);
        // Each point by itself, from the definition: the head fitted on the other folds.
        let held_out = outcome.held_out.as_ref().unwrap();
        assert_eq!(held_out.uncalibrated.predicted.len(), 90);
        let right =
            held_out.rows.iter().zip(&held_out.uncalibrated.predicted).filter(|&(&row, &class)| y[row] == class);
        assert_eq!(right.count() as f64 / 90.0, selection.out_of_fold.accuracy.value);
        assert!(selection.best().log_loss.is_some());
        for threads in [2, 8] {
            let other = run(threads);
            assert_eq!(other.model, outcome.model);
            assert_eq!(format!("{:?}", other.held_out), format!("{:?}", outcome.held_out));
            assert_eq!(other.selection.unwrap().points, selection.points);
        }
    }
}

#[test]
fn equal_scores_go_to_the_most_neighbours() {
    let x = Array2::from_shape_fn((40, 2), |(row, column)| (row % 2 * 100) as f32 + (row * (column + 3) % 7) as f32);
    let y: Vec<usize> = (0..40).map(|row| row % 2).collect();
    let (classes, groups) = (names(2), (0..40).collect::<Vec<_>>());
    let samples = Samples {
        features: x.view().into(),
        labels: &y,
        groups: &groups,
        classes: &classes,
        scored: None,
        weights: None,
    };
    let params = TrainParams::new(HeadKind::Knn).neighbors([1, 3, 5]).check().unwrap();
    let outcome = train(samples, &params, &|_| ()).unwrap();
    assert_eq!(outcome.model.tuned(), Tuned::Neighbors(5));
    assert!(
        outcome.warnings.iter().any(|warning| warning.contains("the best k, 5, is the largest")),
        "{:?}",
        outcome.warnings
    );
}

#[test]
fn what_neighbours_do_not_heed_is_refused() {
    let message = |params: TrainParams| params.check().unwrap_err().to_string();
    let knn = || TrainParams::new(HeadKind::Knn);
    assert!(message(knn().neighbors([])).contains("--neighbors is an empty list"));
    assert!(message(knn().neighbors([0, 1])).contains("--neighbors is 0: give whole numbers from 1"));
    assert!(message(knn().cs([0.5])).contains("--neighbors is 0.5"));
    assert!(message(knn().neighbors([1, 3]).validation(Validation::None)).contains("--neighbors is 2 values of k"));
    let balanced = HeadParams { class_weight: ClassWeight::Balanced, ..HeadParams::new(HeadKind::Knn) };
    assert!(message(TrainParams::new(balanced)).contains("--class-weight"));
    let (x, y) = clusters(20, 3, 2, 1);
    let (classes, groups, weights) = (names(2), (0..20).collect::<Vec<_>>(), vec![1.0; 20]);
    let samples = Samples {
        features: x.view().into(),
        labels: &y,
        groups: &groups,
        classes: &classes,
        scored: None,
        weights: None,
    };
    let fails = |samples, neighbors| {
        let params = knn().neighbors([neighbors]).validation(Validation::KFold(2)).check().unwrap();
        train(samples, &params, &|_| ()).unwrap_err().to_string()
    };
    let many = fails(samples, 15);
    assert!(many.contains("--neighbors asks for 15, but there are only 1") && many.contains("when fold 1"), "{many}");
    let weighted = Samples { weights: Some(&weights), ..samples };
    assert!(fails(weighted, 1).contains("leave sample weights out"));
}
