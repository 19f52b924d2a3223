//! Fuses conv → batch norm → (+ residual) → ReLU into one step. A node is swallowed only if exactly one other reads it and
//! nobody asked for its value.

use super::{Activation, Kernel, Step};
use crate::graph::{Graph, NodeId, Op};

/// Rewrites `steps` so that every chain that starts at a convolution is one step, placed where its last node was.
pub fn convolutions(graph: &Graph, taps: &[NodeId], steps: &mut Vec<Step>) {
    let mut readers = vec![0_usize; graph.nodes().len()];
    for input in steps.iter().flat_map(|step| &step.inputs) {
        readers[*input] += 1;
    }
    let private = |node: NodeId| readers[node] == 1 && !taps.contains(&node);

    let mut fused: Vec<Step> = Vec::with_capacity(steps.len());
    for step in steps.drain(..) {
        let Kernel::Node(node) = step.kernel else { continue };
        let swallowed = match graph.node(node).op {
            Op::Conv2d(_) => {
                let kernel = Kernel::Conv { conv: node, norm: None, residual: false, activation: None };
                fused.push(Step { kernel, ..step });
                continue;
            }
            Op::BatchNorm2d { .. } | Op::Relu | Op::Relu6 => swallow(graph, node, &step, &mut fused, &private, 0),
            // Either side of a sum may be the convolution; the later one is preferred, so that the other is ready.
            Op::Add => {
                let later_first = if step.inputs[0] >= step.inputs[1] { [0, 1] } else { [1, 0] };
                later_first.into_iter().any(|side| swallow(graph, node, &step, &mut fused, &private, side))
            }
            _ => false,
        };
        if !swallowed {
            fused.push(step);
        }
    }
    *steps = fused;
}

/// Makes `step` (the operation of `node`) the end of the chain that produces its input number `side`, if it can be.
fn swallow(
    graph: &Graph,
    node: NodeId,
    step: &Step,
    fused: &mut Vec<Step>,
    private: &impl Fn(NodeId) -> bool,
    side: usize,
) -> bool {
    let chain_end = step.inputs[side];
    if !private(chain_end) {
        return false;
    }
    let Some(at) = fused.iter().position(|earlier| earlier.output == chain_end) else { return false };
    let Kernel::Conv { conv, norm, residual, activation } = fused[at].kernel else { return false };
    let mut inputs = fused[at].inputs.clone();
    let kernel = match graph.node(node).op {
        Op::BatchNorm2d { .. } if norm.is_none() && !residual && activation.is_none() => {
            Kernel::Conv { conv, norm: Some(node), residual, activation }
        }
        Op::Add if !residual && activation.is_none() => {
            inputs.push(step.inputs[1 - side]);
            Kernel::Conv { conv, norm, residual: true, activation }
        }
        Op::Relu if activation.is_none() => Kernel::Conv { conv, norm, residual, activation: Some(Activation::Relu) },
        Op::Relu6 if activation.is_none() => Kernel::Conv { conv, norm, residual, activation: Some(Activation::Relu6) },
        _ => return false,
    };
    fused.remove(at);
    // The chain now runs where its last node stood: by then every other input is there.
    fused.push(Step { kernel, inputs, output: node, in_place: false, free: Vec::new() });
    true
}
