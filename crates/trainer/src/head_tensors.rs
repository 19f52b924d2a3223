//! The numbers of a head file, as tensors.

use ndarray::{Array1, Array2};
use safetensors::{Dtype, SafeTensors};

use crate::classifier::{Model, Rule};
use crate::model::LinearModel;
use crate::neighbors::{KnnMetric, NeighborsModel, Standardization};
use crate::normalize::Normalize;
use crate::params::HeadKind;
use crate::tuned::Tuned;

/// One tensor about to be written.
pub(crate) struct Numbers {
    pub(crate) name: &'static str,
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    pub(crate) bytes: Vec<u8>,
}

/// The tensors of a head.
pub(crate) fn of(rule: &Rule) -> Vec<Numbers> {
    let doubles = |name, shape: &[usize], values: &mut dyn Iterator<Item = &f64>| Numbers {
        name,
        dtype: Dtype::F64,
        shape: shape.to_vec(),
        bytes: values.flat_map(|value| value.to_le_bytes()).collect(),
    };
    match rule {
        Rule::Linear(model) => vec![
            doubles("weight", model.weights().shape(), &mut model.weights().iter()),
            doubles("bias", model.bias().shape(), &mut model.bias().iter()),
        ],
        Rule::Neighbors(model) => {
            let vectors = model.vectors();
            let labels = model.labels();
            let mut all = vec![
                Numbers {
                    name: "vectors",
                    dtype: Dtype::F32,
                    shape: vectors.shape().to_vec(),
                    bytes: vectors.iter().flat_map(|value| value.to_le_bytes()).collect(),
                },
                Numbers {
                    name: "labels",
                    dtype: Dtype::I64,
                    shape: vec![labels.len()],
                    bytes: labels.iter().flat_map(|&label| (label as i64).to_le_bytes()).collect(),
                },
            ];
            if let Some(Standardization { mean, scale }) = model.standardization() {
                all.push(doubles("mean", mean.shape(), &mut mean.iter()));
                all.push(doubles("scale", scale.shape(), &mut scale.iter()));
            }
            all
        }
    }
}

/// The model that tensors and the fields of the description make up.
///
/// # Errors
/// Says which field or tensor is wrong.
pub(crate) fn model(
    tensors: &SafeTensors,
    kind: HeadKind,
    classes: Vec<String>,
    tuned: Tuned,
    metric: Option<KnnMetric>,
    normalize: Normalize,
) -> Result<Model, String> {
    if kind == HeadKind::Knn {
        let Tuned::Neighbors(neighbors) = tuned else {
            return Err("neighbors: the field is missing, which heads of kind knn have".into());
        };
        let metric = metric.ok_or("knn_metric: the field is missing, which heads of kind knn have")?;
        return Ok(neighbors_model(tensors, classes, neighbors, metric)?.on_rows(normalize).into());
    }
    if kind.has_c() && !matches!(tuned, Tuned::C(_)) {
        return Err(format!("c: the field is missing, which heads of kind {kind} have"));
    }
    let (shape, weight) = doubles(tensors, "weight", 2)?;
    let weights = Array2::from_shape_vec((shape[0], shape[1]), weight).map_err(|error| format!("weight: {error}"))?;
    let (_, bias) = doubles(tensors, "bias", 1)?;
    let c = if let Tuned::C(c) = tuned { c } else { 1.0 };
    Ok(LinearModel::new(kind, classes, weights, Array1::from(bias), c)?.on_rows(normalize).into())
}

fn neighbors_model(
    tensors: &SafeTensors,
    classes: Vec<String>,
    neighbors: usize,
    metric: KnnMetric,
) -> Result<NeighborsModel, String> {
    let (shape, bytes) = tensor(tensors, "vectors", Dtype::F32, 2)?;
    let values = bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    let vectors = Array2::from_shape_vec((shape[0], shape[1]), values).map_err(|error| format!("vectors: {error}"))?;
    let (_, bytes) = tensor(tensors, "labels", Dtype::I64, 1)?;
    let label = |bytes: &[u8; 8]| {
        let label = i64::from_le_bytes(*bytes);
        usize::try_from(label).map_err(|_| format!("labels: {label} is no class index"))
    };
    let labels = bytes.as_chunks::<8>().0.iter().map(label).collect::<Result<_, _>>()?;
    let standardization = match tensors.names().contains(&"mean") {
        false => None,
        true => {
            let of = |name| doubles(tensors, name, 1).map(|(_, values)| Array1::from(values));
            Some(Standardization { mean: of("mean")?, scale: of("scale")? })
        }
    };
    NeighborsModel::new(classes, vectors, labels, neighbors, metric, standardization)
}

/// Shape and values of an F64 tensor.
fn doubles(tensors: &SafeTensors, name: &str, dimensions: usize) -> Result<(Vec<usize>, Vec<f64>), String> {
    let (shape, bytes) = tensor(tensors, name, Dtype::F64, dimensions)?;
    Ok((shape, bytes.as_chunks::<8>().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect()))
}

/// Shape and bytes of a tensor.
fn tensor<'a>(
    tensors: &'a SafeTensors,
    name: &str,
    dtype: Dtype,
    dimensions: usize,
) -> Result<(Vec<usize>, &'a [u8]), String> {
    let tensor = tensors.tensor(name).map_err(|_| format!("{name}: the tensor is missing"))?;
    if tensor.dtype() != dtype {
        return Err(format!("{name}: dtype {:?} instead of {dtype:?}", tensor.dtype()));
    }
    if tensor.shape().len() != dimensions {
        return Err(format!("{name}: shape {:?} instead of {dimensions} dimension(s)", tensor.shape()));
    }
    Ok((tensor.shape().to_vec(), tensor.data()))
}
