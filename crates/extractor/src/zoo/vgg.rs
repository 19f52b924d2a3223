//! VGG: Simonyan, Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", arXiv:1409.1556, 2014.
//! The variants with batch normalisation are torchvision's; the paper predates it.

use super::{Architecture, Labels, Paper, Published, imagenet_preprocessing, torchvision};
use crate::graph::{Builder, Conv2d, Graph, Op};

const PAPER: Paper = Paper {
    title: "Very Deep Convolutional Networks for Large-Scale Image Recognition",
    authors: "Simonyan, Zisserman",
    year: 2014,
    reference: "arXiv:1409.1556",
};

/// Convolutions in each of the five resolutions: the paper's table 1, columns A, B, D and E.
type Convolutions = [usize; 5];
const VGG11: Convolutions = [1, 1, 2, 2, 2];
const VGG13: Convolutions = [2, 2, 2, 2, 2];
const VGG16: Convolutions = [2, 2, 3, 3, 3];
const VGG19: Convolutions = [2, 2, 4, 4, 4];

/// Output channels in each of the five resolutions.
const WIDTHS: [usize; 5] = [64, 128, 256, 512, 512];

pub(super) fn architectures() -> Vec<Architecture> {
    vec![
        entry("vgg11", 11, torchvision(69.020, 88.628), || vgg(VGG11, false)),
        entry("vgg11_bn", 11, torchvision(70.370, 89.810), || vgg(VGG11, true)),
        entry("vgg13", 13, torchvision(69.928, 89.246), || vgg(VGG13, false)),
        entry("vgg13_bn", 13, torchvision(71.586, 90.374), || vgg(VGG13, true)),
        entry("vgg16", 16, torchvision(71.592, 90.382), || vgg(VGG16, false)),
        entry("vgg16_bn", 16, torchvision(73.360, 91.516), || vgg(VGG16, true)),
        entry("vgg19", 19, torchvision(72.376, 90.876), || vgg(VGG19, false)),
        entry("vgg19_bn", 19, torchvision(74.218, 91.842), || vgg(VGG19, true)),
    ]
}

fn entry(name: &'static str, depth: usize, published: Option<Published>, build: fn() -> Graph) -> Architecture {
    Architecture {
        name,
        family: "VGG",
        paper: PAPER,
        input: [3, 224, 224],
        depth,
        published,
        classes: Labels::ImageNet1k,
        preprocessing: imagenet_preprocessing(),
        build,
    }
}

/// Layout: `features` (numbered through: 3×3 convolutions, each with its rectifier and, with `batch_norm`, a normalisation
/// between them; 2×2 max pooling after each resolution) → `avgpool` (7×7) → flatten → `classifier` (4096, 4096, 1000, with
/// dropout after the first two).
fn vgg(convolutions: Convolutions, batch_norm: bool) -> Graph {
    let (mut b, x) = Builder::new();

    let mut pools = Vec::new();
    let y = b.module("features", |b| {
        let mut y = x;
        let mut inputs = 3;
        let mut numbers = 0..;
        let mut number = || numbers.next().unwrap_or_default().to_string();
        for (repeats, outputs) in convolutions.into_iter().zip(WIDTHS) {
            for _ in 0..repeats {
                y = b.conv(&number(), y, Conv2d::new(inputs, outputs, 3).padding(1).bias());
                if batch_norm {
                    y = b.batch_norm(&number(), y, outputs);
                }
                y = b.relu(&number(), y);
                inputs = outputs;
            }
            let pool = number();
            y = b.max_pool(&pool, y, 2, 2);
            pools.push(format!("features.{pool}"));
        }
        y
    });
    let y = b.op("avgpool", Op::AdaptiveAvgPool2d { side: 7 }, &[y]);
    let y = b.flatten("flatten", y);
    b.module("classifier", |b| {
        let y = b.linear("0", y, 512 * 7 * 7, 4096);
        let y = b.relu("1", y);
        let y = b.op("2", Op::Dropout, &[y]);
        let y = b.linear("3", y, 4096, 4096);
        let y = b.relu("4", y);
        let y = b.op("5", Op::Dropout, &[y]);
        b.linear("6", y, 4096, 1000)
    });

    // Each resolution, then the two hidden vectors that the transfer literature calls fc6 and fc7.
    for pool in &pools {
        b.stage(pool);
    }
    b.stage("classifier.1");
    b.stage("classifier.4");
    b.finish()
}
