//! Where the backbone's square lies on the scaled image.

use super::recipe::Region;
use crate::images::geometry::{Span, spans};
use headstart_cache::Preprocessing;

/// Along one axis: to how many pixels the whole image is scaled, and which of these is the first of the square. It may lie
/// outside, where the square is larger than what is put into it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// Pixels of the image.
    pub source: u32,
    /// Pixels it is scaled to.
    pub scaled: u64,
    /// The scaled pixel that the square begins with.
    pub start: i64,
}

/// What is brought to the square.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Part {
    /// This part of the image fills it.
    Filling(Region),
    /// This part of the image is prepared as if it were the image.
    AsImage(Region),
}

/// The windows across and down of an image of `width` × `height` pixels.
pub fn windows(width: u32, height: u32, part: Part, preprocessing: &Preprocessing) -> (Window, Window) {
    let size = preprocessing.size;
    match part {
        Part::Filling(Region { left, top, width: across, height: down }) => {
            (filling(width, left, across, size), filling(height, top, down, size))
        }
        Part::AsImage(Region { left, top, width: across, height: down }) => {
            let pixels = |source: u32, share: f64| ((f64::from(source) * share).round() as u32).clamp(1, source);
            let (inner_across, inner_down) = (pixels(width, across), pixels(height, down));
            let (x, y) = spans(inner_across, inner_down, preprocessing);
            (within(width, left, &x), within(height, top, &y))
        }
    }
}

/// The part of `source` pixels that begins at the share `first` and takes the share `share` becomes `size` pixels.
fn filling(source: u32, first: f64, share: f64, size: u32) -> Window {
    let scaled = ((f64::from(size) / share).round() as u64).max(u64::from(size));
    // Rounding must not push the square over the edge.
    let start = ((first * scaled as f64).round() as i64).clamp(0, (scaled - u64::from(size)) as i64);
    Window { source, scaled, start }
}

/// The window of an image in which a part, beginning at the share `first`, has the span `inner`.
fn within(source: u32, first: f64, inner: &Span) -> Window {
    let first = (f64::from(source) * first).round();
    let scale = |pixels: f64| (pixels * inner.scaled as f64 / f64::from(inner.source)).round();
    let start = scale(first) as i64 + inner.start as i64 - i64::from(inner.offset);
    Window { source, scaled: (scale(f64::from(source)) as u64).max(1), start }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::geometry::imagenet;

    #[test]
    fn the_whole_image_lies_as_it_does_without_augmentation() {
        let (x, y) = windows(500, 375, Part::AsImage(Region::WHOLE), &imagenet(224));
        assert_eq!((x.scaled, x.start, y.scaled, y.start), (341, 58, 256, 16));
        let small = Preprocessing { shorter_side: 2, ..imagenet(5) };
        let (x, _) = windows(4, 4, Part::AsImage(Region::WHOLE), &small);
        assert_eq!((x.scaled, x.start), (2, -1));
    }

    #[test]
    fn a_part_fills_the_square() {
        let part = Region { left: 0.5, top: 0.0, width: 0.5, height: 1.0 };
        let (x, y) = windows(200, 100, Part::Filling(part), &imagenet(50));
        assert_eq!((x.scaled, x.start, y.scaled, y.start), (100, 50, 50, 0));
    }

    #[test]
    fn a_part_is_prepared_as_an_image_would_be() {
        // The last 60 of 90 pixels across, all of 60 down: scaled to 12, of which the centre 10 are seen.
        let part = Region { left: 1.0 / 3.0, top: 0.0, width: 2.0 / 3.0, height: 1.0 };
        let preprocessing = Preprocessing { shorter_side: 12, ..imagenet(10) };
        let (x, y) = windows(90, 60, Part::AsImage(part), &preprocessing);
        assert_eq!((x.scaled, x.start, y.scaled, y.start), (18, 7, 12, 1));
    }
}
