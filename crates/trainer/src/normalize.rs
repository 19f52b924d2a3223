//! What is done to features before a head sees them: each row by itself, then each column by statistics of the training rows.

use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

use crate::Error;

/// What is done to each row by itself. No row has a part in what happens to another, so nothing of held-out rows can leak into
/// training, and the head does the same to every row that it scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Normalize {
    /// Nothing.
    #[default]
    None,
    /// Division by the row's Euclidean norm; a row of zeros stays as it is.
    L2,
}

impl Normalize {
    /// The name used on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::L2 => "l2",
        }
    }

    /// Whether rows stay as they are.
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }

    /// n × d rows as a head scores them, in f64.
    pub(crate) fn widen(self, rows: ArrayView2<f32>) -> Array2<f64> {
        let mut wide = rows.mapv(f64::from);
        if self == Self::L2 {
            for mut row in wide.outer_iter_mut() {
                // In f64 neither the largest nor the smallest f32 squared is beyond reach.
                let norm = row.iter().map(|value| value * value).sum::<f64>().sqrt();
                if norm > 0.0 {
                    row /= norm;
                }
            }
        }
        wide
    }

    /// n × d rows as a head is trained on them: rounded to f32, as features are; none where they stay as they are.
    pub(crate) fn rows(self, rows: ArrayView2<f32>) -> Option<Array2<f32>> {
        /// Rows that are in memory in f64 at once.
        const BLOCK: usize = 256;
        if self == Self::None {
            return None;
        }
        let mut unit = Array2::zeros(rows.raw_dim());
        let blocks = rows.axis_chunks_iter(ndarray::Axis(0), BLOCK);
        for (mut unit, block) in unit.axis_chunks_iter_mut(ndarray::Axis(0), BLOCK).zip(blocks) {
            unit.zip_mut_with(&self.widen(block), |unit, &value| *unit = value as f32);
        }
        Some(unit)
    }
}

impl std::fmt::Display for Normalize {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.name())
    }
}

impl std::str::FromStr for Normalize {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "none" => Ok(Self::None),
            "l2" => Ok(Self::L2),
            _ => Err(Error::Parameter { name: "--normalize", value: format!("'{text}'"), wanted: "choose none or l2" }),
        }
    }
}

/// What is done to features. `true` and `false` are standardisation alone and nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scaling {
    /// Each row by itself, first.
    pub normalize: Normalize,
    /// Whether each feature is then brought to mean 0 and standard deviation 1 over the training rows.
    pub standardize: bool,
}

impl From<bool> for Scaling {
    fn from(standardize: bool) -> Self {
        Self { normalize: Normalize::None, standardize }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn rows_come_to_unit_length_and_zeros_stay() {
        let x = array![[3.0f32, -4.0], [0.0, 0.0], [f32::MAX, f32::MAX], [1e-45, 0.0]];
        let unit = Normalize::L2.widen(x.view());
        assert_eq!(unit.slice(ndarray::s![..2, ..]), array![[0.6, -0.8], [0.0, 0.0]]);
        assert!((unit[[2, 0]] - 0.5f64.sqrt()).abs() < 1e-15);
        assert_eq!(unit.row(3), array![1.0, 0.0]);
        assert_eq!(Normalize::L2.rows(x.view()).unwrap(), unit.mapv(|value| value as f32));
        assert_eq!(Normalize::None.widen(x.view()), x.mapv(f64::from));
        assert_eq!(Normalize::None.rows(x.view()), None);
    }

    #[test]
    fn names() {
        for normalize in [Normalize::None, Normalize::L2] {
            assert_eq!(normalize.name().parse::<Normalize>().unwrap(), normalize);
            assert_eq!(serde_json::to_value(normalize).unwrap(), normalize.name());
        }
        assert!("l1".parse::<Normalize>().unwrap_err().to_string().contains("--normalize is 'l1': choose none or l2"));
    }
}
