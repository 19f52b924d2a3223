//! A plan's parameters as tensors on a device, batch normalisations folded into the convolutions before them.

use super::{
    EngineError,
    convolution::{Convolution, Way, channels_last, choose},
    norm::Norm,
};
use crate::{
    graph::{Activation, Graph, Kernel, NodeId, Op, Plan, Shape},
    weights::Weights,
};
use std::collections::HashMap;
use tch::{Kind, TchError, Tensor};

/// What every parameter is prepared for.
pub struct Target<'a> {
    /// Where it lives.
    pub device: tch::Device,
    /// Its precision.
    pub kind: Kind,
    /// Shapes of all nodes' values, for one image.
    pub shapes: &'a [Shape],
    /// Whether the fastest kernels may be chosen, or only libtorch's plain ones.
    pub fast: bool,
}

/// Tensors by the node they belong to.
pub struct Parameters {
    convolutions: HashMap<NodeId, Convolution>,
    linear: HashMap<NodeId, (Tensor, Option<Tensor>)>,
    norms: HashMap<NodeId, Norm>,
}

// SAFETY: as for the engine's normalisation: the tensors are only read after they have been made.
unsafe impl Sync for Parameters {}

impl Parameters {
    /// Loads what `plan` needs.
    ///
    /// # Errors
    /// When a tensor does not fit on the device.
    pub fn load(graph: &Graph, plan: &Plan, weights: &Weights, target: Target) -> Result<Self, EngineError> {
        let loader = Loader { graph, weights, target };
        let mut all = Self { convolutions: HashMap::new(), linear: HashMap::new(), norms: HashMap::new() };
        for step in &plan.steps {
            let name = &graph.node(step.output).name;
            let at = |error| EngineError::at(name, 0, error);
            match step.kernel {
                Kernel::Conv { conv, norm, activation, .. } => {
                    all.convolutions.insert(conv, loader.convolution(conv, norm, activation).map_err(at)?);
                }
                Kernel::Norm { norm, .. } => {
                    all.norms.insert(norm, loader.norm(norm).map_err(at)?);
                }
                Kernel::Node(node) if matches!(graph.node(node).op, Op::Linear { .. }) => {
                    all.linear.insert(node, loader.affine(node).map_err(at)?);
                }
                Kernel::Node(_) => {}
            }
        }
        Ok(all)
    }

    /// A convolution, with what was folded into it.
    pub fn convolution(&self, node: NodeId) -> Option<&Convolution> {
        self.convolutions.get(&node)
    }

    /// Weight and bias of a linear layer.
    pub fn linear(&self, node: NodeId) -> Option<(&Tensor, Option<&Tensor>)> {
        self.linear.get(&node).map(|(weight, bias)| (weight, bias.as_ref()))
    }

    /// A batch normalisation that is a step of its own.
    pub fn norm(&self, node: NodeId) -> Option<&Norm> {
        self.norms.get(&node)
    }
}

/// Images that convolutions' weights are laid out for; other numbers work as well.
const BATCH: i64 = 32;

struct Loader<'a> {
    graph: &'a Graph,
    weights: &'a Weights,
    target: Target<'a>,
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
        tensor.f_internal_to_copy((self.target.kind, self.target.device), false)
    }

    fn convolution(
        &self,
        node: NodeId,
        norm: Option<NodeId>,
        activation: Option<Activation>,
    ) -> Result<Convolution, TchError> {
        let Op::Conv2d(conv) = self.graph.node(node).op else {
            return Err(TchError::Torch(format!("{} is no convolution", self.graph.node(node).name)));
        };
        let (weight, bias) = match norm {
            Some(norm) => self.folded(node, norm)?,
            None => self.affine(node)?,
        };
        let target = &self.target;
        let input = match target.shapes[self.graph.node(node).inputs[0]] {
            Shape::Map([c, h, w]) => [BATCH, c as i64, h as i64, w as i64],
            Shape::Vector(d) => [BATCH, d as i64, 1, 1],
        };
        let way = if target.fast { choose(target.device, target.kind, &conv, activation) } else { Way::Plain };
        Convolution::new(conv, activation, weight, bias, way, input)
    }

    fn affine(&self, node: NodeId) -> Result<(Tensor, Option<Tensor>), TchError> {
        let bias = self.tensor(node, "bias")?.map(|bias| self.place(bias)).transpose()?;
        Ok((self.place(self.required(node, "weight")?)?, bias))
    }

    /// The convolution whose result is already batch-normalised: w·γ/√(σ²+ε) and β + (b − μ)·γ/√(σ²+ε), computed in f64.
    fn folded(&self, conv: NodeId, norm: NodeId) -> Result<(Tensor, Option<Tensor>), TchError> {
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

    fn norm(&self, node: NodeId) -> Result<Norm, TchError> {
        let Op::BatchNorm2d { eps, .. } = self.graph.node(node).op else {
            return Err(TchError::Torch(format!("{} is no batch normalisation", self.graph.node(node).name)));
        };
        let [weight, bias, mean, variance] =
            ["weight", "bias", "running_mean", "running_var"].map(|suffix| self.required(node, suffix));
        Norm::new([weight?, bias?, mean?, variance?], eps, self.target.device, self.target.fast)
    }
}
