//! A head as an ONNX graph.
//!
//! ```text
//! features f32[N,width] ─ Cast ─ Gemm(weight, bias) ─┬─ Cast ─────────── scores        f32[N,classes]
//!                               all in double        ├─ Softmax ─ Cast ─ probabilities f32[N,classes]  (heads that give them)
//!                                                    └─ ArgMax ───────── label         i64[N]
//! ```
//!
//! Where the head normalises rows, three nodes come before Gemm: ReduceL2 along each row, Max with the smallest normal double,
//! by which zeros can be divided, and Div.
//!
//! Calibrated heads have another way from the scores to probabilities and label: `onnx_calibration.rs`.
//!
//! Inside, the graph computes in double, as this crate does: features are raw, far from 0 for many layers, and the bias then
//! cancels most of `W x`. Weights rounded to f32 would be off by 6e-8 of the terms, which may be many digits of what is left.
//! Inputs and outputs are f32 all the same, which is what a backbone gives and what consumers expect. The label comes from
//! the doubles, so that it is the class that headstart names even where two f32 scores are equal.

use prost::Message;

use super::onnx_calibration;
use super::onnx_messages::{
    self, Attribute, DOUBLE, Dimension, Entry, FLOAT, Graph, INT_ATTRIBUTE, INT64, INTS_ATTRIBUTE, Node, OperatorSet,
    Shape, Size, Tensor, TensorType, Type, Value,
};
use crate::classifier::Model;
use crate::head_file::DESCRIPTION_KEY;
use crate::model::LinearModel;
use crate::normalize::Normalize;

/// Protobuf messages end at 2 GiB; a little is left for what is not weights.
pub(super) const MOST_BYTES: usize = (1 << 31) - (1 << 20);

/// Operators as of opset 13 (December 2020), the first in which Softmax works along one axis: everything since runs it.
const OPSET: i64 = 13;
/// The version of the file format that goes with that opset.
const IR_VERSION: i64 = 7;

/// Nodes and constants of a graph in the making.
#[derive(Default)]
pub(super) struct Parts {
    node: Vec<Node>,
    initializer: Vec<Tensor>,
}

impl Parts {
    pub(super) fn node(&mut self, node: Node) {
        self.node.push(node);
    }

    pub(super) fn constant(&mut self, tensor: Tensor) {
        self.initializer.push(tensor);
    }

    /// To double.
    pub(super) fn cast(&mut self, input: &str, output: &str) {
        self.node.push(cast(input, output, DOUBLE));
    }
}

/// The model's bytes. `description` is the JSON text of the head file, kept under the same key.
pub(super) fn model(head: &Model, linear: &LinearModel, description: String) -> Vec<u8> {
    let (classes, width) = (size(head.classes().len()), size(head.width()));
    let rows = || Size::Named("N".into());
    let mut parts = Parts::default();
    parts.cast("features", "features_double");
    parts.constant(doubles("weight", vec![classes, width], linear.weights().iter()));
    parts.constant(doubles("bias", vec![classes], linear.bias().iter()));
    let rows_of_features = match linear.normalize() {
        Normalize::None => "features_double",
        Normalize::L2 => {
            let mut norm = operation("ReduceL2", &["features_double"], "norm", &[("keepdims", 1)]);
            norm.attribute.push(Attribute { ints: vec![1], ..attribute("axes", 0, INTS_ATTRIBUTE) });
            parts.node(norm);
            parts.node(operation("Max", &["norm", "smallest"], "divisor", &[]));
            parts.node(operation("Div", &["features_double", "divisor"], "features_unit", &[]));
            parts.constant(doubles("smallest", Vec::new(), [f64::MIN_POSITIVE].iter()));
            "features_unit"
        }
    };
    parts.node(operation("Gemm", &[rows_of_features, "weight", "bias"], "scores_double", &[("transB", 1)]));
    parts.node(cast("scores_double", "scores", FLOAT));
    let mut output = vec![value("scores", FLOAT, vec![rows(), Size::Fixed(classes)])];
    match head.calibration() {
        Some(calibration) => onnx_calibration::calibrated(&mut parts, calibration, head.classes().len()),
        None => {
            if head.has_probabilities() {
                parts.node(operation("Softmax", &["scores_double"], "probabilities_double", &[("axis", 1)]));
            }
            onnx_calibration::label_of_scores(&mut parts);
        }
    }
    if head.has_probabilities() {
        parts.node(cast("probabilities_double", "probabilities", FLOAT));
        output.push(value("probabilities", FLOAT, vec![rows(), Size::Fixed(classes)]));
    }
    output.push(value("label", INT64, vec![rows()]));
    let graph = Graph {
        node: parts.node,
        name: "head".into(),
        initializer: parts.initializer,
        input: vec![value("features", FLOAT, vec![rows(), Size::Fixed(width)])],
        output,
    };
    let model = onnx_messages::Model {
        ir_version: IR_VERSION,
        producer_name: "headstart".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        graph: Some(graph),
        // The empty domain is that of ONNX itself.
        opset_import: vec![OperatorSet { domain: String::new(), version: OPSET }],
        metadata_props: vec![Entry { key: DESCRIPTION_KEY.into(), value: description }],
    };
    model.encode_to_vec()
}

/// Sizes of arrays in memory fit an i64.
pub(super) fn size(count: usize) -> i64 {
    count as i64
}

