//! What is fitted: kinds of heads, their losses, and what else decides the optimum but C and the data.

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::neighbors::KnnMetric;

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
    /// Nearest class mean: the class whose mean is nearest, by Euclidean distance (of standardised features where these are asked
    /// for). The score is −½‖x − mean‖² up to what all classes share.
    Ncm,
    /// k nearest neighbours: the class that most of the nearest training vectors have.
    Knn,
}

impl HeadKind {
    /// The name used on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Logistic => "logistic",
            Self::Svm => "svm",
            Self::Ridge => "ridge",
            Self::Ncm => "ncm",
            Self::Knn => "knn",
        }
    }

    /// Whether the head minimises `C · Σ loss + ½‖W‖²`, so that there is a C to choose.
    pub fn has_c(self) -> bool {
        matches!(self, Self::Logistic | Self::Svm | Self::Ridge)
    }

    /// Whether the head gives probabilities by itself.
    pub fn is_probabilistic(self) -> bool {
        matches!(self, Self::Logistic | Self::Knn)
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
            "ncm" => Ok(Self::Ncm),
            "knn" => Ok(Self::Knn),
            _ => Err(Error::Parameter {
                name: "--head",
                value: format!("'{text}'"),
                wanted: "choose logistic, svm, ridge, ncm or knn",
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

impl SvmLoss {
    /// The name used on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hinge => "hinge",
            Self::SquaredHinge => "squared-hinge",
        }
    }
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

/// What the bias costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Bias {
    /// Nothing: libsvm's objective, and that of scikit-learn's `LogisticRegression` (lbfgs) and `RidgeClassifier`. Moving all features
    /// by the same amount changes no score.
    #[default]
    Free,
    /// As much as a weight: liblinear's objective, and so that of scikit-learn's `LinearSVC` (at `intercept_scaling=1`). The bias is
    /// one more weight, on a feature that is 1 in every row. (With standardisation it is 1 beside the standardised features.)
    Regularized,
}

impl Bias {
    /// The name used on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Regularized => "regularized",
        }
    }
}

impl std::str::FromStr for Bias {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "free" => Ok(Self::Free),
            "regularized" => Ok(Self::Regularized),
            _ => Err(Error::Parameter {
                name: "--bias",
                value: format!("'{text}'"),
                wanted: "choose free or regularized",
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
    /// What near means to nearest neighbours.
    pub knn_metric: KnnMetric,
    /// What the bias costs.
    pub bias: Bias,
    /// What the certificate of each fit has to reach; see [`crate::Measure`].
    pub tolerance: f64,
}

impl HeadParams {
    /// The default engine and tolerance, all rows of equal weight, the bias free.
    pub fn new(kind: HeadKind) -> Self {
        Self {
            kind,
            svm_loss: SvmLoss::Hinge,
            engine: EngineChoice::Default,
            class_weight: ClassWeight::None,
            knn_metric: KnnMetric::Euclidean,
            bias: Bias::Free,
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
            // Means minimise the sum of squared distances, and neighbours nothing; there is no loss weighed against a penalty.
            HeadKind::Ridge | HeadKind::Ncm | HeadKind::Knn => Loss::Squared,
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
        if !self.kind.has_c() {
            self.verify_without_loss()?;
        }
        if self.engine == EngineChoice::Linfa {
            if self.loss() == Loss::Logistic && self.class_weight != ClassWeight::None {
                return Err(Error::LinfaWeights);
            }
            if self.bias == Bias::Regularized {
                let value = self.bias.name().into();
                let wanted = "linfa leaves the bias free; use --engine default to penalise it";
                return Err(Error::Parameter { name: "--bias", value, wanted });
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

impl HeadParams {
    /// Refuses what only heads with a loss heed.
    fn verify_without_loss(&self) -> Result<(), Error> {
        if self.engine == EngineChoice::Linfa {
            let wanted = "linfa has logistic heads and SVMs; leave --engine out for others";
            return Err(Error::Parameter { name: "--engine", value: "linfa".into(), wanted });
        }
        if self.class_weight == ClassWeight::Balanced {
            let wanted = "class means (ncm) and neighbours (knn) do not heed it; leave --class-weight out";
            return Err(Error::Parameter { name: "--class-weight", value: "balanced".into(), wanted });
        }
        if self.bias == Bias::Regularized {
            let wanted = "class means (ncm) and neighbours (knn) have no bias to choose; leave --bias out";
            return Err(Error::Parameter { name: "--bias", value: "regularized".into(), wanted });
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_refused_by_name() {
        let mut head = HeadParams::new(HeadKind::Logistic);
        let message = |head: HeadParams| head.check().unwrap_err().to_string();
        assert!(message(HeadParams { tolerance: 0.0, ..head }).contains("--tol is 0"));
        head.class_weight = ClassWeight::Balanced;
        assert!(head.check().is_ok());
        head.engine = EngineChoice::Linfa;
        assert!(message(head).contains("linfa-logistic"));
        let regularized = HeadParams { bias: Bias::Regularized, ..HeadParams::new(HeadKind::Svm) };
        assert!(regularized.check().is_ok());
        let message = HeadParams { engine: EngineChoice::Linfa, ..regularized }.check().unwrap_err().to_string();
        assert!(message.contains("--bias is regularized") && message.contains("--engine default"), "{message}");
        assert!("none".parse::<Bias>().unwrap_err().to_string().contains("free or regularized"));
        assert!("forest".parse::<HeadKind>().unwrap_err().to_string().contains("logistic, svm, ridge, ncm or knn"));
        assert!("fast".parse::<EngineChoice>().unwrap_err().to_string().contains("default or linfa"));
    }
}
