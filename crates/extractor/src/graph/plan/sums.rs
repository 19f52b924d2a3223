//! Lets a convolution add the other side of a sum to its result while it writes it.

use super::{Kernel, Step, merge};
use crate::graph::{Graph, NodeId, Op};

/// Joins conv → add. Either side of a sum may be the convolution.
pub fn fuse(graph: &Graph, taps: &[NodeId], steps: &mut Vec<Step>) {
    merge::neighbours(taps, steps, |step, side, before| match (step.kernel, before.kernel) {
        (Kernel::Node(node), Kernel::Conv { conv, norm, residual: false, activation: None })
            if graph.node(node).op == Op::Add =>
        {
            let inputs = vec![before.inputs[0], step.inputs[1 - side]];
            Some((inputs, Kernel::Conv { conv, norm, residual: true, activation: None }))
        }
        _ => None,
    });
}
