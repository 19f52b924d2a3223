//! What runs gives the same values as every node computed by itself, for every backbone.

use headstart_extractor::{
    engine::{Engine, Precision, cpu_precisions},
    graph::{LayerSpec, Pass, Tap},
    weights::random,
    zoo::{self, Architecture},
};

/// A small image that every network can take; LeNet wants its own.
fn side(architecture: &Architecture) -> usize {
    architecture.input[1].min(96)
}

/// Pooled values of the stages and of the class scores, for each precision and passes.
fn values(architecture: &Architecture, ways: [(Precision, &[Pass]); 2]) -> (Vec<Tap>, [Vec<Vec<f32>>; 2]) {
    let graph = architecture.graph();
    let side = side(architecture);
    let shapes = graph.shapes([architecture.input[0], side, side]).unwrap();
    let last = graph.nodes().last().unwrap().name.clone();
    let specs: Vec<LayerSpec> = ["stages".to_string(), last].map(|name| name.parse().unwrap()).to_vec();
    let taps = graph.select(architecture.name, &specs, &shapes).unwrap();
    let preprocessing = headstart_cache::Preprocessing { size: side as u32, ..architecture.preprocessing.clone() };
    let weights = random(0, &graph);
    let pixels: Vec<u8> = (0..2 * side * side * architecture.input[0]).map(|i| (i * i % 251) as u8).collect();
    let run = |(precision, passes)| {
        Engine::with(&graph, &taps, &weights, &preprocessing, tch::Device::Cpu, precision, passes)
            .unwrap()
            .run(&pixels)
            .unwrap()
    };
    let values = ways.map(run);
    (taps, values)
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum() };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[test]
fn every_backbone_runs_as_it_is_described() {
    for architecture in zoo::all() {
        let (taps, [plain, fast]) = values(architecture, [(Precision::F32, &[]), (Precision::F32, &Pass::ALL)]);
        for ((tap, plain), fast) in taps.iter().zip(&plain).zip(&fast) {
            let largest = plain.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
            let difference = plain.iter().zip(fast).fold(0.0_f32, |most, (a, b)| most.max((a - b).abs()));
            assert!(difference < 1e-4 * largest, "{} {}: {difference:e} of {largest:e}", architecture.name, tap.layer);
        }
    }
}

#[test]
fn bf16_keeps_to_f32_where_the_processor_has_it() {
    if !cpu_precisions().contains(&Precision::Bf16) {
        return;
    }
    for name in ["resnet18", "resnet50", "mobilenet_v2", "densenet121", "squeezenet1_1"] {
        let architecture = zoo::find(name).unwrap();
        let ways: [(Precision, &[Pass]); 2] =
            [Precision::F32, Precision::Bf16].map(|precision| (precision, &Pass::ALL[..]));
        let (taps, [exact, reduced]) = values(&architecture, ways);
        for ((tap, exact), reduced) in taps.iter().zip(&exact).zip(&reduced) {
            let width = tap.width();
            for (exact, reduced) in exact.chunks(width).zip(reduced.chunks(width)) {
                let cosine = cosine(exact, reduced);
                assert!(cosine >= 0.9995, "{name} {}: {cosine}", tap.layer);
            }
        }
    }
}
