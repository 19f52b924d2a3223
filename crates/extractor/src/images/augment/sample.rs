//! Pixels of the square from those of the image, wherever the geometry of a view puts them.
//!
//! The image is first scaled as for the view without augmentation, antialiased, and only the part that is needed; pixels of
//! the square are then interpolated bilinearly between scaled ones. Views that are neither turned, sheared nor warped need no
//! second step, and have no second blur.

use super::{
    affine::IDENTITY,
    frame::{Window, windows},
    view::View,
};
use crate::images::{
    Image8,
    resample::{self, Axis, resample},
};
use headstart_cache::Preprocessing;
use std::ops::Range;

/// What one thread keeps from view to view.
#[derive(Default)]
pub struct Scratch {
    resample: resample::Scratch,
    scaled: Vec<u8>,
}

/// Fills `out` with the geometry of a view. `source`: the image's pixels, of `C` bytes.
pub fn sample<const C: usize>(
    source: &[u8],
    image: &Image8,
    view: &View,
    preprocessing: &Preprocessing,
    out: &mut [u8],
    scratch: &mut Scratch,
) {
    let side = preprocessing.size as usize;
    let (across, down) = windows(image.width, image.height, view.part, preprocessing);
    let width = image.width as usize;
    if let (Some(x), Some(y)) = (plain(&across, side), plain(&down, side))
        && view.matrix.map(|[a, b]| [a.abs(), b]) == IDENTITY
        && view.field.is_none()
    {
        let (x, y) = (axis(&across, x), axis(&down, y));
        resample::<C>(source, width, &x, &y, out, side * C, &mut scratch.resample);
        if view.matrix != IDENTITY {
            mirror::<C>(out, side);
        }
        return;
    }

    let centre = [across, down].map(|window| window.start as f64 + side as f64 / 2.0);
    let warp = view.field.as_ref().map_or(0.0, |field| field.amplitude);
    // How far from the centre pixels may come from.
    let reach = view.matrix.map(|[a, b]| (((a.abs() + b.abs()) / 2.0 + warp) * side as f64).ceil() + 1.0);
    let needed = |axis: usize, window: &Window| {
        needed(window.scaled, (centre[axis] - reach[axis]).floor() as i64, (centre[axis] + reach[axis]).ceil() as i64)
    };
    let (columns, rows) = (needed(0, &across), needed(1, &down));
    let patch_width = (columns.end - columns.start) as usize;
    scratch.scaled.resize(patch_width * (rows.end - rows.start) as usize * C, 0);
    let (x, y) = (axis(&across, columns.clone()), axis(&down, rows.clone()));
    resample::<C>(source, width, &x, &y, &mut scratch.scaled, patch_width * C, &mut scratch.resample);
    let patch = Patch::<C> {
        pixels: scratch.scaled.as_chunks().0,
        width: patch_width,
        first: [columns.start as i64, rows.start as i64],
        last: [across.scaled as i64 - 1, down.scaled as i64 - 1],
    };

    let half = side as f64 / 2.0;
    for (y, line) in out.chunks_exact_mut(side * C).enumerate() {
        for (x, pixel) in line.as_chunks_mut::<C>().0.iter_mut().enumerate() {
            let (x, y) = (x as f64 + 0.5, y as f64 + 0.5);
            let [mut from_x, mut from_y] = view.matrix.map(|[a, b]| a * (x - half) + b * (y - half));
            if let Some(field) = &view.field {
                let [shift_x, shift_y] = field.at(x / side as f64, y / side as f64);
                from_x += shift_x * side as f64;
                from_y += shift_y * side as f64;
            }
            // Pixels have their centre at a half.
            *pixel = patch.between([centre[0] + from_x - 0.5, centre[1] + from_y - 0.5]);
        }
    }
}

/// The scaled pixels of a square that lies inside the image.
fn plain(window: &Window, side: usize) -> Option<Range<u64>> {
    let start = u64::try_from(window.start).ok()?;
    let end = start + side as u64;
    (end <= window.scaled).then_some(start..end)
}

fn axis(window: &Window, kept: Range<u64>) -> Axis {
    Axis::new(window.source, window.scaled, kept)
}

/// Mirrors a square left to right.
fn mirror<const C: usize>(pixels: &mut [u8], side: usize) {
    for line in pixels.chunks_exact_mut(side * C) {
        line.as_chunks_mut::<C>().0.reverse();
    }
}

/// The pixels among `length` that `low..=high` are, once those beyond the ends are mirrored into the image.
fn needed(length: u64, low: i64, high: i64) -> Range<u64> {
    let last = length as i64 - 1;
    if low < -last || high > 2 * last {
        return 0..length;
    }
    let (mut first, mut end) = (low.clamp(0, last), high.clamp(0, last));
    if low < 0 {
        (first, end) = (0, end.max(-low));
    }
    if high > last {
        (first, end) = (first.min(2 * last - high), last);
    }
    first as u64..end as u64 + 1
}

/// A part of the scaled image.
struct Patch<'a, const C: usize> {
    pixels: &'a [[u8; C]],
    width: usize,
    /// Column and row of the scaled image that the part begins with.
    first: [i64; 2],
    /// The scaled image's last column and row.
    last: [i64; 2],
}

impl<const C: usize> Patch<'_, C> {
    /// The image at a place between the centres of four pixels.
    #[inline]
    fn between(&self, place: [f64; 2]) -> [u8; C] {
        let floor = place.map(f64::floor);
        let [x, y] = [place[0] - floor[0], place[1] - floor[1]];
        let column = [self.index(0, floor[0] as i64), self.index(0, floor[0] as i64 + 1)];
        let row = [self.index(1, floor[1] as i64), self.index(1, floor[1] as i64 + 1)].map(|row| row * self.width);
        let corners = [(row[0], column[0]), (row[0], column[1]), (row[1], column[0]), (row[1], column[1])]
            .map(|(row, column)| self.pixels[row + column]);
        let weights = [(1.0 - x) * (1.0 - y), x * (1.0 - y), (1.0 - x) * y, x * y];
        std::array::from_fn(|channel| {
            let sum: f64 =
                corners.iter().zip(weights).map(|(corner, weight)| f64::from(corner[channel]) * weight).sum();
            (sum + 0.5) as u8
        })
    }

    /// A column or row of the part; one beyond the image is that of its mirror image, which does not repeat the edge.
    #[inline]
    fn index(&self, axis: usize, position: i64) -> usize {
        let last = self.last[axis];
        let inside = if (0..=last).contains(&position) { position } else { folded(position, last) };
        (inside - self.first[axis]) as usize
    }
}

#[cold]
fn folded(position: i64, last: i64) -> i64 {
    if last == 0 {
        return 0;
    }
    let there = position.rem_euclid(2 * last);
    there.min(2 * last - there)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn beyond_the_edge_the_image_is_mirrored() {
        assert_eq!([-2, -1, 0, 3, 4, 5, 6, 7].map(|position| folded(position, 3)), [2, 1, 0, 3, 2, 1, 0, 1]);
        assert_eq!([-5, 0, 9].map(|position| folded(position, 0)), [0, 0, 0]);
    }

    proptest! {
        #[test]
        fn what_is_needed_holds_every_mirrored_pixel(length in 1u64..40, low in -90i64..90, extent in 0i64..90) {
            let high = low + extent;
            let needed = needed(length, low, high);
            prop_assert!(needed.end <= length && !needed.is_empty());
            for position in low..=high {
                let folded = folded(position, length as i64 - 1) as u64;
                prop_assert!(needed.contains(&folded), "{position} is {folded}, not in {needed:?}");
            }
        }
    }
}
