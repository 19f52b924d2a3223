//! The engine as a whole: optimality, limits, degenerate rows, threads.

use ndarray::{Axis, array, concatenate};
use proptest::prelude::*;

use super::*;
use crate::engine::linfa_svm::LinfaSvm;
use crate::engine::tests::{clusters, svm_problem};
use crate::params::{ClassWeight, DEFAULT_TOLERANCE};

fn problem<'a>(x: &'a Array2<f64>, labels: &'a [usize], class_weight: ClassWeight) -> Problem<'a> {
    let classes = labels.iter().max().unwrap() + 1;
    let mut problem = svm_problem(x.view(), labels, classes);
    problem.head.class_weight = class_weight;
    problem
}

fn objective(problem: &Problem, solution: &Solution, c: f64) -> f64 {
    let scores = problem.features.to_dense().dot(&solution.weights.t()) + &solution.bias;
    problem.objective().value(scores.view(), &solution.weights, c)
}

fn fit(problem: &Problem, c: f64) -> Solution {
    let solution = HingeSvm.fit(problem, c).unwrap();
    assert!(solution.certificate.converged, "C = {c}: {:?}", solution.certificate);
    solution
}

/// Rows that no plane separates: the labels have little to do with the few features.
fn inseparable(rows: usize, classes: usize) -> (Array2<f64>, Vec<usize>) {
    let (x, labels) = clusters(rows, 6, classes, 3);
    (x * 2.0, labels)
}

#[test]
fn certified_over_twelve_orders_of_c() {
    for (classes, class_weight) in [(2, ClassWeight::None), (3, ClassWeight::None), (3, ClassWeight::Balanced)] {
        for (x, labels) in [clusters(60, 80, classes, 6), inseparable(150, classes)] {
            for exponent in -6..7 {
                fit(&problem(&x, &labels, class_weight), 10f64.powi(exponent));
            }
        }
    }
}

/// Each row pays for its own side of the gap, so the gap bounds every violation of the optimality conditions.
#[test]
fn optimality_conditions() {
    let (x, labels) = inseparable(150, 2);
    let problem = problem(&x, &labels, ClassWeight::Balanced);
    let shared = Shared::new(&problem, x.view(), AIM);
    for interior in [false, true] {
        for c in [0.01, 1.0, 100.0, 1e5] {
            let mut walkers = [Walker::new(OneAgainstRest::new(&problem, 0))];
            walkers[0].interior = interior;
            shared.solve(&mut walkers, c).unwrap();
            let [Walker { one, beta, residual, bias, gap, .. }] = &walkers;
            let bounds = one.bounds(c, beta, residual, *bias);
            let largest = c * one.weight.iter().fold(0.0, |a: f64, &b| a.max(b));
            assert!(beta.iter().sum::<f64>().abs() < 1e-9 * largest, "the multipliers are balanced");
            let mut total = 0.0;
            for row in 0..beta.len() {
                let (alpha, cost) = (one.sign[row] * beta[row], c * one.weight[row]);
                assert!(alpha >= 0.0 && alpha <= cost * (1.0 + 1e-9), "{alpha} of {cost}");
                let slack = one.sign[row] * (residual[row] - bias);
                total += (cost - alpha) * slack.max(0.0) + alpha * (-slack).max(0.0);
            }
            assert!(
                *gap <= DEFAULT_TOLERANCE && total <= 1.001 * DEFAULT_TOLERANCE * bounds.primal,
                "C = {c}: {gap} {total}"
            );
        }
    }
}

/// A small gap is not yet a small error; single fits go on until the weights are right.
#[test]
fn the_weights_of_a_single_fit_are_right() {
    for (x, labels) in [inseparable(150, 2), clusters(60, 80, 2, 6)] {
        let problem = problem(&x, &labels, ClassWeight::Balanced);
        for exponent in -6..4 {
            let c = 10f64.powi(exponent);
            let shared = Shared::new(&problem, x.view(), AIM_BEFORE_POLISH);
            let mut walkers = Walker::all(&problem);
            let rough = shared.solve(&mut walkers, c).unwrap();
            shared.polish(&mut walkers, c, rough, POLISH).unwrap();
            let error = walkers[0].bounds.weight_error();
            assert!(error <= DEFAULT_TOLERANCE, "C = {c}: {error:.1e}");
        }
    }
}

#[test]
fn both_methods_find_the_same() {
    let (x, labels) = inseparable(150, 2);
    let problem = problem(&x, &labels, ClassWeight::None);
    let shared = Shared::new(&problem, x.view(), AIM);
    for c in [1e-3, 0.1, 10.0] {
        let solve = |interior| {
            let mut walkers = [Walker::new(OneAgainstRest::new(&problem, 0))];
            walkers[0].interior = interior;
            let solution = shared.solve(&mut walkers, c).unwrap();
            assert_eq!(walkers[0].interior, interior);
            solution
        };
        let (a, b) = (solve(false), solve(true));
        assert!((objective(&problem, &a, c) / objective(&problem, &b, c) - 1.0).abs() < 2e-5);
        let size = b.weights.iter().fold(0f64, |top, value| top.max(value.abs()));
        assert!((a.weights - b.weights).iter().all(|difference| difference.abs() < 0.02 * size));
    }
}

