//! Markers, and the list of what they stand for.

use super::{
    colour,
    mark::{Mark, RADIUS},
};
use plotters::{
    backend::DrawingBackend,
    coord::Shift,
    drawing::{DrawingArea, DrawingAreaErrorKind},
    element::{Circle, PathElement, Polygon, Text},
    style::{
        BLACK, Color, IntoFont, TextStyle, WHITE,
        text_anchor::{HPos, Pos, VPos},
    },
};

/// Height of letters in labels and legends.
pub const LETTER: i32 = 14;
/// Height of a line of a legend.
const LINE: i32 = 22;
/// Length of the line before a name.
const DASH: i32 = 26;

/// How wide a text is, with some room for a viewer whose font runs wider than ours (SVGs carry no font).
pub fn text_width(text: &str) -> u32 {
    let width =
        ("sans-serif", LETTER).into_font().box_size(text).map_or(8 * text.chars().count() as u32, |size| size.0);
    width + width / 10
}

/// How wide a legend of these names is.
pub fn width<'n>(names: impl IntoIterator<Item = &'n str>) -> u32 {
    names.into_iter().map(text_width).max().unwrap_or(0) + DASH as u32 + 8
}

/// Pixels for a unit of [`Mark`].
const SCALE: f64 = 1.3;

/// Draws the marker of series `index` at a pixel; hollow, only its outline.
pub fn marker<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    (x, y): (i32, i32),
    index: usize,
    hollow: bool,
) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
    let (colour, mark) = (colour(index), Mark::of(index));
    let (inside, cut) = if hollow { (WHITE, colour) } else { (colour, WHITE) };
    let pixels = |length: f64| (SCALE * length).round() as i32;
    if mark.corners.is_empty() {
        area.draw(&Circle::new((x, y), pixels(RADIUS), inside.filled()))?;
        if hollow {
            area.draw(&Circle::new((x, y), pixels(RADIUS), colour.stroke_width(2)))?;
        }
    } else {
        let mut corners: Vec<(i32, i32)> =
            mark.corners.iter().map(|&(right, down)| (x + pixels(right), y + pixels(down))).collect();
        area.draw(&Polygon::new(corners.clone(), inside.filled()))?;
        if hollow {
            corners.push(corners[0]);
            area.draw(&PathElement::new(corners, colour.stroke_width(2)))?;
        }
    }
    let half = pixels(RADIUS);
    let (across, down) = mark.cut.lines();
    if across {
        area.draw(&PathElement::new(vec![(x - half, y), (x + half, y)], cut.stroke_width(2)))?;
    }
    if down {
        area.draw(&PathElement::new(vec![(x, y - half), (x, y + half)], cut.stroke_width(2)))?;
    }
    Ok(())
}

/// Lists the names of series under each other, from this pixel on; gives the height at which the list ends.
pub fn draw<'n, B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    (x, y): (i32, i32),
    names: impl IntoIterator<Item = &'n str>,
) -> Result<i32, DrawingAreaErrorKind<B::ErrorType>> {
    let style = TextStyle::from(("sans-serif", LETTER)).color(&BLACK).pos(Pos::new(HPos::Left, VPos::Center));
    let mut below = y;
    for (index, name) in names.into_iter().enumerate() {
        let y = y + LINE / 2 + LINE * index as i32;
        below = y + LINE / 2;
        area.draw(&PathElement::new(vec![(x, y), (x + DASH, y)], colour(index).stroke_width(2)))?;
        marker(area, (x + DASH / 2, y), index, false)?;
        area.draw(&Text::new(name.to_string(), (x + DASH + 8, y), style.clone()))?;
    }
    Ok(below)
}

/// Says what whole, dotted and dashed lines mean, in this order, from this pixel on.
pub fn line_kinds<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    (x, y): (i32, i32),
    names: &[&str],
) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
    let style = TextStyle::from(("sans-serif", LETTER)).color(&BLACK).pos(Pos::new(HPos::Left, VPos::Center));
    for (index, name) in names.iter().enumerate() {
        let y = y + LINE / 2 + LINE * index as i32;
        // Length of a dash and of the gap behind it, and thickness.
        let (dash, gap, width) = [(DASH, 0, 2), (2, 3, 1), (7, 4, 2)][index % 3];
        for start in (0..DASH).step_by((dash + gap) as usize) {
            let ends = vec![(x + start, y), (x + (start + dash).min(DASH), y)];
            area.draw(&PathElement::new(ends, BLACK.stroke_width(width)))?;
        }
        area.draw(&Text::new((*name).to_string(), (x + DASH + 8, y), style.clone()))?;
    }
    Ok(())
}

/// Lists the names of families by their colours, from this pixel on.
pub fn families<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    (x, y): (i32, i32),
    names: &[&str],
) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
    let style = TextStyle::from(("sans-serif", LETTER)).color(&BLACK).pos(Pos::new(HPos::Left, VPos::Center));
    for (index, name) in names.iter().enumerate() {
        let (x, y) = (x + 6, y + LINE / 2 + LINE * index as i32);
        area.draw(&Circle::new((x, y), 6, colour(index).mix(0.35).filled()))?;
        area.draw(&Circle::new((x, y), 6, colour(index).stroke_width(1)))?;
        area.draw(&Text::new((*name).to_string(), (x + 14, y), style.clone()))?;
    }
    Ok(())
}
