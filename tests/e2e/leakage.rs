//! Nothing of the rows that score a head may have a part in it: labels that mean nothing score chance wherever a number is
//! printed, and what the test rows hold changes no bit of what is trained.

use crate::{
    harness::Dir,
    heads::{description, number},
    npz::Npz,
};
use safetensors::SafeTensors;
use serde_json::Value;

/// Numbers from −0.5 to 0.5.
fn noise(seed: u64) -> impl FnMut() -> f32 {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32 - 0.5
    }
}

const TRAINING: usize = 120;
const TEST: usize = 120;

/// A cache of two classes. `shuffled`: images lie in tight groups, one for each label, but labels are dealt out again. `test`: what
/// is done to the values of the test rows.
fn cache(dir: &Dir, name: &str, width: usize, shuffled: bool, test: impl Fn(usize, f32) -> f32) {
    let mut random = noise(11);
    let mut labels: Vec<i64> = (0..TRAINING + TEST).map(|row| (row % 2) as i64).collect();
    let mut x = Vec::new();
    for row in 0..TRAINING + TEST {
        for column in 0..width {
            let value = random() + if column % 2 == row % 2 { 0.3 } else { 0.0 };
            x.push(if row < TRAINING { value } else { test(column, value) });
        }
    }
    if shuffled {
        for part in [0..TRAINING, TRAINING..TRAINING + TEST] {
            for at in part.clone().rev().take(part.len() - 1) {
                let other = part.start + ((random() + 0.5) * (at - part.start + 1) as f32) as usize;
                labels.swap(at, other.min(at));
            }
        }
    }
    let split: Vec<&str> = (0..TRAINING + TEST).map(|row| if row < TRAINING { "train" } else { "test" }).collect();
    let npz = format!("{name}.npz");
    Npz::new().floats("X", width, &x).integers("y", &labels).strings("split", &split).save(&dir.path(&npz));
    dir.run(&format!("import {npz} -o {name}.h5"));
}

/// More features than rows, and fewer: heads get there on different ways.
const WIDTHS: [usize; 2] = [300, 12];
const GRID: &str = "--c-grid 1e-3:1e1:5 --standardize";

/// Four standard deviations of the accuracy of as many guesses.
fn is_chance(accuracy: f64, guesses: usize) -> bool {
    (accuracy - 0.5).abs() < 4.0 * (0.25 / guesses as f64).sqrt()
}

#[test]
fn shuffled_labels_score_chance_in_every_command() {
    for width in WIDTHS {
        let dir = Dir::new();
        cache(&dir, "x", width, true, |_, value| value);
        for extra in ["", "--normalize l2", "--repeats 2"] {
            let sweep = dir.json(&format!("sweep x.h5 --heads logistic,svm,ridge,ncm,knn {GRID} {extra}"));
            for row in sweep["rows"].as_array().unwrap() {
                // The best of a few C on folds is a little better than chance by being chosen.
                assert!(is_chance(number(&row["test"]), TEST), "{width}: {row}");
                assert!(is_chance(number(&row["cv_mean"]) - 0.05, TRAINING), "{width}: {row}");
            }
        }
        for head in ["logistic", "svm"] {
            let trained = dir.json(&format!("train x.h5 --head {head} {GRID} --nested 4 --calibrate auto -o x.head"));
            let scores = [&trained["test"], &trained["nested"]["metrics"]];
            for accuracy in scores.map(|metrics| number(&metrics["accuracy"]["value"])) {
                assert!(is_chance(accuracy, TEST), "{width} {head}: {accuracy}");
            }
        }
        let curve = dir.json(&format!("curve x.h5 --heads logistic,svm {GRID} --per-class 10,30,all --draws 4"));
        for point in curve["lines"].as_array().unwrap().iter().flat_map(|line| line["points"].as_array().unwrap()) {
            assert!(is_chance(number(&point["test"]["value"]), TEST), "{width}: {point}");
        }
    }
}

/// The weights of a head, the scores that chose its C, and its calibration.
fn trained(dir: &Dir, cache: &str, head: &str) -> (Vec<(String, Vec<u8>)>, [Value; 3]) {
    let shown = dir.json(&format!("train {cache}.h5 --head {head} {GRID} --calibrate auto -o {cache}.head"));
    let bytes = dir.read(&format!("{cache}.head"));
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    // By name, for they come in any order.
    let mut weights: Vec<_> = tensors.iter().map(|(name, tensor)| (name.to_string(), tensor.data().to_vec())).collect();
    weights.sort();
    (
        weights,
        [
            &shown["selection"]["points"],
            &shown["training_metrics"],
            &description(dir, &format!("{cache}.head"))["calibration"],
        ]
        .map(Value::clone),
    )
}

/// A scaler, a reduction or a choice of C that saw the test rows would see these: far away, of another scale, or the answer itself.
#[test]
fn the_test_rows_change_no_bit_of_a_head() {
    for width in WIDTHS {
        let dir = Dir::new();
        cache(&dir, "plain", width, false, |_, value| value);
        cache(&dir, "far", width, false, |column, value| if column % 3 == 0 { 1e4 + 1e3 * value } else { value });
        cache(&dir, "flat", width, false, |_, _| 0.25);
        for head in ["logistic", "svm", "ridge"] {
            let (weights, scores) = trained(&dir, "plain", head);
            assert!(weights.len() >= 2 && scores.iter().all(|scores| !scores.is_null()), "{scores:?}");
            for other in ["far", "flat"] {
                let (others_weights, others_scores) = trained(&dir, other, head);
                assert!(weights == others_weights, "{width} {head}: {other} test rows");
                assert_eq!(scores, others_scores, "{width} {head}: {other} test rows");
            }
        }
    }
}
