use super::*;
use headstart_cache::{Augmentation, LayerDesc, Provenance, RowOutcome, RowSpec, Store, WeightsId, Writer};
use std::{path::Path, sync::atomic::AtomicUsize};

fn provenance() -> Provenance {
    Provenance {
        format_version: headstart_cache::FORMAT_VERSION,
        tool_version: "0".into(),
        backbone: "lenet5".into(),
        weights: WeightsId { source: "none".into(), sha256: "0".into() },
        preprocessing: None,
        decoder: None,
        compute_dtype: "f32".into(),
        augmentation: Augmentation::none(),
        images: None,
    }
}

/// A layer of one number.
fn desc(layer: &str, pool: &str) -> LayerDesc {
    LayerDesc {
        layer: layer.into(),
        pool: pool.into(),
        shape: vec![1],
        stored: vec![1],
        store: Store::F32,
        device: "cpu".into(),
        tool_version: "0".into(),
    }
}

/// A cache of twelve rows of two classes and two layers, of which the second has so many rows.
fn cache(path: &Path, second: usize) {
    let provenance = provenance();
    let specs: Vec<RowSpec> =
        (0..12).map(|row| RowSpec { path: row.to_string(), label: row % 2, split: String::new(), view: 0 }).collect();
    let (mut writer, _) = Writer::open_or_create(path, &provenance, &specs, &["no".into(), "yes".into()]).unwrap();
    let layers = writer.add_layers(&[desc("fc1", "flatten"), desc("fc2", "flatten")]).unwrap();
    let values: Vec<f32> = (0..12u8).map(|row| f32::from(row % 2) + f32::from(row) / 50.0).collect();
    for (layer, rows) in layers.into_iter().zip([12, second]) {
        writer.append(0, &vec![RowOutcome::Done; rows], &[(layer, &values[..rows])]).unwrap();
    }
    writer.finish().unwrap();
}

#[test]
fn a_layer_that_is_not_complete_is_found_before_anything_is_trained() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, cut) = (folder.path().join("whole.h5"), folder.path().join("cut.h5"));
    cache(&whole, 12);
    cache(&cut, 7);
    let started = AtomicUsize::new(0);
    let progress = |_: &str, _: usize, _: usize| {
        started.fetch_add(1, Ordering::Relaxed);
    };
    let message = sweep(&options(&[&whole, &cut]), &progress).unwrap_err().to_string();
    assert!(message.contains("cut.h5") && message.contains("fc2:flatten has 7 of 12 rows"), "{message}");
    assert_eq!(started.load(Ordering::Relaxed), 0);
    assert_eq!(sweep(&options(&[&whole]), &progress).unwrap().rows.len(), 2);
    assert_eq!(started.load(Ordering::Relaxed), 2);
}

/// Without layers there is nothing to sweep, and with views there are the same images.
#[test]
fn caches_with_and_without_views_are_compared() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let made = |name: &str, views: u32, layers: &[(&str, &str)]| {
        let augmentation = Augmentation { views, ..Augmentation::none() };
        let provenance = Provenance { augmentation, ..provenance() };
        let spec = |row: u32| RowSpec {
            path: (row / views).to_string(),
            label: (row / views % 2) as i32,
            split: String::new(),
            view: row % views,
        };
        let specs: Vec<RowSpec> = (0..12 * views).map(spec).collect();
        let classes = ["no".into(), "yes".into()];
        let (mut writer, _) = Writer::open_or_create(path(name), &provenance, &specs, &classes).unwrap();
        let descs: Vec<LayerDesc> = layers.iter().map(|(layer, pool)| desc(layer, pool)).collect();
        let values: Vec<f32> =
            specs.iter().enumerate().map(|(row, spec)| spec.label as f32 + row as f32 / 50.0).collect();
        for layer in writer.add_layers(&descs).unwrap() {
            writer.append(0, &vec![RowOutcome::Done; specs.len()], &[(layer, &values)]).unwrap();
        }
        writer.finish().unwrap();
    };
    let layers = [("fc1", "gap"), ("fc1", "gmp"), ("fc2", "gap"), ("fc2", "gmp")];
    made("plain.h5", 1, &layers);
    made("views.h5", 3, &layers);
    made("none.h5", 1, &[]);
    let (plain, views) = (path("plain.h5"), path("views.h5"));
    let gap =
        |caches: &[&Path]| SweepOptions { layers: vec!["fc1".into()], pools: vec!["gap".into()], ..options(caches) };
    let found = sweep(&gap(&[&plain, &views]), &|_, _, _| {}).unwrap();
    assert_eq!(found.groups.len(), 1, "{:?}", found.groups);
    assert_eq!(found.rows.iter().filter(|row| row.against_best.is_some()).count(), 1);

    let message = sweep(&options(&[&path("none.h5")]), &|_, _, _| {}).unwrap_err().to_string();
    assert!(message.contains("none.h5") && message.contains("no layers"), "{message}");

    // Joined layers are pooled as was asked for.
    let joined = vec![vec!["fc1".into(), "fc2".into()]];
    let both = SweepOptions { joined, ..options(&[&plain]) };
    let pools = |pools: &[&str]| {
        let pools = pools.iter().map(|pool| pool.to_string()).collect();
        let found = sweep(&SweepOptions { pools, ..both.clone() }, &|_, _, _| {}).unwrap();
        found.rows.into_iter().map(|row| row.pool).collect::<Vec<_>>()
    };
    assert_eq!(pools(&["gmp"]), ["gmp"]);
    assert_eq!(pools(&["gap", "gmp"]), ["gap", "gmp"]);
}

