//! MobileNetV2: Sandler, Howard, Zhu, Zhmoginov, Chen, "MobileNetV2: Inverted Residuals and Linear Bottlenecks",
//! arXiv:1801.04381, 2018.

use super::{Architecture, Labels, Paper, imagenet_preprocessing, torchvision};
use crate::graph::{Builder, Conv2d, Graph, NodeId, Op};

const PAPER: Paper = Paper {
    title: "MobileNetV2: Inverted Residuals and Linear Bottlenecks",
    authors: "Sandler et al.",
    year: 2018,
    reference: "arXiv:1801.04381",
};

/// A row of the paper's table 2: blocks of the same width in sequence.
struct Row {
    /// Expansion factor.
    t: usize,
    /// Output channels.
    c: usize,
    /// Blocks.
    n: usize,
    /// Stride of the first of them.
    s: usize,
}

const ROWS: [Row; 7] = [
    Row { t: 1, c: 16, n: 1, s: 1 },
    Row { t: 6, c: 24, n: 2, s: 2 },
    Row { t: 6, c: 32, n: 3, s: 2 },
    Row { t: 6, c: 64, n: 4, s: 2 },
    Row { t: 6, c: 96, n: 3, s: 1 },
    Row { t: 6, c: 160, n: 3, s: 2 },
    Row { t: 6, c: 320, n: 1, s: 1 },
];

pub(super) fn architectures() -> Vec<Architecture> {
    vec![Architecture {
        name: "mobilenet_v2",
        family: "MobileNetV2",
        paper: PAPER,
        input: [3, 224, 224],
        // Weight layers along the longest path: the paper gives no number of its own.
        depth: 53,
        published: torchvision(71.878, 90.286),
        classes: Labels::ImageNet1k,
        preprocessing: imagenet_preprocessing(),
        build: mobilenet_v2,
    }]
}

/// Layout: `features.0` (3×3, stride 2, 32 maps) → `features.1` … `features.17`, inverted residual blocks → `features.18`
/// (1×1, 1280 maps) → global average (`adaptive_avg_pool2d`) → flatten → `classifier` (dropout, 1000).
fn mobilenet_v2() -> Graph {
    let (mut b, x) = Builder::new();

    let mut stages = Vec::new();
    let y = b.module("features", |b| {
        let mut y = conv_norm_relu6(b, "0", x, Conv2d::new(3, 32, 3).stride(2).padding(1));
        let mut channels = 32;
        let mut number = 1;
        for Row { t, c, n, s } in ROWS {
            if s > 1 {
                stages.push(format!("features.{}", number - 1));
            }
            for index in 0..n {
                let stride = if index == 0 { s } else { 1 };
                y = b.module(&number.to_string(), |b| inverted_residual(b, y, channels, c, t, stride));
                channels = c;
                number += 1;
            }
        }
        stages.push(format!("features.{number}"));
        conv_norm_relu6(b, &number.to_string(), y, Conv2d::new(channels, 1280, 1))
    });
    let y = b.op("adaptive_avg_pool2d", Op::AdaptiveAvgPool2d { side: 1 }, &[y]);
    let y = b.flatten("flatten", y);
    b.module("classifier", |b| {
        let y = b.op("0", Op::Dropout, &[y]);
        b.linear("1", y, 1280, 1000)
    });

    // The last block of each resolution.
    for stage in &stages {
        b.stage(stage);
    }
    b.finish()
}

/// torchvision's Conv2dNormActivation: a convolution (`0`), its normalisation (`1`) and a rectifier cut at 6 (`2`).
fn conv_norm_relu6(b: &mut Builder, name: &str, x: NodeId, conv: Conv2d) -> NodeId {
    b.module(name, |b| {
        let y = b.conv("0", x, conv);
        let y = b.batch_norm("1", y, conv.outputs);
        b.op("2", Op::Relu6, &[y])
    })
}

/// A 1×1 expansion by `expand` (left out when that is 1), a depthwise 3×3 and a linear 1×1 projection, added to the input
/// where the shapes allow it.
fn inverted_residual(
    b: &mut Builder,
    x: NodeId,
    inputs: usize,
    outputs: usize,
    expand: usize,
    stride: usize,
) -> NodeId {
    let hidden = inputs * expand;
    let y = b.module("conv", |b| {
        let mut y = x;
        let mut number = 0;
        if expand != 1 {
            y = conv_norm_relu6(b, "0", y, Conv2d::new(inputs, hidden, 1));
            number = 1;
        }
        let depthwise = Conv2d::new(hidden, hidden, 3).stride(stride).padding(1).groups(hidden);
        y = conv_norm_relu6(b, &number.to_string(), y, depthwise);
        y = b.conv(&(number + 1).to_string(), y, Conv2d::new(hidden, outputs, 1));
        b.batch_norm(&(number + 2).to_string(), y, outputs)
    });
    if stride == 1 && inputs == outputs { b.add("add", x, y) } else { y }
}
