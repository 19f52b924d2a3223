//! oneDNN's convolutions with prepacked weights, and a sum and a rectifier applied while the result is written. libtorch
//! keeps them for its own compiler (`mkldnn::_convolution_pointwise`); tch does not know them, but libtorch exports them
//! with a C interface that it promises not to change (torch/csrc/inductor/aoti_torch/c/shim_cpu.h). They are looked up at
//! run time and tried once, so where a libtorch has none the usual convolution serves.

use crate::graph::{Activation, Conv2d};
use libloading::os::unix::Library;
use std::{
    ffi::{c_char, c_int},
    ptr::{null, null_mut},
    sync::OnceLock,
};
use tch::{Kind, TchError, Tensor};
use torch_sys::C_tensor;

/// `AtenTensorHandle`: the pointer to an `at::Tensor` that tch holds too.
type Handle = *mut C_tensor;

type Pointwise = unsafe extern "C" fn(
    x: Handle,
    weight: Handle,
    bias: *const Handle,
    padding: *const i64,
    padding_len: i64,
    stride: *const i64,
    stride_len: i64,
    dilation: *const i64,
    dilation_len: i64,
    groups: i64,
    activation: *const c_char,
    scalars: *const *const f64,
    scalars_len: i64,
    algorithm: *const *const c_char,
    result: *mut Handle,
) -> c_int;

type AddInPlace = unsafe extern "C" fn(
    sum: Handle,
    x: Handle,
    weight: Handle,
    bias: *const Handle,
    padding: *const i64,
    padding_len: i64,
    stride: *const i64,
    stride_len: i64,
    dilation: *const i64,
    dilation_len: i64,
    groups: i64,
    operation: *const c_char,
    alpha: *const f64,
    activation: *const *const c_char,
    scalars: *const *const f64,
    scalars_len: i64,
    algorithm: *const *const c_char,
    result: *mut Handle,
) -> c_int;

#[derive(Clone, Copy)]
struct Functions {
    pointwise: Pointwise,
    add_in_place: AddInPlace,
}

fn functions() -> Option<Functions> {
    static FOUND: OnceLock<Option<Functions>> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let process = Library::this();
        // SAFETY: the types are those of shim_cpu.h in libtorch 2.11, and libtorch stays loaded for the life of the process.
        unsafe {
            Some(Functions {
                pointwise: *process.get(b"aoti_torch_cpu_mkldnn__convolution_pointwise").ok()?,
                add_in_place: *process.get(b"aoti_torch_cpu_mkldnn__convolution_pointwise_binary_").ok()?,
            })
        }
    })
}

/// The weights in the layout that oneDNN prefers for inputs of this shape (N, C, H, W); other inputs work too, only slower.
pub fn pack(weight: &Tensor, conv: &Conv2d, input: [i64; 4]) -> Result<Tensor, TchError> {
    let (padding, stride) = ([conv.padding as i64; 2], [conv.stride as i64; 2]);
    let opaque = weight.f_to_mkldnn(weight.kind())?;
    opaque.f_mkldnn_reorder_conv2d_weight(padding, stride, [1_i64, 1], conv.groups as i64, input.as_slice())
}

/// act(conv(x)), or act(conv(x) + sum) written over `sum`.
pub fn convolve(
    conv: &Conv2d,
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    sum: Option<Tensor>,
    activation: Option<Activation>,
) -> Result<Tensor, TchError> {
    let functions = functions().ok_or_else(|| refused("has no such convolution"))?;
    let (padding, stride, dilation) = ([conv.padding as i64; 2], [conv.stride as i64; 2], [1_i64; 2]);
    let bias = bias.map(|bias| bias.as_ptr().cast_mut());
    let bias = bias.as_ref().map_or(null(), |handle| handle as *const Handle);
    let mut result: Handle = null_mut();
    let Some(sum) = sum else {
        let (name, bounds): (_, &[f64]) = match activation {
            None => (c"none", &[]),
            Some(Activation::Relu) => (c"relu", &[]),
            Some(Activation::Relu6) => (c"hardtanh", &[0.0, 6.0]),
        };
        let scalars: Vec<*const f64> = bounds.iter().map(|bound| bound as *const f64).collect();
        // SAFETY: every pointer is valid for the call and every length is that of its array; the result, where the call
        // succeeds, is a new tensor that belongs to the caller.
        let failed = unsafe {
            (functions.pointwise)(
                x.as_ptr().cast_mut(),
                weight.as_ptr().cast_mut(),
                bias,
                padding.as_ptr(),
                2,
                stride.as_ptr(),
                2,
                dilation.as_ptr(),
                2,
                conv.groups as i64,
                name.as_ptr(),
                scalars.as_ptr(),
                scalars.len() as i64,
                null(),
                &mut result,
            )
        };
        return taken(failed, result);
    };
    let relu = c"relu".as_ptr();
    let fused = if activation == Some(Activation::Relu) { &relu as *const *const c_char } else { null() };
    // SAFETY: as above; the result is another owner of the memory of `sum`, which is given up here.
    let failed = unsafe {
        (functions.add_in_place)(
            sum.as_ptr().cast_mut(),
            x.as_ptr().cast_mut(),
            weight.as_ptr().cast_mut(),
            bias,
            padding.as_ptr(),
            2,
            stride.as_ptr(),
            2,
            dilation.as_ptr(),
            2,
            conv.groups as i64,
            c"add".as_ptr(),
            &1.0,
            fused,
            null(),
            0,
            null(),
            &mut result,
        )
    };
    let mut result = taken(failed, result)?;
    if activation == Some(Activation::Relu6) { result.f_clamp_(0.0, 6.0) } else { Ok(result) }
}

