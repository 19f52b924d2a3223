//! `train` and `evaluate` on vectors made elsewhere: no network runs here.

use crate::{
    harness::{Dir, says, texts},
    npz::Npz,
};
use safetensors::SafeTensors;
use serde_json::{Value, json};

/// Vectors in overlapping clusters, one for each class, made by arithmetic. The first half of each class is called `train`,
/// then come `val` and `test`.
pub fn clusters(dir: &Dir, name: &str, classes: &[&str], per_class: usize, width: usize) {
    let mut state = 1_u64;
    // The sum of four uniform numbers is near enough to a normal one.
    let mut normal = || {
        (0..4).fold(-2.0, |sum, _| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            sum + (state >> 40) as f32 / (1 << 24) as f32
        })
    };
    let (mut x, mut y, mut split) = (Vec::new(), Vec::new(), Vec::new());
    for (class, label) in classes.iter().enumerate() {
        for row in 0..per_class {
            x.extend((0..width).map(|column| normal() + if column % classes.len() == class { 0.7 } else { 0.0 }));
            y.push(*label);
            split.push(["train", "train", "val", "test"][row * 4 / per_class]);
        }
    }
    Npz::new().floats("X", width, &x).strings("y", &y).strings("split", &split).save(&dir.path(name));
}

/// A cache of three overlapping classes: 60 rows to train on, 30 each for validation and test.
pub fn three_classes() -> Dir {
    let dir = Dir::new();
    clusters(&dir, "x.npz", &["ant", "bee", "fly"], 40, 12);
    dir.run("import x.npz -o x.h5");
    dir
}

/// The JSON in a head file.
pub fn description(dir: &Dir, head: &str) -> Value {
    let bytes = dir.read(head);
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    serde_json::from_str(&header.metadata().as_ref().unwrap()["headstart_head"]).unwrap()
}

#[track_caller]
pub fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("no number: {value}"))
}

#[test]
fn training_reports_scores_with_n_and_interval() {
    let dir = three_classes();
    for (head, probabilistic) in [("logistic", true), ("svm", false)] {
        let shown = dir.json(&format!("train x.h5 --head {head} --c-grid 1e-3:1e1:5 -o heads/{head}.head"));
        assert_eq!((&shown["layer"], &shown["kind"]), (&json!("features:flatten"), &json!(head)));
        let selection = &shown["selection"];
        let points = selection["points"].as_array().unwrap();
        assert_eq!((points.len(), number(&points[0]["c"]), number(&points[4]["c"])), (5, 1e-3, 10.0));
        // The C of the best mean, of equals the smallest.
        let mean = |point: &Value| number(&point["mean_accuracy"]);
        let best = points.iter().fold(&points[0], |best, point| if mean(point) > mean(best) { point } else { best });
        assert_eq!(shown["c"], best["c"]);
        assert_eq!(best["fold_accuracy"].as_array().unwrap().len(), 5);
        assert_eq!((&shown["training"]["n"], &shown["training"]["class_counts"]), (&json!(60), &json!([20, 20, 20])));

        let test = &shown["test"];
        assert_eq!(test["n"], 30);
        let (accuracy, low, high) =
            (number(&test["accuracy"]["value"]), number(&test["accuracy"]["low"]), number(&test["accuracy"]["high"]));
        assert!(low < accuracy && accuracy < high && accuracy > 0.5, "{test}");
        let confusion = |row: usize, column: usize| number(&test["confusion"][row][column]);
        let right: f64 = (0..3).map(|class| confusion(class, class)).sum();
        assert!((right / 30.0 - accuracy).abs() < 1e-12);
        let recalls: f64 = (0..3).map(|class| number(&test["per_class"][class]["recall"])).sum();
        assert!((recalls / 3.0 - number(&test["balanced_accuracy"]["value"])).abs() < 1e-12);
        let predicted: f64 = (0..3).map(|row| confusion(row, 1)).sum();
        assert!((confusion(1, 1) / predicted - number(&test["per_class"][1]["precision"])).abs() < 1e-12);
        assert_eq!(texts(&test["per_class"], "class"), ["ant", "bee", "fly"]);
        assert_eq!(test["log_loss"].is_number(), probabilistic);

        // The file alone gives the same scores.
        let mut scored = dir.json(&format!("evaluate heads/{head}.head x.h5"));
        let fields = scored.as_object_mut().unwrap();
        assert_eq!((fields.remove("rows"), fields.remove("left_out")), (Some(json!("test")), Some(json!(0))));
        assert_eq!((&scored, &shown["test_rows"]), (test, &json!("test")));
        let all = dir.json(&format!("evaluate heads/{head}.head x.h5 --split all"));
        assert_eq!((&all["n"], &all["rows"]), (&json!(120), &json!("all")));
        let shown = dir.run(&format!("evaluate heads/{head}.head x.h5 --split val"));
        says(&shown, &["30 images, split val", "95 % interval", "confusion", "precision"]);
        assert_eq!(shown.contains("log-loss"), probabilistic);
    }
    says(&dir.run("train x.h5 -o y.head"), &["logistic on features:flatten", "60 images, 3 classes", "test", "y.head"]);
}

