//! A plan executed with libtorch: batches of 8-bit images in, the pooled values of the taps out.

mod agreement;
mod convolution;
mod cudart;
mod device;
mod feed;
mod norm;
mod parameters;
mod pooling;

pub use agreement::{Agreement, SAME_FEATURES, agreements};
pub use device::{DeviceChoice, DeviceError, DeviceReport, Precision, cpu_precisions, report, resolve};
pub use feed::{DEPTH, Feed, buffers};

use crate::{
    graph::{Graph, Kernel, NodeId, Op, Pass, Plan, ShapeError, Step, Tap},
    weights::Weights,
};
use convolution::Residual;
use cudart::CudaError;
use headstart_cache::Preprocessing;
use parameters::{Parameters, Target};
use tch::{Kind, TchError, Tensor};

/// What can go wrong while a plan is loaded or run.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The accelerator's memory is too small for the batch.
    #[error("the device ran out of memory with a batch of {batch}; use a smaller --batch")]
    OutOfMemory {
        /// Images in the batch.
        batch: usize,
    },
    /// The network cannot take images of this size.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// Anything else libtorch reports.
    #[error("libtorch failed at {place}: {reason}")]
    Torch {
        /// The node or stage.
        place: String,
        /// The first line of libtorch's message.
        reason: String,
    },
}

impl EngineError {
    fn at(place: &str, batch: usize, error: TchError) -> Self {
        let text = error.to_string();
        if text.contains("out of memory") || text.contains("can't allocate memory") {
            return Self::OutOfMemory { batch };
        }
        let reason = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().trim().to_string();
        Self::Torch { place: place.to_string(), reason }
    }
}

/// A plan with its parameters on a device, ready to run.
pub struct Engine {
    graph: Graph,
    plan: Plan,
    taps: Vec<Tap>,
    parameters: Parameters,
    normalisation: Normalisation,
    device: tch::Device,
    kind: Kind,
}

/// The tensors that turn 8-bit pixels into the network's input: (x/255 − mean) / std, per channel.
struct Normalisation {
    scale: Tensor,
    shift: Tensor,
    channels: i64,
    size: i64,
}

// SAFETY: the tensors are only read after they have been made, and libtorch lets threads read the same tensor (its reference
// counts are atomic). Tensors are not Sync in tch because others could be written to.
unsafe impl Sync for Normalisation {}

impl Engine {
    /// Prepares `taps` of `graph` to run on `device` in `precision`.
    ///
    /// # Errors
    /// When a parameter is not there (`Backbone::select` refuses such taps), or the device refuses it.
    pub fn new(
        graph: &Graph,
        taps: &[Tap],
        weights: &Weights,
        preprocessing: &Preprocessing,
        device: tch::Device,
        precision: Precision,
    ) -> Result<Self, EngineError> {
        Self::with(graph, taps, weights, preprocessing, device, precision, &Pass::ALL)
    }

    /// [`Self::new`] with these passes over the plan only. Without any, every node is computed by itself, with libtorch's plain
    /// operators and the weights as they are: what the fast way is compared with.
    ///
    /// # Errors
    /// Those of [`Self::new`].
    pub fn with(
        graph: &Graph,
        taps: &[Tap],
        weights: &Weights,
        preprocessing: &Preprocessing,
        device: tch::Device,
        precision: Precision,
        passes: &[Pass],
    ) -> Result<Self, EngineError> {
        let _no_grad = tch::no_grad_guard();
        let nodes: Vec<NodeId> = taps.iter().map(|tap| tap.node).collect();
        let plan = Plan::with(graph, &nodes, passes);
        let kind = precision.kind();
        let size = preprocessing.size as usize;
        let shapes = graph.shapes([preprocessing.channels as usize, size, size])?;
        let target = Target { device, kind, shapes: &shapes, fast: !passes.is_empty() };
        let parameters = Parameters::load(graph, &plan, weights, target)?;
        let normalisation = Normalisation::new(preprocessing, device)?;
        Ok(Self { graph: graph.clone(), plan, taps: taps.to_vec(), parameters, normalisation, device, kind })
    }

    /// Numbers per image of each tap, in the order asked for.
    pub fn widths(&self) -> impl Iterator<Item = usize> {
        self.taps.iter().map(Tap::width)
    }

    /// Bytes of one image: H × W × C.
    pub fn image_bytes(&self) -> usize {
        let n = &self.normalisation;
        (n.size * n.size * n.channels) as usize
    }

