//! From samples to a head in one call: choose C by validation, refit, report.

use serde::Serialize;

use crate::Error;
use crate::classifier::Model;
use crate::engine::engine;
use crate::head::{Head, Source, TrainingSummary};
use crate::metrics::Metrics;
use crate::nested::{NestedValidation, OuterFolds};
use crate::out_of_fold::{HeldOutVerdicts, OutOfFold};
use crate::params::{HeadKind, HeadParams};
use crate::prepared::{FitReport, Prepared};
use crate::progress::Counter;
use crate::samples::Samples;
use crate::search::Search;
use crate::selection::CrossValidation;
use crate::train_params::{HeldOutUse, TrainValidParams};

/// Where a training is, for progress displays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Folds and reduction.
    Preparing,
    /// `done` of `total` fits that compare values of C.
    Grid {
        /// Fits done.
        done: usize,
        /// Fits in all.
        total: usize,
    },
    /// The final fit.
    Refit,
    /// `done` of `total` fits of the nested cross-validation.
    Nested {
        /// Fits done.
        done: usize,
        /// Fits in all.
        total: usize,
    },
}

/// Seconds of each part.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Seconds {
    /// Checks, folds, Gram matrix and eigendecomposition.
    pub reduction: f64,
    /// All fits of the grid.
    pub grid: f64,
    /// The final fit.
    pub refit: f64,
}

/// A trained model with everything that is known about it.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// The model; [`Self::into_head`] makes a head of it.
    #[serde(skip)]
    pub model: Model,
    /// What the head will say about its training.
    pub training: TrainingSummary,
    /// Every C tried; absent without validation.
    pub selection: Option<CrossValidation>,
    /// Scores on the held-out rows after calibration, each row by a map that had not seen it; absent without calibration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calibrated_out_of_fold: Option<Metrics>,
    /// What was said of every held-out row, if that was asked for and there are any.
    #[serde(skip)]
    pub held_out: Option<HeldOutVerdicts>,
    /// The same selection on rows that had no part in it, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nested: Option<NestedValidation>,
    /// The final fit on all training rows.
    pub refit: FitReport,
    /// Scores on the training rows themselves: says how far the model can fit, not how good it is.
    pub training_metrics: Metrics,
    /// Where the time went.
    pub seconds: Seconds,
    /// What a reader of the scores should know.
    pub warnings: Vec<String>,
}

impl Outcome {
    /// The head for vectors of the given source.
    pub fn into_head(self, source: Source) -> Head {
        Head { model: self.model, source, training: self.training }
    }
}

