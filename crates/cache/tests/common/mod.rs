//! What the tests of the cache share: a small dataset whose every value is known.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::path::{Path, PathBuf};
use std::process::Command;

use headstart_cache::{
    Augmentation, Cache, FORMAT_VERSION, LayerDesc, LayerId, Preprocessing, Provenance, Resize, RowOutcome, RowSpec,
    Store, WeightsId, Writer,
};

pub fn provenance() -> Provenance {
    Provenance {
        format_version: FORMAT_VERSION,
        tool_version: "0.1.0".into(),
        backbone: "resnet18".into(),
        weights: WeightsId { source: "random:0".into(), sha256: "ab".repeat(32) },
        preprocessing: Some(Preprocessing {
            size: 224,
            resize: Resize::Crop,
            shorter_side: 256,
            channels: 3,
            mean: vec![0.485, 0.456, 0.406],
            std: vec![0.229, 0.224, 0.225],
        }),
        decoder: Some("turbojpeg".into()),
        compute_dtype: "f32".into(),
        augmentation: Augmentation::none(),
        images: Some("/photos".into()),
    }
}

pub fn classes() -> Vec<String> {
    vec!["bee".into(), "fourmi rouge é".into()]
}

pub fn rows(n: usize) -> Vec<RowSpec> {
    let split = |i: usize| if i.is_multiple_of(4) { "val" } else { "train" };
    let row = |i: usize| RowSpec {
        path: format!("dossier été/{i:05}.jpg"),
        label: (i % 3) as i32 - 1,
        split: split(i).into(),
        view: 0,
    };
    (0..n).map(row).collect()
}

pub fn layer(name: &str, pool: &str, stored: &[usize], store: Store) -> LayerDesc {
    LayerDesc {
        layer: name.into(),
        pool: pool.into(),
        shape: if pool == "raw" { stored.to_vec() } else { vec![stored[0], 7, 7] },
        stored: stored.to_vec(),
        store,
        device: "cpu".into(),
        tool_version: "0.1.0".into(),
    }
}

/// The value of a row in a layer of `salt`; exact in f16.
pub fn value(salt: usize, row: usize, column: usize) -> f32 {
    ((row * 31 + column * 7 + salt * 13) % 2003) as f32 / 4.0 - 200.0
}

pub fn values(salt: usize, rows: std::ops::Range<usize>, width: usize) -> Vec<f32> {
    rows.flat_map(|row| (0..width).map(move |column| value(salt, row, column))).collect()
}

/// Every 17th row fails, the same ones each time.
pub fn outcome(row: usize) -> RowOutcome {
    if row % 17 == 5 { RowOutcome::Failed(format!("row {row}: not an image")) } else { RowOutcome::Done }
}

/// A layer of a writer with the salt of its values and its width.
pub type Filled = (LayerId, usize, usize);

/// Appends rows to layers, as [`outcome`] says.
pub fn append(writer: &mut Writer, rows: std::ops::Range<usize>, layers: &[Filled]) {
    let outcomes: Vec<RowOutcome> = rows.clone().map(outcome).collect();
    let data: Vec<Vec<f32>> = layers.iter().map(|&(_, salt, width)| values(salt, rows.clone(), width)).collect();
    let slices: Vec<(LayerId, &[f32])> = layers.iter().zip(&data).map(|(layer, data)| (layer.0, &data[..])).collect();
    writer.append(rows.start, &outcomes, &slices).unwrap();
}

/// Checks rows, statuses and every value of a layer that [`append`] filled to the end.
pub fn assert_layer(cache: &Cache, name: &str, salt: usize) {
    let layer = cache.find_layer(name).unwrap();
    assert_eq!(layer.committed, cache.rows().len());
    let read = cache.read(layer, 0..layer.committed).unwrap();
    for (row, read) in read.outer_iter().enumerate() {
        for (column, &read) in read.iter().enumerate() {
            match outcome(row) {
                RowOutcome::Done => assert_eq!(read, value(salt, row, column), "{name} row {row} column {column}"),
                RowOutcome::Failed(_) => assert!(read.is_nan(), "{name} row {row} failed but has {read}"),
            }
        }
    }
}

/// A fresh folder and a file name in it.
pub fn temporary() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.h5");
    (dir, path)
}

/// This test binary again, running just the test `name`, which finds `value` in the variable `CACHE_TEST_CHILD`.
pub fn child(name: &str, value: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([name, "--exact", "--nocapture"]).env("CACHE_TEST_CHILD", value);
    command
}

/// In the child, what the parent passed; nothing when the test runs by itself.
pub fn child_argument() -> Option<PathBuf> {
    std::env::var_os("CACHE_TEST_CHILD").map(PathBuf::from)
}

/// A Python with these modules: `python3`, or what `HEADSTART_PYTHON` names. A test without it says so and passes.
pub fn python(modules: &str) -> Option<Command> {
    let python = std::env::var("HEADSTART_PYTHON").unwrap_or_else(|_| "python3".into());
    let has = Command::new(&python).args(["-c", &format!("import {modules}")]).output();
    if has.is_ok_and(|output| output.status.success()) {
        return Some(Command::new(python));
    }
    eprintln!("SKIPPED: {python} has no {modules} (set HEADSTART_PYTHON to one that has)");
    None
}
