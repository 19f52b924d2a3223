//! `weights import` and `verify`, and running a network with a file of one's own.

use crate::harness::{Dir, repository, says};
use headstart_extractor::{
    weights::{StateDict, Tensor, random},
    zoo,
};
use safetensors::{Dtype, tensor::TensorView};
use serde_json::json;

/// The parameters that `random:SEED` stands for.
fn random_parameters(backbone: &str, seed: u64) -> StateDict {
    random(seed, &zoo::find(backbone).unwrap().graph()).tensors
}

/// Writes parameters as a safetensors file.
pub fn save(dir: &Dir, name: &str, parameters: &StateDict) {
    let bytes: Vec<Vec<u8>> =
        parameters.values().map(|tensor| tensor.data.iter().flat_map(|value| value.to_le_bytes()).collect()).collect();
    let views = parameters
        .iter()
        .zip(&bytes)
        .map(|((key, tensor), bytes)| (key.clone(), TensorView::new(Dtype::F32, tensor.shape.clone(), bytes).unwrap()));
    dir.write(name, safetensors::serialize(views, None).unwrap());
}

fn golden(name: &str) -> String {
    repository().join("crates/extractor/tests/golden/weights").join(name).display().to_string()
}

#[test]
fn imported_weights_are_the_same_parameters() {
    let dir = Dir::new();
    save(&dir, "mine.safetensors", &random_parameters("lenet5", 5));
    let verified = dir.json("weights verify mine.safetensors --backbone lenet5");
    assert_eq!(
        (&verified["usable"], &verified["matched"], &verified["scalars"]),
        (&json!(true), &json!(10), &json!(61_706))
    );
    assert_eq!(
        (&verified["missing"], &verified["extra"], &verified["misshapen"]),
        (&json!([]), &json!([]), &json!([]))
    );
    let shown = dir.run("weights import mine.safetensors --backbone lenet5 -o new/imported.safetensors");
    says(&shown, &["imported.safetensors", "10 parameters", verified["sha256"].as_str().unwrap()]);
    let again = dir.json("weights verify new/imported.safetensors --backbone lenet5");
    assert_eq!(again["sha256"], verified["sha256"]);
    says(&dir.run("weights verify new/imported.safetensors --backbone lenet5"), &["10 tensors fit"]);
}

#[test]
fn a_parameter_that_does_not_fit_is_named() {
    let dir = Dir::new();
    let complete = random_parameters("lenet5", 0);
    let refused = |change: &dyn Fn(&mut StateDict), parts: &[&str]| {
        let mut parameters = complete.clone();
        change(&mut parameters);
        save(&dir, "wrong.safetensors", &parameters);
        let import = "weights import wrong.safetensors --backbone lenet5 -o out.safetensors";
        says(&dir.fails(import), &[&["wrong.safetensors", "not the weights of this backbone"], parts].concat());
        assert!(!dir.exists("out.safetensors"));
        let verify = dir.headstart("weights verify wrong.safetensors --backbone lenet5").run().exits(1);
        says(&verify.stderr, &["wrong.safetensors", "lenet5"]);
        says(&verify.stdout, &parts[..1]);
    };
    refused(&|p| drop(p.remove("conv1.bias")), &["conv1.bias"]);
    refused(&|p| drop(p.insert("head.weight".into(), Tensor { shape: vec![2], data: vec![0.0; 2] })), &["head.weight"]);
    let misshapen = Tensor { shape: vec![6, 3, 5, 5], data: vec![0.0; 450] };
    refused(&|p| drop(p.insert("conv1.weight".into(), misshapen.clone())), &["conv1.weight", "6×1×5×5", "6×3×5×5"]);
    says(&dir.fails(&format!("weights verify {} --backbone lenet5", golden("zip.pth"))), &["zip.pth", "lenet5"]);
}

#[test]
fn verify_and_import_take_the_same_files() {
    let dir = Dir::new();
    // torchvision's own densenet files still have the keys of its first DenseNets.
    let complete = random_parameters("densenet121", 0);
    let dotted = |key: &String| match key.split_once(".denselayer") {
        Some((block, layer)) => {
            format!("{block}.denselayer{}", layer.replace("norm", "norm.").replace("conv", "conv."))
        }
        None => key.clone(),
    };
    save(&dir, "old.safetensors", &complete.iter().map(|(key, tensor)| (dotted(key), tensor.clone())).collect());
    let verified = dir.json("weights verify old.safetensors --backbone densenet121");
    assert_eq!((&verified["usable"], &verified["matched"]), (&json!(true), &json!(complete.len())));
    let shown = dir.run("weights import old.safetensors --backbone densenet121 -o kept.safetensors");
    says(&shown, &[verified["sha256"].as_str().unwrap()]);

    let mut bytes = dir.read("kept.safetensors");
    *bytes.last_mut().unwrap() ^= 1;
    dir.write("kept.safetensors", bytes);
    for command in ["verify kept.safetensors", "import kept.safetensors -o again.safetensors"] {
        let error = dir.fails(&format!("weights {command} --backbone densenet121"));
        says(&error, &["kept.safetensors", "damaged", "hash"]);
    }
    assert!(!dir.exists("again.safetensors"));
}

