//! The known architectures: one file per family, each a builder of a [`Graph`], and the table of them all.
//!
//! Layouts, node names and parameter keys are torchvision's. Where torchvision treats a small composite as one leaf
//! (MobileNetV2's `features.0`), the graph has the operations inside it (`features.0.0`, `features.0.1`, …) and the
//! composite's path stands for the value it returns.

mod alexnet;
mod card;
mod densenet;
mod labels;
mod lenet;
mod mobilenet_v2;
mod resnet;
mod squeezenet;
mod vgg;

pub use card::{ModelCard, model_cards};
pub use labels::{Labels, imagenet_classes};

use crate::graph::Graph;
use crate::images::geometry;
use headstart_cache::{Preprocessing, Resize};
use serde::Serialize;
use std::sync::LazyLock;

/// Where an architecture was first described.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Paper {
    /// The full title.
    pub title: &'static str,
    /// Family names, shortened to "X et al." from three authors on.
    pub authors: &'static str,
    /// Year of the first version.
    pub year: u16,
    /// arXiv number or venue.
    pub reference: &'static str,
}

/// Accuracies on the ImageNet-1k validation set, one centre crop, in percent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Published {
    /// How often the first guess is right.
    pub top1: f64,
    /// How often one of the first five guesses is right.
    pub top5: f64,
    /// Who published the numbers, and for which weights.
    pub source: &'static str,
}

/// What is known about an architecture before any weights are read.
#[derive(Debug, Clone)]
pub struct Architecture {
    /// The name it is asked for by, torchvision's (`resnet50`).
    pub name: &'static str,
    /// The family, as its paper spells it.
    pub family: &'static str,
    /// The paper that describes it.
    pub paper: Paper,
    /// The input it was trained for, C×H×W.
    pub input: [usize; 3],
    /// Weight layers (convolutions and linear layers) from the input to the output along the longest path, which is how
    /// the papers count.
    pub depth: usize,
    /// Accuracy of the reference weights, where there are any.
    pub published: Option<Published>,
    /// What the outputs of the last layer stand for.
    pub classes: Labels,
    /// How an image becomes the input.
    pub preprocessing: Preprocessing,
    /// Builds the graph; see [`Architecture::graph`].
    pub build: fn() -> Graph,
}

impl Architecture {
    /// The network itself, from the image to the class scores.
    pub fn graph(&self) -> Graph {
        (self.build)()
    }
}

static ARCHITECTURES: LazyLock<Vec<Architecture>> = LazyLock::new(|| {
    [
        lenet::architectures(),
        alexnet::architectures(),
        vgg::architectures(),
        resnet::architectures(),
        squeezenet::architectures(),
        mobilenet_v2::architectures(),
        densenet::architectures(),
    ]
    .concat()
});

/// Every architecture, families in the order of their papers.
pub fn all() -> &'static [Architecture] {
    &ARCHITECTURES
}

/// The architecture of this name.
///
/// # Errors
/// When there is none; the error names the nearest ones.
pub fn find(name: &str) -> Result<Architecture, UnknownBackbone> {
    all()
        .iter()
        .find(|architecture| architecture.name == name)
        .cloned()
        .ok_or_else(|| UnknownBackbone { name: name.to_string(), near: near(name) })
}

/// A backbone that is not in the zoo.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no backbone {name:?}{}; `headstart models` lists them all", did_you_mean(.near))]
pub struct UnknownBackbone {
    /// What was asked for.
    pub name: String,
    /// The names most like it, best first; empty when nothing is.
    pub near: Vec<&'static str>,
}

fn did_you_mean(near: &[&str]) -> String {
    match near {
        [] => String::new(),
        near => format!(" (did you mean {}?)", near.join(" or ")),
    }
}

/// At most three names that differ from `name` in few typing errors, case and punctuation aside, or begin with it.
fn near(name: &str) -> Vec<&'static str> {
    let plain = |name: &str| name.to_lowercase().replace(['-', '_', ' '], "");
    let wanted = plain(name);
    let mut ranked: Vec<(usize, &'static str)> = all()
        .iter()
        .filter_map(|architecture| {
            let known = plain(architecture.name);
            let distance = strsim::damerau_levenshtein(&wanted, &known);
            let begins = wanted.len() >= 3 && known.starts_with(&wanted);
            (begins || distance <= wanted.len().min(9) / 3).then_some((distance, architecture.name))
        })
        .collect();
    ranked.sort_by_key(|&(distance, _)| distance);
    ranked.into_iter().take(3).map(|(_, name)| name).collect()
}

