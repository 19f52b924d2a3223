//! What must hold for heads on any data: symmetries of the problem, determinism, honest validation.

use headstart_trainer::{
    CalibrationChoice, CalibrationMethod, Error, Fitted, HeadKind, Model, ParamGuard, Prepared, Samples, Scheme,
    TrainParams, Validation, evaluate, train,
};
use ndarray::{Array2, Axis, concatenate};
use proptest::prelude::*;

const KINDS: [HeadKind; 3] = [HeadKind::Logistic, HeadKind::Svm, HeadKind::Ridge];

/// Numbers from −0.5 to 0.5 that are the same on every machine.
fn noise(seed: u64) -> impl FnMut() -> f32 {
    let mut state = seed.wrapping_mul(2) + 1;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    }
}

/// Overlapping clusters off the origin, labels in turn.
fn clusters(rows: usize, columns: usize, classes: usize, seed: u64) -> (Array2<f32>, Vec<usize>) {
    let mut noise = noise(seed);
    let y: Vec<usize> = (0..rows).map(|row| row % classes).collect();
    let x = Array2::from_shape_fn((rows, columns), |(row, column)| {
        5.0 + 2.0 * noise() + if column % classes == y[row] { 0.6 } else { 0.0 }
    });
    (x, y)
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|class| format!("class {class}")).collect()
}

fn fit(x: &Array2<f32>, y: &[usize], kind: HeadKind, c: f64) -> Fitted {
    let (classes, groups) = (names(y.iter().max().unwrap() + 1), (0..y.len()).collect::<Vec<_>>());
    let samples = Samples {
        features: x.view().into(),
        labels: y,
        groups: &groups,
        classes: &classes,
        scored: None,
        weights: None,
    };
    let fitted = Prepared::new(samples, &Validation::None, false, 0).unwrap().fit(&kind.into(), c).unwrap();
    assert!(fitted.report.certificate.converged, "{:?}", fitted.report);
    fitted
}

