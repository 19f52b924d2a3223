//! The digits of scikit-learn: the same optimum from the binary, and a script that makes the same cache.

use crate::{
    harness::{Dir, repository, says, skip},
    heads::number,
    npz::Npz,
};
use safetensors::SafeTensors;
use serde_json::Value;

/// The digits that scikit-learn carries, with the optimum it finds (see scripts/golden_heads.py).
struct Digits {
    x: Vec<f32>,
    y: Vec<i64>,
    test: Vec<bool>,
    golden: Value,
}

fn digits() -> Digits {
    let bytes = std::fs::read(repository().join("tests/golden/heads/digits.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let bytes_of = |name: &str| file.tensor(name).unwrap().data().to_vec();
    Digits {
        x: bytes_of("x").into_iter().map(f32::from).collect(),
        y: bytes_of("y").into_iter().map(i64::from).collect(),
        test: bytes_of("test").into_iter().map(|flag| flag == 1).collect(),
        golden: serde_json::from_str(&header.metadata().as_ref().unwrap()["golden"]).unwrap(),
    }
}

#[test]
fn digits_reach_the_optimum_of_scikit_learn() {
    let dir = Dir::new();
    let Digits { x, y, test, golden } = digits();
    let split: Vec<&str> = test.iter().map(|&test| if test { "test" } else { "train" }).collect();
    Npz::new().floats("X", 64, &x).integers("y", &y).strings("split", &split).save(&dir.path("digits.npz"));
    says(&dir.run("import digits.npz -o digits.h5"), &["1797 rows × 64, 10 classes"]);
    // One C each side of the best; the tests of the trainer know more, and those that take longer.
    for (head, cs) in [("logistic", &[1e-4, 1.0][..]), ("svm", &[1e-3]), ("ridge", &[1e-3])] {
        for &c in cs {
            let point =
                golden["heads"][head].as_array().unwrap().iter().find(|point| number(&point["c"]) == c).unwrap();
            let shown = dir.json(&format!("train digits.h5 --head {head} --c {c} --cv 2 -o {head}.head"));
            let off = number(&shown["refit"]["objective"]) / number(&point["objective"]) - 1.0;
            assert!(off.abs() <= 1e-3, "{head} C = {c}: objective {off:+.1e} off");
            let accuracy = number(&shown["test"]["accuracy"]["value"]);
            let expected = number(&point["accuracy"]);
            assert!((accuracy - expected).abs() <= 0.005, "{head} C = {c}: {accuracy} instead of {expected}");
        }
    }
}

#[test]
fn the_digits_script_makes_the_same_cache() {
    let python = std::env::var("HEADSTART_PYTHON").unwrap_or_else(|_| "python3".into());
    let found = std::process::Command::new(&python).args(["-c", "import sklearn, numpy"]).output();
    if !found.is_ok_and(|output| output.status.success()) {
        return skip(&format!(
            "{python} has no scikit-learn (pip install scikit-learn); HEADSTART_PYTHON names another"
        ));
    }
    let dir = Dir::new();
    let made = std::process::Command::new(&python)
        .arg(repository().join("scripts/digits.py"))
        .arg(dir.path("digits.npz"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    says(&String::from_utf8_lossy(&made.stdout), &["headstart import"]);
    dir.run("import digits.npz -o digits.h5");
    let file = crate::hdf5_file::Contents::read(dir.path("digits.h5"));
    let Digits { x, y, test, .. } = digits();
    assert_eq!(file.layers[0].values, x);
    assert!(file.label.iter().map(|&label| i64::from(label)).eq(y));
    assert!(file.split.iter().map(|split| split == "test").eq(test));
}
