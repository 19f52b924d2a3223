//! Tensors as every reader returns them (f32, row-major), and the element types and layouts they are decoded from.

use super::ReadError;
use half::{bf16, f16};
use std::collections::BTreeMap;

/// A tensor converted to f32, in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Dimensions, outermost first; empty for a scalar.
    pub shape: Vec<usize>,
    /// The values; as many as the product of `shape`.
    pub data: Vec<f32>,
}

/// Tensors by their state-dict keys.
pub type StateDict = BTreeMap<String, Tensor>;

/// How much reading one file may allocate and execute. A file of a few bytes can describe terabytes (views with stride 0,
/// one string decoded a million times), so everything that costs memory or time beyond the file's own size is paid for here.
#[derive(Debug)]
pub(super) struct Budget {
    /// Elements of f32 that tensors may still hold. One per byte of the file leaves room for every element type, and for
    /// a float storage to be shared four times.
    elements: usize,
    /// Bytes that may still be copied out of the file (text that stands for bytes).
    copied: usize,
    /// Steps the pickle machine may still take; a large checkpoint needs some ten thousand.
    steps: usize,
}

impl Budget {
    /// What a file of so many bytes may cost.
    pub fn for_file(bytes: usize) -> Self {
        let floor = 1 << 16;
        Self { elements: bytes.max(floor), copied: bytes.max(floor), steps: 2_000_000 }
    }

    /// Pays for a tensor of this shape and returns its number of elements.
    pub fn elements(&mut self, shape: &[usize]) -> Result<usize, ReadError> {
        let count = shape.iter().try_fold(1usize, |product, &d| product.checked_mul(d));
        match count.and_then(|count| Some((count, self.elements.checked_sub(count)?))) {
            Some((count, left)) => {
                self.elements = left;
                Ok(count)
            }
            None => Err(ReadError::malformed(format!(
                "a tensor of shape {} holds more than the whole file can",
                show_shape(shape)
            ))),
        }
    }

    /// Pays for a copy of so many bytes.
    pub fn copy(&mut self, bytes: usize) -> Result<(), ReadError> {
        self.copied = self
            .copied
            .checked_sub(bytes)
            .ok_or_else(|| ReadError::malformed("the same bytes are unpacked over and over"))?;
        Ok(())
    }

    /// Pays for so many steps.
    pub fn steps(&mut self, steps: usize) -> Result<(), ReadError> {
        self.steps = self.steps.checked_sub(steps).ok_or_else(|| {
            ReadError::malformed("the pickle has more than two million steps, which no state dict needs")
        })?;
        Ok(())
    }
}

/// The values as little-endian bytes, as files and hashes hold them.
pub(super) fn little_endian(values: &[f32]) -> Vec<u8> {
    let mut bytes = vec![0; values.len() * 4];
    for (place, value) in bytes.chunks_exact_mut(4).zip(values) {
        place.copy_from_slice(&value.to_le_bytes());
    }
    bytes
}

/// A shape as messages print it: `64×3×7×7`, or `scalar`.
pub(super) fn show_shape(shape: &[usize]) -> String {
    if shape.is_empty() {
        return "scalar".into();
    }
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join("×")
}

/// The element types that occur in weights files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    F16,
    Bf16,
    F32,
    F64,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    Bool,
}

