//! What to train: [`TrainParams`] as asked for, [`TrainValidParams`] once checked, in linfa's manner.

use linfa::ParamGuard;

use crate::Error;
use crate::calibration::{CalibrationChoice, CalibrationMethod};
use crate::criterion::Metric;
use crate::memory::Memory;
use crate::normalize::{Normalize, Scaling};
use crate::params::{HeadKind, HeadParams};
use crate::search::Search;
use crate::validation::Validation;

/// What to train, unchecked. `check()` turns it into [`TrainValidParams`].
#[derive(Debug, Clone, PartialEq)]
pub struct TrainParams(TrainValidParams);

/// What to train, known to be sensible.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainValidParams {
    head: HeadParams,
    search: Search,
    validation: Validation,
    nested: Option<usize>,
    scaling: Scaling,
    seed: u64,
    memory: Memory,
    held_out: HeldOutUse,
}

/// What the scores of held-out rows are for; without a use they are not made, for they take another fit on each fold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HeldOutUse {
    /// The map to probabilities that is fitted to them.
    pub calibration: CalibrationChoice,
    /// Whether they are handed out, row by row, for reports.
    pub keep: bool,
}

impl TrainParams {
    /// C = 1 (which is to be left as it is for heads that have none), five folds, seed 0, features as they are. A [`crate::HeadKind`] will do for the head.
    pub fn new(head: impl Into<HeadParams>) -> Self {
        Self(TrainValidParams {
            head: head.into(),
            search: Search::new([1.0]),
            validation: Validation::KFold(5),
            nested: None,
            scaling: Scaling::default(),
            seed: 0,
            memory: Memory::UNLIMITED,
            held_out: HeldOutUse::default(),
        })
    }

    /// Candidates for C, scikit-learn's inverse regularisation: the objective is `C · Σ loss + ½‖W‖²`.
    /// Sorted here and freed of repetitions, so that reports read upwards.
    pub fn cs(mut self, cs: impl Into<Vec<f64>>) -> Self {
        self.0.search = Search::new(cs).metric(self.0.search.compared_by()).refine(self.0.search.rounds());
        self
    }

    /// Candidates for the number of neighbours, for heads of kind [`HeadKind::Knn`], in place of C.
    pub fn neighbors(self, neighbors: impl IntoIterator<Item = usize>) -> Self {
        self.cs(neighbors.into_iter().map(|k| k as f64).collect::<Vec<_>>())
    }

    /// Candidates for C and what they are compared by, in one.
    pub fn search(mut self, search: Search) -> Self {
        self.0.search = search;
        self
    }

    /// What the candidates are compared by.
    pub fn metric(mut self, metric: Metric) -> Self {
        self.0.search = self.0.search.metric(metric);
        self
    }

    /// Rounds of further candidates around the best, see [`Search::refine`].
    pub fn refine(mut self, rounds: usize) -> Self {
        self.0.search = self.0.search.refine(rounds);
        self
    }

    /// On which rows the candidates are compared.
    pub fn validation(mut self, validation: Validation) -> Self {
        self.0.validation = validation;
        self
    }

    /// Outer folds around the whole selection, whose rows have no part in it: their scores are not optimistic. `None`: none.
    pub fn nested(mut self, folds: impl Into<Option<usize>>) -> Self {
        self.0.nested = folds.into();
        self
    }

    /// Whether each feature is brought to mean 0 and standard deviation 1 first, with the statistics of the training part of each
    /// fold alone. The head still acts on raw features.
    pub fn standardize(mut self, standardize: bool) -> Self {
        self.0.scaling.standardize = standardize;
        self
    }

    /// What is done to features, rows and columns.
    pub fn scaling(mut self, scaling: Scaling) -> Self {
        self.0.scaling = scaling;
        self
    }

    /// What is done to each row by itself, before any standardisation.
    pub fn normalize(mut self, normalize: Normalize) -> Self {
        self.0.scaling.normalize = normalize;
        self
    }

    /// Memory that training may use; none is spared unless this says so.
    pub fn memory(mut self, memory: Memory) -> Self {
        self.0.memory = memory;
        self
    }

    /// Seed of the folds.
    pub fn seed(mut self, seed: u64) -> Self {
        self.0.seed = seed;
        self
    }

    /// The map to probabilities that is fitted to the scores of held-out rows.
    pub fn calibration(mut self, calibration: CalibrationChoice) -> Self {
        self.0.held_out.calibration = calibration;
        self
    }

    /// Whether the scores of held-out rows, if there are any, are handed out with the outcome.
    pub fn keep_held_out(mut self, keep: bool) -> Self {
        self.0.held_out.keep = keep;
        self
    }
}

impl TrainValidParams {
    /// Memory that training may use.
    pub fn memory(&self) -> Memory {
        self.memory
    }

    /// What is fitted.
    pub fn head(&self) -> &HeadParams {
        &self.head
    }

    /// Candidates for C, and what they are compared by.
    pub fn search(&self) -> &Search {
        &self.search
    }

