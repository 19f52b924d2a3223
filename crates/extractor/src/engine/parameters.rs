//! A plan's parameters as tensors on a device, batch normalisations folded into the convolutions before them.

use super::EngineError;
use crate::{
    graph::{Graph, Kernel, NodeId, Op, Plan},
    weights::Weights,
};
use std::collections::HashMap;
use tch::{Kind, TchError, Tensor};

/// Tensors by the node they belong to.
pub struct Parameters {
    affine: HashMap<NodeId, (Tensor, Option<Tensor>)>,
    batch_norm: HashMap<NodeId, [Tensor; 4]>,
}

// SAFETY: as for the engine's normalisation: the tensors are only read after they have been made.
unsafe impl Sync for Parameters {}

impl Parameters {
    /// Loads what `plan` needs.
    ///
    /// # Errors
    /// When a tensor does not fit on the device.
    pub fn load(
        graph: &Graph,
        plan: &Plan,
        weights: &Weights,
        device: tch::Device,
        kind: Kind,
    ) -> Result<Self, EngineError> {
        let mut loader = Loader { graph, weights, device, kind };
        let mut all = Self { affine: HashMap::new(), batch_norm: HashMap::new() };
        for step in &plan.steps {
            let name = &graph.node(step.output).name;
            let at = |error| EngineError::at(name, 0, error);
            match step.kernel {
                Kernel::Conv { conv, norm: Some(norm), .. } => {
                    all.affine.insert(conv, loader.folded(conv, norm).map_err(at)?);
                }
                Kernel::Conv { conv: node, norm: None, .. } => {
                    all.affine.insert(node, loader.affine(node).map_err(at)?);
                }
                Kernel::Node(node) => match graph.node(node).op {
                    Op::Linear { .. } => {
                        all.affine.insert(node, loader.affine(node).map_err(at)?);
                    }
                    Op::BatchNorm2d { .. } => {
                        all.batch_norm.insert(node, loader.batch_norm(node).map_err(at)?);
                    }
                    _ => {}
                },
            }
        }
        Ok(all)
    }

    /// Weight and bias of a convolution or linear layer.
    pub fn affine(&self, node: NodeId) -> Option<(&Tensor, Option<&Tensor>)> {
        self.affine.get(&node).map(|(weight, bias)| (weight, bias.as_ref()))
    }

    /// Weight, bias, running mean and running variance.
    pub fn batch_norm(&self, node: NodeId) -> Option<&[Tensor; 4]> {
        self.batch_norm.get(&node)
    }
}

struct Loader<'a> {
    graph: &'a Graph,
    weights: &'a Weights,
    device: tch::Device,
    kind: Kind,
}

impl Loader<'_> {
    /// One parameter on the CPU in f32; the engine has checked that it is there.
    fn tensor(&self, node: NodeId, suffix: &str) -> Result<Option<Tensor>, TchError> {
        let key = format!("{}.{suffix}", self.graph.node(node).name);
        let Some(tensor) = self.weights.tensor(&key) else { return Ok(None) };
        let shape: Vec<i64> = tensor.shape.iter().map(|&d| d as i64).collect();
        Tensor::f_from_slice(&tensor.data)?.f_reshape(shape).map(Some)
    }

    fn required(&self, node: NodeId, suffix: &str) -> Result<Tensor, TchError> {
        self.tensor(node, suffix)?
            .ok_or_else(|| TchError::Torch(format!("no parameter {}.{suffix}", self.graph.node(node).name)))
    }

    fn place(&self, tensor: Tensor) -> Result<Tensor, TchError> {
        let tensor = if tensor.dim() == 4 { channels_last(&tensor)? } else { tensor };
        tensor.f_internal_to_copy((self.kind, self.device), false)
    }

    fn affine(&mut self, node: NodeId) -> Result<(Tensor, Option<Tensor>), TchError> {
        let bias = self.tensor(node, "bias")?.map(|bias| self.place(bias)).transpose()?;
        Ok((self.place(self.required(node, "weight")?)?, bias))
    }

    /// The convolution whose result is already batch-normalised: w·γ/√(σ²+ε) and β + (b − μ)·γ/√(σ²+ε), computed in f64.
    fn folded(&mut self, conv: NodeId, norm: NodeId) -> Result<(Tensor, Option<Tensor>), TchError> {
        let Op::BatchNorm2d { eps, .. } = self.graph.node(norm).op else { return self.affine(conv) };
        let double = |tensor: Tensor| tensor.f_to_kind(Kind::Double);
        let gamma = double(self.required(norm, "weight")?)?;
        let beta = double(self.required(norm, "bias")?)?;
        let mean = double(self.required(norm, "running_mean")?)?;
        let variance = double(self.required(norm, "running_var")?)?;
        let factor = gamma.f_div(&variance.f_add_scalar(eps)?.f_sqrt()?)?;
        let weight = double(self.required(conv, "weight")?)?.f_mul(&factor.f_reshape([-1, 1, 1, 1])?)?;
        let centred = match self.tensor(conv, "bias")? {
            Some(bias) => double(bias)?.f_sub(&mean)?,
            None => mean.f_neg()?,
        };
        let bias = beta.f_add(&centred.f_mul(&factor)?)?;
        Ok((self.place(weight)?, Some(self.place(bias)?)))
    }

    /// Statistics stay in f32 whatever the precision of the values, as libtorch's autocast keeps them.
    fn batch_norm(&mut self, node: NodeId) -> Result<[Tensor; 4], TchError> {
        let place = |suffix| self.required(node, suffix)?.f_to_device(self.device);
        Ok([place("weight")?, place("bias")?, place("running_mean")?, place("running_var")?])
    }
}

/// The same 4-dimensional values, laid out with the channels innermost.
pub fn channels_last(tensor: &Tensor) -> Result<Tensor, TchError> {
    tensor.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_permute([0, 3, 1, 2])
}
