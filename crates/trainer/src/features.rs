//! Rows of features that may or may not be in memory.

use std::fmt::Debug;

use ndarray::{Array2, ArrayView1, ArrayView2};
use rayon::prelude::*;

use crate::Error;

/// Rows handled at once: small enough that a block stays in the processor's cache while it is worked on.
pub(crate) const BLOCK: usize = 64;

/// Rows that are read when they are needed, from a file or wherever they are.
pub trait RowSource: Debug + Sync {
    /// Number of rows.
    fn len(&self) -> usize;

    /// Whether there are no rows.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Features of a row.
    fn width(&self) -> usize;

    /// Writes the rows of these numbers into `out`, one after the other. Threads call this at the same time.
    ///
    /// Solvers have no use for a row that cannot be read, so there is no error here: where reading fails, `out` is filled with NaN,
    /// and from then on [`Self::failure`] says why. Whatever was computed meanwhile is thrown away.
    fn read(&self, rows: &[usize], out: &mut [f32]);

    /// Why the first read failed that did.
    fn failure(&self) -> Option<String>;
}

/// An n × d matrix of features, in memory or not.
#[derive(Debug, Clone, Copy)]
pub enum Features<'a> {
    /// In memory.
    Memory(ArrayView2<'a, f32>),
    /// Read block by block.
    Stored(&'a dyn RowSource),
}

impl<'a> From<ArrayView2<'a, f32>> for Features<'a> {
    fn from(view: ArrayView2<'a, f32>) -> Self {
        Self::Memory(view)
    }
}

impl<'a> Features<'a> {
    /// The same, borrowed for less long; the compiler does not see by itself that this is fine.
    pub fn reborrow<'b>(self) -> Features<'b>
    where
        'a: 'b,
    {
        match self {
            Self::Memory(view) => Features::Memory(view.reborrow()),
            Self::Stored(source) => Features::Stored(source),
        }
    }

    /// Number of rows.
    pub fn nrows(&self) -> usize {
        match self {
            Self::Memory(view) => view.nrows(),
            Self::Stored(source) => source.len(),
        }
    }

    /// Features of a row.
    pub fn ncols(&self) -> usize {
        match self {
            Self::Memory(view) => view.ncols(),
            Self::Stored(source) => source.width(),
        }
    }

    /// Whether the rows are read when they are needed.
    pub fn is_stored(&self) -> bool {
        matches!(self, Self::Stored(_))
    }

    /// What comes of rows that could all be read.
    ///
    /// # Errors
    /// [`Error::Unreadable`] if any row could not: what was computed from it means nothing.
    pub fn sound<T>(&self, computed: T) -> Result<T, Error> {
        match self {
            Self::Stored(source) => source.failure().map_or(Ok(computed), |reason| Err(Error::Unreadable(reason))),
            Self::Memory(_) => Ok(computed),
        }
    }

    /// Hands out the rows of these numbers in order, each with its place among them. `buffer` is used where they have to be brought
    /// together first.
    #[inline]
    pub(crate) fn each(&self, rows: &[usize], buffer: &mut Vec<f32>, mut work: impl FnMut(usize, &[f32])) {
        match self {
            Self::Memory(view) => {
                for (place, &row) in rows.iter().enumerate() {
                    let row = view.row(row);
                    match row.as_slice() {
                        Some(values) => work(place, values),
                        None => work(place, &row.to_vec()),
                    }
                }
            }
            Self::Stored(source) => {
                buffer.resize(rows.len() * source.width(), 0.0);
                source.read(rows, buffer);
                buffer.chunks_exact(source.width()).enumerate().for_each(|(place, row)| work(place, row));
            }
        }
    }

    /// The rows of these numbers, copied.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn read(&self, rows: &[usize]) -> Result<Array2<f32>, Error> {
        self.sound(self.gather(rows))
    }

    /// [`Self::read`], of which the caller finds out whether it was [`Self::sound`].
    pub(crate) fn gather(&self, rows: &[usize]) -> Array2<f32> {
        let mut out = Array2::zeros((rows.len(), self.ncols()));
        let mut buffer = Vec::new();
        for (index, rows) in rows.chunks(BLOCK).enumerate() {
            self.each(rows, &mut buffer, |place, values| {
                out.row_mut(index * BLOCK + place).assign(&ArrayView1::from(values));
            });
        }
        out
    }

    /// Refuses NaN and infinities, naming the first.
    ///
    /// # Errors
    /// [`Error::NotFinite`], and [`Error::Unreadable`] for rows that cannot be read.
    pub(crate) fn check_finite(&self) -> Result<(), Error> {
        let starts: Vec<usize> = (0..self.nrows()).step_by(BLOCK).collect();
        let first = starts.par_iter().find_map_first(|&start| {
            let rows: Vec<usize> = (start..self.nrows().min(start + BLOCK)).collect();
            let mut found = None;
            self.each(&rows, &mut Vec::new(), |place, values| {
                // Without a way out in the middle, the loop runs on whole vectors.
                let bad = values.iter().fold(false, |bad, value| bad | !value.is_finite());
                if bad && found.is_none() {
                    let column = values.iter().position(|value| !value.is_finite()).unwrap_or_default();
                    found = Some(Error::NotFinite { row: start + place, column, value: values[column] });
                }
            });
            found
        });
        self.sound(())?;
        first.map_or(Ok(()), Err)
    }
}

/// Some rows of a source, numbered anew.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SomeRows<'a> {
    pub(crate) source: &'a dyn RowSource,
    pub(crate) rows: &'a [usize],
}

impl RowSource for SomeRows<'_> {
    fn len(&self) -> usize {
        self.rows.len()
    }

    fn width(&self) -> usize {
        self.source.width()
    }

    fn read(&self, rows: &[usize], out: &mut [f32]) {
        let rows: Vec<usize> = rows.iter().map(|&row| self.rows[row]).collect();
        self.source.read(&rows, out);
    }

    fn failure(&self) -> Option<String> {
        self.source.failure()
    }
}
