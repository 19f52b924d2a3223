//! What heads say about images: from image files, or from the rows of a cache.

mod from_cache;
#[cfg(feature = "torch")]
mod images;
mod tally;

pub use from_cache::{FromCacheError, Selection, predict_cache};
#[cfg(feature = "torch")]
pub use images::{Image, PredictError, classify, predict};
pub use tally::Tally;

use headstart_trainer::{Error, Head, Verdicts};
use ndarray::ArrayView2;
use serde::Serialize;
use std::cmp::Ordering;

/// What a head says about one image.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    /// The image.
    pub path: String,
    /// Name of its true class, where that is known.
    pub label: Option<String>,
    /// Its scores, or why it cannot be used.
    pub outcome: Result<Scores, String>,
}

impl Scored {
    /// The scores, if the image can be used.
    pub fn scores(&self) -> Option<&Scores> {
        self.outcome.as_ref().ok()
    }
}

/// One value for each class of a head, in the head's order.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// Decision values.
    pub decision: Vec<f64>,
    /// Probabilities, for heads that give them.
    pub probabilities: Option<Vec<f64>>,
    /// Index of the class that wins.
    pub predicted: usize,
}

impl Scores {
    /// The scores of images whose views are the rows of n × d raw features: the first `sizes[0]` rows are the first image, and so
    /// on. What the head says of views is averaged ([`Verdicts::summed`]).
    ///
    /// # Errors
    /// Another width than the head's, NaN and infinities.
    pub fn of_views(head: &Head, features: ArrayView2<f32>, sizes: &[usize]) -> Result<Vec<Self>, Error> {
        let Verdicts { decision, probabilities, predicted } = head.verdicts(features)?.summed(sizes);
        let row = |row: usize| Self {
            decision: decision.row(row).to_vec(),
            probabilities: probabilities.as_ref().map(|all| all.row(row).to_vec()),
            predicted: predicted[row],
        };
        Ok((0..sizes.len()).map(row).collect())
    }

    /// Which of two classes comes first: the one that wins, else the likelier, else the one of the better score.
    fn before(&self, a: usize, b: usize) -> Ordering {
        let wins = (b == self.predicted).cmp(&(a == self.predicted));
        let likelier = self.probabilities.as_ref().map_or(Ordering::Equal, |all| all[b].total_cmp(&all[a]));
        wins.then(likelier).then(self.decision[b].total_cmp(&self.decision[a]))
    }

    /// What files hold for each class: the probabilities of heads that give them, else the decision values.
    pub fn values(&self) -> &[f64] {
        self.probabilities.as_ref().unwrap_or(&self.decision)
    }
}

/// One class with the strength of belief in it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Guess {
    /// Name of the class.
    pub class: String,
    /// Probability, for heads that give one.
    pub probability: Option<f64>,
    /// Decision value.
    pub score: f64,
}

/// What was predicted for one image, for people and JSON.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Prediction {
    /// The image.
    pub path: String,
    /// Name of its true class, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Classes, best first; empty when the image cannot be used.
    pub guesses: Vec<Guess>,
    /// Why it cannot be used.
    pub error: Option<String>,
}

impl Prediction {
    /// The scores with the names of their classes, best first.
    pub fn new(scored: Scored, classes: &[String]) -> Self {
        let (guesses, error) = match scored.outcome {
            Err(reason) => (Vec::new(), Some(reason)),
            Ok(scores) => {
                let guess = |(class, name): (usize, &String)| Guess {
                    class: name.clone(),
                    probability: scores.probabilities.as_ref().map(|all| all[class]),
                    score: scores.decision[class],
                };
                let mut order: Vec<usize> = (0..classes.len()).collect();
                order.sort_by(|&a, &b| scores.before(a, b));
                (order.into_iter().map(|class| guess((class, &classes[class]))).collect(), None)
            }
        };
        Self { path: scored.path, label: scored.label, guesses, error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_class_comes_first_and_equals_stay_in_order() {
        let classes = ["ant", "bee", "fly"].map(String::from);
        let scores = Scores { decision: vec![1.0, 2.0, 2.0], probabilities: None, predicted: 1 };
        assert_eq!(scores.values(), [1.0, 2.0, 2.0]);
        let scored = Scored { path: "a.png".into(), label: None, outcome: Ok(scores) };
        let prediction = Prediction::new(scored, &classes);
        let names: Vec<&str> = prediction.guesses.iter().map(|guess| guess.class.as_str()).collect();
        assert_eq!(names, ["bee", "fly", "ant"]);
        // A calibrated head may find another class likeliest than the one of the best score.
        let probabilities = Some(vec![0.5, 0.2, 0.3]);
        let scores = Scores { decision: vec![1.0, 2.0, 2.0], probabilities, predicted: 0 };
        let scored = Scored { path: "a.png".into(), label: None, outcome: Ok(scores) };
        let prediction = Prediction::new(scored, &classes);
        let names: Vec<&str> = prediction.guesses.iter().map(|guess| guess.class.as_str()).collect();
        assert_eq!(names, ["ant", "fly", "bee"]);
        let broken = Scored { path: "b.png".into(), label: None, outcome: Err("empty".into()) };
        let prediction = Prediction::new(broken, &classes);
        assert!(prediction.guesses.is_empty() && prediction.error.as_deref() == Some("empty"));
    }
}
