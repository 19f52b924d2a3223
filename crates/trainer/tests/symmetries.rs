//! What must hold for the optimum of every head with either bias, up to its tolerance: symmetries and limits.

use headstart_trainer::{
    Bias, HeadKind, HeadParams, LinearModel, ParamGuard, Samples, SvmLoss, TrainParams, Validation, evaluate, train,
};
use ndarray::{Array1, Array2, Axis};
use proptest::prelude::*;

/// Every head with either bias.
fn heads() -> Vec<HeadParams> {
    let squared = HeadParams { svm_loss: SvmLoss::SquaredHinge, ..HeadParams::new(HeadKind::Svm) };
    let kinds = [HeadKind::Logistic, HeadKind::Svm, HeadKind::Ridge].map(HeadParams::new);
    let plain = kinds.into_iter().chain([squared]);
    plain.flat_map(|head| [Bias::Free, Bias::Regularized].map(|bias| HeadParams { bias, ..head })).collect()
}

fn noise(seed: u64) -> impl FnMut() -> f32 {
    let mut state = seed.wrapping_mul(2) + 1;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    }
}

fn clusters(rows: usize, columns: usize, classes: usize, seed: u64) -> (Array2<f32>, Vec<usize>) {
    let mut noise = noise(seed);
    let y: Vec<usize> = (0..rows).map(|row| row % classes).collect();
    let x = Array2::from_shape_fn((rows, columns), |(row, column)| {
        0.5 + 2.0 * noise() + if column % classes == y[row] { 0.6 } else { 0.0 }
    });
    (x, y)
}

fn fit(x: &Array2<f32>, y: &[usize], head: HeadParams, c: f64, weights: Option<&[f64]>) -> LinearModel {
    let classes: Vec<String> = (0..=*y.iter().max().unwrap()).map(|class| class.to_string()).collect();
    let groups: Vec<usize> = (0..y.len()).collect();
    let samples =
        Samples { features: x.view().into(), labels: y, groups: &groups, classes: &classes, scored: None, weights };
    let params = TrainParams::new(head).cs([c]).validation(Validation::None).check().unwrap();
    train(samples, &params, &|_| ()).unwrap().model.linear().unwrap().clone()
}

fn scores(model: &LinearModel, x: &Array2<f32>) -> Array2<f64> {
    model.decision(x.view()).unwrap()
}

/// The largest difference of scores, relative to the largest score.
fn distance(a: &Array2<f64>, b: &Array2<f64>) -> f64 {
    let size = a.iter().fold(0f64, |top, value| top.max(value.abs()));
    a.iter().zip(b).fold(0f64, |top, (a, b)| top.max((a - b).abs())) / size
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// A random orthogonal matrix, made of reflections: the same scores.
    #[test]
    fn rotation(seed in 0u64..1000, wide in any::<bool>(), classes in 2usize..4) {
        let (x, y) = clusters(30, if wide { 40 } else { 7 }, classes, seed);
        let mut turned = x.mapv(f64::from);
        let mut noise = noise(seed + 1);
        for _ in 0..4 {
            let v = Array1::from_shape_simple_fn(x.ncols(), || f64::from(noise()));
            let factor = 2.0 / v.dot(&v);
            let along = turned.dot(&v);
            for (mut row, along) in turned.outer_iter_mut().zip(&along) {
                row.scaled_add(-factor * along, &v);
            }
        }
        let turned = turned.mapv(|value| value as f32);
        for head in heads() {
            let (a, b) = (fit(&x, &y, head, 0.3, None), fit(&turned, &y, head, 0.3, None));
            let off = distance(&scores(&a, &x), &scores(&b, &turned));
            prop_assert!(off < 2e-3, "{head:?}: {off}");
        }
    }

    /// Renamed classes have renamed weights.
    #[test]
    fn label_permutation(seed in 0u64..1000, wide in any::<bool>(), classes in 2usize..4) {
        let (x, y) = clusters(30, if wide { 40 } else { 7 }, classes, seed);
        let renamed: Vec<usize> = y.iter().map(|label| (label + 1) % classes).collect();
        for head in heads() {
            let (a, b) = (fit(&x, &y, head, 0.3, None), fit(&x, &renamed, head, 0.3, None));
            let order: Vec<usize> = (0..classes).map(|class| (class + 1) % classes).collect();
            let off = distance(a.weights(), &b.weights().select(Axis(0), &order));
            prop_assert!(off < 2e-3, "{head:?}: {off}");
        }
    }

    /// A row of weight 2 is two rows.
    #[test]
    fn weights_count_copies(seed in 0u64..1000, wide in any::<bool>(), classes in 2usize..4) {
        let (x, y) = clusters(30, if wide { 40 } else { 7 }, classes, seed);
        let twice: Vec<usize> = (0..30).chain(0..9).collect();
        let weights: Vec<f64> = (0..30).map(|row| if row < 9 { 2.0 } else { 1.0 }).collect();
        let (copied, labels) = (x.select(Axis(0), &twice), twice.iter().map(|&row| y[row]).collect::<Vec<_>>());
        for head in heads() {
            let (a, b) = (fit(&x, &y, head, 0.3, Some(&weights)), fit(&copied, &labels, head, 0.3, None));
            let off = distance(&scores(&a, &x), &scores(&b, &x));
            prop_assert!(off < 2e-3, "{head:?}: {off}");
        }
    }

    /// Features moved by a constant: a free bias makes up for it.
    #[test]
    fn translation(seed in 0u64..1000, wide in any::<bool>(), classes in 2usize..4) {
        let (x, y) = clusters(30, if wide { 40 } else { 7 }, classes, seed);
        let moved = &x + 8.0;
        for head in heads().into_iter().filter(|head| head.bias == Bias::Free) {
            let (a, b) = (fit(&x, &y, head, 0.01, None), fit(&moved, &y, head, 0.01, None));
            let off = distance(&scores(&a, &x), &scores(&b, &moved));
            prop_assert!(off < 2e-3, "{head:?}: {off}");
        }
    }
}

