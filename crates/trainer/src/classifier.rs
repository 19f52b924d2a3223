//! What decides inside every head: a rule that gives scores, and where there is one, the map from these to probabilities.

use ndarray::{Array2, ArrayView2};

use crate::Error;
use crate::calibration::{Calibration, log_losses_of_probabilities};
use crate::features::Features;
use crate::metrics::{argmax_rows, log_losses, softmax_rows};
use crate::model::LinearModel;
use crate::neighbors::{NeighborsModel, Votes};
use crate::normalize::Normalize;
use crate::params::HeadKind;
use crate::tuned::Tuned;

/// A rule with its calibration, if it has one.
///
/// The class of a row is the one of the best score (of equal votes, the one of the nearest voter); of a calibrated head the likeliest, as in scikit-learn, and where several
/// are equally likely the best score among these.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    rule: Rule,
    calibration: Option<Calibration>,
}

/// How scores come about.
#[derive(Debug, Clone, PartialEq)]
pub enum Rule {
    /// `W x + b`.
    Linear(LinearModel),
    /// A vote of the nearest training vectors.
    Neighbors(NeighborsModel),
}

/// What a model says of some rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdicts {
    /// n × k scores.
    pub decision: Array2<f64>,
    /// n × k probabilities, for models that have them.
    pub probabilities: Option<Array2<f64>>,
    /// The class of each row.
    pub predicted: Vec<usize>,
}

impl From<LinearModel> for Model {
    fn from(model: LinearModel) -> Self {
        Self { rule: Rule::Linear(model), calibration: None }
    }
}

impl From<NeighborsModel> for Model {
    fn from(model: NeighborsModel) -> Self {
        Self { rule: Rule::Neighbors(model), calibration: None }
    }
}

impl Model {
    /// The same rule with a map to probabilities, or with none.
    ///
    /// # Errors
    /// Says what is wrong with a map that does not fit the rule.
    pub fn calibrated(self, calibration: Option<Calibration>) -> Result<Self, String> {
        calibration.as_ref().map(|map| map.check(self.classes().len())).transpose()?;
        Ok(Self { calibration, ..self })
    }

    /// How scores come about.
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    /// The linear model, of heads that are one.
    pub fn linear(&self) -> Option<&LinearModel> {
        match &self.rule {
            Rule::Linear(model) => Some(model),
            Rule::Neighbors(_) => None,
        }
    }

    /// The training vectors, of heads that keep them.
    pub fn neighbors(&self) -> Option<&NeighborsModel> {
        match &self.rule {
            Rule::Linear(_) => None,
            Rule::Neighbors(model) => Some(model),
        }
    }

    /// The map from scores to probabilities; none for heads that were not calibrated.
    pub fn calibration(&self) -> Option<&Calibration> {
        self.calibration.as_ref()
    }

    /// What kind of classifier it is.
    pub fn kind(&self) -> HeadKind {
        match &self.rule {
            Rule::Linear(model) => model.kind(),
            Rule::Neighbors(_) => HeadKind::Knn,
        }
    }

    /// Class names, in the order of scores and labels.
    pub fn classes(&self) -> &[String] {
        match &self.rule {
            Rule::Linear(model) => model.classes(),
            Rule::Neighbors(model) => model.classes(),
        }
    }

    /// What is done to each row of features first.
    pub fn normalize(&self) -> Normalize {
        match &self.rule {
            Rule::Linear(model) => model.normalize(),
            Rule::Neighbors(model) => model.normalize(),
        }
    }

    /// Number of features it expects.
    pub fn width(&self) -> usize {
        match &self.rule {
            Rule::Linear(model) => model.width(),
            Rule::Neighbors(model) => model.width(),
        }
    }

    /// What the grid chose for it.
    pub fn tuned(&self) -> Tuned {
        match &self.rule {
            Rule::Linear(model) => Tuned::of(model.kind(), model.c()),
            Rule::Neighbors(model) => Tuned::Neighbors(model.neighbors()),
        }
    }

    /// Whether it gives probabilities.
    pub fn has_probabilities(&self) -> bool {
        self.calibration.is_some() || self.kind().is_probabilistic()
    }

    /// n × k scores of n × d raw features.
    ///
    /// # Errors
    /// [`Error::Width`] for features of another width, [`Error::NotFinite`] for NaN and infinities.
    pub fn decision(&self, features: ArrayView2<f32>) -> Result<Array2<f64>, Error> {
        Ok(self.decide(features)?.0)
    }

