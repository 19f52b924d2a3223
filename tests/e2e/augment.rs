//! Augmented views: rows of the cache that follow from seed, image and number alone, and that no score counts as images.

use crate::{
    harness::{Dir, says},
    hdf5_file::Contents,
    resume::{advance, caught},
};
use libc::SIGKILL;
use serde_json::{Value, json};
use std::collections::HashMap;

const LENET: &str = "--backbone lenet5 --weights random:0";

/// Rows of a layer by image and view, bit by bit.
fn by_view(file: &Contents, layer: &str) -> HashMap<(String, u32), Vec<u32>> {
    let layer = file.layer(layer);
    let bits = |row: usize| layer.row(row).iter().map(|value| value.to_bits()).collect();
    (0..file.path.len()).map(|row| ((file.path[row].clone(), file.view[row]), bits(row))).collect()
}

/// Two classes of six training and three test pictures each.
fn split_photos() -> Dir {
    let dir = Dir::new();
    dir.class_folders("photos/train", &["cat", "dog"], 6);
    dir.class_folders("photos/test", &["cat", "dog"], 3);
    dir
}

#[test]
fn training_images_get_views_and_test_images_do_not() {
    let dir = split_photos();
    let extract = format!("extract --images photos {LENET} --layers fc1 --batch 1");
    dir.run(&format!("{extract} -o plain.h5"));
    let summary = dir.json(&format!("{extract} --augment standard --views 3 -o x.h5"));
    assert_eq!((&summary["rows"], &summary["images"], &summary["computed"]), (&json!(42), &json!(18), &json!(42)));
    let file = Contents::read(dir.path("x.h5"));
    for row in 0..file.path.len() {
        assert!(file.split[row] == "train" || file.view[row] == 0, "{} view {}", file.path[row], file.view[row]);
    }
    assert_eq!(file.provenance["augmentation"]["recipe"], "standard");
    assert_eq!(file.provenance["augmentation"]["views"], 3);
    assert_eq!(file.provenance["augmentation"]["definition"]["mirror"]["probability"], 0.5);

    // View 0 is what it is without augmentation, and the others are something else.
    let (plain, views) = (Contents::read(dir.path("plain.h5")), by_view(&file, "fc1:flatten"));
    for (key, values) in by_view(&plain, "fc1:flatten") {
        assert!(views[&key] == values, "{key:?}");
        if let Some(other) = views.get(&(key.0.clone(), 1)) {
            assert!(*other != values && *other != views[&(key.0, 2)]);
        }
    }
    let shown = dir.json("inspect x.h5 --verify");
    assert_eq!((&shown["rows"]["total"], &shown["rows"]["images"]), (&json!(42), &json!(18)));
    assert_eq!(shown["verified"]["problem_count"], 0);
    says(
        &dir.run("inspect x.h5"),
        &["42, views of 18 images (42 done", "standard, 3 view(s) per training image, seed 0"],
    );
}

