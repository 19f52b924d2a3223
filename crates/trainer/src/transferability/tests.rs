use super::*;
use crate::random::SplitMix64;
use proptest::prelude::*;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/transferability.json");

#[derive(serde::Deserialize)]
struct Case {
    x: Vec<Vec<f32>>,
    y: Vec<usize>,
    classes: usize,
    source_logits: Vec<Vec<f64>>,
    log_me: f64,
    h_score: f64,
    leep: f64,
}

fn matrix<T: Copy>(rows: &[Vec<T>]) -> Array2<T> {
    Array2::from_shape_fn((rows.len(), rows[0].len()), |(row, column)| rows[row][column])
}

fn softmax(logits: &Array2<f64>) -> Array2<f64> {
    let powers = logits.mapv(f64::exp);
    &powers / &powers.sum_axis(Axis(1)).insert_axis(Axis(1))
}

#[test]
fn the_formulas_as_numpy_computes_them() {
    let golden: serde_json::Value = serde_json::from_slice(&std::fs::read(GOLDEN).unwrap()).unwrap();
    let cases: Vec<Case> = serde_json::from_value(golden["cases"].clone()).unwrap();
    assert!(cases.len() >= 4);
    for case in cases {
        let x = matrix(&case.x);
        let theta = softmax(&matrix(&case.source_logits));
        let found = [
            (log_me(x.view(), &case.y, case.classes).unwrap(), case.log_me),
            (h_score(x.view(), &case.y, case.classes).unwrap(), case.h_score),
            (leep(theta.view(), &case.y, case.classes).unwrap(), case.leep),
        ];
        for (found, wanted) in found {
            assert!(
                (found - wanted).abs() < 1e-6 * wanted.abs().max(1.0),
                "{found} instead of {wanted}, {:?}",
                x.dim()
            );
        }
    }
}

/// Rows of `classes` clusters, `apart` standard deviations from each other.
fn clusters(seed: u64, rows: usize, width: usize, classes: usize, apart: f32) -> (Array2<f32>, Vec<usize>) {
    let mut random = SplitMix64::new(seed);
    let mut normal = || (0..12).map(|_| (random.next() >> 40) as f32 / (1u64 << 24) as f32).sum::<f32>() - 6.0;
    let labels: Vec<usize> = (0..rows).map(|row| row % classes).collect();
    let means = Array2::from_shape_simple_fn((classes, width), &mut normal) * apart;
    let rows = Array2::from_shape_fn((rows, width), |(row, column)| means[[labels[row], column]] + normal());
    (rows, labels)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn axes_may_be_turned_and_rows_dealt_anew(seed: u64, rows in 12usize..60, width in 2usize..40, classes in 2usize..5) {
        let (x, y) = clusters(seed, rows, width, classes, 1.0);
        // A reflection in a random direction, then all rows backwards.
        let direction = clusters(seed ^ 1, 1, width, 1, 1.0).0.row(0).mapv(f64::from);
        let along = x.mapv(f64::from).dot(&direction) * (2.0 / direction.dot(&direction));
        let turned = Array2::from_shape_fn((rows, width), |(row, column)| {
            (f64::from(x[[rows - 1 - row, column]]) - along[rows - 1 - row] * direction[column]) as f32
        });
        let back: Vec<usize> = y.iter().rev().copied().collect();
        for score in [log_me, h_score] {
            let [plain, turned] = [score(x.view(), &y, classes).unwrap(), score(turned.view(), &back, classes).unwrap()];
            prop_assert!((plain - turned).abs() < 1e-3 * plain.abs().max(1.0), "{plain} {turned}");
        }
    }

    #[test]
    fn labels_that_mean_nothing_score_lower(seed: u64, rows in 40usize..90, width in 3usize..60, classes in 2usize..5) {
        let (x, y) = clusters(seed, rows, width, classes, 2.0);
        let mut shuffled = y.clone();
        SplitMix64::new(seed).shuffle(&mut shuffled);
        let wrong = shuffled.iter().zip(&y).filter(|(a, b)| a != b).count();
        prop_assume!(4 * wrong > rows);
        for score in [log_me, h_score] {
            let [good, bad] = [score(x.view(), &y, classes).unwrap(), score(x.view(), &shuffled, classes).unwrap()];
            prop_assert!(good > bad, "{good} {bad}");
        }
        let theta = softmax(&Array2::from_shape_fn((rows, 6), |(row, source)| if source == y[row] { 3.0 } else { 0.0 }));
        let [good, bad] = [leep(theta.view(), &y, classes).unwrap(), leep(theta.view(), &shuffled, classes).unwrap()];
        prop_assert!(good > bad && good < 0.0, "{good} {bad}");
    }

    #[test]
    fn scores_keep_within_their_bounds(seed: u64, rows in 6usize..50, width in 1usize..60, classes in 2usize..6) {
        let (x, y) = clusters(seed, rows, width, classes, 5.0);
        let score = h_score(x.view(), &y, classes).unwrap();
        prop_assert!(score >= 0.0 && score <= (classes - 1) as f64 + 1e-9, "{score}");
        let theta = softmax(&clusters(seed, rows, 9, 3, 1.0).0.mapv(f64::from));
        let shares = members(&y, classes).iter().map(|rows| rows.len() as f64 / y.len() as f64).collect::<Vec<_>>();
        let entropy: f64 = shares.iter().map(|share| -share * share.ln()).sum();
        let found = leep(theta.view(), &y, classes).unwrap();
        prop_assert!(found <= 1e-12 && found >= -entropy - 1e-9, "{found} {entropy}");
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let (x, y) = clusters(1, 8, 3, 2, 1.0);
    assert!(matches!(log_me(x.view(), &y[1..], 2), Err(Error::Length { .. })));
    assert!(matches!(log_me(x.view(), &y, 1), Err(Error::Label { .. })));
    assert!(matches!(h_score(x.view(), &[0; 8], 2), Err(Error::OneClass { .. })));
    assert!(matches!(h_score(Array2::ones((8, 3)).view(), &y, 2), Err(Error::ConstantFeatures { .. })));
    assert!(matches!(log_me(Array2::zeros((0, 3)).view(), &[], 2), Err(Error::NoRows)));
    let mut broken = x;
    broken[[2, 1]] = f32::NAN;
    assert!(matches!(log_me(broken.view(), &y, 2), Err(Error::NotFinite { row: 2, column: 1, .. })));
    assert!(leep(Array2::from_elem((8, 2), 2.0).view(), &y, 2).is_err());
}
