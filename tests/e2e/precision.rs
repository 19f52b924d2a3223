//! `--dtype` and `extract --check`: which precision a file is computed in, and what is said about it.

use crate::{
    harness::{Dir, says, texts},
    hdf5_file::Contents,
};
use serde_json::json;

/// The cheapest backbone there is.
const LENET: &str = "--backbone lenet5 --weights random:0 --device cpu";

fn photos() -> Dir {
    let dir = Dir::new();
    dir.class_folders("photos", &["cat", "dog"], 3);
    dir
}

/// The precisions of this processor.
fn offered(dir: &Dir) -> Vec<String> {
    let report = dir.json("doctor");
    let find = |value: &serde_json::Value| value["cpu_precisions"].as_array().cloned();
    let all = find(&report).or_else(|| report.as_object()?.values().find_map(find)).unwrap();
    all.iter().map(|word| word.as_str().unwrap().to_string()).collect()
}

#[test]
fn auto_takes_a_precision_that_keeps_the_features() {
    let dir = photos();
    let summary = dir.json(&format!("extract --images photos {LENET} --layers conv2,fc1 --dtype auto -o x.h5"));
    let chosen = summary["precision"].as_str().unwrap();
    assert!(["f32", "bf16"].contains(&chosen), "{chosen}");
    assert!(offered(&dir).contains(&chosen.to_string()));
    assert_eq!(Contents::read(dir.path("x.h5")).provenance["compute_dtype"], chosen);
    // Another layer of the same file, in the same precision.
    let more = dir.json(&format!("extract --images photos {LENET} --layers fc2 --dtype auto -o x.h5"));
    assert_eq!((&more["precision"], &more["computed"]), (&json!(chosen), &json!(6)));
}

#[test]
fn auto_continues_a_file_in_the_precision_it_has() {
    let dir = photos();
    dir.run(&format!("extract --images photos {LENET} --layers conv2 -o x.h5"));
    let more = dir.json(&format!("extract --images photos {LENET} --layers fc1 --dtype auto -o x.h5"));
    assert_eq!((&more["precision"], &more["computed"]), (&json!("f32"), &json!(6)));
    assert_eq!(Contents::read(dir.path("x.h5")).provenance["compute_dtype"], "f32");
}

#[test]
fn f32_is_the_default_and_checks_against_the_plain_network() {
    let dir = photos();
    let report = dir.json(&format!("extract --images photos {LENET} --layers conv2,fc1 --check"));
    assert_eq!((&report["precision"], &report["images"], &report["holds"]), (&json!("f32"), &json!(6), &json!(true)));
    for compared in ["to_f32", "to_plain"] {
        assert_eq!(texts(&report[compared], "layer"), ["conv2:gap", "fc1:flatten"]);
        for layer in report[compared].as_array().unwrap() {
            assert!(layer["lowest"].as_f64().unwrap() > 0.999_999, "{layer}");
            assert!(layer["largest_difference"].as_f64().unwrap() < 1e-5, "{layer}");
        }
    }
    let shown = dir.run(&format!("extract --images photos {LENET} --layers conv2,fc1 --check"));
    says(&shown, &["conv2:gap", "lenet5 in f32 on cpu, 6 images", "at least 0.9995"]);
    assert!(!dir.exists("x.h5"));
}

#[test]
fn a_reduced_precision_is_compared_with_f32() {
    let dir = photos();
    if !offered(&dir).contains(&"bf16".to_string()) {
        return;
    }
    let report = dir.json(&format!("extract --images photos {LENET} --layers conv2,fc1 --check --dtype bf16"));
    assert_eq!((&report["precision"], &report["holds"]), (&json!("bf16"), &json!(true)));
    for layer in report["to_f32"].as_array().unwrap() {
        let lowest = layer["lowest"].as_f64().unwrap();
        assert!((0.9995..0.999_999_9).contains(&lowest), "{layer}: as if nothing had been rounded");
        assert!(layer["mean"].as_f64().unwrap() >= lowest);
    }
}

#[test]
fn what_does_not_go_together_is_said() {
    let dir = photos();
    dir.misused(&format!("extract --images photos {LENET} --layers conv2"));
    dir.misused(&format!("extract --images photos {LENET} --layers conv2 --check -o x.h5"));
    let text = dir.misused(&format!("extract --images photos {LENET} --layers conv2 --dtype f8 -o x.h5"));
    says(&text, &["f8", "bf16", "auto"]);
    // Without a cache nothing says what auto was.
    let text = dir.misused("classify --backbone lenet5 --weights random:0 --dtype auto photos/cat/000.png");
    says(&text, &["auto", "f32"]);
    dir.write("broken/x.png", "no image");
    let text = dir.fails(&format!("extract --images broken {LENET} --layers conv2 --check"));
    says(&text, &["broken", "decoded"]);
}