    /// Runs `images`, a batch of H×W×C 8-bit images one after another, and returns for each tap its pooled values as f32,
    /// images × [`Tap::width`], row by row.
    ///
    /// # Errors
    /// When libtorch does; the error names the node.
    pub fn run(&self, images: &[u8]) -> Result<Vec<Vec<f32>>, EngineError> {
        let _no_grad = tch::no_grad_guard();
        let batch = images.len() / self.image_bytes();
        let n = &self.normalisation;
        let input = Tensor::f_from_data_size(images, &n.rows(batch), Kind::Uint8)
            .and_then(|pixels| n.apply(&pixels.f_to_device(self.device)?, self.kind))
            .map_err(|e| EngineError::at("x", batch, e))?;
        // Values are copied at once: later steps may write over them.
        self.forward(input, |tap, value| {
            let tap = &self.taps[tap];
            Ok(pooling::to_host(&pooling::pooled(value, tap.pool)?, batch * tap.width())?)
        })
    }

    /// Where it computes.
    pub fn device(&self) -> tch::Device {
        self.device
    }

    /// Runs a normalised input, N×C×H×W f32 values in row-major order, and returns the unpooled values of the taps. For
    /// comparing with other implementations, image decoding left out.
    ///
    /// # Errors
    /// When libtorch does; the error names the node.
    pub fn run_normalised(&self, input: &[f32], shape: [usize; 4]) -> Result<Vec<Vec<f32>>, EngineError> {
        let _no_grad = tch::no_grad_guard();
        let batch = shape[0];
        let at = |e| EngineError::at("x", batch, e);
        let input = Tensor::f_from_slice(input)
            .and_then(|t| t.f_reshape(shape.map(|d| d as i64)))
            .and_then(|t| convolution::channels_last(&t))
            .and_then(|t| t.f_internal_to_copy((self.kind, self.device), false))
            .map_err(at)?;
        self.forward(input, |tap, value| Ok(pooling::to_host(value, batch * self.taps[tap].shape.elements())?))
    }

    /// Runs the plan and calls `take` with the number of each tap as soon as its value is there, so that large values need not be
    /// kept. The results are in the order of the taps.
    fn forward<T>(
        &self,
        input: Tensor,
        mut take: impl FnMut(usize, &Tensor) -> Result<T, StepError>,
    ) -> Result<Vec<T>, EngineError> {
        let batch = input.size()[0] as usize;
        let mut taken: Vec<Option<T>> = self.taps.iter().map(|_| None).collect();
        let mut take_at = |node: NodeId, value: &Tensor| {
            for (number, tap) in self.taps.iter().enumerate().filter(|(_, tap)| tap.node == node) {
                taken[number] = Some(take(number, value).map_err(|error| error.at(&tap.layer, batch))?);
            }
            Ok::<(), EngineError>(())
        };
        let mut values: Vec<Option<Tensor>> = (0..self.graph.nodes().len()).map(|_| None).collect();
        take_at(0, &input)?;
        values[0] = Some(input);
        for step in &self.plan.steps {
            let name = &self.graph.node(step.output).name;
            let value = self.step(step, &mut values).map_err(|error| error.at(name, batch))?;
            take_at(step.output, &value)?;
            values[step.output] = Some(value);
            for &node in &step.free {
                values[node] = None;
            }
        }
        taken.into_iter().zip(&self.taps).map(|(value, tap)| value.ok_or_else(|| lost(&tap.layer))).collect()
    }

    fn step(&self, step: &Step, values: &mut [Option<Tensor>]) -> Result<Tensor, StepError> {
        // What may be written over is taken away: nothing reads it afterwards.
        let mut given = match step.overwrites {
            Some(side) => Some(values[step.inputs[side]].take().ok_or(StepError::Lost)?),
            None => None,
        };
        let value = |side: usize| step.inputs.get(side).and_then(|&node| values[node].as_ref()).ok_or(StepError::Lost);
        match step.kernel {
            Kernel::Conv { conv, residual, .. } => {
                let residual = match (residual, given) {
                    (false, _) => None,
                    (true, Some(given)) => Some(Residual::Given(given)),
                    (true, None) => Some(Residual::Kept(value(1)?)),
                };
                Ok(self.parameters.convolution(conv).ok_or(StepError::Lost)?.run(value(0)?, residual)?)
            }
            Kernel::Norm { norm, activation } => {
                let maps = (0..step.inputs.len()).map(value).collect::<Result<Vec<_>, _>>()?;
                Ok(self.parameters.norm(norm).ok_or(StepError::Lost)?.run(&maps, activation)?)
            }
            Kernel::Node(node) => {
                let op = self.graph.node(node).op;
                if let Some(x) = &mut given {
                    match op {
                        Op::Relu => return Ok(x.f_relu_()?),
                        Op::Relu6 => return Ok(x.f_clamp_(0.0, 6.0)?),
                        Op::Tanh => return Ok(x.f_tanh_()?),
                        Op::Add => return Ok(x.f_add_(value(1)?)?),
                        _ => {}
                    }
                }
                let x = given.as_ref().map_or_else(|| value(0), Ok)?;
                let others = (1..step.inputs.len()).map(value);
                self.node(node, &std::iter::once(Ok(x)).chain(others).collect::<Result<Vec<_>, _>>()?)
            }
        }
    }