#[test]
fn caches_of_the_same_name_are_lines_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let caches = ["a", "b"].map(|name| {
        std::fs::create_dir(folder.path().join(name)).unwrap();
        folder.path().join(name).join("x.h5")
    });
    caches.iter().for_each(|path| cache(path, 12));
    let plot = sweep(&options(&[&caches[0], &caches[1]]), &|_, _, _| {}).unwrap().plot("two");
    let lines: Vec<(&str, usize)> =
        plot.series.iter().map(|series| (series.name.as_str(), series.points.len())).collect();
    assert_eq!(lines, [("a/x.h5, logistic", 2), ("b/x.h5, logistic", 2)]);
}

fn options(caches: &[&Path]) -> SweepOptions {
    SweepOptions {
        caches: caches.iter().map(|path| path.to_path_buf()).collect(),
        layers: Vec::new(),
        pools: Vec::new(),
        joined: Vec::new(),
        heads: vec![(HeadKind::Logistic.into(), Search::new([1.0]))],
        validation: Validation::KFold(3),
        scaling: Scaling::default(),
        seed: 0,
        memory: Memory::UNLIMITED,
    }
}

#[test]
fn layers_side_by_side_are_a_candidate() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.h5");
    cache(&path, 12);
    let joined = vec!["fc1".to_string(), "fc2:flatten".to_string()];
    let mut asked = SweepOptions { joined: vec![joined], ..options(&[&path]) };
    let names = |options: &SweepOptions| -> Vec<(String, usize)> {
        sweep(options, &|_, _, _| {}).unwrap().rows.iter().map(|row| (row.name(), row.width)).collect()
    };
    assert_eq!(names(&asked), [("fc1+fc2:flatten".to_string(), 2)]);
    asked.layers.push("fc1".into());
    assert_eq!(names(&asked), [("fc1:flatten".to_string(), 1), ("fc1+fc2:flatten".to_string(), 2)]);
    // The same rows when they stay in the file.
    let candidate = &candidate::of_cache(&path, &asked).unwrap()[1];
    let read = |memory| candidate.read(&Part::Train, memory).unwrap().features.view().read(&[3, 0, 11]).unwrap();
    assert_eq!(read(Memory::UNLIMITED), read(Memory::new(0)));
    assert_eq!(read(Memory::new(0)).row(1).to_vec(), [0.0, 0.0]);
    asked.pools.push("gap".into());
    asked.layers.clear();
    asked.joined.clear();
    let message = sweep(&asked, &|_, _, _| {}).unwrap_err().to_string();
    assert!(message.contains("x.h5: no layer is pooled by gap; it holds fc1:flatten, fc2:flatten"), "{message}");
}

#[test]
fn rows_are_compared_where_they_share_their_images() {
    let folder = tempfile::tempdir().unwrap();
    let (x, y) = (folder.path().join("x.h5"), folder.path().join("y.h5"));
    cache(&x, 12);
    cache(&y, 12);
    let found = sweep(&options(&[&x, &y]), &|_, _, _| {}).unwrap();
    // All four have the same vectors: the first is the best, and none can be told from it.
    assert_eq!(found.groups, [Group { rows: vec![0, 1, 2, 3], best: 0, cheapest: 0 }]);
    let ps: Vec<Option<f64>> = found.rows.iter().map(|row| row.against_best.as_ref().map(|found| found.p)).collect();
    assert_eq!(ps, [None, Some(1.0), Some(1.0), Some(1.0)]);
}