#[test]
fn a_row_follows_from_seed_image_and_view_alone() {
    let dir = Dir::new();
    dir.class_folders("photos", &["cat", "dog"], 4);
    let extract = format!("extract --images photos {LENET} --layers fc1 --augment standard --batch 1");
    let made = dir.headstart(&format!("{extract} --views 4 --augment-seed 7 -o x.h5")).run().exits(0);
    says(&made.stderr, &["views to do"]);
    let whole = by_view(&Contents::read(dir.path("x.h5")), "fc1:flatten");

    // A shard of it, in another order, on one thread.
    dir.write("photos/shard.csv", "path,label\ndog/003.jpg,dog\ncat/001.jpg,cat\n");
    let shard = extract.replace("--images photos", "--images photos/shard.csv");
    let command = dir.headstart(&format!("{shard} --views 4 --augment-seed 7 -o shard.h5"));
    command.env("RAYON_NUM_THREADS", "1").run().exits(0);
    let shard = by_view(&Contents::read(dir.path("shard.h5")), "fc1:flatten");
    assert_eq!(shard.len(), 8);
    for (key, values) in &shard {
        assert!(whole[key] == *values, "{key:?}");
    }
    // More views of the same file: the ones that are there stay, only the others are computed.
    dir.run(&format!("{extract} --views 2 --augment-seed 7 -o grown.h5"));
    let summary = dir.json(&format!("{extract} --views 4 --augment-seed 7 -o grown.h5"));
    assert_eq!((&summary["rows"], &summary["computed"]), (&json!(32), &json!(16)));
    let grown = Contents::read(dir.path("grown.h5"));
    assert!(by_view(&grown, "fc1:flatten") == whole);
    assert_eq!(grown.provenance["augmentation"]["views"], 4);
    // A cache without views gets any.
    let plain = format!("extract --images photos {LENET} --layers fc1 --batch 1 -o late.h5");
    dir.run(&plain);
    assert_eq!(dir.json(&format!("{extract} --views 4 --augment-seed 7 -o late.h5"))["computed"], 24);
    assert!(by_view(&Contents::read(dir.path("late.h5")), "fc1:flatten") == whole);
    // What does not fit is refused, with the way out.
    says(&dir.fails(&plain), &["late.h5", "augmentation: standard in the file, none in this run", "-o"]);
    let fewer = dir.fails(&format!("{extract} --views 3 --augment-seed 7 -o late.h5"));
    says(&fewer, &["augmentation.views: 4 in the file, 3 (as many or more can be asked for) in this run"]);
    says(&dir.fails(&format!("{extract} --views 4 -o late.h5")), &["augmentation.seed: 7 in the file, 0 in this run"]);

    dir.run(&format!("{extract} --views 4 --augment-seed 8 -o other.h5"));
    let other = by_view(&Contents::read(dir.path("other.h5")), "fc1:flatten");
    for ((name, view), values) in &whole {
        assert_eq!(other[&(name.clone(), *view)] == *values, *view == 0, "{name} view {view}");
    }
}

#[test]
fn kills_leave_the_same_views_as_none() {
    let dir = Dir::new();
    dir.class_folders("photos", &["cat", "dog"], 40);
    dir.write("photos/cat/broken.jpg", "broken");
    let extract = format!("extract --images photos {LENET} --layers conv1,fc1 --batch 3 --augment standard --views 5");
    let said = dir.headstart(&format!("{extract} -o whole.h5")).run().exits(0).stderr;
    assert_eq!(said.matches("broken.jpg").count(), 1, "a broken image is told once, not once per view\n{said}");
    let whole = Contents::read(dir.path("whole.h5"));
    assert_eq!(whole.status.iter().filter(|&&status| status == 2).count(), 5);
    let run = caught(&dir, &extract, "killed.h5", whole.status.len() as u64);
    run.signal(SIGKILL);
    assert!(run.wait().code.is_none());
    for rows in [250, 300, 350] {
        let mut run = dir.headstart(&format!("{extract} -o killed.h5")).start();
        advance(&dir, "killed.h5", rows, &mut run);
        run.signal(SIGKILL);
        run.wait();
    }
    dir.run(&format!("{extract} -o killed.h5"));
    assert!(Contents::read(dir.path("killed.h5")) == whole);
}

