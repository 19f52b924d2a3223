//! `.npz` files become caches, or are refused in words.

mod common;

use std::io::Write;
use std::path::Path;

use common::*;
use headstart_cache::{Cache, Error, Store, import_npz, verify};

/// One `.npy` member, as NumPy writes it.
fn npy(descr: &str, shape: &[usize], bytes: &[u8]) -> Vec<u8> {
    let dims: Vec<String> = shape.iter().map(|dim| format!("{dim},")).collect();
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({}), }}", dims.join(" "));
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((header.len() as u16).to_le_bytes());
    file.extend(header.as_bytes());
    file.extend(bytes);
    file
}

fn floats(shape: &[usize]) -> Vec<u8> {
    let values = 0..shape.iter().product::<usize>();
    npy("<f4", shape, &values.flat_map(|i| (i as f32 / 8.0).to_le_bytes()).collect::<Vec<u8>>())
}

fn integers(values: &[i64]) -> Vec<u8> {
    npy("<i8", &[values.len()], &values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())
}

fn strings(values: &[&str]) -> Vec<u8> {
    let width = values.iter().map(|value| value.chars().count()).max().unwrap_or(0);
    let mut bytes = Vec::new();
    for value in values {
        let characters = value.chars().map(u32::from).chain(std::iter::repeat(0)).take(width);
        bytes.extend(characters.flat_map(u32::to_le_bytes));
    }
    npy(&format!("<U{width}"), &[values.len()], &bytes)
}

