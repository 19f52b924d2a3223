//! Augmented views of a cache: one group for each image, wherever its rows are, so that no fold sees an image that it is scored on.

use headstart_cache::{
    Augmentation, Cache, FORMAT_VERSION, LayerDesc, Provenance, RowOutcome, RowSpec, Store, WeightsId, Writer,
};
use headstart_trainer::*;

const IMAGES: usize = 60;
const VIEWS: usize = 4;
const WIDTH: usize = 16;

/// A cache of images whose labels mean nothing: views of one image are nearly the same, images are not alike. Half of the views
/// were added later, so that an image's rows lie apart.
fn cache(path: &std::path::Path) -> Cache {
    let provenance = Provenance {
        format_version: FORMAT_VERSION,
        tool_version: "0".into(),
        backbone: "lenet5".into(),
        weights: WeightsId { source: "none".into(), sha256: "0".into() },
        preprocessing: None,
        decoder: None,
        compute_dtype: "f32".into(),
        augmentation: Augmentation::none(),
        images: None,
    };
    let rows: Vec<(usize, usize)> = [0..VIEWS / 2, VIEWS / 2..VIEWS]
        .into_iter()
        .flat_map(|views| (0..IMAGES).flat_map(move |image| views.clone().map(move |view| (image, view))))
        .collect();
    let specs: Vec<RowSpec> = rows
        .iter()
        .map(|&(image, view)| RowSpec {
            path: format!("{image}.png"),
            label: (image % 2) as i32,
            split: String::new(),
            view: view as u32,
        })
        .collect();
    let mut state = 3_u64;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32 - 0.5
    };
    let images: Vec<f32> = (0..IMAGES * WIDTH).map(|_| noise()).collect();
    let values: Vec<f32> = rows
        .iter()
        .flat_map(|&(image, _)| images[image * WIDTH..(image + 1) * WIDTH].to_vec())
        .map(|value| value + 0.01 * noise())
        .collect();
    let (mut writer, _) = Writer::open_or_create(path, &provenance, &specs, &["no".into(), "yes".into()]).unwrap();
    let desc = LayerDesc {
        layer: "fc".into(),
        pool: "flatten".into(),
        shape: vec![WIDTH],
        stored: vec![WIDTH],
        store: Store::F32,
        device: "cpu".into(),
        tool_version: "0".into(),
    };
    let layer = writer.add_layer(&desc).unwrap();
    writer.append(0, &vec![RowOutcome::Done; rows.len()], &[(layer, &values)]).unwrap();
    writer.finish().unwrap();
    Cache::open(path).unwrap()
}

fn read(cache: &Cache) -> Vectors {
    Vectors::read(cache, &cache.layers()[0], &Part::Train, Memory::UNLIMITED).unwrap()
}

/// Cross-validated accuracy of the nearest neighbour, over all rows that count.
fn accuracy(samples: Samples, folds: usize) -> (f64, usize) {
    let params = TrainParams::new(HeadParams::new(HeadKind::Knn))
        .search(Search::new([1.0]))
        .validation(Validation::KFold(folds))
        .check()
        .unwrap();
    let outcome = train(samples, &params, &|_| {}).unwrap();
    let scores = &outcome.selection.unwrap().out_of_fold;
    assert_eq!((outcome.training.n, outcome.training.class_counts.len()), (IMAGES * VIEWS, 2));
    (scores.accuracy.value, scores.n)
}

#[test]
fn rows_of_one_image_share_a_group_and_a_fold() {
    let folder = tempfile::tempdir().unwrap();
    let cache = cache(&folder.path().join("x.h5"));
    let vectors = read(&cache);
    assert_eq!((vectors.len(), vectors.images()), (IMAGES * VIEWS, IMAGES));
    for (row, &number) in vectors.rows.iter().enumerate() {
        for (other, &twin) in vectors.rows.iter().enumerate() {
            let same = cache.rows().path[number] == cache.rows().path[twin];
            assert_eq!(vectors.groups[row] == vectors.groups[other], same, "rows {number} and {twin}");
        }
        assert_eq!(vectors.scored[row], cache.rows().view[number] == 0);
    }
    let folds = stratified_folds(&vectors.labels, &vectors.groups, &vectors.classes, 5, 0).unwrap();
    let mut fold_of = vec![None; IMAGES];
    for (&group, &fold) in vectors.groups.iter().zip(&folds) {
        assert_eq!(*fold_of[group].get_or_insert(fold), fold, "an image is in two folds");
    }
}

#[test]
fn views_that_straddled_folds_would_show() {
    let folder = tempfile::tempdir().unwrap();
    let vectors = read(&cache(&folder.path().join("x.h5")));
    // Labels mean nothing, so nothing can be learnt: and the score says so.
    let (honest, n) = accuracy(vectors.samples(), 5);
    assert_eq!(n, IMAGES, "only images are scored");
    assert!((0.25..0.75).contains(&honest), "{honest}");
    // With every row a group of its own, the nearest neighbour is another view of the same image.
    let groups: Vec<usize> = (0..vectors.len()).collect();
    let (leaking, _) = accuracy(Samples { groups: &groups, ..vectors.samples() }, 5);
    assert!(leaking > 0.9, "{leaking}: the data would not show a leak");
}

#[test]
fn a_fixed_split_through_an_image_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let vectors = read(&cache(&folder.path().join("x.h5")));
    let error = Prepared::new(vectors.samples(), &Validation::Holdout(vec![0]), false, 0).err().unwrap().to_string();
    assert!(error.contains("keep all views of an image in one part"), "{error}");
}

#[test]
fn summed_views_are_one_score_for_each_image() {
    let folder = tempfile::tempdir().unwrap();
    let vectors = read(&cache(&folder.path().join("x.h5")));
    for kind in [HeadKind::Logistic, HeadKind::Svm, HeadKind::Knn] {
        let prepared = Prepared::new(vectors.samples(), &Validation::None, false, 0).unwrap();
        let model = prepared.fit(&HeadParams::new(kind), 1.0).unwrap().model;
        let summed = evaluate_views(&model, vectors.features.view(), &vectors.labels, &vectors.groups).unwrap();
        assert_eq!(summed.n, IMAGES);
        // By hand, image by image.
        let all = vectors.features.view().read(&(0..vectors.len()).collect::<Vec<_>>()).unwrap();
        let verdicts = model.verdicts(all.view()).unwrap();
        let values = verdicts.probabilities.as_ref().unwrap_or(&verdicts.decision);
        let right = (0..IMAGES)
            .filter(|&image| {
                let views = || (0..vectors.len()).filter(|&row| vectors.groups[row] == image);
                let sum = |class: usize| views().map(|row| values[(row, class)]).sum::<f64>();
                usize::from(sum(1) > sum(0)) == vectors.labels[views().next().unwrap()]
            })
            .count();
        assert_eq!(summed.accuracy.value, right as f64 / IMAGES as f64, "{kind}");
        assert_eq!(summed.log_loss.is_some(), kind != HeadKind::Svm);
    }
    let (labels, groups) = (&vectors.labels, &vectors.groups[1..]);
    let model = Prepared::new(vectors.samples(), &Validation::None, false, 0).unwrap();
    let model = model.fit(&HeadParams::new(HeadKind::Ncm), 1.0).unwrap().model;
    assert!(evaluate_views(&model, vectors.features.view(), labels, groups).is_err());
}
