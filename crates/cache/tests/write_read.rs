//! What is written is what is read, and everything else is refused in words.

mod common;

use common::*;
use headstart_cache::{
    Augmentation, Cache, Error, Outline, Provenance, RowDigest, RowOutcome, RowSpec, Status, Store, Writer, summarize,
    verify,
};

#[test]
fn f32_f16_and_raw_layers_come_back_as_written() {
    let (dir, path) = temporary();
    let (mut writer, ids) = Writer::open_or_create(&path, &provenance(), &rows(150), &classes()).unwrap();
    assert_eq!(ids, (0..150).collect::<Vec<_>>());
    let layers = [
        layer("layer4", "gap", &[33], Store::F32),
        layer("layer4", "gmp", &[33], Store::F16),
        layer("layer1", "raw", &[4, 5, 3], Store::F16),
    ];
    let ids = writer.add_layers(&layers).unwrap();
    for first in (0..150).step_by(64) {
        append(&mut writer, first..150.min(first + 64), &[(ids[0], 0, 33), (ids[1], 1, 33), (ids[2], 2, 60)]);
    }
    assert!(writer.is_complete());
    writer.finish().unwrap();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no lock, journal or temporary file is left");

    let cache = Cache::open(&path).unwrap();
    assert!(cache.is_complete());
    assert_eq!(cache.provenance(), &provenance());
    assert_eq!(cache.classes(), classes());
    for (row, spec) in rows(150).into_iter().enumerate() {
        let own = cache.rows();
        let (path, split) = (own.path[row].clone(), own.split[row].clone());
        assert_eq!(RowSpec { path, label: own.label[row], split, view: own.view[row] }, spec);
        match outcome(row) {
            RowOutcome::Done => assert_eq!((own.status[row], own.error[row].as_str()), (Status::Done, "")),
            RowOutcome::Failed(why) => assert_eq!((own.status[row], &own.error[row]), (Status::Failed, &why)),
        }
    }
    assert_layer(&cache, "layer4:gap", 0);
    assert_layer(&cache, "layer4:gmp", 1);
    assert_layer(&cache, "layer1", 2);
    assert_eq!(cache.find_layer("layer1:raw").unwrap().stored, [4, 5, 3]);
    assert_eq!(cache.find_layer("layer4").unwrap().name, "layer4:gap");

    let report = verify(&path).unwrap();
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(report.values_checked, 150 * (33 + 33 + 60));
}

/// The digest of rows as a caller who lists them would make it.
fn digest(rows: &[RowSpec]) -> String {
    let mut digest = RowDigest::new();
    for row in rows {
        let class = usize::try_from(row.label).ok().map(|label| classes()[label].clone());
        digest.push(&row.path, row.view, class.as_deref(), &row.split);
    }
    digest.finish()
}

#[test]
fn an_outline_knows_the_rows_without_reading_them() {
    let (_dir, path) = temporary();
    let (mut writer, _) = Writer::open_or_create(&path, &provenance(), &rows(20), &classes()).unwrap();
    let layer = writer.add_layer(&layer("layer4", "gap", &[3], Store::F32)).unwrap();
    append(&mut writer, 0..20, &[(layer, 0, 3)]);
    writer.finish().unwrap();
    let before = Outline::read(&path).unwrap();
    let done = (0..20).filter(|&row| outcome(row) == RowOutcome::Done).count();
    assert_eq!((before.rows, before.done, before.row_digest.as_ref()), (20, done, Some(&digest(&rows(20)))));
    assert_eq!((before.layers.len(), before.layers[0].committed), (1, 20));
    assert_eq!(before.provenance, provenance());

    // More rows, then a file of a time when there was no digest, which gets one with its next rows.
    let extend = |count| drop(Writer::open_or_create(&path, &provenance(), &rows(count), &classes()).unwrap());
    extend(30);
    assert_eq!(Outline::read(&path).unwrap().row_digest, Some(digest(&rows(30))));
    let file = hdf5::File::open_rw(&path).unwrap();
    file.group("rows").unwrap().delete_attr("digest").unwrap();
    file.close().unwrap();
    assert_eq!(Outline::read(&path).unwrap().row_digest, None);
    assert!(verify(&path).unwrap().is_clean());
    extend(31);
    let after = Outline::read(&path).unwrap();
    assert_eq!((after.rows, after.row_digest), (31, Some(digest(&rows(31)))));
    assert!(verify(&path).unwrap().is_clean());
}

