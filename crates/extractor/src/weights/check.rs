//! A state dict held against a graph: what fits, what does not, and what can no longer be computed.

use super::tensor::{little_endian, show_shape};
use super::{StateDict, Tensor};
use crate::graph::{Graph, NodeId};
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::fmt;

/// Parameters that fit a graph, ready to run.
#[derive(Debug, Clone)]
pub struct Weights {
    /// The tensors by state-dict key, each of the shape that [`Graph::parameters`] gives.
    pub tensors: StateDict,
    /// SHA-256 of the contents, in hex: the same for the same numbers, whichever file format they came from. It is taken
    /// over `headstart-weights-1\n` and then, for every tensor in the order of its key's bytes: length of the key, key,
    /// number of dimensions, dimensions (all numbers u64 little-endian), values (f32 little-endian, row-major).
    pub sha256: String,
    /// Where they came from: a file, or `random:SEED`.
    pub source: String,
    /// The nodes, in execution order, that cannot be computed because the file lacks the end of the network. Empty for
    /// complete weights.
    pub missing: Vec<String>,
}

impl Weights {
    /// Whether the node of this name can be computed.
    pub fn has(&self, node: &str) -> bool {
        !self.missing.iter().any(|missing| missing == node)
    }

    /// The parameter with this key.
    pub fn tensor(&self, key: &str) -> Option<&Tensor> {
        self.tensors.get(key)
    }
}

/// A file that does not hold the parameters of the network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Mismatch {
    /// The file, or wherever the tensors came from.
    pub origin: String,
    /// One sentence for every parameter that does not fit.
    pub problems: Vec<String>,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 8;
        write!(f, "{}: not the weights of this backbone", self.origin)?;
        for problem in self.problems.iter().take(SHOWN) {
            write!(f, "\n  {problem}")?;
        }
        if self.problems.len() > SHOWN {
            write!(f, "\n  … and {} more", self.problems.len() - SHOWN)?;
        }
        Ok(())
    }
}

/// How a state dict compares with a graph; what `weights verify` prints.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Comparison {
    /// Number of tensors that fit.
    pub matched: usize,
    /// Number of scalars in them, running statistics included.
    pub scalars: u64,
    /// Keys that the graph expects and the file lacks, in the order of the network.
    pub missing: Vec<String>,
    /// Keys that the file holds and the graph does not know.
    pub extra: Vec<String>,
    /// Key, expected shape, shape in the file.
    pub misshapen: Vec<(String, Vec<usize>, Vec<usize>)>,
    /// The nodes that cannot be computed for lack of parameters, in execution order.
    pub lost: Vec<String>,
    /// Whether only the end of the network is missing, so that everything before it can be used.
    pub usable: bool,
    /// SHA-256 of the tensors that fit.
    pub sha256: String,
}

/// Compares every key and shape. PyTorch's `num_batches_tracked` counters are ignored.
pub fn compare(state: &StateDict, graph: &Graph) -> Comparison {
    let mut fitting = Vec::new();
    let mut missing = Vec::new();
    let mut misshapen = Vec::new();
    let mut known = HashSet::new();
    // Nodes of which a parameter is there, and nodes of which one is not.
    let mut present: HashSet<NodeId> = HashSet::new();
    let mut incomplete: HashSet<NodeId> = HashSet::new();
    for parameter in graph.parameters() {
        match state.get(&parameter.key) {
            None => {
                incomplete.insert(parameter.node);
                missing.push(parameter.key.clone());
            }
            Some(tensor) => {
                present.insert(parameter.node);
                if tensor.shape == parameter.shape {
                    fitting.push((parameter.key.clone(), tensor));
                } else {
                    misshapen.push((parameter.key.clone(), parameter.shape, tensor.shape.clone()));
                }
            }
        }
        known.insert(parameter.key);
    }
    let extra: Vec<String> =
        state.keys().filter(|key| !known.contains(*key) && !key.ends_with("num_batches_tracked")).cloned().collect();
    let mut lost = vec![false; graph.nodes().len()];
    for (id, node) in graph.nodes().iter().enumerate() {
        lost[id] = incomplete.contains(&id) || node.inputs.iter().any(|&input| lost[input]);
    }
    // A lost node that does have parameters means a hole in the middle rather than a missing end.
    let only_the_end = !present.is_empty() && present.iter().all(|&id| !lost[id]);
    fitting.sort_by(|a, b| a.0.cmp(&b.0));
    Comparison {
        matched: fitting.len(),
        scalars: fitting.iter().map(|(_, tensor)| tensor.data.len() as u64).sum(),
        usable: only_the_end && extra.is_empty() && misshapen.is_empty(),
        sha256: content_hash(fitting.iter().map(|(key, tensor)| (key.as_str(), *tensor))),
        lost: graph.nodes().iter().zip(&lost).filter(|(_, lost)| **lost).map(|(node, _)| node.name.clone()).collect(),
        missing,
        extra,
        misshapen,
    }
}

