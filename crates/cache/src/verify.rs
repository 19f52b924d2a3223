//! Checking a file from end to end: every row, every value.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use serde::Serialize;

use crate::error::Result;
use crate::reader::{Cache, read_contents};
use crate::row_digest::RowDigest;
use crate::schema::{LayerInfo, Status};

/// Problems listed by name; more are only counted.
const LISTED: usize = 100;

/// What [`verify`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Rows in the file.
    pub rows: usize,
    /// Layers in the file.
    pub layers: usize,
    /// Values that were read and looked at.
    pub values_checked: u64,
    /// How many things are wrong.
    pub problem_count: u64,
    /// The first hundred of them.
    pub problems: Vec<String>,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.problem_count == 0
    }

    fn add(&mut self, problem: String) {
        self.problem_count += 1;
        if self.problems.len() < LISTED {
            self.problems.push(problem);
        }
    }
}

/// Checks a file: columns of one length, rows that are those that were listed, labels in range, statuses and committed marks that agree, no image listed twice,
/// numbers in every done row and NaN with a reason in every failed one.
///
/// Rows still to be computed are not a problem, and neither is a run that writes the file meanwhile.
///
/// # Errors
/// Only for a file that cannot be opened as a cache at all; see [`Cache::open`].
pub fn verify(path: impl AsRef<Path>) -> Result<Report> {
    let path = path.as_ref();
    let mut contents = read_contents(path)?;
    let mut report = Report::default();
    for problem in std::mem::take(&mut contents.problems) {
        report.add(problem);
    }
    let found = RowDigest::of(&contents.rows, &contents.classes).finish();
    if contents.row_digest.as_ref().is_some_and(|noted| *noted != found) {
        report.add(
            "paths, views, labels or splits are not those that headstart wrote: the digest of the rows differs".into(),
        );
    }
    let committed = contents.committed_anywhere();
    let statuses = contents.rows.status.clone();
    let cache = Cache::from_contents(path, contents);
    for (row, status) in statuses.iter().enumerate().take(committed) {
        if *status == Status::Pending {
            report.add(format!("row {row} is pending, but a layer has committed it"));
        }
    }
    report.rows = cache.rows().len();
    report.layers = cache.layers().len();
    check_rows(&cache, &mut report);
    for layer in cache.layers() {
        check_shape(layer, &mut report);
        if layer.committed <= cache.rows().len() {
            check_values(&cache, layer, &mut report);
        }
    }
    Ok(report)
}

fn check_rows(cache: &Cache, report: &mut Report) {
    let (rows, classes) = (cache.rows(), cache.classes());
    let mut names = HashSet::new();
    for class in classes {
        if !names.insert(class) {
            report.add(format!("class {class:?} is listed twice"));
        }
    }
    let mut seen = HashMap::with_capacity(rows.len());
    for row in 0..rows.len() {
        let (path, view, label) = (rows.path[row].as_str(), rows.view[row], rows.label[row]);
        if path.is_empty() {
            report.add(format!("row {row} has no path"));
        }
        if let Some(first) = seen.insert((path, view), row) {
            report.add(format!("rows {first} and {row} are both {path}, view {view}"));
        }
        if label < -1 || label >= classes.len() as i32 {
            report.add(format!("row {row} ({path}) has label {label}, and there are {} classes", classes.len()));
        }
        if rows.status[row] == Status::Failed && rows.error[row].is_empty() {
            report.add(format!("row {row} ({path}) failed without a reason"));
        }
    }
}

/// Compares the shape of the node with what its pooling leaves of it.
fn check_shape(layer: &LayerInfo, report: &mut Report) {
    let expected = match layer.pool.as_str() {
        "gap" | "gmp" => layer.shape.first().map(|&channels| vec![channels]),
        "flatten" => Some(vec![layer.shape.iter().product()]),
        "raw" => Some(layer.shape.clone()),
        _ => None,
    };
    if let Some(expected) = expected.filter(|expected| *expected != layer.stored) {
        let LayerInfo { name, shape, stored, .. } = layer;
        report.add(format!("layer {name} has rows of shape {stored:?}; a node of shape {shape:?} gives {expected:?}"));
    }
}

fn check_values(cache: &Cache, layer: &LayerInfo, report: &mut Report) {
    let rows = cache.rows();
    let step = ((4 << 20) / (4 * layer.width)).max(1);
    let mut buffer = vec![0.0; step.min(layer.committed) * layer.width];
    for start in (0..layer.committed).step_by(step) {
        let end = layer.committed.min(start + step);
        let values = &mut buffer[..(end - start) * layer.width];
        if let Err(error) = cache.read_into(layer, start..end, values) {
            report.add(error.to_string());
            continue;
        }
        report.values_checked += values.len() as u64;
        for (row, values) in (start..end).zip(values.chunks_exact(layer.width)) {
            let place = || format!("layer {}, row {row} ({})", layer.name, rows.path[row]);
            match rows.status[row] {
                Status::Done => {
                    let wrong = values.iter().filter(|value| !value.is_finite()).count();
                    if wrong > 0 {
                        report.add(format!("{}: {wrong} of {} values are NaN or infinite", place(), values.len()));
                    }
                }
                Status::Failed if values.iter().any(|value| !value.is_nan()) => {
                    report.add(format!("{}: the row failed, but has numbers", place()));
                }
                Status::Failed | Status::Pending => {}
            }
        }
    }
}