#[test]
fn a_head_file_describes_itself_and_holds_nothing_but_numbers() {
    let dir = three_classes();
    dir.run("train x.h5 --c 0.1 --standardize --seed 7 -o x.head");
    let about = description(&dir, "x.head");
    assert_eq!((&about["format"], &about["format_version"]), (&json!("headstart-head"), &json!(1)));
    assert_eq!((&about["kind"], &about["c"]), (&json!("logistic"), &json!(0.1)));
    assert_eq!(about["classes"], json!(["ant", "bee", "fly"]));
    assert_eq!((&about["source"]["layer"], &about["source"]["pool"]), (&json!("features:flatten"), &json!("flatten")));
    assert_eq!(about["source"]["provenance"], dir.json("inspect x.h5")["provenance"]);
    assert_eq!((&about["training"]["seed"], &about["training"]["standardize"]), (&json!(7), &json!(true)));
    let bytes = dir.read("x.head");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(file.tensor("weight").unwrap().shape(), [3, 12]);
    assert_eq!(file.tensor("bias").unwrap().shape(), [3]);
    assert_eq!(file.len(), 2);

    dir.write("cut.head", &bytes[..bytes.len() / 2]);
    says(&dir.fails("evaluate cut.head x.h5"), &["cut.head", "not a usable head file"]);
    dir.write("text.head", "no head");
    says(&dir.fails("evaluate text.head x.h5"), &["text.head", "not a usable head file"]);
    says(&dir.fails("evaluate absent.head x.h5"), &["absent.head", "No such file"]);
}

#[test]
fn the_same_seed_writes_the_same_bytes_on_any_number_of_threads() {
    let dir = Dir::new();
    // Many rows and few columns, and the reverse: two different ways to the optimum.
    clusters(&dir, "tall.npz", &["ant", "bee", "fly"], 40, 12);
    clusters(&dir, "wide.npz", &["ant", "bee", "fly"], 16, 700);
    for cache in ["tall", "wide"] {
        dir.run(&format!("import {cache}.npz -o {cache}.h5"));
        for head in ["logistic", "svm"] {
            let train = |threads: &str, seed: u64| {
                let out = format!("{cache}-{head}-{threads}-{seed}.head");
                let command = format!(
                    "train {cache}.h5 --head {head} --standardize --cv 4 --c-grid 1e-3:1e1:3 --seed {seed} -o {out}"
                );
                dir.headstart(&command).env("RAYON_NUM_THREADS", threads).run().exits(0);
                dir.read(&out)
            };
            let one = train("1", 3);
            assert!(one == train("4", 3), "{cache} {head}: 1 and 4 threads differ");
            assert!(one != train("1", 4), "{cache} {head}: the seed changes nothing");
        }
    }
}

