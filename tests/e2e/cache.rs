//! A cache grows: layers and images are added, and only what is missing is computed.

use crate::{
    harness::{Dir, says},
    hdf5_file::{Contents, Layer},
    pictures::picture_name,
};
use serde_json::{Value, json};

const LENET: &str = "--backbone lenet5 --weights random:0";

/// Extracts these layers of LeNet-5 from photos/ to x.h5.
fn extract(dir: &Dir, layers: &str) -> Value {
    dir.json(&format!("extract --images photos {LENET} --layers {layers} -o x.h5"))
}

#[track_caller]
fn assert_close(a: &[f32], b: &[f32], tolerance: f32) {
    assert_eq!(a.len(), b.len());
    let largest = b.iter().fold(1e-6_f32, |largest, value| largest.max(value.abs()));
    for (at, (a, b)) in a.iter().zip(b).enumerate() {
        assert!((a - b).abs() <= tolerance * largest, "at {at}: {a} instead of {b} (largest {largest})");
    }
}

#[test]
fn a_layer_added_later_computes_only_itself() {
    let dir = Dir::new();
    dir.class_folders("photos", &["cat", "dog"], 3);
    dir.write("photos/cat/broken.jpg", "");
    extract(&dir, "conv1,fc1");
    let before = Contents::read(dir.path("x.h5"));

    // Other pictures under the same names: whatever is computed again would change.
    dir.picture(&picture_name("photos", "cat", 0), 5, 50);
    dir.picture("photos/cat/broken.jpg", 6, 60);
    let summary = extract(&dir, "conv1,conv2,fc1");
    assert_eq!((&summary["rows"], &summary["computed"]), (&json!(7), &json!(7)));
    let after = Contents::read(dir.path("x.h5"));
    assert_eq!(after.layer("conv1:gap"), before.layer("conv1:gap"));
    assert_eq!(after.layer("fc1:flatten"), before.layer("fc1:flatten"));
    assert_eq!((&after.path, &after.status, &after.error), (&before.path, &before.status, &before.error));
    let added = after.layer("conv2:gap");
    assert_eq!((&added.shape[..], added.committed), (&[7, 16][..], 7));
    let failed = after.path.iter().position(|path| path == "cat/broken.jpg").unwrap();
    for row in 0..7 {
        assert!(added.row(row).iter().all(|value| value.is_nan() == (row == failed)), "row {row}");
    }
    assert_eq!(dir.json("inspect x.h5 --verify")["verified"]["problem_count"], 0);
}

#[test]
fn what_is_complete_is_left_alone() {
    let dir = Dir::new();
    dir.class_folders("photos", &["cat", "dog"], 2);
    extract(&dir, "conv1,fc1");
    let bytes = dir.read("x.h5");

    // No picture is opened and no device looked for: neither could be used.
    for (class, index) in [("cat", 0), ("cat", 1), ("dog", 0), ("dog", 1)] {
        dir.write(&picture_name("photos", class, index), "");
    }
    let again = format!("extract --images photos {LENET} --layers conv1,fc1 --device cuda:9 -o x.h5");
    says(&dir.run(&again), &["x.h5 is complete", "4 rows", "conv1:gap"]);
    let summary = dir.json(&again);
    assert_eq!((&summary["computed"], &summary["device"]), (&json!(0), &Value::Null));
    assert_eq!(summary["failed"], json!([]));
    assert!(dir.read("x.h5") == bytes, "the file was written to");
    // Fewer layers than there are is nothing to do either.
    assert_eq!(extract(&dir, "fc1")["computed"], 0);
}

#[test]
fn new_images_are_appended_and_only_they_are_computed() {
    let dir = Dir::new();
    dir.class_folders("photos", &["cat", "dog"], 2);
    extract(&dir, "conv1,fc1");
    let before = Contents::read(dir.path("x.h5"));

    // One sorts before all others, one is of a new class; an old one is another picture now, which nobody looks at.
    dir.picture("photos/cat/000-first.png", 0, 9);
    dir.picture("photos/bird/000.png", 2, 0);
    dir.picture(&picture_name("photos", "dog", 0), 7, 70);
    let summary = extract(&dir, "conv1,fc1");
    assert_eq!((&summary["rows"], &summary["computed"]), (&json!(6), &json!(2)));
    let after = Contents::read(dir.path("x.h5"));
    assert_eq!(after.path[..4], before.path[..]);
    assert_eq!(after.path[4..], ["bird/000.png", "cat/000-first.png"]);
    assert_eq!(after.classes, ["cat", "dog", "bird"]);
    assert_eq!((after.class(2), after.class(4), after.class(5)), ("dog", "bird", "cat"));
    for (old, new) in before.layers.iter().zip(&after.layers) {
        assert_eq!(new.values[..old.values.len()], old.values[..], "{}", old.name);
        assert!(new.row(4).iter().chain(new.row(5)).all(|value| value.is_finite()), "{}", old.name);
    }
    assert_eq!(after.status, [1; 6]);
}

