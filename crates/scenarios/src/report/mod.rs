//! Reports: one HTML page that needs nothing but itself, and the same numbers as JSON.
//!
//! [`write`] gathers everything the page says into one value ([`content`]), which is written as `metrics.json` and turned
//! into `index.html` ([`page`]), so that the two cannot differ. The page loads nothing: its style, its plots and its
//! thumbnails are in it.

mod axes;
pub(crate) mod blocks;
mod calibration;
pub(crate) mod command;
mod confusion;
mod content;
mod curve;
pub(crate) mod document;
pub(crate) mod gallery;
pub(crate) mod html;
mod judged;
mod learning;
mod map;
mod nested;
mod page;
mod reliability;
pub(crate) mod score_rows;
mod scores;
pub(crate) mod thumbnail;
mod training;

#[cfg(test)]
mod fixture;
#[cfg(test)]
pub(crate) use fixture::assert_well_formed;

pub use command::quoted;
pub use learning::write_curves;

use crate::look::map::FeatureMap;
use content::Content;
use headstart_cache::{Cache, Provenance, Rows};
use headstart_trainer::{Metrics, Outcome, Vectors};
use serde::Serialize;
use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
};

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The folder cannot be made.
    #[error("{}: cannot make the folder of the report: {source}; give --report another one", .path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("{}: cannot write the report: {source}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The rows cannot be judged by the model.
    #[error(transparent)]
    Head(#[from] headstart_trainer::Error),
}

/// What is reported on: a trained model, and what it was made of.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The cache it was trained on.
    pub cache: &'a Path,
    /// Where the cache's numbers come from.
    pub provenance: &'a Provenance,
    /// The cache's rows, for the images' names.
    pub rows: &'a Rows,
    /// The layer, pool included.
    pub layer: &'a str,
    /// Its pool.
    pub pool: &'a str,
    /// Where the head went.
    pub head: &'a Path,
    /// The model and how its training went, with what was said of held-out rows (`TrainParams::keep_held_out`): without test rows
    /// these are judged.
    pub outcome: &'a Outcome,
    /// Rows that were trained on, and those of a fixed split that chose C.
    pub training: &'a Vectors,
    /// The split that chose C, where that was no cross-validation.
    pub chosen_on: Option<&'a str>,
    /// Rows that chose nothing; may be empty.
    pub test: &'a Vectors,
    /// The split they are of.
    pub test_rows: Option<&'a str>,
    /// Scores on them.
    pub test_metrics: Option<&'a Metrics>,
    /// The images as the layer sees them; none where there are too few for a map.
    pub map: Option<&'a FeatureMap>,
    /// Seconds that reading the vectors took.
    pub read_seconds: f64,
    /// The command line, program included.
    pub command: &'a [OsString],
}

/// Makes the folder of a report, for it would be a pity to find out after the training that it cannot be made.
///
/// # Errors
/// [`ReportError::Folder`].
pub fn make_folder(path: &Path) -> Result<(), ReportError> {
    std::fs::create_dir_all(path).map_err(|source| ReportError::Folder { path: path.to_path_buf(), source })
}

/// Writes `index.html` and `metrics.json` into a folder, which is made if need be, and gives the path of the page.
///
/// # Errors
/// When the folder or a file cannot be written. Images that cannot be read are no error: the page says so.
pub fn write(subject: &Subject, folder: &Path) -> Result<PathBuf, ReportError> {
    let content = Content::gather(subject)?;
    write_page(folder, &content, &page::page(&content))
}

/// Writes the map of a layer's images as a page of its own; see [`write`].
///
/// # Errors
/// When the folder or a file cannot be written.
pub fn write_map(map: &FeatureMap, cache: &Cache, command: &[OsString], folder: &Path) -> Result<PathBuf, ReportError> {
    let backbone = &cache.provenance().backbone;
    let lead = format!("{} · {}", html::name(backbone), html::name(&map.layer));
    let main = document::section("Where the images lie", &map::section(map))
        + &document::section("The command", &blocks::command(&command::quoted(command), None));
    let title = format!("A map of {}", map.layer);
    let page = document::Document { title: &title, about: backbone, lead: &lead, headline: "", main: &main }.html();
    write_page(folder, map, &page)
}

/// Writes a page and what it says as JSON into a folder, which is made if need be, and gives the path of the page.
///
/// # Errors
/// When the folder or a file cannot be written.
pub(crate) fn write_page(folder: &Path, content: &impl Serialize, page: &str) -> Result<PathBuf, ReportError> {
    make_folder(folder)?;
    let json = serde_json::to_string_pretty(content)
        .map_err(|error| ReportError::Write { path: folder.join("metrics.json"), source: error.into() })?;
    save(folder.join("metrics.json"), &(json + "\n"))?;
    save(folder.join("index.html"), page)
}

fn save(path: PathBuf, text: &str) -> Result<PathBuf, ReportError> {
    match std::fs::write(&path, text) {
        Ok(()) => Ok(path),
        Err(source) => Err(ReportError::Write { path, source }),
    }
}
