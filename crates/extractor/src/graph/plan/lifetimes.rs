//! Decides when each value may be dropped.

use super::Step;
use crate::graph::NodeId;
use std::collections::HashSet;

/// Fills `free` of every step. Whoever runs the plan takes a tap's value right after its step, so taps live no longer than
/// others.
pub fn assign(steps: &mut [Step]) {
    let mut read_later: HashSet<NodeId> = HashSet::new();
    for step in steps.iter_mut().rev() {
        step.free = step.inputs.iter().copied().filter(|input| !read_later.contains(input)).collect();
        step.free.sort_unstable();
        step.free.dedup();
        if !read_later.contains(&step.output) {
            step.free.push(step.output);
        }
        read_later.extend(&step.inputs);
    }
}
