//! SqueezeNet: Iandola, Han, Moskewicz, Ashraf, Dally, Keutzer, "SqueezeNet: AlexNet-level accuracy with 50x fewer
//! parameters and <0.5MB model size", arXiv:1602.07360, 2016. Version 1.1 is the authors' later, cheaper layout.

use super::{Architecture, Labels, Paper, Published, imagenet_preprocessing, torchvision};
use crate::graph::{Builder, Conv2d, Graph, NodeId, Op};

const PAPER: Paper = Paper {
    title: "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size",
    authors: "Iandola et al.",
    year: 2016,
    reference: "arXiv:1602.07360",
};

/// Channels of the eight fire modules' squeeze layers; each of a module's two expand layers has four times as many.
const SQUEEZE: [usize; 8] = [16, 16, 32, 32, 48, 48, 64, 64];

/// What the two versions differ in.
struct Version {
    /// Channels and kernel side of the first convolution.
    first: (usize, usize),
    /// After how many fire modules the maps are pooled, besides the pooling after the first convolution.
    pooled_after: [usize; 2],
}

const V1_0: Version = Version { first: (96, 7), pooled_after: [3, 7] };
const V1_1: Version = Version { first: (64, 3), pooled_after: [2, 4] };

pub(super) fn architectures() -> Vec<Architecture> {
    vec![
        entry("squeezenet1_0", torchvision(58.092, 80.420), || squeezenet(V1_0)),
        entry("squeezenet1_1", torchvision(58.178, 80.624), || squeezenet(V1_1)),
    ]
}

fn entry(name: &'static str, published: Option<Published>, build: fn() -> Graph) -> Architecture {
    Architecture {
        name,
        family: "SqueezeNet",
        paper: PAPER,
        input: [3, 224, 224],
        depth: 18,
        published,
        classes: Labels::ImageNet1k,
        preprocessing: imagenet_preprocessing(),
        build,
    }
}

/// Layout: `features` (a convolution of stride 2 with its rectifier, then eight fire modules with three 3×3 max poolings of
/// stride 2 among them, numbered through) → `classifier` (dropout, 1×1 convolution to 1000 maps, rectifier, global average)
/// → flatten.
fn squeezenet(version: Version) -> Graph {
    let (mut b, x) = Builder::new();
    // Windows that reach over the border count, so that the maps stay a pixel larger.
    let pool = Op::MaxPool2d { kernel: 3, stride: 2, padding: 0, ceil: true };

    let mut stages = vec!["features.1".to_string()];
    let y = b.module("features", |b| {
        let (mut channels, kernel) = version.first;
        let y = b.conv("0", x, Conv2d::new(3, channels, kernel).stride(2).bias());
        let y = b.relu("1", y);
        let mut y = b.op("2", pool, &[y]);
        let mut number = 3;
        for (index, squeeze) in SQUEEZE.into_iter().enumerate() {
            let expand = 4 * squeeze;
            y = b.module(&number.to_string(), |b| fire(b, y, channels, squeeze, expand));
            channels = 2 * expand;
            let pooled = version.pooled_after.contains(&(index + 1));
            if pooled || index + 1 == SQUEEZE.len() {
                stages.push(format!("features.{number}"));
            }
            number += 1;
            if pooled {
                y = b.op(&number.to_string(), pool, &[y]);
                number += 1;
            }
        }
        y
    });
    let y = b.module("classifier", |b| {
        let y = b.op("0", Op::Dropout, &[y]);
        let y = b.conv("1", y, Conv2d::new(512, 1000, 1).bias());
        let y = b.relu("2", y);
        b.op("3", Op::AdaptiveAvgPool2d { side: 1 }, &[y])
    });
    b.flatten("flatten", y);

    // What is about to be pooled, and the last fire module.
    for stage in &stages {
        b.stage(stage);
    }
    b.finish()
}

/// Few channels in, then 1×1 and 3×3 convolutions side by side, joined.
fn fire(b: &mut Builder, x: NodeId, inputs: usize, squeeze: usize, expand: usize) -> NodeId {
    let y = b.conv("squeeze", x, Conv2d::new(inputs, squeeze, 1).bias());
    let y = b.relu("squeeze_activation", y);
    let one = b.conv("expand1x1", y, Conv2d::new(squeeze, expand, 1).bias());
    let one = b.relu("expand1x1_activation", one);
    let three = b.conv("expand3x3", y, Conv2d::new(squeeze, expand, 3).padding(1).bias());
    let three = b.relu("expand3x3_activation", three);
    b.op("cat", Op::Concat, &[one, three])
}