/// The largest difference of scores, relative to the largest score.
fn distance(a: &Array2<f64>, b: &Array2<f64>) -> f64 {
    let size = a.iter().fold(0f64, |top, value| top.max(value.abs()));
    a.iter().zip(b).fold(0f64, |top, (a, b)| top.max((a - b).abs())) / size
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Renaming the classes renames the scores.
    #[test]
    fn label_permutation(seed in 0u64..1000, wide in any::<bool>(), classes in 2usize..5, shift in 1usize..4) {
        let (x, y) = clusters(40, if wide { 60 } else { 8 }, classes, seed);
        let rename = |label: usize| (label + shift) % classes;
        let renamed: Vec<usize> = y.iter().map(|&label| rename(label)).collect();
        for kind in KINDS {
            let one = fit(&x, &y, kind, 0.1).model.decision(x.view()).unwrap();
            let other = fit(&x, &renamed, kind, 0.1).model.decision(x.view()).unwrap();
            let back = Array2::from_shape_fn(one.dim(), |(row, class)| other[[row, rename(class)]]);
            prop_assert!(distance(&one, &back) < 2e-3, "{kind}: {}", distance(&one, &back));
        }
    }

    /// Every row twice at half the C is the same problem; a copy of each column changes scores as a larger C would, but their
    /// order in memory never matters.
    #[test]
    fn duplicated_rows_are_half_the_c(seed in 0u64..1000, wide in any::<bool>()) {
        let (x, y) = clusters(30, if wide { 80 } else { 6 }, 3, seed);
        let twice = concatenate(Axis(0), &[x.view(), x.view()]).unwrap();
        let labels: Vec<usize> = y.iter().chain(&y).copied().collect();
        for kind in KINDS {
            let one = fit(&x, &y, kind, 0.2);
            let other = fit(&twice, &labels, kind, 0.1);
            prop_assert!((one.report.objective.unwrap() / other.report.objective.unwrap() - 1.0).abs() < 2e-4);
            let (a, b) = (one.model.decision(x.view()).unwrap(), other.model.decision(x.view()).unwrap());
            // A duality gap of 1e-4 leaves an SVM's weights the square root of that.
            let allowed = if kind == HeadKind::Logistic { 2e-3 } else { 3e-2 };
            prop_assert!(distance(&a, &b) < allowed, "{kind}: {}", distance(&a, &b));
        }
    }

    /// Turning the features turns the weights along: scores, objective and every decision stay.
    #[test]
    fn feature_rotation(seed in 0u64..1000, wide in any::<bool>(), angle in 0.1f32..3.0) {
        let (x, y) = clusters(30, if wide { 64 } else { 8 }, 3, seed);
        let mut turned = x.clone();
        for pair in 0..x.ncols() / 2 {
            let (a, b) = (x.column(2 * pair), x.column(2 * pair + 1));
            turned.column_mut(2 * pair).assign(&(&a * angle.cos() - &b * angle.sin()));
            turned.column_mut(2 * pair + 1).assign(&(&a * angle.sin() + &b * angle.cos()));
        }
        for kind in KINDS {
            let (one, other) = (fit(&x, &y, kind, 0.1), fit(&turned, &y, kind, 0.1));
            prop_assert!((one.report.objective.unwrap() / other.report.objective.unwrap() - 1.0).abs() < 2e-4);
            let (a, b) = (one.model.decision(x.view()).unwrap(), other.model.decision(turned.view()).unwrap());
            let allowed = if kind == HeadKind::Logistic { 2e-3 } else { 3e-2 };
            prop_assert!(distance(&a, &b) < allowed);
        }
    }

    /// Features in other units, with C to match, are the same problem, however large or small the numbers get.
    #[test]
    fn scale(seed in 0u64..1000, exponent in -6i32..7) {
        let (x, y) = clusters(30, 12, 3, seed);
        let factor = 10f32.powi(exponent);
        let scaled = x.mapv(|value| value * factor);
        for kind in KINDS {
            let one = fit(&x, &y, kind, 0.1).model.decision(x.view()).unwrap();
            let other = fit(&scaled, &y, kind, 0.1 / f64::from(factor).powi(2)).model;
            prop_assert!(distance(&one, &other.decision(scaled.view()).unwrap()) < 3e-2);
        }
    }
}

#[test]
fn a_small_c_leaves_the_class_frequencies_and_a_large_one_separates() {
    let (x, _) = clusters(40, 80, 2, 1);
    let y: Vec<usize> = (0..40).map(|row| usize::from(row % 4 == 0)).collect();
    let small = fit(&x, &y, HeadKind::Logistic, 1e-9).model.predict_proba(x.view()).unwrap();
    assert!(small.column(1).iter().all(|p| (p - 0.25).abs() < 1e-3));
    for kind in KINDS {
        let model = fit(&x, &y, kind, 1e4).model;
        assert_eq!(evaluate(&model, x.view(), &y).unwrap().accuracy.value, 1.0, "80 columns separate 40 rows");
    }
}

