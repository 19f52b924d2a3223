//! Features of photographs against torchvision's, with the same weights. Runs where torchvision is installed.

use crate::{
    harness::{Dir, repository, skip},
    hdf5_file::Contents,
};
use std::process::Command;

#[test]
fn features_of_photographs_equal_those_of_torchvision() {
    let python = std::env::var("HEADSTART_PYTHON").unwrap_or_else(|_| "python3".into());
    let found = Command::new(&python).args(["-c", "import torchvision, safetensors"]).output();
    if !found.is_ok_and(|output| output.status.success()) {
        return skip(&format!("{python} cannot import torchvision and safetensors; HEADSTART_PYTHON names another"));
    }
    let Some(photos) = photographs() else {
        return skip(
            "no photographs: neither HEADSTART_PHOTOS nor data/photos is there; get some with: scripts/fetch photos",
        );
    };
    let dir = Dir::new();
    let weights = dir.headstart("weights list --json").with_real_weights().run().exits(0).json();
    let weights = weights.as_array().unwrap().iter().find(|entry| entry["backbone"] == "resnet18").unwrap();
    let Some(weights) = weights["cached"].as_str() else {
        return skip("no weights; get them with: headstart weights get resnet18");
    };

    const LAYERS: [&str; 5] = ["layer1", "layer2", "layer3", "layer4", "avgpool"];
    let layers = LAYERS.join(",");
    let ours = dir.headstart(&format!("extract --backbone resnet18 --layers {layers} --limit 20 -o x.h5 --device cpu"));
    ours.arg("--weights").arg(weights).arg("--images").arg(&photos).run().exits(0);
    let ours = Contents::read(dir.path("x.h5"));
    dir.write(
        "images.txt",
        ours.path.iter().map(|path| format!("{}\n", photos.join(path).display())).collect::<String>(),
    );

    let script = repository().join("scripts/torchvision_features.py");
    let mut command = Command::new(&python);
    command.arg(script).args([weights, "images.txt", "theirs.npz"]).args(LAYERS).current_dir(dir.path(""));
    let made = command.output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));

    let rows = ours.path.len();
    assert!(rows >= 5, "{rows} photographs");
    for layer in LAYERS {
        // `import` reads any array X, so the script writes one file for each layer.
        dir.run(&format!("import theirs-{layer}.npz -o theirs-{layer}.h5"));
        let theirs = Contents::read(dir.path(&format!("theirs-{layer}.h5")));
        let (ours, theirs) = (ours.layer(&format!("{layer}:gap")), &theirs.layers[0]);
        assert_eq!(ours.shape, theirs.shape, "{layer}");
        let lowest = (0..rows).map(|row| cosine(ours.row(row), theirs.row(row))).fold(1.0, f64::min);
        eprintln!("{layer}: cosine with torchvision at least {lowest:.7} over {rows} photographs");
        assert!(lowest >= 0.9999, "{layer}: cosine {lowest}");
    }
}

/// A folder of photographs: the one that HEADSTART_PHOTOS names, else what scripts/fetch puts into data/photos.
fn photographs() -> Option<std::path::PathBuf> {
    let named = std::env::var_os("HEADSTART_PHOTOS").map(std::path::PathBuf::from);
    named.into_iter().chain([repository().join("data/photos")]).find(|folder| folder.is_dir())
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}
