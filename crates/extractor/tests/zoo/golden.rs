//! Reads golden files, and compares values with what is in them.

use safetensors::SafeTensors;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The largest deviation allowed, relative to the largest magnitude of the reference.
pub const TOLERANCE: f32 = 1e-4;

/// One golden file.
pub struct Golden {
    /// The network's input, C×H×W.
    pub input: [usize; 3],
    /// Every node in execution order, `x` first.
    pub nodes: Vec<Value>,
    /// Every composite module, in the order they return.
    pub modules: Vec<Value>,
    /// Every tensor of the state dict but the batch counters.
    pub parameters: Vec<Parameter>,
    /// Learnable scalars.
    pub parameter_count: u64,
    /// Multiply-adds of convolutions and linear layers for one image.
    pub multiply_adds: u64,
    /// The numbers that torchvision publishes.
    pub published: Option<Published>,
}

/// The value of a node, or the one a module returns.
#[derive(Debug)]
pub struct Value {
    /// Node name or module path.
    pub name: String,
    /// Shape without the batch dimension.
    pub shape: Vec<usize>,
    /// What is known of the numbers.
    pub summary: Summary,
}

/// Mean, standard deviation, minimum, maximum, largest magnitude, then 16 samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary([f32; 21]);

/// A tensor of the state dict.
pub struct Parameter {
    /// The state-dict key.
    pub key: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// The elements at [`sample_positions`].
    pub samples: [f32; 4],
}

/// Numbers from torchvision's metadata.
#[derive(Deserialize)]
pub struct Published {
    /// Learnable scalars.
    pub num_params: u64,
    /// 10⁹ multiply-adds, rounded to three digits.
    pub gflops: f64,
    /// Top-1 accuracy of its first ImageNet weights, in percent.
    pub top1: f64,
    /// Top-5 accuracy, in percent.
    pub top5: f64,
}

#[derive(Deserialize)]
struct Metadata {
    architecture: String,
    input: [usize; 3],
    nodes: Vec<(String, Vec<usize>)>,
    modules: Vec<(String, Vec<usize>)>,
    parameters: Vec<(String, Vec<usize>)>,
    parameter_count: u64,
    multiply_adds: u64,
    published: Option<Published>,
}

/// The folder of the golden files.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/zoo")
}

impl Golden {
    /// Reads the golden file of an architecture.
    pub fn read(name: &str) -> Self {
        let path = folder().join(format!("{name}.safetensors"));
        let bytes = std::fs::read(&path)
            .unwrap_or_else(|error| panic!("{}: {error}; scripts/golden.py makes it", path.display()));
        let metadata: Metadata = metadata(&bytes);
        assert_eq!(metadata.architecture, name, "{}", path.display());
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let values = |tensor, names: Vec<(String, Vec<usize>)>| {
            let rows = rows(&tensors, tensor, names.len());
            names
                .into_iter()
                .zip(rows)
                .map(|((name, shape), row)| Value { name, shape, summary: Summary(row) })
                .collect()
        };
        let samples = rows(&tensors, "parameters", metadata.parameters.len());
        Self {
            input: metadata.input,
            nodes: values("nodes", metadata.nodes),
            modules: values("modules", metadata.modules),
            parameters: metadata
                .parameters
                .into_iter()
                .zip(samples)
                .map(|((key, shape), samples)| Parameter { key, shape, samples })
                .collect(),
            parameter_count: metadata.parameter_count,
            multiply_adds: metadata.multiply_adds,
            published: metadata.published,
        }
    }
}

/// The JSON under the key `golden`.
fn metadata<T: DeserializeOwned>(bytes: &[u8]) -> T {
    let (_, header) = SafeTensors::read_metadata(bytes).unwrap();
    let texts: &HashMap<String, String> = header.metadata().as_ref().unwrap();
    serde_json::from_str(&texts["golden"]).unwrap()
}

