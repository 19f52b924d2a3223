//! LeNet-5: LeCun, Bottou, Bengio, Haffner, "Gradient-Based Learning Applied to Document Recognition", Proceedings of the
//! IEEE 86(11), 1998.

use super::{Architecture, Labels, Paper, digits_preprocessing};
use crate::graph::{Builder, Conv2d, Graph, Op};

const PAPER: Paper = Paper {
    title: "Gradient-Based Learning Applied to Document Recognition",
    authors: "LeCun et al.",
    year: 1998,
    reference: "Proceedings of the IEEE 86(11)",
};

pub(super) fn architectures() -> Vec<Architecture> {
    vec![Architecture {
        name: "lenet5",
        family: "LeNet",
        paper: PAPER,
        input: [1, 32, 32],
        depth: 5,
        published: None,
        classes: Labels::Digits,
        preprocessing: digits_preprocessing(),
        build: lenet5,
    }]
}

/// Layout: `conv1` (5×5, 6 maps) → tanh → 2×2 average → `conv2` (5×5, 16) → tanh → 2×2 average → `conv3` (5×5, 120) → tanh
/// → flatten → `fc1` (84) → tanh → `fc2` (10), on a grey 32×32 image.
///
/// The form commonly built today. The paper's own differs in four ways: its pooling has a learned scale and offset per map,
/// its second convolution reads subsets of the maps, its tanh is stretched, and it ends in distances to fixed codes.
fn lenet5() -> Graph {
    let (mut b, x) = Builder::new();
    let halve = Op::AvgPool2d { kernel: 2, stride: 2 };

    let y = b.conv("conv1", x, Conv2d::new(1, 6, 5).bias());
    let y = b.op("tanh", Op::Tanh, &[y]);
    let y = b.op("avg_pool2d", halve, &[y]);
    let y = b.conv("conv2", y, Conv2d::new(6, 16, 5).bias());
    let y = b.op("tanh", Op::Tanh, &[y]);
    let y = b.op("avg_pool2d", halve, &[y]);
    let y = b.conv("conv3", y, Conv2d::new(16, 120, 5).bias());
    let y = b.op("tanh", Op::Tanh, &[y]);
    let y = b.flatten("flatten", y);
    let y = b.linear("fc1", y, 120, 84);
    let y = b.op("tanh", Op::Tanh, &[y]);
    b.linear("fc2", y, 84, 10);

    // The pooled maps, then the two hidden vectors (the last convolution leaves one pixel).
    for stage in ["avg_pool2d", "avg_pool2d_1", "tanh_2", "tanh_3"] {
        b.stage(stage);
    }
    b.finish()
}
