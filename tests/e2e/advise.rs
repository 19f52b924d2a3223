//! `advise`: what is measured of images and of caches, what is said when it cannot be, and that its commands work.

use crate::{
    browser::Browser,
    harness::{Dir, says, texts},
    npz::Npz,
};
use serde_json::{Value, json};

/// Vectors made elsewhere, of two classes that are easy to tell apart.
fn imported() -> Dir {
    let dir = Dir::new();
    let x: Vec<f32> = (0..60).flat_map(|row| [(row % 2) as f32 + 0.01 * row as f32, 1.0 / (row + 1) as f32]).collect();
    let y: Vec<&str> = (0..60).map(|row| ["no", "yes"][row % 2]).collect();
    let split: Vec<&str> = (0..60).map(|row| if row < 40 { "train" } else { "test" }).collect();
    Npz::new().floats("X", 2, &x).strings("y", &y).strings("split", &split).save(&dir.path("x.npz"));
    dir.run("import x.npz -o x.h5");
    dir
}

#[test]
fn a_cache_of_unknown_origin_is_sized_and_swept_but_not_placed() {
    let dir = imported();
    let advice = dir.json("advise x.h5 --report report");
    assert_eq!((&advice["size"]["training"], &advice["size"]["held_out"]), (&json!(40), &json!(20)));
    assert_eq!(
        (&advice["size"]["reading"], &advice["scenarios"]),
        (&json!("low"), &json!(["small-similar", "small-different"]))
    );
    assert_eq!(advice["similarity"]["reading"], Value::Null);
    says(advice["similarity"]["why_not"].as_str().unwrap(), &["made elsewhere", "resnet18"]);
    assert_eq!(advice["sweep"]["rows"].as_array().unwrap().len(), 2);
    assert!(advice["sweep"]["rows"][0]["cv_mean"].as_f64().unwrap() > 0.9);
    assert!(advice["layers"][0]["log_me"].is_f64() && advice["layers"][0]["h_score"].as_f64().unwrap() > 0.5);
    assert!(texts(&advice["left_out"], "what").contains(&"duplicates".to_string()));
    says(
        &dir.run("advise x.h5 --explain"),
        &[
            "Size: small",
            "worth 40, 20 per class",
            "not judged",
            "Scenario 1 (small and similar) or 3",
            "LogME",
            "headstart train x.h5",
        ],
    );
    assert_eq!(dir.json("advise x.h5")["sweep"]["rows"][0]["fold_scores"], advice["sweep"]["rows"][0]["fold_scores"]);
    let page = String::from_utf8(dir.read("report/index.html")).unwrap();
    says(&page, &["Scenario 1 (small and similar) or 3", "made elsewhere", "headstart train x.h5"]);
    let Some(browser) = Browser::find() else { return };
    for width in [1200, 390] {
        browser.look(&dir, "report/index.html", width, &format!("advise-{width}")).is_sound(width);
    }
}

#[test]
fn where_no_head_can_be_trained_the_way_on_is_said() {
    let dir = Dir::new();
    let x: Vec<f32> = (0..120).map(|at| ((at * 7) % 11) as f32).collect();
    let import = |name: &str, labels: &[i64]| {
        let npz = Npz::new().floats("X", 4, &x).integers("y", labels).strings("classes", &["no", "yes"]);
        npz.save(&dir.path("x.npz"));
        dir.run(&format!("import x.npz -o {name}.h5"));
    };
    import("unlabelled", &[-1; 30]);
    let shown = dir.run("advise unlabelled.h5 --report r");
    says(&shown, &["no labels of two classes", "a folder for each class", "headstart map unlabelled.h5 --layer"]);
    says(&String::from_utf8(dir.read("r/index.html")).unwrap(), &["a folder for each class", "headstart map"]);
    let next = texts(&dir.json("advise unlabelled.h5")["next"], "");
    dir.run(next[0].strip_prefix("headstart ").unwrap());
    assert!(dir.exists("unlabelled-map.png"));

    // Whatever the sample, there is no second image of a class.
    let mut labels = [0; 30];
    labels[7] = 1;
    import("single", &labels);
    let shown = dir.run("advise single.h5");
    says(&shown, &["class 'yes' has a single image; add images of it, or leave the class out"]);
    assert!(!shown.contains("--sample"), "{shown}");
    labels[8] = 1;
    import("two", &labels);
    says(&dir.run("advise two.h5 --sample 10"), &["in the sample; give a larger --sample"]);
    says(&dir.run("advise two.h5"), &["headstart train two.h5"]);
}