    /// Scores and the classes that they say.
    fn decide(&self, features: ArrayView2<f32>) -> Result<(Array2<f64>, Vec<usize>), Error> {
        match &self.rule {
            Rule::Linear(model) => {
                let scores = model.decision(features)?;
                let predicted = argmax_rows(scores.view());
                Ok((scores, predicted))
            }
            Rule::Neighbors(model) => {
                let Votes { shares, predicted } = model.votes(features)?;
                Ok((shares, predicted))
            }
        }
    }

    /// Refuses features of another width.
    pub(crate) fn check_width(&self, got: usize) -> Result<(), Error> {
        if got == self.width() { Ok(()) } else { Err(Error::Width { expected: self.width(), got }) }
    }

    /// Everything that it says of the rows of these numbers; features must be finite and as wide as the model.
    ///
    /// # Errors
    /// When rows cannot be read.
    pub(crate) fn verdicts_of_rows(&self, features: Features, rows: &[usize]) -> Result<Verdicts, Error> {
        let (decision, predicted) = match &self.rule {
            Rule::Linear(model) => {
                let scores = features.sound(model.scores_of_rows(features, rows))?;
                let predicted = argmax_rows(scores.view());
                (scores, predicted)
            }
            Rule::Neighbors(model) => {
                let Votes { shares, predicted } = model.votes_of_rows(features, rows)?;
                (shares, predicted)
            }
        };
        Ok(self.judge(decision, predicted))
    }

    /// Everything that it says of n × d raw features.
    ///
    /// # Errors
    /// As [`Self::decision`].
    pub fn verdicts(&self, features: ArrayView2<f32>) -> Result<Verdicts, Error> {
        let (decision, predicted) = self.decide(features)?;
        Ok(self.judge(decision, predicted))
    }

    /// Scores and the classes that they say, with probabilities and the classes that these say.
    fn judge(&self, decision: Array2<f64>, predicted: Vec<usize>) -> Verdicts {
        let Some(map) = &self.calibration else {
            let probabilities = own_probabilities(self.kind(), &decision);
            return Verdicts { decision, probabilities, predicted };
        };
        let probabilities = map.probabilities(decision.view());
        let predicted = map.predict(decision.view(), probabilities.view(), &predicted);
        let probabilities = Some(probabilities);
        Verdicts { decision, probabilities, predicted }
    }

    /// The class index of each row.
    ///
    /// # Errors
    /// As [`Self::decision`].
    pub fn predict(&self, features: ArrayView2<f32>) -> Result<Vec<usize>, Error> {
        Ok(self.verdicts(features)?.predicted)
    }

    /// n × k probabilities; each row sums to 1.
    ///
    /// # Errors
    /// As [`Self::decision`], and [`Error::NoProbabilities`] for heads that have none.
    pub fn predict_proba(&self, features: ArrayView2<f32>) -> Result<Array2<f64>, Error> {
        if !self.has_probabilities() {
            return Err(Error::NoProbabilities(self.kind().name()));
        }
        self.verdicts(features)?.probabilities.ok_or(Error::NoProbabilities(self.kind().name()))
    }

    /// Negative log-likelihood of each row's true class in nats, where there are probabilities.
    pub(crate) fn log_losses(&self, verdicts: &Verdicts, labels: &[usize]) -> Option<Vec<f64>> {
        let probabilities = verdicts.probabilities.as_ref()?;
        Some(match &self.calibration {
            Some(map) => map.log_losses(verdicts.decision.view(), probabilities.view(), labels),
            None => own_log_losses(self.kind(), verdicts.decision.view(), labels),
        })
    }
}

/// The probabilities that scores stand for without a map, for kinds of heads that have them: the softmax of log-likelihoods,
/// shares of votes as they are.
pub(crate) fn own_probabilities(kind: HeadKind, scores: &Array2<f64>) -> Option<Array2<f64>> {
    kind.is_probabilistic().then(|| {
        let mut probabilities = scores.clone();
        if kind != HeadKind::Knn {
            softmax_rows(&mut probabilities);
        }
        probabilities
    })
}

/// Negative log-likelihood of each row's true class in nats: of log-likelihoods from the scores themselves, where nothing is too
/// small to be told from 0; a class without a vote counts as 2.2e-16.
pub(crate) fn own_log_losses(kind: HeadKind, scores: ArrayView2<f64>, labels: &[usize]) -> Vec<f64> {
    match kind {
        HeadKind::Knn => log_losses_of_probabilities(scores, labels),
        _ => log_losses(scores, labels),
    }
}