    /// The operation of one node.
    fn node(&self, node: NodeId, inputs: &[&Tensor]) -> Result<Tensor, StepError> {
        let x = inputs[0];
        Ok(match self.graph.node(node).op {
            Op::Input | Op::Dropout => x.shallow_clone(),
            Op::Linear { .. } => {
                let (weight, bias) = self.parameters.linear(node).ok_or(StepError::Lost)?;
                x.f_linear(weight, bias)?
            }
            Op::Relu => x.f_relu()?,
            Op::Relu6 => x.f_relu6()?,
            Op::Tanh => x.f_tanh()?,
            Op::MaxPool2d { kernel, stride, padding, ceil } => {
                let (kernel, stride, padding) = (kernel as i64, stride as i64, padding as i64);
                x.f_max_pool2d([kernel; 2], [stride; 2], [padding; 2], [1, 1], ceil)?
            }
            Op::AvgPool2d { kernel, stride } => {
                x.f_avg_pool2d([kernel as i64; 2], [stride as i64; 2], [0, 0], false, true, None)?
            }
            Op::AdaptiveAvgPool2d { side } => x.f_adaptive_avg_pool2d([side as i64; 2])?,
            Op::Add => x.f_add(inputs[1])?,
            Op::Concat => Tensor::f_cat(inputs, 1)?,
            Op::Flatten => x.f_flatten(1, -1)?,
            // Their steps are `Kernel::Conv` and `Kernel::Norm`.
            Op::Conv2d(_) | Op::BatchNorm2d { .. } => return Err(StepError::Lost),
        })
    }
}

/// A step's failure before the node's name is known to the message.
enum StepError {
    Torch(TchError),
    Cuda(CudaError),
    /// A value or parameter the plan promises is not there; would be a bug in the plan.
    Lost,
}

impl StepError {
    fn at(self, node: &str, batch: usize) -> EngineError {
        match self {
            Self::Torch(error) => EngineError::at(node, batch, error),
            Self::Cuda(error) => EngineError::at(node, batch, TchError::Torch(error.to_string())),
            Self::Lost => lost(node),
        }
    }
}

impl From<CudaError> for StepError {
    fn from(error: CudaError) -> Self {
        Self::Cuda(error)
    }
}

impl From<TchError> for StepError {
    fn from(error: TchError) -> Self {
        Self::Torch(error)
    }
}

fn lost(node: &str) -> EngineError {
    EngineError::Torch { place: node.to_string(), reason: "a value it needs is gone (a bug in the plan)".into() }
}

impl Normalisation {
    fn new(preprocessing: &Preprocessing, device: tch::Device) -> Result<Self, EngineError> {
        let (size, channels) = (preprocessing.size as usize, preprocessing.channels as usize);
        let constants = preprocessing.mean.iter().zip(&preprocessing.std);
        let (scale, shift): (Vec<f32>, Vec<f32>) = constants.map(|(m, s)| (1.0 / (255.0 * s), -m / s)).unzip();
        // For every value of a row of pixels: libtorch is three times as fast with long vectors as with three numbers.
        let place = |values: &[f32]| {
            Tensor::f_from_slice(&values.repeat(size))
                .and_then(|t| t.f_to_device(device))
                .map_err(|e| EngineError::at("x", 0, e))
        };
        let (scale, shift) = (place(&scale)?, place(&shift)?);
        Ok(Self { scale, shift, channels: channels as i64, size: size as i64 })
    }

    /// The shape of the pixels of a batch as they are normalised: all rows of all images.
    fn rows(&self, batch: usize) -> [i64; 2] {
        [batch as i64 * self.size, self.size * self.channels]
    }

    /// Normalises 8-bit pixels (a quarter of the bytes of f32 to upload) on the device where they are. N×H×W×C seen as N×C×H×W is
    /// the channels-last layout that convolutions run fastest in.
    fn apply(&self, pixels: &Tensor, kind: Kind) -> Result<Tensor, TchError> {
        let normalised = pixels.f_to_kind(Kind::Float)?.f_mul_(&self.scale)?.f_add_(&self.shift)?.f_to_kind(kind)?;
        normalised.f_reshape([-1, self.size, self.size, self.channels])?.f_permute([0, 3, 1, 2])
    }
}

#[cfg(test)]
mod tests;
