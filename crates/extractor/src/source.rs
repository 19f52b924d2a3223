//! What the weights of a backbone know of the images it was trained on: its classifier, and the statistics that batch
//! normalisation keeps of every channel. Both come with the weights, so that similarity to the source data can be measured without
//! the source data.

use crate::{
    backbone::Backbone,
    graph::{NodeId, Op, Pool, Shape},
};

/// The classes a backbone was trained on, as scores of an image's pooled features.
#[derive(Debug, Clone)]
pub struct SourceClassifier<'a> {
    /// The node that holds the scores, one per source class.
    pub output: NodeId,
    /// How many classes there are.
    pub classes: usize,
    /// The nodes whose channel means (or whose vector) the last linear layer reads; empty where the scores come otherwise.
    inputs: Vec<NodeId>,
    linear: Option<Linear<'a>>,
}

/// A linear layer's parameters: classes × width, and one bias per class.
#[derive(Debug, Clone, Copy)]
struct Linear<'a> {
    weight: &'a [f32],
    bias: &'a [f32],
}

/// How the scores of the source classes follow from a layer of a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scores {
    /// They are the layer's values.
    Given,
    /// They are the last linear layer of the layer's values.
    Linear,
}

/// A batch normalisation and what it knows of the values it normalises.
#[derive(Debug, Clone)]
pub struct SourceStatistics<'a> {
    /// The node that computes these values.
    pub input: NodeId,
    /// Mean of each channel over pixels and source images.
    pub mean: &'a [f32],
    /// Variance of each channel over pixels and source images, with what is added to it before the square root.
    pub variance: Vec<f32>,
}

impl Backbone {
    /// The classifier that the weights end in; none where they end before it. Needs [`Backbone::read_weights`].
    pub fn source_classifier(&self) -> Option<SourceClassifier<'_>> {
        let output = self.graph.nodes().len() - 1;
        let node = self.graph.node(output);
        if !self.weights.has(&node.name) {
            return None;
        }
        let classes = self.shapes[output].elements();
        let mut found = SourceClassifier { output, classes, inputs: Vec::new(), linear: None };
        if let Op::Linear { .. } = node.op {
            let parameter = |name: &str| self.weights.tensor(&format!("{}.{name}", node.name));
            found.linear = Some(Linear { weight: &parameter("weight")?.data, bias: &parameter("bias")?.data });
            // What only rearranges or averages on the way there can be read from the map before it, averaged.
            let mut at = node.inputs[0];
            found.inputs.push(at);
            while matches!(self.graph.node(at).op, Op::Dropout | Op::Flatten | Op::AdaptiveAvgPool2d { side: 1 }) {
                at = self.graph.node(at).inputs[0];
                found.inputs.push(at);
            }
        }
        Some(found)
    }

    /// What every batch normalisation knows, in the order of the network. Needs [`Backbone::read_weights`].
    pub fn source_statistics(&self) -> Vec<SourceStatistics<'_>> {
        let of_node = |node: &crate::graph::Node| {
            let Op::BatchNorm2d { eps, .. } = node.op else { return None };
            let running =
                |name: &str| Some(self.weights.tensor(&format!("{}.running_{name}", node.name))?.data.as_slice());
            let variance = running("var")?.iter().map(|variance| variance + eps as f32).collect();
            Some(SourceStatistics { input: node.inputs[0], mean: running("mean")?, variance })
        };
        self.graph.nodes().iter().filter_map(of_node).collect()
    }
}

