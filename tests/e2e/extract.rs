//! `extract`: what ends up in the file for every layout of images, and what broken images do.

use crate::{
    harness::{Dir, says, texts},
    hdf5_file::Contents,
    pictures::picture_name,
};
use serde_json::{Value, json};

/// The cheapest backbone there is.
const LENET: &str = "--backbone lenet5 --weights random:0";

#[test]
fn class_folders_become_rows_labels_and_layers() {
    let dir = Dir::new();
    dir.class_folders("photos", &["cat", "dog"], 3);
    dir.write("photos/cat/notes.txt", "no image");
    let summary = dir.json(&format!("extract --images photos {LENET} --layers conv2,fc1 -o features/x.h5"));
    assert_eq!((&summary["rows"], &summary["computed"]), (&json!(6), &json!(6)));
    assert_eq!(summary["layers"], json!(["conv2:gap", "fc1:flatten"]));

    let file = Contents::read(dir.path("features/x.h5"));
    let paths = ["cat/000.png", "cat/001.jpg", "cat/002.png", "dog/000.png", "dog/001.jpg", "dog/002.png"];
    assert_eq!(file.path, paths);
    assert_eq!(file.classes, ["cat", "dog"]);
    assert_eq!(file.label, [0, 0, 0, 1, 1, 1]);
    assert_eq!(file.split, [""; 6]);
    assert_eq!(file.view, [0; 6]);
    assert_eq!(file.status, [1; 6]);
    assert_eq!(file.error, [""; 6]);
    for (name, width) in [("conv2:gap", 16), ("fc1:flatten", 84)] {
        let layer = file.layer(name);
        assert_eq!((&layer.shape[..], layer.value_bytes, layer.committed), (&[6, width][..], 4, 6), "{name}");
        assert!(layer.values.iter().all(|value| value.is_finite()), "{name}");
        assert!((1..6).all(|row| layer.row(row) != layer.row(0)), "{name}: rows of different pictures are the same");
    }
}

#[test]
fn provenance_and_inspect_say_where_the_numbers_come_from() {
    let dir = Dir::new();
    dir.class_folders("photos", &["cat", "dog"], 2);
    dir.run(&format!("extract --images photos {LENET} --layers conv2,fc1 -o x.h5"));
    let file = Contents::read(dir.path("x.h5"));
    let provenance = &file.provenance;
    assert_eq!(provenance["backbone"], "lenet5");
    assert_eq!(provenance["weights"]["source"], "random:0");
    assert_eq!(provenance["weights"]["sha256"].as_str().unwrap().len(), 64);
    assert_eq!(provenance["compute_dtype"], "f32");
    assert_eq!(provenance["augmentation"], json!({"recipe": "none", "views": 1, "seed": 0}));
    assert_eq!(provenance["preprocessing"]["size"], 32);
    assert_eq!(provenance["preprocessing"]["channels"], 1);
    assert!(provenance["decoder"].as_str().unwrap().contains("turbojpeg"));
    let images = std::path::Path::new(provenance["images"].as_str().unwrap());
    assert!(images.is_absolute() && images.ends_with("photos"), "{images:?}");

    let shown = dir.json("inspect x.h5 --verify");
    assert_eq!(&shown["provenance"], provenance);
    assert_eq!(shown["rows"], json!({"total": 4, "images": 4, "done": 4, "failed": 0, "pending": 0}));
    assert_eq!((&shown["complete"], &shown["writer"]), (&json!(true), &Value::Null));
    assert_eq!(shown["classes"][1], json!({"name": "dog", "splits": {"": 2}}));
    assert_eq!(texts(&shown["layers"], "name"), ["conv2:gap", "fc1:flatten"]);
    let layer = &shown["layers"][0];
    assert_eq!((&layer["shape"], &layer["width"], &layer["committed"]), (&json!([16, 10, 10]), &json!(16), &json!(4)));
    assert_eq!((&layer["store"], &layer["device"]), (&json!("f32"), &json!("cpu")));
    assert_eq!(shown["verified"]["problem_count"], 0);
    let shown = dir.run("inspect x.h5");
    says(&shown, &["4 done", "lenet5", "random:0", "conv2:gap", "complete", "dog"]);
    // People see the whole provenance too.
    let texts = |field: &Value| field.as_array().unwrap().iter().map(Value::to_string).collect::<Vec<_>>().join(", ");
    let input = &provenance["preprocessing"];
    says(
        &shown,
        &[
            &format!("1 channels, mean {}, standard deviation {}", texts(&input["mean"]), texts(&input["std"])),
            provenance["decoder"].as_str().unwrap(),
            "none, 1 view(s) per image",
            &format!("headstart {}, file format 1", env!("CARGO_PKG_VERSION")),
        ],
    );
}

