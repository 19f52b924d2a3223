//! `predict` and `classify`: from a head, or a backbone's own classifier, to names for images.

use crate::{
    harness::{Dir, says, texts},
    hdf5_file::Contents,
};
use safetensors::SafeTensors;
use serde_json::{Value, json};

const NETWORK: &str = "--backbone lenet5 --weights random:0";

/// Pictures to train on and pictures to test with, extracted to x.h5.
fn extracted() -> Dir {
    let dir = Dir::new();
    dir.class_folders("photos/train", &["cat", "dog", "fox"], 8);
    dir.class_folders("photos/test", &["cat", "dog", "fox"], 4);
    dir.run(&format!("extract --images photos {NETWORK} --layers conv2:grid2,fc1 -o x.h5"));
    dir
}

/// `weight · x + bias` of a head file, for one row.
fn scores(head: &[u8], row: &[f32]) -> Vec<f64> {
    let file = SafeTensors::deserialize(head).unwrap();
    let numbers = |name: &str| -> Vec<f64> {
        file.tensor(name).unwrap().data().chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect()
    };
    let (weight, bias) = (numbers("weight"), numbers("bias"));
    let products =
        weight.chunks_exact(row.len()).map(|weights| weights.iter().zip(row).map(|(w, &x)| w * f64::from(x)));
    products.zip(bias).map(|(products, bias)| products.sum::<f64>() + bias).collect()
}

#[test]
fn images_are_predicted_as_their_rows_in_the_cache_are() {
    let dir = extracted();
    let cache = Contents::read(dir.path("x.h5"));
    let rows: Vec<usize> = (0..cache.path.len()).filter(|&row| cache.split[row] == "test").collect();
    let images: Vec<String> = rows.iter().map(|&row| format!("photos/{}", cache.path[row])).collect();
    for (layer, head, batch) in [("conv2", "logistic", 12), ("fc1:flatten", "svm", 1)] {
        dir.run(&format!("train x.h5 --layer {layer} --head {head} --standardize --cv 4 -o x.head"));
        let evaluated = dir.json("evaluate x.head x.h5");
        assert_eq!(evaluated["n"], 12);
        let name = if layer.contains(':') { layer.to_string() } else { format!("{layer}:grid2") };
        let (layer, file) = (cache.layer(&name), dir.read("x.head"));
        let mut confusion = [[0; 3]; 3];
        for (rows, images) in rows.chunks(batch).zip(images.chunks(batch)).take(12 / batch.min(4)) {
            let predictions = dir.json(&format!("predict x.head {}", images.join(" ")));
            assert_eq!(texts(&predictions, "path"), images);
            for (&row, prediction) in rows.iter().zip(predictions.as_array().unwrap()) {
                let expected = scores(&file, layer.row(row));
                let guesses = prediction["guesses"].as_array().unwrap();
                assert_eq!(guesses.len(), 3);
                for guess in guesses {
                    let class = cache.classes.iter().position(|class| guess["class"] == class.as_str()).unwrap();
                    let score = guess["score"].as_f64().unwrap();
                    assert!((score - expected[class]).abs() < 1e-3, "{score} instead of {}", expected[class]);
                    assert_eq!(guess["probability"].is_number(), head == "logistic");
                }
                assert!(guesses.windows(2).all(|pair| pair[0]["score"].as_f64() >= pair[1]["score"].as_f64()));
                let best = cache.classes.iter().position(|class| guesses[0]["class"] == class.as_str()).unwrap();
                confusion[usize::try_from(cache.label[row]).unwrap()][best] += 1;
            }
        }
        if batch == 12 {
            assert_eq!(evaluated["confusion"], json!(confusion));
            let right = confusion[0][0] + confusion[1][1] + confusion[2][2];
            assert!(right >= 9, "stripes of three colours should be told apart: {confusion:?}");
        }
    }
}

#[test]
fn predictions_are_shown_to_people_too() {
    let dir = extracted();
    dir.run("train x.h5 --layer conv2 --cv 4 -o x.head");
    let shown = dir.run("predict x.head photos/test/dog/000.png photos/test/fox/001.jpg");
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines.len(), 2, "{shown}");
    says(lines[0], &["photos/test/dog/000.png: ", "cat", "dog", "fox", " %"]);
}

