//! `sweep`: the table, the plot and what it refuses.

use crate::{
    harness::{Dir, says, texts},
    heads::three_classes,
};
use serde_json::json;

#[test]
fn sweep_gives_the_rows_that_scripts_rely_on() {
    let dir = three_classes();
    let shown = dir.json("sweep x.h5 --cv 3 --plot sweep.svg --plot sweep.png");
    let rows = shown["rows"].as_array().unwrap();
    assert_eq!(texts(&shown["rows"], "head"), ["logistic", "svm"]);
    for row in rows {
        for field in ["layer", "pool", "head", "c", "cv_mean", "cv_se", "test", "n_test"] {
            assert!(!row[field].is_null(), "{field}: {row}");
        }
        assert_eq!((&row["layer"], &row["pool"], &row["n_test"]), (&json!("features"), &json!("flatten"), &json!(30)));
        assert_eq!(row["n_train"], 60);
        // One row of a sweep is what `train` says of the same head.
        let head = row["head"].as_str().unwrap();
        let trained = dir.json(&format!("train x.h5 --head {head} --cv 3 -o {head}.head"));
        assert_eq!(row["c"], trained["c"]);
        assert_eq!(row["cv_mean"], trained["training"]["cv_mean"]);
        assert_eq!(row["cv_se"], trained["training"]["cv_standard_error"]);
        assert_eq!(row["test"], trained["test"]["accuracy"]["value"]);
    }
    // One of them is the best, and the other is compared with it.
    let best = shown["groups"][0]["best"].as_u64().unwrap() as usize;
    assert!(rows[best]["against_best"].is_null());
    for field in ["difference", "standard_error", "p", "p_holm", "test_p"] {
        assert!(rows[1 - best]["against_best"][field].is_number(), "{field}: {}", rows[1 - best]);
    }
    assert!(dir.read("sweep.svg").starts_with(b"<svg"));
    assert!(dir.read("sweep.png").starts_with(b"\x89PNG"));
    dir.run("sweep x.h5 --cv 3 --report report");
    assert!(String::from_utf8(dir.read("report/index.html")).unwrap().contains("features:flatten"));
    says(&dir.misused("sweep x.h5 --join features"), &["--join features", "layer2+layer4"]);
    says(&dir.misused("sweep x.h5 --pool mean"), &["mean", "gap"]);
    says(&dir.fails("sweep x.h5 --pool gap"), &["x.h5", "gap", "features:flatten"]);
    says(
        &dir.run("sweep x.h5 --heads svm"),
        &[
            "features:flatten",
            "svm",
            "60 training images, 30 test images",
            "best by cross-validation: features:flatten with svm\n",
        ],
    );
    says(&dir.fails("sweep x.h5 --layers fetures"), &["x.h5", "fetures", "features"]);
}

#[test]
fn nothing_is_compared_with_itself() {
    let dir = three_classes();
    let shown = dir.json("sweep x.h5 --heads ncm,svm,ncm --layers features,features:flatten");
    assert_eq!(texts(&shown["rows"], "head"), ["ncm", "svm"]);
    for (caches, said) in [
        ("x.h5 x.h5", "x.h5: the cache is given twice"),
        ("x.h5 ./x.h5", "./x.h5: the cache is given twice, first as x.h5; name it once"),
    ] {
        says(&dir.fails(&format!("sweep {caches}")), &[said]);
    }
    says(&dir.run("sweep x.h5"), &["1 other rows cannot be told", "p > 0.05 after Holm's correction"]);
}

#[test]
fn sweep_refuses_what_it_cannot_do_before_it_trains_anything() {
    let dir = Dir::new();
    for plot in ["sweep.pdf", "sweep"] {
        // The cache is not even looked for.
        says(&dir.misused(&format!("sweep absent.h5 --plot {plot}")), &["--plot", plot, ".svg or .png"]);
    }
    says(&dir.misused("sweep absent.h5 --cv none"), &["--cv none", "number of folds"]);
}