#[test]
fn rows_are_read_in_any_order() {
    let (_dir, path) = temporary();
    let (mut writer, _) = Writer::open_or_create(&path, &provenance(), &rows(500), &classes()).unwrap();
    let wide = writer.add_layer(&layer("wide", "gap", &[9000], Store::F16)).unwrap();
    append(&mut writer, 0..500, &[(wide, 3, 9000)]);
    writer.finish().unwrap();
    let cache = Cache::open(&path).unwrap();
    let info = cache.find_layer("wide").unwrap();
    let wanted: Vec<usize> = [499, 0, 0, 77, 78, 80, 3, 301, 300, 499].into_iter().chain((100..200).rev()).collect();
    let read = cache.read_rows(info, &wanted).unwrap();
    for (i, &row) in wanted.iter().enumerate() {
        for column in [0, 1, 8999] {
            let read = read[(i, column)];
            match outcome(row) {
                RowOutcome::Done => assert_eq!(read, value(3, row, column)),
                RowOutcome::Failed(_) => assert!(read.is_nan()),
            }
        }
    }
    assert_eq!(cache.read_rows(info, &[]).unwrap().dim(), (0, 9000));
    assert!(matches!(cache.read_rows(info, &[500]), Err(Error::NotCommitted { wanted: 500, .. })));
    let mut short = vec![0.0; 10];
    assert!(cache.read_into(info, 0..1, &mut short).is_err());
}

#[test]
fn a_layer_added_later_and_rows_added_later_keep_what_is_there() {
    let (_dir, path) = temporary();
    let (mut writer, _) = Writer::open_or_create(&path, &provenance(), &rows(100), &classes()).unwrap();
    let first = writer.add_layer(&layer("a", "gap", &[8], Store::F32)).unwrap();
    append(&mut writer, 0..100, &[(first, 1, 8)]);
    drop(writer);

    // More images, in another order, with another class in front; and another layer.
    let mut more = rows(130);
    more.reverse();
    let other_classes = ["wasp".to_owned(), "fourmi rouge é".into(), "bee".into()];
    for row in &mut more {
        row.label = [-1, 2, 1][(row.label + 1) as usize];
    }
    more.push(RowSpec { path: "new.jpg".into(), label: 0, split: "test".into(), view: 3 });
    let (mut writer, ids) = Writer::open_or_create(&path, &provenance(), &more, &other_classes).unwrap();
    assert_eq!(ids[30..130], (0..100).rev().collect::<Vec<_>>());
    assert_eq!(ids[..30], (100..130).collect::<Vec<_>>());
    assert_eq!((ids[130], writer.row_count()), (130, 131));
    assert_eq!(writer.classes(), ["bee", "fourmi rouge é", "wasp"]);
    assert_eq!(writer.rows().label[130], 2);
    assert_eq!(writer.rows().label[..6], [-1, 0, 1, -1, 0, 1]);
    let ids = writer.add_layers(&[layer("b", "gap", &[5], Store::F16), layer("a", "gap", &[8], Store::F32)]).unwrap();
    assert_eq!((writer.committed(ids[0]), writer.committed(ids[1])), (0, 100));
    // One pass over all rows fills both, each from where it stands.
    for start in (0..131).step_by(40) {
        append(&mut writer, start..131.min(start + 40), &[(ids[0], 2, 5), (ids[1], 1, 8)]);
    }
    writer.finish().unwrap();
    let cache = Cache::open(&path).unwrap();
    assert_layer(&cache, "a", 1);
    assert_layer(&cache, "b", 2);
    assert_eq!(cache.layers()[0].name, "a:gap");
    assert!(verify(&path).unwrap().is_clean());
    let summary = summarize(&path).unwrap();
    assert!(summary.complete && summary.writer.is_none());
    assert_eq!((summary.rows.total, summary.rows.failed, summary.failed.len()), (131, 8, 8));
    assert_eq!(summary.classes[2].splits["test"], 1);
    assert_eq!(summary.failed[0].reason, "row 5: not an image");
    let json = serde_json::to_value(&summary).unwrap();
    assert_eq!(json["layers"][0]["store"], "f32");
}