/// Trains a head: picks C by the validation asked for, then fits all training rows. Nested cross-validation comes last and
/// changes nothing of the head.
///
/// # Errors
/// See [`Prepared::new`], [`Prepared::cross_validate`] and [`Prepared::fit`]; [`Error::OuterFold`].
pub fn train(
    samples: Samples,
    params: &TrainValidParams,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Outcome, Error> {
    progress(Progress::Preparing);
    // Folds that cannot be drawn are found before anything is trained.
    let outer = params.nested().map(|folds| OuterFolds::draw(&samples, params, folds)).transpose()?;
    let memory = params.memory();
    let prepared = Prepared::within(memory, samples, params.validation(), params.scaling(), params.seed())?
        .for_heads(std::slice::from_ref(params.head()))?;
    let mut outcome = train_with(&prepared, params.head(), params.search(), params.held_out(), progress)?;
    drop(prepared);
    if let Some(outer) = outer {
        let report = |done, total| progress(Progress::Nested { done, total });
        let validation = params.validation();
        let fits = params.search().most() * validation.folds() * validation.repeats() * outer.len();
        let counter = Counter::new(fits, &report);
        let nested = outer.validate(&samples, params, &|| counter.step())?;
        outcome.warnings.extend(nested.warnings.iter().map(|warning| format!("nested cross-validation: {warning}")));
        outcome.training.nested_accuracy = Some(nested.metrics.accuracy.clone());
        outcome.nested = Some(nested);
    }
    Ok(outcome)
}

/// [`train()`] on samples made ready before, for several heads on one layer.
///
/// # Errors
/// See [`Prepared::cross_validate`] and [`Prepared::fit`]; without validation, anything but a single C.
pub fn train_prepared(
    prepared: &Prepared,
    head: &HeadParams,
    search: &Search,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Outcome, Error> {
    train_with(prepared, head, search, &HeldOutUse::default(), progress)
}

fn train_with(
    prepared: &Prepared,
    head: &HeadParams,
    search: &Search,
    held_out: &HeldOutUse,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Outcome, Error> {
    search.verify(head.kind)?;
    let cs = search.cs();
    let report = |done, total| progress(Progress::Grid { done, total });
    let counter = Counter::new(search.most() * prepared.folds() * prepared.repeats(), &report);
    let selection = match (prepared.folds(), cs) {
        (0, [_]) => None,
        (0, _) => return Err(Error::Split(format!("{} values of C, but no rows to compare them on", cs.len()))),
        _ => Some(prepared.cross_validate(head, search, &|| counter.step())?),
    };
    let c = selection.as_ref().map_or(cs[0], |selection| selection.best().tuned.value());
    progress(Progress::Refit);
    let out_of_fold = OutOfFold::new(prepared, head, c, held_out)?;
    let fitted = prepared.fit(head, c)?;
    let model = fitted.model.calibrated(out_of_fold.calibration).map_err(|reason| Error::Solver {
        engine: engine(head).name(),
        c,
        reason,
    })?;

    let mut warnings = selection.as_ref().map(CrossValidation::warnings).unwrap_or_default();
    warnings.extend(out_of_fold.warning);
    if !fitted.report.certificate.converged {
        warnings.push(format!(
            "the final fit at {} did not converge: {:?} {:.1e}",
            fitted.report.tuned, fitted.report.certificate.measure, fitted.report.certificate.value
        ));
    }
    let training_metrics = prepared.training_metrics(&model)?;
    let training = TrainingSummary {
        tool_version: env!("CARGO_PKG_VERSION").into(),
        engine: if head.kind == HeadKind::Knn { "brute-force" } else { engine(head).name() }.into(),
        n: prepared.train_rows(),
        images: prepared.train_images(),
        class_counts: prepared.class_counts(),
        standardize: prepared.standardize(),
        class_weight: head.class_weight,
        loss: (head.kind == HeadKind::Svm).then_some(head.svm_loss),
        bias: head.bias,
        tolerance: head.tolerance,
        seed: prepared.seed(),
        scheme: prepared.scheme(),
        folds: prepared.folds(),
        repeats: prepared.repeats(),
        cv_mean: selection.as_ref().map(|selection| selection.best().mean_accuracy),
        cv_standard_error: selection.as_ref().map(|selection| selection.best().accuracy_standard_error),
        metric: search.compared_by(),
        cv_score: selection.as_ref().map(|selection| selection.best().mean_score),
        cv_score_standard_error: selection.as_ref().map(|selection| selection.best().score_standard_error),
        cv_accuracy: selection.as_ref().map(|selection| selection.out_of_fold.accuracy.clone()),
        nested_accuracy: None,
        objective: fitted.report.objective,
        certificate: fitted.report.certificate.clone(),
        calibration: out_of_fold.summary,
    };
    let seconds = Seconds {
        reduction: prepared.seconds(),
        grid: selection.as_ref().map_or(0.0, |selection| selection.seconds),
        refit: fitted.report.seconds,
    };
    Ok(Outcome {
        model,
        training,
        selection,
        calibrated_out_of_fold: out_of_fold.metrics,
        held_out: out_of_fold.verdicts,
        nested: None,
        refit: fitted.report,
        training_metrics,
        seconds,
        warnings,
    })
}
