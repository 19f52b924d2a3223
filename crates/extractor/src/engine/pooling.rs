//! From a tapped value on the device to the rows that are stored.

use crate::graph::Pool;
use tch::{Kind, TchError, Tensor};

/// A pooled value: small ones stay on the device until the batch is done, so that a GPU is not waited for at every tap.
pub enum Pooled {
    Device(Tensor),
    Host(Vec<f32>),
}

impl Pooled {
    /// The values as f32, row by row; `elements` numbers are expected.
    pub fn on_host(self, elements: usize) -> Result<Vec<f32>, TchError> {
        match self {
            Self::Device(value) => to_host(&value, elements),
            Self::Host(values) => Ok(values),
        }
    }
}

/// `value` (N×C×H×W or N×D) pooled. What is not reduced is copied to the host at once, because later steps may write over
/// the value itself.
pub fn pooled(value: &Tensor, pool: Pool, elements: usize) -> Result<Pooled, TchError> {
    let pixels = [2_i64, 3].as_slice();
    Ok(Pooled::Device(match pool {
        Pool::Gap => value.f_mean_dim(pixels, false, Kind::Float)?,
        Pool::Gmp => value.f_amax(pixels, false)?,
        Pool::Gem3 => value
            .f_to_kind(Kind::Float)?
            .f_clamp_min(1e-6)?
            .f_pow_tensor_scalar(3)?
            .f_mean_dim(pixels, false, Kind::Float)?
            .f_pow_tensor_scalar(1.0 / 3.0)?,
        Pool::Grid2 => value.f_to_kind(Kind::Float)?.f_adaptive_avg_pool2d([2, 2])?,
        Pool::Grid4 => value.f_to_kind(Kind::Float)?.f_adaptive_avg_pool2d([4, 4])?,
        Pool::Flatten | Pool::Raw => return to_host(value, elements).map(Pooled::Host),
    }))
}

/// All values as f32 on the host, in N, C, H, W order whatever the layout on the device.
pub fn to_host(value: &Tensor, elements: usize) -> Result<Vec<f32>, TchError> {
    let value = value.f_to_kind(Kind::Float)?.f_to_device(tch::Device::Cpu)?.f_contiguous()?;
    let mut host = vec![0.0; elements];
    value.f_copy_data(&mut host, elements)?;
    Ok(host)
}