#[test]
fn other_settings_are_refused_with_every_difference() {
    let (_dir, path) = temporary();
    Writer::open_or_create(&path, &provenance(), &rows(3), &classes()).unwrap().0.finish().unwrap();
    let mut other = provenance();
    other.weights.sha256 = "cd".repeat(32);
    other.preprocessing.as_mut().unwrap().size = 192;
    let error = Writer::open_or_create(&path, &other, &rows(3), &classes()).unwrap_err();
    let Error::KeyMismatch { differences, .. } = &error else { panic!("{error}") };
    let parts: Vec<&str> = differences.iter().map(|difference| difference.part.as_str()).collect();
    assert_eq!(parts, ["weights", "preprocessing.size"]);
    assert!(error.to_string().contains("224 in the file, 192 in this run"), "{error}");
    // What is not part of the key may differ.
    let mut moved = provenance();
    (moved.images, moved.tool_version) = (Some("/elsewhere".into()), "9.9".into());
    Writer::open_or_create(&path, &moved, &rows(3), &classes()).unwrap();
}

#[test]
fn changed_and_senseless_rows_are_refused_by_name() {
    let (_dir, path) = temporary();
    Writer::open_or_create(&path, &provenance(), &rows(3), &classes()).unwrap().0.finish().unwrap();
    let attempt = |change: &dyn Fn(&mut Vec<RowSpec>)| {
        let mut rows = rows(3);
        change(&mut rows);
        Writer::open_or_create(&path, &provenance(), &rows, &classes()).unwrap_err().to_string()
    };
    let error = attempt(&|rows| rows[1].label = 1);
    assert!(error.contains("00001.jpg") && error.contains("\"bee\"") && error.contains("fourmi"), "{error}");
    let error = attempt(&|rows| rows[2].split = "test".into());
    assert!(error.contains("split") && error.contains("00002.jpg"), "{error}");
    let error = attempt(&|rows| rows[2].label = 2);
    assert!(error.contains("label 2"), "{error}");
    let error = attempt(&|rows| rows[2] = rows[1].clone());
    assert!(error.contains("same path and view as row 1"), "{error}");
    // All of this left the file as it was.
    assert_eq!(Cache::open(&path).unwrap().rows().len(), 3);
}

#[test]
fn a_layer_of_another_shape_or_type_is_refused() {
    let (_dir, path) = temporary();
    let (mut writer, _) = Writer::open_or_create(&path, &provenance(), &rows(3), &classes()).unwrap();
    writer.add_layer(&layer("a", "gap", &[8], Store::F32)).unwrap();
    let error = writer.add_layer(&layer("a", "gap", &[9], Store::F32)).unwrap_err().to_string();
    assert!(error.contains("[8]") && error.contains("[9]"), "{error}");
    let error = writer.add_layer(&layer("a", "gap", &[8], Store::F16)).unwrap_err().to_string();
    assert!(error.contains("f32") && error.contains("f16"), "{error}");
    for (name, stored) in [("", &[8][..]), ("a/b", &[8]), ("c", &[]), ("c", &[4, 0])] {
        let mut desc = layer("c", "gap", &[1], Store::F32);
        (desc.layer, desc.stored) = (name.into(), stored.to_vec());
        assert!(matches!(writer.add_layer(&desc), Err(Error::BadSchema(_))), "{name} {stored:?}");
    }
    let cache = Cache::open(&path).unwrap();
    let error = cache.find_layer("aa").unwrap_err().to_string();
    assert!(error.contains("did you mean a:gap"), "{error}");
}

