//! Which row of a sweep is best, which others cannot be told from it, and which is the cheapest of these.

use super::{Sweep, SweepRow};
use headstart_trainer::{corrected_resampled_t, holm, mcnemar};
use serde::Serialize;

/// A row of a sweep against the best one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Mean difference of the metric over the folds, this row minus the best.
    pub difference: f64,
    /// Its standard error, corrected for what folds share.
    pub standard_error: f64,
    /// Two-sided p of the corrected resampled t-test (Nadeau and Bengio 2003) on the same folds.
    pub p: f64,
    /// The same, adjusted for all rows that are compared with the best one (Holm 1979).
    pub p_holm: f64,
    /// Two-sided p of McNemar's exact test on the same test rows; none where there are none.
    pub test_p: Option<f64>,
}

/// A row with what its comparison needs.
pub(super) struct Scored {
    pub(super) row: SweepRow,
    pub(super) trained_on: Vec<(String, u32, String)>,
    pub(super) tested_on: Vec<(String, u32, String)>,
    /// Which test rows were taken for what they are.
    pub(super) right: Vec<bool>,
}

/// Finds the best, compares the others with it.
pub(super) fn sweep(mut scored: Vec<Scored>, repeats: usize) -> Sweep {
    let mut best = 0;
    for index in 1..scored.len() {
        if scored[index].row.merit() > scored[best].row.merit() {
            best = index;
        }
    }
    let mut compared: Vec<(usize, Comparison)> = Vec::new();
    let mut unpaired = false;
    for (index, other) in scored.iter().enumerate().filter(|(index, _)| *index != best) {
        let top = &scored[best];
        if other.trained_on != top.trained_on {
            unpaired = true;
        } else if let Some(test) = corrected_resampled_t(&other.row.fold_scores, &top.row.fold_scores, repeats) {
            let only = |a: &Scored, b: &Scored| a.right.iter().zip(&b.right).filter(|(a, b)| **a && !**b).count();
            let same = other.tested_on == top.tested_on && !other.right.is_empty();
            let test_p = same.then(|| mcnemar(only(other, top), only(top, other)));
            let (difference, standard_error, p) = (test.difference, test.standard_error, test.p);
            compared.push((index, Comparison { difference, standard_error, p, p_holm: p, test_p }));
        }
    }
    let adjusted = holm(&compared.iter().map(|(_, comparison)| comparison.p).collect::<Vec<_>>());
    for ((index, mut comparison), p_holm) in compared.into_iter().zip(adjusted) {
        comparison.p_holm = p_holm;
        scored[index].row.against_best = Some(comparison);
    }
    let mut notes = Vec::new();
    if unpaired {
        notes.push(
            "the caches do not hold the same training images in the same order, so their folds differ: rows of other caches than \
             the best one's are not tested against it"
                .into(),
        );
    }
    let rows: Vec<SweepRow> = scored.into_iter().map(|scored| scored.row).collect();
    let cheapest = cheapest(&rows, best);
    Sweep { rows, best, cheapest, notes }
}

/// Of the rows within one standard error of the best, the one that costs the backbone least; of equals the better one.
fn cheapest(rows: &[SweepRow], best: usize) -> usize {
    let cost = |row: &SweepRow| (row.multiply_adds.unwrap_or(u64::MAX), row.bytes_per_image);
    let enough = rows[best].merit() - rows[best].cv_score_se;
    let mut found = best;
    for (index, row) in rows.iter().enumerate().filter(|(_, row)| row.merit() >= enough) {
        let known = &rows[found];
        if cost(row) < cost(known) || (cost(row) == cost(known) && row.merit() > known.merit()) {
            found = index;
        }
    }
    found
}
