//! Accuracy against multiply-adds with circles for parameters, as Canziani, Paszke and Culurciello draw it ("An Analysis
//! of Deep Neural Network Models for Practical Applications", 2016, arXiv:1605.07678, figure 2).

use super::{Drawing, PlotError, colour, legend, padded, write};
use headstart_extractor::zoo::ModelCard;
use plotters::{
    backend::DrawingBackend,
    chart::ChartBuilder,
    coord::{Shift, combinators::IntoLogRange},
    drawing::{DrawingArea, DrawingAreaErrorKind},
    element::{Circle, EmptyElement, Text},
    style::{BLACK, Color, RGBColor, WHITE},
};
use std::path::Path;

const SIZE: (u32, u32) = (1100, 760);
/// Sizes in the key, in millions of parameters.
const KEY: [f64; 4] = [1.0, 10.0, 50.0, 140.0];
const LETTER: (i32, i32) = (7, 13);

/// Draws every model that has a published top-1 accuracy into `path` (`.svg` or `.png`).
///
/// # Errors
/// When none has one, or the file cannot be written.
pub fn draw_models(cards: &[ModelCard], path: &Path) -> Result<(), PlotError> {
    let models = published(cards);
    if models.is_empty() {
        return Err(PlotError::Empty(path.to_path_buf()));
    }
    write(path, SIZE, &Models(models))
}

/// The models that there is something to draw of.
fn published(cards: &[ModelCard]) -> Vec<Model> {
    cards
        .iter()
        .filter_map(|card| {
            Some(Model {
                name: card.name,
                family: card.family,
                gigas: card.multiply_adds as f64 / 1e9,
                millions: card.parameters as f64 / 1e6,
                top1: card.top1?,
            })
        })
        .collect()
}

struct Model {
    name: &'static str,
    family: &'static str,
    gigas: f64,
    millions: f64,
    top1: f64,
}

struct Models(Vec<Model>);

/// Area in proportion to the parameters.
fn radius(millions: f64) -> i32 {
    (3.2 * millions.sqrt()).round().max(3.0) as i32
}

impl Drawing for Models {
    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> Result<(), String> {
        self.try_draw(area).map_err(|error| error.to_string())
    }
}

impl Models {
    /// Every family once, in the order of the table.
    fn families(&self) -> Vec<&'static str> {
        let mut families: Vec<&str> = Vec::new();
        for model in &self.0 {
            if !families.contains(&model.family) {
                families.push(model.family);
            }
        }
        families
    }

    fn try_draw<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, Shift>,
    ) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
        area.fill(&WHITE)?;
        let (low, high) = padded(self.0.iter().map(|model| model.top1), 0.08);
        let cheapest = self.0.iter().map(|model| model.gigas).fold(f64::INFINITY, f64::min);
        let dearest = self.0.iter().map(|model| model.gigas).fold(0.0, f64::max);
        let mut chart = ChartBuilder::on(area)
            .margin(16)
            .caption(
                "ImageNet-1k top-1 against cost; the area of a circle is the number of parameters",
                ("sans-serif", 18),
            )
            .x_label_area_size(50)
            .y_label_area_size(60)
            .build_cartesian_2d((cheapest * 0.7..dearest * 1.7).log_scale(), low..high)?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .bold_line_style(RGBColor(225, 225, 225))
            .label_style(("sans-serif", 14))
            .axis_desc_style(("sans-serif", 15))
            .x_label_formatter(&|x| if *x < 1.0 { format!("{x:.1}") } else { format!("{x:.0}") })
            .y_label_formatter(&|y| format!("{y:.0} %"))
            .x_desc("multiply-adds for one image, billions")
            .y_desc("top-1 accuracy")
            .draw()?;

        let families = self.families();
        // Large circles first, so that small ones stay visible.
        let mut order: Vec<&Model> = self.0.iter().collect();
        order.sort_by(|a, b| b.millions.total_cmp(&a.millions));
        for model in &order {
            let family = families.iter().position(|&family| family == model.family).unwrap_or(0);
            let place = (model.gigas, model.top1);
            chart.draw_series([Circle::new(place, radius(model.millions), colour(family).mix(0.35).filled())])?;
            chart.draw_series([Circle::new(place, radius(model.millions), colour(family).stroke_width(1))])?;
            chart.draw_series([Circle::new(place, 2, colour(family).filled())])?;
        }
        let mut taken: Vec<Frame> = Vec::new();
        for model in order.iter().rev() {
            let centre = chart.backend_coord(&(model.gigas, model.top1));
            let offset = label_offset(model.name, centre, &mut taken);
            chart
                .draw_series([EmptyElement::at((model.gigas, model.top1))
                    + Text::new(model.name, offset, ("sans-serif", LETTER.1))])?;
        }
        self.key(area)?;
        // Nothing is cheap and accurate at once: the upper left stays empty.
        let corner = chart.backend_coord(&(cheapest * 0.7, high));
        legend::families(area, (corner.0 + 12, corner.1 + 8), &families)?;
        area.present()
    }

    fn key<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
        let mut x = SIZE.0 as i32 - 400;
        let y = SIZE.1 as i32 - 120;
        for millions in KEY {
            let r = radius(millions);
            x += r;
            area.draw(&Circle::new((x, y), r, BLACK.mix(0.5).stroke_width(1)))?;
            area.draw(&Text::new(format!("{millions:.0} M"), (x - 14, y - 6), ("sans-serif", 12)))?;
            x += r + 22;
        }
        Ok(())
    }
}

/// Left, top, right and bottom in pixels.
type Frame = (i32, i32, i32, i32);

/// Where to put a name around its point so that it covers no other name, if there is such a place.
fn label_offset(name: &str, centre: (i32, i32), taken: &mut Vec<Frame>) -> (i32, i32) {
    let width = name.len() as i32 * LETTER.0;
    let height = LETTER.1;
    let sides = |far: i32| {
        [
            (5 + far, -height / 2),
            (-width - 5 - far, -height / 2),
            (-width / 2, -height - 4 - far),
            (-width / 2, 4 + far),
        ]
    };
    let candidates: Vec<(i32, i32)> = [0, 10, 20, 32, 46].into_iter().flat_map(sides).collect();
    let frame = |&(dx, dy): &(i32, i32)| (centre.0 + dx, centre.1 + dy, centre.0 + dx + width, centre.1 + dy + height);
    let free = |candidate: &&(i32, i32)| {
        let a = frame(candidate);
        a.0 > 76 && a.2 < SIZE.0 as i32 - 10 && !taken.iter().any(|b| a.0 < b.2 && b.0 < a.2 && a.1 < b.3 && b.1 < a.3)
    };
    let chosen = *candidates.iter().find(free).unwrap_or(&candidates[0]);
    taken.push(frame(&chosen));
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use headstart_extractor::zoo::model_cards;

    #[test]
    fn every_published_model_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("models.svg");
        let cards = model_cards();
        draw_models(&cards, &path).unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        for card in cards {
            assert_eq!(text.contains(card.name), card.top1.is_some(), "{}", card.name);
        }
    }

    #[test]
    fn every_family_has_a_colour_of_its_own_and_is_named() {
        let cards = model_cards();
        let models = Models(published(&cards));
        let families = models.families();
        let colours: std::collections::HashSet<_> =
            (0..families.len()).map(|index| format!("{:?}", colour(index))).collect();
        assert_eq!(colours.len(), families.len(), "{families:?}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("models.svg");
        draw_models(&cards, &path).unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        for family in families {
            assert!(text.contains(&format!(">\n{family}\n<")), "{family}");
        }
    }
}