/// The rows of an f32 matrix.
fn rows<const N: usize>(tensors: &SafeTensors, name: &str, count: usize) -> Vec<[f32; N]> {
    let tensor = tensors.tensor(name).unwrap();
    assert_eq!(tensor.dtype(), safetensors::Dtype::F32);
    assert_eq!(tensor.shape(), [count, N], "{name}");
    let numbers: Vec<f32> =
        tensor.data().chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect();
    numbers.chunks_exact(N).map(|row| row.try_into().unwrap()).collect()
}

/// The positions that `count` samples of a value are taken from.
pub fn sample_positions(elements: usize, count: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |j| elements * (2 * j + 1) / (2 * count))
}

impl Summary {
    const NAMES: [&str; 5] = ["mean", "standard deviation", "minimum", "maximum", "largest magnitude"];

    /// Summarises a value, given in row-major order.
    pub fn of(value: &[f32]) -> Self {
        let count = value.len() as f64;
        let mean = value.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
        let variance = value.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / count;
        let min = value.iter().copied().fold(f32::INFINITY, f32::min);
        let max = value.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let mut row = [0.0; 21];
        row[..5].copy_from_slice(&[mean as f32, variance.sqrt() as f32, min, max, min.abs().max(max.abs())]);
        for (slot, position) in row[5..].iter_mut().zip(sample_positions(value.len(), 16)) {
            *slot = value[position];
        }
        Self(row)
    }

    /// The largest magnitude of the value.
    pub fn max_abs(&self) -> f32 {
        self.0[4]
    }

    /// The largest deviation of another value from this one, relative to this one's largest magnitude, and where it is.
    /// Every number of a summary moves by no more than the value's elements do, so that one bound fits them all.
    pub fn deviation(&self, other: &Summary) -> (f32, String) {
        let mut worst = (0.0, String::from("nowhere"));
        for (index, (reference, number)) in self.0.iter().zip(other.0).enumerate() {
            let deviation = (number - reference).abs() / self.max_abs().max(f32::MIN_POSITIVE);
            let deviation = if deviation.is_nan() { f32::INFINITY } else { deviation };
            if deviation > worst.0 {
                let place = match Self::NAMES.get(index) {
                    Some(name) => name.to_string(),
                    None => format!("sample {}", index - Self::NAMES.len()),
                };
                worst = (deviation, format!("{place} is {number}, should be {reference}"));
            }
        }
        worst
    }
}

#[test]
fn a_summary_follows_the_rules_of_the_script() {
    let golden = Golden::read("lenet5");
    let scores = golden.nodes.last().unwrap();
    assert_eq!(scores.shape, [10]);
    // Of ten elements, sixteen samples show every one: enough to compute the statistics again.
    let positions: Vec<usize> = sample_positions(10, 16).collect();
    assert_eq!(positions, [0, 0, 1, 2, 2, 3, 4, 4, 5, 5, 6, 7, 7, 8, 9, 9]);
    let mut value = [0.0; 10];
    for (position, sample) in positions.into_iter().zip(&scores.summary.0[5..]) {
        value[position] = *sample;
    }
    let (deviation, place) = scores.summary.deviation(&Summary::of(&value));
    assert!(deviation < 1e-6, "{place}");
}

#[test]
fn a_deviation_is_seen_wherever_it_is() {
    let value: Vec<f32> = (0..160).map(|i| i as f32 / 16.0 - 4.0).collect();
    let reference = Summary::of(&value);
    assert_eq!(reference.deviation(&reference).0, 0.0);

    let mut one_wrong = value.clone();
    one_wrong[5] += 0.1;
    let (deviation, place) = reference.deviation(&Summary::of(&one_wrong));
    assert!(deviation > TOLERANCE && place.starts_with("sample 0"), "{place}");

    let mut not_a_number = value;
    not_a_number[5] = f32::NAN;
    let (deviation, _) = reference.deviation(&Summary::of(&not_a_number));
    assert_eq!(deviation, f32::INFINITY);
}
