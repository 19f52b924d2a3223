//! Files of predictions, one row per image, written as the predictions come: CSV, JSON lines and Parquet.
//!
//! All have the same columns:
//!
//! | column | what |
//! |---|---|
//! | `path` | the image |
//! | `label` | its true class, empty where there is none; the column is left out when no image has one |
//! | `predicted` | the class that wins |
//! | `p:CLASS` or `score:CLASS` | for each class its probability, or its decision value for heads without probabilities |
//! | `error` | why the image cannot be used; `predicted` and the values are empty then |

mod delimited;
mod json_lines;
mod parquet_file;

use crate::predict::Scored;
use headstart_trainer::{Head, PartFile};
use std::path::{Path, PathBuf};

/// Why predictions cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum PredictionFileError {
    /// The file's name says nothing that can be written.
    #[error("{}: end the file name with .csv, .parquet or .jsonl", .path.display())]
    Format {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be written.
    #[error("{}: cannot be written: {reason}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system or the format's library says.
        reason: String,
    },
}

/// A format of predictions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PredictionFormat {
    /// Comma-separated values with a header.
    Csv,
    /// One JSON object a line.
    JsonLines,
    /// Apache Parquet, uncompressed.
    Parquet,
}

impl PredictionFormat {
    /// The format that a file's ending stands for.
    ///
    /// # Errors
    /// [`PredictionFileError::Format`] for another ending or none.
    pub fn of(path: &Path) -> Result<Self, PredictionFileError> {
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        match ending.to_ascii_lowercase().as_str() {
            "csv" => Ok(Self::Csv),
            "jsonl" | "ndjson" => Ok(Self::JsonLines),
            "parquet" => Ok(Self::Parquet),
            _ => Err(PredictionFileError::Format { path: path.to_owned() }),
        }
    }
}

/// The columns, and the names that rows are written with.
struct Columns {
    /// Whether there is a column `label`.
    label: bool,
    classes: Vec<String>,
    /// Names of the columns of values, one per class.
    values: Vec<String>,
}

/// What can go wrong in any of the formats, to be told with the file's name.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// One of the formats at work.
trait Format {
    fn write(&mut self, columns: &Columns, scored: &Scored) -> Result<(), Failure>;
    /// Writes what is left and hands the file back.
    fn finish(self: Box<Self>, columns: &Columns) -> Result<PartFile, Failure>;
}

/// A file of predictions being written; it appears under its name when it is finished.
pub struct PredictionFile {
    path: PathBuf,
    columns: Columns,
    format: Box<dyn Format>,
}

impl PredictionFile {
    /// Starts a file in the format of its ending. `labelled`: whether any image has a label.
    ///
    /// # Errors
    /// Another ending, and what the system says.
    pub fn create(path: &Path, head: &Head, labelled: bool) -> Result<Self, PredictionFileError> {
        let format = PredictionFormat::of(path)?;
        let prefix = if head.has_probabilities() { "p" } else { "score" };
        let columns = Columns {
            label: labelled,
            classes: head.classes().to_vec(),
            values: head.classes().iter().map(|class| format!("{prefix}:{class}")).collect(),
        };
        let failed = |reason: Failure| PredictionFileError::Write { path: path.to_owned(), reason: reason.to_string() };
        let file = PartFile::create(path).map_err(|error| failed(error.into()))?;
        let format: Box<dyn Format> = match format {
            PredictionFormat::Csv => Box::new(delimited::Csv::new(file, &columns).map_err(failed)?),
            PredictionFormat::JsonLines => Box::new(json_lines::JsonLines::new(file)),
            PredictionFormat::Parquet => Box::new(parquet_file::Parquet::new(file, &columns).map_err(failed)?),
        };
        Ok(Self { path: path.to_owned(), columns, format })
    }

    /// Adds a row.
    ///
    /// # Errors
    /// [`PredictionFileError::Write`].
    pub fn write(&mut self, scored: &Scored) -> Result<(), PredictionFileError> {
        let failed =
            |reason: Failure| PredictionFileError::Write { path: self.path.clone(), reason: reason.to_string() };
        self.format.write(&self.columns, scored).map_err(failed)
    }

    /// Writes what is left and puts the file in place.
    ///
    /// # Errors
    /// [`PredictionFileError::Write`]; a file that was there before is still there then.
    pub fn finish(self) -> Result<(), PredictionFileError> {
        let Self { path, columns, format } = self;
        let finished = format.finish(&columns).and_then(|file| Ok(file.finish()?));
        finished.map_err(|reason| PredictionFileError::Write { path, reason: reason.to_string() })
    }
}

#[cfg(test)]
mod tests;