#[test]
fn a_broken_image_spoils_only_itself() {
    let dir = extracted();
    dir.run("train x.h5 --layer conv2 --cv 4 -o x.head");
    dir.write("broken.jpg", "no picture");
    let mixed = "predict x.head broken.jpg photos/test/dog/000.png absent.png";
    let predictions = dir.json(mixed);
    assert!(predictions[0]["error"].is_string() && predictions[2]["error"].is_string(), "{predictions}");
    assert_eq!(predictions[0]["guesses"], json!([]));
    assert_eq!((&predictions[1]["error"], predictions[1]["guesses"].as_array().unwrap().len()), (&Value::Null, 3));
    // The good one is what it is alone.
    let alone = dir.json("predict x.head photos/test/dog/000.png");
    assert_eq!(predictions[1]["guesses"][0]["class"], alone[0]["guesses"][0]["class"]);
    let outcome = dir.headstart(&format!("{mixed} --strict")).run().exits(3);
    says(&outcome.stdout, &["broken.jpg: cannot be used", "absent.png: cannot be used: cannot be read"]);
    says(&dir.fails("predict x.head broken.jpg"), &["none of the 1 images"]);
}

#[test]
fn other_weights_are_refused() {
    let dir = extracted();
    dir.run("train x.h5 --layer conv2 --cv 4 -o x.head");
    let error = dir.fails("predict x.head photos/test/dog/000.png --weights random:1");
    says(&error, &["lenet5", "random:0", "random:1", "--weights"]);
    dir.run("predict x.head photos/test/dog/000.png --weights random:0");
    let error = dir.fails("predict x.head photos/test/dog/000.png --weights absent.safetensors");
    says(&error, &["absent.safetensors", "No such file"]);
}

/// A head file with a change in the JSON that describes it.
fn edited(head: &[u8], change: impl Fn(&mut Value)) -> Vec<u8> {
    let (_, header) = SafeTensors::read_metadata(head).unwrap();
    let mut about: Value = serde_json::from_str(&header.metadata().as_ref().unwrap()["headstart_head"]).unwrap();
    change(&mut about);
    let metadata = std::collections::HashMap::from([("headstart_head".to_string(), about.to_string())]);
    safetensors::serialize(SafeTensors::deserialize(head).unwrap().iter(), Some(metadata)).unwrap()
}

#[test]
fn a_field_of_an_edited_head_is_named() {
    let dir = extracted();
    dir.run("train x.h5 --layer conv2 --cv 4 -o x.head");
    let head = dir.read("x.head");
    for (field, value, parts) in [
        ("size", json!(0), &["between 1 and 4096"][..]),
        ("shorter_side", json!(4_000_000_000_u32), &["4000000000", "between 1 and"]),
        ("channels", json!(0), &["3 (RGB) or 1 (grey)"]),
        ("mean", json!([]), &["one for each"]),
        ("std", json!([0.5, 0.5]), &["one for each"]),
        ("std", json!([0.0]), &["above 0"]),
    ] {
        dir.write(
            "y.head",
            edited(&head, |about| about["source"]["provenance"]["preprocessing"][field] = value.clone()),
        );
        let error = dir.fails("predict y.head photos/test/dog/000.png");
        says(&error, &[&[&format!("the head's preprocessing.{field}: "), "train again"], parts].concat());
    }
    let colour = |about: &mut Value| {
        let input = &mut about["source"]["provenance"]["preprocessing"];
        (input["channels"], input["mean"], input["std"]) = (json!(3), json!([0.5, 0.5, 0.5]), json!([0.5, 0.5, 0.5]));
    };
    dir.write("y.head", edited(&head, colour));
    let error = dir.fails("predict y.head photos/test/dog/000.png");
    says(&error, &["preprocessing.channels: 3 channels", "lenet5 takes 1"]);
    dir.write("y.head", edited(&head, |about| about["source"]["provenance"]["compute_dtype"] = json!("q8")));
    let error = dir.fails("predict y.head photos/test/dog/000.png");
    says(&error, &["the head's compute_dtype: ", "q8", "f32, bf16, f16, tf32"]);
    // The head as it was works.
    dir.write("y.head", edited(&head, |_| ()));
    dir.run("predict y.head photos/test/dog/000.png");
}