#[test]
fn class_weights_and_tolerance_are_heeded_or_refused() {
    let dir = three_classes();
    for head in ["logistic", "svm", "svm --loss squared-hinge", "ridge"] {
        let plain = dir.json(&format!("train x.h5 --head {head} --c 0.01 --cv none -o plain.head"));
        let balanced =
            dir.json(&format!("train x.h5 --head {head} --c 0.01 --cv none --class-weight balanced -o balanced.head"));
        assert_eq!(plain["training"]["class_weight"], "none");
        assert_eq!(balanced["training"]["class_weight"], "balanced");
        // The classes are of equal size: only for one against the rest do weights change anything.
        let same = plain["training"]["objective"] == balanced["training"]["objective"];
        assert_eq!(same, head == "logistic");
        assert!(plain["selection"].is_null());
        let fine = dir.json(&format!("train x.h5 --head {head} --c 0.01 --cv none --tol 1e-8 -o fine.head"));
        let certificate = &fine["refit"]["certificate"];
        assert!(certificate["converged"] == true && number(&certificate["value"]) <= 1e-8, "{head} {certificate}");
    }
    let error = dir.misused("train x.h5 --head logistic --class-weight balanced --engine linfa -o no.head");
    says(&error, &["linfa", "weights", "--engine default"]);
    says(&dir.misused("train x.h5 --tol 0 -o no.head"), &["--tol is 0"]);
    says(&dir.misused("train x.h5 --head ridge --engine linfa -o no.head"), &["--engine", "linfa"]);
    says(&dir.misused("train x.h5 --cv none -o no.head"), &["--c-grid", "--cv"]);
    assert!(!dir.exists("no.head"));
}

#[test]
fn class_means_have_no_c_and_go_everywhere() {
    let dir = three_classes();
    let shown = dir.json("train x.h5 --head ncm --standardize -o x.head --report r");
    assert!(shown.get("c").is_none() && shown["selection"]["points"][0].get("c").is_none());
    assert_eq!(shown["selection"]["points"].as_array().unwrap().len(), 1);
    assert_eq!(shown["refit"]["certificate"]["measure"], "closed_form");
    assert!(number(&shown["test"]["accuracy"]["value"]) > 0.6);
    assert!(description(&dir, "x.head").get("c").is_none());
    let mut scored = dir.json("evaluate x.head x.h5");
    scored.as_object_mut().unwrap().retain(|field, _| field != "rows" && field != "left_out");
    assert_eq!(scored, shown["test"]);
    let page = String::from_utf8(dir.read("r/index.html")).unwrap();
    says(&page, &["Nearest class mean on", "This kind of head has nothing to choose", "closed form"]);
    assert!(!page.contains("C ="));
    let shown = dir.run("train x.h5 --head ncm -o x.head");
    says(&shown, &["ncm on features:flatten (60 images, 3 classes)\ncross-validated accuracy"]);
    says(&dir.run("train x.h5 --head ncm --calibrate auto -o x.head"), &["calibrated by temperature on 60"]);
    dir.run("train x.h5 --head ncm --cv none -o x.head");
    let swept = dir.json("sweep x.h5 --heads logistic,ncm --c-grid 1e-2:1:2");
    assert_eq!(texts(&swept["rows"], "head"), ["logistic", "ncm"]);
    assert!(swept["rows"][0]["c"].is_number() && swept["rows"][1].get("c").is_none());
    says(&dir.run("sweep x.h5 --heads ncm"), &[" – "]);
    for (option, command) in [
        ("--c-grid", "train x.h5 --head ncm --c-grid 1e-2:1:2 -o no.head"),
        ("--c", "train x.h5 --head ncm --c 1 -o no.head"),
        ("--c-grid", "sweep x.h5 --heads ncm --c-grid 1e-2:1:2"),
    ] {
        says(&dir.misused(command), &[&format!("{option}: heads of kind ncm have no C; leave it out")]);
    }
    says(&dir.misused("train x.h5 --head ncm --class-weight balanced -o no.head"), &["--class-weight", "ncm"]);
    says(&dir.misused("train x.h5 --head ncm --engine linfa -o no.head"), &["--engine", "linfa"]);
    assert!(!dir.exists("no.head"));
}

