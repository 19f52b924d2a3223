//! The receiver operating characteristic of one column of scores.

use ndarray::ArrayView1;

/// Area under one curve, and where each row stands among those of the other side.
pub(crate) struct RocCurve {
    /// The share of pairs of a positive and a negative row in which the positive one has the higher score; ties count half
    /// (the statistic of Mann and Whitney 1947).
    pub(crate) area: f64,
    /// For a positive row the share of negative rows below it, for a negative row the share of positive rows above it.
    pub(crate) placements: Vec<f64>,
    /// Number of positive rows.
    pub(crate) positives: usize,
}

impl RocCurve {
    /// There has to be a positive and a negative row.
    pub(crate) fn new(scores: ArrayView1<f64>, positive: &[bool]) -> Self {
        let positives = positive.iter().filter(|&&positive| positive).count();
        let negatives = positive.len() - positives;
        let mut order: Vec<usize> = (0..positive.len()).collect();
        order.sort_unstable_by(|&a, &b| scores[a].total_cmp(&scores[b]));
        let mut placements = vec![0.0; positive.len()];
        // Pairs are counted twice, in whole numbers: no order of rows and no tie can change the area by a bit.
        let (mut pairs, mut positives_below, mut negatives_below) = (0u128, 0usize, 0usize);
        for tied in order.chunk_by(|&a, &b| scores[a] == scores[b]) {
            let tied_positives = tied.iter().filter(|&&row| positive[row]).count();
            let tied_negatives = tied.len() - tied_positives;
            let below = 2 * negatives_below + tied_negatives;
            let above = 2 * (positives - positives_below) - tied_positives;
            for &row in tied {
                placements[row] = if positive[row] {
                    below as f64 / (2 * negatives) as f64
                } else {
                    above as f64 / (2 * positives) as f64
                };
            }
            pairs += tied_positives as u128 * below as u128;
            positives_below += tied_positives;
            negatives_below += tied_negatives;
        }
        Self { area: pairs as f64 / (2 * positives * negatives) as f64, placements, positives }
    }
}

/// The classes with rows on both sides: those that occur, and not in every row.
pub(crate) fn ranked_classes(truth: &[usize], classes: usize) -> Vec<usize> {
    let mut rows = vec![0usize; classes];
    truth.iter().for_each(|&class| rows[class] += 1);
    (0..classes).filter(|&class| rows[class] > 0 && rows[class] < truth.len()).collect()
}
