//! Everything a report says, once: the page shows it and `metrics.json` is it.

use super::{Subject, calibration::Calibrated, command::quoted, judged::Judged, reliability::Reliability};
use crate::look::map::FeatureMap;
use headstart_cache::Provenance;
use headstart_trainer::{Error, HeadKind, KnnMetric, Metrics, NeighborsModel, Normalize, Outcome, Tuned};
use serde::Serialize;

/// The content of a report.
#[derive(Debug, Serialize)]
pub struct Content<'a> {
    /// Version of headstart.
    pub tool_version: &'static str,
    /// The command line as it can be pasted into a shell.
    pub command: String,
    /// Where it was run, as far as that is known: relative paths start there.
    pub working_folder: Option<String>,
    pub cache: String,
    pub head: String,
    pub layer: &'a str,
    pub pool: &'a str,
    /// Features of a row.
    pub width: usize,
    pub kind: HeadKind,
    #[serde(flatten)]
    pub tuned: Tuned,
    /// What near means, to nearest neighbours.
    #[serde(rename = "knn_metric", skip_serializing_if = "Option::is_none")]
    pub metric: Option<KnnMetric>,
    /// What the head does to each row of features first.
    pub normalize: Normalize,
    pub classes: &'a [String],
    /// The split that chose C, where that was no cross-validation.
    pub chosen_on: Option<&'a str>,
    /// The split that `test` is of.
    pub test_rows: Option<&'a str>,
    /// Scores on the rows that chose nothing.
    pub test: Option<&'a Metrics>,
    /// Training, choice of C, final fit, scores on the training rows, seconds, warnings.
    #[serde(flatten)]
    pub outcome: &'a Outcome,
    /// Seconds of reading; the others are in `seconds`.
    pub read_seconds: f64,
    /// How far probabilities can be believed; absent for heads without, and where the only rows are those trained on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reliability: Option<Reliability>,
    /// The reliability of held-out rows before and after calibration; absent for heads that were not calibrated.
    #[serde(rename = "out_of_fold_reliability", skip_serializing_if = "Option::is_none")]
    pub calibrated: Option<Calibrated>,
    /// The images worth a look.
    pub images: Judged,
    /// Where the layer puts the images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub map: Option<&'a FeatureMap>,
    pub provenance: &'a Provenance,
}

impl<'a> Content<'a> {
    pub fn gather(subject: &Subject<'a>) -> Result<Self, Error> {
        let model = &subject.outcome.model;
        let (images, reliability) = Judged::new(subject)?;
        Ok(Self {
            tool_version: env!("CARGO_PKG_VERSION"),
            command: quoted(subject.command),
            working_folder: std::env::current_dir().ok().map(|folder| folder.display().to_string()),
            cache: subject.cache.display().to_string(),
            head: subject.head.display().to_string(),
            layer: subject.layer,
            pool: subject.pool,
            width: model.width(),
            kind: model.kind(),
            tuned: model.tuned(),
            metric: model.neighbors().map(NeighborsModel::metric),
            normalize: model.normalize(),
            classes: model.classes(),
            chosen_on: subject.chosen_on,
            test_rows: subject.test_rows,
            test: subject.test_metrics,
            outcome: subject.outcome,
            read_seconds: subject.read_seconds,
            reliability,
            calibrated: Calibrated::new(subject),
            images,
            map: subject.map,
            provenance: subject.provenance,
        })
    }

    /// Whether the vectors were made elsewhere, of which nothing is known.
    pub fn is_imported(&self) -> bool {
        self.provenance.preprocessing.is_none()
    }

    /// What scores on held-out rows are called: by folds each row is predicted by a model that has not seen it.
    pub fn held_out(&self) -> String {
        let chose = self.tuned.symbol().map_or_else(String::new, |symbol| format!(", which chose {symbol}"));
        self.chosen_on.map_or_else(|| "Out of fold".into(), |split| format!("Split {split}{chose}"))
    }

    /// Scores on held-out rows as the head itself would have done, calibrated if it is.
    fn held_out_scores(&self) -> Option<(String, &Metrics)> {
        match (&self.outcome.calibrated_out_of_fold, &self.outcome.selection) {
            (Some(metrics), _) => Some((format!("{}, calibrated", self.held_out()), metrics)),
            (None, Some(selection)) => Some((self.held_out(), &selection.out_of_fold)),
            (None, None) => None,
        }
    }

    /// Every set of scores there is, the most telling first, each with its name.
    pub fn scores(&self) -> Vec<(String, &Metrics)> {
        let test = self.test.map(|test| (format!("Split {}", self.test_rows.unwrap_or("test")), test));
        let mut scores: Vec<_> = test.into_iter().chain(self.held_out_scores()).collect();
        if scores.is_empty() {
            scores.push(("Training rows".into(), &self.outcome.training_metrics));
        }
        scores
    }
}