#[test]
fn size_and_time_are_told_before_a_run_of_any_length() {
    let dir = Dir::new();
    dir.class_folders("photos", &["cat"], 3);
    // One of three cannot be used, and the time is still known.
    dir.write("photos/cat/000.png", "no picture");
    let said = dir.headstart(&format!("extract --images photos {LENET} --layers fc1 -o x.h5")).run().exits(0).stderr;
    let plan = said.lines().next().unwrap();
    assert!(plan.starts_with("3 images to do: 1.0 kB of activations, about ") && plan.ends_with(" s"), "{said}");
}

#[test]
fn split_folders_become_splits() {
    let dir = Dir::new();
    dir.class_folders("photos/train", &["cat", "dog"], 2);
    dir.class_folders("photos/val", &["cat", "dog"], 1);
    dir.run(&format!("extract --images photos {LENET} --layers fc1 -o x.h5"));
    let file = Contents::read(dir.path("x.h5"));
    assert_eq!(file.path[0], "train/cat/000.png");
    assert_eq!(file.split, ["train", "train", "train", "train", "val", "val"]);
    assert_eq!(file.label, [0, 0, 1, 1, 0, 1]);
    let shown = dir.json("inspect x.h5");
    assert_eq!(shown["classes"][0]["splits"], json!({"train": 2, "val": 1}));
}

#[test]
fn a_flat_folder_has_no_labels() {
    let dir = Dir::new();
    for index in 0..3 {
        dir.picture(&format!("photos/{index}.png"), 0, index);
    }
    dir.run(&format!("extract --images photos {LENET} --layers fc1 -o x.h5"));
    let file = Contents::read(dir.path("x.h5"));
    assert_eq!(file.path, ["0.png", "1.png", "2.png"]);
    assert_eq!(file.label, [-1; 3]);
    assert!(file.classes.is_empty());
    assert_eq!(dir.json("inspect x.h5")["unlabelled"], json!({"": 3}));
    let error = dir.fails("train x.h5 -o x.head");
    says(&error, &["x.h5", "no labelled", "class folders"]);
}

#[test]
fn paths_in_a_csv_are_relative_to_it() {
    let dir = Dir::new();
    dir.picture("data/a/one.png", 0, 0);
    dir.picture("data/b/two, with a comma.png", 1, 1);
    dir.picture("elsewhere.png", 1, 2);
    let absolute = dir.path("elsewhere.png").display().to_string();
    let list = format!("path,label,split\na/one.png,cat,train\n\"b/two, with a comma.png\",dog,test\n{absolute},,\n");
    dir.write("data/list.csv", list);
    dir.run(&format!("extract --images data/list.csv {LENET} --layers fc1 -o x.h5"));
    let file = Contents::read(dir.path("x.h5"));
    assert_eq!(file.path, ["a/one.png", "b/two, with a comma.png", absolute.as_str()]);
    assert_eq!([file.class(0), file.class(1), file.class(2)], ["cat", "dog", ""]);
    let shown = dir.run("inspect x.h5");
    let rows: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
    for row in [&["class", "images", "test", "train"][..], &["cat", "0", "0", "1"], &["(no", "label)", "1", "0", "0"]] {
        assert!(rows.iter().any(|line| line == row), "{row:?} is not in\n{shown}");
    }
    assert_eq!(file.split, ["train", "test", ""]);
    assert_eq!(file.status, [1; 3]);
}

#[test]
fn one_class_is_enough_to_extract() {
    let dir = Dir::new();
    dir.class_folders("photos", &["cat"], 2);
    dir.run(&format!("extract --images photos {LENET} --layers fc1 -o x.h5"));
    assert_eq!(Contents::read(dir.path("x.h5")).label, [0, 0]);
    says(&dir.fails("train x.h5 -o x.head"), &["cat", "at least two classes"]);
    assert!(!dir.exists("x.head"));
}

