//! ResNet: He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", arXiv:1512.03385, 2015. With the same
//! skeleton, ResNeXt: Xie, Girshick, Dollár, Tu, He, "Aggregated Residual Transformations for Deep Neural Networks",
//! arXiv:1611.05431, 2016, and Wide ResNet: Zagoruyko, Komodakis, "Wide Residual Networks", arXiv:1605.07146, 2016.

use super::{Architecture, Labels, Paper, Published, imagenet_preprocessing, torchvision};
use crate::graph::{Builder, Conv2d, Graph, NodeId, Op};

const RESNET: Paper = Paper {
    title: "Deep Residual Learning for Image Recognition",
    authors: "He et al.",
    year: 2015,
    reference: "arXiv:1512.03385",
};
const RESNEXT: Paper = Paper {
    title: "Aggregated Residual Transformations for Deep Neural Networks",
    authors: "Xie et al.",
    year: 2016,
    reference: "arXiv:1611.05431",
};
const WIDE: Paper = Paper {
    title: "Wide Residual Networks",
    authors: "Zagoruyko, Komodakis",
    year: 2016,
    reference: "arXiv:1605.07146",
};

/// What a residual block is made of.
#[derive(Clone, Copy)]
enum Block {
    /// Two 3×3 convolutions.
    Basic,
    /// 1×1, 3×3 and 1×1 convolutions, the last one four times as wide as the block's planes.
    Bottleneck {
        /// Groups of the 3×3 convolution: ResNeXt's cardinality.
        groups: usize,
        /// Channels of each group for 64 planes; they grow with the planes.
        width: usize,
    },
}

/// The bottleneck of the plain ResNets.
const PLAIN: Block = Block::Bottleneck { groups: 1, width: 64 };

pub(super) fn architectures() -> Vec<Architecture> {
    let resnet = |name, depth, published, build| entry(name, "ResNet", RESNET, depth, published, build);
    let resnext = |name, depth, published, build| entry(name, "ResNeXt", RESNEXT, depth, published, build);
    let wide = |name, depth, published, build| entry(name, "Wide ResNet", WIDE, depth, published, build);
    vec![
        resnet("resnet18", 18, torchvision(69.758, 89.078), || residual(Block::Basic, [2, 2, 2, 2])),
        resnet("resnet34", 34, torchvision(73.314, 91.420), || residual(Block::Basic, [3, 4, 6, 3])),
        resnet("resnet50", 50, torchvision(76.130, 92.862), || residual(PLAIN, [3, 4, 6, 3])),
        resnet("resnet101", 101, torchvision(77.374, 93.546), || residual(PLAIN, [3, 4, 23, 3])),
        resnet("resnet152", 152, torchvision(78.312, 94.046), || residual(PLAIN, [3, 8, 36, 3])),
        resnext("resnext50_32x4d", 50, torchvision(77.618, 93.698), || {
            residual(Block::Bottleneck { groups: 32, width: 4 }, [3, 4, 6, 3])
        }),
        resnext("resnext101_32x8d", 101, torchvision(79.312, 94.526), || {
            residual(Block::Bottleneck { groups: 32, width: 8 }, [3, 4, 23, 3])
        }),
        wide("wide_resnet50_2", 50, torchvision(78.468, 94.086), || {
            residual(Block::Bottleneck { groups: 1, width: 128 }, [3, 4, 6, 3])
        }),
        wide("wide_resnet101_2", 101, torchvision(78.848, 94.284), || {
            residual(Block::Bottleneck { groups: 1, width: 128 }, [3, 4, 23, 3])
        }),
    ]
}

fn entry(
    name: &'static str,
    family: &'static str,
    paper: Paper,
    depth: usize,
    published: Option<Published>,
    build: fn() -> Graph,
) -> Architecture {
    Architecture {
        name,
        family,
        paper,
        input: [3, 224, 224],
        depth,
        published,
        classes: Labels::ImageNet1k,
        preprocessing: imagenet_preprocessing(),
        build,
    }
}

