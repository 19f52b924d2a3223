//! How many predictions there were, and how many of them right.

use super::Scored;
use headstart_trainer::{Estimate, wilson};
use serde::Serialize;
use std::collections::BTreeMap;

/// Counts over predictions, one at a time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Images, usable or not.
    pub images: usize,
    /// Images that cannot be used.
    pub unusable: usize,
    /// Usable images whose label is a class of the head.
    pub labelled: usize,
    /// Those of them that were predicted right.
    pub right: usize,
    /// Labels that the head does not know, each with its usable images; these count neither as right nor as wrong, as in
    /// `evaluate`.
    pub unknown: BTreeMap<String, usize>,
}

impl Tally {
    /// Counts one image.
    pub fn add(&mut self, scored: &Scored, classes: &[String]) {
        self.images += 1;
        match (&scored.outcome, &scored.label) {
            (Err(_), _) => self.unusable += 1,
            (Ok(_), None) => {}
            (Ok(_), Some(label)) if !classes.contains(label) => *self.unknown.entry(label.clone()).or_default() += 1,
            (Ok(scores), Some(label)) => {
                self.labelled += 1;
                self.right += usize::from(classes[scores.predicted] == *label);
            }
        }
    }

    /// Share of the labelled images that were predicted right, with Wilson's 95 % interval; none without labels.
    pub fn accuracy(&self) -> Option<Estimate> {
        (self.labelled > 0).then(|| wilson(self.right, self.labelled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::predict::Scores;

    #[test]
    fn only_labels_that_the_head_knows_are_scored() {
        let classes = ["ant", "bee"].map(String::from);
        let mut tally = Tally::default();
        let scores = || Ok(Scores { decision: vec![0.0, 1.0], probabilities: None, predicted: 1 });
        for (label, outcome) in [
            (Some("bee"), scores()),
            (Some("ant"), scores()),
            (Some("cow"), scores()),
            (None, scores()),
            (Some("ant"), Err("broken".to_string())),
        ] {
            tally.add(&Scored { path: "x".into(), label: label.map(String::from), outcome }, &classes);
        }
        assert_eq!((tally.images, tally.unusable, tally.labelled, tally.right), (5, 1, 2, 1));
        assert_eq!(tally.unknown, BTreeMap::from([("cow".to_string(), 1)]));
        assert_eq!(tally.accuracy().unwrap().value, 0.5);
        assert!(Tally::default().accuracy().is_none());
    }
}