#[test]
fn files_that_are_no_weights_are_refused_without_running_anything() {
    let dir = Dir::new();
    dir.write("letter.pth", "dear reader, these are no weights");
    let error = dir.fails("weights verify letter.pth --backbone lenet5");
    says(&error, &["letter.pth", "not a known weights file", "safetensors"]);
    dir.write("empty.pth", "");
    says(&dir.fails("weights verify empty.pth --backbone lenet5"), &["empty.pth", "empty"]);
    says(&dir.fails("weights verify absent.pth --backbone lenet5"), &["absent.pth", "No such file"]);
    for hostile in ["hostile_system.pkl", "hostile_eval.pkl", "hostile_zip.pth", "hostile_legacy.pth"] {
        let error = dir.fails(&format!("weights verify {} --backbone lenet5", golden(hostile)));
        says(&error, &[hostile, "refused: the file wants to call", "safetensors"]);
    }
    assert_eq!(std::fs::read_dir(dir.path("")).unwrap().count(), 2, "something was made");
}

#[test]
fn getting_weights_of_an_unknown_backbone_fails_with_near_names() {
    let dir = Dir::new();
    says(&dir.fails("weights get resnet19"), &["resnet19", "resnet18"]);
    says(&dir.fails("weights get lenet5"), &["lenet5"]);
    dir.misused("weights get");
}

#[cfg(feature = "torch")]
mod running {
    use super::*;
    use crate::hdf5_file::Contents;

    #[test]
    fn the_same_numbers_from_a_file_are_the_same_weights() {
        let dir = Dir::new();
        dir.class_folders("photos", &["cat"], 3);
        save(&dir, "mine.safetensors", &random_parameters("lenet5", 0));
        let extract = |weights: &str, out: &str| {
            dir.json(&format!(
                "extract --images photos --backbone lenet5 --weights {weights} --layers conv2,fc2 -o {out}"
            ))
        };
        extract("mine.safetensors", "file.h5");
        extract("random:0", "random.h5");
        let (file, random) = (Contents::read(dir.path("file.h5")), Contents::read(dir.path("random.h5")));
        assert_eq!(file.layers, random.layers);
        assert_eq!(file.provenance["weights"]["sha256"], random.provenance["weights"]["sha256"]);
        assert_eq!(file.provenance["weights"]["source"], "mine.safetensors");
        // The key goes by the numbers, not by the file's name.
        assert_eq!(extract("random:0", "file.h5")["computed"], 0);
    }

    #[test]
    fn weights_without_their_end_serve_the_layers_before_it() {
        let dir = Dir::new();
        dir.class_folders("photos", &["cat"], 2);
        let mut parameters = random_parameters("lenet5", 0);
        parameters.retain(|key, _| !key.starts_with("fc"));
        save(&dir, "front.safetensors", &parameters);
        let shown = dir.run("weights import front.safetensors --backbone lenet5 -o kept.safetensors");
        says(&shown, &["6 parameters", "layers from fc1 on cannot be computed"]);
        let extract = "extract --images photos --backbone lenet5 --weights kept.safetensors -o x.h5 --layers";
        dir.run(&format!("{extract} conv1,flatten"));
        let error = dir.fails(&format!("{extract} conv1,fc1"));
        says(&error, &["fc1"]);
    }

    #[test]
    fn a_damaged_file_of_ours_is_noticed() {
        let dir = Dir::new();
        dir.class_folders("photos", &["cat"], 2);
        save(&dir, "mine.safetensors", &random_parameters("lenet5", 0));
        dir.run("weights import mine.safetensors --backbone lenet5 -o kept.safetensors");
        let mut bytes = dir.read("kept.safetensors");
        let last = bytes.len() - 2;
        bytes[last] ^= 0x01;
        dir.write("kept.safetensors", bytes);
        let error =
            dir.fails("extract --images photos --backbone lenet5 --weights kept.safetensors --layers fc1 -o x.h5");
        says(&error, &["kept.safetensors", "damaged"]);
        assert!(!dir.exists("x.h5"));
    }

    #[test]
    fn a_complete_cache_is_told_from_the_header_of_the_weights() {
        let dir = Dir::new();
        dir.class_folders("photos", &["cat"], 2);
        save(&dir, "mine.safetensors", &random_parameters("lenet5", 0));
        dir.run("weights import mine.safetensors --backbone lenet5 -o kept.safetensors");
        let extract = "extract --images photos --backbone lenet5 --weights kept.safetensors -o x.h5 --layers";
        dir.run(&format!("{extract} fc1"));
        let cache = dir.read("x.h5");
        // Reading the numbers would find them damaged.
        let mut bytes = dir.read("kept.safetensors");
        *bytes.last_mut().unwrap() ^= 1;
        dir.write("kept.safetensors", bytes);
        assert_eq!(dir.json(&format!("{extract} fc1"))["computed"], 0);
        // As soon as there is something to compute they are read, before the cache is touched.
        says(&dir.fails(&format!("{extract} fc1,fc2")), &["kept.safetensors", "damaged"]);
        dir.picture("photos/cat/new.png", 1, 1);
        says(&dir.fails(&format!("{extract} fc1")), &["kept.safetensors", "damaged"]);
        assert!(dir.read("x.h5") == cache);
    }
}
