//! Accuracy against the number of training images: one line per curve, with intervals, the training accuracy thin above it.

use super::{
    Drawing, PlotError, colour,
    legend::{self, LETTER},
    padded, register_fonts, write,
};
use plotters::{
    backend::DrawingBackend,
    chart::{ChartBuilder, LabelAreaPosition},
    coord::Shift,
    drawing::{DrawingArea, DrawingAreaErrorKind},
    element::{PathElement, Text},
    series::{DashedLineSeries, LineSeries},
    style::{
        BLACK, Color, RGBColor, TextStyle, WHITE,
        text_anchor::{HPos, Pos, VPos},
    },
};
use std::path::Path;

/// One measured size of training set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CurvePoint {
    /// Training images.
    pub images: f64,
    /// Test accuracy, 0…1.
    pub score: f64,
    /// Lower end of its interval.
    pub low: f64,
    /// Upper end of its interval.
    pub high: f64,
    /// Accuracy on the training images, 0…1.
    pub training: f64,
}

/// One learning curve.
#[derive(Debug, Clone, PartialEq)]
pub struct CurveSeries {
    /// What the legend calls it.
    pub name: String,
    /// Its points, by images.
    pub points: Vec<CurvePoint>,
    /// Images and accuracies beyond the last point, where something can be foretold.
    pub forecast: Vec<(f64, f64)>,
}

/// A picture of learning curves.
#[derive(Debug, Clone, PartialEq)]
pub struct CurvePlot {
    /// Above the picture.
    pub title: String,
    /// The curves.
    pub series: Vec<CurveSeries>,
}

/// Draws `plot` into `path` (`.svg` or `.png`).
///
/// # Errors
/// When there is nothing to draw or the file cannot be written.
pub fn draw_curves(plot: &CurvePlot, path: &Path) -> Result<(), PlotError> {
    if plot.series.iter().all(|series| series.points.is_empty()) {
        return Err(PlotError::Empty(path.to_path_buf()));
    }
    register_fonts();
    let legend = legend::width(plot.series.iter().map(|series| &series.name[..]).chain([KINDS[1]])) + 2 * GAP;
    let size = (2 * MARGIN + SCORES + PLOT.0 + legend, 2 * MARGIN + TITLE + PLOT.1 + BELOW);
    write(path, size, &Placed { plot, corner: (size.0 - MARGIN - legend + 2 * GAP, MARGIN + TITLE), legend })
}

/// Around everything.
const MARGIN: u32 = 16;
/// Above the plot, for the title.
const TITLE: u32 = 34;
/// Width and height of the plot itself.
const PLOT: (u32, u32) = (620, 430);
/// Left of the plot, for the scores.
const SCORES: u32 = 64;
/// Below the plot, for the numbers of images and what they are.
const BELOW: u32 = 54;
/// Between things.
const GAP: u32 = 8;
/// What the kinds of lines mean.
const KINDS: [&str; 3] = ["test images", "training images", "foretold"];

struct Placed<'a> {
    plot: &'a CurvePlot,
    /// Where the legend begins.
    corner: (u32, u32),
    /// How wide it is.
    legend: u32,
}

impl Drawing for Placed<'_> {
    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> Result<(), String> {
        self.try_draw(area).map_err(|error| error.to_string())
    }
}

/// The numbers of images that have a tick: all that are measured and the last foretold, but none too near to the next larger.
fn ticks(plot: &CurvePlot, span: f64) -> Vec<f64> {
    let points = plot.series.iter().flat_map(|series| &series.points);
    let foretold = plot.series.iter().filter_map(|series| series.forecast.last());
    let mut images: Vec<f64> =
        points.map(|point| point.images).chain(foretold.map(|(images, _)| images.round())).collect();
    images.sort_by(f64::total_cmp);
    let mut ticks: Vec<f64> = Vec::new();
    for count in images.into_iter().rev() {
        if ticks.last().is_none_or(|last| last.log2() - count.log2() > span / 14.0) {
            ticks.push(count);
        }
    }
    ticks
}

