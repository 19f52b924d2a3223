//! Score against depth: one line per head and cache, with its intervals.

use super::{
    Drawing, PlotError, colour,
    legend::{self, text_width},
    padded, register_fonts, write,
};
use plotters::{
    backend::DrawingBackend,
    chart::{ChartBuilder, LabelAreaPosition},
    coord::Shift,
    drawing::{DrawingArea, DrawingAreaErrorKind},
    element::{PathElement, Text},
    series::LineSeries,
    style::{
        BLACK, Color, FontTransform, RGBColor, TextStyle, WHITE,
        text_anchor::{HPos, Pos, VPos},
    },
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
    register_fonts();
    let layout = Layout::of(plot);
    write(path, layout.size, &Placed { plot, layout })
}

/// Around everything.
const MARGIN: u32 = 16;
/// Above the plot, for the title.
const TITLE: u32 = 34;
/// Height of the plot itself.
const PLOT_HEIGHT: u32 = 430;
/// Left of the plot, for the scores.
const SCORES: u32 = 64;
/// Below the names of the layers, for what the axis shows.
const AXIS: u32 = 30;
/// Between an axis and the names along it.
const GAP: u32 = 8;

/// Where things go, worked out from the lengths of the names, so that no text covers another or the data.
#[derive(Debug, Clone, PartialEq)]
struct Layout {
    /// Of the picture, in pixels.
    size: (u32, u32),
    /// Room below the plot for the layers' names, which run downwards where they are too long to stand side by side.
    names: u32,
    downwards: bool,
    /// Room right of the plot for the legend.
    legend: u32,
}

impl Layout {
    fn of(plot: &ScorePlot) -> Self {
        let count = plot.layers.len().max(1) as u32;
        let longest = plot.layers.iter().map(|layer| text_width(layer)).max().unwrap_or(0);
        let plot_width = (90 * count).clamp(520, 1500);
        let downwards = longest + GAP > plot_width / count;
        let names = 2 * GAP + if downwards { longest } else { legend::LETTER as u32 };
        let legend = legend::width(plot.series.iter().map(|series| series.name.as_str())) + 2 * GAP;
        let size = (2 * MARGIN + SCORES + plot_width + legend, 2 * MARGIN + TITLE + PLOT_HEIGHT + names + AXIS);
        Self { size, names, downwards, legend }
    }
}

/// A plot and where its parts go.
struct Placed<'a> {
    plot: &'a ScorePlot,
    layout: Layout,
}

impl Drawing for Placed<'_> {
    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> Result<(), String> {
        self.try_draw(area).map_err(|error| error.to_string())
    }
}

