//! Hyper-parameters: [`TrainParams`] as asked for, [`TrainValidParams`] once checked, in linfa's manner.

use linfa::ParamGuard;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::criterion::Metric;
use crate::normalize::{Normalize, Scaling};
use crate::search::Search;
use crate::validation::Validation;

/// What kind of classifier the head is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HeadKind {
    /// L2-regularised logistic regression: binary for two classes, multinomial otherwise.
    Logistic,
    /// Linear support vector machine, one against the rest.
    Svm,
    /// Ridge classifier: least squares on targets of ±1, one against the rest.
    Ridge,
}

impl HeadKind {
    /// The name used on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Logistic => "logistic",
            Self::Svm => "svm",
            Self::Ridge => "ridge",
        }
    }

    /// Whether the head gives probabilities.
    pub fn is_probabilistic(self) -> bool {
        matches!(self, Self::Logistic)
    }
}

impl std::fmt::Display for HeadKind {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.name())
    }
}

impl std::str::FromStr for HeadKind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "logistic" => Ok(Self::Logistic),
            "svm" => Ok(Self::Svm),
            "ridge" => Ok(Self::Ridge),
            _ => Err(Error::Parameter {
                name: "--head",
                value: format!("'{text}'"),
                wanted: "choose logistic, svm or ridge",
            }),
        }
    }
}

/// How much a row counts, by its class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClassWeight {
    /// Every row counts the same.
    #[default]
    None,
    /// All classes count the same in total. Logistic: a row weighs n / (k · n_c), as in scikit-learn's
    /// `LogisticRegression(class_weight="balanced")`. SVM: both sides of a one-against-the-rest problem count the same, a row
    /// weighs n / (2 · rows of its side), as in `OneVsRestClassifier(SVC(class_weight="balanced"))`; with two classes it's the
    /// same.
    Balanced,
}

/// What an SVM pays for a row whose score on its own side is m.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SvmLoss {
    /// max(0, 1 − m), libsvm's and scikit-learn's `SVC`.
    #[default]
    Hinge,
    /// max(0, 1 − m)², the default of liblinear and scikit-learn's `LinearSVC`.
    SquaredHinge,
}

impl std::str::FromStr for SvmLoss {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "hinge" => Ok(Self::Hinge),
            "squared-hinge" => Ok(Self::SquaredHinge),
            _ => Err(Error::Parameter {
                name: "--loss",
                value: format!("'{text}'"),
                wanted: "choose hinge or squared-hinge",
            }),
        }
    }
}

/// Which implementation solves the problem. Both minimise the same function and are judged by the same certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineChoice {
    /// headstart's own. Logistic: preconditioned L-BFGS, finished by Newton steps. SVM: sequential minimal optimisation on one
    /// Gram matrix for all classes and C, relieved by an interior-point method where C is large.
    #[default]
    Default,
    /// linfa alone, for comparison: linfa-logistic and linfa-svm. Their results can be far from the optimum, or take very long,
    /// for large C; the certificate tells.
    Linfa,
}

impl std::str::FromStr for ClassWeight {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "none" => Ok(Self::None),
            "balanced" => Ok(Self::Balanced),
            _ => Err(Error::Parameter {
                name: "--class-weight",
                value: format!("'{text}'"),
                wanted: "choose none or balanced",
            }),
        }
    }
}

impl std::str::FromStr for EngineChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "default" => Ok(Self::Default),
            "linfa" => Ok(Self::Linfa),
            _ => Err(Error::Parameter {
                name: "--engine",
                value: format!("'{text}'"),
                wanted: "choose default or linfa",
            }),
        }
    }
}

/// Bound on the certificate unless another is asked for: relative error of the weights, or relative duality gap.
pub const DEFAULT_TOLERANCE: f64 = 1e-4;

/// What is fitted, apart from C and the data.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeadParams {
    /// What kind of classifier.
    pub kind: HeadKind,
    /// What an SVM pays for rows within the margin; other heads have one loss each.
    pub svm_loss: SvmLoss,
    /// Which implementation solves it.
    pub engine: EngineChoice,
    /// How much rows count, by class.
    pub class_weight: ClassWeight,
    /// What the certificate of each fit has to reach; see [`crate::Measure`].
    pub tolerance: f64,
}

impl HeadParams {
    /// The default engine and tolerance, all rows of equal weight.
    pub fn new(kind: HeadKind) -> Self {
        Self {
            kind,
            svm_loss: SvmLoss::Hinge,
            engine: EngineChoice::Default,
            class_weight: ClassWeight::None,
            tolerance: DEFAULT_TOLERANCE,
        }
    }

    /// The loss of one row.
    pub(crate) fn loss(&self) -> Loss {
        match self.kind {
            HeadKind::Logistic => Loss::Logistic,
            HeadKind::Svm => match self.svm_loss {
                SvmLoss::Hinge => Loss::Hinge,
                SvmLoss::SquaredHinge => Loss::SquaredHinge,
            },
            HeadKind::Ridge => Loss::Squared,
        }
    }