impl Placed<'_> {
    fn try_draw<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, Shift>,
    ) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
        let plot = self.plot;
        area.fill(&WHITE)?;
        let points = || plot.series.iter().flat_map(|series| &series.points);
        let foretold = || plot.series.iter().flat_map(|series| &series.forecast);
        let scores = points().flat_map(|point| [point.low, point.high, point.training]);
        let (low, high) = padded(scores.chain(foretold().map(|(_, score)| *score)).map(|score| 100.0 * score), 0.04);
        let (low, high) = (low.max(-2.0), high.min(102.0));
        let counts = points().map(|point| point.images).chain(foretold().map(|(images, _)| *images));
        let (first, last) = padded(counts.map(f64::log2), 0.04);
        let mut chart = ChartBuilder::on(area)
            .margin(MARGIN)
            .margin_right(MARGIN + self.legend)
            .caption(&plot.title, ("sans-serif", 20))
            .x_label_area_size(BELOW)
            .y_label_area_size(SCORES)
            .build_cartesian_2d(first..last, low..high)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(WHITE)
            .bold_line_style(RGBColor(225, 225, 225))
            // Ticks stand at the sizes themselves, which plotters' round numbers would miss.
            .x_label_formatter(&|_| String::new())
            .set_tick_mark_size(LabelAreaPosition::Bottom, 0)
            .y_label_style(("sans-serif", LETTER))
            .y_label_formatter(&|y| format!("{y:.0} %"))
            .axis_desc_style(("sans-serif", 15))
            .x_desc("training images (logarithmic)")
            .y_desc("accuracy (test: mean of draws, 95 % interval)")
            .draw()?;
        let style = TextStyle::from(("sans-serif", LETTER)).color(&BLACK).pos(Pos::new(HPos::Center, VPos::Top));
        for images in ticks(plot, last - first) {
            let (x, y) = chart.backend_coord(&(images.log2(), low));
            area.draw(&PathElement::new(vec![(x, y), (x, y + 5)], BLACK.stroke_width(1)))?;
            area.draw(&Text::new(images.to_string(), (x, y + GAP as i32), style.clone()))?;
        }

        let count = plot.series.len() as f64;
        for (index, series) in plot.series.iter().enumerate() {
            let colour = colour(index);
            // Side by side, so that intervals do not hide each other.
            let shift = (index as f64 - (count - 1.0) / 2.0) * 0.006 * (last - first);
            let place = |images: f64, score: f64| (images.log2() + shift, 100.0 * score);
            let training = series.points.iter().map(|point| place(point.images, point.training));
            chart.draw_series(DashedLineSeries::new(training, 2, 3, colour.stroke_width(1)))?;
            chart.draw_series(series.points.iter().map(|point| {
                let ends = vec![place(point.images, point.low), place(point.images, point.high)];
                PathElement::new(ends, colour.stroke_width(1))
            }))?;
            let line = series.points.iter().map(|point| place(point.images, point.score));
            chart.draw_series(LineSeries::new(line, colour.stroke_width(2)))?;
            let forecast = series.forecast.iter().map(|&(images, score)| place(images, score));
            chart.draw_series(DashedLineSeries::new(forecast, 7, 4, colour.stroke_width(2)))?;
            if let Some(&(images, score)) = series.forecast.last() {
                legend::marker(area, chart.backend_coord(&place(images, score)), index, true)?;
            }
            for point in &series.points {
                legend::marker(area, chart.backend_coord(&place(point.images, point.score)), index, false)?;
            }
        }
        let corner = (self.corner.0 as i32, self.corner.1 as i32);
        let below = legend::draw(area, corner, plot.series.iter().map(|series| &series.name[..]))?;
        let kinds = if foretold().next().is_some() { &KINDS[..] } else { &KINDS[..2] };
        legend::line_kinds(area, (corner.0, below + GAP as i32), kinds)?;
        area.present()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot() -> CurvePlot {
        let point = |images: f64, score: f64| CurvePoint {
            images,
            score,
            low: score - 0.05,
            high: (score + 0.05).min(1.0),
            training: 1.0,
        };
        let points =
            |base: f64| (0..5).map(move |at| point([15.0, 30.0, 90.0, 300.0, 417.0][at], base + 0.05 * at as f64));
        CurvePlot {
            title: "solar cells".into(),
            series: vec![
                CurveSeries { name: "layer2".into(), points: points(0.5).collect(), forecast: Vec::new() },
                CurveSeries {
                    name: "layer4".into(),
                    points: points(0.6).collect(),
                    forecast: vec![(417.0, 0.8), (834.0, 0.83)],
                },
            ],
        }
    }

    #[test]
    fn svg_names_sizes_curves_and_kinds_of_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("curve.svg");
        draw_curves(&plot(), &path).unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        for word in ["solar cells", "layer2", "layer4", "15", "90", "417", "training images", "foretold"] {
            assert!(text.contains(word), "{word} is missing");
        }
        let ticks = ticks(&plot(), 8.0);
        assert_eq!(ticks, [834.0, 417.0, 90.0, 30.0, 15.0], "300 is too near to 417");
    }

    #[test]
    fn png_has_ink_and_nothing_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("curve.png");
        draw_curves(&plot(), &path).unwrap();
        assert!(std::fs::metadata(path).unwrap().len() > 5_000);
        let mut single = plot();
        single.series.truncate(1);
        single.series[0].points.truncate(1);
        draw_curves(&single, &folder.path().join("one.svg")).unwrap();
        single.series.clear();
        assert!(draw_curves(&single, &folder.path().join("none.svg")).is_err());
    }
}