#[test]
fn images_that_are_gone_keep_their_rows() {
    let dir = Dir::new();
    dir.class_folders("photos", &["cat", "dog"], 2);
    extract(&dir, "fc1");
    let before = Contents::read(dir.path("x.h5"));
    std::fs::remove_file(dir.path(&picture_name("photos", "cat", 1))).unwrap();
    let summary = extract(&dir, "fc1");
    assert_eq!((&summary["computed"], &summary["unlisted"], &summary["rows"]), (&json!(0), &json!(1), &json!(4)));
    assert_eq!(Contents::read(dir.path("x.h5")), before);
}

#[test]
fn a_layer_cannot_be_added_without_the_images_that_others_have() {
    let dir = Dir::new();
    dir.class_folders("photos", &["cat", "dog"], 2);
    extract(&dir, "fc1");
    let before = Contents::read(dir.path("x.h5"));
    let gone = picture_name("photos", "cat", 1);
    let picture = dir.read(&gone);
    std::fs::remove_file(dir.path(&gone)).unwrap();
    let message = dir.fails(&format!("extract --images photos {LENET} --layers conv1 -o x.h5"));
    says(&message, &["cat/001.", "put it back", "-o"]);
    let after = Contents::read(dir.path("x.h5"));
    assert_eq!((&after.status, after.layer("fc1:flatten")), (&before.status, before.layer("fc1:flatten")));
    dir.write(&gone, picture);
    assert_eq!(extract(&dir, "conv1")["computed"], 4);
}

#[test]
fn pools_agree_with_the_raw_map() {
    let dir = Dir::new();
    dir.class_folders("photos", &["cat", "dog"], 2);
    let pools =
        ["raw", "flatten", "gap", "gmp", "gem3", "grid2", "grid4"].map(|pool| format!("conv1:{pool}")).join(",");
    let summary = dir.json(&format!("extract --images photos {LENET} --layers {pools} --store f32 -o x.h5"));
    assert_eq!(summary["computed"], 4, "all layers in one pass");
    let file = Contents::read(dir.path("x.h5"));
    let raw = file.layer("conv1:raw");
    assert_eq!(raw.shape, [4, 6, 28, 28]);
    assert_eq!(file.layer("conv1:flatten").values, raw.values);
    for row in 0..4 {
        let maps: Vec<&[f32]> = raw.row(row).chunks_exact(28 * 28).collect();
        let mean = |values: &mut dyn Iterator<Item = f32>| {
            let (sum, count) = values.fold((0.0_f64, 0), |(sum, count), value| (sum + f64::from(value), count + 1));
            (sum / f64::from(count)) as f32
        };
        let each = |pool: &dyn Fn(&[f32]) -> f32| maps.iter().map(|map| pool(map)).collect::<Vec<f32>>();
        assert_close(file.layer("conv1:gap").row(row), &each(&|map| mean(&mut map.iter().copied())), 1e-5);
        let largest = |map: &[f32]| map.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        assert_close(file.layer("conv1:gmp").row(row), &each(&largest), 0.0);
        let cubes = |map: &[f32]| mean(&mut map.iter().map(|value| value.max(1e-6).powi(3))).cbrt();
        assert_close(file.layer("conv1:gem3").row(row), &each(&cubes), 1e-5);
        for cells in [2, 4] {
            let side = 28 / cells;
            let mut expected = Vec::new();
            for map in &maps {
                for (top, left) in (0..cells * cells).map(|cell| (cell / cells * side, cell % cells * side)) {
                    let rows = (top..top + side).flat_map(|y| &map[y * 28 + left..y * 28 + left + side]);
                    expected.push(mean(&mut rows.copied()));
                }
            }
            assert_close(file.layer(&format!("conv1:grid{cells}")).row(row), &expected, 1e-5);
        }
    }
}