/// Accepts a state dict whose every tensor is one of the graph's, and which lacks at most the end of the network (such as
/// the classifier).
///
/// # Errors
/// Names every parameter that is missing, unknown (with similar names that the graph does expect) or of the wrong shape.
pub fn check(mut state: StateDict, graph: &Graph, origin: &str) -> Result<Weights, Mismatch> {
    let comparison = compare(&state, graph);
    if !comparison.usable {
        return Err(Mismatch { origin: origin.to_owned(), problems: problems(&comparison, &state) });
    }
    state.retain(|key, _| !key.ends_with("num_batches_tracked"));
    Ok(Weights { tensors: state, sha256: comparison.sha256, source: origin.to_owned(), missing: comparison.lost })
}

fn problems(comparison: &Comparison, state: &StateDict) -> Vec<String> {
    let mut problems = Vec::new();
    for (key, wanted, got) in &comparison.misshapen {
        problems.push(format!("{key} must be {} and is {}", show_shape(wanted), show_shape(got)));
    }
    for key in &comparison.extra {
        let shape = state.get(key).map(|tensor| show_shape(&tensor.shape)).unwrap_or_default();
        let near = near(key, comparison.missing.iter().map(String::as_str));
        let hint = if near.is_empty() { String::new() } else { format!(" (similar and missing: {})", near.join(", ")) };
        problems.push(format!("{} ({shape}) is not a parameter of this network{hint}", key.escape_debug()));
    }
    // A missing end alone is no problem; together with others, or in the middle, every missing key is.
    for key in &comparison.missing {
        let near = near(key, comparison.extra.iter().map(String::as_str));
        let hint = if near.is_empty() { String::new() } else { format!(" (similar in the file: {})", near.join(", ")) };
        problems.push(format!("{key} is missing{hint}"));
    }
    problems
}

/// At most three of `names` that resemble `key`, best first.
fn near<'n>(key: &str, names: impl Iterator<Item = &'n str>) -> Vec<String> {
    // Keys are short; a longer one is no misspelling, and comparing costs the product of the lengths.
    let mut scored: Vec<(f64, &str)> = names
        .filter(|name| name.len() <= 200 && key.len() <= 200)
        .take(2000)
        .map(|name| (strsim::normalized_damerau_levenshtein(key, name), name))
        .filter(|(score, _)| *score >= 0.7)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    scored.into_iter().take(3).map(|(_, name)| name.escape_debug().to_string()).collect()
}

/// The hash that names a set of weights; its definition is at [`Weights::sha256`].
pub(super) fn content_hash<'t>(sorted: impl Iterator<Item = (&'t str, &'t Tensor)>) -> String {
    let mut hash = Sha256::new();
    hash.update(b"headstart-weights-1\n");
    for (key, tensor) in sorted {
        hash.update((key.len() as u64).to_le_bytes());
        hash.update(key);
        hash.update((tensor.shape.len() as u64).to_le_bytes());
        for &d in &tensor.shape {
            hash.update((d as u64).to_le_bytes());
        }
        // In pieces, so that a large tensor is not held twice.
        for piece in tensor.data.chunks(1 << 16) {
            hash.update(little_endian(piece));
        }
    }
    hex(&hash.finalize())
}