impl Element {
    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self {
            Element::I8 | Element::U8 | Element::Bool => 1,
            Element::F16 | Element::Bf16 | Element::I16 | Element::U16 => 2,
            Element::F32 | Element::I32 | Element::U32 => 4,
            Element::F64 | Element::I64 | Element::U64 => 8,
        }
    }

    /// Every element of `bytes`, in order; a last incomplete element is left out.
    pub fn decode(self, bytes: &[u8], big_endian: bool) -> Vec<f32> {
        /// One loop per type and byte order, so that the common ones compile to plain copies.
        fn each<const N: usize>(bytes: &[u8], big_endian: bool, value: impl Fn([u8; N]) -> f32) -> Vec<f32> {
            let elements = bytes.chunks_exact(N).map(|chunk| <[u8; N]>::try_from(chunk).unwrap_or([0; N]));
            if big_endian {
                elements
                    .map(|mut element| {
                        element.reverse();
                        value(element)
                    })
                    .collect()
            } else {
                elements.map(value).collect()
            }
        }
        match self {
            Element::F16 => each(bytes, big_endian, |b| f16::from_le_bytes(b).to_f32()),
            Element::Bf16 => each(bytes, big_endian, |b| bf16::from_le_bytes(b).to_f32()),
            Element::F32 => each(bytes, big_endian, f32::from_le_bytes),
            Element::F64 => each(bytes, big_endian, |b| f64::from_le_bytes(b) as f32),
            Element::I8 => each(bytes, big_endian, |b| i8::from_le_bytes(b) as f32),
            Element::I16 => each(bytes, big_endian, |b| i16::from_le_bytes(b) as f32),
            Element::I32 => each(bytes, big_endian, |b| i32::from_le_bytes(b) as f32),
            Element::I64 => each(bytes, big_endian, |b| i64::from_le_bytes(b) as f32),
            Element::U8 => each(bytes, big_endian, |b| u8::from_le_bytes(b) as f32),
            Element::U16 => each(bytes, big_endian, |b| u16::from_le_bytes(b) as f32),
            Element::U32 => each(bytes, big_endian, |b| u32::from_le_bytes(b) as f32),
            Element::U64 => each(bytes, big_endian, |b| u64::from_le_bytes(b) as f32),
            Element::Bool => each(bytes, big_endian, |[b]| if b == 0 { 0.0 } else { 1.0 }),
        }
    }
}

/// Where a tensor's elements lie in a storage: a contiguous array, a transposed one, or any other strided view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    pub shape: Vec<usize>,
    /// Elements between neighbours along each dimension.
    pub strides: Vec<usize>,
    /// The element that is first in the view.
    pub offset: usize,
}

impl Layout {
    /// Row-major (C order), from the start of the storage.
    pub fn row_major(shape: Vec<usize>) -> Self {
        let mut strides = vec![1usize; shape.len()];
        for d in (1..shape.len()).rev() {
            strides[d - 1] = strides[d].saturating_mul(shape[d]);
        }
        Self { shape, strides, offset: 0 }
    }

    /// Column-major (Fortran order), from the start of the storage.
    pub fn column_major(shape: Vec<usize>) -> Self {
        let mut strides = vec![1usize; shape.len()];
        for d in 1..shape.len() {
            strides[d] = strides[d - 1].saturating_mul(shape[d - 1]);
        }
        Self { shape, strides, offset: 0 }
    }

