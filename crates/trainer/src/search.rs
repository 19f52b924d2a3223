//! Which values of C are tried, and what they are compared by.

use crate::Error;
use crate::criterion::Metric;
use crate::params::HeadKind;

/// A search for the best C.
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    /// Candidates: scikit-learn's inverse regularisation, ascending, each once.
    cs: Vec<f64>,
    /// What they are compared by.
    metric: Metric,
    /// Rounds of further candidates around the best.
    refine: usize,
}

impl Search {
    /// Compares these values of C by accuracy. They are sorted here and freed of repetitions, so that reports read upwards.
    pub fn new(cs: impl Into<Vec<f64>>) -> Self {
        let mut cs = cs.into();
        cs.sort_by(f64::total_cmp);
        cs.dedup();
        Self { cs, metric: Metric::Accuracy, refine: 0 }
    }

    /// Compares them by another metric.
    pub fn metric(mut self, metric: Metric) -> Self {
        self.metric = metric;
        self
    }

    /// Goes on for some rounds after the candidates given: each tries one value between the best C and its neighbour on either
    /// side, halfway in the logarithm; beyond the end of what has been tried, a step further, as wide as the last.
    pub fn refine(mut self, rounds: usize) -> Self {
        self.refine = rounds;
        self
    }

    /// Candidates for C, ascending, each once.
    pub fn cs(&self) -> &[f64] {
        &self.cs
    }

    /// What they are compared by.
    pub fn compared_by(&self) -> Metric {
        self.metric
    }

    /// Rounds of further candidates around the best.
    pub fn rounds(&self) -> usize {
        self.refine
    }

    /// The most values of C that are tried.
    pub(crate) fn most(&self) -> usize {
        self.cs.len() + 2 * self.refine
    }

    /// Refuses values of C that are not positive and finite, an empty list, rounds around a single C, which has no neighbours,
    /// and a metric that does not go with the head.
    ///
    /// # Errors
    /// [`Error::Parameter`].
    pub fn verify(&self, kind: HeadKind) -> Result<(), Error> {
        check_grid(kind, &self.cs)?;
        if self.refine > 0 && !kind.has_c() {
            return Err(Error::Parameter {
                name: "--refine",
                value: self.refine.to_string(),
                wanted: "only heads with a C have values of it between others; leave it out",
            });
        }
        if self.refine > 0 && self.cs.len() < 2 {
            return Err(Error::Parameter {
                name: "--refine",
                value: self.refine.to_string(),
                wanted: "a single C has no neighbours to try values between; give --c-grid with at least two values",
            });
        }
        self.metric.check(kind)
    }
}

/// Refuses points of a grid that make no sense for a kind of head.
pub(crate) fn check_grid(kind: HeadKind, cs: &[f64]) -> Result<(), Error> {
    match kind {
        HeadKind::Knn => check_neighbors(cs),
        HeadKind::Ncm if cs != [1.0] => Err(no_c(cs)),
        _ => check_cs(cs),
    }
}

/// Refuses numbers of neighbours that are not whole and positive, and an empty list.
fn check_neighbors(neighbors: &[f64]) -> Result<(), Error> {
    let wrong = |value: String| Error::Parameter {
        name: "--neighbors",
        value,
        wanted: "give whole numbers from 1, e.g. 1,3,5,11,21",
    };
    if neighbors.is_empty() {
        return Err(wrong("an empty list".into()));
    }
    match neighbors.iter().find(|k| !(k.fract() == 0.0 && (1.0..1e9).contains(*k))) {
        Some(k) => Err(wrong(k.to_string())),
        None => Ok(()),
    }
}

/// What is wrong with choosing among values of C for a head without.
fn no_c(cs: &[f64]) -> Error {
    let value = format!("{cs:?}");
    Error::Parameter { name: "C", value, wanted: "nearest class means (ncm) have no C; leave it out" }
}

/// Refuses values of C that are not positive and finite, and an empty list.
fn check_cs(cs: &[f64]) -> Result<(), Error> {
    let wrong = |value: String| Error::Parameter { name: "C", value, wanted: "give positive, finite numbers" };
    if cs.is_empty() {
        return Err(wrong("an empty list".into()));
    }
    match cs.iter().find(|c| !(c.is_finite() && **c > 0.0)) {
        Some(c) => Err(wrong(c.to_string())),
        None => Ok(()),
    }
}
