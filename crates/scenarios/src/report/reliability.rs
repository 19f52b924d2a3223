//! How far probabilities can be believed: of predictions made with 80 %, are 80 % right? After DeGroot and Fienberg,
//! "The Comparison and Evaluation of Forecasters", 1983.

use super::{
    axes::Axes,
    html::{count, percent},
};
use headstart_trainer::{Estimate, wilson};
use serde::Serialize;

/// Bins of equal width, from 0 to 1.
const BINS: usize = 10;

/// Predictions by the probability of the predicted class.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reliability {
    /// Those that have predictions, by rising probability.
    pub bins: Vec<Bin>,
}

/// Predictions of like probability.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bin {
    /// Predictions.
    pub n: usize,
    /// Mean probability of the predicted class.
    pub confidence: f64,
    /// Share that was right, with its 95 % interval.
    pub accuracy: Estimate,
}

impl Reliability {
    /// From the probability of each prediction and whether it was right; none without predictions.
    pub fn new(predictions: &[(f64, bool)]) -> Option<Self> {
        let mut sums = [(0usize, 0usize, 0.0); BINS];
        for &(probability, right) in predictions {
            let bin = ((probability * BINS as f64) as usize).min(BINS - 1);
            let (n, hits, sum) = &mut sums[bin];
            (*n, *hits, *sum) = (*n + 1, *hits + usize::from(right), *sum + probability);
        }
        let bin = |&(n, hits, sum): &(usize, usize, f64)| {
            (n > 0).then(|| Bin { n, confidence: sum / n as f64, accuracy: wilson(hits, n) })
        };
        let bins: Vec<Bin> = sums.iter().filter_map(bin).collect();
        (!bins.is_empty()).then_some(Self { bins })
    }

    /// The plot with its numbers.
    pub fn section(&self) -> String {
        format!(
            r#"<figure class="plot">{}<figcaption>Of the predictions made with a probability along the horizontal axis, the share that was right, with 95 % intervals. On the dashed line probabilities are what they say; below it the head is too sure of itself. Bars at the bottom: how many predictions.</figcaption></figure>{}"#,
            self.picture(),
            self.table()
        )
    }

    fn picture(&self) -> String {
        let axes = Axes { x: (-0.01, 1.01), y: (-0.02, 1.02) };
        let most = self.bins.iter().map(|bin| bin.n).max().unwrap_or(1) as f64;
        let drawn: String = self
            .bins
            .iter()
            .map(|bin| {
                let (x, y) = (axes.across(bin.confidence), axes.down(bin.accuracy.value));
                let (low, high) = (axes.down(bin.accuracy.low), axes.down(bin.accuracy.high));
                let (floor, height) = (axes.down(axes.y.0), 34.0 * bin.n as f64 / most);
                format!(
                    r#"<rect class="bar" x="{:.1}" y="{:.1}" width="16" height="{height:.1}"/><path class="interval" d="M{x:.1},{low:.1}V{high:.1}"/><circle class="mean" cx="{x:.1}" cy="{y:.1}" r="4"/>"#,
                    x - 8.0,
                    floor - height,
                )
            })
            .collect();
        let points: Vec<String> = self.bins.iter().map(|bin| axes.at(bin.confidence, bin.accuracy.value)).collect();
        let drawn = format!(
            r#"<path class="chosen" d="M{}L{}"/><polyline class="line" points="{}"/>{drawn}"#,
            axes.at(0.0, 0.0),
            axes.at(1.0, 1.0),
            points.join(" ")
        );
        let ticks: Vec<(f64, String)> =
            (0..=5).map(|fifth| f64::from(fifth) / 5.0).map(|share| (share, format!("{:.0}", 100.0 * share))).collect();
        let said: Vec<String> = self
            .bins
            .iter()
            .map(|bin| format!("{} percent right at {} percent", percent(bin.accuracy.value), percent(bin.confidence)))
            .collect();
        let description = format!("Share of right predictions against their probability: {}.", said.join(", "));
        axes.picture(
            ("Reliability of the probabilities", &description),
            ("probability of the predicted class, %", &ticks),
            ("right, %", &ticks),
            &drawn,
        )
    }

    fn table(&self) -> String {
        let rows: String = self
            .bins
            .iter()
            .map(|bin| {
                let Estimate { value, low, high, .. } = &bin.accuracy;
                format!(
                    r#"<tr><th scope="row">{}</th><td>{}</td><td>[{}, {}]</td><td>{}</td></tr>"#,
                    percent(bin.confidence),
                    percent(*value),
                    percent(*low),
                    percent(*high),
                    bin.n
                )
            })
            .collect();
        let n: usize = self.bins.iter().map(|bin| bin.n).sum();
        format!(
            r#"<details><summary>The plot in numbers</summary><div class="scroll" tabindex="0" role="region" aria-label="Reliability in numbers"><table><caption>{}</caption><thead><tr><th scope="col">mean probability %</th><th scope="col">right %</th><th scope="col">95 % interval</th><th scope="col">images</th></tr></thead><tbody>{rows}</tbody></table></div></details>"#,
            count(n, "prediction", "predictions")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::assert_well_formed;

    #[test]
    fn predictions_fall_into_their_bins() {
        let found = Reliability::new(&[(1.0, true), (0.95, false), (0.51, true), (0.5, true), (0.59, false)]).unwrap();
        assert_eq!(found.bins.iter().map(|bin| bin.n).collect::<Vec<_>>(), [3, 2]);
        assert!((found.bins[0].confidence - 1.6 / 3.0).abs() < 1e-12);
        assert!((found.bins[0].accuracy.value - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!(found.bins[1].accuracy.value, 0.5);
        assert_well_formed(&found.section());
        assert!(Reliability::new(&[]).is_none());
    }
}
