//! `neighbors`, `units` and `map`: looks at the images behind a cache.

use crate::{
    browser::Browser,
    harness::{Dir, says, texts},
    heads::{clusters, number, three_classes},
    npz::Npz,
};
use serde_json::json;

#[test]
fn the_nearest_images_of_an_image() {
    let dir = three_classes();
    let shown = dir.headstart("neighbors x.h5 row-000003 -k 5 --report r").run().exits(0);
    says(
        &shown.stdout,
        &["row-000003 (ant), nearest of 120 images by features:flatten", "1 - cosine", "of 5 are of its class"],
    );
    says(&shown.stderr, &["wrote the report r/index.html"]);
    let found = dir.json("neighbors x.h5 row-000003 row-000100 -k 5 --metric euclidean");
    assert_eq!(texts(&found["queries"], "path"), ["row-000003", "row-000100"]);
    for query in found["queries"].as_array().unwrap() {
        let near = query["neighbors"].as_array().unwrap();
        assert!(near.len() == 5 && near.iter().all(|near| near["path"] != query["path"]), "{query}");
        assert!(near.is_sorted_by(|a, b| number(&a["distance"]) <= number(&b["distance"])));
    }
    let page = String::from_utf8(dir.read("r/index.html")).unwrap();
    says(&page, &["Nearest images", "row-000003", "cannot be shown", "headstart neighbors x.h5 row-000003"]);
    says(&dir.fails("neighbors x.h5 row-999"), &["x.h5: no image 'row-999'"]);
    says(&dir.fails("neighbors x.h5 row-000003 --layer fc9"), &["fc9"]);
    says(&dir.misused("neighbors x.h5 row-000003 -k 0"), &["--count", "1..=1000"]);
    says(&dir.misused("neighbors x.h5"), &["<IMAGE>"]);
}

#[test]
fn the_images_that_excite_a_unit() {
    let dir = three_classes();
    let shown = dir.headstart("units x.h5 --top-units 3 --images 4 --report r").run().exits(0);
    says(&shown.stdout, &["features:flatten: 12 units, 120 images (120 labelled, 3 classes); selective by eta2"]);
    let found = dir.json("units x.h5 --unit 4,0 --images 4");
    assert_eq!(found["units"].as_array().unwrap().len(), 2);
    // Columns 1, 4, 7 and 10 are larger for bees, 0, 3, 6 and 9 for ants.
    assert_eq!(texts(&found["units"], "class"), ["bee", "ant"]);
    assert_eq!((&found["units"][0]["selectivity"], &found["ranked_by"]), (&json!(null), &json!("eta2")));
    says(&String::from_utf8(dir.read("r/index.html")).unwrap(), &["What excites units", "η²", "Mean activation"]);
    says(&dir.fails("units x.h5 --unit 12"), &["unit 12", "units 0 to 11"]);
    says(&dir.misused("units x.h5 --unit 1 --top-units 2"), &["--unit"]);
}

#[test]
fn units_without_labels_are_shown_and_not_ranked() {
    let dir = Dir::new();
    let x: Vec<f32> = (0..40).map(|at| ((at * 7) % 11) as f32).collect();
    for (name, label, said, class) in [
        ("none", -1, "(0 labelled, 0 classes); there are no labels, so units are not ranked", json!(null)),
        ("one", 0, "(10 labelled, 1 classes); all labels are of one class", json!("no")),
    ] {
        let npz = Npz::new().floats("X", 4, &x).integers("y", &[label; 10]).strings("classes", &["no", "yes"]);
        npz.save(&dir.path("x.npz"));
        dir.run(&format!("import x.npz -o {name}.h5"));
        let shown = dir.run(&format!("units {name}.h5 --top-units 2 --report {name}"));
        says(&shown, &[said, "–"]);
        assert!(!shown.contains("inf") && !shown.contains("NaN") && !shown.contains("selective by"), "{shown}");
        let found = dir.json(&format!("units {name}.h5"));
        assert_eq!((&found["ranked_by"], &found["units"][0]["eta2"]), (&json!(null), &json!(null)));
        assert_eq!(found["units"][0]["class"], class);
    }
    says(&String::from_utf8(dir.read("none/index.html")).unwrap(), &["Unit 0<", "No image has a label"]);
}

#[test]
fn a_map_of_the_images() {
    let dir = three_classes();
    for method in ["pca", "tsne"] {
        let shown = dir.run(&format!("map x.h5 --method {method} -o {method}.png -o {method}.svg -o {method}.csv"));
        says(&shown, &["features:flatten: 120 of 120 images", "nearest neighbour of the same class"]);
        assert!(dir.read(&format!("{method}.png")).starts_with(b"\x89PNG"));
        says(&String::from_utf8(dir.read(&format!("{method}.svg"))).unwrap(), &["ant", "bee", "features:flatten"]);
        assert_eq!(String::from_utf8(dir.read(&format!("{method}.csv"))).unwrap().lines().count(), 121);
    }
    let found = dir.json("map x.h5 --images 50 --perplexity 40");
    assert_eq!(found["points"].as_array().unwrap().len(), 50);
    assert!(number(&found["perplexity"]) < 17.0, "as many neighbours as so few images have");
    // The groups of the three classes overlap, but by chance it would be a third.
    let same = ["same_class_in_features", "same_class_on_map"].map(|share| number(&found[share]));
    assert!(same.iter().all(|share| *share > 0.5), "{same:?}");
    assert_eq!(found, dir.json("map x.h5 --images 50 --perplexity 40"), "the same again");
    assert_ne!(found["points"], dir.json("map x.h5 --images 50 --perplexity 40 --seed 1")["points"]);
    says(&dir.misused("map x.h5"), &["-o map.png"]);
    says(&dir.misused("map x.h5 -o map.pdf"), &[".svg or .png"]);
    says(&dir.misused("map x.h5 --json --perplexity 0"), &["--perplexity is 0"]);
}

#[test]
fn sheets_in_a_browser() {
    let Some(browser) = Browser::find() else { return };
    let dir = Dir::new();
    clusters(&dir, "x.npz", &["ant", "bee", "a class with a name longer than all of the others"], 40, 12);
    dir.run("import x.npz -o x.h5");
    dir.run("neighbors x.h5 row-000003 row-000005 -k 9 --report n");
    dir.run("units x.h5 --report u");
    dir.run("map x.h5 --report m");
    for (width, screen) in [(1280, "desktop"), (390, "phone")] {
        browser.look(&dir, "n/index.html", width, &format!("neighbors-{screen}")).is_sound(width);
        browser.look(&dir, "m/index.html", width, &format!("map-{screen}")).is_sound(width);
        browser.look(&dir, "u/index.html", width, &format!("units-{screen}")).is_sound(width);
    }
}
