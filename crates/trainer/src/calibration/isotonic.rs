//! Isotonic regression of sides on scores by pooling adjacent violators (Ayer et al., 1955; Barlow et al., 1972), with straight
//! lines between the knots and the end values beyond them, as in scikit-learn's `IsotonicRegression(out_of_bounds="clip")`.

use serde::{Deserialize, Serialize};

/// A curve that never falls.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// Ascending.
    score: Vec<f64>,
    /// The probability at each of them, never falling.
    probability: Vec<f64>,
}

impl Curve {
    /// The curve nearest to the sides of the rows, by least squares; rows of equal score are one knot.
    pub(super) fn fit(mut rows: Vec<(f64, bool)>) -> Self {
        rows.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (mut score, mut blocks): (Vec<f64>, Vec<(f64, f64)>) = (Vec::new(), Vec::new());
        for (value, side) in rows {
            if score.last() != Some(&value) {
                score.push(value);
                blocks.push((0.0, 0.0));
            }
            if let Some((sum, count)) = blocks.last_mut() {
                (*sum, *count) = (*sum + f64::from(u8::from(side)), *count + 1.0);
            }
        }
        let level = pool(&blocks);
        // Of a plateau the ends are enough.
        let last = level.len() - 1;
        let needed = |&at: &usize| at == 0 || at == last || level[at - 1] != level[at] || level[at] != level[at + 1];
        let kept: Vec<usize> = (0..level.len()).filter(needed).collect();
        Self {
            score: kept.iter().map(|&at| score[at]).collect(),
            probability: kept.iter().map(|&at| level[at]).collect(),
        }
    }

    /// Where the knots are.
    pub fn scores(&self) -> &[f64] {
        &self.score
    }

    /// What the curve is there.
    pub fn probabilities(&self) -> &[f64] {
        &self.probability
    }

    /// The curve at a score.
    pub(super) fn at(&self, score: f64) -> f64 {
        let after = self.score.partition_point(|&knot| knot <= score);
        if after == 0 || after == self.score.len() {
            return self.probability[after.saturating_sub(1)];
        }
        let (low, high) = (self.probability[after - 1], self.probability[after]);
        let along = (score - self.score[after - 1]) / (self.score[after] - self.score[after - 1]);
        (low + along * (high - low)).clamp(low, high)
    }

    /// Says what is wrong with a curve that was read from a file.
    pub(super) fn check(&self) -> Result<(), String> {
        let Self { score, probability } = self;
        let sound = !score.is_empty()
            && score.len() == probability.len()
            && score.iter().all(|value| value.is_finite())
            && score.windows(2).all(|pair| pair[0] < pair[1])
            && probability.iter().all(|value| (0.0..=1.0).contains(value))
            && probability.windows(2).all(|pair| pair[0] <= pair[1]);
        match sound {
            true => Ok(()),
            false => Err("calibration.curves: not rising curves between 0 and 1".into()),
        }
    }
}

/// The means of blocks of (sum, weight) after neighbours that fall have been pooled; one for each block that came in.
pub(super) fn pool(blocks: &[(f64, f64)]) -> Vec<f64> {
    // Sum, weight and mean of each pool, and how many blocks are in it.
    let mut pools: Vec<(f64, f64, f64, usize)> = Vec::new();
    for &(sum, weight) in blocks {
        let mut pool = (sum, weight, sum / weight, 1);
        while let Some(&before) = pools.last()
            && before.2 > pool.2
        {
            pools.pop();
            let (sum, weight) = (before.0 + pool.0, before.1 + pool.1);
            pool = (sum, weight, sum / weight, before.3 + pool.3);
        }
        pools.push(pool);
    }
    pools.iter().flat_map(|&(_, _, mean, count)| std::iter::repeat_n(mean, count)).collect()
}
