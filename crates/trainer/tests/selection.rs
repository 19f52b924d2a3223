//! What must hold of the choice of C: repeats, refinement, nested folds, normalised rows.

use headstart_trainer::{
    HeadKind, Metric, Normalize, Outcome, ParamGuard, Prepared, Samples, Search, TrainParams, TrainValidParams,
    Validation, evaluate, stratified_folds, train,
};
use ndarray::{Array2, Axis};

const KINDS: [HeadKind; 3] = [HeadKind::Logistic, HeadKind::Svm, HeadKind::Ridge];

/// Numbers from −0.5 to 0.5 that are the same on every machine.
fn noise(seed: u64) -> impl FnMut() -> f32 {
    let mut state = seed.wrapping_mul(2) + 1;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    }
}

/// Training data that owns itself.
struct Data {
    x: Array2<f32>,
    y: Vec<usize>,
    groups: Vec<usize>,
    classes: Vec<String>,
}

impl Data {
    /// Overlapping clusters, `gap` apart, two rows to a group.
    fn new(rows: usize, columns: usize, classes: usize, gap: f32, seed: u64) -> Self {
        let mut noise = noise(seed);
        let y: Vec<usize> = (0..rows).map(|row| row / 2 % classes).collect();
        let x = Array2::from_shape_fn((rows, columns), |(row, column)| {
            3.0 + 2.0 * noise() + if column % classes == y[row] { gap } else { 0.0 }
        });
        let groups = (0..rows).map(|row| row / 2).collect();
        Self { x, y, groups, classes: (0..classes).map(|class| class.to_string()).collect() }
    }

    fn samples(&self) -> Samples<'_> {
        let Self { x, y, groups, classes } = self;
        Samples { features: x.view().into(), labels: y, groups, classes, scored: None, weights: None }
    }

    fn train(&self, params: &TrainValidParams) -> Outcome {
        train(self.samples(), params, &|_| ()).unwrap()
    }
}

fn params(kind: HeadKind) -> TrainParams {
    TrainParams::new(kind).cs([1e-3, 1e-2, 0.1, 1.0]).validation(Validation::KFold(4)).seed(3)
}

/// The outcome without the clock.
fn timeless(outcome: &Outcome) -> serde_json::Value {
    fn strip(value: &mut serde_json::Value) {
        if let Some(object) = value.as_object_mut() {
            object.remove("seconds");
            object.values_mut().for_each(strip);
        }
    }
    let mut value = serde_json::to_value(outcome).unwrap();
    strip(&mut value);
    value
}

#[test]
fn everything_together_is_the_same_on_any_number_of_threads() {
    for (rows, columns) in [(96, 10), (48, 120)] {
        let data = Data::new(rows, columns, 3, 0.4, 1);
        for kind in KINDS {
            let params = params(kind)
                .metric(Metric::Auc)
                .refine(2)
                .validation(Validation::Repeated { folds: 3, repeats: 2 })
                .standardize(true)
                .normalize(Normalize::L2)
                .nested(3)
                .check()
                .unwrap();
            let run = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let outcome = pool.install(|| data.train(&params));
                (timeless(&outcome), outcome.model)
            };
            let one = run(1);
            assert!(one == run(2) && one == run(8), "{kind} {rows} × {columns}");
        }
    }
}

#[test]
fn repeats_are_the_cross_validations_of_following_seeds() {
    for (rows, columns) in [(96, 10), (48, 120)] {
        let data = Data::new(rows, columns, 3, 0.4, 2);
        for standardize in [false, true] {
            let params = params(HeadKind::Logistic).standardize(standardize).metric(Metric::LogLoss);
            let repeated = params.clone().validation(Validation::Repeated { folds: 4, repeats: 3 }).check().unwrap();
            let selection = data.train(&repeated).selection.unwrap();
            let alone: Vec<_> =
                (3..6).map(|seed| data.train(&params.clone().seed(seed).check().unwrap()).selection.unwrap()).collect();
            for (index, point) in selection.points.iter().enumerate() {
                let scores = |of: &dyn Fn(usize) -> Vec<Option<f64>>| (0..3).flat_map(of).collect::<Vec<_>>();
                assert_eq!(point.fold_score, scores(&|seed| alone[seed].points[index].fold_score.clone()));
                let mean = alone.iter().map(|one| one.points[index].mean_score).sum::<f64>() / 3.0;
                assert!((point.mean_score - mean).abs() < 1e-12);
            }
            assert_eq!(selection.out_of_fold.n, rows);
            // Once is what it always was.
            let once = params.clone().validation(Validation::Repeated { folds: 4, repeats: 1 }).check().unwrap();
            let once = data.train(&once);
            assert_eq!(timeless(&once), timeless(&data.train(&params.clone().check().unwrap())));
        }
    }
}