#[test]
fn a_regularized_bias_is_another_objective() {
    let dir = three_classes();
    for head in ["logistic", "svm", "svm --loss squared-hinge", "ridge"] {
        let train = |bias: &str| {
            dir.json(&format!("train x.h5 --head {head} --c 0.01 --cv none --bias {bias} -o {bias}.head"))["training"]
                .clone()
        };
        let (free, regularized) = (train("free"), train("regularized"));
        assert_eq!((&free["bias"], &regularized["bias"]), (&json!("free"), &json!("regularized")));
        assert_eq!(description(&dir, "regularized.head")["training"]["bias"], "regularized");
        // What a free bias can do for nothing costs something here.
        assert!(number(&regularized["objective"]) > number(&free["objective"]), "{head}");
        assert!(regularized["certificate"]["converged"] == true, "{head}: {regularized}");
        assert_eq!(regularized["tolerance"], 1e-4);
        let loss = if head.contains("squared") { json!("squared-hinge") } else { json!("hinge") };
        assert_eq!(regularized["loss"], if head.starts_with("svm") { loss } else { Value::Null });
    }
    assert_eq!(dir.json("sweep x.h5 --cv 3 --bias regularized")["rows"].as_array().unwrap().len(), 2);
    dir.run("train x.h5 --head svm --bias regularized --standardize --cv 3 --report page -o y.head");
    says(&String::from_utf8(dir.read("page/index.html")).unwrap(), &["regularized", "svm with hinge loss"]);
    let error = dir.misused("train x.h5 --head svm --bias regularized --engine linfa -o no.head");
    says(&error, &["--bias is regularized", "--engine default"]);
    says(&dir.misused("train x.h5 --bias none -o no.head"), &["--bias", "free", "regularized"]);
    assert!(!dir.exists("no.head"));
}

#[test]
fn numbers_without_sense_are_refused_and_large_ones_survived() {
    let dir = three_classes();
    for c in ["0", "-1", "NaN", "inf"] {
        says(&dir.misused(&format!("train x.h5 --c={c} --cv none -o no.head")), &["C is", "positive, finite"]);
    }
    assert!(!dir.exists("no.head"));
    let rows = 12;
    let labels: Vec<&str> = (0..rows).map(|row| ["ant", "bee"][row % 2]).collect();
    let save = |name: &str, x: &dyn Fn(usize, usize) -> f32| {
        let values: Vec<f32> = (0..rows * 3).map(|at| x(at / 3, at % 3)).collect();
        Npz::new().floats("X", 3, &values).strings("y", &labels).save(&dir.path(&format!("{name}.npz")));
        dir.run(&format!("import {name}.npz -o {name}.h5"));
    };
    save("same", &|_, _| 0.25);
    says(&dir.fails("train same.h5 -o no.head"), &["same.h5", "same features", "cannot tell"]);
    let value = |row: usize, column: usize| ((row * 7 + column * 5) % 11) as f32 / 11.0 + (row % 2) as f32;
    save("huge", &|row, column| 1e38 * value(row, column));
    save("one", &|row, column| value(row, column) * if row == 3 { 1e7 } else { 1.0 });
    for name in ["huge", "one"] {
        for head in ["logistic", "svm", "svm --loss squared-hinge", "ridge"] {
            for bias in ["free", "regularized"] {
                // Either a head of numbers, or a reason.
                let command =
                    format!("train {name}.h5 --head {head} --bias {bias} --cv 2 --c-grid 1e-4:1e2:3 -o {name}.head");
                let ended = dir.headstart(&format!("{command} --json")).run();
                if ended.code == Some(0) {
                    assert!(number(&ended.json()["training"]["objective"]).is_finite(), "{command}");
                } else {
                    says(&ended.stderr, &["solver failed at C", name]);
                }
            }
        }
    }
    assert!(dir.exists("one.head"));
}

#[test]
fn a_split_that_chose_c_is_not_the_one_that_scores() {
    let dir = three_classes();
    let shown = dir.json("train x.h5 --split train:val -o x.head");
    assert_eq!((&shown["selection"]["scheme"], &shown["selection"]["folds"]), (&json!("holdout"), &json!(1)));
    assert_eq!(shown["selection"]["out_of_fold"]["n"], 30);
    assert_eq!(shown["training"]["n"], 60);
    assert_eq!(shown["test"]["n"], 30);
    // Chosen on the test rows, a head is scored on the validation rows or not at all, never on the same.
    let shown = dir.json("train x.h5 --split train:test -o x.head");
    assert!(shown["test"].is_null() || shown["test"]["n"] == 30, "{}", shown["test"]);
    // Nor on rows it was fitted on.
    for split in ["test:val", "test:train"] {
        let shown = dir.json(&format!("train x.h5 --split {split} -o x.head"));
        assert!(shown["test"].is_null(), "{split}: {}", shown["test"]);
    }
    assert_eq!(dir.json("train x.h5 --split val:train -o x.head")["test"]["n"], 30);
    // What is shown to people does not call it cross-validation.
    for (split, chosen_on) in [("train:val", "val"), ("test:train", "train")] {
        let shown = dir.run(&format!("train x.h5 --split {split} -o x.head"));
        says(&shown, &["% ± ", &format!(" on split {chosen_on}, which chose C\n")]);
        assert!(!shown.contains("fold") && !shown.contains("cross-validated"), "{shown}");
    }
    says(&dir.fails("train x.h5 --split train:later -o x.head"), &["x.h5", "'later'", "'train', 'val'"]);
    says(&dir.misused("train x.h5 --split train -o x.head"), &["--split train", "train:val"]);
    says(&dir.misused("train x.h5 --split all:val -o x.head"), &["--split all:val", "two splits"]);
}