#[test]
fn half_precision_is_stored_where_asked_and_for_raw_maps() {
    let dir = Dir::new();
    dir.class_folders("photos", &["cat"], 3);
    let extract = |options: &str, out: &str| {
        dir.run(&format!("extract --images photos {LENET} --layers conv1:raw,conv2,fc1 {options} -o {out}"));
        Contents::read(dir.path(out))
    };
    let sizes = |file: &Contents| file.layers.iter().map(|layer| layer.value_bytes).collect::<Vec<_>>();
    let (default, half, full) = (extract("", "d.h5"), extract("--store f16", "h.h5"), extract("--store f32", "f.h5"));
    assert_eq!(sizes(&default), [2, 4, 4]);
    assert_eq!(sizes(&half), [2, 2, 2]);
    assert_eq!(sizes(&full), [4, 4, 4]);
    for (half, full) in half.layers.iter().zip(&full.layers) {
        assert_close(&half.values, &full.values, 1e-3);
        assert_ne!(half.values, full.values);
    }
    // Precision of storage is no part of the key, but one layer has one.
    let error = dir.fails(&format!("extract --images photos {LENET} --layers conv2 --store f16 -o f.h5"));
    says(&error, &["f.h5", "conv2:gap", "f32", "f16"]);
}

#[test]
fn the_size_of_a_batch_does_not_matter() {
    let dir = Dir::new();
    dir.class_folders("photos", &["cat", "dog"], 4);
    let extract = |batch: &str, out: &str| {
        dir.run(&format!(
            "extract --images photos --backbone squeezenet1_1 --weights random:0 --size 48 --layers stages --batch {batch} -o {out}"
        ));
        Contents::read(dir.path(out))
    };
    let (one, three, all) = (extract("1", "1.h5"), extract("3", "3.h5"), extract("64", "64.h5"));
    for (at, layer) in one.layers.iter().enumerate() {
        assert_close(&three.layers[at].values, &layer.values, 1e-5);
        assert_close(&all.layers[at].values, &layer.values, 1e-5);
    }
}

#[test]
fn a_module_its_last_node_and_a_glob_give_the_same_values() {
    let dir = Dir::new();
    dir.class_folders("photos", &["cat"], 3);
    let network = "--backbone resnet18 --weights random:0 --size 32";
    dir.run(&format!("extract --images photos {network} --layers layer1,layer1.1.relu_1,stages,layer[34] -o x.h5"));
    let file = Contents::read(dir.path("x.h5"));
    let names: Vec<&str> = file.layers.iter().map(|layer| layer.name.as_str()).collect();
    assert_eq!(names, ["layer1.1.relu_1:gap", "layer1:gap", "layer2:gap", "layer3:gap", "layer4:gap"]);
    let values = |layer: &str| &file.layer(layer).values;
    assert_eq!(values("layer1:gap"), values("layer1.1.relu_1:gap"));

    // Tapped alone, with everything fused that can be, a layer gives what it gives among all its neighbours.
    dir.run(&format!("extract --images photos {network} --layers layer2 -o alone.h5"));
    let alone = Contents::read(dir.path("alone.h5"));
    dir.run(&format!("extract --images photos {network} --layers all -o all.h5"));
    let all = Contents::read(dir.path("all.h5"));
    let expected: &Layer = file.layer("layer2:gap");
    assert_close(&alone.layers[0].values, &expected.values, 1e-5);
    assert_close(&all.layer("layer2.1.relu_1:gap").values, &expected.values, 1e-5);
    assert!(all.layers.len() > 60, "{}", all.layers.len());
}

#[test]
fn a_row_that_says_something_else_now_is_refused() {
    let dir = Dir::new();
    dir.picture("a.png", 0, 0);
    dir.picture("b.png", 1, 0);
    dir.write("list.csv", "path,label,split\na.png,cat,train\nb.png,dog,train\n");
    let command = format!("extract --images list.csv {LENET} --layers fc1 -o x.h5");
    dir.run(&command);
    let bytes = dir.read("x.h5");
    dir.write("list.csv", "path,label,split\na.png,dog,train\nb.png,dog,train\n");
    says(&dir.fails(&command), &["x.h5", "a.png", "class", "\"cat\"", "\"dog\"", "-o"]);
    dir.write("list.csv", "path,label,split\na.png,cat,val\nb.png,dog,train\n");
    says(&dir.fails(&command), &["a.png", "split", "\"train\"", "\"val\""]);
    assert!(dir.read("x.h5") == bytes, "a refused run changed the file");
}

#[test]
fn verify_finds_what_is_wrong_in_a_row() {
    let dir = Dir::new();
    dir.class_folders("photos", &["cat"], 3);
    extract(&dir, "fc1");
    dir.run("inspect x.h5 --verify");
    {
        let file = hdf5::File::open_rw(dir.path("x.h5")).unwrap();
        let layer = file.dataset("layers/fc1:flatten").unwrap();
        let mut values: Vec<f32> = layer.read_raw().unwrap();
        values[84 + 5] = f32::NAN;
        layer.write_raw(&values).unwrap();
    }
    let outcome = dir.headstart("inspect x.h5 --verify").run().exits(1);
    says(&outcome.stdout, &["1 problem", "fc1:flatten", "row 1"]);
    says(&outcome.stderr, &["x.h5"]);
}
