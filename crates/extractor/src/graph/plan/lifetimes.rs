//! Decides when each value may be dropped, and which steps may write over their input.

use super::{Kernel, Step};
use crate::graph::{Graph, NodeId, Op};
use std::collections::HashSet;

/// Fills `free` and `in_place` of every step. Whoever runs the plan takes a tap's value right after its step, so taps live
/// no longer than others; the input image belongs to the caller.
pub fn assign(graph: &Graph, steps: &mut [Step]) {
    let mut read_later: HashSet<NodeId> = HashSet::new();
    for step in steps.iter_mut().rev() {
        step.free = step.inputs.iter().copied().filter(|input| !read_later.contains(input)).collect();
        step.free.sort_unstable();
        step.free.dedup();
        if !read_later.contains(&step.output) {
            step.free.push(step.output);
        }
        let first = step.inputs[0];
        step.in_place = matches!(step.kernel, Kernel::Node(_))
            && !is_view(graph.node(first).op)
            && step.free.contains(&first)
            && step.inputs.iter().filter(|&&input| input == first).count() == 1;
        read_later.extend(&step.inputs);
    }
}

/// Values that share memory with another: the caller's image, and operations that only relabel their input. Writing over
/// one of these could change a value that somebody asked for.
fn is_view(op: Op) -> bool {
    matches!(op, Op::Input | Op::Flatten | Op::Dropout)
}
