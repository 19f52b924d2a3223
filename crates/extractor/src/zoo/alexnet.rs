//! AlexNet in its one-tower form: Krizhevsky, "One weird trick for parallelizing convolutional neural networks",
//! arXiv:1404.5997, 2014. The two-tower original is Krizhevsky, Sutskever, Hinton, "ImageNet Classification with Deep
//! Convolutional Neural Networks", NIPS 2012.

use super::{Architecture, Labels, Paper, imagenet_preprocessing, torchvision};
use crate::graph::{Builder, Conv2d, Graph, Op};

const PAPER: Paper = Paper {
    title: "One weird trick for parallelizing convolutional neural networks",
    authors: "Krizhevsky",
    year: 2014,
    reference: "arXiv:1404.5997",
};

pub(super) fn architectures() -> Vec<Architecture> {
    vec![Architecture {
        name: "alexnet",
        family: "AlexNet",
        paper: PAPER,
        input: [3, 224, 224],
        depth: 8,
        published: torchvision(56.522, 79.066),
        classes: Labels::ImageNet1k,
        preprocessing: imagenet_preprocessing(),
        build: alexnet,
    }]
}

/// Layout: `features` (five convolutions; 3×3 max pooling with stride 2 after the first, second and last) → `avgpool` (6×6)
/// → flatten → `classifier` (4096, 4096, 1000; dropout before the first two).
fn alexnet() -> Graph {
    let (mut b, x) = Builder::new();

    let y = b.module("features", |b| {
        let y = b.conv("0", x, Conv2d::new(3, 64, 11).stride(4).padding(2).bias());
        let y = b.relu("1", y);
        let y = b.max_pool("2", y, 3, 2);
        let y = b.conv("3", y, Conv2d::new(64, 192, 5).padding(2).bias());
        let y = b.relu("4", y);
        let y = b.max_pool("5", y, 3, 2);
        let y = b.conv("6", y, Conv2d::new(192, 384, 3).padding(1).bias());
        let y = b.relu("7", y);
        let y = b.conv("8", y, Conv2d::new(384, 256, 3).padding(1).bias());
        let y = b.relu("9", y);
        let y = b.conv("10", y, Conv2d::new(256, 256, 3).padding(1).bias());
        let y = b.relu("11", y);
        b.max_pool("12", y, 3, 2)
    });
    let y = b.op("avgpool", Op::AdaptiveAvgPool2d { side: 6 }, &[y]);
    let y = b.flatten("flatten", y);
    b.module("classifier", |b| {
        let y = b.op("0", Op::Dropout, &[y]);
        let y = b.linear("1", y, 256 * 6 * 6, 4096);
        let y = b.relu("2", y);
        let y = b.op("3", Op::Dropout, &[y]);
        let y = b.linear("4", y, 4096, 4096);
        let y = b.relu("5", y);
        b.linear("6", y, 4096, 1000)
    });

    // Each resolution, then the two hidden vectors that the transfer literature calls fc6 and fc7.
    for stage in ["features.2", "features.5", "features.12", "classifier.2", "classifier.5"] {
        b.stage(stage);
    }
    b.finish()
}