/// Bytes in lower-case hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::graph::{Builder, Conv2d};

    /// Two convolutions with batch normalisation, a head.
    pub fn small() -> Graph {
        let (mut b, x) = Builder::new();
        let y = b.conv("conv1", x, Conv2d::new(3, 4, 3));
        let y = b.batch_norm("bn1", y, 4);
        let y = b.relu("relu", y);
        let y = b.conv("conv2", y, Conv2d::new(4, 2, 3).bias());
        let y = b.flatten("flatten", y);
        b.linear("fc", y, 2, 5);
        b.finish()
    }

    pub fn state(graph: &Graph) -> StateDict {
        super::super::random(7, graph).tensors
    }

    #[test]
    fn complete_weights_fit_and_counters_are_ignored() {
        let graph = small();
        let mut given = state(&graph);
        given.insert("bn1.num_batches_tracked".into(), Tensor { shape: vec![], data: vec![3.0] });
        let weights = check(given, &graph, "test").unwrap();
        assert_eq!(weights.tensors, state(&graph));
        assert!(weights.missing.is_empty() && weights.has("fc"));
    }

    #[test]
    fn a_missing_classifier_loses_only_what_follows() {
        let graph = small();
        let mut given = state(&graph);
        given.retain(|key, _| !key.starts_with("fc"));
        let weights = check(given.clone(), &graph, "test").unwrap();
        assert_eq!(weights.missing, ["fc"]);
        assert!(weights.has("flatten") && !weights.has("fc"));
        given.retain(|key, _| !key.starts_with("conv2"));
        assert_eq!(check(given, &graph, "test").unwrap().missing, ["conv2", "flatten", "fc"]);
    }

    #[test]
    fn holes_are_named() {
        let graph = small();
        for hole in ["bn1.running_mean", "conv1.weight", "conv2.bias", "fc.bias"] {
            let mut given = state(&graph);
            given.remove(hole);
            let error = check(given, &graph, "FILE").unwrap_err().to_string();
            assert!(error.contains("FILE") && error.contains(&format!("{hole} is missing")), "{error}");
        }
        assert!(check(StateDict::new(), &graph, "FILE").is_err());
    }

    #[test]
    fn extra_and_misshapen_parameters_are_named_with_their_neighbours() {
        let graph = small();
        let mut given = state(&graph);
        let moved = given.remove("conv2.weight").unwrap();
        given.insert("conv_2.weight".into(), moved);
        given.insert("fc.weight".into(), Tensor { shape: vec![10, 2], data: vec![0.0; 20] });
        let error = check(given, &graph, "FILE").unwrap_err();
        let text = error.to_string();
        assert!(text.contains("fc.weight must be 5×2 and is 10×2"), "{text}");
        assert!(text.contains(
            "conv_2.weight (2×4×3×3) is not a parameter of this network (similar and missing: conv2.weight)"
        ));
        assert!(text.contains("conv2.weight is missing (similar in the file: conv_2.weight)"), "{text}");
    }

    #[test]
    fn the_hash_follows_keys_shapes_and_values() {
        let graph = small();
        let base = check(state(&graph), &graph, "a").unwrap();
        assert_eq!(base.sha256, check(state(&graph), &graph, "b").unwrap().sha256);
        let mut changed = state(&graph);
        changed.get_mut("fc.bias").unwrap().data[0] += 1.0;
        assert_ne!(base.sha256, check(changed, &graph, "a").unwrap().sha256);
        // Worked out by hand from the definition: sha256 of the header, then key "k", one dimension of 1, the value 1.0.
        let one = Tensor { shape: vec![1], data: vec![1.0] };
        let mut bytes = b"headstart-weights-1\n".to_vec();
        for part in [&1u64.to_le_bytes()[..], b"k", &1u64.to_le_bytes(), &1u64.to_le_bytes(), &[0, 0, 0x80, 0x3f]] {
            bytes.extend(part);
        }
        assert_eq!(content_hash([("k", &one)].into_iter()), hex(&Sha256::digest(&bytes)));
    }
}
