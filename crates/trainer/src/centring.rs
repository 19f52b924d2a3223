//! What takes raw features to centred and scaled ones, in either precision.

use pulp::Simd;

/// Centres and scales rows of features.
#[derive(Debug)]
pub(crate) struct Centring {
    /// Mean of each feature over the training rows.
    pub(crate) mean: Vec<f64>,
    /// What each centred feature is multiplied by: 1 / its standard deviation if standardised, else 1; over the unit.
    pub(crate) factor: Vec<f64>,
    /// For results in f32: the mean as the sum of two numbers, and the factor.
    high: Vec<f32>,
    low: Vec<f32>,
    single: Vec<f32>,
}

impl Centring {
    pub(crate) fn new(mean: Vec<f64>, factor: Vec<f64>) -> Self {
        let high: Vec<f32> = mean.iter().map(|&mean| mean as f32).collect();
        let low = mean.iter().zip(&high).map(|(mean, &high)| (mean - f64::from(high)) as f32).collect();
        let single = factor.iter().map(|&factor| factor as f32).collect();
        Self { mean, factor, high, low, single }
    }

    /// (row − mean) · factor in f64.
    pub(crate) fn double(&self, row: &[f32], out: &mut [f64]) {
        pulp::Arch::new().dispatch(Double { row, mean: &self.mean, factor: &self.factor, out });
    }

    /// The same in f32. The difference from the upper part of the mean is exact wherever it is small beside the mean, so that a large
    /// mean costs no digits: what comes out is within 2⁻²² of the value in f64, of which the sum with the lower part and the product
    /// lose at most a half unit each, and the factor as much again.
    pub(crate) fn single(&self, row: &[f32], out: &mut [f32]) {
        pulp::Arch::new().dispatch(Single { row, high: &self.high, low: &self.low, factor: &self.single, out });
    }
}

/// Compiled for the instructions that the processor has.
struct Double<'a> {
    row: &'a [f32],
    mean: &'a [f64],
    factor: &'a [f64],
    out: &'a mut [f64],
}

impl pulp::WithSimd for Double<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let width = self.out.len();
        let (row, mean, factor) = (&self.row[..width], &self.mean[..width], &self.factor[..width]);
        for column in 0..width {
            self.out[column] = (f64::from(row[column]) - mean[column]) * factor[column];
        }
    }
}

/// Likewise.
struct Single<'a> {
    row: &'a [f32],
    high: &'a [f32],
    low: &'a [f32],
    factor: &'a [f32],
    out: &'a mut [f32],
}

impl pulp::WithSimd for Single<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let width = self.out.len();
        let (row, high, low, factor) =
            (&self.row[..width], &self.high[..width], &self.low[..width], &self.factor[..width]);
        for column in 0..width {
            self.out[column] = ((row[column] - high[column]) - low[column]) * factor[column];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spreads from the size of the mean down to a millionth of it.
    #[test]
    fn single_precision_loses_no_digits_to_a_large_mean() {
        let mean: Vec<f64> = (0..400).map(|column| 1e3 + f64::from(column) / 7.0).collect();
        let factor: Vec<f64> = (0..400).map(|column| 1.0 / (0.3 + f64::from(column))).collect();
        let row: Vec<f32> = mean
            .iter()
            .enumerate()
            .map(|(column, mean)| (mean * (1.0 + 10f64.powi(-(column as i32 % 7)))) as f32)
            .collect();
        let centring = Centring::new(mean, factor);
        let (mut double, mut single) = (vec![0.0; 400], vec![0.0; 400]);
        centring.double(&row, &mut double);
        centring.single(&row, &mut single);
        for (double, single) in double.iter().zip(single) {
            assert!((f64::from(single) / double - 1.0).abs() <= 2f64.powi(-22), "{single} instead of {double}");
        }
    }
}