/// Everything that comes out, in bits.
fn fingerprint(threads: usize, kind: HeadKind, columns: usize, standardize: bool) -> (Model, String) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| {
        let (x, y) = clusters(90, columns, 3, 2);
        let (classes, groups) = (names(3), (0..90).collect::<Vec<_>>());
        let samples = Samples {
            features: x.view().into(),
            labels: &y,
            groups: &groups,
            classes: &classes,
            scored: None,
            weights: None,
        };
        // One of each map.
        let method = match kind {
            HeadKind::Logistic => CalibrationMethod::Temperature,
            HeadKind::Svm => CalibrationMethod::Platt,
            _ => CalibrationMethod::Isotonic,
        };
        let cs = if kind.has_c() { vec![0.001, 0.1, 100.0] } else { vec![1.0] };
        let params = TrainParams::new(kind).cs(cs).standardize(standardize).seed(3);
        let params = params.calibration(CalibrationChoice::Method(method)).keep_held_out(true).check().unwrap();
        let outcome = train(samples, &params, &|_| ()).unwrap();
        let mut selection = outcome.selection.unwrap();
        selection.seconds = 0.0;
        let told = format!("{:?}", outcome.held_out.unwrap());
        (outcome.model, serde_json::to_string(&(selection, outcome.training)).unwrap() + &told)
    })
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    for kind in KINDS.into_iter().chain([HeadKind::Ncm]) {
        for (columns, standardize) in [(20, false), (400, false), (400, true), (20, true)] {
            let one = fingerprint(1, kind, columns, standardize);
            assert_eq!(one, fingerprint(2, kind, columns, standardize));
            assert_eq!(one, fingerprint(8, kind, columns, standardize));
        }
    }
}

/// The head's map is fitted to all held-out rows, but what is said of these comes from maps that had not seen them.
#[test]
fn calibration_is_judged_on_rows_that_it_has_not_seen() {
    // Labels by chance: whatever a map learns of them is of no use.
    let (x, _) = clusters(80, 6, 2, 9);
    let mut noise = noise(5);
    let y: Vec<usize> = (0..80).map(|_| usize::from(noise() > 0.0)).collect();
    let (classes, groups) = (names(2), (0..80).collect::<Vec<_>>());
    let samples = Samples {
        features: x.view().into(),
        labels: &y,
        groups: &groups,
        classes: &classes,
        scored: None,
        weights: None,
    };
    for validation in [Validation::KFold(4), Validation::Holdout((50..80).collect())] {
        let params = TrainParams::new(HeadKind::Svm).validation(validation.clone());
        let params = params.calibration(CalibrationChoice::Method(CalibrationMethod::Isotonic));
        let outcome = train(samples, &params.keep_held_out(true).check().unwrap(), &|_| ()).unwrap();
        let summary = outcome.training.calibration.unwrap();
        let held_out = outcome.held_out.unwrap();
        let rows = held_out.rows.len();
        assert_eq!((summary.n, rows), if validation == Validation::KFold(4) { (80, 80) } else { (30, 30) });
        assert_eq!((summary.before, summary.parts), (None, if rows == 80 { 4 } else { 5 }));
        let after = summary.after.unwrap();
        // The map itself, on the very rows that it was fitted to, looks better than it is.
        let map = outcome.model.calibration().unwrap();
        let fitted = map.probabilities(held_out.uncalibrated.decision.view());
        let loss = |row: usize| -fitted[[row, y[held_out.rows[row]]]].max(f64::EPSILON).ln();
        let flattered = (0..rows).map(loss).sum::<f64>() / rows as f64;
        assert!(flattered < after.log_loss - 0.01, "{flattered} {after:?}");
        let metrics = outcome.calibrated_out_of_fold.unwrap();
        assert_eq!((metrics.log_loss, metrics.accuracy.value), (Some(after.log_loss), after.accuracy));
        assert_eq!(metrics.expected_calibration_error, Some(after.expected_calibration_error));
        assert_eq!(held_out.calibrated.unwrap().predicted.len(), rows);
    }
}

