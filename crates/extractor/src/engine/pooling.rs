//! From a tapped value on the device to the rows that are stored.

use crate::graph::Pool;
use tch::{Kind, TchError, Tensor};

/// `value` (N×C×H×W or N×D) pooled: f32 rows one after another, in N, C, H, W order whatever the layout of `value` is. What is not
/// reduced may be `value` itself, which later steps may write over.
pub fn pooled(value: &Tensor, pool: Pool) -> Result<Tensor, TchError> {
    let pixels = [2_i64, 3].as_slice();
    let pooled = match pool {
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
        Pool::Flatten | Pool::Raw => value.shallow_clone(),
    };
    // In this order a map takes less memory on its way.
    pooled.f_contiguous()?.f_to_kind(Kind::Float)
}

/// All values as f32 on the host, in N, C, H, W order whatever the layout on the device.
pub fn to_host(value: &Tensor, elements: usize) -> Result<Vec<f32>, TchError> {
    let value = value.f_to_kind(Kind::Float)?.f_to_device(tch::Device::Cpu)?.f_contiguous()?;
    let mut host = vec![0.0; elements];
    value.f_copy_data(&mut host, elements)?;
    Ok(host)
}
