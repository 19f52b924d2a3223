//! The rows that a head is trained or scored on.

use std::collections::HashSet;

use crate::Error;
use crate::features::Features;

/// Feature vectors with their labels, borrowed from wherever they were read.
#[derive(Debug, Clone, Copy)]
pub struct Samples<'a> {
    /// n × d features, one row per vector.
    pub features: Features<'a>,
    /// n class indices into `classes`. Unlabelled rows must be left out before.
    pub labels: &'a [usize],
    /// n group ids. Rows of one group (the augmented views of one image) are never split between training and validation.
    pub groups: &'a [usize],
    /// Class names, in the order of the labels.
    pub classes: &'a [String],
    /// Which rows count in validation scores: the un-augmented views. `None`: all. Without this, the views of one image would be
    /// counted as independent and every interval would come out too narrow.
    pub scored: Option<&'a [bool]>,
    /// How much each row counts in the fit, positive; `None`: all the same. Scores count rows, not weights.
    pub weights: Option<&'a [f64]>,
}

impl<'a> Samples<'a> {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.features.nrows()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a row counts in validation scores.
    pub fn is_scored(&self, row: usize) -> bool {
        self.scored.is_none_or(|scored| scored[row])
    }

    /// Checks everything that holds whatever is trained: lengths, labels, names, finite features.
    ///
    /// # Errors
    /// The first thing that is wrong, by row and column where it has one.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let rows = self.len();
        if rows == 0 {
            return Err(Error::NoRows);
        }
        if self.features.ncols() == 0 {
            return Err(Error::NoColumns);
        }
        check_length("the labels array", self.labels.len(), rows)?;
        check_length("the groups array", self.groups.len(), rows)?;
        if let Some(scored) = self.scored {
            check_length("the array of scored rows", scored.len(), rows)?;
        }
        if let Some(weights) = self.weights {
            check_length("the array of sample weights", weights.len(), rows)?;
            if let Some(row) = weights.iter().position(|weight| !(weight.is_finite() && *weight > 0.0)) {
                return Err(Error::Weight { row, value: weights[row] });
            }
        }
        check_labels(self.labels, self.classes.len())?;
        let mut names = HashSet::new();
        if let Some(twice) = self.classes.iter().find(|name| !names.insert(name.as_str())) {
            return Err(Error::DuplicateClass(twice.clone()));
        }
        self.features.check_finite()
    }

    /// Checks that `rows` hold every class, and more than one.
    ///
    /// # Errors
    /// [`Error::OneClass`], or [`Error::EmptyClass`] with `place` saying which part of the data lacks the class.
    pub(crate) fn check_classes(&self, rows: &[usize], place: &str) -> Result<(), Error> {
        let mut counts = vec![0usize; self.classes.len()];
        for &row in rows {
            counts[self.labels[row]] += 1;
        }
        let present: Vec<usize> = (0..counts.len()).filter(|&class| counts[class] > 0).collect();
        if let [only] = present[..] {
            return Err(Error::OneClass { class: self.classes[only].clone(), rows: rows.len() });
        }
        match counts.iter().position(|&count| count == 0) {
            Some(class) => Err(Error::EmptyClass { class: self.classes[class].clone(), place: place.into() }),
            None => Ok(()),
        }
    }
}

fn check_length(what: &'static str, got: usize, rows: usize) -> Result<(), Error> {
    if got == rows { Ok(()) } else { Err(Error::Length { what, got, rows }) }
}

/// Refuses labels beyond the list of classes.
pub(crate) fn check_labels(labels: &[usize], classes: usize) -> Result<(), Error> {
    match labels.iter().position(|&label| label >= classes) {
        Some(row) => Err(Error::Label { row, label: labels[row], classes }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, array};

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|index| format!("class {index}")).collect()
    }

    fn check(features: &Array2<f32>, labels: &[usize], groups: &[usize], classes: &[String]) -> String {
        let samples =
            Samples { features: features.view().into(), labels, groups, classes, scored: None, weights: None };
        match samples.check().and_then(|()| samples.check_classes(&(0..samples.len()).collect::<Vec<_>>(), "")) {
            Ok(()) => "ok".into(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn each_mistake_has_its_message() {
        let x = array![[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]];
        let two = names(2);
        assert_eq!(check(&x, &[0, 1, 1], &[0, 1, 2], &two), "ok");
        assert!(check(&Array2::zeros((0, 2)), &[], &[], &two).contains("no rows"));
        assert!(check(&Array2::zeros((3, 0)), &[0, 1, 1], &[0, 1, 2], &two).contains("no columns"));
        assert!(check(&x, &[0, 1], &[0, 1, 2], &two).contains("labels array has 2 entries for 3 rows"));
        assert!(check(&x, &[0, 1, 1], &[0], &two).contains("groups array"));
        assert!(check(&x, &[0, 1, 2], &[0, 1, 2], &two).contains("row 2 has label 2"));
        assert!(check(&x, &[1, 1, 1], &[0, 1, 2], &two).contains("all 3 rows are of one class, 'class 1'"));
        assert!(check(&x, &[0, 1, 1], &[0, 1, 2], &names(3)).contains("'class 2' has no rows"));
        assert!(check(&x, &[0, 1, 1], &[0, 1, 2], &["a".into(), "a".into()]).contains("listed twice"));
    }

    #[test]
    fn a_bad_value_is_named_by_row_and_column() {
        let two = names(2);
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let x = array![[1.0, 2.0], [3.0, bad], [5.0, 6.0]];
            let message = check(&x, &[0, 1, 1], &[0, 1, 2], &two);
            assert!(message.contains("row 1, column 1"), "{message}");
        }
        let large = array![[f32::MAX, f32::MAX], [f32::MIN, 0.0], [0.0, 0.0]];
        assert_eq!(check(&large, &[0, 1, 1], &[0, 1, 2], &two), "ok");
    }
}