fn taken(failed: c_int, result: Handle) -> Result<Tensor, TchError> {
    if failed != 0 || result.is_null() {
        return Err(refused("refused a convolution (the line above says why)"));
    }
    // SAFETY: the handle is a new `at::Tensor`, as tch makes them, and nobody else holds it.
    Ok(unsafe { Tensor::from_ptr(result) })
}

fn refused(what: &str) -> TchError {
    TchError::Torch(format!("libtorch's oneDNN {what}"))
}

/// Whether these convolutions are there and right in this precision: tried once per process, on a small image.
pub fn available(kind: Kind) -> bool {
    static TRIED: [OnceLock<bool>; 3] = [const { OnceLock::new() }; 3];
    let at = match kind {
        Kind::Float => 0,
        Kind::BFloat16 => 1,
        Kind::Half => 2,
        _ => return false,
    };
    *TRIED[at].get_or_init(|| {
        functions().is_some()
            && try_out(kind).unwrap_or_else(|error| {
                tracing::debug!("oneDNN's fused convolutions do not work in {kind:?} here: {error}");
                false
            })
    })
}

/// Compares every form of the call with libtorch's plain operators in f32, on whole numbers that all kinds can hold.
fn try_out(kind: Kind) -> Result<bool, TchError> {
    let _no_grad = tch::no_grad_guard();
    let numbers = |shape: &[i64], modulus: i64| {
        Tensor::f_arange(shape.iter().product::<i64>(), (Kind::Int64, tch::Device::Cpu))?
            .f_remainder(modulus)?
            .f_sub_scalar(modulus / 2)?
            .f_to_kind(Kind::Float)?
            .f_reshape(shape)
            .and_then(|map| if shape.len() == 4 { super::channels_last(&map) } else { Ok(map) })
    };
    let conv = Conv2d::new(16, 16, 3).padding(1).bias();
    let (x, weight, bias) = (numbers(&[2, 16, 6, 6], 5)?, numbers(&[16, 16, 3, 3], 3)?, numbers(&[16], 7)?);
    let plain = x.f_conv2d(&weight, Some(&bias), [1, 1], [1, 1], [1, 1], 1)?;
    let packed = pack(&weight.f_to_kind(kind)?, &conv, [2, 16, 6, 6])?;
    let (x, bias) = (x.f_to_kind(kind)?, bias.f_to_kind(kind)?);
    for activation in [None, Some(Activation::Relu), Some(Activation::Relu6)] {
        for sum in [false, true] {
            let other = sum.then(|| numbers(&[2, 16, 6, 6], 9)).transpose()?;
            let expected = other.as_ref().map_or_else(|| Ok(plain.shallow_clone()), |other| plain.f_add(other))?;
            let expected = match activation {
                None => expected,
                Some(Activation::Relu) => expected.f_relu()?,
                Some(Activation::Relu6) => expected.f_clamp(0.0, 6.0)?,
            };
            let other = other.map(|other| other.f_to_kind(kind)).transpose()?;
            let given = convolve(&conv, &x, &packed, Some(&bias), other, activation)?.f_to_kind(Kind::Float)?;
            let largest = given.f_sub(&expected)?.f_abs()?.f_max()?.f_double_value(&[])?;
            if largest.is_nan() || largest > 0.01 * expected.f_abs()?.f_max()?.f_double_value(&[])? {
                tracing::warn!(
                    "oneDNN's fused convolutions give wrong results in {kind:?} here, so plain ones are used"
                );
                return Ok(false);
            }
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn this_libtorch_has_them() {
        assert!(functions().is_some());
        assert!(try_out(Kind::Float).unwrap());
        assert!(available(Kind::Float));
        assert!(!available(Kind::Double));
    }
}
