//! Every node's activation against torchvision's, with the same weights and the same input.

use crate::golden::{Golden, Summary, TOLERANCE};
use headstart_extractor::{
    engine::{Engine, Precision},
    graph::{Pool, Tap},
    weights::{random, random_input},
    zoo,
};

/// The taps of every fourth node are asked for at once, in four runs: then most chains that can be fused are, in some run,
/// and each is also interrupted everywhere, in another.
const RUNS: usize = 4;

#[test]
fn every_node_matches_torchvision() {
    for architecture in zoo::all() {
        let golden = Golden::read(architecture.name);
        let graph = architecture.graph();
        let shapes = graph.shapes(golden.input).unwrap();
        let weights = random(0, &graph);
        let [c, h, w] = golden.input;
        let input = random_input(0, &[1, c, h, w]);
        let taps: Vec<Tap> = golden
            .nodes
            .iter()
            .chain(&golden.modules)
            .map(|value| {
                let node = graph.find(&value.name).unwrap();
                let shape = shapes[node];
                Tap { layer: value.name.clone(), pool: Pool::Raw, node, shape, stored: shape.dims() }
            })
            .collect();
        let references: Vec<&Summary> =
            golden.nodes.iter().chain(&golden.modules).map(|value| &value.summary).collect();
        for run in 0..RUNS {
            let chosen: Vec<usize> = (run..taps.len()).step_by(RUNS).collect();
            let some_taps: Vec<Tap> = chosen.iter().map(|&index| taps[index].clone()).collect();
            let engine = Engine::new(
                &graph,
                &some_taps,
                &weights,
                &architecture.preprocessing,
                tch::Device::Cpu,
                Precision::F32,
            )
            .unwrap();
            let values = engine.run_normalised(&input.data, [1, c, h, w]).unwrap();
            for (&index, value) in chosen.iter().zip(&values) {
                let (deviation, place) = references[index].deviation(&Summary::of(value));
                assert!(
                    deviation <= TOLERANCE,
                    "{} {}: {place} deviates by {deviation:.1e} of the largest value",
                    architecture.name,
                    taps[index].layer
                );
            }
        }
    }
}