impl SourceClassifier<'_> {
    /// How the scores follow from this node's values, pooled so; none where they do not.
    pub fn from_layer(&self, backbone: &Backbone, node: NodeId, pool: Pool) -> Option<Scores> {
        // A mean over pixels is the value itself where there is one pixel, and of a map what the linear layer averages.
        let whole = match backbone.shapes[node] {
            Shape::Vector(_) => pool == Pool::Flatten,
            Shape::Map([_, 1, 1]) => matches!(pool, Pool::Gap | Pool::Flatten),
            Shape::Map(_) => pool == Pool::Gap && node != self.output,
        };
        match node {
            _ if !whole => None,
            _ if node == self.output => Some(Scores::Given),
            _ if self.averages(backbone, node) => Some(Scores::Linear),
            _ => None,
        }
    }

    /// Whether the linear layer reads the mean (or the only value) of each of this node's channels.
    fn averages(&self, backbone: &Backbone, node: NodeId) -> bool {
        self.linear.is_some_and(|linear| {
            let channels = match backbone.shapes[node] {
                Shape::Map([channels, _, _]) => channels,
                Shape::Vector(width) => width,
            };
            self.inputs.contains(&node) && channels * self.classes == linear.weight.len()
        })
    }

    /// The scores of the source classes for the values of a layer that [`Self::from_layer`] accepts.
    pub fn scores(&self, how: Scores, values: &[f32]) -> Vec<f64> {
        match (how, self.linear) {
            (Scores::Linear, Some(Linear { weight, bias })) => weight
                .chunks_exact(values.len())
                .zip(bias)
                .map(|(row, &bias)| {
                    f64::from(bias) + row.iter().zip(values).map(|(w, x)| f64::from(*w) * f64::from(*x)).sum::<f64>()
                })
                .collect(),
            _ => values.iter().copied().map(f64::from).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbone::WeightsChoice;

    fn backbone(name: &str) -> Backbone {
        Backbone::load(name, &WeightsChoice::Random(1), None, None).unwrap()
    }

    #[test]
    fn the_classifier_reads_the_averaged_top() {
        for (name, layer, output) in [
            ("resnet18", "layer4", "fc"),
            ("mobilenet_v2", "features", "classifier.1"),
            ("densenet121", "flatten", "classifier"),
        ] {
            let backbone = backbone(name);
            let classifier = backbone.source_classifier().unwrap();
            assert_eq!(classifier.classes, 1000);
            let node = |layer: &str| backbone.graph.find(layer).unwrap();
            let (top, pool) = (node(layer), if layer == "flatten" { Pool::Flatten } else { Pool::Gap });
            assert_eq!(classifier.from_layer(&backbone, top, pool), Some(Scores::Linear), "{name}");
            assert_eq!(classifier.from_layer(&backbone, node(output), Pool::Flatten), Some(Scores::Given), "{name}");
            assert_eq!(classifier.from_layer(&backbone, top, Pool::Gmp), None);
            let width = backbone.shapes[top].dims()[0];
            let scores = classifier.scores(Scores::Linear, &vec![0.0; width]);
            let bias = &backbone.weights.tensor(&format!("{output}.bias")).unwrap().data;
            assert!(scores.iter().zip(bias).all(|(score, bias)| (score - f64::from(*bias)).abs() < 1e-9), "{name}");
        }
    }

    #[test]
    fn classifiers_of_other_kinds() {
        // VGG's reads a vector, not an average; SqueezeNet's is no linear layer.
        let vgg = backbone("alexnet");
        let classifier = vgg.source_classifier().unwrap();
        let features = vgg.graph.find("avgpool").unwrap();
        assert_eq!(classifier.from_layer(&vgg, features, Pool::Gap), None);
        assert_eq!(vgg.source_statistics().len(), 0);
        let squeezenet = backbone("squeezenet1_1");
        let classifier = squeezenet.source_classifier().unwrap();
        assert_eq!(classifier.from_layer(&squeezenet, classifier.output, Pool::Flatten), Some(Scores::Given));
        assert_eq!(classifier.scores(Scores::Given, &[1.0, 2.0]), [1.0, 2.0]);
    }

    #[test]
    fn every_batch_norm_knows_its_channels() {
        for (name, layers) in [("resnet18", 20), ("mobilenet_v2", 52), ("densenet121", 121)] {
            let backbone = backbone(name);
            let statistics = backbone.source_statistics();
            assert_eq!(statistics.len(), layers, "{name}");
            for known in statistics {
                let Shape::Map([channels, _, _]) = backbone.shapes[known.input] else { panic!("{name}") };
                assert_eq!((known.mean.len(), known.variance.len()), (channels, channels));
                assert!(known.variance.iter().all(|variance| *variance > 0.0));
            }
        }
    }
}
