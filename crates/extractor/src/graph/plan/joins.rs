//! Has batch normalisations read the maps that a concatenation would have put one behind the other for them.

use super::{Kernel, Step, merge};
use crate::graph::{Graph, NodeId, Op};

/// Joins concat → batch norm, for the layers of a DenseNet.
pub fn fuse(graph: &Graph, taps: &[NodeId], steps: &mut Vec<Step>) {
    merge::neighbours(taps, steps, |step, _, before| match (step.kernel, before.kernel) {
        (Kernel::Norm { .. }, Kernel::Node(node)) if graph.node(node).op == Op::Concat => {
            Some((before.inputs.clone(), step.kernel))
        }
        _ => None,
    });
}
