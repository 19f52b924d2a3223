use super::*;
use crate::made_rows::MadeRows;
use crate::normalize::Normalize;
use crate::random::SplitMix64;

fn random(rows: usize, columns: usize, seed: u64) -> Array2<f32> {
    let mut random = SplitMix64::new(seed);
    Array2::from_shape_fn((rows, columns), |(_, column)| {
        (random.next() >> 40) as f32 / 1e6 * (1 + column % 7) as f32 + 3.0
    })
}

/// Scores from solver coordinates equal scores from raw features with the weights taken back.
fn agrees(x: &Array2<f32>, train: &[usize], test: &[usize], standardize: bool) -> Design {
    let design = Design::build(x.view().into(), train, test, standardize, Bias::Free, true, u64::MAX).unwrap();
    let mut seed = SplitMix64::new(9);
    let weights = Array2::from_shape_fn((3, design.dense.as_ref().unwrap().train.ncols()), |_| {
        (seed.next() >> 40) as f64 / (1u64 << 24) as f64 - 0.5
    });
    let bias = Array1::from(vec![0.5, -1.0, 2.0]);
    let (raw, raw_bias) = design.to_raw(x.view().into(), &weights, &bias);
    let dense = design.dense.as_ref().unwrap();
    for (rows, z) in [(train, &dense.train), (test, &dense.test)] {
        let inner = z.dot(&weights.t()) + &bias;
        let outer = x.select(Axis(0), rows).mapv(f64::from).dot(&raw.t()) + &raw_bias;
        for (inner, outer) in inner.iter().zip(&outer) {
            assert!((inner - outer).abs() < 1e-7, "{inner} {outer}");
        }
    }
    design
}

#[test]
fn wide_and_tall_agree_with_raw_features() {
    let train: Vec<usize> = (0..200).filter(|row| row % 4 != 0).collect();
    let test: Vec<usize> = (0..200).step_by(4).collect();
    for standardize in [false, true] {
        assert!(agrees(&random(200, 700, 1), &train, &test, standardize).is_reduced());
        assert!(!agrees(&random(200, 30, 2), &train, &test, standardize).is_reduced());
    }
}

/// The weight of the ones is the bias, and the norm of all weights stays the same.
#[test]
fn a_regularized_bias_is_a_weight_like_others() {
    for (rows, columns) in [(60, 20), (20, 60)] {
        let (x, all) = (random(rows, columns, 8), (0..rows).collect::<Vec<_>>());
        for standardize in [false, true] {
            let ready = MadeRows::with_ones(x.view().into(), Normalize::None);
            let design =
                Design::build(ready.features(), &all, &[], standardize, Bias::Regularized, true, u64::MAX).unwrap();
            assert!(design.varies());
            let weights = Array2::from_shape_fn((1, design.dense.as_ref().unwrap().train.ncols()), |(_, column)| {
                1.0 / (1 + column) as f64
            });
            let (raw, bias) = design.to_raw(ready.features(), &weights, &Array1::zeros(1));
            assert_eq!(raw.ncols(), columns);
            let outer = x.mapv(f64::from).dot(&raw.t()) + &bias;
            let inner = design.dense.as_ref().unwrap().train.dot(&weights.t());
            assert!((&inner - &outer).iter().all(|difference| difference.abs() < 1e-7));
            if !standardize {
                let square = (&raw * &raw).sum() + bias[0] * bias[0];
                assert!((design.outer_objective((&weights * &weights).sum()) / square - 1.0).abs() < 1e-9);
            }
        }
    }
}

#[test]
fn unit_size_and_mean_zero() {
    for columns in [20, 400] {
        let x = random(60, columns, 3).mapv(|value| value * 1e4);
        let design =
            Design::build(x.view().into(), &(0..60).collect::<Vec<_>>(), &[], false, Bias::Free, true, u64::MAX)
                .unwrap();
        assert!(
            (design.dense.as_ref().unwrap().train.iter().map(|value| value * value).sum::<f64>() / 60.0 - 1.0).abs()
                < 1e-9
        );
        assert!(design.dense.as_ref().unwrap().train.mean_axis(Axis(0)).unwrap().iter().all(|mean| mean.abs() < 1e-9));
    }
}

#[test]
fn duplicate_rows_lower_the_rank() {
    let mut x = random(20, 50, 4);
    let first = x.row(0).to_owned();
    x.row_mut(1).assign(&first);
    let design =
        Design::build(x.view().into(), &(0..20).collect::<Vec<_>>(), &[], false, Bias::Free, true, u64::MAX).unwrap();
    assert_eq!(
        design.dense.as_ref().unwrap().train.ncols(),
        18,
        "20 rows, less one for the mean, less one for the copy"
    );
}

#[test]
fn constant_columns_stay_out_of_the_way() {
    for rows in [10, 100] {
        let mut x = random(rows, 40, 5);
        x.column_mut(7).fill(0.1);
        let all: Vec<usize> = (0..rows).collect();
        let mut design = Design::build(x.view().into(), &all, &[], true, Bias::Free, true, u64::MAX).unwrap();
        design.rotate(x.view().into(), &all, &[], u64::MAX).unwrap();
        assert!(design.dense.as_ref().unwrap().train.is_standard_layout());
        let (raw, _) = design.to_raw(
            x.view().into(),
            &Array2::ones((1, design.dense.as_ref().unwrap().train.ncols())),
            &Array1::zeros(1),
        );
        assert!(raw.iter().all(|weight| weight.is_finite()));
    }
    let same = Array2::from_elem((5, 8), 0.1f32);
    assert!(
        !Design::build(same.view().into(), &[0, 1, 2, 3, 4], &[], true, Bias::Free, true, u64::MAX).unwrap().varies()
    );
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let x = random(300, 1500, 6);
    let rows: Vec<usize> = (0..300).collect();
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| Design::build(x.view().into(), &rows, &[3, 5], true, Bias::Free, true, u64::MAX).unwrap())
    };
    let (one, five) = (run(1), run(5));
    let (one, five) = (one.dense.unwrap(), five.dense.unwrap());
    assert_eq!(one.train, five.train);
    assert_eq!(one.test, five.test);
}
