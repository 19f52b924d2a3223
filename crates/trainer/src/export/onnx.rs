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
//! Inside, the graph computes in double, as this crate does: features are raw, far from 0 for many layers, and the bias then
//! cancels most of `W x`. Weights rounded to f32 would be off by 6e-8 of the terms, which may be many digits of what is left.
//! Inputs and outputs are f32 all the same, which is what a backbone gives and what consumers expect. The label comes from
//! the doubles, so that it is the class that headstart names even where two f32 scores are equal.

use prost::Message;

use super::onnx_messages::{
    Attribute, DOUBLE, Dimension, Entry, FLOAT, Graph, INT_ATTRIBUTE, INT64, INTS_ATTRIBUTE, Model, Node, OperatorSet,
    Shape, Size, Tensor, TensorType, Type, Value,
};
use crate::head_file::DESCRIPTION_KEY;
use crate::model::LinearModel;
use crate::normalize::Normalize;

/// Protobuf messages end at 2 GiB; a little is left for what is not weights.
pub(super) const MOST_BYTES: usize = (1 << 31) - (1 << 20);

/// Operators as of opset 13 (December 2020), the first in which Softmax works along one axis: everything since runs it.
const OPSET: i64 = 13;
/// The version of the file format that goes with that opset.
const IR_VERSION: i64 = 7;

/// The model's bytes. `description` is the JSON text of the head file, kept under the same key.
pub(super) fn model(head: &LinearModel, description: String) -> Vec<u8> {
    let (classes, width) = (size(head.classes().len()), size(head.width()));
    let rows = || Size::Named("N".into());
    let mut node = vec![cast("features", "features_double", DOUBLE)];
    let mut initializer = vec![
        doubles("weight", vec![classes, width], head.weights().iter()),
        doubles("bias", vec![classes], head.bias().iter()),
    ];
    let rows_of_features = match head.normalize() {
        Normalize::None => "features_double",
        Normalize::L2 => {
            let mut norm = operation("ReduceL2", &["features_double"], "norm", &[("keepdims", 1)]);
            norm.attribute.push(Attribute { ints: vec![1], ..attribute("axes", 0, INTS_ATTRIBUTE) });
            node.push(norm);
            node.push(operation("Max", &["norm", "smallest"], "divisor", &[]));
            node.push(operation("Div", &["features_double", "divisor"], "features_unit", &[]));
            initializer.push(doubles("smallest", Vec::new(), [f64::MIN_POSITIVE].iter()));
            "features_unit"
        }
    };
    node.push(operation("Gemm", &[rows_of_features, "weight", "bias"], "scores_double", &[("transB", 1)]));
    node.push(cast("scores_double", "scores", FLOAT));
    let mut output = vec![value("scores", FLOAT, vec![rows(), Size::Fixed(classes)])];
    if head.kind().is_probabilistic() {
        node.push(operation("Softmax", &["scores_double"], "probabilities_double", &[("axis", 1)]));
        node.push(cast("probabilities_double", "probabilities", FLOAT));
        output.push(value("probabilities", FLOAT, vec![rows(), Size::Fixed(classes)]));
    }
    // Of equal scores the first wins, as in headstart.
    node.push(operation("ArgMax", &["scores_double"], "label", &[("axis", 1), ("keepdims", 0)]));
    output.push(value("label", INT64, vec![rows()]));
    let graph = Graph {
        node,
        name: "head".into(),
        initializer,
        input: vec![value("features", FLOAT, vec![rows(), Size::Fixed(width)])],
        output,
    };
    let model = Model {
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
fn size(count: usize) -> i64 {
    count as i64
}

fn cast(input: &str, output: &str, to: i32) -> Node {
    operation("Cast", &[input], output, &[("to", i64::from(to))])
}

/// A node named after its output.
fn operation(op_type: &str, input: &[&str], output: &str, attributes: &[(&str, i64)]) -> Node {
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

fn doubles<'a>(name: &str, dims: Vec<i64>, values: impl Iterator<Item = &'a f64>) -> Tensor {
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
    use crate::HeadKind;
    use ndarray::array;

    fn exported(kind: HeadKind) -> Model {
        normalised(kind, Normalize::None)
    }

    fn normalised(kind: HeadKind, normalize: Normalize) -> Model {
        let classes = vec!["no".into(), "yes".into()];
        let weights = array![[1.0, -2.0, 0.1], [0.5, 3.0, 1e-300]];
        let head = LinearModel::new(kind, classes, weights, array![0.25, -1e9], 1.0).unwrap().on_rows(normalize);
        Model::decode(&model(&head, "{}".into())[..]).unwrap()
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
    fn numbers_keep_every_bit_and_nothing_dangles() {
        for normalize in [Normalize::None, Normalize::L2] {
            nothing_dangles(normalised(HeadKind::Logistic, normalize).graph.unwrap());
        }
        let model = exported(HeadKind::Logistic);
        assert_eq!(model.metadata_props, [Entry { key: "headstart_head".into(), value: "{}".into() }]);
        let graph = model.graph.unwrap();
        let weight = &graph.initializer[0];
        assert_eq!((&weight.dims[..], weight.data_type), (&[2, 3][..], DOUBLE));
        assert_eq!(weight.raw_data[40..], 1e-300_f64.to_le_bytes());
        assert_eq!(graph.initializer[1].raw_data[8..], (-1e9_f64).to_le_bytes());
    }

    fn nothing_dangles(graph: Graph) {
        let mut known: Vec<&String> = graph.initializer.iter().map(|tensor| &tensor.name).collect();
        known.extend(graph.input.iter().map(|input| &input.name));
        for node in &graph.node {
            assert!(node.input.iter().all(|input| known.contains(&input)), "{node:?}");
            known.extend(&node.output);
        }
        assert!(graph.output.iter().all(|output| known.contains(&&output.name)));
    }
}