    /// On which rows the candidates are compared.
    pub fn validation(&self) -> &Validation {
        &self.validation
    }

    /// Outer folds around the whole selection.
    pub fn nested(&self) -> Option<usize> {
        self.nested
    }

    /// What is done to features.
    pub fn scaling(&self) -> Scaling {
        self.scaling
    }

    /// Seed of the folds.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// What the scores of held-out rows are for.
    pub fn held_out(&self) -> &HeldOutUse {
        &self.held_out
    }
}

impl TrainValidParams {
    fn verify(&self) -> Result<(), Error> {
        self.search.verify(self.head.kind)?;
        self.validation.verify()?;
        if let Some(folds) = self.nested {
            let wrong = |wanted| Err(Error::Parameter { name: "--nested", value: folds.to_string(), wanted });
            if folds < 2 {
                return wrong("use at least 2 outer folds");
            }
            if !matches!(self.validation, Validation::KFold(_) | Validation::Repeated { .. }) {
                return wrong("the selection within each outer fold needs the folds of --cv");
            }
        }
        let candidates = self.search.cs().len();
        if self.validation == Validation::None && candidates > 1 {
            let (name, of) = if self.head.kind == HeadKind::Knn { ("--neighbors", "k") } else { ("--c-grid", "C") };
            return Err(Error::Parameter {
                name,
                value: format!("{candidates} values of {of} without validation"),
                wanted: "choosing among several needs --cv or --split",
            });
        }
        if let (Validation::None, Some(method)) = (&self.validation, self.held_out.calibration.method(self.head.kind)) {
            return Err(no_held_out_rows(method));
        }
        self.head.verify()
    }
}

/// Why a head cannot be calibrated without validation.
pub(crate) fn no_held_out_rows(method: CalibrationMethod) -> Error {
    Error::Parameter {
        name: "--calibrate",
        value: format!("{} without validation", method.name()),
        wanted: "probabilities are fitted to rows that were held out; use --cv or --split",
    }
}

impl ParamGuard for TrainParams {
    type Checked = TrainValidParams;
    type Error = Error;

    fn check_ref(&self) -> Result<&TrainValidParams, Error> {
        self.0.verify()?;
        Ok(&self.0)
    }

    fn check(self) -> Result<TrainValidParams, Error> {
        self.0.verify()?;
        Ok(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_are_sorted_and_unique() {
        let params = TrainParams::new(HeadKind::Svm).cs([1.0, 0.1, 1.0]).check().unwrap();
        assert_eq!(params.search().cs(), [0.1, 1.0]);
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        let message = |params: TrainParams| params.check().unwrap_err().to_string();
        let logistic = TrainParams::new(HeadKind::Logistic);
        assert!(message(logistic.clone().cs([0.0])).contains("C is 0"));
        assert!(message(logistic.clone().cs([f64::NAN])).contains("NaN"));
        assert!(message(logistic.clone().cs([])).contains("empty"));
        assert!(message(logistic.clone().validation(Validation::KFold(1))).contains("--cv is 1"));
        assert!(message(logistic.clone().cs([1.0, 2.0]).validation(Validation::None)).contains("--cv or --split"));
        let svm = TrainParams::new(HeadKind::Svm).metric(Metric::LogLoss);
        assert!(message(svm).contains("--metric is logloss, but heads of kind svm give no probabilities"));
        assert!(logistic.clone().metric(Metric::LogLoss).check().is_ok());
        assert!(message(logistic.clone().refine(2)).contains("--refine is 2: a single C has no neighbours"));
        assert!(message(logistic.clone().nested(1)).contains("--nested is 1: use at least 2 outer folds"));
        let fixed = logistic.clone().nested(3).validation(Validation::Holdout(vec![0]));
        assert!(message(fixed).contains("--nested is 3") && logistic.clone().nested(3).check().is_ok());
        let repeated = |folds, repeats| logistic.clone().validation(Validation::Repeated { folds, repeats });
        assert!(message(repeated(1, 3)).contains("--cv is 1"));
        assert!(message(repeated(5, 0)).contains("--repeats is 0"));
        let tolerance = HeadParams { tolerance: 0.0, ..HeadParams::new(HeadKind::Logistic) };
        assert!(message(TrainParams::new(tolerance)).contains("--tol is 0"));
        let calibrated = logistic.clone().calibration(CalibrationChoice::Auto);
        assert!(calibrated.clone().check().is_ok());
        let none = message(calibrated.validation(Validation::None));
        assert!(none.contains("--calibrate is temperature without validation"), "{none}");
        assert!("beta".parse::<CalibrationChoice>().unwrap_err().to_string().contains("platt, isotonic"));
        let knn = TrainParams::new(HeadKind::Knn).neighbors([1, 3]);
        assert!(message(knn.refine(1)).contains("--refine is 1: only heads with a C"));
        let metrics = "choose accuracy, balanced, logloss or auc";
        assert!("f1".parse::<Metric>().unwrap_err().to_string().contains(metrics));
    }
}