#[test]
fn mistakes_are_named() {
    let dir = imported();
    says(&dir.misused("advise x.h5 --backbone resnet18"), &["--backbone is for images"]);
    says(&dir.misused("advise x.h5 --device cpu"), &["--device is for images"]);
    says(&dir.misused("advise photos --images elsewhere"), &["--images is for a cache"]);
    says(&dir.misused("advise x.h5 --sample 3"), &["--sample"]);
    says(&dir.fails("advise photos"), &["photos: no such file or folder"]);
    dir.write("others/a/1.png", "not read: its name is enough");
    says(&dir.fails("advise x.h5 --images others"), &["others: does not name every image of x.h5"]);
}

#[cfg(not(feature = "torch"))]
#[test]
fn images_need_libtorch() {
    let dir = Dir::new();
    dir.write("photos/cat/1.png", "not read");
    says(&dir.fails("advise photos"), &["advise runs a network", "built without libtorch", "give a cache"]);
}

#[cfg(feature = "torch")]
mod images {
    use super::*;
    use crate::{harness::skip, pictures::picture};

    #[test]
    fn duplicated_images_in_train_and_test_are_detected_and_reported() {
        let dir = Dir::new();
        for (split, count) in [("train", 12), ("test", 4)] {
            for (class, name) in ["cat", "dog"].iter().enumerate() {
                for index in 0..count {
                    let number = if split == "train" { index } else { 100 + index };
                    dir.picture(&format!("photos/{split}/{name}/{number}.png"), class, number);
                }
            }
        }
        let clean = dir.json("advise photos --backbone lenet5 --weights random:0");
        assert_eq!((&clean["duplicates"]["groups"], &clean["size"]["duplicates"]), (&json!([]), &json!(0)));
        assert_eq!(clean["duplicates"]["compared"], 32);
        // The same picture twice as large in the test images, recompressed under another label, and a plain copy in training.
        let large = image::imageops::resize(&picture(0, 3), 96, 80, image::imageops::FilterType::Nearest);
        large.save(dir.path("photos/test/cat/other.png")).unwrap();
        picture(1, 5).save(dir.path("photos/test/cat/wrong.jpg")).unwrap();
        picture(1, 2).save(dir.path("photos/train/dog/again.png")).unwrap();
        let advice = dir.json("advise photos --backbone lenet5 --weights random:0");
        let found = &advice["duplicates"];
        assert_eq!(
            found["leaks"],
            json!([["test/cat/other.png", "train/cat/3.png"], ["test/cat/wrong.jpg", "train/dog/5.png"]])
        );
        assert_eq!(found["contradictions"], json!([["test/cat/wrong.jpg", "train/dog/5.png"]]));
        assert_eq!(found["groups"].as_array().unwrap().len(), 3);
        // Only copies among training images make training images worth less.
        assert_eq!((&advice["size"]["training"], &advice["size"]["duplicates"]), (&json!(25), &json!(1)));
        assert!((advice["size"]["effective"].as_f64().unwrap() - 24.0).abs() < 1e-9);
        says(
            &dir.run("advise photos --backbone lenet5 --weights random:0"),
            &["WARNING: 2 groups of copies in training and held-out images", "test/cat/other.png = train/cat/3.png"],
        );
        assert_eq!(
            dir.json("advise photos --backbone lenet5 --weights random:0 --no-compare")["duplicates"],
            Value::Null
        );
        says(
            &dir.fails("advise photos --backbone lenet5 --weights random:0 --device cuda:99"),
            &["cuda:99", "--device cpu"],
        );
    }

