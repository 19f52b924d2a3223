//! `curve` on vectors made elsewhere.

use crate::{
    browser::Browser,
    harness::{Dir, says, texts},
    heads::{clusters, number},
    npz::Npz,
};
use serde_json::{Value, json};

/// Three overlapping classes: 120 images to train on, 120 of split val, 60 of split test.
fn made() -> Dir {
    let dir = Dir::new();
    clusters(&dir, "x.npz", &["<b>ant", "bee", "fly"], 80, 12);
    dir.run("import x.npz -o x.h5");
    dir
}

fn points(line: &Value) -> &Vec<Value> {
    line["points"].as_array().unwrap()
}

#[test]
fn a_table_a_plot_and_a_report_from_one_command() {
    let dir = made();
    let command =
        "curve x.h5 --heads logistic,svm --per-class 2,5,10,all --total 60,all --draws 4 --c-grid 1e-3:1e-1:2";
    let shown = dir.headstart(&format!("{command} --plot c.svg --plot c.png --report r --title curves")).run().exits(0);
    says(&shown.stdout, &["120 training images of 3 classes, 4 draws (seed 0); 60 test images (split test)"]);
    says(&shown.stdout, &["logistic", "svm", "2 per class", "all", "±", "training accuracy %", "images would"]);
    says(&shown.stderr, &["wrote c.svg", "wrote the report r/index.html"]);
    says(&String::from_utf8(dir.read("c.svg")).unwrap(), &["curves", "svm", "training images"]);
    assert!(dir.read("c.png").starts_with(b"\x89PNG"));

    let json = dir.json(command);
    assert_eq!(texts(&json["steps"], "asked"), ["2 per class", "5 per class", "10 per class", "60", "all"]);
    assert_eq!((&json["test_rows"], &json["test_images"]), (&json!({"split": "test"}), &json!(60)));
    assert_eq!(texts(&json["lines"], "head"), ["logistic", "svm"]);
    for line in json["lines"].as_array().unwrap() {
        let images: Vec<f64> = points(line).iter().map(|point| number(&point["images"])).collect();
        assert_eq!(images, [6.0, 15.0, 30.0, 60.0, 120.0]);
        for point in points(line) {
            let draws: Vec<f64> = point["by_draw"].as_array().unwrap().iter().map(number).collect();
            let mean = draws.iter().sum::<f64>() / draws.len() as f64;
            assert!((mean - number(&point["test"]["value"])).abs() < 1e-12);
            let said = format!("{:.1}", 100.0 * mean);
            assert!(shown.stdout.contains(&said), "{said}");
        }
        assert!(["more_helps", "saturated", "cannot_be_told"].contains(&line["outlook"]["verdict"].as_str().unwrap()));
    }
    // With all images it is the head that train makes, and its scores.
    let trained = dir.json("train x.h5 --head svm --c-grid 1e-3:1e-1:2 -o x.head");
    let last = points(&json["lines"][1]).last().unwrap();
    assert_eq!(last["test"]["value"], trained["test"]["accuracy"]["value"]);
    assert_eq!(last["train"], trained["training_metrics"]["accuracy"]["value"]);

    let page = String::from_utf8(dir.read("r/index.html")).unwrap();
    says(
        &page,
        &["Learning curves", "imported", "Would more images help?", "Do test images stay wrong?", "Cortes et al. 1993"],
    );
    assert!(!page.contains("<b>ant") && page.contains("headstart curve x.h5 --heads logistic,svm"));
    let metrics: Value = serde_json::from_slice(&dir.read("r/metrics.json")).unwrap();
    assert_eq!(metrics["lines"], json["lines"]);
}

/// Some more images than features, of which two never fire: these are dropped once a logistic head has turned the features, and
/// the SVM comes after.
#[test]
fn features_that_never_fire_are_no_trouble() {
    let dir = Dir::new();
    let vectors = (0..60 * 20).map(|at| if at % 20 < 2 { 0.0 } else { ((at * at * 31) % 97) as f32 / 97.0 });
    let labels: Vec<i64> = (0..60).map(|row| row % 2).collect();
    Npz::new().floats("X", 20, &vectors.collect::<Vec<_>>()).integers("y", &labels).save(&dir.path("x.npz"));
    dir.run("import x.npz -o x.h5");
    let json = dir.json("curve x.h5 --heads logistic,svm --standardize --per-class all --c-grid 1e-2:1:2");
    for line in json["lines"].as_array().unwrap() {
        assert!(number(&points(line)[0]["train"]) > 0.7, "{line}");
    }
}

#[test]
fn the_same_on_any_number_of_threads() {
    let dir = made();
    let of = |threads: &str| {
        let command = dir.headstart("curve x.h5 --heads logistic,knn --per-class 1,4,all --draws 3 --json");
        command.env("RAYON_NUM_THREADS", threads).run().exits(0).stdout
    };
    assert_eq!(of("1"), of("4"));
}

