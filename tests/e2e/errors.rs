//! Mistakes: each ends with its exit code and a message that names what is wrong and the way out.

use crate::{
    harness::{Dir, says},
    npz::Npz,
};

/// A cache of six rows of two classes.
fn small_cache() -> Dir {
    let dir = Dir::new();
    let npz = Npz::new().floats("X", 1, &[0.0, 1.0, 0.1, 0.9, 0.2, 0.8]);
    npz.strings("y", &["no", "yes", "no", "yes", "no", "yes"]).save(&dir.path("x.npz"));
    dir.run("import x.npz -o x.h5");
    dir
}

#[test]
fn wrong_usage_is_told_from_failure() {
    let dir = small_cache();
    says(&dir.misused(""), &["Usage"]);
    says(&dir.misused("extrct"), &["extrct", "extract"]);
    says(&dir.misused("train x.h5"), &["--output"]);
    says(&dir.misused("train x.h5 --head forest -o x.head"), &["'forest'", "logistic", "svm"]);
    says(&dir.misused("train x.h5 --c 1 --c-grid 1:2:3 -o x.head"), &["--c", "--c-grid"]);
    says(&dir.misused("sweep x.h5 --heads logistic,forest"), &["'forest'", "logistic", "svm"]);
    for grid in ["1", "2:1:3", "-1:1:3", "a:b:c"] {
        let error = dir.misused(&format!("train x.h5 --c-grid={grid} -o x.head"));
        says(&error, &["--c-grid", &format!("'{grid}'"), "FROM:TO:COUNT", "1e-4:1e3:8"]);
    }
    assert!(!dir.exists("x.head"));
}

#[test]
fn impossible_parameters_of_heads_are_refused() {
    let dir = small_cache();
    for c in ["0", "-1", "nan", "inf"] {
        says(&dir.misused(&format!("train x.h5 --c={c} -o x.head")), &["C", "positive"]);
    }
    for folds in ["0", "1"] {
        says(&dir.misused(&format!("train x.h5 --cv {folds} -o x.head")), &["--cv", "at least 2"]);
        says(&dir.misused(&format!("sweep x.h5 --cv {folds}")), &["--cv", "at least 2"]);
    }
    assert!(!dir.exists("x.head"));
}

#[test]
fn nothing_is_said_twice() {
    // The harness looks at every error; these are where causes have causes.
    let dir = small_cache();
    let error = dir.fails("weights verify absent.pth --backbone lenet5");
    assert_eq!(error, "error: absent.pth: No such file or directory (os error 2)\n");
    std::fs::create_dir(dir.path("folder")).unwrap();
    says(&dir.fails("weights verify folder --backbone lenet5"), &["folder", "not a file"]);
    says(&dir.fails("inspect folder"), &["folder"]);
    says(&dir.fails("import x.npz -o folder"), &["folder"]);
    says(&dir.fails("train x.h5 --cv 2 -o folder"), &["folder"]);
    says(&dir.fails("train x.h5 --cv 4 -o x.head"), &["at most 3 folds"]);
    says(&dir.fails("sweep x.h5 --cv 4"), &["features:flatten", "at most 3 folds"]);
    says(&dir.fails("evaluate absent.head x.h5"), &["absent.head"]);
    says(&dir.fails("models --plot x.h5/models.svg"), &["models.svg"]);
}

#[test]
fn warnings_have_no_colours_in_a_file() {
    let dir = Dir::new();
    let npz = Npz::new().floats("X", 1, &[0.0, 1.0, 0.1, 0.9, 0.5]).strings("y", &["no", "yes", "no", "yes", "maybe"]);
    npz.strings("split", &["train", "train", "train", "train", "test"]).save(&dir.path("x.npz"));
    dir.run("import x.npz -o x.h5");
    let warned = dir.headstart("train x.h5 --cv 2 -o x.head").run().exits(0).stderr;
    assert!(warned.starts_with(" WARN "), "{warned:?}");
}

