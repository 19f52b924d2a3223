//! What passes that fuse have in common: a step may become the end of the step before it only if nothing else reads that
//! step's value and nobody asked for it.

use super::{Kernel, Step};
use crate::graph::NodeId;

/// Offers every step the steps that produce its inputs. Where `join(step, side, producer)` gives the inputs and the kernel
/// of both in one, that step takes the place of the later one: by then all inputs are there.
pub fn neighbours(
    taps: &[NodeId],
    steps: &mut Vec<Step>,
    join: impl Fn(&Step, usize, &Step) -> Option<(Vec<NodeId>, Kernel)>,
) {
    let mut reads: Vec<NodeId> = steps.iter().flat_map(|step| &step.inputs).copied().collect();
    reads.sort_unstable();
    let private = |node: NodeId| {
        !taps.contains(&node)
            && reads.partition_point(|&read| read <= node) - reads.partition_point(|&read| read < node) == 1
    };

    let mut merged: Vec<Step> = Vec::with_capacity(steps.len());
    for step in steps.drain(..) {
        // The value computed last is preferred, so that the others are ready.
        let mut sides: Vec<usize> = (0..step.inputs.len()).filter(|&side| private(step.inputs[side])).collect();
        sides.sort_by_key(|&side| std::cmp::Reverse(step.inputs[side]));
        let found = sides.into_iter().find_map(|side| {
            let at = merged.iter().position(|earlier| earlier.output == step.inputs[side])?;
            join(&step, side, &merged[at]).map(|(inputs, kernel)| (at, inputs, kernel))
        });
        match found {
            Some((at, inputs, kernel)) => {
                merged.remove(at);
                merged.push(Step { kernel, inputs, ..step });
            }
            None => merged.push(step),
        }
    }
    *steps = merged;
}