#[test]
fn a_limit_is_spread_over_the_classes_and_can_be_lifted() {
    let dir = Dir::new();
    dir.class_folders("photos", &["cat", "dog"], 4);
    let command = format!("extract --images photos {LENET} --layers fc1 -o x.h5");
    let summary = dir.json(&format!("{command} --limit 4"));
    assert_eq!((&summary["rows"], &summary["computed"]), (&json!(4), &json!(4)));
    let few = Contents::read(dir.path("x.h5"));
    assert_eq!(few.label, [0, 0, 1, 1]);

    let summary = dir.json(&command);
    assert_eq!((&summary["rows"], &summary["computed"]), (&json!(8), &json!(4)));
    let all = Contents::read(dir.path("x.h5"));
    assert_eq!(all.path[..4], few.path[..]);
    assert_eq!(all.layers[0].values[..4 * 84], few.layers[0].values[..]);
    assert_eq!(all.status, [1; 8]);
}

#[test]
fn size_and_resize_enter_the_provenance_and_change_the_values() {
    let dir = Dir::new();
    dir.class_folders("photos", &["cat"], 2);
    let network = "--backbone squeezenet1_1 --weights random:0";
    let extract = |options: &str, out: &str| {
        dir.run(&format!("extract --images photos {network} --layers features.3 {options} -o {out}"));
        Contents::read(dir.path(out))
    };
    let crop = extract("--size 48", "crop.h5");
    assert_eq!(crop.provenance["preprocessing"]["size"], 48);
    assert_eq!(crop.provenance["preprocessing"]["resize"], "crop");
    // The weights' own 256 to 224, for 48 pixels.
    assert_eq!(crop.provenance["preprocessing"]["shorter_side"], 55);
    let squash = extract("--size 48 --resize squash", "squash.h5");
    assert_eq!(squash.provenance["preprocessing"]["resize"], "squash");
    assert_ne!(crop.layers[0].values, squash.layers[0].values);
    assert_eq!(dir.json("inspect crop.h5")["layers"][0]["shape"], json!([128, 11, 11]));
}

/// Two good pictures of cats among three broken ones.
fn broken_photos(dir: &Dir) {
    dir.class_folders("photos", &["cat", "dog"], 2);
    let jpeg = dir.read(&picture_name("photos", "dog", 1));
    dir.write("photos/cat/empty.png", "");
    dir.write("photos/cat/cut.jpg", &jpeg[..jpeg.len() / 4]);
    dir.write("photos/dog/text.jpg", "a letter to my dog");
}

#[test]
fn broken_images_keep_their_rows_and_reasons() {
    let dir = Dir::new();
    broken_photos(&dir);
    let command = format!("extract --images photos {LENET} --layers conv1,fc1 --batch 5 -o x.h5");
    let outcome = dir.headstart(&command).run().exits(0);
    says(&outcome.stderr, &["cat/cut.jpg: ", "cat/empty.png: ", "dog/text.jpg: "]);
    says(&outcome.stdout, &["7 rows", "3 images could not be used", "headstart inspect x.h5"]);

    let file = Contents::read(dir.path("x.h5"));
    assert_eq!(file.path[2..4], ["cat/cut.jpg", "cat/empty.png"]);
    assert_eq!(file.path[6], "dog/text.jpg");
    assert_eq!(file.status, [1, 1, 2, 2, 1, 1, 2]);
    assert_eq!(file.label, [0, 0, 0, 0, 1, 1, 1]);
    for row in 0..7 {
        let failed = file.status[row] == 2;
        assert_eq!(!file.error[row].is_empty(), failed, "row {row}: {:?}", file.error[row]);
        for layer in &file.layers {
            assert!(layer.row(row).iter().all(|value| value.is_nan() == failed), "{} row {row}", layer.name);
        }
    }

    // Nobody's values have moved: each row holds what it holds without the broken ones.
    let clean = Dir::new();
    clean.class_folders("photos", &["cat", "dog"], 2);
    clean.run(&format!("extract --images photos {LENET} --layers conv1,fc1 --batch 1 -o x.h5"));
    let clean = Contents::read(clean.path("x.h5"));
    for (row, path) in clean.path.iter().enumerate() {
        let here = file.path.iter().position(|own| own == path).unwrap();
        for (a, b) in file.layer("fc1:flatten").row(here).iter().zip(clean.layer("fc1:flatten").row(row)) {
            assert!((a - b).abs() <= 1e-5 * b.abs().max(1.0), "{path}: {a} {b}");
        }
    }

    let shown = dir.json("inspect x.h5 --verify");
    assert_eq!(shown["rows"], json!({"total": 7, "images": 7, "done": 4, "failed": 3, "pending": 0}));
    assert_eq!(texts(&shown["failed"], "path"), ["cat/cut.jpg", "cat/empty.png", "dog/text.jpg"]);
    assert_eq!(texts(&shown["failed"], "reason"), [2, 3, 6].map(|row: usize| file.error[row].clone()));
    says(&dir.run("inspect x.h5"), &["row 6  dog/text.jpg: "]);
}