#[test]
fn values_that_cannot_be_kept_are_errors_and_write_nothing() {
    let (_dir, path) = temporary();
    let (mut writer, _) = Writer::open_or_create(&path, &provenance(), &rows(4), &classes()).unwrap();
    let half = writer.add_layer(&layer("half", "gap", &[2], Store::F16)).unwrap();
    let full = writer.add_layer(&layer("full", "gap", &[2], Store::F32)).unwrap();
    let done = [RowOutcome::Done, RowOutcome::Done];
    let error = writer.append(0, &done, &[(half, &[1.0, 2.0, 3.0, -65505.0])]).unwrap_err().to_string();
    for part in ["half:gap", "row 1", "00001.jpg", "--store f32"] {
        assert!(error.contains(part), "{error}");
    }
    for bad in [f32::NAN, f32::INFINITY, -f32::NAN] {
        let error = writer.append(0, &done, &[(full, &[1.0, bad, 3.0, 4.0])]).unwrap_err();
        assert!(matches!(error, Error::NonFinite { row: 0, .. }), "{error}");
    }
    let gap = writer.append(2, &done, &[(full, &[0.0; 4])]).unwrap_err();
    assert!(matches!(gap, Error::Misuse { .. }), "{gap}");
    assert!(matches!(writer.append(0, &done, &[(full, &[0.0; 3])]), Err(Error::Misuse { .. })));
    assert!(matches!(writer.append(3, &done, &[(full, &[0.0; 4])]), Err(Error::Misuse { .. })));
    assert_eq!(writer.committed(half) + writer.committed(full), 0);
    // The writer still works, the largest half fits, and the values of a failed row do not matter.
    let outcomes = [RowOutcome::Done, RowOutcome::Failed("x".into())];
    writer
        .append(0, &outcomes, &[(half, &[65504.0, -65504.0, f32::NAN, 1e9]), (full, &[f32::MAX, 0.0, f32::NAN, 0.0])])
        .unwrap();
    drop(writer);
    let cache = Cache::open(&path).unwrap();
    assert_eq!(cache.read(cache.find_layer("half").unwrap(), 0..1).unwrap().as_slice().unwrap(), [65504.0, -65504.0]);
    assert!(cache.read(cache.find_layer("full").unwrap(), 0..3).is_err());
}

#[test]
fn failed_rows_stay_failed_until_retried_in_every_layer() {
    let (_dir, path) = temporary();
    let (mut writer, _) = Writer::open_or_create(&path, &provenance(), &rows(3), &classes()).unwrap();
    let a = writer.add_layer(&layer("a", "gap", &[2], Store::F32)).unwrap();
    let failed = |why: &str| RowOutcome::Failed(why.into());
    let outcomes = [RowOutcome::Done, failed("truncated"), RowOutcome::Done];
    writer.append(0, &outcomes, &[(a, &[1.0, 1.0, 0.0, 0.0, 3.0, 3.0])]).unwrap();
    // Another layer: row 1 could be read this time, row 2 could not.
    let b = writer.add_layer(&layer("b", "gap", &[1], Store::F16)).unwrap();
    let outcomes = [RowOutcome::Done, RowOutcome::Done, failed("gone")];
    writer.append(0, &outcomes, &[(b, &[1.0, 2.0, 3.0])]).unwrap();
    assert_eq!(writer.rows().status, [Status::Done, Status::Failed, Status::Failed]);
    assert_eq!(writer.rows().error, ["", "truncated", "gone"]);
    writer.finish().unwrap();
    let report = verify(&path).unwrap();
    assert!(report.is_clean(), "{report:?}");

    let (mut writer, _) = Writer::open_or_create(&path, &provenance(), &rows(3), &classes()).unwrap();
    let ids: Vec<_> = writer.layers().map(|(id, _)| id).collect();
    let done = [RowOutcome::Done];
    assert!(writer.rewrite(&[0], &done, &[(ids[0], &[9.0, 9.0]), (ids[1], &[9.0])]).is_err(), "row 0 has not failed");
    let error = writer.rewrite(&[1], &done, &[(ids[0], &[2.0, 2.0])]).unwrap_err().to_string();
    assert!(error.contains("b:gap"), "{error}");
    let again = [failed("still gone"), RowOutcome::Done];
    writer.rewrite(&[2, 1], &again, &[(ids[0], &[0.0, 0.0, 2.0, 2.5]), (ids[1], &[0.0, 2.0])]).unwrap();
    writer.finish().unwrap();
    let cache = Cache::open(&path).unwrap();
    assert_eq!(cache.rows().status, [Status::Done, Status::Done, Status::Failed]);
    assert_eq!(cache.rows().error, ["", "", "still gone"]);
    assert_eq!(cache.read(cache.find_layer("a").unwrap(), 1..2).unwrap().as_slice().unwrap(), [2.0, 2.5]);
    assert_eq!(cache.read(cache.find_layer("b").unwrap(), 0..2).unwrap().as_slice().unwrap(), [1.0, 2.0]);
    assert!(verify(&path).unwrap().is_clean());
}

