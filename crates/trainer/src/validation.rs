//! On which rows candidates are compared.

use crate::Error;

/// On which rows the candidates for C are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Validation {
    /// Stratified k-fold cross-validation over groups; the head is refitted on all rows.
    KFold(usize),
    /// The same several times, with folds from `seed`, `seed + 1` and so on: the choice depends less on how the folds fell.
    Repeated {
        /// Folds of each repeat.
        folds: usize,
        /// Repeats, at least one.
        repeats: usize,
    },
    /// A fixed split: these rows (indices into the samples) validate, all others train. The head is fitted on the training rows
    /// alone, so that the validation score belongs to the very head that is saved.
    Holdout(Vec<usize>),
    /// No validation, for one value of C.
    None,
}

impl Validation {
    /// Folds of each repeat: 1 for a fixed split, 0 for none.
    pub fn folds(&self) -> usize {
        match self {
            Self::KFold(folds) | Self::Repeated { folds, .. } => *folds,
            Self::Holdout(_) => 1,
            Self::None => 0,
        }
    }

    /// How often the rows are dealt out to folds.
    pub fn repeats(&self) -> usize {
        if let Self::Repeated { repeats, .. } = self { *repeats } else { 1 }
    }

    /// Refuses fewer than two folds, for there would be nothing to train on while one of them is held out, and no repeats.
    ///
    /// # Errors
    /// [`Error::Parameter`].
    pub fn verify(&self) -> Result<(), Error> {
        let wrong = |name, value: &usize, wanted| Err(Error::Parameter { name, value: value.to_string(), wanted });
        match self {
            Self::KFold(folds) | Self::Repeated { folds, .. } if *folds < 2 => {
                wrong("--cv", folds, "use at least 2 folds")
            }
            Self::Repeated { repeats, .. } if *repeats < 1 => wrong("--repeats", repeats, "use at least 1"),
            _ => Ok(()),
        }
    }
}