/// A logistic head that hardly regularises is too sure of itself; a temperature makes up for it and changes no prediction.
#[test]
fn a_temperature_cools_a_head_that_is_too_sure() {
    let (x, mut y) = clusters(120, 60, 3, 7);
    // One label in ten is wrong.
    (0..120).step_by(10).for_each(|row| y[row] = (y[row] + 1) % 3);
    let (classes, groups) = (names(3), (0..120).collect::<Vec<_>>());
    let samples = Samples {
        features: x.view().into(),
        labels: &y,
        groups: &groups,
        classes: &classes,
        scored: None,
        weights: None,
    };
    let params = TrainParams::new(HeadKind::Logistic).cs([1e4]).calibration(CalibrationChoice::Auto);
    let outcome = train(samples, &params.keep_held_out(true).check().unwrap(), &|_| ()).unwrap();
    let summary = outcome.training.calibration.unwrap();
    let (before, after) = (summary.before.unwrap(), summary.after.unwrap());
    assert!(after.expected_calibration_error < before.expected_calibration_error, "{before:?} {after:?}");
    assert!(after.log_loss < before.log_loss && after.brier < before.brier, "{before:?} {after:?}");
    assert_eq!((before.accuracy, before.n), (after.accuracy, 120));
    let held_out = outcome.held_out.unwrap();
    assert_eq!(held_out.calibrated.unwrap().predicted, held_out.uncalibrated.predicted);
    assert_eq!(outcome.calibrated_out_of_fold.unwrap().accuracy.value, after.accuracy);
}

#[test]
fn a_temperature_that_no_mistake_bounds_is_warned_of() {
    let (x, y) = clusters(60, 80, 2, 7);
    let (classes, groups) = (names(2), (0..60).collect::<Vec<_>>());
    let x = Array2::from_shape_fn(x.dim(), |(row, column)| x[[row, column]] + 9.0 * y[row] as f32);
    let samples = Samples {
        features: x.view().into(),
        labels: &y,
        groups: &groups,
        classes: &classes,
        scored: None,
        weights: None,
    };
    for (calibration, warned) in
        [(CalibrationChoice::Auto, true), (CalibrationChoice::Method(CalibrationMethod::Platt), false)]
    {
        let params = TrainParams::new(HeadKind::Logistic).calibration(calibration).check().unwrap();
        let warnings = train(samples, &params, &|_| ()).unwrap().warnings;
        assert_eq!(
            warnings.iter().any(|warning| warning.contains("no temperature is the best")),
            warned,
            "{warnings:?}"
        );
    }
}

/// Standardising inside the trainer equals standardising the features first, and the head still takes raw features.
#[test]
fn standardisation_is_folded_into_the_weights() {
    for columns in [10, 100] {
        let (mut x, y) = clusters(60, columns, 3, 4);
        for (column, mut values) in x.columns_mut().into_iter().enumerate() {
            values *= 10f32.powi(column as i32 % 5 - 2);
        }
        x.column_mut(3).fill(7.0);
        let mean = x.mapv(f64::from).mean_axis(Axis(0)).unwrap();
        let deviation = x.mapv(f64::from).std_axis(Axis(0), 0.0).mapv(|value| if value == 0.0 { 1.0 } else { value });
        let ready = ((x.mapv(f64::from) - &mean) / &deviation).mapv(|value| value as f32);
        let (classes, groups) = (names(3), (0..60).collect::<Vec<_>>());
        let samples = Samples {
            features: x.view().into(),
            labels: &y,
            groups: &groups,
            classes: &classes,
            scored: None,
            weights: None,
        };
        for kind in KINDS {
            let prepared = Prepared::new(samples, &Validation::None, true, 0).unwrap();
            let inside = prepared.fit(&kind.into(), 0.05).unwrap();
            let outside = fit(&ready, &y, kind, 0.05);
            assert!((inside.report.objective.unwrap() / outside.report.objective.unwrap() - 1.0).abs() < 2e-4);
            let (a, b) = (inside.model.decision(x.view()).unwrap(), outside.model.decision(ready.view()).unwrap());
            assert!(distance(&a, &b) < 1e-2, "{kind} {columns}: {}", distance(&a, &b));
        }
    }
}