#[test]
fn an_unknown_backbone_is_answered_with_near_names() {
    let dir = Dir::new();
    says(&dir.fails("layers resnet81"), &["resnet81", "did you mean", "resnet18", "headstart models"]);
    says(&dir.fails("layers vgg_16"), &["vgg16"]);
    says(&dir.fails("layers qqq"), &["qqq", "headstart models"]);
    for size in ["0", "5000"] {
        says(&dir.misused(&format!("layers resnet18 --size {size}")), &["--size", "1..=4096"]);
    }
}

#[test]
fn files_that_are_no_caches_are_told_apart() {
    let dir = small_cache();
    dir.run("train x.h5 --cv 3 -o x.head");
    dir.write("text.h5", "no cache, but long enough to be read");
    dir.write("empty.h5", "");
    let bytes = dir.read("x.h5");
    dir.write("cut.h5", &bytes[..bytes.len() / 2]);
    drop(hdf5::File::create(dir.path("other.h5")).unwrap());
    for (file, parts) in [
        ("absent.h5", &["no such file"][..]),
        ("text.h5", &["not an HDF5 file", "headstart extract or import", "-o"]),
        ("empty.h5", &["not an HDF5 file", "headstart extract or import", "-o"]),
        ("cut.h5", &["truncated", "copy it again"]),
        ("other.h5", &["an HDF5 file, but not a headstart cache", "headstart extract or import", "-o"]),
    ] {
        says(&dir.fails(&format!("inspect {file}")), &[&[file], parts].concat());
        says(&dir.fails(&format!("train {file} -o y.head")), &[&[file], parts].concat());
    }
    for command in ["inspect --verify", "sweep", "evaluate x.head"] {
        says(&dir.fails(&format!("{command} cut.h5")), &["cut.h5", "truncated"]);
    }
    assert!(!dir.exists("y.head"));
}

#[cfg(feature = "torch")]
mod extraction {
    use super::*;

    /// Two pictures, and the start of a command on them.
    fn photos() -> (Dir, String) {
        let dir = Dir::new();
        dir.class_folders("photos", &["cat", "dog"], 1);
        (dir, "extract --images photos --backbone lenet5 --weights random:0 -o x.h5 --layers".into())
    }

    #[test]
    fn images_that_are_not_there() {
        let dir = Dir::new();
        let extract = |images: &str| {
            let error = dir
                .fails(&format!("extract --images {images} --backbone lenet5 --weights random:0 --layers fc1 -o x.h5"));
            assert!(!dir.exists("x.h5"));
            error
        };
        says(&extract("absent"), &["absent", "no such file or folder"]);
        std::fs::create_dir(dir.path("empty")).unwrap();
        says(&extract("empty"), &["empty", "no images", "jpg"]);
        dir.write("texts/cat/a.txt", "");
        says(&extract("texts"), &["texts", "no images", "1 other file"]);
        dir.write("list.csv", "file,label\na.png,cat\n");
        says(&extract("list.csv"), &["list.csv", "`path`", "file,label"]);
        dir.write("list.csv", "path,label\n");
        says(&extract("list.csv"), &["list.csv", "no image"]);
        dir.write("list.csv", "path,label\na.png,cat\na.png,dog\n");
        says(&extract("list.csv"), &["list.csv", "line 3", "a.png", "line 2"]);
        dir.picture("mixed/loose.png", 0, 0);
        dir.picture("mixed/cat/a.png", 0, 0);
        says(&extract("mixed"), &["mixed", "loose.png", "cat"]);
        // A file that a list names and that is not there is a broken image, and keeps its row.
        dir.write("list.csv", "path,label\nabsent.png,cat\n");
        let command = "extract --images list.csv --backbone lenet5 --weights random:0 --layers fc1 -o x.h5";
        says(&dir.headstart(command).run().exits(0).stderr, &["absent.png", "No such file"]);
    }

