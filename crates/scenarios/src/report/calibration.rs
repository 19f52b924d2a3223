//! What a calibration brought: held-out rows before and after, as plots and numbers.

use super::{
    Subject,
    html::{count, percent},
    reliability::Reliability,
};
use headstart_trainer::{CalibrationMethod, CalibrationSummary, ECE_BINS, ProbabilityScores, Verdicts};
use serde::Serialize;

/// The reliability of held-out rows; the scores beside it are in the summary of the training.
#[derive(Debug, Serialize)]
pub struct Calibrated {
    #[serde(skip)]
    summary: CalibrationSummary,
    /// Of the models as they are; none for heads without probabilities of their own.
    pub before: Option<Reliability>,
    /// By maps that had not seen the rows.
    pub after: Option<Reliability>,
}

impl Calibrated {
    /// None for heads that were not calibrated.
    pub fn new(subject: &Subject) -> Option<Self> {
        let summary = subject.outcome.training.calibration.clone()?;
        let held_out = subject.outcome.held_out.as_ref()?;
        let of = |verdicts: &Verdicts| {
            let probabilities = verdicts.probabilities.as_ref()?;
            let said = held_out.rows.iter().zip(&verdicts.predicted).enumerate();
            let outcomes: Vec<(f64, bool)> = said
                .map(|(index, (&row, &class))| (probabilities[[index, class]], class == subject.training.labels[row]))
                .collect();
            Reliability::new(&outcomes)
        };
        let after = held_out.calibrated.as_ref().and_then(of);
        Some(Self { summary, before: of(&held_out.uncalibrated), after })
    }

    /// Both plots and the scores.
    pub fn section(&self) -> String {
        let CalibrationSummary { method, n, parts, before, after } = &self.summary;
        let map = match method {
            CalibrationMethod::Platt => "Platt's sigmoids, one for each class,",
            CalibrationMethod::Isotonic => "Isotonic curves, one for each class,",
            CalibrationMethod::Temperature => "One temperature",
        };
        let fitted = if *method == CalibrationMethod::Temperature { "was" } else { "were" };
        let rows = count(*n, "held-out row", "held-out rows");
        let honest = match parts {
            2.. => format!(
                "“After” is honest: each of {parts} parts of these rows is scored by a map fitted to the others, for a map \
                 flatters the rows that it was fitted to."
            ),
            _ => "These rows do not make two parts, so there is none left to score the map on.".into(),
        };
        let plots: String = [("Before", &self.before), ("After", &self.after)]
            .into_iter()
            .filter_map(|(title, plot)| {
                plot.as_ref().map(|plot| format!("<div><h3>{title}</h3>{}</div>", plot.section()))
            })
            .collect();
        let columns: Vec<(&str, &ProbabilityScores)> = [("before", before), ("after", after)]
            .into_iter()
            .filter_map(|(title, scores)| scores.as_ref().map(|scores| (title, scores)))
            .collect();
        format!(
            r#"<p>{map} {fitted} fitted to the scores of {rows}. {honest}</p>{}<p class="note">Expected calibration error: the mean difference between the probability of the predicted class and the share that is right, over {ECE_BINS} bins of equal width. Brier score: the squared error of the probabilities, summed over the classes.</p><div class="pair">{plots}</div>"#,
            table(&columns)
        )
    }
}

fn table(columns: &[(&str, &ProbabilityScores)]) -> String {
    let headings: String = columns.iter().map(|(title, _)| format!(r#"<th scope="col">{title}</th>"#)).collect();
    let row = |title: &str, cell: &dyn Fn(&ProbabilityScores) -> String| {
        let cells: String = columns.iter().map(|(_, scores)| format!("<td>{}</td>", cell(scores))).collect();
        format!(r#"<tr><th scope="row">{title}</th>{cells}</tr>"#)
    };
    let rows = [
        row("Expected calibration error %", &|scores| percent(scores.expected_calibration_error)),
        row("Log-loss, nats", &|scores| format!("{:.4}", scores.log_loss)),
        row("Brier score", &|scores| format!("{:.4}", scores.brier)),
        row("Accuracy %", &|scores| percent(scores.accuracy)),
    ];
    format!(
        r#"<div class="scroll" tabindex="0" role="region" aria-label="Scores before and after calibration"><table><thead><tr><td></td>{headings}</tr></thead><tbody>{}</tbody></table></div>"#,
        rows.concat()
    )
}

#[cfg(test)]
mod tests {
    use crate::report::{
        content::Content,
        fixture::{Fixture, assert_well_formed},
        page::page,
    };
    use headstart_trainer::{CalibrationChoice, HeadKind};

    #[test]
    fn before_and_after_are_shown_where_there_are_both() {
        for (kind, plots) in [(HeadKind::Logistic, 2), (HeadKind::Svm, 1)] {
            let mut fixture = Fixture::calibrated(kind, CalibrationChoice::Auto);
            for test_rows in [true, false] {
                let content = Content::gather(&fixture.subject()).unwrap();
                let found = content.calibrated.as_ref().unwrap();
                let html = found.section();
                assert_well_formed(&html);
                assert_eq!(html.matches("<figure").count(), plots);
                assert_eq!((found.before.is_some(), found.after.is_some()), (kind == HeadKind::Logistic, true));
                let summary = content.outcome.training.calibration.as_ref().unwrap();
                let shown = format!("<td>{:.4}</td>", summary.after.unwrap().log_loss);
                assert!(html.contains(&shown), "{shown}");
                let whole = page(&content);
                assert_well_formed(&whole);
                // The test rows have a plot of their own; that of the held-out rows is not shown twice.
                assert_eq!(whole.contains("Reliability of the probabilities</h2>"), test_rows);
                assert!(whole.contains("Out of fold, calibrated"));
                assert!(!whole.contains("confidence is the margin"), "every calibrated head has probabilities");
                fixture.forget_test();
            }
        }
        let fixture = Fixture::new(HeadKind::Logistic);
        assert!(Content::gather(&fixture.subject()).unwrap().calibrated.is_none());
    }
}