#[test]
fn strict_and_fail_turn_broken_images_into_exit_codes() {
    let dir = Dir::new();
    broken_photos(&dir);
    let command = format!("extract --images photos {LENET} --layers fc1 --batch 1");
    dir.headstart(&format!("{command} --strict -o strict.h5")).run().exits(3);
    assert_eq!(Contents::read(dir.path("strict.h5")).status, [1, 1, 2, 2, 1, 1, 2]);
    // Also when there is nothing left to do.
    dir.headstart(&format!("{command} --strict -o strict.h5")).run().exits(3);

    let error = dir.fails(&format!("{command} --on-bad-image fail -o fail.h5"));
    says(&error, &["cat/cut.jpg", "--on-bad-image skip"]);
    // What came before is kept, and the way out works.
    assert_eq!(dir.json("inspect fail.h5")["rows"]["done"], 2);
    dir.run(&format!("{command} --on-bad-image skip -o fail.h5"));
    assert_eq!(Contents::read(dir.path("fail.h5")), Contents::read(dir.path("strict.h5")));
}

#[test]
fn retry_failed_replaces_the_rows_that_have_been_mended() {
    let dir = Dir::new();
    broken_photos(&dir);
    let command = format!("extract --images photos {LENET} --layers conv1,fc1 -o x.h5");
    dir.run(&command);
    dir.picture("photos/cat/empty.png", 0, 7);
    dir.picture("photos/dog/text.jpg", 1, 8);
    assert_eq!(dir.json(&command)["computed"], 0, "failed rows are not tried again unasked");
    let summary = dir.json(&format!("{command} --retry-failed"));
    assert_eq!(summary["computed"], 2);

    let mended = Contents::read(dir.path("x.h5"));
    assert_eq!(mended.status, [1, 1, 2, 1, 1, 1, 1]);
    assert_eq!((mended.error[3].as_str(), mended.error[6].as_str()), ("", ""));
    assert!(!mended.error[2].is_empty());
    dir.run(&format!("extract --images photos {LENET} --layers conv1,fc1 --batch 1 -o anew.h5"));
    let anew = Contents::read(dir.path("anew.h5"));
    for (layer, other) in mended.layers.iter().zip(&anew.layers) {
        for row in [3, 6] {
            for (a, b) in layer.row(row).iter().zip(other.row(row)) {
                assert!((a - b).abs() <= 1e-5 * b.abs().max(1.0), "{} row {row}: {a} {b}", layer.name);
            }
        }
    }
}

#[test]
fn a_folder_of_nothing_but_broken_images_still_ends_well() {
    let dir = Dir::new();
    dir.write("photos/cat/a.jpg", "");
    dir.write("photos/dog/b.jpg", "");
    dir.run(&format!("extract --images photos {LENET} --layers fc1 -o x.h5"));
    assert_eq!(Contents::read(dir.path("x.h5")).status, [2, 2]);
}

#[test]
fn the_summary_tells_the_time_of_every_stage() {
    let dir = Dir::new();
    dir.class_folders("photos", &["cat"], 3);
    let outcome = dir.headstart(&format!("extract --images photos {LENET} --layers fc1 -o x.h5")).run().exits(0);
    says(&outcome.stderr, &["3 images to do", "of activations"]);
    says(&outcome.stdout, &["x.h5", "images/s) on cpu", "reading", "decoding", "network", "writing"]);
    let summary = dir.json(&format!("extract --images photos {LENET} --layers fc2 -o x.h5"));
    for stage in ["decode", "forward", "write", "total"] {
        assert!(summary["seconds"][stage].as_f64().unwrap() > 0.0, "{stage}");
    }
    assert!(summary["rate"].as_f64().unwrap() > 0.0);
}