#[test]
fn refined_points_are_scored_as_any_others() {
    let data = Data::new(80, 12, 2, 0.3, 3);
    for kind in KINDS {
        let prepared = Prepared::new(data.samples(), &Validation::KFold(4), true, 0).unwrap();
        let search = |cs: Vec<f64>| Search::new(cs).metric(Metric::Balanced);
        let refined = prepared.cross_validate(&kind.into(), &search(vec![1e-4, 1e-2, 1.0]).refine(3), &|| ()).unwrap();
        let cs: Vec<f64> = refined.points.iter().map(|point| point.tuned.value()).collect();
        assert!(cs.len() == 9 && cs.is_sorted());
        let given = prepared.cross_validate(&kind.into(), &search(cs.clone()), &|| ()).unwrap();
        assert_eq!(refined.best, given.best, "{kind}");
        for (a, b) in refined.points.iter().zip(&given.points) {
            // Solvers that come from another C stop at another place within the tolerance, which may turn a row at the border.
            assert!(
                (a.mean_score - b.mean_score).abs() < 0.03,
                "{kind} {}: {} {}",
                a.tuned,
                a.mean_score,
                b.mean_score
            );
        }
        assert_eq!(refined.points.iter().filter(|point| point.round > 0).count(), 6);
    }
}

#[test]
fn outer_folds_have_no_part_in_what_scores_them() {
    let folds = 3;
    for standardize in [false, true] {
        let params = params(HeadKind::Logistic).standardize(standardize).metric(Metric::LogLoss).nested(folds);
        let params = params.check().unwrap();
        let mut data = Data::new(72, 6, 2, 0.5, 4);
        let before = data.train(&params).nested.unwrap();
        let fold_of = stratified_folds(&data.y, &data.groups, &data.classes, folds, 3).unwrap();
        // Whatever the held-out rows of the first fold are, its choice stays: not a bit of it comes from them.
        for (row, fold) in fold_of.iter().enumerate() {
            if *fold == 0 {
                data.x.row_mut(row).mapv_inplace(|value| 40.0 - 5.0 * value);
            }
        }
        let after = data.train(&params).nested.unwrap();
        let chosen =
            |nested: &headstart_trainer::NestedValidation| (nested.outer[0].tuned, nested.outer[0].inner_score);
        assert_eq!(chosen(&before), chosen(&after));
        assert_ne!(before.outer[0].score, after.outer[0].score);
        assert_ne!(chosen(&before).1, before.outer[1].inner_score);
    }
}

#[test]
fn an_outer_fold_is_a_training_without_its_rows() {
    let data = Data::new(72, 90, 3, 0.5, 5);
    for kind in KINDS {
        let params = params(kind).standardize(true).refine(1);
        let nested = data.train(&params.clone().nested(3).check().unwrap()).nested.unwrap();
        let fold_of = stratified_folds(&data.y, &data.groups, &data.classes, 3, 3).unwrap();
        let mut confusion = vec![vec![0; 3]; 3];
        for (fold, outer) in nested.outer.iter().enumerate() {
            let rows = |test: bool| (0..72).filter(|&row| (fold_of[row] == fold) == test).collect::<Vec<_>>();
            let part = |rows: &[usize]| Data {
                x: data.x.select(Axis(0), rows),
                y: rows.iter().map(|&row| data.y[row]).collect(),
                groups: rows.iter().map(|&row| data.groups[row]).collect(),
                classes: data.classes.clone(),
            };
            let (rest, held_out) = (part(&rows(false)), part(&rows(true)));
            let alone = rest.train(&params.clone().check().unwrap());
            assert_eq!(alone.model.tuned(), outer.tuned, "{kind}");
            let metrics = evaluate(&alone.model, held_out.x.view(), &held_out.y).unwrap();
            assert_eq!((metrics.accuracy.value, metrics.n), (outer.accuracy, outer.n_test));
            for (sums, row) in confusion.iter_mut().zip(&metrics.confusion) {
                sums.iter_mut().zip(row).for_each(|(sum, n)| *sum += n);
            }
        }
        assert_eq!(nested.metrics.confusion, confusion);
        assert_eq!(nested.metrics.n, 72);
    }
}

