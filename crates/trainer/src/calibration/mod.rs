//! Maps from scores to probabilities, fitted on rows that the scores' model had not seen.
//!
//! Two classes have one score here, the difference of theirs; more have one each. Platt's and isotonic maps stand for each
//! class against the rest, and their results are normalised to sum 1, as in scikit-learn's `CalibratedClassifierCV`; one
//! temperature serves all classes. Rows count the same, whatever weights they were fitted with: probabilities are those of
//! images as they come.

mod error;
mod isotonic;
mod platt;
mod summary;
mod temperature;

use ndarray::{Array2, ArrayView2, Axis};
use serde::{Deserialize, Serialize};

pub use error::{ECE_BINS, ProbabilityScores};
pub(crate) use error::{ProbabilityTally, log_losses as log_losses_of_probabilities};
pub use isotonic::Curve;
pub use summary::CalibrationSummary;
pub(crate) use summary::{CrossFitted, cross_fit};

use crate::Error;
use crate::metrics::{argmax_rows, log_losses, softmax_rows};
use crate::params::HeadKind;

/// Probabilities that differ by less are equally likely: no map knows them so well, and sums in another order differ by more than
/// nothing.
pub(crate) const TIE: f64 = 1e-9;

/// Which map from scores to probabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CalibrationMethod {
    /// A sigmoid for each class: Platt, "Probabilistic Outputs for Support Vector Machines", 1999.
    Platt,
    /// A rising curve for each class: Zadrozny and Elkan, "Transforming Classifier Scores into Accurate Multiclass
    /// Probability Estimates", 2002.
    Isotonic,
    /// softmax(scores / T): Guo et al., "On Calibration of Modern Neural Networks", 2017. Leaves every prediction as it is.
    Temperature,
}

impl CalibrationMethod {
    /// The name used on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Platt => "platt",
            Self::Isotonic => "isotonic",
            Self::Temperature => "temperature",
        }
    }
}

/// Whether a head is to be calibrated, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CalibrationChoice {
    /// Not at all: logistic heads give the probabilities of their model, others none.
    #[default]
    None,
    /// What suits the head: a temperature where scores are log-likelihoods up to one factor (logistic, ncm), else Platt's sigmoids.
    Auto,
    /// This one.
    Method(CalibrationMethod),
}

impl CalibrationChoice {
    /// What it comes to for one kind of head.
    pub fn method(self, kind: HeadKind) -> Option<CalibrationMethod> {
        match (self, kind) {
            (Self::None, _) => None,
            (Self::Method(method), _) => Some(method),
            (Self::Auto, HeadKind::Logistic | HeadKind::Ncm) => Some(CalibrationMethod::Temperature),
            (Self::Auto, HeadKind::Svm | HeadKind::Ridge | HeadKind::Knn) => Some(CalibrationMethod::Platt),
        }
    }
}

impl std::str::FromStr for CalibrationChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "none" => Ok(Self::None),
            "auto" => Ok(Self::Auto),
            "platt" => Ok(Self::Method(CalibrationMethod::Platt)),
            "isotonic" => Ok(Self::Method(CalibrationMethod::Isotonic)),
            "temperature" => Ok(Self::Method(CalibrationMethod::Temperature)),
            _ => Err(Error::Parameter {
                name: "--calibrate",
                value: format!("'{text}'"),
                wanted: "choose none, platt, isotonic, temperature or auto",
            }),
        }
    }
}

/// A fitted map from scores to probabilities.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "lowercase")]
pub enum Calibration {
    /// 1 / (1 + exp(−(slope · score + intercept))), normalised.
    Platt {
        /// One for two classes, else one each.
        slope: Vec<f64>,
        /// As many.
        intercept: Vec<f64>,
    },
    /// Curves between knots, normalised; uniform where all are 0.
    Isotonic {
        /// One for two classes, else one each.
        curves: Vec<Curve>,
    },
    /// softmax(scores / temperature).
    Temperature {
        /// Positive; above 1 the scores were too sure.
        temperature: f64,
    },
}

impl Calibration {
    /// Fits a map to n × k scores (k at least 2) and the n class indices that they should tell.
    pub fn fit(method: CalibrationMethod, scores: ArrayView2<f64>, labels: &[usize]) -> Self {
        let columns = one_against_rest(scores);
        let positive = |output: usize| if columns.ncols() == 1 { 1 } else { output };
        let sides = |output: usize| -> Vec<(f64, bool)> {
            let rows = columns.column(output).into_iter().copied();
            rows.zip(labels).map(|(score, &label)| (score, label == positive(output))).collect()
        };
        match method {
            CalibrationMethod::Platt => {
                let fits = (0..columns.ncols()).map(|output| platt::fit(sides(output)));
                let (slope, intercept) = fits.unzip();
                Self::Platt { slope, intercept }
            }
            CalibrationMethod::Isotonic => {
                Self::Isotonic { curves: (0..columns.ncols()).map(|output| Curve::fit(sides(output))).collect() }
            }
            CalibrationMethod::Temperature => Self::Temperature { temperature: temperature::fit(scores, labels) },
        }
    }

