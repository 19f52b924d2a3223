//! The rows of a problem in solver coordinates, where they may be made block by block.

use std::ops::{Deref, Range};

use ndarray::{Array2, ArrayView2, Axis, CowArray, Ix2, s};
use rayon::prelude::*;

use super::kernel::Scalar;
use crate::centring::Centring;
use crate::features::{BLOCK, Features};

/// Rows in solver coordinates (f64, centred, of about unit size): all of a matrix, or those of some numbers.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    values: Values<'a>,
    listed: Option<&'a [usize]>,
}

#[derive(Debug, Clone, Copy)]
enum Values<'a> {
    /// As they are; where there is a copy in f32, it need not be made again and again.
    Dense { double: ArrayView2<'a, f64>, single: Option<ArrayView2<'a, f32>> },
    /// Centred and scaled when they are used.
    Centred { features: Features<'a>, centring: &'a Centring },
}

impl<'a> From<ArrayView2<'a, f64>> for Rows<'a> {
    fn from(double: ArrayView2<'a, f64>) -> Self {
        Self { values: Values::Dense { double, single: None }, listed: None }
    }
}

impl<'a> Rows<'a> {
    /// A matrix with a copy of itself in f32.
    pub(crate) fn dense(double: ArrayView2<'a, f64>, single: Option<ArrayView2<'a, f32>>) -> Self {
        Self { values: Values::Dense { double, single }, listed: None }
    }

    /// The rows of these numbers, centred and scaled when they are used.
    pub(crate) fn centred<'f: 'a>(features: Features<'f>, listed: &'a [usize], centring: &'a Centring) -> Self {
        Self { values: Values::Centred { features: features.reborrow(), centring }, listed: Some(listed) }
    }

    /// The rows of these numbers, instead of those chosen before.
    pub(crate) fn select(self, listed: &'a [usize]) -> Self {
        Self { listed: Some(listed), ..self }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        match (self.listed, self.values) {
            (Some(listed), _) => listed.len(),
            (None, Values::Dense { double, .. }) => double.nrows(),
            (None, Values::Centred { features, .. }) => features.nrows(),
        }
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of columns.
    pub fn width(&self) -> usize {
        match self.values {
            Values::Dense { double, .. } => double.ncols(),
            Values::Centred { features, .. } => features.ncols(),
        }
    }

    /// Rows × columns.
    pub fn dim(&self) -> (usize, usize) {
        (self.len(), self.width())
    }

    /// Bytes that [`Self::to_dense`] allocates.
    pub(crate) fn dense_bytes(&self) -> u64 {
        match (self.listed, self.values) {
            (None, Values::Dense { .. }) => 0,
            _ => (self.len() * self.width() * size_of::<f64>()) as u64,
        }
    }

    /// All rows in memory, for methods that cannot do with blocks.
    pub(crate) fn to_dense(self) -> CowArray<'a, f64, Ix2> {
        if let (None, Values::Dense { double, .. }) = (self.listed, self.values) {
            return double.into();
        }
        let (n, width) = self.dim();
        let mut out = Array2::zeros((n, width));
        out.axis_chunks_iter_mut(Axis(0), BLOCK).into_par_iter().enumerate().for_each(|(index, mut out)| {
            let start = index * BLOCK;
            if let Some(out) = out.as_slice_mut() {
                f64::fill(&self, start..start + out.len() / width.max(1), &mut Vec::new(), out);
            }
        });
        out.into()
    }
}

/// A matrix in f32, its rows one after another, however it lies in memory itself.
pub(in crate::engine) fn row_major(features: ArrayView2<f64>) -> Array2<f32> {
    features.as_standard_layout().mapv(|value| value as f32)
}

/// Where a matrix gives its rows in blocks of one precision.
pub(in crate::engine) trait Blocks<T>: Sync {
    /// Rows × columns.
    fn dim(&self) -> (usize, usize);

    /// At most [`BLOCK`] rows: where they lie, or made in `buffer`.
    fn block<'b>(&'b self, range: Range<usize>, buffer: &'b mut Buffer<T>) -> Block<'b, T>;
}

