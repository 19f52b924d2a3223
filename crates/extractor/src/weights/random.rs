//! Weights drawn by a fixed rule: for tests against golden files, and for benchmarks of architectures whose trained
//! weights are not at hand. The rule is integer arithmetic and one multiplication in f64, so that any language can repeat
//! it bit by bit; `scripts/golden.py` does.
//!
//! With seed S and the parameter's key K: `state0 = FNV-1a-64(K) xor (S · G mod 2⁶⁴)`, G = 0x9E3779B97F4A7C15. Element i
//! (row-major, from 0) is `u = mix(state0 + (i + 1) · G mod 2⁶⁴) >> 40` over 2²⁴, with splitmix64's finaliser as `mix`, and
//! from u in [0, 1):
//!
//! | parameter | value |
//! |---|---|
//! | weight of a convolution or linear layer | (2u − 1) · sqrt(6 / fan-in), fan-in = product of all dimensions but the first |
//! | bias of a convolution or linear layer | (2u − 1) · 0.1 |
//! | weight of a batch normalisation | 0.5 + 0.5 u |
//! | its running variance | 0.75 + 0.5 u |
//! | bias and running mean of a batch normalisation | (2u − 1) · 0.2 |

use super::check::content_hash;
use super::{StateDict, Tensor, Weights};
use crate::graph::{Graph, Op, Parameter};
use rayon::prelude::*;

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// FNV-1a, 64 bits.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// The finaliser of splitmix64 (Steele, Lea and Flood 2014).
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A tensor of this shape, each element made from its own u in [0, 1).
fn draw(seed: u64, key: &str, shape: &[usize], value: impl Fn(f64) -> f64 + Sync) -> Tensor {
    let state = fnv1a(key.as_bytes()) ^ seed.wrapping_mul(GOLDEN);
    let count: usize = shape.iter().product();
    let data = (0..count)
        .into_par_iter()
        .with_min_len(1 << 14)
        .map(|i| {
            let z = mix(state.wrapping_add((i as u64 + 1).wrapping_mul(GOLDEN)));
            value((z >> 40) as f64 / (1u64 << 24) as f64) as f32
        })
        .collect();
    Tensor { shape: shape.to_vec(), data }
}

/// The weights of seed `seed` for every parameter of the graph; see the rule at the top of this file.
pub fn random(seed: u64, graph: &Graph) -> Weights {
    let tensors: StateDict = graph
        .parameters()
        .into_iter()
        .map(|Parameter { key, shape, node, .. }| {
            let normalisation = matches!(graph.node(node).op, Op::BatchNorm2d { .. });
            let suffix = key.rsplit('.').next().unwrap_or_default();
            let tensor = match (normalisation, suffix) {
                (true, "weight") => draw(seed, &key, &shape, |u| 0.5 + 0.5 * u),
                (true, "running_var") => draw(seed, &key, &shape, |u| 0.75 + 0.5 * u),
                (true, _) => draw(seed, &key, &shape, |u| (2.0 * u - 1.0) * 0.2),
                (false, "weight") => {
                    let fan_in: usize = shape.iter().skip(1).product();
                    let bound = (6.0 / fan_in as f64).sqrt();
                    draw(seed, &key, &shape, |u| (2.0 * u - 1.0) * bound)
                }
                (false, _) => draw(seed, &key, &shape, |u| (2.0 * u - 1.0) * 0.1),
            };
            (key, tensor)
        })
        .collect();
    let sha256 = content_hash(tensors.iter().map(|(key, tensor)| (key.as_str(), tensor)));
    Weights { tensors, sha256, source: format!("random:{seed}"), missing: Vec::new() }
}

/// An input of this shape (N×C×H×W or C×H×W) by the same rule: key `input`, values (2u − 1) · 2.
pub fn random_input(seed: u64, shape: &[usize]) -> Tensor {
    draw(seed, "input", shape, |u| (2.0 * u - 1.0) * 2.0)
}

#[cfg(test)]
mod tests {
    use super::super::check::tests::small;
    use super::*;

    #[test]
    fn the_hash_functions_are_the_published_ones() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
        // The first output of splitmix64 seeded with 0.
        assert_eq!(mix(GOLDEN), 0xE220_A839_7B1D_CDAF);
    }

    #[test]
    fn the_rule_agrees_with_a_second_implementation() {
        // From a few lines of Python with arbitrary-precision integers.
        let weights = random(3, &small());
        for (key, expected) in EXPECTED {
            assert_eq!(&weights.tensors[key].data[..3], &expected, "{key}");
        }
        assert_eq!(&random_input(3, &[1, 3, 2, 2]).data[..3], &EXPECTED_INPUT);
        assert_ne!(random(3, &small()).sha256, random(4, &small()).sha256);
        assert_eq!(random(3, &small()).source, "random:3");
    }

    #[test]
    fn whole_backbones_agree_with_the_golden_script() {
        // content_hash of torchvision's state dicts as filled by scripts/golden.py (seed 0).
        for (backbone, sha256) in [
            ("resnet18", "16e546d6bc556251d8c1c11baf7a743a5e03cd1a29def25ff7ddef08b640530c"),
            ("squeezenet1_1", "a19563e98a180858dc36ce4a8a8e29b5dda85c66db5fb3305d444f139a47a075"),
        ] {
            assert_eq!(random(0, &crate::zoo::find(backbone).unwrap().graph()).sha256, sha256, "{backbone}");
        }
    }

    #[test]
    fn values_stay_in_their_ranges() {
        let weights = random(0, &small());
        let within =
            |key: &str, low: f32, high: f32| weights.tensors[key].data.iter().all(|v| (low..=high).contains(v));
        let bound = (6.0f32 / 27.0).sqrt();
        assert!(within("conv1.weight", -bound, bound));
        assert!(within("bn1.weight", 0.5, 1.0) && within("bn1.running_var", 0.75, 1.25));
        assert!(within("bn1.bias", -0.2, 0.2) && within("bn1.running_mean", -0.2, 0.2));
        assert!(within("conv2.bias", -0.1, 0.1) && within("fc.bias", -0.1, 0.1));
    }

    const EXPECTED: [(&str, [f32; 3]); 7] = [
        ("conv1.weight", [0.26599336, 0.05977356, 0.11847575]),
        ("bn1.weight", [0.8870088, 0.5971823, 0.55251294]),
        ("bn1.bias", [-0.038901757, 0.19206464, -0.06728983]),
        ("bn1.running_mean", [-0.14946854, -0.0024193048, -0.055146527]),
        ("bn1.running_var", [0.98781645, 0.7893231, 1.0927662]),
        ("fc.weight", [-0.71384907, -0.75765514, -1.2796227]),
        ("fc.bias", [0.036336612, -0.018182492, 0.0610602]),
    ];
    const EXPECTED_INPUT: [f32; 3] = [1.6540859, 1.3235614, -1.8012619];
}
