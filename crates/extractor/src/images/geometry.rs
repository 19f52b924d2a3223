//! The measures of preparing an image: which part of it is kept, at what scale, and where it goes.
//!
//! They follow torchvision's evaluation transforms, `Resize(shorter_side)` then `CenterCrop(size)`, or `Resize((size,
//! size))`, including how those round.

use super::resample::Axis;
use headstart_cache::{Preprocessing, Resize};
use std::ops::Range;

/// The largest side of the square that is accepted, in pixels.
pub const MAX_SIZE: u32 = 4096;

/// The largest length that the shorter side of an image is scaled to, in pixels: four times what may be cut out of it.
pub const MAX_SHORTER_SIDE: u32 = 4 * MAX_SIZE;

/// A preprocessing that cannot be carried out.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum GeometryError {
    /// A size outside 1…[`MAX_SIZE`].
    #[error("input size {0}: must be between 1 and {MAX_SIZE} pixels")]
    Size(u32),
    /// A shorter side outside 1…[`MAX_SHORTER_SIDE`].
    #[error("the shorter side is scaled to {0}: must be between 1 and {MAX_SHORTER_SIDE} pixels")]
    ShorterSide(u32),
    /// Neither colour nor grey.
    #[error("{0} colour channels: must be 3 (RGB) or 1 (grey)")]
    Channels(u32),
    /// Not one number for each channel.
    #[error("{found} numbers for {channels} channels: must be one for each")]
    Normalisation {
        /// `mean` or `std`.
        field: &'static str,
        /// How many numbers there are.
        found: usize,
        /// How many there must be.
        channels: u32,
    },
    /// A mean or standard deviation that gives no numbers.
    #[error("{value}: must be a finite number{}", if *.field == "std" { " above 0" } else { "" })]
    NotANumber {
        /// `mean` or `std`.
        field: &'static str,
        /// The value.
        value: f32,
    },
    /// An output buffer of the wrong length.
    #[error("the buffer has {found} bytes, but size × size × channels is {expected}")]
    Buffer {
        /// size × size × channels.
        expected: usize,
        /// Length of the buffer.
        found: usize,
    },
    /// An image without pixels, or whose buffer is not width × height × 3 bytes.
    #[error("an image of {width}×{height} pixels with {bytes} bytes: must be width × height × 3, and not 0")]
    Image {
        /// Width, in pixels.
        width: u32,
        /// Height, in pixels.
        height: u32,
        /// Length of its buffer.
        bytes: usize,
    },
}

/// The preprocessing of most weights trained on ImageNet: the shorter side scaled to size × 256/224, the centre cut out,
/// RGB normalised by the training set's mean and standard deviation.
pub fn imagenet(size: u32) -> Preprocessing {
    Preprocessing {
        size,
        resize: Resize::Crop,
        shorter_side: scaled(size, 256, 224),
        channels: 3,
        mean: vec![0.485, 0.456, 0.406],
        std: vec![0.229, 0.224, 0.225],
    }
}

/// `base` with another input size or another way to reach it. A new size keeps the proportion between the crop and the
/// shorter side.
///
/// # Errors
///
/// [`GeometryError`] if the result, or `base`, cannot be carried out.
pub fn with_geometry(
    base: &Preprocessing,
    size: Option<u32>,
    resize: Option<Resize>,
) -> Result<Preprocessing, GeometryError> {
    check(base)?;
    let mut changed = base.clone();
    if let Some(size) = size {
        changed.size = size;
        changed.shorter_side = scaled(size, base.shorter_side, base.size).max(1);
    }
    changed.resize = resize.unwrap_or(base.resize);
    check(&changed)?;
    Ok(changed)
}

/// Whether a preprocessing can be carried out, from the image to the network's input.
///
/// # Errors
///
/// [`GeometryError`] naming what cannot.
pub fn check(preprocessing: &Preprocessing) -> Result<(), GeometryError> {
    check_pixels(preprocessing)?;
    let Preprocessing { channels, mean, std, .. } = preprocessing;
    normalisation("mean", mean, f32::MIN, *channels)?;
    normalisation("std", std, f32::MIN_POSITIVE, *channels)
}

/// Whether the part of a preprocessing that makes 8-bit pixels can be carried out.
pub(super) fn check_pixels(preprocessing: &Preprocessing) -> Result<(), GeometryError> {
    match preprocessing {
        Preprocessing { size, .. } if !(1..=MAX_SIZE).contains(size) => Err(GeometryError::Size(*size)),
        Preprocessing { shorter_side, .. } if !(1..=MAX_SHORTER_SIDE).contains(shorter_side) => {
            Err(GeometryError::ShorterSide(*shorter_side))
        }
        Preprocessing { channels, .. } if ![1, 3].contains(channels) => Err(GeometryError::Channels(*channels)),
        _ => Ok(()),
    }
}

