//! Any schedule of appending, stopping, extending and adding layers ends in the same file as one go.

mod common;

use common::*;
use headstart_cache::{Cache, Store, Writer, verify};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    /// Append up to so many rows to the layers known so far.
    Append(usize),
    /// Drop the writer without finishing, and open the file again.
    Reopen,
    /// Open it again with more images.
    Extend(usize),
    /// Ask for one more layer.
    AddLayer,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1..40_usize).prop_map(Step::Append),
        2 => Just(Step::Reopen),
        1 => (1..30_usize).prop_map(Step::Extend),
        1 => Just(Step::AddLayer),
    ];
    proptest::collection::vec(step, 1..20)
}

const LAYERS: [(&str, usize, Store); 3] = [("a", 3, Store::F32), ("b", 40, Store::F16), ("c", 1, Store::F32)];

fn open(path: &std::path::Path, rows_wanted: usize, layers: usize) -> (Writer, Vec<Filled>) {
    let (mut writer, ids) = Writer::open_or_create(path, &provenance(), &rows(rows_wanted), &classes()).unwrap();
    assert_eq!(ids, (0..rows_wanted).collect::<Vec<_>>());
    let descs: Vec<_> =
        LAYERS[..layers].iter().map(|&(name, width, store)| layer(name, "gap", &[width], store)).collect();
    let ids = writer.add_layers(&descs).unwrap();
    let layers = ids.into_iter().zip(LAYERS).enumerate().map(|(salt, (id, (_, width, _)))| (id, salt, width)).collect();
    (writer, layers)
}

fn append_some(writer: &mut Writer, layers: &[Filled], count: usize) {
    let start = layers.iter().map(|layer| writer.committed(layer.0)).min().unwrap();
    let end = writer.row_count().min(start + count);
    append(writer, start..end, layers);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_schedule_ends_in_the_same_file(steps in steps(), start in 1..60_usize) {
        let (_dir, path) = temporary();
        let (mut images, mut layers) = (start, 1);
        let (mut writer, mut ids) = open(&path, images, layers);
        for step in steps {
            match step {
                Step::Append(count) => append_some(&mut writer, &ids, count),
                other => {
                    match other {
                        Step::Extend(more) => images += more,
                        Step::AddLayer => layers = LAYERS.len().min(layers + 1),
                        Step::Reopen | Step::Append(_) => {}
                    }
                    drop(writer);
                    (writer, ids) = open(&path, images, layers);
                }
            }
            // A reader at any moment sees only what is final, and a consistent file.
            let report = verify(&path).unwrap();
            prop_assert!(report.is_clean(), "{report:?}");
        }
        while !writer.is_complete() {
            append_some(&mut writer, &ids, 33);
        }
        writer.finish().unwrap();

        let cache = Cache::open(&path).unwrap();
        prop_assert_eq!(cache.rows().len(), images);
        for (salt, (name, _, _)) in LAYERS[..layers].iter().enumerate() {
            assert_layer(&cache, name, salt);
        }
        let (_dir, at_once) = temporary();
        let (mut writer, ids) = open(&at_once, images, layers);
        append(&mut writer, 0..images, &ids);
        writer.finish().unwrap();
        let at_once = Cache::open(&at_once).unwrap();
        prop_assert_eq!(cache.rows(), at_once.rows());
        prop_assert_eq!(cache.layers(), at_once.layers());
    }
}