/// A row of so many multiply-adds and bytes, with its scores on the folds.
fn scored(layer: &str, multiply_adds: u64, folds: &[f64], right: &[bool]) -> Scored {
    let mean = folds.iter().sum::<f64>() / folds.len() as f64;
    let images: Vec<_> = (0..4).map(|row| (row.to_string(), "a".to_string())).collect();
    Scored {
        trained_on: images.clone(),
        tested_on: images,
        right: right.to_vec(),
        row: SweepRow {
            cache: "x.h5".into(),
            backbone: "b".into(),
            layer: layer.into(),
            pool: "gap".into(),
            head: HeadKind::Svm,
            tuned: Tuned::C(1.0),
            metric: Metric::Accuracy,
            cv_score: mean,
            cv_score_se: 0.02,
            fold_scores: folds.iter().copied().map(Some).collect(),
            test_score: None,
            cv_mean: mean,
            cv_se: 0.02,
            n_train: 4,
            n_train_images: 4,
            test: None,
            test_low: None,
            test_high: None,
            n_test: 4,
            against_best: None,
            width: 8,
            bytes_per_image: 32,
            multiply_adds: Some(multiply_adds),
            streamed: false,
            seconds: 0.0,
            warnings: Vec::new(),
            depth: None,
        },
    }
}

#[test]
fn the_best_the_cheapest_and_what_is_worse() {
    let right = [true; 4];
    let mut rows = vec![
        scored("far worse", 1, &[0.50, 0.52, 0.51, 0.50], &[false; 4]),
        scored("a little worse", 10, &[0.89, 0.90, 0.89, 0.90], &right),
        scored("best", 100, &[0.90, 0.91, 0.90, 0.90], &right),
        scored("of other images", 1, &[0.99, 0.99, 0.99, 0.99], &right),
    ];
    rows[3].trained_on.reverse();
    let found = compare::sweep(rows, 1);
    let groups = [Group { rows: vec![0, 1, 2], best: 2, cheapest: 1 }, Group { rows: vec![3], best: 3, cheapest: 3 }];
    assert_eq!(found.groups, groups);
    let worse = found.rows[0].against_best.as_ref().unwrap();
    assert!(worse.difference < -0.38 && worse.p < 1e-3 && worse.p_holm >= worse.p, "{worse:?}");
    assert_eq!(found.groups[0].alike(&found.rows), 1);
    assert!((worse.test_p.unwrap() - 0.125).abs() < 1e-12, "four rows that only the best has right: 2 / 2^4");
    assert!(found.rows[2].against_best.is_none() && found.rows[3].against_best.is_none());
}

#[test]
fn looking_at_many_rows_makes_no_differences() {
    let right = [true; 4];
    // Five rows that are each a little worse than the best, and each told from it if it were the only one.
    let mut rows = vec![scored("best", 100, &[0.90, 0.91, 0.92, 0.93], &right)];
    for name in ["a", "b", "c", "d", "e"] {
        rows.push(scored(name, 10, &[0.88, 0.875, 0.90, 0.90], &right));
    }
    let found = compare::sweep(rows, 1);
    for row in &found.rows[1..] {
        let against = row.against_best.as_ref().unwrap();
        assert!(against.p < ALPHA && against.p_holm > ALPHA, "{against:?}");
    }
    assert_eq!(found.groups[0].alike(&found.rows), 5);
}

#[test]
fn the_page_holds_every_row() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("<x>.h5");
    cache(&path, 12);
    let found = sweep(&options(&[&path]), &|_, _, _| {}).unwrap();
    let out = folder.path().join("report");
    found.write_report("<x>", &["headstart".into(), "sweep".into()], &out).unwrap();
    let page = std::fs::read_to_string(out.join("index.html")).unwrap();
    crate::report::assert_well_formed(&page);
    assert!(page.contains("fc1:flatten") && page.contains("&lt;x&gt;") && page.contains("Nadeau and Bengio"));
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(out.join("metrics.json")).unwrap()).unwrap();
    assert_eq!(json["rows"].as_array().unwrap().len(), 2);
    assert_eq!(json["command"], "headstart sweep");
}
