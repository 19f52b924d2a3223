//! Which of libtorch's convolutions a step is computed with.

use super::onednn;
use crate::graph::{Activation, Conv2d};
use tch::{Device, Kind};

/// A way to compute act(conv(x) + residual).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// oneDNN with prepacked weights, everything in one call.
    OneDnn,
    /// cuDNN's fused convolution, sum and rectifier.
    Cudnn,
    /// A plain convolution, then what follows in place.
    Plain,
}

/// The best way for this convolution on this device.
pub fn choose(device: Device, kind: Kind, conv: &Conv2d, activation: Option<Activation>) -> Way {
    match device {
        Device::Cpu if onednn::available(kind) => Way::OneDnn,
        // cuDNN fuses nothing but ReLU, which is most of ReLU6, and its grouped convolutions are slower than libtorch's own.
        Device::Cuda(_) if conv.groups == 1 && activation.is_some() => Way::Cudnn,
        _ => Way::Plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cudnn_fuses_ungrouped_convolutions_with_relu() {
        let conv = Conv2d::new(8, 8, 3);
        let on_gpu = |conv: Conv2d, activation| choose(Device::Cuda(0), Kind::Half, &conv, activation);
        assert_eq!(on_gpu(conv, Some(Activation::Relu)), Way::Cudnn);
        assert_eq!(on_gpu(conv, Some(Activation::Relu6)), Way::Cudnn);
        assert_eq!(on_gpu(conv, None), Way::Plain);
        assert_eq!(on_gpu(conv.groups(8), Some(Activation::Relu)), Way::Plain);
    }

    #[test]
    fn a_kind_that_onednn_does_not_know_is_computed_plainly() {
        assert_eq!(choose(Device::Cpu, Kind::Double, &Conv2d::new(8, 8, 3), None), Way::Plain);
    }
}