/// Whether there is one finite number for each channel, none below `least`.
fn normalisation(field: &'static str, values: &[f32], least: f32, channels: u32) -> Result<(), GeometryError> {
    if values.len() != channels as usize {
        return Err(GeometryError::Normalisation { field, found: values.len(), channels });
    }
    match values.iter().find(|value| !(least..=f32::MAX).contains(value)) {
        Some(&value) => Err(GeometryError::NotANumber { field, value }),
        None => Ok(()),
    }
}

impl GeometryError {
    /// The field of [`Preprocessing`] that is at fault, where one is.
    pub fn field(&self) -> Option<&'static str> {
        match self {
            GeometryError::Size(_) => Some("size"),
            GeometryError::ShorterSide(_) => Some("shorter_side"),
            GeometryError::Channels(_) => Some("channels"),
            GeometryError::Normalisation { field, .. } | GeometryError::NotANumber { field, .. } => Some(field),
            GeometryError::Buffer { .. } | GeometryError::Image { .. } => None,
        }
    }
}

/// length × numerator / denominator, rounded to the nearest, halves up.
fn scaled(length: u32, numerator: u32, denominator: u32) -> u32 {
    let (length, numerator, denominator) = (u64::from(length), u64::from(numerator), u64::from(denominator));
    u32::try_from((2 * length * numerator + denominator) / (2 * denominator)).unwrap_or(u32::MAX)
}

/// Along one axis: which part of the image is scaled to which pixels of the square.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Span {
    /// How many pixels the image has.
    pub source: u32,
    /// To how many it is scaled.
    pub scaled: u64,
    /// The first scaled pixel that is kept.
    pub start: u64,
    /// The first pixel of the square it fills; those before and after stay black.
    pub offset: u32,
    /// How many pixels of the square it fills.
    pub pixels: u32,
}

impl Span {
    /// An axis of `source` pixels, scaled to `resized` pixels, of which the centre `size` are kept. As torchvision's
    /// `center_crop` does, a shorter one is padded, with the odd pixel at the end; a longer one is cut at half the excess,
    /// rounded half to even.
    fn new(source: u32, scaled: u64, size: u32) -> Self {
        if scaled <= u64::from(size) {
            // It fits: scaled is no larger than a u32.
            let pixels = scaled as u32;
            return Self { source, scaled, start: 0, offset: (size - pixels) / 2, pixels };
        }
        let excess = scaled - u64::from(size);
        let half = excess / 2;
        let start = if excess % 2 == 1 && half % 2 == 1 { half + 1 } else { half };
        Self { source, scaled, start, offset: 0, pixels: size }
    }

    /// The weights that scale the kept part.
    pub fn axis(&self) -> Axis {
        Axis::new(self.source, self.scaled, self.start..self.start + u64::from(self.pixels))
    }
}

/// The spans along width and height of an image. `width`, `height` and everything in `preprocessing` are at least 1.
pub(super) fn spans(width: u32, height: u32, preprocessing: &Preprocessing) -> (Span, Span) {
    let size = preprocessing.size;
    let (resized_width, resized_height) = match preprocessing.resize {
        Resize::Squash => (u64::from(size), u64::from(size)),
        Resize::Crop => {
            let shorter = u64::from(preprocessing.shorter_side);
            // torchvision: int(shorter_side * long / short).
            let longer = |long: u32, short: u32| shorter * u64::from(long) / u64::from(short);
            if width <= height { (shorter, longer(height, width)) } else { (longer(width, height), shorter) }
        }
    };
    (Span::new(width, resized_width, size), Span::new(height, resized_height, size))
}

/// The columns and rows of an image that preparing it reads.
pub(super) fn needed(width: u32, height: u32, preprocessing: &Preprocessing) -> (Range<usize>, Range<usize>) {
    let (across, down) = spans(width, height, preprocessing);
    (across.axis().needed(), down.axis().needed())
}