#[test]
fn views_train_and_only_images_are_scored() {
    let dir = split_photos();
    dir.run(&format!("extract --images photos {LENET} --layers fc1 --augment standard --views 5 --test-views -o x.h5"));
    let shown = dir.json("train x.h5 --cv 3 -o x.head");
    assert_eq!((&shown["training"]["n"], &shown["training"]["images"]), (&json!(60), &json!(12)));
    assert_eq!(shown["selection"]["out_of_fold"]["n"], 12, "held-out views are not scored");
    assert_eq!(shown["training_metrics"]["n"], 12);
    assert_eq!((&shown["test_rows"], &shown["test"]["n"]), (&json!("test"), &json!(6)));
    says(&dir.run("train x.h5 --cv 3 -o x.head"), &["(12 images, 60 rows with their views, 2 classes)"]);
    says(
        &dir.run("sweep x.h5 --cv 3 --c-grid 1e-2:1:2"),
        &["12 training images, 60 rows with their views, 6 test images"],
    );

    assert_eq!(dir.json("evaluate x.head x.h5")["n"], 6);
    assert_eq!(dir.json("evaluate x.head x.h5 --split all")["n"], 18);
    let summed = dir.json("evaluate x.head x.h5 --sum-views");
    assert_eq!(summed["n"], 6);
    // The same from the cache and from the images themselves, by the recipe that the head keeps.
    let cache = dir.json("predict x.head --cache x.h5 --split test --sum-views");
    let plain = dir.json("predict x.head --cache x.h5 --split test");
    dir.write("photos/list.csv", "path,label\ntest/cat/000.png,cat\ntest/dog/001.jpg,dog\n");
    let images = dir.json("predict x.head --images photos/list.csv --sum-views");
    let score = |predictions: &Value, path: &str| -> f64 {
        let of = predictions.as_array().unwrap().iter().find(|one| one["path"] == path).unwrap();
        let guess = of["guesses"].as_array().unwrap().iter().find(|guess| guess["class"] == "cat").unwrap();
        guess["score"].as_f64().unwrap()
    };
    for path in ["test/cat/000.png", "test/dog/001.jpg"] {
        assert!((score(&cache, path) - score(&images, path)).abs() < 1e-4, "{path}");
        assert_ne!(score(&cache, path), score(&plain, path), "{path}: views change the score");
    }
    let right = cache.as_array().unwrap().iter().filter(|one| one["guesses"][0]["class"] == one["label"]).count();
    assert_eq!(summed["accuracy"]["value"].as_f64().unwrap(), right as f64 / 6.0);
    let curve = |options: &str| dir.json(&format!("curve x.h5 --per-class 2 --draws 2 {options}"))["lines"][0].clone();
    assert_eq!(curve("")["test_views"], 1);
    assert_eq!(curve("--sum-views")["test_views"], 5);
    // Heads of images as they are know no views.
    dir.run(&format!("extract --images photos {LENET} --layers fc1 -o plain.h5"));
    dir.run("train plain.h5 --cv 3 -o plain.head");
    says(&dir.fails("predict plain.head photos/test/cat/000.png --sum-views"), &["--sum-views", "--augment"]);
}

#[test]
fn recipes_come_from_files_and_their_mistakes_are_named() {
    let dir = Dir::new();
    dir.class_folders("photos", &["cat"], 2);
    dir.write("my.toml", "[rotation]\ndegrees = [-5, 5]\n[noise]\ndeviation = [1, 2]\n");
    let extract = format!("extract --images photos {LENET} --layers fc1");
    dir.run(&format!("{extract} --augment my.toml --views 2 -o x.h5"));
    let augmentation = &Contents::read(dir.path("x.h5")).provenance["augmentation"];
    assert_eq!((&augmentation["recipe"], &augmentation["views"]), (&json!("my.toml"), &json!(2)));
    assert_eq!(augmentation["definition"]["rotation"], json!({"degrees": [-5.0, 5.0], "probability": 1.0}));
    // The file's text counts, not its name.
    dir.write("same.toml", dir.read("my.toml"));
    assert_eq!(dir.json(&format!("{extract} --augment same.toml --views 2 -o x.h5"))["computed"], 0);
    dir.write("my.toml", "[rotation]\ndegrees = [-6, 6]\n");
    says(&dir.fails(&format!("{extract} --augment my.toml --views 2 -o x.h5")), &["augmentation.definition", "-6"]);

    dir.write("bad.toml", "[rotation]\ndegres = [-6, 6]\n");
    says(&dir.fails(&format!("{extract} --augment bad.toml -o y.h5")), &["bad.toml", "degres", "line 2"]);
    assert!(!dir.exists("y.h5"));
    says(&dir.misused(&format!("{extract} --augment strange -o y.h5")), &["strange", "razavian", ".toml"]);
    says(&dir.misused(&format!("{extract} --augment razavian --views 17 -o y.h5")), &["16 views"]);
    says(&dir.misused(&format!("{extract} --views 4 -o y.h5")), &["--augment"]);
    dir.misused(&format!("{extract} --test-views -o y.h5"));
}
