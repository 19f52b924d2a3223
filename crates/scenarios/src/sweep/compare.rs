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

/// p below which two rows are taken to differ.
pub const ALPHA: f64 = 0.05;

/// A p-value as people read it.
pub fn p_value(p: f64) -> String {
    if p < 0.001 { "<0.001".into() } else { format!("{p:.3}") }
}

/// A row with what its comparison needs.
pub(super) struct Scored {
    pub(super) row: SweepRow,
    pub(super) trained_on: Vec<(String, String)>,
    pub(super) tested_on: Vec<(String, String)>,
    /// Which test rows were taken for what they are.
    pub(super) right: Vec<bool>,
}

/// Rows of caches that hold the same training images, and so share their folds: what can be compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    /// Indices of the rows.
    pub rows: Vec<usize>,
    /// Index of the row with the best cross-validated score; of equals the first. The test rows choose nothing.
    pub best: usize,
    /// Index of the row that costs the backbone least (multiply-adds, then bytes) of those whose score is within one standard
    /// error of the best one's (Breiman, Friedman, Olshen and Stone 1984).
    pub cheapest: usize,
}

impl Group {
    /// How many of the other rows cannot be told from the best, for all that were compared (Holm's correction).
    pub fn alike(&self, rows: &[SweepRow]) -> usize {
        let compared = self.rows.iter().filter_map(|&index| rows[index].against_best.as_ref());
        compared.filter(|found| found.p_holm > ALPHA).count()
    }
}

/// Finds what can be compared, the best of it, and compares the others with that.
pub(super) fn sweep(mut scored: Vec<Scored>, repeats: usize) -> Sweep {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for index in 0..scored.len() {
        match groups.iter_mut().find(|group| scored[group[0]].trained_on == scored[index].trained_on) {
            Some(group) => group.push(index),
            None => groups.push(vec![index]),
        }
    }
    let mut found = Vec::new();
    for rows in groups {
        let merit = |index: usize| scored[index].row.merit();
        let best = rows.iter().copied().reduce(|a, b| if merit(b) > merit(a) { b } else { a }).unwrap_or(rows[0]);
        for (index, comparison) in against(&scored, &rows, best, repeats) {
            scored[index].row.against_best = Some(comparison);
        }
        let cheapest = cheapest(&scored, &rows, best);
        found.push(Group { rows, best, cheapest });
    }
    Sweep { rows: scored.into_iter().map(|scored| scored.row).collect(), groups: found }
}

/// Rows of a group against its best.
fn against(scored: &[Scored], rows: &[usize], best: usize, repeats: usize) -> Vec<(usize, Comparison)> {
    let top = &scored[best];
    let mut compared: Vec<(usize, Comparison)> = Vec::new();
    for &index in rows.iter().filter(|&&index| index != best) {
        let other = &scored[index];
        if let Some(test) = corrected_resampled_t(&other.row.fold_scores, &top.row.fold_scores, repeats) {
            let only = |a: &Scored, b: &Scored| a.right.iter().zip(&b.right).filter(|(a, b)| **a && !**b).count();
            let same = other.tested_on == top.tested_on && !other.right.is_empty();
            let test_p = same.then(|| mcnemar(only(other, top), only(top, other)));
            let (difference, standard_error, p) = (test.difference, test.standard_error, test.p);
            compared.push((index, Comparison { difference, standard_error, p, p_holm: p, test_p }));
        }
    }
    let adjusted = holm(&compared.iter().map(|(_, comparison)| comparison.p).collect::<Vec<_>>());
    compared.iter_mut().zip(adjusted).for_each(|((_, comparison), p_holm)| comparison.p_holm = p_holm);
    compared
}

/// Of the rows within one standard error of the best, the one that costs the backbone least; of equals the better one.
fn cheapest(scored: &[Scored], rows: &[usize], best: usize) -> usize {
    let row = |index: usize| &scored[index].row;
    let cost = |index: usize| (row(index).multiply_adds.unwrap_or(u64::MAX), row(index).bytes_per_image);
    let enough = row(best).merit() - row(best).cv_score_se;
    rows.iter().copied().filter(|&index| row(index).merit() >= enough).fold(best, |known, index| {
        let better = cost(index) == cost(known) && row(index).merit() > row(known).merit();
        if cost(index) < cost(known) || better { index } else { known }
    })
}