#[test]
fn two_points_have_the_widest_margin() {
    let x = array![[-1.0, 0.0], [1.0, 0.0]];
    let solution = fit(&problem(&x, &[0, 1], ClassWeight::None), 100.0);
    assert!((solution.weights[[0, 0]] - 1.0).abs() < 1e-4 && solution.bias[0].abs() < 1e-4, "{solution:?}");
}

#[test]
fn features_that_say_nothing_are_survived() {
    let x = Array2::zeros((9, 1));
    for c in [1e-3, 1.0, 1e6] {
        let solution = fit(&problem(&x, &[0, 0, 0, 0, 0, 0, 1, 1, 1], ClassWeight::None), c);
        assert_eq!((solution.weights[[0, 0]], solution.bias[0]), (0.0, -1.0), "the larger class wins");
    }
}

#[test]
fn a_small_c_leaves_the_loss_of_the_smaller_class() {
    let (x, _) = clusters(40, 10, 2, 1);
    let labels: Vec<usize> = (0..40).map(|row| usize::from(row % 4 == 0)).collect();
    let problem = problem(&x, &labels, ClassWeight::None);
    let solution = fit(&problem, 1e-9);
    assert!((objective(&problem, &solution, 1e-9) / 1e-9 - 2.0 * 10.0).abs() < 1e-3);
}

/// Beyond some C separable rows all have their margin, and nothing changes any more.
#[test]
fn a_large_c_gives_the_widest_margin_of_separable_rows() {
    let (x, labels) = clusters(60, 80, 2, 6);
    let problem = problem(&x, &labels, ClassWeight::None);
    let values: Vec<f64> = [1e4, 1e6, 1e8].map(|c| objective(&problem, &fit(&problem, c), c)).to_vec();
    assert!(values.iter().all(|value| (value / values[0] - 1.0).abs() < 1e-4), "{values:?}");
}

/// Equal rows make the Gram matrix singular, and equal rows of both classes make the dual linear along some directions.
#[test]
fn equal_rows() {
    let (x, mut labels) = clusters(40, 60, 2, 7);
    let twice = concatenate![Axis(0), x, x, x];
    labels = [labels.clone(), labels.clone(), labels.iter().map(|label| 1 - label).collect()].concat();
    for exponent in -3..6 {
        fit(&problem(&twice, &labels, ClassWeight::None), 10f64.powi(exponent));
    }
}

#[test]
fn class_weights_are_copies_of_rows() {
    let (x, _) = clusters(60, 8, 3, 8);
    let labels: Vec<usize> = (0..60).map(|row| usize::from(row % 3 == 0)).collect();
    // 20 rows of class 1 weigh 1.5, 40 of class 0 weigh 0.75: the same as class 1 twice at 0.75 C.
    let again: Vec<usize> = (0..60).filter(|row| row % 3 == 0).collect();
    let copied = concatenate![Axis(0), x, x.select(Axis(0), &again)];
    let copied_labels = [&labels[..], &[1; 20]].concat();
    let (weighted, plain) =
        (problem(&x, &labels, ClassWeight::Balanced), problem(&copied, &copied_labels, ClassWeight::None));
    for c in [0.01, 1.0, 1e3] {
        let (a, b) = (objective(&weighted, &fit(&weighted, c), c), objective(&plain, &fit(&plain, 0.75 * c), 0.75 * c));
        assert!((a / b - 1.0).abs() < 3e-5, "C = {c}: {a} {b}");
    }
}

#[test]
fn solutions_come_in_the_order_of_c() {
    let (x, labels) = inseparable(60, 3);
    let problem = problem(&x, &labels, ClassWeight::None);
    let cs = [10.0, 0.01, 1.0];
    let count = std::sync::atomic::AtomicUsize::new(0);
    let done = || {
        count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    };
    let path = HingeSvm.fit_path(&problem, &cs, &done).unwrap();
    assert_eq!(count.into_inner(), 3);
    for (solution, c) in path.iter().zip(cs) {
        let alone = objective(&problem, &fit(&problem, c), c);
        assert!((objective(&problem, solution, c) / alone - 1.0).abs() < 3e-5);
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let (x, labels) = inseparable(700, 3);
    let problem = problem(&x, &labels, ClassWeight::None);
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let shared = Shared::new(&problem, x.view(), AIM);
            let mut walkers: Vec<Walker> =
                (0..3).map(|output| Walker::new(OneAgainstRest::new(&problem, output))).collect();
            let solutions: Vec<Array2<f64>> =
                [0.1, 1e5].map(|c| shared.solve(&mut walkers, c).unwrap().weights).to_vec();
            assert!(walkers.iter().any(|walker| walker.interior), "both methods are seen");
            solutions
        })
    };
    let one = run(1);
    assert!(one == run(2) && one == run(8));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn agrees_with_linfa(seed in 0u64..1000, wide in any::<bool>(), classes in 2usize..4, exponent in -3i32..2) {
        let (x, labels) = clusters(36, if wide { 50 } else { 5 }, classes, seed);
        let problem = problem(&x, &labels, ClassWeight::None);
        let c = 10f64.powi(exponent);
        let own = objective(&problem, &fit(&problem, c), c);
        let linfa = LinfaSvm.fit(&problem, c).unwrap();
        // No better than linfa by more than the gap it admits, and never worse by more than ours.
        let theirs = objective(&problem, &linfa, c);
        prop_assert!(own <= theirs * (1.0 + 1e-4));
        prop_assert!(theirs * (1.0 - linfa.certificate.value - 1e-6) <= own);
    }
}