    #[test]
    fn layers_and_pools_that_do_not_exist() {
        let (dir, extract) = photos();
        says(
            &dir.fails(&format!("{extract} conv9")),
            &["lenet5", "conv9", "did you mean", "conv1", "headstart layers lenet5"],
        );
        says(&dir.fails(&format!("{extract} pool*")), &["pool*", "headstart layers lenet5"]);
        says(&dir.misused(&format!("{extract} conv1:mean")), &["mean", "gap, gmp, gem3, grid2, grid4, flatten, raw"]);
        says(&dir.misused(&format!("{extract} conv1,,fc1")), &["empty layer name"]);
        says(&dir.fails(&format!("{extract} fc1:gap")), &["fc1", "vector", "fc1:flatten"]);
        says(&dir.fails(&format!("{extract} conv3:grid2")), &["conv3", "too small", "gap"]);
        assert!(!dir.exists("x.h5"));
        // A pattern takes the layers that its pool fits, and says what it leaves out.
        let outcome = dir.headstart(&format!("{extract} conv*:grid2 --json")).run().exits(0);
        says(&outcome.stderr, &["conv*:grid2 leaves out 1 layers", "conv3 is 120×1×1, too small for grid2"]);
        assert_eq!(crate::harness::texts(&outcome.json()["layers"], ""), ["conv1:grid2", "conv2:grid2"]);
        says(&dir.misused("extract --images photos --backbone lenet5 -o x.h5"), &["--layers"]);
    }

    #[test]
    fn backbones_and_weights_that_are_not_there() {
        let (dir, _) = photos();
        let extract =
            |network: &str| dir.fails(&format!("extract --images photos --backbone {network} --layers all -o x.h5"));
        says(&extract("resnet81 --weights random:0"), &["resnet81", "did you mean", "resnet18"]);
        says(&extract("resnet18"), &["resnet18", "headstart weights get resnet18", "--weights"]);
        says(&extract("lenet5 --weights absent.pth"), &["absent.pth", "No such file"]);
        dir.write("text.pth", "no weights at all");
        says(&extract("lenet5 --weights text.pth"), &["text.pth", "not a known weights file"]);
        assert!(!dir.exists("x.h5"));
        let command = "extract --images photos --backbone lenet5 --weights random:many --layers fc1 -o x.h5";
        says(&dir.misused(command), &["random:many", "random:0"]);
        let command = "extract --images photos --backbone resnet18 --size 5000 --layers fc -o x.h5";
        says(&dir.misused(command), &["--size", "5000", "4096"]);
    }

    #[test]
    fn weights_of_another_architecture_name_what_does_not_fit() {
        let (dir, _) = photos();
        let bytes =
            std::fs::read(crate::harness::repository().join("crates/extractor/tests/golden/weights/zip.pth")).unwrap();
        dir.write("other.pth", bytes);
        let error = dir.fails("extract --images photos --backbone lenet5 --weights other.pth --layers fc1 -o x.h5");
        says(
            &error,
            &[
                "other.pth",
                "not the weights of this backbone",
                "double (2×2) is not a parameter of this network",
                "more",
            ],
        );
        let hostile = crate::harness::repository().join("crates/extractor/tests/golden/weights/hostile_zip.pth");
        let hostile = hostile.display();
        let error =
            dir.fails(&format!("extract --images photos --backbone lenet5 --weights {hostile} --layers fc1 -o x.h5"));
        says(&error, &["hostile_zip.pth", "refused"]);
        assert!(!dir.exists("x.h5"));
    }

    #[test]
    fn a_cache_of_another_key_shows_both_values() {
        let (dir, extract) = photos();
        dir.run(&format!("{extract} conv1"));
        let bytes = dir.read("x.h5");
        let refused = |network: &str, parts: &[&str]| {
            let error = dir.fails(&format!("extract --images photos {network} --layers conv1 -o x.h5"));
            says(&error, &[&["x.h5", "made with other settings", "in the file", "in this run", "-o"], parts].concat());
        };
        refused("--backbone lenet5 --weights random:1", &["weights: "]);
        refused(
            "--backbone lenet5 --weights random:0 --resize crop",
            &["preprocessing.resize: \"squash\" in the file, \"crop\" in this run"],
        );
        let other = "--backbone squeezenet1_1 --weights random:0 --size 48 --layers features.3";
        let error = dir.fails(&format!("extract --images photos {other} -o x.h5"));
        says(
            &error,
            &[
                "backbone: \"lenet5\" in the file, \"squeezenet1_1\" in this run",
                "preprocessing.size: 32 in the file, 48 in this run",
            ],
        );
        assert!(dir.read("x.h5") == bytes, "a refused run changed the file");
    }