/// torchvision's evaluation transform of its first ImageNet weights.
fn imagenet_preprocessing() -> Preprocessing {
    geometry::imagenet(224)
}

/// A grey 32×32 image, normalised by the mean and deviation of the MNIST training images.
fn digits_preprocessing() -> Preprocessing {
    Preprocessing {
        size: 32,
        resize: Resize::Squash,
        shorter_side: 32,
        channels: 1,
        mean: vec![0.1307],
        std: vec![0.3081],
    }
}

/// Accuracies that torchvision's metadata gives for its first ImageNet weights.
fn torchvision(top1: f64, top5: f64) -> Option<Published> {
    Some(Published { top1, top5, source: "torchvision IMAGENET1K_V1" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Op;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_found() {
        let names: HashSet<&str> = all().iter().map(|architecture| architecture.name).collect();
        assert_eq!(names.len(), all().len());
        assert_eq!(names.len(), 26);
        for architecture in all() {
            assert_eq!(find(architecture.name).unwrap().graph(), architecture.graph());
        }
    }

    #[test]
    fn a_mistyped_name_brings_the_nearest_ones() {
        let nearest = |name| find(name).unwrap_err().near.first().copied();
        assert_eq!(nearest("resnet81"), Some("resnet18"));
        assert_eq!(nearest("ResNet-50"), Some("resnet50"));
        assert_eq!(nearest("mobilenetv2"), Some("mobilenet_v2"));
        assert_eq!(nearest("squeezenet"), Some("squeezenet1_0"));
        assert_eq!(nearest("vgg"), Some("vgg11"));
        assert_eq!(nearest("lenet"), Some("lenet5"));
        assert_eq!(nearest("inception_v3"), None);
        assert_eq!(nearest(""), None);

        let message = find("resnet81").unwrap_err().to_string();
        assert!(message.contains("\"resnet81\" (did you mean resnet18"), "{message}");
        assert!(message.contains("`headstart models`"), "{message}");
        let message = find("inception_v3").unwrap_err().to_string();
        assert!(!message.contains("did you mean"), "{message}");
    }

    #[test]
    fn the_depth_of_the_table_is_that_of_the_graph() {
        for architecture in all() {
            let graph = architecture.graph();
            let mut depths: Vec<usize> = Vec::new();
            for node in graph.nodes() {
                let before = node.inputs.iter().map(|&input| depths[input]).max().unwrap_or(0);
                depths.push(before + usize::from(matches!(node.op, Op::Conv2d(_) | Op::Linear { .. })));
            }
            assert_eq!(depths.last(), Some(&architecture.depth), "{}", architecture.name);
        }
    }

    #[test]
    fn every_network_takes_its_input_and_scores_its_classes() {
        for architecture in all() {
            let graph = architecture.graph();
            let shapes = graph.shapes(architecture.input).unwrap();
            let classes = architecture.classes.names().len();
            assert_eq!(shapes.last().unwrap().dims(), [classes], "{}", architecture.name);
            let prepared = &architecture.preprocessing;
            let size = prepared.size as usize;
            assert_eq!(architecture.input, [prepared.channels as usize, size, size], "{}", architecture.name);
            assert_eq!(prepared.mean.len(), prepared.channels as usize);
            assert_eq!(prepared.std.len(), prepared.channels as usize);
        }
    }

    #[test]
    fn stages_follow_each_other_through_the_network() {
        for architecture in all() {
            let graph = architecture.graph();
            let ends: Vec<usize> = graph.stages().iter().map(|stage| graph.find(stage).unwrap()).collect();
            assert!(ends.len() >= 4, "{}", architecture.name);
            assert!(ends.is_sorted() && ends.windows(2).all(|pair| pair[0] != pair[1]), "{}", architecture.name);
        }
    }

    #[test]
    fn stages_of_each_family() {
        let stages = |name| find(name).unwrap().graph().stages().join(" ");
        assert_eq!(stages("resnet50"), "layer1 layer2 layer3 layer4");
        assert_eq!(
            stages("vgg16"),
            "features.4 features.9 features.16 features.23 features.30 classifier.1 classifier.4"
        );
        assert_eq!(stages("squeezenet1_0"), "features.1 features.5 features.10 features.12");
        assert_eq!(stages("squeezenet1_1"), "features.1 features.4 features.7 features.12");
        assert_eq!(stages("mobilenet_v2"), "features.1 features.3 features.6 features.13 features.18");
    }
}
