//! Folds batch normalisations into the convolutions before them: the weights are multiplied when they are loaded, and
//! the step is gone.

use super::{Kernel, Step, merge};
use crate::graph::NodeId;

/// Joins conv → batch norm.
pub fn fold(taps: &[NodeId], steps: &mut Vec<Step>) {
    merge::neighbours(taps, steps, |step, _, before| match (step.kernel, before.kernel) {
        (
            Kernel::Norm { norm, activation: None },
            Kernel::Conv { conv, norm: None, residual: false, activation: None },
        ) => {
            let kernel = Kernel::Conv { conv, norm: Some(norm), residual: false, activation: None };
            Some((before.inputs.clone(), kernel))
        }
        _ => None,
    });
}