#[test]
fn without_test_images_some_are_held_out_and_that_is_said() {
    let dir = Dir::new();
    let x: Vec<f32> = (0..90).map(|at| (at % 7) as f32 + if at % 3 == 0 { 1.0 } else { 0.0 }).collect();
    let y: Vec<&str> = (0..30).map(|row| ["ant", "bee"][row % 2]).collect();
    Npz::new().floats("X", 3, &x).strings("y", &y).save(&dir.path("x.npz"));
    dir.run("import x.npz -o x.h5");
    let shown = dir.headstart("curve x.h5 --per-class 2,4,9 --holdout 0.4 --draws 2").run().exits(0);
    says(
        &shown.stderr,
        &["neither test nor val images: 12 of 30 images, 40 % of every class", "held out as a fixed test set"],
    );
    says(&shown.stdout, &["18 training images", "12 test images (held out of the training images)"]);
    says(&shown.stdout, &["cannot be told: 3 sizes; a law of three unknowns needs 4"]);
}

#[test]
fn test_images_of_other_classes_are_no_test() {
    let dir = Dir::new();
    let (x, y): (Vec<f32>, Vec<&str>) =
        (0..24).map(|row| (row as f32, ["no", "yes", "maybe"][if row >= 20 { 2 } else { row % 2 }])).unzip();
    let split: Vec<&str> = (0..24).map(|row| if row >= 20 { "test" } else { "train" }).collect();
    Npz::new().floats("X", 1, &x).strings("y", &y).strings("split", &split).save(&dir.path("x.npz"));
    dir.run("import x.npz -o x.h5");
    says(&dir.fails("curve x.h5 --per-class 5"), &["x.h5", "split test", "no, yes", "check the labels"]);
}

#[test]
fn a_draw_without_any_difference_costs_only_itself() {
    let dir = Dir::new();
    // Nearly all images are alike: three of a class are, more often than not.
    let x: Vec<f32> =
        (0..80).map(|row| if row % 20 < 14 { 0.0 } else { 1.0 + (row % 2) as f32 + row as f32 / 9.0 }).collect();
    let y: Vec<&str> = (0..80).map(|row| ["no", "yes"][row % 2]).collect();
    let split: Vec<&str> = (0..80).map(|row| if row >= 60 { "test" } else { "train" }).collect();
    Npz::new().floats("X", 1, &x).strings("y", &y).strings("split", &split).save(&dir.path("x.npz"));
    dir.run("import x.npz -o x.h5");
    let found = dir.json("curve x.h5 --per-class 2,10,all --draws 10 --heads ncm");
    let line = &found["lines"][0];
    let (few, all) = (&points(line)[0], &points(line)[2]);
    let left = 10 - few["draws"].as_u64().unwrap();
    assert!((1..10).contains(&left), "{left} draws are left out");
    assert_eq!(few["by_draw"].as_array().unwrap().len() as u64, 10 - left);
    assert_eq!(all["draws"], 1);
    assert!(
        line["notes"].to_string().contains(&format!("2 per class: {left} draw(s) are left out")),
        "{}",
        line["notes"]
    );
}

#[test]
fn what_is_named_twice_is_one_curve() {
    let dir = made();
    let command = "curve x.h5 --layers features,features:flatten --heads ncm,knn,ncm --per-class 2,all --draws 2";
    assert_eq!(texts(&dir.json(command)["lines"], "head"), ["ncm", "knn"]);
}

#[test]
fn mistakes_are_named() {
    let dir = made();
    for (options, parts) in [
        ("--per-class 5,none", &["--per-class: 'none' is no number of images", "all"][..]),
        ("--total 0", &["--total: '0'"]),
        ("--draws 0", &["--draws"]),
        ("--holdout 1", &["--holdout", "between 0 and 1"]),
        ("--cv none", &["--cv none"]),
        ("--plot c.jpg", &["c.jpg", ".svg or .png"]),
        ("--heads forest", &["forest"]),
        ("--neighbors 3", &["--neighbors is for heads of kind knn"]),
    ] {
        says(&dir.misused(&format!("curve x.h5 {options}")), parts);
    }
    says(&dir.fails("curve x.h5 --total 2"), &["--total 2: there are 3 classes"]);
    says(&dir.fails("curve x.h5 --layers fc9"), &["fc9"]);
    says(&dir.fails("curve x.h5 x.h5"), &["x.h5: the cache is given twice"]);
    says(&dir.fails("curve x.h5 ./x.h5"), &["./x.h5: the cache is given twice, first as x.h5"]);
    clusters(&dir, "y.npz", &["cat", "dog"], 80, 12);
    dir.run("import y.npz -o y.h5");
    says(
        &dir.fails("curve x.h5 y.h5"),
        &["x.h5: of its 120 training images only 0 are in every cache", "each set of images"],
    );
    dir.write("taken", "a file");
    says(&dir.fails("curve x.h5 --report taken"), &["taken", "folder of the report"]);
}

#[test]
fn the_report_in_a_browser() {
    let Some(browser) = Browser::find() else { return };
    let dir = made();
    dir.run("curve x.h5 --heads logistic,svm,ncm --per-class 2,5,10,20,all --draws 5 --c-grid 1e-3:1e-1:2 --report r");
    for (width, name) in [(1280, "curve-desktop"), (390, "curve-phone")] {
        let seen = browser.look(&dir, "r/index.html", width, name);
        seen.is_sound(width);
        assert_eq!(seen.measured["plots"], 4, "one of all, and three of one each");
    }
}