/// Labels that have nothing to do with the features: an honest validation scores chance. Views of one image in two folds, or
/// statistics of the held-out rows, would score more.
#[test]
fn nothing_leaks_from_the_held_out_rows() {
    let mut random = noise(8);
    let images = 60;
    let base = Array2::from_shape_fn((images, 200), |_| random());
    // Three nearly equal views of each image.
    let x = Array2::from_shape_fn((3 * images, 200), |(row, column)| base[[row / 3, column]] + 0.01 * random());
    let y: Vec<usize> = (0..3 * images).map(|row| (row / 3) % 2).collect();
    let groups: Vec<usize> = (0..3 * images).map(|row| row / 3).collect();
    let first: Vec<bool> = (0..3 * images).map(|row| row % 3 == 0).collect();
    let classes = names(2);
    for standardize in [false, true] {
        for kind in KINDS {
            let samples = Samples {
                features: x.view().into(),
                labels: &y,
                groups: &groups,
                classes: &classes,
                scored: Some(&first),
                weights: None,
            };
            let params = TrainParams::new(kind).cs([1.0]).standardize(standardize).check().unwrap();
            let outcome = train(samples, &params, &|_| ()).unwrap();
            let found = outcome.selection.unwrap();
            assert_eq!(found.out_of_fold.n, images, "only the first view of each image is scored");
            assert!(found.out_of_fold.accuracy.value < 0.72, "{kind}: {:?}", found.out_of_fold.accuracy);
            assert!(found.out_of_fold.accuracy.low < 0.5);
            assert_eq!(outcome.training_metrics.accuracy.value, 1.0);
            // The same rows with every view its own group: the leak that groups prevent.
            let alone: Vec<usize> = (0..3 * images).collect();
            let leaky = train(Samples { groups: &alone, ..samples }, &params, &|_| ()).unwrap();
            assert!(leaky.selection.unwrap().out_of_fold.accuracy.value > 0.9);
        }
    }
}

#[test]
fn a_fixed_split_trains_on_the_training_rows_alone() {
    let (x, y) = clusters(60, 100, 3, 5);
    let (classes, groups) = (names(3), (0..60).collect::<Vec<_>>());
    let samples = Samples {
        features: x.view().into(),
        labels: &y,
        groups: &groups,
        classes: &classes,
        scored: None,
        weights: None,
    };
    let held_out: Vec<usize> = (40..60).collect();
    for standardize in [false, true] {
        let params = TrainParams::new(HeadKind::Logistic)
            .cs([0.01, 0.1])
            .standardize(standardize)
            .validation(Validation::Holdout(held_out.clone()));
        let outcome = train(samples, &params.check().unwrap(), &|_| ()).unwrap();
        let selection = outcome.selection.as_ref().unwrap();
        assert_eq!((outcome.training.n, selection.folds, selection.scheme), (40, 1, Scheme::Holdout));
        // The score reported is that of the very head that comes out.
        let own = evaluate(&outcome.model, x.slice(ndarray::s![40.., ..]), &y[40..]).unwrap();
        assert_eq!(own.confusion, selection.out_of_fold.confusion);
        assert!((own.log_loss.unwrap() - selection.out_of_fold.log_loss.unwrap()).abs() < 1e-6);
    }
}

#[test]
fn one_reduction_serves_two_heads() {
    let (x, y) = clusters(60, 100, 2, 6);
    let (classes, groups) = (names(2), (0..60).collect::<Vec<_>>());
    let samples = Samples {
        features: x.view().into(),
        labels: &y,
        groups: &groups,
        classes: &classes,
        scored: None,
        weights: None,
    };
    let prepared = Prepared::new(samples, &Validation::KFold(5), true, 1).unwrap();
    for kind in KINDS {
        let params = TrainParams::new(kind).cs([0.01, 1.0]).standardize(true).seed(1).check().unwrap();
        let alone = train(samples, &params, &|_| ()).unwrap();
        let shared = headstart_trainer::train_prepared(&prepared, params.head(), params.search(), &|_| ()).unwrap();
        assert_eq!(alone.model, shared.model);
        assert_eq!(alone.training, shared.training);
    }
}

