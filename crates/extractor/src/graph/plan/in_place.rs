//! Decides which steps write their result over an input, which saves memory traffic.

use super::{Kernel, Step};
use crate::graph::{Graph, NodeId, Op};
use std::collections::HashSet;

/// Sets `overwrites` of every step that can, after `free` is known: over the residual for convolutions that add one, else
/// over the first input. Whoever runs the plan takes a tap's value right after its step.
pub fn assign(graph: &Graph, steps: &mut [Step]) {
    let is_view = |node: NodeId| matches!(graph.node(node).op, Op::Input | Op::Flatten | Op::Dropout);
    // Values that may share memory with another: writing over one could change a value that is still needed.
    let mut shared: HashSet<NodeId> = HashSet::new();
    for step in steps.iter().filter(|step| is_view(step.output)) {
        shared.extend([step.inputs[0], step.output]);
    }
    for step in steps {
        let side = match step.kernel {
            Kernel::Conv { residual: true, .. } => 1,
            Kernel::Node(_) => 0,
            _ => continue,
        };
        let over = step.inputs[side];
        let last = step.free.contains(&over) && step.inputs.iter().filter(|&&input| input == over).count() == 1;
        // The input image belongs to the caller.
        step.overwrites = (last && !is_view(over) && !shared.contains(&over)).then_some(side);
    }
}
