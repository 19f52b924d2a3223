//! The recipes of transfer learning for small data, from a folder of images to a saved head and its report.
//!
//! The four cases and what is usually advised for each come from the notes of Stanford's CS231n on transfer learning, after Yosinski
//! et al. (How transferable are features in deep neural networks?, 2014), Donahue et al. (DeCAF, 2014) and Razavian et al. (CNN
//! features off-the-shelf, 2014).

#[cfg(feature = "torch")]
mod run;

#[cfg(feature = "torch")]
pub use run::{Files, ScenarioError, ScenarioOptions, ScenarioSummary, Stage, run};

use headstart_extractor::graph::Graph;
use headstart_trainer::HeadKind;
use serde::Serialize;
use std::{fmt, str::FromStr};

/// Which of the four cases of transfer learning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scenario {
    /// 1: few images, of the kind the backbone was trained on.
    SmallSimilar,
    /// 2: many images, of that kind.
    LargeSimilar,
    /// 3: few images, of quite another kind.
    SmallDifferent,
    /// 4: many images, of quite another kind.
    LargeDifferent,
}

/// What is trained in a scenario that frozen features serve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Recipe {
    /// Layers to extract, as `extract --layers` takes them.
    pub layers: Vec<String>,
    /// The kind of head that is saved.
    pub head: HeadKind,
    /// What is compared with it on the way; none where there is one layer and nothing to choose.
    pub compared_with: Option<HeadKind>,
}

impl Scenario {
    /// All four, in order.
    pub const ALL: [Self; 4] = [Self::SmallSimilar, Self::LargeSimilar, Self::SmallDifferent, Self::LargeDifferent];

    /// 1 to 4.
    pub fn number(self) -> usize {
        Self::ALL.iter().position(|&scenario| scenario == self).unwrap_or(0) + 1
    }

    /// What kind of data it is about.
    pub fn data(self) -> &'static str {
        match self {
            Self::SmallSimilar => "few images, similar to those the backbone was trained on",
            Self::LargeSimilar => "many images, similar to those the backbone was trained on",
            Self::SmallDifferent => "few images, very different from those the backbone was trained on",
            Self::LargeDifferent => "many images, very different from those the backbone was trained on",
        }
    }

    /// What is usually advised.
    pub fn rule(self) -> &'static str {
        match self {
            Self::SmallSimilar => "train a linear classifier on the codes of the top layer",
            Self::LargeSimilar => "fine-tune the network, with its pretrained weights as the start",
            Self::SmallDifferent => "train an SVM on activations from earlier in the network",
            Self::LargeDifferent => "start from the pretrained weights and train the whole network",
        }
    }

    /// What is done about it here; none for those that train the network itself.
    pub fn recipe(self, graph: &Graph) -> Option<Recipe> {
        match self {
            Self::SmallSimilar => Some(Recipe {
                layers: graph.stages().last().cloned().into_iter().collect(),
                head: HeadKind::Logistic,
                compared_with: None,
            }),
            Self::SmallDifferent => Some(Recipe {
                layers: graph.stages().to_vec(),
                head: HeadKind::Svm,
                compared_with: Some(HeadKind::Logistic),
            }),
            Self::LargeSimilar | Self::LargeDifferent => None,
        }
    }

    /// Of the scenarios that frozen features serve, the one for data that may be any of these. Where similarity leaves it open that is
    /// 3: its recipe compares all stages, the top one too.
    pub fn settle(open: &[Self]) -> Self {
        let similar = open.iter().all(|scenario| scenario.nearest() == Self::SmallSimilar);
        if similar && !open.is_empty() { Self::SmallSimilar } else { Self::SmallDifferent }
    }

    /// Of the scenarios that frozen features serve, the nearest to this one.
    pub fn nearest(self) -> Self {
        match self {
            Self::SmallSimilar | Self::LargeSimilar => Self::SmallSimilar,
            Self::SmallDifferent | Self::LargeDifferent => Self::SmallDifferent,
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "scenario {} ({})", self.number(), self.data())
    }
}

impl FromStr for Scenario {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "unknown scenario {word:?}; use 1 (small, similar), 2 (large, similar), 3 (small, different) or 4 (large, different)"
            )
        };
        Self::ALL.into_iter().find(|scenario| scenario.number().to_string() == word).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headstart_extractor::zoo;

    #[test]
    fn recipes_take_the_layers_that_their_rules_speak_of() {
        let graph = zoo::find("resnet18").unwrap().graph();
        let recipe = |word: &str| word.parse::<Scenario>().unwrap().recipe(&graph);
        assert_eq!(recipe("1").unwrap().layers, ["layer4"]);
        assert_eq!(recipe("3").unwrap().layers, ["layer1", "layer2", "layer3", "layer4"]);
        assert_eq!((recipe("1").unwrap().head, recipe("3").unwrap().head), (HeadKind::Logistic, HeadKind::Svm));
        assert!(recipe("2").is_none() && recipe("4").is_none());
        assert!("5".parse::<Scenario>().unwrap_err().contains("use 1"));
        use Scenario::{LargeDifferent, LargeSimilar, SmallDifferent, SmallSimilar};
        assert_eq!(Scenario::settle(&[SmallSimilar, LargeSimilar]), SmallSimilar);
        assert_eq!(Scenario::settle(&[SmallSimilar, SmallDifferent]), SmallDifferent);
        assert_eq!(Scenario::settle(&[LargeDifferent]), SmallDifferent);
        for scenario in Scenario::ALL {
            assert!(scenario.nearest().recipe(&graph).is_some());
        }
    }
}