    /// The same, if it can be fitted.
    ///
    /// # Errors
    /// [`Error::Parameter`] or [`Error::LinfaWeights`].
    pub fn check(self) -> Result<Self, Error> {
        self.verify()?;
        Ok(self)
    }

    /// Refuses what cannot be fitted.
    pub(crate) fn verify(&self) -> Result<(), Error> {
        if !(self.tolerance > 0.0 && self.tolerance < 1.0) {
            let value = self.tolerance.to_string();
            return Err(Error::Parameter { name: "--tol", value, wanted: "give a number between 0 and 1, e.g. 1e-4" });
        }
        if self.engine == EngineChoice::Linfa {
            if self.loss() == Loss::Logistic && self.class_weight != ClassWeight::None {
                return Err(Error::LinfaWeights);
            }
            if matches!(self.loss(), Loss::SquaredHinge | Loss::Squared) {
                let value = "linfa".into();
                let wanted = "linfa has logistic heads and SVMs with hinge loss; use --engine default for others";
                return Err(Error::Parameter { name: "--engine", value, wanted });
            }
        }
        Ok(())
    }
}

impl From<HeadKind> for HeadParams {
    fn from(kind: HeadKind) -> Self {
        Self::new(kind)
    }
}

/// What a row costs for its scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// Negative log-likelihood of the true class, of all classes together.
    Logistic,
    /// max(0, 1 − m), for each class against the rest.
    Hinge,
    /// max(0, 1 − m)², for each class against the rest.
    SquaredHinge,
    /// (1 − m)², for each class against the rest: least squares on targets of ±1.
    Squared,
}

impl Loss {
    /// The loss of a row whose score on its own side is `margin`, where each class stands against the rest.
    pub(crate) fn of_margin(self, margin: f64) -> f64 {
        match self {
            Self::Logistic => (-margin).max(0.0) + (-margin.abs()).exp().ln_1p(),
            Self::Hinge => (1.0 - margin).max(0.0),
            Self::SquaredHinge => (1.0 - margin).max(0.0).powi(2),
            Self::Squared => (1.0 - margin).powi(2),
        }
    }
}

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
}

impl TrainParams {
    /// C = 1, five folds, seed 0, features as they are. A [`HeadKind`] will do for the head.
    pub fn new(head: impl Into<HeadParams>) -> Self {
        Self(TrainValidParams {
            head: head.into(),
            search: Search::new([1.0]),
            validation: Validation::KFold(5),
            nested: None,
            scaling: Scaling::default(),
            seed: 0,
        })
    }

    /// Candidates for C, scikit-learn's inverse regularisation: the objective is `C · Σ loss + ½‖W‖²`.
    /// Sorted here and freed of repetitions, so that reports read upwards.
    pub fn cs(mut self, cs: impl Into<Vec<f64>>) -> Self {
        self.0.search = Search::new(cs).metric(self.0.search.compared_by()).refine(self.0.search.rounds());
        self
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

    /// Seed of the folds.
    pub fn seed(mut self, seed: u64) -> Self {
        self.0.seed = seed;
        self
    }
}

impl TrainValidParams {
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
}

/// Refuses values of C that are not positive and finite, and an empty list.
pub(crate) fn check_cs(cs: &[f64]) -> Result<(), Error> {
    let wrong = |value: String| Error::Parameter { name: "C", value, wanted: "give positive, finite numbers" };
    if cs.is_empty() {
        return Err(wrong("an empty list".into()));
    }
    match cs.iter().find(|c| !(c.is_finite() && **c > 0.0)) {
        Some(c) => Err(wrong(c.to_string())),
        None => Ok(()),
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
            return Err(Error::Parameter {
                name: "--c-grid",
                value: format!("{candidates} values of C without validation"),
                wanted: "choosing among several needs --cv or --split",
            });
        }
        self.head.verify()
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
        let mut head = HeadParams::new(HeadKind::Logistic);
        assert!(message(TrainParams::new(HeadParams { tolerance: 0.0, ..head })).contains("--tol is 0"));
        head.class_weight = ClassWeight::Balanced;
        assert!(head.check().is_ok());
        head.engine = EngineChoice::Linfa;
        assert!(message(TrainParams::new(head)).contains("linfa-logistic"));
        assert!("forest".parse::<HeadKind>().unwrap_err().to_string().contains("logistic, svm or ridge"));
        let metrics = "choose accuracy, balanced, logloss or auc";
        assert!("f1".parse::<Metric>().unwrap_err().to_string().contains(metrics));
        assert!("fast".parse::<EngineChoice>().unwrap_err().to_string().contains("default or linfa"));
    }
}
