//! Rows as heads are trained on them, made of those that the samples hold: of unit norm, with a feature of ones.

use ndarray::{Array2, s};

use crate::features::{Features, RowSource};
use crate::normalize::Normalize;

/// Rows made of others.
#[derive(Debug)]
pub(crate) enum MadeRows<'a> {
    /// Once, in memory.
    Memory(Array2<f32>),
    /// Whenever they are read.
    Stored(Making<'a>),
}

/// Makes rows when they are read.
#[derive(Debug)]
pub(crate) struct Making<'a> {
    source: &'a dyn RowSource,
    normalize: Normalize,
    ones: bool,
}

impl<'a> MadeRows<'a> {
    /// Each row normalised; none where rows stay as they are.
    pub(crate) fn normalized(features: Features<'a>, normalize: Normalize) -> Option<Self> {
        match features {
            _ if normalize.is_none() => None,
            Features::Memory(view) => normalize.rows(view).map(Self::Memory),
            Features::Stored(source) => Some(Self::Stored(Making { source, normalize, ones: false })),
        }
    }

    /// The rows of [`Self::normalized`] with a feature more, which is 1 in each.
    pub(crate) fn with_ones(features: Features<'a>, normalize: Normalize) -> Self {
        match features {
            Features::Stored(source) => Self::Stored(Making { source, normalize, ones: true }),
            Features::Memory(view) => {
                let mut out = Array2::ones((view.nrows(), view.ncols() + 1));
                let mut features = out.slice_mut(s![.., ..view.ncols()]);
                match normalize.rows(view.reborrow()) {
                    Some(rows) => features.assign(&rows),
                    None => features.assign(&view),
                }
                Self::Memory(out)
            }
        }
    }

    pub(crate) fn features(&self) -> Features<'_> {
        match self {
            Self::Memory(rows) => rows.view().into(),
            Self::Stored(making) => Features::Stored(making),
        }
    }
}

impl RowSource for Making<'_> {
    fn len(&self) -> usize {
        self.source.len()
    }

    fn width(&self) -> usize {
        self.source.width() + usize::from(self.ones)
    }

    fn read(&self, rows: &[usize], out: &mut [f32]) {
        let own = self.source.width();
        let mut values = vec![0.0; rows.len() * own];
        self.source.read(rows, &mut values);
        for (row, out) in values.chunks_exact(own).zip(out.chunks_exact_mut(self.width())) {
            // Where there is one more, it is 1.
            out.fill(1.0);
            out[..own].copy_from_slice(row);
            if self.normalize == Normalize::L2 {
                let norm = row.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
                if norm > 0.0 {
                    out[..own].iter_mut().for_each(|value| *value = (f64::from(*value) / norm) as f32);
                }
            }
        }
    }

    fn failure(&self) -> Option<String> {
        self.source.failure()
    }
}
