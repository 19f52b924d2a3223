//! Learning curves as a picture.

use super::{Curves, Line, Verdict};
use crate::plot::{CurvePlot, CurvePoint, CurveSeries};

impl Curves {
    /// The picture: accuracy against the number of training images, a line for each curve.
    pub fn plot(&self, title: &str) -> CurvePlot {
        let series = |line: &Line| CurveSeries {
            name: line.name.clone(),
            points: line
                .points
                .iter()
                .map(|point| CurvePoint {
                    images: point.images as f64,
                    score: point.test.value,
                    low: point.test.low,
                    high: point.test.high,
                    training: point.train,
                })
                .collect(),
            forecast: line.forecast(),
        };
        CurvePlot { title: title.into(), series: self.lines.iter().map(series).collect() }
    }
}

impl Line {
    /// The fitted law from the largest size to twice that, as accuracies, where it says anything.
    pub fn forecast(&self) -> Vec<(f64, f64)> {
        let Some(law) = self.outlook.law.filter(|_| self.outlook.verdict != Verdict::CannotBeTold) else {
            return Vec::new();
        };
        let from = self.outlook.images as f64;
        (0..=8).map(|step| from * 2f64.powf(f64::from(step) / 8.0)).map(|n| (n, 1.0 - law.at(n))).collect()
    }
}