    #[test]
    fn another_precision_is_another_key() {
        let (dir, extract) = photos();
        if !cpu_precisions(&dir).contains(&"bf16".to_string()) {
            return crate::harness::skip("this CPU computes f32 only");
        }
        dir.run(&format!("{extract} conv1"));
        let error = dir.fails(&format!("{extract} conv1 --dtype bf16 --device cpu"));
        says(&error, &["x.h5", "compute dtype: \"f32\" in the file, \"bf16\" in this run"]);
        let bf16 = extract.replace("x.h5", "bf16.h5");
        dir.run(&format!("{bf16} conv1 --dtype bf16 --device cpu"));
        let values = |file: &str| crate::hdf5_file::Contents::read(dir.path(file)).layers[0].values.clone();
        let (exact, rough) = (values("x.h5"), values("bf16.h5"));
        assert_ne!(exact, rough);
        assert!(exact.iter().zip(&rough).all(|(a, b)| (a - b).abs() <= 0.03 * a.abs().max(0.1)), "{exact:?} {rough:?}");
    }

    fn cpu_precisions(dir: &Dir) -> Vec<String> {
        crate::harness::texts(&dir.json("doctor")["torch"]["cpu_precisions"], "")
    }

    #[test]
    fn devices_and_precisions_that_are_not_there_are_never_replaced() {
        let (dir, extract) = photos();
        let report = dir.json("doctor");
        if report["torch"]["cuda_devices"] == 0 {
            for device in ["cuda", "cuda:0"] {
                let error = dir.fails(&format!("{extract} fc1 --device {device}"));
                says(&error, &["--device cuda:0", "headstart doctor", "--device cpu"]);
            }
        } else {
            says(&dir.fails(&format!("{extract} fc1 --device cuda:99")), &["--device cuda:99", "--device cpu"]);
        }
        let offered = cpu_precisions(&dir);
        for dtype in ["tf32", "bf16", "f16"].iter().filter(|dtype| !offered.contains(&dtype.to_string())) {
            let error = dir.fails(&format!("{extract} fc1 --device cpu --dtype {dtype}"));
            says(&error, &[dtype, "not available on the CPU", "f32"]);
        }
        assert!(!offered.contains(&"tf32".to_string()));
        assert!(!dir.exists("x.h5"));
        says(&dir.misused(&format!("{extract} fc1 --device gpu")), &["gpu", "auto, cpu, cuda"]);
        for (devices, said) in
            [("cuda:0,cpu", "cpu is no GPU"), ("cuda:1,cuda:1", "given twice"), ("cuda:0,gpu", "auto, cpu, cuda")]
        {
            says(&dir.misused(&format!("{extract} fc1 --devices {devices}")), &[said]);
        }
        dir.misused(&format!("{extract} fc1 --device cuda:0 --devices cuda:0,cuda:1"));
        says(&dir.fails(&format!("{extract} fc1 --devices cuda:98,cuda:99")), &["cuda:98", "--device cpu"]);
        says(&dir.misused(&format!("{extract} fc1 --dtype f64")), &["f64", "f32, bf16, f16, tf32"]);
        says(&dir.misused(&format!("{extract} fc1 --store f8")), &["f8", "f32 or f16"]);
        says(&dir.misused(&format!("{extract} fc1 --batch 0")), &["--batch"]);
    }

    #[test]
    fn outputs_that_cannot_be_written() {
        let (dir, extract) = photos();
        let to = |output: &str| dir.fails(&extract.replace("x.h5", output).replace("--layers", "--layers fc1"));
        dir.write("text.h5", "a letter, not a cache");
        says(&to("text.h5"), &["text.h5", "not an HDF5 file"]);
        assert_eq!(dir.read("text.h5"), b"a letter, not a cache");
        says(&to("text.h5/x.h5"), &["text.h5"]);
        says(&to("photos"), &["photos"]);
    }
}
