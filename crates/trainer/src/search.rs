//! Which values of C are tried, and what they are compared by.

use crate::Error;
use crate::criterion::Metric;
use crate::params::{HeadKind, check_cs};

/// A search for the best C.
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    /// Candidates: scikit-learn's inverse regularisation, ascending, each once.
    cs: Vec<f64>,
    /// What they are compared by.
    metric: Metric,
}

impl Search {
    /// Compares these values of C by accuracy. They are sorted here and freed of repetitions, so that reports read upwards.
    pub fn new(cs: impl Into<Vec<f64>>) -> Self {
        let mut cs = cs.into();
        cs.sort_by(f64::total_cmp);
        cs.dedup();
        Self { cs, metric: Metric::Accuracy }
    }

    /// Compares them by another metric.
    pub fn metric(mut self, metric: Metric) -> Self {
        self.metric = metric;
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

    /// Refuses values of C that are not positive and finite, an empty list, and a metric that does not go with the head.
    ///
    /// # Errors
    /// [`Error::Parameter`].
    pub fn verify(&self, kind: HeadKind) -> Result<(), Error> {
        check_cs(&self.cs)?;
        self.metric.check(kind)
    }
}