#[test]
fn labels_that_mean_nothing_score_chance_in_nested_folds() {
    let (mut plain, mut nested) = (0.0, 0.0);
    let seeds = 12;
    for seed in 0..seeds {
        let mut data = Data::new(60, 40, 2, 0.0, 10 + seed);
        data.groups = (0..60).collect();
        let cs: Vec<f64> = (-12..6).map(|power| 2f64.powi(power)).collect();
        let params = TrainParams::new(HeadKind::Logistic).cs(cs).standardize(true).nested(5).seed(seed);
        let outcome = data.train(&params.check().unwrap());
        plain += outcome.selection.unwrap().best().mean_accuracy / seeds as f64;
        let found = outcome.nested.unwrap();
        nested += found.metrics.accuracy.value / seeds as f64;
    }
    // 720 rows: chance is 50 % ± 1.9.
    assert!((nested - 0.5).abs() < 0.05, "{nested}");
    assert!(plain > nested + 0.01, "the best of many is better than it is: {plain} {nested}");
}

#[test]
fn classes_too_small_for_the_inner_folds_are_found_first() {
    let data = Data::new(24, 5, 3, 0.5, 6);
    let run = |params: TrainParams| {
        let seen = std::sync::atomic::AtomicUsize::new(0);
        let count = |_| {
            seen.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        };
        let message = train(data.samples(), &params.check().unwrap(), &count).unwrap_err().to_string();
        assert_eq!(seen.into_inner(), 1, "nothing is trained");
        message
    };
    let message = run(params(HeadKind::Svm).nested(4));
    assert!(message.contains("outer fold 1 of 4") && message.contains("fewer than the 4 folds"), "{message}");
    assert!(run(params(HeadKind::Svm).nested(9)).contains("fewer than the 9 folds"));
}

#[test]
fn a_normalised_head_is_linear_on_normalised_rows() {
    let mut data = Data::new(60, 8, 3, 0.6, 7);
    data.x.row_mut(5).fill(0.0);
    let unit = {
        let mut unit = data.x.clone();
        for mut row in unit.outer_iter_mut() {
            let norm = row.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
            if norm > 0.0 {
                row.mapv_inplace(|value| (f64::from(value) / norm) as f32);
            }
        }
        unit
    };
    for kind in KINDS {
        for standardize in [false, true] {
            let params = params(kind).standardize(standardize);
            let normalised = data.train(&params.clone().normalize(Normalize::L2).check().unwrap());
            let other =
                Data { x: unit.clone(), y: data.y.clone(), groups: data.groups.clone(), classes: data.classes.clone() };
            let by_hand = other.train(&params.check().unwrap());
            let (a, b) = (normalised.model.linear().unwrap(), by_hand.model.linear().unwrap());
            assert_eq!(a.weights(), b.weights());
            assert_eq!(a.clone().on_rows(Normalize::None), *b);
            let scores = normalised.model.decision(data.x.view()).unwrap();
            let linear = unit.mapv(f64::from).dot(&b.weights().t()) + b.bias();
            let off = (&scores - &linear).iter().fold(0.0f64, |most, off| most.max(off.abs()));
            assert!(off < 1e-4 && scores.row(5) == b.bias(), "{kind} {off:e}");
        }
    }
}
