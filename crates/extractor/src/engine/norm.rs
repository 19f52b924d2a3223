//! Batch normalisations that no convolution takes in: act(bn(x)), where x may be several maps one behind the other, as in the
//! layers of a DenseNet.
//!
//! On the CPU such a step does almost nothing but move memory, and libtorch would move everything three times: to join, to
//! normalise, to rectify. Here it is once, from where the maps are to where the result is.

use super::convolution::activate;
use crate::graph::Activation;
use half::bf16;
use tch::{Device, Kind, TchError, Tensor};

/// A batch normalisation with its parameters on a device.
pub struct Norm {
    /// Weight, bias, running mean and running variance, in f32 whatever the values are in, as libtorch's autocast keeps them.
    parameters: [Tensor; 4],
    eps: f64,
    /// The same as a factor and a summand for each channel, on the host.
    factor: Vec<f32>,
    summand: Vec<f32>,
    /// Whether the fast way may be taken.
    fast: bool,
}

impl Norm {
    /// With weight, bias, running mean and running variance in f32; `fast` unless only libtorch's plain operators may be used.
    ///
    /// # Errors
    /// When libtorch cannot place them.
    pub fn new(parameters: [Tensor; 4], eps: f64, device: Device, fast: bool) -> Result<Self, TchError> {
        let [weight, bias, mean, variance] = parameters.each_ref().map(|tensor| tensor.f_to_kind(Kind::Double));
        let factor = weight?.f_div(&variance?.f_add_scalar(eps)?.f_sqrt()?)?;
        let summand = bias?.f_sub(&mean?.f_mul(&factor)?)?;
        let host = |tensor: Tensor| Vec::<f32>::try_from(tensor.f_to_kind(Kind::Float)?);
        let (factor, summand) = (host(factor)?, host(summand)?);
        let [weight, bias, mean, variance] = parameters.map(|tensor| tensor.f_to_device(device));
        Ok(Self { parameters: [weight?, bias?, mean?, variance?], eps, factor, summand, fast })
    }

    /// act(bn(maps)), of N×C×H×W maps with as many channels together as this has.
    ///
    /// # Errors
    /// When libtorch does.
    pub fn run(&self, maps: &[&Tensor], activation: Option<Activation>) -> Result<Tensor, TchError> {
        if self.fast
            && let Some(result) = self.in_one_step(maps, activation)?
        {
            return Ok(result);
        }
        let joined = if let [map] = maps { map.shallow_clone() } else { Tensor::f_cat(maps, 1)? };
        let [weight, bias, mean, variance] = self.parameters.each_ref().map(Some);
        activate(joined.f_batch_norm(weight, bias, mean, variance, false, 0.0, self.eps, false)?, activation)
    }

    /// None where the maps are not on the CPU, or not laid out with the channels innermost.
    fn in_one_step(&self, maps: &[&Tensor], activation: Option<Activation>) -> Result<Option<Tensor>, TchError> {
        let kind = maps[0].kind();
        let alike = |map: &&Tensor| map.device() == Device::Cpu && map.kind() == kind && channels_innermost(map);
        if !maps.iter().all(alike) || !matches!(kind, Kind::Float | Kind::BFloat16) {
            return Ok(None);
        }
        let (n, _, h, w) = maps[0].size4()?;
        let widths = maps.iter().map(|map| Ok(map.size4()?.1 as usize)).collect::<Result<Vec<_>, TchError>>()?;
        if widths.iter().sum::<usize>() != self.factor.len() {
            return Ok(None);
        }
        let result = Tensor::f_empty([n, h, w, self.factor.len() as i64], (kind, Device::Cpu))?;
        match kind {
            Kind::Float => self.fill::<f32>(maps, &widths, &result, activation),
            _ => self.fill::<bf16>(maps, &widths, &result, activation),
        }
        result.f_permute([0, 3, 1, 2]).map(Some)
    }

    fn fill<T: Value>(&self, maps: &[&Tensor], widths: &[usize], result: &Tensor, activation: Option<Activation>) {
        // SAFETY: the tensor holds that many values of this type (its kind was looked at), one after another: it is contiguous, or has
        // the channels innermost. Nobody writes to the maps here, and nobody else knows the result.
        let values =
            |tensor: &Tensor| unsafe { std::slice::from_raw_parts(tensor.data_ptr() as *const T, tensor.numel()) };
        let maps: Vec<(&[T], usize)> = maps.iter().map(|map| values(map)).zip(widths.iter().copied()).collect();
        // SAFETY: as above; whatever bits are there are a number.
        let result = unsafe { std::slice::from_raw_parts_mut(result.data_ptr() as *mut T, result.numel()) };
        let bounds = match activation {
            None => (f32::NEG_INFINITY, f32::INFINITY),
            Some(Activation::Relu) => (0.0, f32::INFINITY),
            Some(Activation::Relu6) => (0.0, 6.0),
        };
        normalise(&maps, &self.factor, &self.summand, bounds, result);
    }
}

/// Whether the channels of a pixel lie one after another, and pixels after pixels.
fn channels_innermost(map: &Tensor) -> bool {
    let Ok((_, c, h, w)) = map.size4() else { return false };
    let wanted = [h * w * c, 1, w * c, c];
    // How far apart the only entry and the next would be says nothing.
    map.size().iter().zip(map.stride()).zip(wanted).all(|((&size, stride), wanted)| size == 1 || stride == wanted)
}

/// A number that values are stored as.
trait Value: Copy {
    fn get(self) -> f32;
    fn of(number: f32) -> Self;
}

impl Value for f32 {
    fn get(self) -> f32 {
        self
    }

    fn of(number: f32) -> Self {
        number
    }
}

