//! `predict --cache`: scores for the rows of a cache, and the files they are written to. No network runs here.

use crate::{
    harness::{Dir, printed_json, python, says, texts},
    npz::Npz,
};
use serde_json::{Value, json};

/// Two classes, 24 rows to train on and 16 to test with, and a head on them.
fn trained(head: &str) -> Dir {
    let dir = Dir::new();
    let x: Vec<f32> = (0..40).flat_map(|row| [(row % 2) as f32 + 0.02 * row as f32, 1.0 / (row + 1) as f32]).collect();
    let y: Vec<&str> = (0..40).map(|row| ["no", "yes"][row % 2]).collect();
    let split: Vec<&str> = (0..40).map(|row| if row < 24 { "train" } else { "test" }).collect();
    let paths: Vec<String> = (0..40).map(|row| format!("{row}.png")).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let npz = Npz::new().floats("X", 2, &x).strings("y", &y).strings("split", &split).strings("paths", &paths);
    npz.save(&dir.path("x.npz"));
    dir.run("import x.npz -o x.h5");
    dir.run(&format!("train x.h5 --head {head} -o x.head"));
    dir
}

fn lines(dir: &Dir, name: &str) -> Vec<Value> {
    let text = String::from_utf8(dir.read(name)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn rows_of_a_split_are_scored_as_evaluate_scores_them() {
    for (head, prefix) in [("logistic", "p"), ("svm", "score")] {
        let dir = trained(head);
        let evaluated = dir.json("evaluate x.head x.h5");
        let summary = dir.json("predict x.head --cache x.h5 --split test -o out/x.jsonl");
        assert_eq!((&summary["images"], &summary["unusable"]), (&json!(16), &json!(0)));
        assert_eq!(summary["accuracy"], evaluated["accuracy"]);
        let rows = lines(&dir, "out/x.jsonl");
        assert_eq!(rows.len(), 16);
        assert_eq!((&rows[0]["path"], &rows[0]["label"]), (&json!("24.png"), &json!("no")));
        let shown = dir.json("predict x.head --cache x.h5 --split test");
        for (row, shown) in rows.iter().zip(shown.as_array().unwrap()) {
            assert_eq!(row["predicted"], shown["guesses"][0]["class"]);
            assert_eq!((&row["path"], &row["label"]), (&shown["path"], &shown["label"]));
            for guess in shown["guesses"].as_array().unwrap() {
                let column = format!("{prefix}:{}", guess["class"].as_str().unwrap());
                assert_eq!(row[column], guess[if head == "logistic" { "probability" } else { "score" }]);
            }
        }
        // Without a split: every row.
        assert_eq!(dir.json("predict x.head --cache x.h5").as_array().unwrap().len(), 40);
        let told = dir.run("predict x.head --cache x.h5 --split test");
        assert_eq!(told.lines().count(), 17);
        says(&told, &["24.png: no ", "16 labelled images: accuracy", "95 % interval"]);
        let told = dir.run("predict x.head --cache x.h5 --split test -o x.csv");
        says(&told, &["x.csv: 16 images, 0 cannot be used\n", "16 labelled images: accuracy"]);
        let csv = String::from_utf8(dir.read("x.csv")).unwrap();
        assert!(csv.starts_with(&format!("path,label,predicted,{prefix}:no,{prefix}:yes,error\n24.png,no,")), "{csv}");
    }
}

#[test]
fn parquet_is_read_by_pyarrow_as_json_lines_are() {
    let dir = trained("logistic");
    for ending in ["jsonl", "parquet"] {
        dir.run(&format!("predict x.head --cache x.h5 -o x.{ending}"));
    }
    let Some(mut command) = python("pyarrow.parquet, json") else { return };
    let script = "import json, pyarrow.parquet as p; t = p.read_table('x.parquet'); \
                  print(json.dumps([t.to_pylist(), [str(f.type) for f in t.schema]]))";
    command.args(["-c", script]).current_dir(dir.path(""));
    let read = printed_json(command);
    assert_eq!(read[0], json!(lines(&dir, "x.jsonl")));
    assert_eq!(read[1], json!(["string", "string", "string", "double", "double", "string"]));
}

#[test]
fn a_cache_that_does_not_fit_is_refused() {
    let dir = trained("svm");
    let npz = Npz::new().floats("X", 1, &[0.0, 1.0]).strings("y", &["no", "yes"]);
    npz.save(&dir.path("narrow.npz"));
    dir.run("import narrow.npz -o narrow.h5");
    says(&dir.fails("predict x.head --cache narrow.h5"), &["x.head", "2 features", "1"]);
    says(&dir.fails("predict x.head --cache x.h5 --split later"), &["x.h5", "'later'", "test, train, all"]);
    says(&dir.fails("predict x.head --cache absent.h5"), &["absent.h5", "no such file"]);
    says(&dir.misused("predict x.head --cache x.h5 -o x.xlsx"), &["x.xlsx", ".parquet"]);
    says(&dir.misused("predict x.head --cache x.h5 a.png"), &["cannot be used with"]);
    says(&dir.misused("predict x.head --split test a.png"), &["--split", "cannot be used with"]);
    says(&dir.misused("predict x.head"), &["--images", "--cache"]);
}

#[test]
fn classes_that_the_head_does_not_know_are_left_out_of_the_accuracy() {
    let dir = trained("svm");
    let npz = Npz::new().floats("X", 2, &[0.0, 1.0, 1.0, 0.5, 0.9, 0.1]).strings("y", &["no", "maybe", "yes"]);
    npz.save(&dir.path("y.npz"));
    dir.run("import y.npz -o y.h5");
    let outcome = dir.headstart("predict x.head --cache y.h5 -o y.jsonl --json").run().exits(0);
    says(&outcome.stderr, &["'maybe'", "1 images are left out"]);
    let summary = outcome.json();
    assert_eq!((&summary["images"], &summary["labelled"]), (&json!(3), &json!(2)));
    assert_eq!(summary["unknown"], json!({"maybe": 1}));
    let rows = lines(&dir, "y.jsonl");
    assert_eq!(texts(&json!(rows), "label"), ["no", "maybe", "yes"]);
}
