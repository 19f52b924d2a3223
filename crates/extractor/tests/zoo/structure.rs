//! Names, shapes, parameters and counts of every architecture: all that needs no arithmetic on tensors.

use crate::golden::{Golden, folder, sample_positions};
use headstart_extractor::graph::Graph;
use headstart_extractor::zoo;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Every architecture with its graph and its golden file.
fn each(check: impl Fn(&str, &Graph, &Golden)) {
    for architecture in zoo::all() {
        let golden = Golden::read(architecture.name);
        assert_eq!(golden.input, architecture.input, "{}", architecture.name);
        check(architecture.name, &architecture.graph(), &golden);
    }
}

#[test]
fn there_is_one_golden_file_for_each_architecture() {
    let files: BTreeSet<String> =
        std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let wanted = zoo::all().iter().map(|architecture| format!("{}.safetensors", architecture.name)).collect();
    assert_eq!(files, wanted);
}

#[test]
fn nodes_are_those_of_torchvision_in_the_same_order() {
    each(|name, graph, golden| {
        let nodes: Vec<&str> = graph.nodes().iter().map(|node| node.name.as_str()).collect();
        let wanted: Vec<&str> = golden.nodes.iter().map(|node| node.name.as_str()).collect();
        assert_eq!(nodes, wanted, "{name}");
    });
}

#[test]
fn every_name_has_the_shape_it_has_in_torchvision() {
    each(|name, graph, golden| {
        let shapes = graph.shapes(golden.input).unwrap();
        for value in golden.nodes.iter().chain(&golden.modules) {
            let id = graph.find(&value.name).unwrap_or_else(|| panic!("{name} has no {}", value.name));
            assert_eq!(shapes[id].dims(), value.shape, "{name}: {}", value.name);
        }
    });
}

#[test]
fn modules_stand_for_the_value_they_return() {
    each(|name, graph, golden| {
        let nodes: HashMap<&str, _> = golden.nodes.iter().map(|node| (node.name.as_str(), &node.summary)).collect();
        for module in &golden.modules {
            let node = &graph.node(graph.find(&module.name).unwrap()).name;
            assert_eq!(&module.summary, nodes[node.as_str()], "{name}: {} is not {node}", module.name);
        }
        let modules: BTreeSet<&str> = graph.modules().map(|module| module.path.as_str()).collect();
        let wanted: BTreeSet<&str> = golden.modules.iter().map(|module| module.name.as_str()).collect();
        assert_eq!(modules, wanted, "{name}");
    });
}

#[test]
fn parameters_are_those_of_the_state_dict() {
    each(|name, graph, golden| {
        let parameters: BTreeMap<_, _> =
            graph.parameters().into_iter().map(|parameter| (parameter.key, parameter.shape)).collect();
        let wanted: BTreeMap<_, _> = golden.parameters.iter().map(|p| (p.key.clone(), p.shape.clone())).collect();
        assert_eq!(parameters, wanted, "{name}");
    });
}

#[test]
fn counts_are_those_of_torchvision() {
    each(|name, graph, golden| {
        let shapes = graph.shapes(golden.input).unwrap();
        let multiply_adds: u64 = graph.multiply_adds(&shapes).iter().sum();
        assert_eq!(graph.parameter_count(), golden.parameter_count, "{name}");
        assert_eq!(multiply_adds, golden.multiply_adds, "{name}");
        if let Some(published) = &golden.published {
            assert_eq!(graph.parameter_count(), published.num_params, "{name}");
            let billions = multiply_adds as f64 / 1e9;
            assert!((billions - published.gflops).abs() <= 0.000_501, "{name}: {billions}");
        }
    });
}

#[test]
fn accuracies_are_those_that_torchvision_publishes() {
    for architecture in zoo::all() {
        let published = Golden::read(architecture.name).published;
        assert_eq!(
            architecture.published.map(|ours| (ours.top1, ours.top5)),
            published.map(|theirs| (theirs.top1, theirs.top5)),
            "{}",
            architecture.name
        );
    }
}

/// The samples of parameters are what the deterministic rule gives, written here once more and apart from the code that
/// makes random weights.
#[test]
fn the_golden_weights_follow_the_rule() {
    let golden = Golden::read("resnet18");
    for parameter in &golden.parameters {
        let hash = parameter
            .key
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        let (layer, kind) = parameter.key.rsplit_once('.').unwrap();
        let normalisation = layer.contains("bn") || layer.ends_with("downsample.1");
        let fan_in: usize = parameter.shape[1..].iter().product();
        let elements = parameter.shape.iter().product();
        for (position, sample) in sample_positions(elements, 4).zip(parameter.samples) {
            let mut z = hash.wrapping_add((position as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^= z >> 31;
            let u = (z >> 40) as f64 / f64::from(1 << 24);
            let value = match (kind, normalisation) {
                ("weight", true) => 0.5 + 0.5 * u,
                ("running_var", true) => 0.75 + 0.5 * u,
                (_, true) => (2.0 * u - 1.0) * 0.2,
                ("weight", false) => (2.0 * u - 1.0) * (6.0 / fan_in as f64).sqrt(),
                (_, false) => (2.0 * u - 1.0) * 0.1,
            };
            assert_eq!(sample, value as f32, "{} at {position}", parameter.key);
        }
    }
}
