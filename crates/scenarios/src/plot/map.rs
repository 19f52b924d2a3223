//! Images as points, a colour and a marker for each class; test images are hollow.

use super::{
    Drawing, PlotError,
    legend::{self, LETTER},
    padded, register_fonts, write,
};
use plotters::{
    backend::DrawingBackend,
    chart::ChartBuilder,
    coord::Shift,
    drawing::{DrawingArea, DrawingAreaErrorKind},
    style::{RGBColor, WHITE},
};
use std::path::Path;

/// An image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MapPlotPoint {
    /// To the right.
    pub x: f64,
    /// Upwards.
    pub y: f64,
    /// Which of [`MapPlot::classes`].
    pub class: usize,
    /// Whether it is drawn as an outline: an image that is not trained on.
    pub hollow: bool,
}

/// A map of images.
#[derive(Debug, Clone, PartialEq)]
pub struct MapPlot {
    /// Above the picture.
    pub title: String,
    /// What the axes show: to the right, upwards.
    pub axes: [String; 2],
    /// Names of the classes.
    pub classes: Vec<String>,
    /// The images.
    pub points: Vec<MapPlotPoint>,
}

/// Draws `plot` into `path` (`.svg` or `.png`).
///
/// # Errors
/// When there is nothing to draw or the file cannot be written.
pub fn draw_map(plot: &MapPlot, path: &Path) -> Result<(), PlotError> {
    if plot.points.is_empty() {
        return Err(PlotError::Empty(path.to_path_buf()));
    }
    register_fonts();
    let legend = legend::width(plot.classes.iter().map(String::as_str)) + 2 * GAP;
    let size = (2 * MARGIN + SIDE + PLOT + legend, 2 * MARGIN + TITLE + PLOT + SIDE);
    write(path, size, &Placed { plot, legend, corner: (size.0 - MARGIN - legend + 2 * GAP, MARGIN + TITLE) })
}

/// Around everything.
const MARGIN: u32 = 16;
/// Above the plot, for the title.
const TITLE: u32 = 34;
/// Width and height of the plot itself.
const PLOT: u32 = 520;
/// Left of and below the plot, for what the axes show.
const SIDE: u32 = 40;
/// Between things.
const GAP: u32 = 8;

struct Placed<'a> {
    plot: &'a MapPlot,
    /// How wide the legend is.
    legend: u32,
    /// Where it begins.
    corner: (u32, u32),
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
        let plot = self.plot;
        area.fill(&WHITE)?;
        let (left, right) = padded(plot.points.iter().map(|point| point.x), 0.04);
        let (low, high) = padded(plot.points.iter().map(|point| point.y), 0.04);
        let mut chart = ChartBuilder::on(area)
            .margin(MARGIN)
            .margin_right(MARGIN + self.legend)
            .caption(&plot.title, ("sans-serif", 20))
            .x_label_area_size(SIDE)
            .y_label_area_size(SIDE)
            .build_cartesian_2d(left..right, low..high)?;
        chart
            .configure_mesh()
            .disable_mesh()
            // Positions have no unit.
            .x_labels(0)
            .y_labels(0)
            .axis_style(RGBColor(160, 160, 160))
            .axis_desc_style(("sans-serif", LETTER))
            .x_desc(&plot.axes[0])
            .y_desc(&plot.axes[1])
            .draw()?;
        for point in &plot.points {
            let at = chart.backend_coord(&(point.x, point.y));
            legend::marker(area, at, point.class, point.hollow)?;
        }
        let corner = (self.corner.0 as i32, self.corner.1 as i32);
        legend::draw(area, corner, plot.classes.iter().map(String::as_str))?;
        area.present()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_has_a_mark_and_every_class_a_name() {
        let folder = tempfile::tempdir().unwrap();
        let point = |x: f64, class, hollow| MapPlotPoint { x, y: x * x, class, hollow };
        let mut plot = MapPlot {
            title: "cells".into(),
            axes: ["first".into(), "second".into()],
            classes: vec!["round".into(), "long".into()],
            points: vec![point(0.0, 0, false), point(1.0, 1, false), point(2.0, 1, true)],
        };
        for ending in ["svg", "png"] {
            draw_map(&plot, &folder.path().join("map").with_extension(ending)).unwrap();
        }
        let text = std::fs::read_to_string(folder.path().join("map.svg")).unwrap();
        for word in ["cells", "first", "second", "round", "long"] {
            assert!(text.contains(word), "{word}");
        }
        // Classes are told apart by their marks alone, and so are their test images.
        let marks = |class, hollow| {
            let plot = MapPlot { points: vec![point(0.0, class, hollow)], classes: Vec::new(), ..plot.clone() };
            let path = folder.path().join("one.svg");
            draw_map(&plot, &path).unwrap();
            let text = std::fs::read_to_string(path).unwrap();
            // Without colours.
            text.split('"').filter(|part| !part.starts_with('#')).collect::<String>()
        };
        for hollow in [false, true] {
            let drawn: std::collections::HashSet<String> = (0..12).map(|class| marks(class, hollow)).collect();
            assert_eq!(drawn.len(), 12);
        }
        plot.points.clear();
        assert!(draw_map(&plot, &folder.path().join("none.svg")).is_err());
    }
}
