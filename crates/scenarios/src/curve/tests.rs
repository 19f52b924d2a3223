use super::{fixture::*, images::Images, *};
use headstart_trainer::{Memory, Search};
use std::collections::HashSet;

fn measure(options: &CurveOptions) -> Curves {
    curves(options, &|_, _, _| {}).unwrap()
}

fn json(curves: &Curves) -> serde_json::Value {
    serde_json::to_value(curves).unwrap()
}

#[test]
fn views_belong_to_their_image_and_never_to_the_test() {
    let folder = tempfile::tempdir().unwrap();
    for (name, split) in [("split.h5", Made::default().split), ("none.h5", |_| "")] {
        let path = Made { views: 3, split, ..Made::default() }.write(folder.path(), name);
        let cache = Cache::open(&path).unwrap();
        let layer = &cache.layers()[0];
        let images = Images::common(&[(&cache, layer)], 0.3, 0).unwrap();
        let rows = images.read(&cache, layer, Memory::UNLIMITED, false).unwrap();
        let paths = |vectors: &headstart_trainer::Vectors, index: usize| cache.rows().path[vectors.rows[index]].clone();
        for (image, indices) in images.train.iter().zip(&rows.rows_of) {
            assert_eq!(indices.len(), 3);
            for (view, &index) in indices.iter().enumerate() {
                assert_eq!(paths(&rows.train, index), image.path);
                assert_eq!(cache.rows().view[rows.train.rows[index]], view as u32);
                assert_eq!(rows.train.labels[index], image.class);
            }
        }
        assert_eq!(rows.test_views, vec![1; images.test.len()]);
        assert_eq!(rows.test.len(), images.test.len());
        let drawn: HashSet<&str> = images.train.iter().map(|image| &image.path[..]).collect();
        for (index, image) in images.test.iter().enumerate() {
            assert_eq!((paths(&rows.test, index), rows.test.labels[index]), (image.path.clone(), image.class));
            assert!(rows.test.scored[index] && !drawn.contains(&image.path[..]), "{}", image.path);
        }
        let summed = images.read(&cache, layer, Memory::UNLIMITED, true).unwrap();
        assert_eq!(summed.test_views, vec![3; images.test.len()]);
        assert_eq!(summed.test.len(), 3 * images.test.len());
        for (index, &row) in summed.test.rows.iter().enumerate() {
            let (image, view) = (&images.test[index / 3], index as u32 % 3);
            assert_eq!((&cache.rows().path[row], cache.rows().view[row]), (&image.path, view));
        }
        assert_eq!(images.available(), if name == "none.h5" { [21; 3] } else { [20; 3] });
        assert_eq!(images.notes.iter().any(|note| note.contains("held out as a fixed test set")), name == "none.h5");
    }
}

#[test]
fn curves_rise_and_say_what_they_rest_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = Made { per_class: 60, ..Made::default() }.write(folder.path(), "x.h5");
    let mut options = options(&[&path]);
    options.sizes.insert(0, Size::PerClass(Amount::Images(1)));
    options.recipe.heads.push((HeadKind::Knn.into(), Search::new([1.0, 3.0, 15.0])));
    options.recipe.heads.push((HeadKind::Ncm.into(), Search::new([1.0])));
    let found = measure(&options);
    assert_eq!((found.images, found.test_images, found.lines.len()), (120, 60, 3));
    assert_eq!(found.lines.iter().map(|line| &line.name[..]).collect::<Vec<_>>(), ["logistic", "knn", "ncm"]);
    for line in &found.lines {
        let sizes: Vec<(usize, usize, usize)> =
            line.points.iter().map(|point| (point.images, point.draws, point.folds)).collect();
        assert_eq!(sizes, [(3, 4, 0), (6, 4, 2), (15, 4, 3), (30, 4, 3), (120, 1, 3)]);
        let (first, last) = (&line.points[0], &line.points[4]);
        assert!(last.test.value > first.test.value + 0.05, "{} {:?} {:?}", line.name, first.test, last.test);
        assert!(last.test.low < last.test.value && last.test.value < last.test.high && last.test_sd.is_none());
        let counts = &line.persistence;
        assert_eq!(counts.stay_wrong + counts.learnt + counts.lost + counts.stay_right, 60);
        let wrong = counts.shares[4].iter().filter(|share| **share > 0.0).count();
        assert!((1.0 - wrong as f64 / 60.0 - last.test.value).abs() < 1e-12);
        for (image, &taken_for) in line.mistaken.iter().enumerate() {
            assert_eq!(taken_for != found.tested[image].class, counts.shares[4][image] > 0.0);
        }
        assert_eq!(line.notes.is_empty(), line.head == HeadKind::Ncm, "{:?}", line.notes);
    }
}