#[test]
fn heads_and_caches_of_other_extractions_do_not_mix() {
    let dir = extracted();
    dir.run("train x.h5 --layer conv2 --cv 4 -o x.head");
    dir.run("extract --images photos --backbone lenet5 --weights random:1 --resize crop --layers conv2:grid2 -o y.h5");
    let error = dir.fails("evaluate x.head y.h5");
    says(&error, &["y.h5", "x.head", "weights", "preprocessing.resize: \"squash\" there, \"crop\" here"]);
    // A cache of other images by the same network is what evaluate is for.
    dir.class_folders("new", &["cat", "dog", "fox"], 3);
    dir.run(&format!("extract --images new {NETWORK} --layers conv2:grid2 -o new.h5"));
    assert_eq!(dir.json("evaluate x.head new.h5")["n"], 9);
    // It must have the layer,
    dir.run(&format!("extract --images new {NETWORK} --layers conv1 -o other.h5"));
    says(&dir.fails("evaluate x.head other.h5"), &["other.h5", "conv2:grid2", "conv1:gap"]);
    // and rows of a class that the head does not know are left out of its scores, loudly.
    dir.class_folders("strange", &["cat", "emu"], 3);
    dir.run(&format!("extract --images strange {NETWORK} --layers conv2:grid2 -o strange.h5"));
    let outcome = dir.headstart("evaluate x.head strange.h5 --json").run().exits(0);
    says(&outcome.stderr, &["warning", "emu"]);
    assert_eq!((&outcome.json()["n"], &outcome.json()["left_out"]), (&json!(3), &json!(3)));
}

#[test]
fn train_asks_which_of_several_layers() {
    let dir = extracted();
    let error = dir.misused("train x.h5 -o x.head");
    says(&error, &["x.h5", "--layer", "conv2:grid2", "fc1:flatten"]);
    let error = dir.fails("train x.h5 --layer conv22 -o x.head");
    says(&error, &["x.h5", "conv22", "did you mean", "conv2:grid2"]);
}

#[test]
fn a_sweep_orders_layers_and_draws_them() {
    let dir = extracted();
    let shown = dir.json("sweep x.h5 --cv 4 --standardize --plot sweep.svg");
    assert_eq!(texts(&shown["rows"], "layer"), ["conv2", "conv2", "fc1", "fc1"]);
    assert_eq!(texts(&shown["rows"], "pool"), ["grid2", "grid2", "flatten", "flatten"]);
    let depths: Vec<f64> = shown["rows"].as_array().unwrap().iter().map(|row| row["depth"].as_f64().unwrap()).collect();
    assert!(0.0 < depths[0] && depths[0] < depths[2] && depths[2] < 1.0, "{depths:?}");
    let drawing = String::from_utf8(dir.read("sweep.svg")).unwrap();
    says(&drawing, &["<svg", "conv2", "fc1", "logistic", "svm"]);
}

#[test]
fn a_head_on_imported_vectors_sees_no_images() {
    let dir = Dir::new();
    let npz = crate::npz::Npz::new().floats("X", 1, &[0.0, 1.0, 0.2, 0.9]).strings("y", &["no", "yes", "no", "yes"]);
    npz.save(&dir.path("x.npz"));
    dir.run("import x.npz -o x.h5");
    dir.run("train x.h5 --cv 2 -o x.head");
    dir.picture("a.png", 0, 0);
    says(&dir.fails("predict x.head a.png"), &["imported", "headstart evaluate"]);
}

#[test]
fn classify_names_the_likeliest_classes() {
    let dir = Dir::new();
    dir.picture("a.png", 0, 0);
    let squeezenet = "--backbone squeezenet1_1 --weights random:0 --size 48";
    let shown = dir.json(&format!("classify {squeezenet} a.png --top 3"));
    let guesses = shown[0]["guesses"].as_array().unwrap();
    let chances: Vec<f64> = guesses.iter().map(|guess| guess["probability"].as_f64().unwrap()).collect();
    assert!(chances.len() == 3 && chances[0] >= chances[1] && chances[1] >= chances[2] && chances[2] > 0.0);
    assert!(chances.iter().sum::<f64>() <= 1.0);
    assert_eq!(dir.json(&format!("classify {squeezenet} a.png"))[0]["guesses"].as_array().unwrap().len(), 5);
    let error = dir.fails("classify --backbone lenet5 --weights random:0 a.png");
    says(&error, &["lenet5", "ImageNet", "headstart models"]);
}
