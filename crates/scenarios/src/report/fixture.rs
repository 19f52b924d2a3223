//! A small training to report on, with names that try to break the page, for the tests of this module.

use super::Subject;
use headstart_cache::{Augmentation, Provenance, Rows, Status, WeightsId};
use headstart_trainer::{
    CalibrationChoice, HeadKind, Metric, Metrics, Outcome, ParamGuard, TrainParams, Validation, Vectors, evaluate,
    train,
};
use ndarray::Array2;
use std::{ffi::OsString, path::Path};

/// Three overlapping classes: 60 rows to train on, 30 to test on.
pub struct Fixture {
    provenance: Provenance,
    rows: Rows,
    outcome: Outcome,
    training: Vectors,
    test: Vectors,
    metrics: Option<Metrics>,
    command: Vec<OsString>,
}

impl Fixture {
    pub fn new(kind: HeadKind) -> Self {
        Self::chosen_by(kind, Metric::Accuracy)
    }

    pub fn chosen_by(kind: HeadKind, metric: Metric) -> Self {
        Self::trained(TrainParams::new(kind).metric(metric))
    }

    /// With four outer folds.
    pub fn nested(kind: HeadKind, metric: Metric) -> Self {
        Self::trained(TrainParams::new(kind).metric(metric).nested(4))
    }

    pub fn calibrated(kind: HeadKind, calibration: CalibrationChoice) -> Self {
        Self::trained(TrainParams::new(kind).calibration(calibration))
    }

    fn trained(params: TrainParams) -> Self {
        let (training, test) = (vectors(0, 60), vectors(60, 30));
        let params = params.cs([1e-3, 1e-2, 0.1, 1.0]).validation(Validation::KFold(3));
        let params = params.keep_held_out(true).check().unwrap();
        let outcome = train(training.samples(), &params, &|_| ()).unwrap();
        let metrics = evaluate(&outcome.model, test.features.view(), &test.labels).unwrap();
        let mut rows = Rows::default();
        for row in 0..90 {
            rows.path.push(format!("<i>/{row}.png"));
            rows.label.push(row % 3);
            rows.split.push(if row < 60 { "train" } else { "test" }.into());
            rows.view.push(0);
            rows.status.push(Status::Done);
            rows.error.push(String::new());
        }
        let provenance = Provenance {
            format_version: 1,
            tool_version: "0".into(),
            backbone: "net".into(),
            weights: WeightsId { source: "a file <script>alert(1)</script>".into(), sha256: "00ff".into() },
            preprocessing: None,
            decoder: None,
            compute_dtype: "f32".into(),
            augmentation: Augmentation::none(),
            images: Some("/nowhere/<script>".into()),
        };
        let command = ["headstart", "train", "it's <x>.h5"].map(OsString::from).to_vec();
        Self { provenance, rows, outcome, training, test, metrics: Some(metrics), command }
    }

    /// As if the cache had no rows to test on.
    pub fn forget_test(&mut self) {
        self.metrics = None;
        let _ = self.test.keep_classes(&[]);
    }

    /// As if no rows had been held out.
    pub fn forget_held_out(&mut self) {
        self.outcome.held_out = None;
    }

    pub fn subject(&self) -> Subject<'_> {
        Subject {
            cache: Path::new("it's <x>.h5"),
            provenance: &self.provenance,
            rows: &self.rows,
            layer: "layer4:gap",
            pool: "gap",
            head: Path::new("x.head"),
            outcome: &self.outcome,
            training: &self.training,
            chosen_on: None,
            test: &self.test,
            test_rows: self.metrics.as_ref().map(|_| "test"),
            test_metrics: self.metrics.as_ref(),
            map: None,
            read_seconds: 0.25,
            command: &self.command,
        }
    }
}

/// Rows in overlapping clusters, made by arithmetic.
fn vectors(first: usize, count: usize) -> Vectors {
    let value = |row: usize, column: usize| {
        let noise = ((row * 37 + column * 101 + row * column * 7) % 97) as f32 / 97.0 - 0.5;
        3.0 * noise + if row % 3 == column % 3 { 0.8 } else { 0.0 }
    };
    Vectors {
        features: Array2::from_shape_fn((count, 6), |(row, column)| value(first + row, column)).into(),
        labels: (first..first + count).map(|row| row % 3).collect(),
        groups: (0..count).collect(),
        scored: vec![true; count],
        rows: (first..first + count).collect(),
        classes: ["<b>bold</b>", "a & b", "fly"].map(String::from).to_vec(),
    }
}

/// Insists that every element is closed, in order: what an XML parser would, apart from HTML's void elements.
#[track_caller]
pub fn assert_well_formed(html: &str) {
    let mut open: Vec<&str> = Vec::new();
    for tag in html.split('<').skip(1) {
        let (tag, _) = tag.split_once('>').unwrap_or_else(|| panic!("<{tag} has no end"));
        assert_eq!(tag.matches('"').count() % 2, 0, "<{tag}>: an attribute has no end");
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "<{tag}>");
        } else if !tag.ends_with('/') && !["!DOCTYPE", "meta", "img"].contains(&name) {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "not closed: {open:?}");
}
