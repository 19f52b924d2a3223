//! Data that have no good answer, or nearly none: each gets a clear error or the right model, in finite time.

use headstart_trainer::{
    Bias, Error, HeadKind, HeadParams, LinearModel, Outcome, ParamGuard, Samples, SvmLoss, TrainParams, Validation,
    evaluate, train,
};
use ndarray::{Array2, array};

/// Every head with either bias.
fn heads() -> Vec<HeadParams> {
    let squared = HeadParams { svm_loss: SvmLoss::SquaredHinge, ..HeadParams::new(HeadKind::Svm) };
    let kinds = [HeadKind::Logistic, HeadKind::Svm, HeadKind::Ridge].map(HeadParams::new);
    let plain = kinds.into_iter().chain([squared]);
    plain.flat_map(|head| [Bias::Free, Bias::Regularized].map(|bias| HeadParams { bias, ..head })).collect()
}

fn noise(rows: usize, columns: usize) -> Array2<f32> {
    let mut state = 5_u64;
    Array2::from_shape_simple_fn((rows, columns), || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    })
}

fn run(x: &Array2<f32>, y: &[usize], params: TrainParams, weights: Option<&[f64]>) -> Result<Outcome, Error> {
    let classes: Vec<String> = (0..=*y.iter().max().unwrap()).map(|class| class.to_string()).collect();
    let groups: Vec<usize> = (0..y.len()).collect();
    let samples =
        Samples { features: x.view().into(), labels: y, groups: &groups, classes: &classes, scored: None, weights };
    train(samples, &params.check()?, &|_| ())
}

/// Without validation.
fn fit(x: &Array2<f32>, y: &[usize], head: HeadParams, c: f64) -> Result<LinearModel, Error> {
    run(x, y, TrainParams::new(head).cs([c]).validation(Validation::None), None)
        .map(|outcome| outcome.model.linear().unwrap().clone())
}

fn accuracy(model: &LinearModel, x: &Array2<f32>, y: &[usize]) -> f64 {
    evaluate(&model.clone().into(), x.view(), y).unwrap().accuracy.value
}

#[test]
fn parameters_without_sense_are_refused() {
    let (x, y) = (noise(12, 3), (0..12).map(|row| row % 2).collect::<Vec<_>>());
    for head in heads() {
        for c in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let message = fit(&x, &y, head, c).unwrap_err().to_string();
            assert!(message.contains("C is") && message.contains("positive, finite"), "{message}");
        }
        for weight in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let mut weights = vec![1.0; 12];
            weights[3] = weight;
            let params = TrainParams::new(head).cs([1.0]).validation(Validation::None);
            let error = run(&x, &y, params, Some(&weights)).unwrap_err();
            assert!(matches!(error, Error::Weight { row: 3, .. }), "{error}");
        }
        for bad in [f32::NAN, f32::INFINITY] {
            let mut x = x.clone();
            x[[4, 1]] = bad;
            let error = fit(&x, &y, head, 1.0).unwrap_err();
            assert!(matches!(error, Error::NotFinite { row: 4, column: 1, .. }), "{error}");
        }
    }
}

#[test]
fn rows_that_cannot_be_told_apart_are_refused() {
    for head in heads() {
        for x in [Array2::zeros((8, 3)), Array2::from_elem((8, 3), 0.1), Array2::from_elem((8, 30), 1e30)] {
            let error = fit(&x, &[0, 1, 0, 1, 0, 1, 0, 1], head, 1.0).unwrap_err();
            assert!(matches!(error, Error::ConstantFeatures { rows: 8 }), "{error}");
        }
        let error = fit(&noise(4, 3), &[1, 1, 1, 1], head, 1.0).unwrap_err();
        assert!(matches!(error, Error::EmptyClass { .. } | Error::OneClass { .. }), "{error}");
    }
}

