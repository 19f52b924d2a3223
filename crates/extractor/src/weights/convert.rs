//! Other conventions for the same parameters, renamed to torchvision's keys. Which one a file follows is told by its keys.

use super::{StateDict, Tensor};
use crate::graph::{Graph, Op};
use std::collections::{BTreeMap, HashSet};

/// The state dict under the graph's keys, where it follows one of these conventions; otherwise as it was (and
/// [`check`](super::check()) then says what does not fit):
///
/// - torchvision's first DenseNets, whose keys have a dot too many (`denselayer1.norm.1.weight`);
/// - Flax: a subtree of `Conv_0`, `Conv_1`, … with `kernel` (H×W×I×O) and `bias`, the graph's convolutions in order. Other
///   subtrees (the 1×1 layers of a perceptual metric) are left out;
/// - MXNet's ONNX exports: `NAME_conv0_weight`, `NAME_conv0_bias`, …, the graph's convolutions in order.
pub(super) fn to_torchvision(state: StateDict, graph: &Graph) -> StateDict {
    let expected: HashSet<String> = graph.parameters().into_iter().map(|parameter| parameter.key).collect();
    if state.keys().any(|key| expected.contains(key)) {
        return undotted(state, &expected);
    }
    let convolutions: Vec<&str> =
        graph.nodes().iter().filter(|node| matches!(node.op, Op::Conv2d(_))).map(|node| node.name.as_str()).collect();
    for numbered in [flax as fn(&str) -> Option<Numbered<'_>>, mxnet] {
        if let Some(renamed) = by_order(&state, &convolutions, numbered) {
            return renamed;
        }
    }
    state
}

/// `features.denseblock1.denselayer1.norm.1.weight` is `….norm1.weight` today.
fn undotted(state: StateDict, expected: &HashSet<String>) -> StateDict {
    let rename = |key: String| {
        for (old, new) in [(".norm.", ".norm"), (".conv.", ".conv")] {
            if let Some((layer, rest)) = key.split_once(old) {
                let renamed = format!("{layer}{new}{rest}");
                if layer.contains("denselayer") && !expected.contains(&key) && expected.contains(&renamed) {
                    return renamed;
                }
            }
        }
        key
    };
    state.into_iter().map(|(key, tensor)| (rename(key), tensor)).collect()
}

/// A key that counts convolutions: the group it belongs to, its number, and torchvision's suffix.
struct Numbered<'k> {
    group: &'k str,
    number: usize,
    suffix: &'static str,
    /// Whether the kernel's dimensions are H×W×I×O instead of O×I×H×W.
    channels_last: bool,
}

fn flax(key: &str) -> Option<Numbered<'_>> {
    let (path, leaf) = key.rsplit_once('.')?;
    let (group, layer) = path.rsplit_once('.').unwrap_or(("", path));
    let number = layer.strip_prefix("Conv_")?.parse().ok()?;
    match leaf {
        "kernel" => Some(Numbered { group, number, suffix: "weight", channels_last: true }),
        "bias" => Some(Numbered { group, number, suffix: "bias", channels_last: true }),
        _ => None,
    }
}

fn mxnet(key: &str) -> Option<Numbered<'_>> {
    let (path, leaf) = key.rsplit_once('_')?;
    let (group, number) = path.rsplit_once("_conv")?;
    let number = number.parse().ok()?;
    match leaf {
        "weight" => Some(Numbered { group, number, suffix: "weight", channels_last: false }),
        "bias" => Some(Numbered { group, number, suffix: "bias", channels_last: false }),
        _ => None,
    }
}

/// Gives the n-th numbered convolution of the largest group the name of the graph's n-th.
fn by_order(
    state: &StateDict,
    convolutions: &[&str],
    numbered: impl for<'k> Fn(&'k str) -> Option<Numbered<'k>>,
) -> Option<StateDict> {
    let mut groups: BTreeMap<&str, usize> = BTreeMap::new();
    for key in state.keys() {
        if let Some(Numbered { group, .. }) = numbered(key) {
            *groups.entry(group).or_default() += 1;
        }
    }
    let (largest, _) = groups.into_iter().max_by_key(|&(_, size)| size)?;
    let mut renamed = StateDict::new();
    for (key, tensor) in state {
        let Some(entry) = numbered(key).filter(|entry| entry.group == largest) else { continue };
        let name = convolutions.get(entry.number)?;
        let tensor = if entry.channels_last && tensor.shape.len() == 4 { hwio_to_oihw(tensor) } else { tensor.clone() };
        renamed.insert(format!("{name}.{}", entry.suffix), tensor);
    }
    Some(renamed)
}

