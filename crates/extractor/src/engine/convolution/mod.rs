//! Convolutions with their weights on a device: act(conv(x) + residual), each in the way that was chosen for it when the
//! plan was loaded.

mod choice;
mod onednn;

use crate::graph::{Activation, Conv2d};
pub use choice::{Way, choose};
use std::sync::atomic::{AtomicBool, Ordering};
use tch::{TchError, Tensor};

/// A convolution ready to run.
pub struct Convolution {
    conv: Conv2d,
    activation: Option<Activation>,
    weight: Tensor,
    bias: Option<Tensor>,
    way: Way,
    /// Whether cuDNN has no fused kernel for this one.
    refused: AtomicBool,
}

/// What is added to a convolution's result.
pub enum Residual<'a> {
    /// Read by others later.
    Kept(&'a Tensor),
    /// May be written over.
    Given(Tensor),
}

impl Convolution {
    /// A convolution with `weight` (channels innermost) and `bias` on the device that `way` was chosen for. `input` is the shape
    /// (N, C, H, W) that it will mostly see.
    ///
    /// # Errors
    /// When libtorch cannot pack the weights.
    pub fn new(
        conv: Conv2d,
        activation: Option<Activation>,
        weight: Tensor,
        bias: Option<Tensor>,
        way: Way,
        input: [i64; 4],
    ) -> Result<Self, TchError> {
        let weight = if way == Way::OneDnn { onednn::pack(&weight, &conv, input)? } else { weight };
        Ok(Self { conv, activation, weight, bias, way, refused: AtomicBool::new(false) })
    }

    /// Applies it to `x` (N×C×H×W).
    ///
    /// # Errors
    /// When libtorch does.
    pub fn run(&self, x: &Tensor, residual: Option<Residual>) -> Result<Tensor, TchError> {
        match self.way {
            Way::OneDnn => {
                let sum = residual.map(Residual::owned).transpose()?;
                onednn::convolve(&self.conv, x, &self.weight, self.bias.as_ref(), sum, self.activation)
            }
            Way::Cudnn if !self.refused.load(Ordering::Relaxed) => {
                match self.cudnn(x, residual.as_ref().map(Residual::tensor)) {
                    Err(error) if !error.to_string().contains("out of memory") => {
                        // It has no kernel for some shapes; asking again would cost time at every batch.
                        tracing::debug!("cuDNN fuses no {:?}, so it is computed in steps: {error}", self.conv);
                        self.refused.store(true, Ordering::Relaxed);
                        self.plain(x, residual)
                    }
                    outcome => outcome,
                }
            }
            Way::Cudnn | Way::Plain => self.plain(x, residual),
        }
    }

    fn cudnn(&self, x: &Tensor, residual: Option<&Tensor>) -> Result<Tensor, TchError> {
        let (stride, padding, bias) = self.arguments();
        let (weight, groups) = (&self.weight, self.conv.groups as i64);
        let mut rectified = match residual {
            None => x.f_cudnn_convolution_relu(weight, bias, stride, padding, [1, 1], groups)?,
            Some(z) => x.f_cudnn_convolution_add_relu(weight, z, 1.0, bias, stride, padding, [1, 1], groups)?,
        };
        match self.activation {
            Some(Activation::Relu6) => rectified.f_clamp_max_(6.0),
            _ => Ok(rectified),
        }
    }

    fn plain(&self, x: &Tensor, residual: Option<Residual>) -> Result<Tensor, TchError> {
        let (stride, padding, bias) = self.arguments();
        let mut y = x.f_conv2d(&self.weight, bias, stride, padding, [1, 1], self.conv.groups as i64)?;
        if let Some(residual) = &residual {
            y = y.f_add_(residual.tensor())?;
        }
        activate(y, self.activation)
    }

    fn arguments(&self) -> ([i64; 2], [i64; 2], Option<&Tensor>) {
        ([self.conv.stride as i64; 2], [self.conv.padding as i64; 2], self.bias.as_ref())
    }
}

impl Residual<'_> {
    fn tensor(&self) -> &Tensor {
        match self {
            Self::Kept(tensor) => tensor,
            Self::Given(tensor) => tensor,
        }
    }

    fn owned(self) -> Result<Tensor, TchError> {
        match self {
            Self::Kept(tensor) => tensor.f_internal_to_copy((tensor.kind(), tensor.device()), false),
            Self::Given(tensor) => Ok(tensor),
        }
    }
}

/// Applies an activation in place.
pub fn activate(mut value: Tensor, activation: Option<Activation>) -> Result<Tensor, TchError> {
    match activation {
        None => Ok(value),
        Some(Activation::Relu) => value.f_relu_(),
        Some(Activation::Relu6) => value.f_clamp_(0.0, 6.0),
    }
}

/// The same 4-dimensional values, laid out with the channels innermost.
pub fn channels_last(tensor: &Tensor) -> Result<Tensor, TchError> {
    tensor.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_permute([0, 3, 1, 2])
}