fn npz(path: &Path, arrays: &[(&str, Vec<u8>)]) {
    let mut zip = zip::ZipWriter::new(std::fs::File::create(path).unwrap());
    for (name, bytes) in arrays {
        zip.start_file(format!("{name}.npy"), zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap();
}

fn import(arrays: &[(&str, Vec<u8>)]) -> headstart_cache::Result<Cache> {
    let (dir, out) = temporary();
    let file = dir.path().join("features.npz");
    npz(&file, arrays);
    let result = import_npz(&file, &out);
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 1 + usize::from(result.is_ok()), "{left:?}");
    result?;
    assert!(verify(&out).unwrap().is_clean());
    Cache::open(&out)
}

#[test]
fn names_splits_and_paths_are_kept() {
    let cache = import(&[
        ("X", floats(&[4, 3])),
        ("y", strings(&["zèbre", "âne", "", "âne"])),
        ("split", strings(&["train", "train", "", "test"])),
        ("paths", strings(&["a.jpg", "b.jpg", "c.jpg", "d.jpg"])),
    ])
    .unwrap();
    assert_eq!(cache.classes(), ["zèbre", "âne"]);
    assert_eq!(cache.rows().label, [0, 1, -1, 1]);
    assert_eq!(cache.rows().split, ["train", "train", "", "test"]);
    assert_eq!(cache.rows().path[3], "d.jpg");
    assert_eq!(cache.provenance().backbone, "imported");
    let layer = cache.find_layer("features").unwrap();
    assert_eq!((layer.name.as_str(), layer.store), ("features:flatten", Store::F32));
    let expected: Vec<f32> = (0..12).map(|i| i as f32 / 8.0).collect();
    assert_eq!(cache.read(layer, 0..4).unwrap().as_slice().unwrap(), expected);
}

#[test]
fn numbers_are_labels_in_the_usual_ways() {
    let labels = |y: &[i64], classes: Option<&[&str]>| {
        let mut arrays = vec![("X", floats(&[y.len(), 2])), ("y", integers(y))];
        arrays.extend(classes.map(|classes| ("classes", strings(classes))));
        import(&arrays).map(|cache| (cache.rows().label.clone(), cache.classes().to_vec()))
    };
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(labels(&[9, 3, 9], None).unwrap(), (vec![1, 0, 1], names(&["3", "9"])));
    assert_eq!(labels(&[1, -1, 0], None).unwrap(), (vec![1, -1, 0], names(&["0", "1"])));
    assert_eq!(labels(&[1, -1, 1], None).unwrap(), (vec![1, 0, 1], names(&["-1", "1"])));
    assert_eq!(labels(&[1, -1, 1], Some(&["b", "a"])).unwrap(), (vec![1, -1, 1], names(&["b", "a"])));
    let error = labels(&[1, 2], Some(&["b", "a"])).unwrap_err().to_string();
    assert!(error.contains("y has 2") && error.contains("2 classes"), "{error}");
}

#[test]
fn what_does_not_fit_is_refused_in_words() {
    let x = || ("X", floats(&[2, 3]));
    let y = || ("y", integers(&[0, 1]));
    let nan: Vec<u8> = [0.0_f64, 1.0, 1e300].iter().flat_map(|value| value.to_le_bytes()).collect();
    for (arrays, part) in [
        (vec![("Z", floats(&[2, 3])), y()], "no array X"),
        (vec![x()], "the file has X"),
        (vec![("X", floats(&[2, 3, 4])), y()], "reshape"),
        (vec![("X", integers(&[1, 2])), y()], "rows × columns"),
        (vec![("X", npy("<f8", &[3, 1], &nan)), ("y", integers(&[0, 1, 1]))], "X[2, 0] is inf"),
        (vec![x(), ("y", integers(&[0, 1, 2]))], "y has shape [3], and X has 2 rows"),
        (vec![x(), y(), ("split", strings(&["a"]))], "split has shape [1]"),
        (vec![x(), y(), ("split", integers(&[1, 2]))], "split is int64"),
        (vec![x(), ("y", strings(&["a", "b"])), ("classes", strings(&["a"]))], "\"b\", which is not in classes"),
        (vec![x(), ("y", npy("|O", &[2], &[0; 16]))], "never loaded"),
        (vec![x(), ("y", npy("<f4", &[2], &1.5_f32.to_le_bytes().repeat(2)))], "no labels"),
    ] {
        let error = import(&arrays).unwrap_err();
        assert!(matches!(error, Error::Import { .. }), "{error}");
        assert!(error.to_string().contains(part) && error.to_string().contains("features.npz"), "{part}: {error}");
    }
    let twice = import(&[x(), y(), ("paths", strings(&["a", "a"]))]).unwrap_err().to_string();
    assert!(twice.contains("same path and view as row 0"), "{twice}");
    assert!(matches!(import_npz("nowhere.npz", "x.h5"), Err(Error::Import { .. })));
}

#[test]
fn an_existing_file_is_not_touched() {
    let (dir, out) = temporary();
    let file = dir.path().join("features.npz");
    npz(&file, &[("X", floats(&[2, 3])), ("y", integers(&[0, 1]))]);
    std::fs::write(&out, "precious").unwrap();
    assert!(matches!(import_npz(&file, &out), Err(Error::Exists { .. })));
    assert_eq!(std::fs::read(&out).unwrap(), b"precious");
}

#[test]
fn what_numpy_writes_is_read() {
    let Some(mut python) = python("numpy") else { return };
    let (dir, out) = temporary();
    let file = dir.path().join("features.npz");
    let script = "import sys, numpy as np\n\
        X = np.asfortranarray(np.arange(12, dtype='f2').reshape(4, 3))\n\
        np.savez_compressed(sys.argv[1], X=X, y=np.array([True, False, True, True]), split=np.array([b'train'] * 4))";
    assert!(python.args(["-c", script]).arg(&file).status().unwrap().success());
    import_npz(&file, &out).unwrap();
    let cache = Cache::open(&out).unwrap();
    assert_eq!(cache.classes(), ["False", "True"]);
    assert_eq!(cache.rows().label, [1, 0, 1, 1]);
    assert_eq!(cache.rows().path[3], "row-000003");
    let layer = cache.find_layer("features").unwrap();
    assert_eq!(layer.store, Store::F16);
    let expected: Vec<f32> = (0..12).map(|i| i as f32).collect();
    assert_eq!(cache.read(layer, 0..4).unwrap().as_slice().unwrap(), expected);
}