/// Rows that are handled at once, wherever they lie: those of a fold are everywhere, and copying them would cost as much as half of
/// what is done with them.
#[derive(Debug)]
pub(in crate::engine) struct Block<'b, T> {
    rows: [&'b [T]; BLOCK],
    len: usize,
}

impl<'b, T> Block<'b, T> {
    /// # Panics
    /// With more than [`BLOCK`] rows.
    fn new(found: impl Iterator<Item = &'b [T]>) -> Self {
        let (mut rows, mut len) = ([&[][..]; BLOCK], 0);
        for row in found {
            rows[len] = row;
            len += 1;
        }
        Self { rows, len }
    }
}

impl<'b, T> Deref for Block<'b, T> {
    type Target = [&'b [T]];

    fn deref(&self) -> &Self::Target {
        &self.rows[..self.len]
    }
}

/// Room for a block, used again for the next.
#[derive(Debug)]
pub(in crate::engine) struct Buffer<T> {
    values: Vec<T>,
    raw: Vec<f32>,
}

impl<T> Default for Buffer<T> {
    fn default() -> Self {
        Self { values: Vec::new(), raw: Vec::new() }
    }
}

impl<T: Scalar> Blocks<T> for ArrayView2<'_, T> {
    fn dim(&self) -> (usize, usize) {
        self.dim()
    }

    fn block<'b>(&'b self, range: Range<usize>, buffer: &'b mut Buffer<T>) -> Block<'b, T> {
        let block = self.slice(s![range, ..]);
        let values = match block.to_slice() {
            Some(block) => block,
            None => {
                buffer.values.clear();
                buffer.values.extend(block.iter().copied());
                &buffer.values
            }
        };
        Block::new(values.chunks_exact(self.ncols()))
    }
}

impl<T: Scalar> Blocks<T> for Rows<'_> {
    fn dim(&self) -> (usize, usize) {
        self.dim()
    }

    fn block<'b>(&'b self, range: Range<usize>, buffer: &'b mut Buffer<T>) -> Block<'b, T> {
        let width = self.width();
        if let Values::Dense { double, single } = self.values
            && let Some(values) = T::as_is(double, single).and_then(|matrix| matrix.to_slice())
        {
            let row = |row: usize| &values[row * width..(row + 1) * width];
            return match self.listed {
                Some(listed) => Block::new(listed[range].iter().map(|&listed| row(listed))),
                None => Block::new(range.map(row)),
            };
        }
        buffer.values.resize(range.len() * width, T::zero());
        T::fill(self, range, &mut buffer.raw, &mut buffer.values);
        Block::new(buffer.values.chunks_exact(width))
    }
}

/// What [`Rows`] have to know of a precision.
pub(in crate::engine) trait Precision: Sized + Copy + Send + Sync + 'static {
    /// A number in this precision.
    fn cast(value: f64) -> Self;

    /// The matrix that holds the rows in this precision, if either does.
    fn as_is<'b>(double: ArrayView2<'b, f64>, single: Option<ArrayView2<'b, f32>>) -> Option<ArrayView2<'b, Self>>;

    /// Centres and scales a row of features.
    fn centre(centring: &Centring, row: &[f32], out: &mut [Self]);

    /// Writes some rows into `out`; `raw` is room for them as they are stored.
    fn fill(rows: &Rows, range: Range<usize>, raw: &mut Vec<f32>, out: &mut [Self]) {
        let width = rows.width();
        let every: Vec<usize>;
        let listed = match rows.listed {
            Some(listed) => &listed[range],
            None => {
                every = range.collect();
                &every
            }
        };
        match rows.values {
            Values::Dense { double, single } => {
                let as_is = Self::as_is(double, single);
                for (out, &row) in out.chunks_exact_mut(width).zip(listed) {
                    // Whole slices where there are any: element by element this would take as long as what is done with them.
                    match as_is.map(|matrix| matrix.slice_move(s![row, ..])) {
                        Some(values) => match values.to_slice() {
                            Some(values) => out.copy_from_slice(values),
                            None => out.iter_mut().zip(values).for_each(|(out, &value)| *out = value),
                        },
                        None => out.iter_mut().zip(double.row(row)).for_each(|(out, &value)| *out = Self::cast(value)),
                    }
                }
            }
            Values::Centred { features, centring } => features.each(listed, raw, |place, row| {
                Self::centre(centring, row, &mut out[place * width..(place + 1) * width]);
            }),
        }
    }
}

