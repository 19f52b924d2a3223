//! Pictures, as SVG or PNG by the file's ending. Colours are Okabe and Ito's, which colour-blind readers can tell apart;
//! every series also has its own mark ([`mark`]), so that a print in black and white can be read.

mod curves;
mod legend;
mod map;
pub(crate) mod mark;
mod models;
mod scores;

pub use curves::{CurvePlot, CurvePoint, CurveSeries, draw_curves};
pub use map::{MapPlot, MapPlotPoint, draw_map};
pub use models::draw_models;
pub use scores::{Point, ScorePlot, Series, draw_scores};

use plotters::{
    backend::{BitMapBackend, DrawingBackend, SVGBackend},
    coord::Shift,
    drawing::{DrawingArea, IntoDrawingArea},
    style::{FontStyle, RGBColor, register_font},
};
use std::{
    path::{Path, PathBuf},
    sync::Once,
};

/// A picture that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PlotError {
    /// Neither `.svg` nor `.png`.
    #[error("{}: a plot is written as .svg or .png; end the file name with one of them", .0.display())]
    Format(PathBuf),
    /// Nothing to draw.
    #[error("{}: there is nothing to draw", .0.display())]
    Empty(PathBuf),
    /// Drawing or writing failed.
    #[error("{}: cannot write the plot: {reason}", .path.display())]
    Write {
        /// The picture.
        path: PathBuf,
        /// What failed.
        reason: String,
    },
}

/// Okabe and Ito's palette, without yellow (which a white page swallows), and wine from Tol's muted one.
const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(0, 0, 0),
    RGBColor(136, 34, 85),
];

fn colour(index: usize) -> RGBColor {
    COLOURS[index % COLOURS.len()]
}

/// Something that can be drawn by any of plotters' back ends.
trait Drawing {
    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> Result<(), String>;
}

/// Draws on a white page of `size` pixels and writes it to `path`.
fn write(path: &Path, size: (u32, u32), drawing: &impl Drawing) -> Result<(), PlotError> {
    let failed = |reason: String| PlotError::Write { path: path.to_path_buf(), reason };
    register_fonts();
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|error| failed(error.to_string()))?;
    }
    let ending = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    match ending.as_str() {
        "svg" => {
            let mut text = String::new();
            drawing.draw(&SVGBackend::with_string(&mut text, size).into_drawing_area()).map_err(failed)?;
            std::fs::write(path, text).map_err(|error| failed(error.to_string()))
        }
        "png" => {
            let mut pixels = vec![255; 3 * size.0 as usize * size.1 as usize];
            drawing.draw(&BitMapBackend::with_buffer(&mut pixels, size).into_drawing_area()).map_err(failed)?;
            let (colour, format) = (image::ExtendedColorType::Rgb8, image::ImageFormat::Png);
            image::save_buffer_with_format(path, &pixels, size.0, size.1, colour, format)
                .map_err(|error| failed(error.to_string()))
        }
        _ => Err(PlotError::Format(path.to_path_buf())),
    }
}

/// Letters for PNGs come with the binary: no font need be installed.
fn register_fonts() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for (style, bytes) in [(FontStyle::Normal, dejavu::sans::regular()), (FontStyle::Bold, dejavu::sans::bold())] {
            if register_font("sans-serif", style, bytes).is_err() {
                tracing::warn!("the built-in font cannot be read; PNG plots will have no letters");
            }
        }
    });
}

/// A range that holds `values` with a little room around them.
fn padded(values: impl Iterator<Item = f64>, room: f64) -> (f64, f64) {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    let margin = ((high - low) * room).max(1e-3);
    (low - margin, high + margin)
}