    /// Which map it is.
    pub fn method(&self) -> CalibrationMethod {
        match self {
            Self::Platt { .. } => CalibrationMethod::Platt,
            Self::Isotonic { .. } => CalibrationMethod::Isotonic,
            Self::Temperature { .. } => CalibrationMethod::Temperature,
        }
    }

    /// n × k probabilities of n × k scores; each row sums to 1.
    ///
    /// # Panics
    /// If the scores are of another number of classes.
    pub fn probabilities(&self, scores: ArrayView2<f64>) -> Array2<f64> {
        let mut values = match self {
            Self::Temperature { temperature } => {
                let mut scaled = scores.mapv(|score| score / temperature);
                softmax_rows(&mut scaled);
                return scaled;
            }
            _ => one_against_rest(scores),
        };
        let outputs = values.ncols();
        assert_eq!(self.outputs(), Some(outputs), "scores of the classes that it was fitted on");
        for (output, mut column) in values.axis_iter_mut(Axis(1)).enumerate() {
            column.mapv_inplace(|score| self.share(output, score));
        }
        if outputs == 1 {
            return Array2::from_shape_fn(scores.dim(), |(row, class)| match class {
                0 => 1.0 - values[[row, 0]],
                _ => values[[row, 0]],
            });
        }
        for mut row in values.outer_iter_mut() {
            let sum = row.sum();
            row.mapv_inplace(|value| if sum > 0.0 { value / sum } else { 1.0 / outputs as f64 });
        }
        values
    }

    /// The probability that one output gives a score by itself.
    fn share(&self, output: usize, score: f64) -> f64 {
        match self {
            Self::Platt { slope, intercept } => platt::sigmoid(slope[output] * score + intercept[output]),
            Self::Isotonic { curves } => curves[output].at(score),
            Self::Temperature { .. } => score,
        }
    }

    /// The class of each row: the likeliest; of those within [`TIE`] of it (plateaus have many) the one that the head chooses
    /// without a map, `uncalibrated`, else the one with the best score, of these the first. A temperature leaves every choice as
    /// it is, whatever rounding does to the probabilities.
    pub fn predict(
        &self,
        scores: ArrayView2<f64>,
        probabilities: ArrayView2<f64>,
        uncalibrated: &[usize],
    ) -> Vec<usize> {
        if let Self::Temperature { .. } = self {
            return uncalibrated.to_vec();
        }
        let mut likely = scores.to_owned();
        for ((mut scores, shares), &own) in likely.outer_iter_mut().zip(probabilities.outer_iter()).zip(uncalibrated) {
            let top = shares.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let less = scores.iter_mut().zip(shares).filter(|(_, share)| **share < top - TIE);
            less.for_each(|(score, _)| *score = f64::NEG_INFINITY);
            if scores[own].is_finite() {
                scores[own] = f64::INFINITY;
            }
        }
        argmax_rows(likely.view())
    }

    /// Negative log-likelihood of each row's true class in nats. Probabilities below 2.2e-16, such as the zeros of isotonic
    /// curves, count as that, as in scikit-learn's `log_loss`; temperatures need no such bound.
    pub(crate) fn log_losses(
        &self,
        scores: ArrayView2<f64>,
        probabilities: ArrayView2<f64>,
        labels: &[usize],
    ) -> Vec<f64> {
        match self {
            Self::Temperature { temperature } => log_losses(scores.mapv(|score| score / temperature).view(), labels),
            _ => error::log_losses(probabilities, labels),
        }
    }

    /// One for two classes, else one each; none where the number does not matter.
    fn outputs(&self) -> Option<usize> {
        match self {
            Self::Platt { slope, .. } => Some(slope.len()),
            Self::Isotonic { curves } => Some(curves.len()),
            Self::Temperature { .. } => None,
        }
    }

    /// Says what is wrong with a map that was read from a file, for a head of so many classes.
    ///
    /// # Errors
    /// Another number of outputs, numbers that are not finite, curves that fall.
    pub(crate) fn check(&self, classes: usize) -> Result<(), String> {
        let wanted = if classes == 2 { 1 } else { classes };
        if let Some(outputs) = self.outputs().filter(|&outputs| outputs != wanted) {
            return Err(format!("calibration: {outputs} outputs for {classes} classes"));
        }
        match self {
            Self::Platt { slope, intercept } => {
                if intercept.len() != slope.len() {
                    return Err(format!("calibration.intercept: {} values, not {}", intercept.len(), slope.len()));
                }
                match slope.iter().chain(intercept).all(|value| value.is_finite()) {
                    true => Ok(()),
                    false => Err("calibration.slope, calibration.intercept: some values are not finite".into()),
                }
            }
            Self::Isotonic { curves } => curves.iter().try_for_each(Curve::check),
            Self::Temperature { temperature } if temperature.is_finite() && *temperature > 0.0 => Ok(()),
            Self::Temperature { temperature } => {
                Err(format!("calibration.temperature: {temperature} is not a positive number"))
            }
        }
    }
}

/// One score for two classes, the difference; else the scores themselves.
fn one_against_rest(scores: ArrayView2<f64>) -> Array2<f64> {
    if scores.ncols() == 2 { (&scores.column(1) - &scores.column(0)).insert_axis(Axis(1)) } else { scores.to_owned() }
}

#[cfg(test)]
mod tests;