/// A regularized bias does not make up for features moved by a constant: what sets the two biases apart.
#[test]
fn a_regularized_bias_feels_translation() {
    let (x, _) = clusters(40, 7, 2, 3);
    let y: Vec<usize> = (0..40).map(|row| usize::from(row % 4 == 0)).collect();
    let moved = &x + 8.0;
    for head in heads().into_iter().filter(|head| head.bias == Bias::Regularized) {
        let (a, b) = (fit(&x, &y, head, 0.001, None), fit(&moved, &y, head, 0.001, None));
        let off = distance(&scores(&a, &x), &scores(&b, &moved));
        assert!(off > 2e-2, "{head:?}: {off}");
    }
}

/// With C → 0 the weights vanish. What is left is a free bias: the log-odds of the classes, or the larger side; of a regularized one
/// nothing is left either.
#[test]
fn a_vanishing_c_leaves_the_bias() {
    let (x, _) = clusters(40, 8, 2, 3);
    let y: Vec<usize> = (0..40).map(|row| usize::from(row % 4 == 0)).collect();
    for head in heads() {
        let model = fit(&x, &y, head, 1e-9, None);
        assert!(model.weights().iter().all(|weight| weight.abs() < 1e-6), "{head:?}");
        let bias = model.bias()[1];
        let expected = match (head.bias, head.kind) {
            (Bias::Regularized, _) => 0.0,
            // Half of ln(1/3), since both classes have a row; the larger side; the mean of ±1, also for squared hinge.
            (_, HeadKind::Logistic) => 0.5 * (1.0f64 / 3.0).ln(),
            (_, HeadKind::Svm) if head.svm_loss == SvmLoss::Hinge => -1.0,
            _ => -0.5,
        };
        assert!((bias - expected).abs() < 1e-3, "{head:?}: {bias} instead of {expected}");
    }
}

/// With C → ∞ on rows that a plane separates, SVMs have the widest margin, logistic regression gets every row right.
#[test]
fn an_endless_c_separates() {
    let (x, y) = clusters(30, 60, 2, 4);
    for head in heads() {
        let model = fit(&x, &y, head, 1e5, None);
        assert_eq!(evaluate(&model.clone().into(), x.view(), &y).unwrap().accuracy.value, 1.0, "{head:?}");
        if head.kind == HeadKind::Svm {
            let margins = scores(&model, &x);
            let least = (0..30).map(|row| margins[[row, y[row]]]).fold(f64::INFINITY, f64::min);
            assert!((least - 1.0).abs() < 1e-2, "{head:?}: {least}");
        }
    }
    // Two points 4 apart: the margin is half of that on each side.
    let x = ndarray::array![[1.0f32, 5.0], [5.0, 5.0]];
    for head in heads().into_iter().filter(|head| head.kind == HeadKind::Svm && head.bias == Bias::Free) {
        let model = fit(&x, &[0, 1], head, 1e5, None);
        let size = model.weights().row(1).mapv(|weight| weight * weight).sum().sqrt();
        assert!((size - 0.5).abs() < 1e-3, "{head:?}: {size}");
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    for (rows, columns) in [(90, 12), (60, 200)] {
        let (x, y) = clusters(rows, columns, 3, 2);
        let classes: Vec<String> = (0..3).map(|class| class.to_string()).collect();
        let groups: Vec<usize> = (0..rows).collect();
        let samples = Samples {
            features: x.view().into(),
            labels: &y,
            groups: &groups,
            classes: &classes,
            scored: None,
            weights: None,
        };
        for head in heads() {
            let params = TrainParams::new(head).cs([0.01, 1.0]).validation(Validation::KFold(3)).check().unwrap();
            let run = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| {
                    let outcome = train(samples, &params, &|_| ()).unwrap();
                    (outcome.model, outcome.training)
                })
            };
            let one = run(1);
            assert!(one == run(2) && one == run(8), "{head:?} {rows} x {columns}");
        }
    }
}