fn cast(input: &str, output: &str, to: i32) -> Node {
    operation("Cast", &[input], output, &[("to", i64::from(to))])
}

/// A node named after its output.
pub(super) fn operation(op_type: &str, input: &[&str], output: &str, attributes: &[(&str, i64)]) -> Node {
    Node {
        input: input.iter().map(ToString::to_string).collect(),
        output: vec![output.into()],
        name: output.into(),
        op_type: op_type.into(),
        attribute: attributes.iter().map(|&(name, i)| attribute(name, i, INT_ATTRIBUTE)).collect(),
    }
}

fn attribute(name: &str, i: i64, kind: i32) -> Attribute {
    Attribute { name: name.into(), i, ints: Vec::new(), kind }
}

pub(super) fn integers(name: &str, values: &[i64]) -> Tensor {
    let raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    Tensor { dims: vec![size(values.len())], data_type: INT64, name: name.into(), raw_data }
}

pub(super) fn doubles<'a>(name: &str, dims: Vec<i64>, values: impl Iterator<Item = &'a f64>) -> Tensor {
    let raw_data = values.flat_map(|value| value.to_le_bytes()).collect();
    Tensor { dims, data_type: DOUBLE, name: name.into(), raw_data }
}

fn value(name: &str, elem_type: i32, sizes: Vec<Size>) -> Value {
    let shape = Shape { dim: sizes.into_iter().map(|size| Dimension { size: Some(size) }).collect() };
    Value { name: name.into(), kind: Some(Type { tensor: Some(TensorType { elem_type, shape: Some(shape) }) }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Calibration, HeadKind};
    use ndarray::array;

    fn exported(kind: HeadKind) -> onnx_messages::Model {
        with(kind, Normalize::None, None)
    }

    fn normalised(kind: HeadKind, normalize: Normalize) -> onnx_messages::Model {
        with(kind, normalize, None)
    }

    fn with(kind: HeadKind, normalize: Normalize, calibration: Option<Calibration>) -> onnx_messages::Model {
        let classes = vec!["no".into(), "yes".into()];
        let weights = array![[1.0, -2.0, 0.1], [0.5, 3.0, 1e-300]];
        let head = LinearModel::new(kind, classes, weights, array![0.25, -1e9], 1.0).unwrap().on_rows(normalize);
        let head = Model::from(head).calibrated(calibration).unwrap();
        onnx_messages::Model::decode(&model(&head, head.linear().unwrap(), "{}".into())[..]).unwrap()
    }

    #[test]
    fn probabilities_are_there_for_heads_that_give_them() {
        let names = |kind| {
            let outputs = exported(kind).graph.unwrap().output;
            outputs.into_iter().map(|output| output.name).collect::<Vec<_>>()
        };
        assert_eq!(names(HeadKind::Logistic), ["scores", "probabilities", "label"]);
        assert_eq!(names(HeadKind::Svm), ["scores", "label"]);
        assert_eq!(names(HeadKind::Ridge), ["scores", "label"]);
    }

    #[test]
    fn a_calibrated_head_has_probabilities_whatever_its_kind() {
        let curve = |text: &str| serde_json::from_str(text).unwrap();
        for calibration in [
            Calibration::Temperature { temperature: 2.0 },
            Calibration::Platt { slope: vec![2.0], intercept: vec![0.5] },
            Calibration::Isotonic { curves: vec![curve(r#"{"score": [0, 1, 3], "probability": [0, 0.5, 1]}"#)] },
            Calibration::Isotonic { curves: vec![curve(r#"{"score": [0], "probability": [0.5]}"#)] },
        ] {
            let graph = with(HeadKind::Svm, Normalize::None, Some(calibration)).graph.unwrap();
            let names: Vec<&str> = graph.output.iter().map(|output| output.name.as_str()).collect();
            assert_eq!(names, ["scores", "probabilities", "label"]);
            assert_nothing_dangles(&graph);
        }
    }

    #[track_caller]
    fn assert_nothing_dangles(graph: &Graph) {
        let mut known: Vec<&String> = graph.initializer.iter().map(|tensor| &tensor.name).collect();
        known.extend(graph.input.iter().map(|input| &input.name));
        for node in &graph.node {
            assert!(node.input.iter().all(|input| known.contains(&input)), "{node:?}");
            known.extend(&node.output);
        }
        assert!(graph.output.iter().all(|output| known.contains(&&output.name)));
        let sizes = graph.initializer.iter().map(|tensor| (tensor.dims.iter().product::<i64>() * 8, &tensor.raw_data));
        assert!(sizes.into_iter().all(|(bytes, data)| bytes == data.len() as i64));
    }

    #[test]
    fn numbers_keep_every_bit_and_nothing_dangles() {
        for normalize in [Normalize::None, Normalize::L2] {
            assert_nothing_dangles(&normalised(HeadKind::Logistic, normalize).graph.unwrap());
        }
        let model = exported(HeadKind::Logistic);
        assert_eq!(model.metadata_props, [Entry { key: "headstart_head".into(), value: "{}".into() }]);
        let graph = model.graph.unwrap();
        let weight = &graph.initializer[0];
        assert_eq!((&weight.dims[..], weight.data_type), (&[2, 3][..], DOUBLE));
        assert_eq!(weight.raw_data[40..], 1e-300_f64.to_le_bytes());
        assert_eq!(graph.initializer[1].raw_data[8..], (-1e9_f64).to_le_bytes());
        assert_nothing_dangles(&graph);
    }
}