    /// The view's values, read from the bytes of its storage.
    ///
    /// # Errors
    /// When the view reaches past the storage, or holds more than the budget allows.
    pub fn read(
        self,
        element: Element,
        bytes: &[u8],
        big_endian: bool,
        budget: &mut Budget,
    ) -> Result<Tensor, ReadError> {
        let Layout { shape, strides, offset } = self;
        if shape.len() != strides.len() {
            return Err(ReadError::malformed(format!("{} dimensions but {} strides", shape.len(), strides.len())));
        }
        let count = budget.elements(&shape)?;
        if count == 0 {
            return Ok(Tensor { shape, data: Vec::new() });
        }
        let available = bytes.len() / element.size();
        let last =
            shape.iter().zip(&strides).try_fold(offset, |last, (&d, &s)| last.checked_add((d - 1).checked_mul(s)?));
        if last.is_none_or(|last| last >= available) {
            return Err(ReadError::malformed(format!(
                "a tensor of shape {} reaches past its storage of {available} elements",
                show_shape(&shape)
            )));
        }
        let row_major = Layout::row_major(shape.clone()).strides;
        if shape.iter().zip(strides.iter().zip(&row_major)).all(|(&d, (a, b))| d == 1 || a == b) {
            let size = element.size();
            let data = element.decode(&bytes[offset * size..(offset + count) * size], big_endian);
            return Ok(Tensor { shape, data });
        }
        // Any other view: decode the part of the storage it spans once, then pick the elements in row-major order.
        let size = element.size();
        let span = last.unwrap_or(offset) + 1 - offset;
        budget.elements(&[span])?;
        let storage = element.decode(&bytes[offset * size..(offset + span) * size], big_endian);
        let mut data = Vec::with_capacity(count);
        let mut index = vec![0usize; shape.len()];
        let mut at = 0usize;
        for _ in 0..count {
            data.push(storage[at]);
            for d in (0..shape.len()).rev() {
                index[d] += 1;
                at += strides[d];
                if index[d] < shape[d] {
                    break;
                }
                at -= strides[d] * shape[d];
                index[d] = 0;
            }
        }
        Ok(Tensor { shape, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|v| v.to_le_bytes()).collect()
    }

    fn read(layout: Layout, values: &[f32]) -> Result<Tensor, ReadError> {
        layout.read(Element::F32, &bytes(values), false, &mut Budget::for_file(0))
    }

    #[test]
    fn every_layout_gives_row_major_values() {
        let storage = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
        assert_eq!(read(Layout::row_major(vec![2, 3]), &storage).unwrap().data, storage);
        assert_eq!(read(Layout::column_major(vec![2, 3]), &storage).unwrap().data, [0.0, 2.0, 4.0, 1.0, 3.0, 5.0]);
        let view = Layout { shape: vec![2, 2], strides: vec![3, 1], offset: 1 };
        assert_eq!(read(view, &storage).unwrap().data, [1.0, 2.0, 4.0, 5.0]);
        let expanded = Layout { shape: vec![3], strides: vec![0], offset: 5 };
        assert_eq!(read(expanded, &storage).unwrap().data, [5.0; 3]);
        let scalar = Layout { shape: vec![], strides: vec![], offset: 2 };
        assert_eq!(read(scalar, &storage).unwrap().data, [2.0]);
        let odd_stride = Layout { shape: vec![1, 6], strides: vec![17, 1], offset: 0 };
        assert_eq!(read(odd_stride, &storage).unwrap().data, storage);
        assert_eq!(read(Layout::row_major(vec![0, 3]), &[]).unwrap().data, [] as [f32; 0]);
    }

    #[test]
    fn views_past_the_storage_and_endless_views_are_refused() {
        let past = Layout { shape: vec![2, 2], strides: vec![3, 1], offset: 3 };
        assert!(read(past, &[0.0; 6]).unwrap_err().to_string().contains("past its storage of 6"));
        let endless = Layout { shape: vec![1 << 40], strides: vec![0], offset: 0 };
        assert!(read(endless, &[0.0]).unwrap_err().to_string().contains("more than the whole file"));
        let overflowing = Layout { shape: vec![2, 2], strides: vec![usize::MAX, 1], offset: 1 };
        assert!(read(overflowing, &[0.0; 6]).is_err());
    }

    #[test]
    fn elements_of_both_byte_orders() {
        assert_eq!(Element::F64.decode(&0.5f64.to_be_bytes(), true), [0.5]);
        assert_eq!(Element::I16.decode(&(-3i16).to_le_bytes(), false), [-3.0]);
        assert_eq!(Element::Bf16.decode(&bf16::from_f32(1.5).to_le_bytes(), false), [1.5]);
        assert_eq!(Element::F16.decode(&f16::from_f32(-2.25).to_be_bytes(), true), [-2.25]);
        assert_eq!(Element::Bool.decode(&[0, 1, 7], false), [0.0, 1.0, 1.0]);
    }
}
