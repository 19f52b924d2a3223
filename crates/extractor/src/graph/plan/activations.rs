//! Applies rectifiers while the step before them writes its result: after convolutions (with what was folded into them),
//! and after batch normalisations that stand alone, as those before the convolutions of a DenseNet do.

use super::{Activation, Kernel, Step, merge};
use crate::graph::{Graph, NodeId, Op};

/// Joins conv → ReLU and batch norm → ReLU, ReLU6 likewise.
pub fn fuse(graph: &Graph, taps: &[NodeId], steps: &mut Vec<Step>) {
    merge::neighbours(taps, steps, |step, _, before| {
        let Kernel::Node(node) = step.kernel else { return None };
        let activation = Some(match graph.node(node).op {
            Op::Relu => Activation::Relu,
            Op::Relu6 => Activation::Relu6,
            _ => return None,
        });
        let kernel = match before.kernel {
            Kernel::Conv { conv, norm, residual, activation: None } => {
                Kernel::Conv { conv, norm, residual, activation }
            }
            Kernel::Norm { norm, activation: None } => Kernel::Norm { norm, activation },
            _ => return None,
        };
        Some((before.inputs.clone(), kernel))
    });
}