/// Layout: `conv1` (7×7, stride 2) → `bn1` → `relu` → `maxpool` (3×3, stride 2) → `layer1` … `layer4`, each of `repeats`
/// blocks, with 64, 128, 256 and 512 planes, halving the resolution from `layer2` on → `avgpool` → flatten → `fc`.
fn residual(block: Block, repeats: [usize; 4]) -> Graph {
    let (mut b, x) = Builder::new();

    let y = b.conv("conv1", x, Conv2d::new(3, 64, 7).stride(2).padding(3));
    let y = b.batch_norm("bn1", y, 64);
    let y = b.relu("relu", y);
    let mut y = b.op("maxpool", Op::MaxPool2d { kernel: 3, stride: 2, padding: 1, ceil: false }, &[y]);
    let mut channels = 64;
    for (stage, repeats) in repeats.into_iter().enumerate() {
        let planes = 64 << stage;
        let layer = format!("layer{}", stage + 1);
        y = b.module(&layer, |b| {
            for index in 0..repeats {
                let stride = if stage > 0 && index == 0 { 2 } else { 1 };
                y = b.module(&index.to_string(), |b| match block {
                    Block::Basic => basic(b, y, channels, planes, stride),
                    Block::Bottleneck { groups, width } => {
                        bottleneck(b, y, channels, planes, stride, groups, planes * width / 64 * groups)
                    }
                });
                channels = match block {
                    Block::Basic => planes,
                    Block::Bottleneck { .. } => 4 * planes,
                };
            }
            y
        });
        b.stage(&layer);
    }
    let y = b.op("avgpool", Op::AdaptiveAvgPool2d { side: 1 }, &[y]);
    let y = b.flatten("flatten", y);
    b.linear("fc", y, channels, 1000);
    b.finish()
}

fn basic(b: &mut Builder, x: NodeId, inputs: usize, planes: usize, stride: usize) -> NodeId {
    let y = b.conv("conv1", x, Conv2d::new(inputs, planes, 3).stride(stride).padding(1));
    let y = b.batch_norm("bn1", y, planes);
    let y = b.relu("relu", y);
    let y = b.conv("conv2", y, Conv2d::new(planes, planes, 3).padding(1));
    let y = b.batch_norm("bn2", y, planes);
    shortcut(b, x, y, inputs, planes, stride)
}

/// The stride sits on the 3×3 convolution, as in torchvision; the paper has it on the first 1×1.
fn bottleneck(
    b: &mut Builder,
    x: NodeId,
    inputs: usize,
    planes: usize,
    stride: usize,
    groups: usize,
    width: usize,
) -> NodeId {
    let outputs = 4 * planes;
    let y = b.conv("conv1", x, Conv2d::new(inputs, width, 1));
    let y = b.batch_norm("bn1", y, width);
    let y = b.relu("relu", y);
    let y = b.conv("conv2", y, Conv2d::new(width, width, 3).stride(stride).padding(1).groups(groups));
    let y = b.batch_norm("bn2", y, width);
    let y = b.relu("relu", y);
    let y = b.conv("conv3", y, Conv2d::new(width, outputs, 1));
    let y = b.batch_norm("bn3", y, outputs);
    shortcut(b, x, y, inputs, outputs, stride)
}

/// Adds the block's input to its residual `y`, through a 1×1 convolution where the shapes differ, and rectifies the sum.
fn shortcut(b: &mut Builder, x: NodeId, y: NodeId, inputs: usize, outputs: usize, stride: usize) -> NodeId {
    let identity = if stride == 1 && inputs == outputs {
        x
    } else {
        b.module("downsample", |b| {
            let x = b.conv("0", x, Conv2d::new(inputs, outputs, 1).stride(stride));
            b.batch_norm("1", x, outputs)
        })
    };
    let y = b.add("add", y, identity);
    b.relu("relu", y)
}
