//! Hyper-parameters: [`TrainParams`] as asked for, [`TrainValidParams`] once checked, in linfa's manner.

use linfa::ParamGuard;
use serde::{Deserialize, Serialize};

use crate::Error;

/// What kind of classifier the head is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HeadKind {
    /// L2-regularised logistic regression: binary for two classes, multinomial otherwise.
    Logistic,
    /// Linear support vector machine with hinge loss, one against the rest.
    Svm,
}

impl HeadKind {
    /// The name used on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Logistic => "logistic",
            Self::Svm => "svm",
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
            _ => Err(Error::Parameter { name: "--head", value: format!("'{text}'"), wanted: "choose logistic or svm" }),
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
    /// Both sides of a one-against-the-rest problem count the same in total: a row weighs n / (2 · rows of its side), as in
    /// scikit-learn's `OneVsRestClassifier(SVC(class_weight="balanced"))`. With two classes that is n / (k · n_c).
    Balanced,
}

/// Which implementation solves the problem. Both minimise the same function and are judged by the same certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineChoice {
    /// The fastest. Logistic: linfa-logistic, finished by Newton steps. SVM: sequential minimal optimisation on one Gram matrix for
    /// all classes and C, relieved by an interior-point method where C is large.
    #[default]
    Default,
    /// linfa alone, for comparison: linfa-logistic and linfa-svm. Their results can be far from the optimum, or take very long,
    /// for large C; the certificate tells.
    Linfa,
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

/// On which rows the candidates for C are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Validation {
    /// Stratified k-fold cross-validation over groups; the head is refitted on all rows.
    KFold(usize),
    /// A fixed split: these rows (indices into the samples) validate, all others train. The head is fitted on the training rows
    /// alone, so that the validation score belongs to the very head that is saved.
    Holdout(Vec<usize>),
    /// No validation, for one value of C.
    None,
}

/// What to train, unchecked. `check()` turns it into [`TrainValidParams`].
#[derive(Debug, Clone, PartialEq)]
pub struct TrainParams(TrainValidParams);

/// What to train, known to be sensible.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainValidParams {
    kind: HeadKind,
    cs: Vec<f64>,
    validation: Validation,
    standardize: bool,
    class_weight: ClassWeight,
    engine: EngineChoice,
    seed: u64,
}

impl TrainParams {
    /// C = 1, five folds, seed 0, features as they are, all rows of equal weight.
    pub fn new(kind: HeadKind) -> Self {
        Self(TrainValidParams {
            kind,
            cs: vec![1.0],
            validation: Validation::KFold(5),
            standardize: false,
            class_weight: ClassWeight::None,
            engine: EngineChoice::Default,
            seed: 0,
        })
    }

    /// Candidates for C, scikit-learn's inverse regularisation: the objective is `C · Σ loss + ½‖W‖²`.
    /// Sorted here and freed of repetitions, so that reports read upwards.
    pub fn cs(mut self, cs: impl Into<Vec<f64>>) -> Self {
        self.0.cs = cs.into();
        self.0.cs.sort_by(f64::total_cmp);
        self.0.cs.dedup();
        self
    }

    /// How the candidates are compared.
    pub fn validation(mut self, validation: Validation) -> Self {
        self.0.validation = validation;
        self
    }

    /// Whether each feature is brought to mean 0 and standard deviation 1 first, with the statistics of the training part of each
    /// fold alone. The head still acts on raw features.
    pub fn standardize(mut self, standardize: bool) -> Self {
        self.0.standardize = standardize;
        self
    }

    /// How much rows count, by class.
    pub fn class_weight(mut self, class_weight: ClassWeight) -> Self {
        self.0.class_weight = class_weight;
        self
    }

    /// Which implementation solves it.
    pub fn engine(mut self, engine: EngineChoice) -> Self {
        self.0.engine = engine;
        self
    }

    /// Seed of the folds.
    pub fn seed(mut self, seed: u64) -> Self {
        self.0.seed = seed;
        self
    }
}

impl TrainValidParams {
    /// What kind of head.
    pub fn kind(&self) -> HeadKind {
        self.kind
    }

    /// Candidates for C, ascending, each once.
    pub fn cs(&self) -> &[f64] {
        &self.cs
    }

    /// How the candidates are compared.
    pub fn validation(&self) -> &Validation {
        &self.validation
    }

    /// Whether features are standardised.
    pub fn standardize(&self) -> bool {
        self.standardize
    }

    /// How much rows count, by class.
    pub fn class_weight(&self) -> ClassWeight {
        self.class_weight
    }

    /// Which implementation solves it.
    pub fn engine(&self) -> EngineChoice {
        self.engine
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
        check_cs(&self.cs)?;
        check_validation(&self.validation)?;
        if self.validation == Validation::None && self.cs.len() > 1 {
            return Err(Error::Parameter {
                name: "--c-grid",
                value: format!("{} values of C without validation", self.cs.len()),
                wanted: "choosing among several needs --cv or --split",
            });
        }
        check_class_weight(self.kind, self.class_weight)
    }
}

/// Refuses fewer than two folds: there would be nothing to train on while one of them is held out.
pub(crate) fn check_validation(validation: &Validation) -> Result<(), Error> {
    match validation {
        Validation::KFold(folds) if *folds < 2 => {
            Err(Error::Parameter { name: "--cv", value: folds.to_string(), wanted: "use at least 2 folds" })
        }
        _ => Ok(()),
    }
}

/// Refuses class weights where the engine has none.
pub(crate) fn check_class_weight(kind: HeadKind, class_weight: ClassWeight) -> Result<(), Error> {
    match (kind, class_weight) {
        (HeadKind::Logistic, ClassWeight::Balanced) => Err(Error::ClassWeightLogistic),
        _ => Ok(()),
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
        assert_eq!(params.cs(), [0.1, 1.0]);
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
        assert!(message(logistic.class_weight(ClassWeight::Balanced)).contains("logistic"));
        assert!("forest".parse::<HeadKind>().unwrap_err().to_string().contains("logistic or svm"));
        assert!("fast".parse::<EngineChoice>().unwrap_err().to_string().contains("default or linfa"));
    }
}