#[test]
fn folds_need_rows_of_every_class() {
    for head in heads() {
        let params = |folds| TrainParams::new(head).cs([1.0]).validation(Validation::KFold(folds));
        let error = run(&noise(5, 4), &[0, 1, 0, 1, 0], params(5), None).unwrap_err().to_string();
        assert!(error.contains("fewer than the 5 folds") && error.contains("use at most 2 folds"), "{error}");
        let error = run(&noise(6, 4), &[0, 0, 0, 0, 0, 1], params(2), None).unwrap_err().to_string();
        assert!(error.contains("class '1' has 1 image(s)") && error.contains("leave the class out"), "{error}");
        assert!(!error.contains("use at most"), "there is no fold of one: {error}");
        // A fixed split that leaves a class no row to train on.
        let holdout = TrainParams::new(head).cs([1.0]).validation(Validation::Holdout(vec![5]));
        let error = run(&noise(6, 4), &[0, 0, 0, 0, 0, 1], holdout, None).unwrap_err();
        assert!(matches!(error, Error::OneClass { .. } | Error::EmptyClass { .. }), "{error}");
        // Just enough.
        run(&noise(4, 4), &[0, 1, 0, 1], params(2), None).unwrap();
    }
}

#[test]
fn as_little_as_two_rows_and_one_column_will_do() {
    for head in heads() {
        for x in [array![[-1.0f32], [1.0]], array![[0.0, 0.0, 7.0], [1.0, 0.0, 7.0]]] {
            let model = fit(&x, &[0, 1], head, 100.0).unwrap();
            assert_eq!(accuracy(&model, &x, &[0, 1]), 1.0, "{head:?}");
        }
        // A class for each row, more classes than columns, and columns of which most are constant.
        let mut x = noise(5, 40);
        x.slice_mut(ndarray::s![.., 10..]).fill(3.0);
        let y = [0, 1, 2, 3, 4];
        assert_eq!(accuracy(&fit(&x, &y, head, 1e3).unwrap(), &x, &y), 1.0, "{head:?}");
    }
}

/// No size of features or of C makes a model that is not finite, or an endless run; what cannot be solved says so.
#[test]
fn sizes_at_the_end_of_the_range() {
    let y: Vec<usize> = (0..20).map(|row| row % 2).collect();
    for head in heads() {
        for (rows, columns) in [(20, 4), (20, 30)] {
            let x = noise(rows, columns);
            for (factor, c) in [(1e38, 1.0), (1e-38, 1.0), (1e38, 1e-300), (1.0, 1e300), (1.0, 1e-300), (1e20, 1e20)] {
                let scaled = x.mapv(|value| value * factor);
                match fit(&scaled, &y, head, c) {
                    Ok(model) => {
                        assert!(model.weights().iter().chain(model.bias()).all(|value| value.is_finite()));
                        assert!(model.decision(scaled.view()).unwrap().iter().all(|score| score.is_finite()));
                    }
                    Err(error) => {
                        assert!(matches!(error, Error::Solver { .. } | Error::ConstantFeatures { .. }), "{error}")
                    }
                }
            }
        }
    }
}

/// One row far out must not cost the others their directions.
#[test]
fn a_huge_row_leaves_the_others_their_say() {
    for head in heads() {
        for (rows, columns) in [(24, 4), (24, 60)] {
            let y: Vec<usize> = (0..rows).map(|row| row % 2).collect();
            let mut x = noise(rows, columns);
            for row in 0..rows {
                x[[row, 0]] += if y[row] == 0 { -1.0 } else { 1.0 };
            }
            x.row_mut(5).mapv_inplace(|value| value * 1e7);
            let model = fit(&x, &y, head, 1e3).unwrap();
            // A parabola bends to the far row alone; every other loss can give it up.
            if head.kind != HeadKind::Ridge {
                assert!(accuracy(&model, &x, &y) > 0.95, "{head:?} {rows} x {columns}: {}", accuracy(&model, &x, &y));
            }
        }
    }
}