/// Into how many parts each side of an image can be divided, 1, 2, 4 or 8, so that it is still no smaller than it is scaled to.
pub(super) fn reduction(width: u32, height: u32, preprocessing: &Preprocessing) -> usize {
    if width == 0 || height == 0 {
        return 1;
    }
    let (across, down) = spans(width, height, preprocessing);
    let enough = |parts: &u32| {
        let parts = u64::from(*parts);
        u64::from(width) >= parts * across.scaled && u64::from(height) >= parts * down.scaled
    };
    [8, 4, 2].into_iter().find(enough).unwrap_or(1) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_image_is_never_reduced_below_what_is_wanted() {
        for (width, height, parts) in [(511, 900, 1), (512, 900, 2), (1024, 2000, 4), (2047, 5000, 4), (9000, 9000, 8)]
        {
            assert_eq!(reduction(width, height, &imagenet(224)), parts, "{width}×{height}");
            assert_eq!(reduction(height, width, &imagenet(224)), parts);
        }
        let squash = Preprocessing { resize: Resize::Squash, ..imagenet(224) };
        assert_eq!(reduction(4000, 448, &squash), 2);
        assert_eq!(reduction(0, 5, &squash), 1);
    }

    fn crop(size: u32, shorter_side: u32) -> Preprocessing {
        Preprocessing { shorter_side, ..imagenet(size) }
    }

    #[test]
    fn the_usual_photograph() {
        // 500×375 becomes 341×256; the crop begins at round(58.5) = 58 and round(16) = 16.
        let (x, y) = spans(500, 375, &imagenet(224));
        assert_eq!((x.offset, x.pixels, y.offset, y.pixels), (0, 224, 0, 224));
        assert_eq!((x.scaled, x.start, y.scaled, y.start), (341, 58, 256, 16));
    }

    #[test]
    fn half_pixels_round_to_even_as_in_python() {
        for (resized, first) in [(11, 0), (13, 2), (15, 2), (17, 4), (12, 1), (14, 2)] {
            assert_eq!(Span::new(resized, u64::from(resized), 10).start, first, "from {resized} to 10");
        }
    }

    #[test]
    fn what_is_too_small_is_padded_with_the_odd_pixel_at_the_end() {
        assert_eq!(Span::new(7, 7, 10), Span { source: 7, scaled: 7, start: 0, offset: 1, pixels: 7 });
    }

    #[test]
    fn a_new_size_keeps_the_proportion() {
        let base = imagenet(224);
        assert_eq!((base.shorter_side, base.channels), (256, 3));
        let changed = with_geometry(&base, Some(96), Some(Resize::Squash)).unwrap();
        assert_eq!((changed.size, changed.shorter_side, changed.resize), (96, 110, Resize::Squash));
        assert_eq!(with_geometry(&base, None, None).unwrap(), base);
        assert_eq!(with_geometry(&crop(299, 342), Some(299), None).unwrap(), crop(299, 342));
    }

    #[test]
    fn impossible_geometry_is_named() {
        let base = imagenet(224);
        assert_eq!(with_geometry(&base, Some(0), None), Err(GeometryError::Size(0)));
        assert_eq!(with_geometry(&base, Some(MAX_SIZE + 1), None), Err(GeometryError::Size(MAX_SIZE + 1)));
        assert_eq!(check(&crop(10, 0)), Err(GeometryError::ShorterSide(0)));
        assert_eq!(check(&crop(10, MAX_SHORTER_SIDE + 1)), Err(GeometryError::ShorterSide(MAX_SHORTER_SIDE + 1)));
        assert_eq!(check(&Preprocessing { channels: 4, ..base.clone() }), Err(GeometryError::Channels(4)));
        let field = |changed: Preprocessing| check(&changed).unwrap_err().field();
        assert_eq!(field(Preprocessing { mean: Vec::new(), ..base.clone() }), Some("mean"));
        assert_eq!(field(Preprocessing { mean: vec![f32::NAN; 3], ..base.clone() }), Some("mean"));
        assert_eq!(field(Preprocessing { std: vec![1.0; 4], ..base.clone() }), Some("std"));
        assert_eq!(field(Preprocessing { std: vec![1.0, 0.0, 1.0], ..base }), Some("std"));
    }

    proptest! {
        #[test]
        fn spans_lie_inside_the_image_and_the_square(
            width in 1u32..=4000, height in 1u32..=4000, size in 1u32..=512, shorter in 1u32..=600, squash: bool,
        ) {
            let resize = if squash { Resize::Squash } else { Resize::Crop };
            let (x, y) = spans(width, height, &Preprocessing { resize, ..crop(size, shorter) });
            for span in [x, y] {
                let end = span.start + u64::from(span.pixels);
                prop_assert!(end <= span.scaled, "{span:?}");
                prop_assert!(span.pixels >= 1 && span.offset + span.pixels <= size);
                // The centre stays the centre, to within a pixel.
                prop_assert!((span.scaled - end).abs_diff(span.start) <= 2, "{span:?}");
            }
        }
    }
}
