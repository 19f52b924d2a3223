//! How `extract` works on many images: what it says of its stages, and that threads, prefetching and reruns change nothing.

use crate::{
    harness::{Dir, says},
    hdf5_file::Contents,
    pictures::picture_name,
};

const LENET: &str = "--backbone lenet5 --weights random:0";

#[test]
fn features_do_not_depend_on_threads_or_batches() {
    let dir = Dir::new();
    dir.class_folders("photos", &["cat", "dog"], 20);
    dir.write("photos/cat/005a.jpg", "broken");
    let extract =
        |file: &str, more: &str| dir.run(&format!("extract --images photos {LENET} --layers stages -o {file} {more}"));
    extract("one.h5", "--threads 1");
    let one = Contents::read(dir.path("one.h5"));
    for (file, more) in [("three.h5", "--threads 3"), ("small.h5", "--threads 2 --batch 7"), ("large.h5", "--batch 40")]
    {
        extract(file, more);
        let other = Contents::read(dir.path(file));
        assert_eq!((&one.path, &one.status), (&other.path, &other.status), "{more}");
        for (a, b) in one.layers.iter().zip(&other.layers) {
            let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-5 * a.abs().max(1.0) || (a.is_nan() && b.is_nan());
            assert!(a.values.iter().zip(&b.values).all(near), "{more}: {}", a.name);
            assert!(more.contains("--batch") || a == b, "{more}: {}", a.name);
        }
    }
}

#[test]
fn the_summary_names_the_bottleneck() {
    let dir = Dir::new();
    dir.class_folders("photos", &["cat"], 10);
    let summary = dir.json(&format!("extract --images photos {LENET} --layers fc1 -o x.h5"));
    let bottleneck = &summary["bottleneck"];
    for stage in ["read", "decode", "forward", "write"] {
        let share = bottleneck[stage].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&share), "{stage}: {share}");
    }
    assert!(bottleneck["advice"].is_string());
    let seconds = &summary["seconds"];
    assert!(seconds["read"].as_f64().unwrap() <= seconds["decode"].as_f64().unwrap());
    says(&dir.run(&format!("extract --images photos {LENET} --layers fc1 -o y.h5")), &["busy: reading", "network"]);
}

#[test]
fn a_run_with_nothing_to_do_needs_neither_images_nor_weights() {
    let dir = Dir::new();
    dir.class_folders("photos", &["cat", "dog"], 4);
    let list: String = ["cat", "dog"]
        .iter()
        .flat_map(|class| (0..4).map(move |index| format!("{},{class},\n", picture_name("photos", class, index))))
        .collect();
    dir.write("list.csv", format!("path,label,split\n{list}"));
    let command = format!("extract --images list.csv {LENET} --layers fc1 -o x.h5");
    dir.run(&command);
    let before = dir.read("x.h5");
    std::fs::remove_dir_all(dir.path("photos")).unwrap();
    let summary = dir.json(&command);
    assert_eq!((&summary["computed"], &summary["rows"], &summary["images"]), (&0.into(), &8.into(), &8.into()));
    assert!(summary["device"].is_null() && summary["bottleneck"].is_null());
    assert!(dir.read("x.h5") == before);
    // A list that differs in anything is looked at row by row, and refused where it contradicts the file.
    dir.write("list.csv", format!("path,label,split\n{}", list.replace(",dog,", ",cat,")));
    says(&dir.fails(&command), &["dog", "cat"]);
}

#[test]
fn fast_decoding_is_remembered() {
    let dir = Dir::new();
    dir.class_folders("photos", &["cat", "dog"], 6);
    for (index, class) in ["cat", "dog"].iter().enumerate() {
        let image = image::RgbImage::from_fn(200, 150, |x, y| {
            image::Rgb([(x + y) as u8, (x * y / 40) as u8, 90 * index as u8])
        });
        image.save(dir.path(&format!("photos/{class}/large.jpg"))).unwrap();
    }
    let command = format!("extract --images photos {LENET} --layers fc1");
    dir.run(&format!("{command} -o exact.h5"));
    dir.run(&format!("{command} --fast-decode -o fast.h5"));
    let [exact, fast] = ["exact.h5", "fast.h5"].map(|file| Contents::read(dir.path(file)));
    assert!(fast.provenance["decoder"].as_str().unwrap().contains("scaled to 1/2, 1/4 or 1/8"));
    for (row, path) in exact.path.iter().enumerate() {
        let same = exact.layer("fc1:flatten").row(row) == fast.layer("fc1:flatten").row(row);
        assert_eq!(same, !path.ends_with("large.jpg"), "{path}");
    }
    says(&dir.fails(&format!("{command} -o fast.h5")), &["decoder", "fast.h5"]);
    says(&dir.misused(&format!("{command} --fast-decode --augment flip --views 2 -o z.h5")), &["--fast-decode"]);
    // A head on such features decodes the same way.
    dir.run("train fast.h5 --layer fc1 --c 1 --cv none -o x.head");
    let from_cache = dir.json("predict x.head --cache fast.h5");
    let from_images = dir.json("predict x.head photos/cat/large.jpg photos/dog/large.jpg");
    let of =
        |path: &str| from_cache.as_array().unwrap().iter().find(|row| row["path"] == path).unwrap()["guesses"].clone();
    for (image, path) in ["cat/large.jpg", "dog/large.jpg"].into_iter().enumerate() {
        let score = |guesses: &serde_json::Value| guesses[0]["score"].as_f64().unwrap();
        let (a, b) = (score(&from_images[image]["guesses"]), score(&of(path)));
        assert!((a - b).abs() < 1e-4 * a.abs().max(1.0), "{path}: {a} from the image, {b} from the cache");
    }
}