#[test]
fn a_single_class_and_too_few_rows_are_refused() {
    let dir = Dir::new();
    Npz::new().floats("X", 2, &[1.0, 2.0, 3.0, 4.0]).strings("y", &["ant", "ant"]).save(&dir.path("one.npz"));
    dir.run("import one.npz -o one.h5");
    says(&dir.fails("train one.h5 -o x.head"), &["one.h5", "features:flatten", "'ant'", "at least two classes"]);
    says(&dir.fails("sweep one.h5"), &["one.h5", "at least two classes"]);
    clusters(&dir, "few.npz", &["ant", "bee"], 4, 3);
    dir.run("import few.npz -o few.h5");
    says(&dir.fails("train few.h5 -o x.head"), &["'ant'", "5 folds", "at most 2 folds"]);
    dir.run("train few.h5 --cv 2 -o x.head");
}

#[test]
fn evaluate_says_which_rows_it_scored() {
    let dir = Dir::new();
    let npz = Npz::new().floats("X", 1, &[0.0, 1.0, 0.1, 0.9, 0.2, 0.8]);
    npz.strings("y", &["no", "yes", "no", "yes", "no", "yes"]).save(&dir.path("x.npz"));
    dir.run("import x.npz -o x.h5");
    dir.run("train x.h5 --cv 3 -o x.head");
    let scored = dir.headstart("evaluate x.head x.h5").run().exits(0);
    says(&scored.stdout, &["6 images, all rows"]);
    says(&scored.stderr, &["warning", "x.h5", "test or val", "trained on"]);
    assert_eq!(dir.json("evaluate x.head x.h5")["rows"], "all");
    // Asked for, it is no surprise.
    assert_eq!(dir.headstart("evaluate x.head x.h5 --split all").run().exits(0).stderr, "");
}

#[test]
fn a_class_without_training_rows_is_left_out() {
    let dir = Dir::new();
    let npz = Npz::new().floats("X", 1, &[0.0, 1.0, 0.1, 0.9, 0.5, 0.0, 1.0]);
    let npz = npz.strings("y", &["no", "yes", "no", "yes", "maybe", "no", "yes"]);
    npz.strings("split", &["train", "train", "train", "train", "test", "test", "test"]).save(&dir.path("x.npz"));
    dir.run("import x.npz -o x.h5");
    let trained = dir.headstart("train x.h5 --cv 2 -o x.head --json").run().exits(0);
    says(&trained.stderr, &["'maybe'", "no training rows", "1 rows are left out"]);
    assert_eq!(description(&dir, "x.head")["classes"], json!(["no", "yes"]));
    assert_eq!(trained.json()["test"]["n"], 2);
    let scored = dir.headstart("evaluate x.head x.h5 --json").run().exits(0);
    says(&scored.stderr, &["'maybe'", "not known to the head"]);
    let scored = scored.json();
    assert_eq!((&scored["n"], &scored["left_out"]), (&json!(2), &json!(1)));
    let swept = dir.headstart("sweep x.h5 --cv 2 --json").run().exits(0);
    says(&swept.stderr, &["'maybe'"]);
    assert_eq!(swept.json()["rows"][0]["n_test"], 2);
    // Nothing that the head knows is left.
    let npz = Npz::new().floats("X", 1, &[0.0, 1.0]).strings("y", &["perhaps", "never"]);
    npz.save(&dir.path("y.npz"));
    dir.run("import y.npz -o y.h5");
    says(&dir.fails("evaluate x.head y.h5"), &["y.h5", "x.head", "'never'", "no, yes"]);
}
