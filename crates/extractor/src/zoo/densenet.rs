//! DenseNet: Huang, Liu, van der Maaten, Weinberger, "Densely Connected Convolutional Networks", arXiv:1608.06993, 2016
//! (its DenseNet-BC).

use super::{Architecture, Labels, Paper, Published, imagenet_preprocessing, torchvision};
use crate::graph::{Builder, Conv2d, Graph, NodeId, Op};

const PAPER: Paper = Paper {
    title: "Densely Connected Convolutional Networks",
    authors: "Huang et al.",
    year: 2016,
    reference: "arXiv:1608.06993",
};

pub(super) fn architectures() -> Vec<Architecture> {
    vec![
        entry("densenet121", 121, torchvision(74.434, 91.972), || densenet(32, 64, [6, 12, 24, 16])),
        entry("densenet161", 161, torchvision(77.138, 93.560), || densenet(48, 96, [6, 12, 36, 24])),
        entry("densenet169", 169, torchvision(75.600, 92.806), || densenet(32, 64, [6, 12, 32, 32])),
        entry("densenet201", 201, torchvision(76.896, 93.370), || densenet(32, 64, [6, 12, 48, 32])),
    ]
}

fn entry(name: &'static str, depth: usize, published: Option<Published>, build: fn() -> Graph) -> Architecture {
    Architecture {
        name,
        family: "DenseNet",
        paper: PAPER,
        input: [3, 224, 224],
        depth,
        published,
        classes: Labels::ImageNet1k,
        preprocessing: imagenet_preprocessing(),
        build,
    }
}

/// Layout: `features` (`conv0`, `norm0`, `relu0`, `pool0`, then `denseblock1` … `denseblock4` of `layers` layers each with
/// `transition1` … `transition3` between them, then `norm5`) → relu → global average → flatten → `classifier`.
///
/// `growth` is the number of maps that every dense layer adds, `first` that of the first convolution.
fn densenet(growth: usize, first: usize, layers: [usize; 4]) -> Graph {
    let (mut b, x) = Builder::new();

    let mut channels = first;
    let y = b.module("features", |b| {
        let y = b.conv("conv0", x, Conv2d::new(3, first, 7).stride(2).padding(3));
        let y = b.batch_norm("norm0", y, first);
        let y = b.relu("relu0", y);
        let mut y = b.op("pool0", Op::MaxPool2d { kernel: 3, stride: 2, padding: 1, ceil: false }, &[y]);
        for (index, layers) in layers.into_iter().enumerate() {
            let block = index + 1;
            if index > 0 {
                y = b.module(&format!("transition{index}"), |b| transition(b, y, channels));
                channels /= 2;
            }
            y = b.module(&format!("denseblock{block}"), |b| dense_block(b, y, channels, growth, layers));
            channels += layers * growth;
        }
        b.batch_norm("norm5", y, channels)
    });
    let y = b.relu("relu", y);
    let y = b.op("adaptive_avg_pool2d", Op::AdaptiveAvgPool2d { side: 1 }, &[y]);
    let y = b.flatten("flatten", y);
    b.linear("classifier", y, channels, 1000);

    for block in 1..=layers.len() {
        b.stage(&format!("features.denseblock{block}"));
    }
    b.finish()
}

/// Every layer reads the block's input and the maps of all layers before it; the block returns all of them, joined.
fn dense_block(b: &mut Builder, x: NodeId, inputs: usize, growth: usize, layers: usize) -> NodeId {
    let mut maps = vec![x];
    for index in 0..layers {
        let channels = inputs + index * growth;
        let new = b.module(&format!("denselayer{}", index + 1), |b| dense_layer(b, &maps, channels, growth));
        maps.push(new);
    }
    b.op("cat", Op::Concat, &maps)
}

/// A 1×1 bottleneck to four times the growth, then a 3×3 convolution, each preceded by its normalisation and rectifier.
fn dense_layer(b: &mut Builder, maps: &[NodeId], channels: usize, growth: usize) -> NodeId {
    let y = b.op("cat", Op::Concat, maps);
    let y = b.batch_norm("norm1", y, channels);
    let y = b.relu("relu1", y);
    let y = b.conv("conv1", y, Conv2d::new(channels, 4 * growth, 1));
    let y = b.batch_norm("norm2", y, 4 * growth);
    let y = b.relu("relu2", y);
    b.conv("conv2", y, Conv2d::new(4 * growth, growth, 3).padding(1))
}

/// Half the maps, half the resolution.
fn transition(b: &mut Builder, x: NodeId, channels: usize) -> NodeId {
    let y = b.batch_norm("norm", x, channels);
    let y = b.relu("relu", y);
    let y = b.conv("conv", y, Conv2d::new(channels, channels / 2, 1));
    b.op("pool", Op::AvgPool2d { kernel: 2, stride: 2 }, &[y])
}