#[test]
fn an_empty_dataset_and_unlabelled_rows_are_files_too() {
    let (_dir, path) = temporary();
    let (mut writer, _) = Writer::open_or_create(&path, &provenance(), &[], &[]).unwrap();
    let id = writer.add_layer(&layer("a", "gap", &[2], Store::F32)).unwrap();
    writer.append(0, &[], &[(id, &[])]).unwrap();
    writer.finish().unwrap();
    assert!(verify(&path).unwrap().is_clean());
    let flat: Vec<RowSpec> = rows(5).into_iter().map(|row| RowSpec { label: -1, ..row }).collect();
    let (mut writer, _) = Writer::open_or_create(&path, &provenance(), &flat, &[]).unwrap();
    let id = writer.add_layer(&layer("a", "gap", &[2], Store::F32)).unwrap();
    append(&mut writer, 0..5, &[(id, 1, 2)]);
    writer.finish().unwrap();
    let summary = summarize(&path).unwrap();
    assert_eq!(summary.unlabelled.values().sum::<usize>(), 5);
    assert_layer(&Cache::open(&path).unwrap(), "a", 1);
}

#[test]
fn views_are_added_to_a_file_and_noted_in_it() {
    let (_dir, path) = temporary();
    let augmented = |views: u32, seed: u64, definition: &str| {
        let augmentation = Augmentation { recipe: "some".into(), views, seed, definition: Some(definition.into()) };
        Provenance { augmentation, ..provenance() }
    };
    let views = |count: u32| -> Vec<RowSpec> {
        rows(20).into_iter().flat_map(|row| (0..count).map(move |view| RowSpec { view, ..row.clone() })).collect()
    };
    let open = |run: &Provenance, count: u32| Writer::open_or_create(&path, run, &views(count), &classes());
    let (mut writer, _) = open(&provenance(), 1).unwrap();
    let layer = writer.add_layer(&layer("a", "gap", &[3], Store::F32)).unwrap();
    append(&mut writer, 0..20, &[(layer, 0, 3)]);
    writer.finish().unwrap();
    for count in [2, 4] {
        let (writer, ids) = open(&augmented(count, 5, "x"), count).unwrap();
        assert_eq!(writer.row_count(), 20 * count as usize);
        let first: Vec<usize> = ids.iter().copied().step_by(count as usize).collect();
        assert_eq!(first, (0..20).collect::<Vec<_>>(), "the images themselves stay where they are");
        writer.finish().unwrap();
        let cache = Cache::open(&path).unwrap();
        assert_eq!(cache.provenance(), &augmented(count, 5, "x"));
    }
    let refused = |run: &Provenance, part: &str| match open(run, run.augmentation.views) {
        Err(Error::KeyMismatch { differences, .. }) => {
            let parts: Vec<&str> = differences.iter().map(|difference| difference.part.as_str()).collect();
            assert_eq!(parts, [part]);
        }
        other => panic!("{other:?}"),
    };
    refused(&augmented(3, 5, "x"), "augmentation.views");
    refused(&augmented(4, 6, "x"), "augmentation.seed");
    refused(&augmented(4, 5, "y"), "augmentation.definition");
    refused(&provenance(), "augmentation");
    // What the recipe is called does not matter.
    let mut renamed = augmented(4, 5, "x");
    renamed.augmentation.recipe = "other".into();
    open(&renamed, 4).unwrap().0.finish().unwrap();
    assert_eq!(Cache::open(&path).unwrap().provenance().augmentation.recipe, "some");
    assert!(verify(&path).unwrap().is_clean());
}