impl Placed<'_> {
    fn try_draw<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, Shift>,
    ) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
        let Self { plot, layout } = self;
        area.fill(&WHITE)?;
        let points = || plot.series.iter().flat_map(|series| &series.points);
        let (low, high) = padded(points().flat_map(|p| [100.0 * p.low, 100.0 * p.high]), 0.06);
        let (low, high) = (low.max(-2.0), high.min(102.0));
        let last = plot.layers.len().saturating_sub(1) as f64;
        let mut chart = ChartBuilder::on(area)
            .margin(MARGIN)
            .margin_right(MARGIN + layout.legend)
            .caption(&plot.title, ("sans-serif", 20))
            .x_label_area_size(layout.names + AXIS)
            .y_label_area_size(SCORES)
            .build_cartesian_2d(-0.5..last + 0.5, low..high)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(WHITE)
            .bold_line_style(RGBColor(225, 225, 225))
            // The names are put below their layers by hand: plotters would centre them on the axis.
            .x_label_formatter(&|_| String::new())
            .set_tick_mark_size(LabelAreaPosition::Bottom, 0)
            .y_label_style(("sans-serif", legend::LETTER))
            .y_label_formatter(&|y| format!("{y:.0} %"))
            .axis_desc_style(("sans-serif", 15))
            .x_desc("layer, shallow to deep")
            .y_desc(&plot.score)
            .draw()?;

        let style = TextStyle::from(("sans-serif", legend::LETTER)).color(&BLACK);
        let style = match layout.downwards {
            true => style.transform(FontTransform::Rotate90).pos(Pos::new(HPos::Left, VPos::Center)),
            false => style.pos(Pos::new(HPos::Center, VPos::Top)),
        };
        for (index, layer) in plot.layers.iter().enumerate() {
            let (x, y) = chart.backend_coord(&(index as f64, low));
            area.draw(&PathElement::new(vec![(x, y), (x, y + 5)], BLACK.stroke_width(1)))?;
            area.draw(&Text::new(layer.clone(), (x, y + GAP as i32), style.clone()))?;
        }

        let count = plot.series.len();
        for (index, series) in plot.series.iter().enumerate() {
            let colour = colour(index);
            // Side by side, so that intervals do not hide each other.
            let shift = (index as f64 - (count as f64 - 1.0) / 2.0) * (0.3 / count as f64);
            let place = |point: &Point, score: f64| (point.layer as f64 + shift, 100.0 * score);
            chart.draw_series(series.points.iter().map(|point| {
                PathElement::new(vec![place(point, point.low), place(point, point.high)], colour.stroke_width(1))
            }))?;
            let line = series.points.iter().map(|point| place(point, point.score));
            chart.draw_series(LineSeries::new(line, colour.stroke_width(2)))?;
            for point in &series.points {
                legend::marker(area, chart.backend_coord(&place(point, point.score)), index, false)?;
            }
        }
        let corner = (layout.size.0 - MARGIN - layout.legend + 2 * GAP, MARGIN + TITLE);
        legend::draw(area, (corner.0 as i32, corner.1 as i32), plot.series.iter().map(|series| series.name.as_str()))?;
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

    /// A plot of fifteen layers with the names that densenets have.
    fn long() -> ScorePlot {
        let name = |layer: usize| format!("features.denseblock{}.denselayer{}.conv2", layer / 4 + 1, layer % 4 + 12);
        let point = |layer, score| Point { layer, score, low: score - 0.05, high: score + 0.05 };
        let line = |name: &str, base: f64| Series {
            name: name.into(),
            points: (0..15).map(|layer| point(layer, base + layer as f64 / 50.0)).collect(),
        };
        ScorePlot {
            layers: (0..15).map(name).collect(),
            series: vec![line("logistic", 0.5), line("svm", 0.55)],
            ..plot()
        }
    }

    /// The `<text>` elements of an SVG: attributes and letters.
    fn texts(plot: &ScorePlot) -> Vec<(String, String)> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sweep.svg");
        draw_scores(plot, &path).unwrap();
        let svg = std::fs::read_to_string(path).unwrap();
        let element = |text: &str| {
            let (attributes, rest) = text.split_once('>').unwrap();
            (attributes.to_string(), rest.split('<').next().unwrap().trim().to_string())
        };
        svg.split("<text").skip(1).map(element).collect()
    }

    fn attribute(attributes: &str, name: &str) -> i32 {
        let (_, value) = attributes.split_once(&format!(" {name}=\"")).unwrap();
        value.split('"').next().unwrap().parse().unwrap()
    }

    #[test]
    fn long_names_run_down_from_their_ticks_and_short_ones_stand_below_them() {
        for (plot, downwards) in [(long(), true), (plot(), false)] {
            let layout = Layout::of(&plot);
            assert_eq!(layout.downwards, downwards);
            let bottom = (MARGIN + TITLE + PLOT_HEIGHT) as i32;
            for layer in &plot.layers {
                let (attributes, _) = texts(&plot).into_iter().find(|(_, text)| text == layer).unwrap();
                let anchor = if downwards { "text-anchor=\"start\"" } else { "text-anchor=\"middle\"" };
                assert!(attributes.contains(anchor), "{attributes}");
                assert_eq!(attributes.contains("rotate(90"), downwards);
                // Below the plot, with room for all of it above the words along the axis.
                let y = attribute(&attributes, "y");
                assert!((bottom..bottom + 2 * GAP as i32).contains(&y), "{y} {bottom}");
                let length = if downwards { text_width(layer) } else { 14 };
                assert!(y as u32 + length <= layout.size.1 - MARGIN - AXIS, "{layer}");
            }
        }
    }

    #[test]
    fn the_legend_stands_beside_the_data() {
        for plot in [long(), plot()] {
            let layout = Layout::of(&plot);
            let right = (layout.size.0 - MARGIN - layout.legend) as i32;
            for series in &plot.series {
                let (attributes, _) = texts(&plot).into_iter().find(|(_, text)| *text == series.name).unwrap();
                let x = attribute(&attributes, "x");
                assert!(x > right && x as u32 + text_width(&series.name) <= layout.size.0, "{x} {layout:?}");
            }
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
