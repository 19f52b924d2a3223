//! Resizing and cropping an image to what the backbone sees.

use super::Image8;
use super::decode::Place;
use super::geometry::{self, GeometryError, spans};
use super::resample::{self, resample};
use headstart_cache::Preprocessing;
use std::cell::RefCell;

/// What one thread keeps from image to image, so that nothing large is allocated per image.
#[derive(Default)]
struct Scratch {
    grey: Vec<u8>,
    resample: resample::Scratch,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Writes the image into `out` as the backbone sees it before normalisation: size × size × channels bytes, row by row,
/// channels innermost.
///
/// Every byte is what torchvision's `Resize` and `CenterCrop` give on Pillow images (bilinear, antialiased). Only the part
/// that the crop keeps is computed. Grey is ITU-R 601 luma, taken before scaling, as Pillow's `convert("L")`. Where the
/// scaled image is smaller than the square, the border is black.
///
/// # Errors
///
/// [`GeometryError`] when the preprocessing cannot be carried out, or a buffer's length does not fit it.
pub fn prepare(image: &Image8, preprocessing: &Preprocessing, out: &mut [u8]) -> Result<(), GeometryError> {
    prepare_part(image, Place::whole(image), preprocessing, out)
}

/// [`prepare`] of a picture of which only what that needs has been decoded ([`decode_for`](super::decode_for) with the same
/// preprocessing).
///
/// # Errors
///
/// As [`prepare`].
///
/// # Panics
///
/// When the part lacks something that is needed.
pub fn prepare_part(
    image: &Image8,
    place: Place,
    preprocessing: &Preprocessing,
    out: &mut [u8],
) -> Result<(), GeometryError> {
    check_input(image, preprocessing, out)?;
    let (width, height) = place.whole;
    let size = preprocessing.size as usize;
    let channels = preprocessing.channels as usize;
    let (across, down) = spans(width, height, preprocessing);
    if (across.pixels, down.pixels) != (preprocessing.size, preprocessing.size) {
        out.fill(0);
    }
    let pitch = size * channels;
    let out = &mut out[down.offset as usize * pitch + across.offset as usize * channels..];
    let (across, down) = (across.axis().behind(place.left), down.axis().behind(place.top));
    let width = image.width as usize;
    SCRATCH.with_borrow_mut(|Scratch { grey, resample: scratch }| {
        if channels == 1 {
            grey.clear();
            grey.extend(image.pixels.chunks_exact(3).map(|rgb| luma([rgb[0], rgb[1], rgb[2]])));
            resample::<1>(grey, width, &across, &down, out, pitch, scratch);
        } else {
            resample::<3>(&image.pixels, width, &across, &down, out, pitch, scratch);
        }
    });
    Ok(())
}

/// Whether an image can be prepared so, into this buffer.
pub(super) fn check_input(image: &Image8, preprocessing: &Preprocessing, out: &[u8]) -> Result<(), GeometryError> {
    geometry::check_pixels(preprocessing)?;
    let &Image8 { width, height, .. } = image;
    if width == 0 || height == 0 || image.pixels.len() as u64 != u64::from(width) * u64::from(height) * 3 {
        return Err(GeometryError::Image { width, height, bytes: image.pixels.len() });
    }
    let expected = preprocessing.size as usize * preprocessing.size as usize * preprocessing.channels as usize;
    if out.len() != expected {
        return Err(GeometryError::Buffer { expected, found: out.len() });
    }
    Ok(())
}

/// ITU-R 601-2 luma with the 16-bit weights that Pillow uses; white stays 255 and grey itself.
pub(super) fn luma([red, green, blue]: [u8; 3]) -> u8 {
    ((u32::from(red) * 19595 + u32::from(green) * 38470 + u32::from(blue) * 7471 + 0x8000) >> 16) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::geometry::imagenet;
    use headstart_cache::Resize;
    use proptest::prelude::*;

    fn plain(width: u32, height: u32, colour: [u8; 3]) -> Image8 {
        Image8 { width, height, pixels: colour.repeat(width as usize * height as usize) }
    }

    #[test]
    fn grey_of_grey_is_itself() {
        assert!((0..=255).all(|level| luma([level; 3]) == level));
        assert_eq!(luma([255, 0, 0]), 76);
    }

    #[test]
    fn small_images_get_a_black_border() {
        let preprocessing = Preprocessing { shorter_side: 2, ..imagenet(5) };
        let mut out = vec![7; 75];
        prepare(&plain(4, 4, [9, 8, 7]), &preprocessing, &mut out).unwrap();
        let inside = |index: usize| (1..3).contains(&(index / 5)) && (1..3).contains(&(index % 5));
        for (index, pixel) in out.chunks(3).enumerate() {
            assert_eq!(pixel, if inside(index) { [9, 8, 7] } else { [0; 3] }, "pixel {index}");
        }
    }

    #[test]
    fn wrong_buffers_are_refused() {
        let image = plain(4, 4, [0; 3]);
        assert_eq!(prepare(&image, &imagenet(5), &mut [0; 74]), Err(GeometryError::Buffer { expected: 75, found: 74 }));
        let cut = Image8 { pixels: vec![0; 47], ..image };
        assert!(matches!(prepare(&cut, &imagenet(5), &mut [0; 75]), Err(GeometryError::Image { bytes: 47, .. })));
        assert!(prepare(&plain(0, 4, [0; 3]), &imagenet(5), &mut [0; 75]).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_shape_can_be_prepared_and_one_colour_stays_that_colour(
            width in 1u32..=4000, height in 1u32..=4000, size in 1u32..=300, longer in 0u32..40,
            squash: bool, grey: bool, level: u8,
        ) {
            // A band of one axis keeps the images small; the axes swap roles at random.
            let (width, height) = if width < height { (width.min(60), height) } else { (width, height.min(60)) };
            let resize = if squash { Resize::Squash } else { Resize::Crop };
            let channels = if grey { 1 } else { 3 };
            let preprocessing = Preprocessing { resize, channels, shorter_side: size + longer, ..imagenet(size) };
            let mut out = vec![!level; (size * size * channels) as usize];
            prepare(&plain(width, height, [level; 3]), &preprocessing, &mut out).unwrap();
            prop_assert!(out.iter().all(|&byte| byte == level));
        }
    }
}