    #[test]
    fn the_commands_it_gives_work() {
        let dir = Dir::new();
        dir.class_folders("photos", &["cat", "dog", "eel"], 10);
        let advice = dir.json("advise photos --backbone lenet5 --weights random:0");
        says(advice["similarity"]["why_not"].as_str().unwrap(), &["random weights"]);
        let commands = texts(&advice["next"], "");
        assert_eq!(commands.len(), 3, "{commands:?}");
        for command in &commands {
            dir.run(command.strip_prefix("headstart ").unwrap());
        }
        assert!(dir.exists("heads/photos.head"));
        // The cache says what the images said.
        let again = dir.json("advise features/photos.h5");
        assert_eq!(again["sweep"]["rows"][0]["cv_mean"], advice["sweep"]["rows"][0]["cv_mean"]);
        assert_eq!(again["duplicates"]["compared"], 30);
        assert_eq!(texts(&again["next"], "").len(), 2);
        // Images that moved away can be pointed to.
        std::fs::rename(dir.path("photos"), dir.path("moved")).unwrap();
        assert_eq!(dir.json("advise features/photos.h5")["duplicates"], Value::Null);
        assert_eq!(dir.json("advise features/photos.h5 --images moved")["duplicates"]["compared"], 30);
    }

    #[test]
    fn stripes_are_no_photographs() {
        let dir = Dir::new();
        let listed = dir.headstart("weights list --json").with_real_weights().run().exits(0).json();
        let here = |entry: &Value| entry["backbone"] == "resnet18" && entry["cached"].is_string();
        if !listed.as_array().unwrap().iter().any(here) {
            return skip("no weights; get them with: headstart weights get resnet18");
        }
        dir.class_folders("photos", &["cat", "dog", "eel"], 10);
        let real = |arguments: &str| dir.headstart(arguments).with_real_weights().run().exits(0);
        let advice = real("advise photos --json").json();
        let similarity = &advice["similarity"];
        assert_eq!(
            (&similarity["reading"], &advice["scenarios"]),
            (&json!("low"), &json!(["small-different"])),
            "{similarity}"
        );
        assert_eq!(similarity["parts"].as_array().unwrap().len(), 3);
        assert!(similarity["known"].as_array().unwrap().len() >= 7);
        assert_eq!(advice["left_out"], json!([]));
        // A cache of the top layer gives the classifier's part, and says how to get the rest.
        real("extract --images photos --backbone resnet18 --layers layer3,layer4 -o x.h5");
        let from_cache = real("advise x.h5 --json").json();
        for measure in ["confidence", "information"] {
            let [one, other] = [&advice, &from_cache].map(|a| a["similarity"]["measured"][measure].as_f64().unwrap());
            assert!((one - other).abs() < 1e-3, "{measure}: {one} {other}");
        }
        assert_eq!(from_cache["similarity"]["measured"]["distance"], Value::Null);
        let left = &from_cache["left_out"];
        assert_eq!(texts(left, "what"), ["distance from the source statistics"]);
        real(left[0]["command"].as_str().unwrap().strip_prefix("headstart ").unwrap());
        let complete = real("advise x.h5 --json").json();
        assert_eq!(complete["left_out"], json!([]));
        let [one, other] = [&advice, &complete].map(|a| a["similarity"]["score"].as_f64().unwrap());
        assert!((one - other).abs() < 1e-2, "{one} {other}");
        says(
            &real("advise photos --explain").stdout,
            &["different", "Hendrycks and Gimpel 2017", "Li et al. 2016", "Dawes 1979", "ELPV", "Scenario 3"],
        );
    }
}
