//! Once a grid point is chosen: what its models say of held-out rows, and the calibration that is fitted to that.

use crate::Error;
use crate::calibration::{
    Calibration, CalibrationMethod, CalibrationSummary, CrossFitted, ProbabilityScores, cross_fit,
};
use crate::classifier::{Verdicts, own_probabilities};
use crate::metrics::Metrics;
use crate::params::HeadParams;
use crate::prepared::{HeldOut, Prepared};
use crate::train_params::{HeldOutUse, no_held_out_rows};

/// What was said of every held-out row by a model that had not seen it.
#[derive(Debug, Clone, PartialEq)]
pub struct HeldOutVerdicts {
    /// Which rows, as indices into the samples.
    pub rows: Vec<usize>,
    /// By the models as they are.
    pub uncalibrated: Verdicts,
    /// With probabilities by maps that had not seen the row either, for calibrated heads.
    pub calibrated: Option<Verdicts>,
}

impl HeldOutVerdicts {
    /// What the head itself would have said, had it not seen the row.
    pub fn as_the_head(&self) -> &Verdicts {
        self.calibrated.as_ref().unwrap_or(&self.uncalibrated)
    }
}

/// What comes of the held-out rows.
#[derive(Debug, Default)]
pub(crate) struct OutOfFold {
    pub(crate) calibration: Option<Calibration>,
    pub(crate) summary: Option<CalibrationSummary>,
    pub(crate) metrics: Option<Metrics>,
    pub(crate) verdicts: Option<HeldOutVerdicts>,
    /// What a reader of the probabilities should know.
    pub(crate) warning: Option<String>,
}

impl OutOfFold {
    /// Scores the held-out rows at the chosen C, where that is of use.
    pub(crate) fn new(prepared: &Prepared, head: &HeadParams, c: f64, wanted: &HeldOutUse) -> Result<Self, Error> {
        let method = wanted.calibration.method(head.kind);
        if prepared.folds() == 0 {
            return method.map_or_else(|| Ok(Self::default()), |method| Err(no_held_out_rows(method)));
        }
        if method.is_none() && !wanted.keep {
            return Ok(Self::default());
        }
        let held_out = prepared.held_out_scores(head, c)?;
        let mut found = Self::default();
        let mut crossed = None;
        if let Some(method) = method {
            let (calibration, summary, cross_fitted) = cross_fit(method, head.kind, &held_out);
            found.warning = unbounded(method, &held_out);
            found.metrics = cross_fitted.as_ref().map(|crossed| metrics(prepared, &held_out, crossed));
            (found.calibration, found.summary, crossed) = (Some(calibration), Some(summary), cross_fitted);
        }
        if wanted.keep {
            let HeldOut { rows, scores, predicted, .. } = held_out;
            let calibrated = crossed.map(|CrossFitted { probabilities, predicted, .. }| Verdicts {
                decision: scores.clone(),
                probabilities: Some(probabilities),
                predicted,
            });
            let probabilities = own_probabilities(head.kind, &scores);
            let uncalibrated = Verdicts { predicted, decision: scores, probabilities };
            found.verdicts = Some(HeldOutVerdicts { rows, uncalibrated, calibrated });
        }
        Ok(found)
    }
}

/// Without a mistake among the rows, every lower temperature is better.
fn unbounded(method: CalibrationMethod, held_out: &HeldOut) -> Option<String> {
    let HeldOut { predicted, labels, .. } = held_out;
    let faultless = method == CalibrationMethod::Temperature && predicted == labels;
    faultless.then(|| {
        format!(
            "all {} held-out rows are predicted right, so no temperature is the best: probabilities will be near 0 and 1; \
             --calibrate platt allows for mistakes to come",
            labels.len()
        )
    })
}

fn metrics(prepared: &Prepared, held_out: &HeldOut, crossed: &CrossFitted) -> Metrics {
    let CrossFitted { probabilities, predicted, log_losses } = crossed;
    let labels = &held_out.labels;
    Metrics::new(prepared.classes(), labels, predicted, Some(log_losses)).with_probabilities(ProbabilityScores::new(
        probabilities.view(),
        predicted,
        log_losses,
        labels,
    ))
}
