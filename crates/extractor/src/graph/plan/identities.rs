//! Leaves out operations that do nothing when a network is not trained: whoever reads their value reads their input.

use super::{Kernel, Step};
use crate::graph::{Graph, NodeId, Op};
use std::collections::HashMap;

/// Drops every dropout that nobody asked for.
pub fn drop(graph: &Graph, taps: &[NodeId], steps: &mut Vec<Step>) {
    let mut same: HashMap<NodeId, NodeId> = HashMap::new();
    steps.retain_mut(|step| {
        for input in &mut step.inputs {
            *input = *same.get(input).unwrap_or(input);
        }
        let idle = matches!(step.kernel, Kernel::Node(node) if graph.node(node).op == Op::Dropout);
        if !idle || taps.contains(&step.output) {
            return true;
        }
        same.insert(step.output, step.inputs[0]);
        false
    });
}
