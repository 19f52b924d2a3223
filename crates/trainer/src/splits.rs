//! Which rows train and which validate.

use crate::Error;
use crate::samples::Samples;

/// Rows (indices into the samples) that train and that validate.
pub(crate) struct Split {
    pub(crate) train: Vec<usize>,
    pub(crate) test: Vec<usize>,
}

impl Split {
    /// One fold of a cross-validation: its scored rows validate, the rows of all others train.
    pub(crate) fn of(samples: &Samples, fold_of: &[usize], fold: usize) -> Self {
        let rows = |test: bool| (0..fold_of.len()).filter(move |&row| (fold_of[row] == fold) == test);
        Self { train: rows(false).collect(), test: rows(true).filter(|&row| samples.is_scored(row)).collect() }
    }
}

/// The fixed split that validates the given rows.
pub(crate) fn holdout(samples: &Samples, rows: &[usize]) -> Result<Split, Error> {
    let mut held_out = vec![false; samples.len()];
    for &row in rows {
        match held_out.get_mut(row) {
            None => return Err(Error::Split(format!("validation row {row} of {} rows", samples.len()))),
            Some(true) => return Err(Error::Split(format!("validation row {row} is listed twice"))),
            Some(seen) => *seen = true,
        }
    }
    if rows.is_empty() {
        return Err(Error::Split("there are no validation rows".into()));
    }
    let train: Vec<usize> = (0..samples.len()).filter(|&row| !held_out[row]).collect();
    if train.is_empty() {
        return Err(Error::Split("there are no training rows".into()));
    }
    let groups: std::collections::HashSet<usize> = train.iter().map(|&row| samples.groups[row]).collect();
    if let Some(&row) = rows.iter().find(|&&row| groups.contains(&samples.groups[row])) {
        return Err(Error::Split(format!(
            "row {row} validates, but another row of its group {} trains; keep all views of an image in one part",
            samples.groups[row]
        )));
    }
    let test = rows.iter().copied().filter(|&row| samples.is_scored(row)).collect();
    Ok(Split { train, test })
}