impl Precision for f32 {
    #[inline(always)]
    fn cast(value: f64) -> Self {
        value as f32
    }

    fn centre(centring: &Centring, row: &[f32], out: &mut [Self]) {
        centring.single(row, out);
    }

    fn as_is<'b>(_: ArrayView2<'b, f64>, single: Option<ArrayView2<'b, f32>>) -> Option<ArrayView2<'b, Self>> {
        single
    }
}

impl Precision for f64 {
    #[inline(always)]
    fn cast(value: f64) -> Self {
        value
    }

    fn centre(centring: &Centring, row: &[f32], out: &mut [Self]) {
        centring.double(row, out);
    }

    fn as_is<'b>(double: ArrayView2<'b, f64>, _: Option<ArrayView2<'b, f32>>) -> Option<ArrayView2<'b, Self>> {
        Some(double)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::RowSource;

    /// A source that reads from memory.
    #[derive(Debug)]
    struct Echo(Array2<f32>);

    impl RowSource for Echo {
        fn len(&self) -> usize {
            self.0.nrows()
        }

        fn width(&self) -> usize {
            self.0.ncols()
        }

        fn read(&self, rows: &[usize], out: &mut [f32]) {
            for (out, &row) in out.chunks_exact_mut(self.width()).zip(rows) {
                out.copy_from_slice(&self.0.row(row).to_vec());
            }
        }

        fn failure(&self) -> Option<String> {
            None
        }
    }

    /// The same rows from memory, from a source, as they lie and transposed, in both precisions.
    #[test]
    fn blocks_are_the_same_wherever_they_come_from() {
        let x = Array2::from_shape_fn((200, 37), |(row, column)| 1e6 + (row * 31 % 17 + column) as f32 / 8.0);
        let mean: Vec<f64> = (0..37).map(|column| 1e6 + f64::from(column) / 7.0).collect();
        let factor: Vec<f64> = (0..37).map(|column| 1.0 / (1.0 + f64::from(column))).collect();
        let centring = Centring::new(mean.clone(), factor.clone());
        let transposed = x.t().as_standard_layout().into_owned();
        let echo = Echo(x.clone());
        let listed: Vec<usize> = (0..200).rev().filter(|row| row % 3 != 0).collect();
        let expected = Array2::from_shape_fn((listed.len(), 37), |(row, column)| {
            (f64::from(x[[listed[row], column]]) - mean[column]) * factor[column]
        });
        for features in [Features::Memory(x.view()), Features::Memory(transposed.t()), Features::Stored(&echo)] {
            let rows = Rows::centred(features, &listed, &centring);
            assert_eq!(rows.to_dense(), expected);
            let (mut double, mut single) = (Buffer::<f64>::default(), Buffer::<f32>::default());
            let part = expected.slice(s![5..69, ..]);
            assert_eq!(rows.block(5..69, &mut double).concat(), part.as_slice().unwrap());
            let expected = part.mapv(|value| value as f32);
            let close = |(found, expected): (&f32, &f32)| (found - expected).abs() <= 2.5e-7 * expected.abs();
            assert!(rows.block(5..69, &mut single).concat().iter().zip(&expected).all(close));
        }
        let copy = expected.mapv(|value| value as f32);
        for single in [None, Some(copy.view())] {
            let rows = Rows::dense(expected.view(), single).select(&[4, 4, 0]);
            assert_eq!(rows.to_dense(), expected.select(Axis(0), &[4, 4, 0]));
            let mut buffer = Buffer::<f32>::default();
            assert_eq!(rows.block(0..3, &mut buffer).concat(), copy.select(Axis(0), &[4, 4, 0]).as_slice().unwrap());
        }
    }
}