/// A kernel of H×W×I×O as O×I×H×W.
fn hwio_to_oihw(kernel: &Tensor) -> Tensor {
    let &[h, w, i, o] = kernel.shape.as_slice() else { return kernel.clone() };
    let mut data = Vec::with_capacity(kernel.data.len());
    for output in 0..o {
        for input in 0..i {
            data.extend((0..h * w).map(|pixel| kernel.data[(pixel * i + input) * o + output]));
        }
    }
    Tensor { shape: vec![o, i, h, w], data }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Builder, Conv2d};

    fn two_convolutions() -> Graph {
        let (mut b, x) = Builder::new();
        let y = b.conv("features.0", x, Conv2d::new(2, 3, 1).bias());
        b.conv("features.2", y, Conv2d::new(3, 1, 1).bias());
        b.finish()
    }

    fn tensor(shape: &[usize]) -> Tensor {
        Tensor { shape: shape.to_vec(), data: (0..shape.iter().product::<usize>()).map(|v| v as f32).collect() }
    }

    #[test]
    fn kernels_are_transposed() {
        let kernel = hwio_to_oihw(&tensor(&[1, 2, 3, 4]));
        assert_eq!(kernel.shape, [4, 3, 1, 2]);
        // Output 1, input 2, row 0, column 1 was at [0, 1, 2, 1].
        assert_eq!(kernel.data[(3 + 2) * 2 + 1], (((2 + 2 - 1) * 3 - 3 + 2) * 4 - 4 * 3 + 1) as f32);
    }

    #[test]
    fn flax_subtrees_follow_the_order_of_convolutions() {
        let state = StateDict::from([
            ("Net_0.Conv_0.kernel".to_string(), tensor(&[1, 1, 2, 3])),
            ("Net_0.Conv_0.bias".to_string(), tensor(&[3])),
            ("Net_0.Conv_1.kernel".to_string(), tensor(&[1, 1, 3, 1])),
            ("Net_0.Conv_1.bias".to_string(), tensor(&[1])),
            ("Metric_0.Conv_0.kernel".to_string(), tensor(&[1, 1, 9, 1])),
        ]);
        let renamed = to_torchvision(state, &two_convolutions());
        assert_eq!(
            renamed.keys().collect::<Vec<_>>(),
            ["features.0.bias", "features.0.weight", "features.2.bias", "features.2.weight"]
        );
        assert_eq!(renamed["features.0.weight"].shape, [3, 2, 1, 1]);
        assert_eq!(renamed["features.0.weight"].data, [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
    }

    #[test]
    fn mxnet_initializers_follow_the_order_of_convolutions() {
        let state = StateDict::from([
            ("net0_conv0_weight".to_string(), tensor(&[3, 2, 1, 1])),
            ("net0_conv0_bias".to_string(), tensor(&[3])),
            ("net0_conv1_weight".to_string(), tensor(&[1, 3, 1, 1])),
        ]);
        let renamed = to_torchvision(state, &two_convolutions());
        assert_eq!(renamed.keys().collect::<Vec<_>>(), ["features.0.bias", "features.0.weight", "features.2.weight"]);
    }

    #[test]
    fn more_convolutions_than_the_graph_has_are_left_for_the_check_to_name() {
        let state = StateDict::from([("net0_conv7_weight".to_string(), tensor(&[1]))]);
        assert_eq!(to_torchvision(state.clone(), &two_convolutions()), state);
    }

    #[test]
    fn the_dots_of_old_densenets_go() {
        let (mut b, x) = Builder::new();
        let y = b.batch_norm("features.denseblock1.denselayer1.norm1", x, 2);
        b.conv("features.denseblock1.denselayer1.conv2", y, Conv2d::new(2, 2, 1));
        let graph = b.finish();
        let layer = "features.denseblock1.denselayer1";
        let mut state: StateDict = ["weight", "bias", "running_mean", "num_batches_tracked"]
            .map(|suffix| (format!("{layer}.norm.1.{suffix}"), tensor(&[2])))
            .into();
        state.insert(format!("{layer}.norm1.running_var"), tensor(&[2]));
        state.insert(format!("{layer}.conv.2.weight"), tensor(&[2, 2, 1, 1]));
        let weights = super::super::check(to_torchvision(state, &graph), &graph, "test").unwrap();
        assert!(weights.missing.is_empty());
        assert_eq!(weights.tensors.len(), 5);
    }
}
