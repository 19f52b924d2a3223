//! What a grid chooses: C for heads that minimise something, the number of neighbours for those that look at the nearest.

use serde::{Deserialize, Serialize};

use crate::params::HeadKind;

/// One point of a grid. In JSON the field `c` or `neighbors`, or none of them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(into = "Fields", from = "Fields")]
pub enum Tuned {
    /// Inverse regularisation.
    C(f64),
    /// How many neighbours vote.
    Neighbors(usize),
    /// The head has nothing to choose.
    Nothing,
}

#[derive(Serialize, Deserialize)]
struct Fields {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    c: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    neighbors: Option<usize>,
}

impl From<Tuned> for Fields {
    fn from(tuned: Tuned) -> Self {
        match tuned {
            Tuned::C(c) => Self { c: Some(c), neighbors: None },
            Tuned::Neighbors(neighbors) => Self { c: None, neighbors: Some(neighbors) },
            Tuned::Nothing => Self { c: None, neighbors: None },
        }
    }
}

impl From<Fields> for Tuned {
    fn from(fields: Fields) -> Self {
        match (fields.c, fields.neighbors) {
            (Some(c), _) => Self::C(c),
            (None, Some(neighbors)) => Self::Neighbors(neighbors),
            (None, None) => Self::Nothing,
        }
    }
}

impl Tuned {
    /// What a number on the grid of a kind of head stands for.
    pub(crate) fn of(kind: HeadKind, value: f64) -> Self {
        match kind {
            HeadKind::Logistic | HeadKind::Svm | HeadKind::Ridge => Self::C(value),
            // Grids of neighbours are checked to be whole numbers.
            HeadKind::Knn => Self::Neighbors(value as usize),
            HeadKind::Ncm => Self::Nothing,
        }
    }

    /// The number on the grid; 1 where there is nothing to choose.
    pub fn value(self) -> f64 {
        match self {
            Self::C(c) => c,
            Self::Neighbors(neighbors) => neighbors as f64,
            Self::Nothing => 1.0,
        }
    }

    /// Smaller for what gives the smoother model, which wins among equals: a small C, many neighbours.
    pub(crate) fn roughness(self) -> f64 {
        match self {
            Self::Neighbors(neighbors) => -(neighbors as f64),
            other => other.value(),
        }
    }

    /// The letter that stands for it, none where there is nothing to choose.
    pub fn symbol(self) -> Option<&'static str> {
        match self {
            Self::C(_) => Some("C"),
            Self::Neighbors(_) => Some("k"),
            Self::Nothing => None,
        }
    }
}

impl std::fmt::Display for Tuned {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::C(c) => write!(out, "C = {c}"),
            Self::Neighbors(neighbors) => write!(out, "k = {neighbors}"),
            Self::Nothing => out.write_str("nothing to choose"),
        }
    }
}