#[test]
fn progress_counts_every_fit() {
    let (x, y) = clusters(30, 5, 2, 7);
    let (classes, groups) = (names(2), (0..30).collect::<Vec<_>>());
    let samples = Samples {
        features: x.view().into(),
        labels: &y,
        groups: &groups,
        classes: &classes,
        scored: None,
        weights: None,
    };
    let seen = std::sync::Mutex::new(Vec::new());
    let params = TrainParams::new(HeadKind::Svm).cs([0.1, 1.0, 10.0]).validation(Validation::KFold(3)).check().unwrap();
    train(samples, &params, &|progress| seen.lock().unwrap().push(progress)).unwrap();
    let seen = seen.into_inner().unwrap();
    assert_eq!(seen.len(), 1 + 9 + 1, "{seen:?}");
    assert!(seen.contains(&headstart_trainer::Progress::Grid { done: 9, total: 9 }));
}

#[test]
fn degenerate_samples_have_clear_errors() {
    let (x, _) = clusters(12, 4, 2, 8);
    let groups: Vec<usize> = (0..12).collect();
    let two = names(2);
    let run = |x: &Array2<f32>, y: &[usize], classes: &[String], params: TrainParams| {
        let samples =
            Samples { features: x.view().into(), labels: y, groups: &groups, classes, scored: None, weights: None };
        train(samples, &params.check().unwrap(), &|_| ()).map(|_| ()).unwrap_err()
    };
    let svm = || TrainParams::new(HeadKind::Svm);
    let mixed: Vec<usize> = (0..12).map(|row| row % 2).collect();
    let rare: Vec<usize> = (0..12).map(|row| usize::from(row == 0)).collect();
    assert!(matches!(run(&x, &[1; 12], &two, svm()), Error::OneClass { .. }));
    assert!(matches!(run(&x, &mixed, &names(3), svm()), Error::EmptyClass { .. }));
    assert!(matches!(run(&x, &rare, &two, svm()), Error::ClassSmallerThanFolds { groups: 1, folds: 5, .. }));
    assert!(matches!(run(&Array2::ones((12, 4)), &mixed, &two, svm()), Error::ConstantFeatures { rows: 12 }));
    for (rows, text) in [
        (vec![], "no validation rows"),
        (vec![12], "validation row 12 of 12 rows"),
        (vec![3, 3], "listed twice"),
        ((0..12).collect(), "no training rows"),
    ] {
        let message = run(&x, &mixed, &two, svm().validation(Validation::Holdout(rows))).to_string();
        assert!(message.contains(text), "{message}");
    }
    let shared: Vec<usize> = (0..12).map(|row| row / 2).collect();
    let samples = Samples {
        features: x.view().into(),
        labels: &mixed,
        groups: &shared,
        classes: &two,
        scored: None,
        weights: None,
    };
    let params = svm().validation(Validation::Holdout(vec![1])).check().unwrap();
    assert!(train(samples, &params, &|_| ()).unwrap_err().to_string().contains("another row of its group"));
}

#[test]
fn more_classes_than_a_row_each() {
    let (x, _) = clusters(6, 30, 2, 9);
    let y = [0, 1, 2, 3, 4, 5];
    for kind in KINDS {
        let model = fit(&x, &y, kind, 100.0).model;
        assert_eq!(model.predict(x.view()).unwrap(), y);
    }
}

#[test]
fn fewer_than_two_folds_are_refused() {
    let (x, y) = clusters(12, 3, 2, 0);
    let (classes, groups) = (names(2), (0..y.len()).collect::<Vec<_>>());
    let samples = Samples {
        features: x.view().into(),
        labels: &y,
        groups: &groups,
        classes: &classes,
        scored: None,
        weights: None,
    };
    for folds in [0, 1] {
        let error = Prepared::new(samples, &Validation::KFold(folds), false, 0).err().unwrap();
        assert!(matches!(error, Error::Parameter { name: "--cv", .. }), "{error}");
    }
    assert_eq!(Prepared::new(samples, &Validation::KFold(2), false, 0).unwrap().folds(), 2);
}