impl Value for bf16 {
    fn get(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }

    /// The nearest, of two equally near the even one. `half` asks first whether it is a number at all, and is not vectorised then.
    fn of(number: f32) -> Self {
        let bits = number.to_bits();
        let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
        let quiet = (bits >> 16) | 0x40;
        Self::from_bits(if number.is_nan() { quiet } else { rounded } as u16)
    }
}

/// For each pixel the maps' values side by side, times `factor` plus `summand`, within the bounds.
fn normalise<T: Value>(maps: &[(&[T], usize)], factor: &[f32], summand: &[f32], bounds: (f32, f32), result: &mut [T]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        #[target_feature(enable = "avx2")]
        fn wide<T: Value>(maps: &[(&[T], usize)], f: &[f32], s: &[f32], bounds: (f32, f32), result: &mut [T]) {
            pixels(maps, f, s, bounds, result);
        }
        // SAFETY: the processor was asked.
        return unsafe { wide(maps, factor, summand, bounds, result) };
    }
    pixels(maps, factor, summand, bounds, result);
}

#[inline(always)]
fn pixels<T: Value>(
    maps: &[(&[T], usize)],
    factor: &[f32],
    summand: &[f32],
    (low, high): (f32, f32),
    result: &mut [T],
) {
    for (pixel, mut result) in result.chunks_exact_mut(factor.len()).enumerate() {
        let mut first = 0;
        for &(map, width) in maps {
            let (part, rest) = result.split_at_mut(width);
            let values = &map[pixel * width..(pixel + 1) * width];
            let constants = factor[first..first + width].iter().zip(&summand[first..first + width]);
            for ((result, &value), (&factor, &summand)) in part.iter_mut().zip(values).zip(constants) {
                let value = value.get() * factor + summand;
                // What is no number stays none.
                let value = if value < low { low } else { value };
                *result = T::of(if value > high { high } else { value });
            }
            (first, result) = (first + width, rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::convolution::channels_last;

    fn norm(channels: i64, fast: bool) -> Norm {
        let along = |from: f64, step: f64| Tensor::arange(channels, (Kind::Float, Device::Cpu)) * step + from;
        let parameters = [along(0.5, 0.1), along(-0.3, 0.05), along(0.1, -0.02), along(0.2, 0.3)];
        Norm::new(parameters, 1e-5, Device::Cpu, fast).unwrap()
    }

    /// Maps of 2 images with these numbers of channels, 3×5 pixels.
    fn maps(widths: &[i64], kind: Kind) -> Vec<Tensor> {
        let map = |(number, &width): (usize, &i64)| {
            let values = Tensor::arange(2 * width * 15, (Kind::Float, Device::Cpu)) * (0.37 + number as f64);
            channels_last(&(values.sin() * 3).reshape([2, width, 3, 5])).unwrap().to_kind(kind)
        };
        widths.iter().enumerate().map(map).collect()
    }

    fn largest_difference(a: &Tensor, b: &Tensor) -> f64 {
        (a.to_kind(Kind::Double) - b.to_kind(Kind::Double)).abs().max().double_value(&[])
    }

    #[test]
    fn one_step_gives_what_three_give() {
        for (widths, total) in [(vec![8], 8), (vec![5, 1, 34], 40), (vec![64, 32, 32], 128)] {
            for activation in [None, Some(Activation::Relu), Some(Activation::Relu6)] {
                for (kind, tolerance) in [(Kind::Float, 1e-5), (Kind::BFloat16, 0.05)] {
                    let maps = maps(&widths, kind);
                    let maps: Vec<&Tensor> = maps.iter().collect();
                    let fast = norm(total, true).in_one_step(&maps, activation).unwrap().unwrap();
                    let plain = norm(total, false).run(&maps, activation).unwrap();
                    assert_eq!((fast.size(), fast.kind()), (plain.size(), kind));
                    assert!(channels_innermost(&fast));
                    let difference = largest_difference(&fast, &plain);
                    assert!(difference <= tolerance, "{widths:?} {activation:?} {kind:?}: {difference}");
                }
            }
        }
    }

    #[test]
    fn maps_laid_out_otherwise_go_the_usual_way() {
        let map = maps(&[4], Kind::Float).remove(0);
        let rows = map.contiguous();
        let norm = norm(4, true);
        assert!(norm.in_one_step(&[&rows], None).unwrap().is_none());
        assert!(norm.in_one_step(&[&map.to_kind(Kind::Double)], None).unwrap().is_none());
        let (a, b) = (norm.run(&[&rows], None).unwrap(), norm.run(&[&map], None).unwrap());
        assert!(largest_difference(&a, &b) < 1e-5);
    }

    #[test]
    fn bf16_is_rounded_as_everywhere_and_what_is_no_number_stays_none() {
        for bits in
            (0..=u32::MAX).step_by(65_537).chain([0x3f80_8000, 0x3f81_8000, 0x7f7f_ffff, 0x7f80_0001, 0xffc0_0000])
        {
            let number = f32::from_bits(bits);
            let (ours, theirs) = (<bf16 as Value>::of(number), bf16::from_f32(number));
            assert!(ours.to_bits() == theirs.to_bits() || (ours.is_nan() && theirs.is_nan()), "{bits:#x}");
            assert_eq!(ours.get().to_bits(), ours.to_f32().to_bits());
        }
        let mut result = [0.0_f32; 3];
        normalise(&[(&[f32::NAN, -1.0, 9.0], 3)], &[1.0; 3], &[0.0; 3], (0.0, 6.0), &mut result);
        assert!(result[0].is_nan() && result[1..] == [0.0, 6.0]);
    }
}
