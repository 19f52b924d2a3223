//! `predict --images`: images that a CSV file or a folder lists, to a file of predictions.

use crate::harness::{Dir, says};
use serde_json::{Value, json};
use std::{thread::sleep, time::Duration};

/// Three classes of pictures, extracted, and a head on them.
fn trained() -> Dir {
    let dir = Dir::new();
    dir.class_folders("photos", &["cat", "dog", "fox"], 8);
    dir.run("extract --images photos --backbone lenet5 --weights random:0 --layers conv2:grid2 -o x.h5");
    dir.run("train x.h5 --cv 4 -o x.head");
    dir
}

fn lines(dir: &Dir, name: &str) -> Vec<Value> {
    let text = String::from_utf8(dir.read(name)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_csv_of_paths_becomes_a_file_with_a_row_for_each() {
    let dir = trained();
    dir.class_folders("new/pictures", &["cat", "dog", "fox"], 12);
    let mut csv = String::from("camera,path,label\n");
    // More than one batch, and a broken image in the middle.
    for index in 0..12 {
        for class in ["cat", "dog", "fox"] {
            let ending = if index % 2 == 0 { "png" } else { "jpg" };
            csv += &format!("c1,pictures/{class}/{index:03}.{ending},{class}\n");
        }
        if index == 5 {
            csv += "c2,pictures/broken.png,cat\nc2,absent.png,\n";
        }
    }
    dir.write("new/pictures/broken.png", "no picture");
    dir.write("new/list.csv", csv);
    let summary = dir.json("predict x.head --images new/list.csv -o out.jsonl");
    let rows = lines(&dir, "out.jsonl");
    assert_eq!((rows.len(), &summary["images"], &summary["unusable"]), (38, &json!(38), &json!(2)));
    assert_eq!((&rows[18]["path"], &rows[18]["label"]), (&json!("pictures/broken.png"), &json!("cat")));
    assert_eq!((&rows[18]["predicted"], &rows[18]["p:cat"]), (&Value::Null, &Value::Null));
    assert!(rows[18]["error"].is_string());
    says(rows[19]["error"].as_str().unwrap(), &["cannot be read"]);
    assert_eq!((&rows[19]["label"], &rows[20]["error"]), (&Value::Null, &Value::Null));
    let right = rows.iter().filter(|row| !row["predicted"].is_null() && row["predicted"] == row["label"]).count();
    assert_eq!((&summary["labelled"], &summary["right"]), (&json!(36), &json!(right)));
    // A row is what the image is alone.
    let alone = dir.json("predict x.head new/pictures/fox/011.jpg");
    assert_eq!(
        (&rows[37]["path"], &rows[37]["predicted"]),
        (&json!("pictures/fox/011.jpg"), &alone[0]["guesses"][0]["class"])
    );
    let probability = |value: &Value| value.as_f64().unwrap();
    let best = format!("p:{}", rows[37]["predicted"].as_str().unwrap());
    assert!((probability(&rows[37][best]) - probability(&alone[0]["guesses"][0]["probability"])).abs() < 1e-5);

    let told = dir.headstart("predict x.head --images new/list.csv -o out.csv --strict").run().exits(3).stdout;
    says(&told, &["out.csv: 38 images, 2 cannot be used\n", "36 labelled images: accuracy"]);
    says(&dir.run("predict x.head --images new/list.csv"), &["pictures/broken.png: cannot be used", "accuracy"]);
}

#[test]
fn a_folder_is_predicted_as_its_cache_is() {
    let dir = trained();
    dir.run("predict x.head --images photos -o images.jsonl");
    dir.run("predict x.head --cache x.h5 -o cache.jsonl");
    let (images, cache) = (lines(&dir, "images.jsonl"), lines(&dir, "cache.jsonl"));
    assert_eq!(images.len(), 24);
    for (image, row) in images.iter().zip(&cache) {
        for field in ["path", "label", "predicted", "error"] {
            assert_eq!(image[field], row[field]);
        }
        for class in ["p:cat", "p:dog", "p:fox"] {
            assert!((image[class].as_f64().unwrap() - row[class].as_f64().unwrap()).abs() < 1e-5, "{image} {row}");
        }
    }
}

#[test]
fn an_interrupted_file_is_not_there() {
    let dir = trained();
    dir.class_folders("new", &["cat", "dog", "fox"], 200);
    let files = || std::fs::read_dir(dir.path("out")).map_or(0, Iterator::count);
    let mut run = dir.headstart("predict x.head --images new -o out/a.csv").start();
    // It stands still when it is looked at; the file is begun before the weights are there.
    while run.stop() && files() == 0 {
        run.signal(libc::SIGCONT);
        sleep(Duration::from_millis(1));
    }
    assert_eq!(files(), 1);
    run.signal(libc::SIGINT);
    run.signal(libc::SIGCONT);
    says(&run.wait().exits(1).stderr, &["interrupted", "a.csv is not written"]);
    assert_eq!(files(), 0);
}

#[test]
fn images_may_be_named_after_the_option_too() {
    let dir = trained();
    let named = "photos/cat/000.png photos/fox/001.jpg";
    assert_eq!(dir.json(&format!("predict x.head --images {named}")), dir.json(&format!("predict x.head {named}")));
    // Without labels there is no such column.
    dir.run(&format!("predict x.head {named} -o x.csv"));
    assert!(dir.read("x.csv").starts_with(b"path,predicted,p:cat,p:dog,p:fox,error\nphotos/cat/000.png,"));
    dir.write("list.csv", "path\nphotos/cat/000.png\n");
    says(&dir.misused("predict x.head --images list.csv photos/cat/000.png"), &["list.csv", "one folder or CSV file"]);
    dir.write("wrong.csv", "file\nphotos/cat/000.png\n");
    says(&dir.fails("predict x.head --images wrong.csv"), &["wrong.csv", "path"]);
    dir.write("broken.png", "");
    says(&dir.fails("predict x.head broken.png -o none.jsonl"), &["none of the 1 images"]);
    assert!(lines(&dir, "none.jsonl")[0]["error"].is_string(), "the reasons are in the file");
}