#[test]
fn views_of_a_test_image_are_added_up_when_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let mut found = Vec::new();
    for (views, sum_views) in [(1, true), (5, false), (5, true)] {
        let path = Made { views, ..Made::default() }.write(folder.path(), &format!("{views}.h5"));
        let curves = measure(&CurveOptions { sum_views, ..options(&[&path]) });
        let line = &curves.lines[0];
        assert_eq!(line.test_views, if sum_views { views as usize } else { 1 });
        assert_eq!(curves.notes.iter().any(|note| note.contains("nothing to add up")), views == 1 && sum_views);
        assert_eq!(curves.test_images, 30, "views are no images");
        let last = line.points.last().unwrap();
        assert!(last.test.value > 0.5, "{:?}", last.test);
        found.push(json(&curves)["lines"][0]["points"].clone());
    }
    assert_ne!(found[1], found[2]);
    // The same views train: only what is said of test images may change.
    for (one, other) in found[1].as_array().unwrap().iter().zip(found[2].as_array().unwrap()) {
        assert_eq!((&one["train"], &one["tuned"]), (&other["train"], &other["tuned"]));
    }
}

#[test]
fn labels_without_meaning_score_chance() {
    let folder = tempfile::tempdir().unwrap();
    let path = Made { per_class: 100, shuffled: true, views: 2, ..Made::default() }.write(folder.path(), "x.h5");
    for line in &measure(&options(&[&path])).lines {
        for point in &line.points {
            assert!((point.test.value - 1.0 / 3.0).abs() < 0.12, "{} images: {:?}", point.images, point.test);
        }
    }
}

#[test]
fn caches_of_the_same_images_are_drawn_alike_whatever_the_order_of_their_rows() {
    let folder = tempfile::tempdir().unwrap();
    let one = Made::default().write(folder.path(), "one.h5");
    let other = Made { reversed: true, ..Made::default() }.write(folder.path(), "other.h5");
    let found = measure(&options(&[&one, &other]));
    assert_eq!(found.lines.iter().map(|line| &line.name[..]).collect::<Vec<_>>(), ["one", "other"]);
    let points = |line: &Line| serde_json::to_value(&line.points).unwrap();
    assert_eq!(points(&found.lines[0]), points(&found.lines[1]));
    assert!(found.notes.is_empty(), "{:?}", found.notes);
    // A cache that lacks some images: the others are compared on what is common.
    let fewer = Made { per_class: 24, ..Made::default() }.write(folder.path(), "fewer.h5");
    let found = measure(&options(&[&one, &fewer]));
    assert_eq!(found.images, 48);
    assert!(found.notes.iter().any(|note| note.contains("one.h5: 12 of its 60 training images")), "{:?}", found.notes);
    assert_eq!(found.steps.last().unwrap().per_class, [16; 3]);
}

#[test]
fn the_same_on_any_number_of_threads_and_in_little_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = Made { views: 2, ..Made::default() }.write(folder.path(), "x.h5");
    let mut options = options(&[&path]);
    options.layers.clear();
    let of = |threads, options: &CurveOptions| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        json(&pool.install(|| measure(options)))
    };
    let alone = of(1, &options);
    assert_eq!(alone, of(4, &options));
    assert_eq!(alone["lines"].as_array().unwrap().len(), 2);
    // Rows stay in the file, and draws come one after the other.
    options.recipe.memory = Memory::new(11_000);
    let streamed = of(4, &options);
    assert_eq!(alone["lines"][0]["points"], streamed["lines"][0]["points"]);
    options.recipe.seed = 1;
    assert_ne!(alone["lines"][0]["points"], of(1, &options)["lines"][0]["points"]);
}

#[test]
fn caches_that_do_not_go_together_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let one = Made::default().write(folder.path(), "one.h5");
    let refused =
        |options: &CurveOptions| curves(options, &|_, _, _| panic!("nothing is trained")).unwrap_err().to_string();
    assert!(refused(&options(&[&one, &one])).contains("one.h5: the cache is given twice"));
    let none = Made { split: |_| "", ..Made::default() }.write(folder.path(), "none.h5");
    let error = refused(&options(&[&one, &none]));
    assert!(error.contains("one.h5 is tested on split test") && error.contains("none.h5 on split none"), "{error}");
    let tiny = Made { per_class: 6, ..Made::default() }.write(folder.path(), "tiny.h5");
    let error = refused(&options(&[&one, &tiny]));
    assert!(error.contains("one.h5: of its 60 training images only 12 are in every cache"), "{error}");
    let mut few = options(&[&one]);
    few.sizes = vec![Size::Total(Amount::Images(2))];
    assert!(refused(&few).contains("--total 2: there are 3 classes"));
    few.layers = vec!["fc9".into()];
    assert!(refused(&few).contains("fc9"));
    let alone = Made { per_class: 1, split: |_| "", ..Made::default() }.write(folder.path(), "alone.h5");
    assert!(refused(&options(&[&alone])).contains("no class has two images"));
}
