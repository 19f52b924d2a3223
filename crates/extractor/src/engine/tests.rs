//! Every pass leaves every value as it was, whatever the graph, the taps and the passes before it.

use super::*;
use crate::{
    graph::{Builder, Conv2d, Pool, Shape},
    images::geometry,
    weights::{random, random_input},
};
use proptest::prelude::*;

/// Side of the maps of random graphs, and images in a batch.
const SIDE: usize = 6;
const BATCH: usize = 2;

/// A node of a random graph: which operation, and which of the values so far it reads (counted back from the last one).
type Choice = (u8, usize, usize);

/// A graph of maps of one size with different numbers of channels.
fn graph(choices: &[Choice]) -> Graph {
    let (mut b, x) = Builder::new();
    let mut values = vec![(x, 3)];
    for (number, &(kind, first, second)) in choices.iter().enumerate() {
        let pick = |back: usize| values[values.len() - 1 - back % values.len().min(4)];
        let (y, channels) = pick(first);
        let name = format!("node{number}");
        let value = match kind {
            0 | 1 => (b.conv(&name, y, Conv2d::new(channels, 8, 3).padding(1)), 8),
            2 => (b.conv(&name, y, Conv2d::new(channels, 5, 1).bias()), 5),
            3 => (b.conv(&name, y, Conv2d::new(channels, channels, 3).padding(1).groups(channels)), channels),
            4 | 5 => (b.batch_norm(&name, y, channels), channels),
            6 | 7 => (b.relu(&name, y), channels),
            8 => (b.op(&name, Op::Relu6, &[y]), channels),
            9 => (b.op(&name, Op::Tanh, &[y]), channels),
            10 => (b.op(&name, Op::Dropout, &[y]), channels),
            11 => (b.op(&name, Op::MaxPool2d { kernel: 3, stride: 1, padding: 1, ceil: false }, &[y]), channels),
            12 => {
                let (z, more) = pick(second);
                (b.op(&name, Op::Concat, &[y, z]), channels + more)
            }
            _ => match values.iter().rev().find(|&&(z, other)| other == channels && z != y) {
                Some(&(z, _)) => (b.add(&name, y, z), channels),
                None => (b.add(&name, y, y), channels),
            },
        };
        values.push(value);
    }
    let (last, channels) = values[values.len() - 1];
    let y = b.flatten("flatten", last);
    b.linear("linear", y, channels * SIDE * SIDE, 3);
    b.finish()
}

fn tap(graph: &Graph, node: NodeId) -> Tap {
    let shape = graph.shapes([3, SIDE, SIDE]).unwrap()[node];
    let pool = if matches!(shape, Shape::Map(_)) { Pool::Raw } else { Pool::Flatten };
    Tap { layer: graph.node(node).name.clone(), pool, node, shape, stored: shape.dims() }
}

/// The largest difference between two runs of these taps, as a share of the largest value of each.
fn difference(graph: &Graph, taps: &[NodeId], passes: &[Pass]) -> f32 {
    let weights = random(1, graph);
    let taps: Vec<Tap> = taps.iter().map(|&node| tap(graph, node)).collect();
    let preprocessing = Preprocessing { size: SIDE as u32, ..geometry::imagenet(224) };
    let input = random_input(1, &[BATCH, 3, SIDE, SIDE]);
    let run = |passes: &[Pass]| {
        Engine::with(graph, &taps, &weights, &preprocessing, tch::Device::Cpu, Precision::F32, passes)
            .unwrap()
            .run_normalised(&input.data, [BATCH, 3, SIDE, SIDE])
            .unwrap()
    };
    let share = |(plain, passed): (&Vec<f32>, &Vec<f32>)| {
        let largest = plain.iter().fold(1e-3_f32, |most, value| most.max(value.abs()));
        plain.iter().zip(passed).fold(0.0_f32, |most, (a, b)| most.max((a - b).abs())) / largest
    };
    let (plain, passed) = (run(&[]), run(passes));
    plain.iter().zip(&passed).map(share).fold(0.0, f32::max)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn passes_change_no_value(
        choices in prop::collection::vec((0_u8..15, 0_usize..4, 0_usize..4), 1..14),
        taps in prop::collection::vec(0_usize..100, 1..5),
        passes in prop_oneof![Just(Pass::ALL.to_vec()), prop::sample::subsequence(Pass::ALL.to_vec(), 1..=4)],
    ) {
        let graph = graph(&choices);
        let nodes = graph.nodes().len();
        let taps: Vec<NodeId> = taps.into_iter().map(|tap| tap % nodes).chain([nodes - 1]).collect();
        let difference = difference(&graph, &taps, &passes);
        prop_assert!(difference < 2e-5, "{passes:?} change a value by {difference:e} of the largest");
    }
}

/// relu(bn(conv) + x), tapped nowhere inside: what each pass alone makes of it.
#[test]
fn each_pass_alone_changes_no_value() {
    // conv, norm, sum with what came before the convolution, rectifier, dropout, join, then norm and rectifier alone.
    let graph =
        graph(&[(0, 0, 0), (0, 0, 0), (4, 0, 0), (13, 0, 0), (6, 0, 0), (10, 0, 0), (12, 0, 3), (4, 0, 0), (8, 0, 0)]);
    let end = graph.nodes().len() - 1;
    for pass in Pass::ALL {
        assert!(difference(&graph, &[end], &[pass]) < 2e-5, "{pass:?}");
    }
    assert!(difference(&graph, &[end], &Pass::ALL) < 2e-5);
}
