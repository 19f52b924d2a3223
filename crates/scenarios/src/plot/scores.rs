//! Score against depth: one line per head and cache, with its intervals.

use super::{Drawing, PlotError, colour, padded, write};
use plotters::{
    backend::DrawingBackend,
    chart::{ChartBuilder, SeriesLabelPosition},
    coord::Shift,
    drawing::DrawingArea,
    element::{Circle, Cross, EmptyElement, PathElement, Rectangle, TriangleMarker},
    series::LineSeries,
    style::{BLACK, Color, FontTransform, IntoFont, RGBColor, TextStyle, WHITE},
};
use std::path::Path;

/// One measured score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Which of [`ScorePlot::layers`] it belongs to.
    pub layer: usize,
    /// The score, 0…1.
    pub score: f64,
    /// Lower end of its interval.
    pub low: f64,
    /// Upper end of its interval.
    pub high: f64,
}

/// The scores of one head on one cache.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// What the legend calls it.
    pub name: String,
    /// Its scores, by depth.
    pub points: Vec<Point>,
}

/// A picture of scores against depth.
#[derive(Debug, Clone, PartialEq)]
pub struct ScorePlot {
    /// Above the picture.
    pub title: String,
    /// What the vertical axis shows.
    pub score: String,
    /// Layer names along the horizontal axis, shallow to deep.
    pub layers: Vec<String>,
    /// The lines.
    pub series: Vec<Series>,
}

/// Draws `plot` into `path` (`.svg` or `.png`).
///
/// # Errors
/// When there is nothing to draw or the file cannot be written.
pub fn draw_scores(plot: &ScorePlot, path: &Path) -> Result<(), PlotError> {
    if plot.series.iter().all(|series| series.points.is_empty()) {
        return Err(PlotError::Empty(path.to_path_buf()));
    }
    let width = (320 + 90 * plot.layers.len() as u32).clamp(760, 1800);
    write(path, (width, 560), plot)
}

impl Drawing for ScorePlot {
    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> Result<(), String> {
        self.try_draw(area).map_err(|error| error.to_string())
    }
}

impl ScorePlot {
    fn try_draw<'a, B: DrawingBackend>(
        &'a self,
        area: &'a DrawingArea<B, Shift>,
    ) -> Result<(), plotters::drawing::DrawingAreaErrorKind<B::ErrorType>> {
        area.fill(&WHITE)?;
        let points = || self.series.iter().flat_map(|series| &series.points);
        let (low, high) = padded(points().flat_map(|p| [100.0 * p.low, 100.0 * p.high]), 0.06);
        let last = self.layers.len().saturating_sub(1) as f64;
        let crowded = self.layers.len() > 8 || self.layers.iter().any(|layer| layer.len() > 14);
        let mut chart = ChartBuilder::on(area)
            .margin(16)
            .caption(&self.title, ("sans-serif", 20))
            .x_label_area_size(if crowded { 150 } else { 50 })
            .y_label_area_size(64)
            .build_cartesian_2d(-0.5..last + 0.5, low.max(-2.0)..high.min(102.0))?;
        let label = |x: &f64| {
            let index = x.round();
            let named = (x - index).abs() < 1e-6 && index >= 0.0;
            if named { self.layers.get(index as usize).cloned().unwrap_or_default() } else { String::new() }
        };
        let small = ("sans-serif", 14).into_font();
        let x_style: TextStyle = if crowded { small.transform(FontTransform::Rotate90).into() } else { small.into() };
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(WHITE)
            .bold_line_style(RGBColor(225, 225, 225))
            // Twice as many marks as layers puts one on each.
            .x_labels(2 * self.layers.len() + 1)
            .x_label_formatter(&label)
            .x_label_style(x_style)
            .y_label_style(("sans-serif", 14))
            .y_label_formatter(&|y| format!("{y:.0} %"))
            .axis_desc_style(("sans-serif", 15))
            .x_desc("layer, shallow to deep")
            .y_desc(&self.score)
            .draw()?;
        let count = self.series.len();
        for (index, series) in self.series.iter().enumerate() {
            let colour = colour(index);
            // Side by side, so that intervals do not hide each other.
            let shift = (index as f64 - (count as f64 - 1.0) / 2.0) * (0.3 / count as f64);
            let place = |point: &Point| point.layer as f64 + shift;
            chart.draw_series(series.points.iter().map(|point| {
                let x = place(point);
                PathElement::new(vec![(x, 100.0 * point.low), (x, 100.0 * point.high)], colour.stroke_width(1))
            }))?;
            chart
                .draw_series(LineSeries::new(
                    series.points.iter().map(|point| (place(point), 100.0 * point.score)),
                    colour.stroke_width(2),
                ))?
                .label(&series.name)
                .legend(move |(x, y)| {
                    EmptyElement::at((x, y))
                        + PathElement::new(vec![(0, 0), (22, 0)], colour.stroke_width(2))
                        + Rectangle::new([(8, -3), (14, 3)], colour.filled())
                });
            let at = |point: &Point| (place(point), 100.0 * point.score);
            match index % 4 {
                0 => chart.draw_series(series.points.iter().map(|p| Circle::new(at(p), 5, colour.filled())))?,
                1 => chart.draw_series(series.points.iter().map(|p| TriangleMarker::new(at(p), 7, colour.filled())))?,
                2 => chart.draw_series(series.points.iter().map(|p| Cross::new(at(p), 5, colour.stroke_width(3))))?,
                _ => chart.draw_series(
                    series
                        .points
                        .iter()
                        .map(|p| EmptyElement::at(at(p)) + Rectangle::new([(-5, -5), (5, 5)], colour.filled())),
                )?,
            };
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .background_style(WHITE.mix(0.85))
            .border_style(BLACK.mix(0.3))
            .label_font(("sans-serif", 14))
            .draw()?;
        area.present()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot() -> ScorePlot {
        let point = |layer, score: f64| Point { layer, score, low: score - 0.03, high: score + 0.03 };
        ScorePlot {
            title: "solar cells".into(),
            score: "accuracy".into(),
            layers: vec!["layer1".into(), "layer2".into(), "layer4".into()],
            series: vec![
                Series { name: "logistic".into(), points: vec![point(0, 0.7), point(1, 0.75), point(2, 0.8)] },
                Series { name: "svm".into(), points: vec![point(0, 0.72), point(2, 0.78)] },
            ],
        }
    }

    #[test]
    fn svg_names_the_layers_and_the_series() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/folder/sweep.svg");
        draw_scores(&plot(), &path).unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        for word in ["solar cells", "layer1", "layer2", "layer4", "logistic", "svm", "accuracy"] {
            assert!(text.contains(word), "{word} is missing");
        }
    }

    #[test]
    fn png_has_ink() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sweep.png");
        draw_scores(&plot(), &path).unwrap();
        assert!(std::fs::metadata(path).unwrap().len() > 5_000);
    }

    #[test]
    fn mistakes_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let wrong = draw_scores(&plot(), &folder.path().join("sweep.jpg")).unwrap_err();
        assert!(wrong.to_string().contains(".svg or .png"));
        let empty = ScorePlot { series: Vec::new(), ..plot() };
        assert!(draw_scores(&empty, &folder.path().join("sweep.svg")).is_err());
    }
}
