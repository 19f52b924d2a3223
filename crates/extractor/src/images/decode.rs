//! The bytes of an image file to upright RGB, by the same rules on every machine.
//!
//! | in the file | becomes |
//! |---|---|
//! | grey, 1-bit | the level in all three channels |
//! | alpha, transparent colours | dropped: the colour underneath is kept, as Pillow's `convert("RGB")` does |
//! | palette | its colours |
//! | CMYK and YCCK JPEG | RGB as Pillow computes it: Adobe's inverted inks, no colour management |
//! | 16 bits per channel | the high byte (Pillow too, for colour; its grey `I;16` images it clips at 255 instead, which turns most of them white) |
//! | several frames or pages | the first; black where the first frame of a GIF leaves its canvas bare |
//! | EXIF orientation | applied: the picture is turned upright (Pillow only does so when told, `ImageOps.exif_transpose`) |
//! | embedded colour profiles, gamma | ignored, as Pillow does |
//! | floating-point pixels; TIFF with a palette, in CIELab, or compressed with fax group 3, zstd or LZMA | refused: [`DecodeError::Unsupported`] |
//! | a file that ends early or has damaged pixels | refused, never half a picture (Pillow fills what is damaged with grey) |

use super::jpeg;
use headstart_cache::Preprocessing;
use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageError, ImageReader, Limits, RgbImage};
use std::io::{Cursor, ErrorKind};

/// What decodes and resizes, for a cache's provenance: the libraries, and the rules that change pixels. Change it whenever
/// pixels may come out differently, so that a cache is not extended with others.
pub const DECODER: &str = "turbojpeg 1.5 (libjpeg-turbo 3.1, accurate DCT, fancy upsampling), image 0.25, exif upright, alpha dropped, \
     16-bit high byte, bilinear as Pillow's";

/// [`DECODER`] where large JPEGs are decoded at a fraction of their size (`--fast-decode`): other pixels, so another name.
pub const FAST_DECODER: &str = "turbojpeg 1.5 (libjpeg-turbo 3.1, accurate DCT scaled to 1/2, 1/4 or 1/8 of what is at least as large as \
     wanted, fancy upsampling), image 0.25, exif upright, alpha dropped, 16-bit high byte, bilinear as Pillow's";

/// The most pixels an image may have: 2 × 89,478,485, where Pillow refuses too. More is taken for a decompression bomb.
pub const MAX_PIXELS: u64 = 178_956_970;

/// An upright RGB image with 8 bits per channel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image8 {
    /// Pixels per row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// width × height × 3 bytes: row by row from the top, red, green, blue.
    pub pixels: Vec<u8>,
}

/// Why a file gives no image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Zero bytes.
    #[error("the file is empty (0 bytes)")]
    Empty,
    /// No known format.
    #[error("not an image: neither JPEG, PNG, GIF, BMP, TIFF nor WebP")]
    NotAnImage,
    /// More than [`MAX_PIXELS`].
    #[error("{width}×{height} pixels are too many (at most {MAX_PIXELS}); make it smaller")]
    TooLarge {
        /// Pixels per row that the header states.
        width: u64,
        /// Rows that the header states.
        height: u64,
    },
    /// The file ends before the picture does.
    #[error("the file is truncated: {reason}")]
    Truncated {
        /// What the decoder says.
        reason: String,
    },
    /// The data is damaged.
    #[error("the file is damaged: {reason}")]
    Broken {
        /// What the decoder says.
        reason: String,
    },
    /// A sound file of a kind that is not read.
    #[error("cannot be read: {reason}; convert it, for example to an 8-bit PNG")]
    Unsupported {
        /// What is not supported.
        reason: String,
    },
}

/// Decodes an image file; see the [module](self) for what becomes of its kinds.
///
/// # Errors
///
/// [`DecodeError`] with the reason, which is what a cache keeps for a failed row. No input makes it panic.
pub fn decode(bytes: &[u8]) -> Result<Image8, DecodeError> {
    let mut image = Image8::default();
    decode_into(bytes, &mut image)?;
    Ok(image)
}

/// As [`decode()`], into an image whose buffer is used again: a worker that keeps one allocates only for larger images.
/// After an error the image's content is unspecified.
///
/// # Errors
///
/// As [`decode()`].
pub fn decode_into(bytes: &[u8], image: &mut Image8) -> Result<(), DecodeError> {
    decode_for(bytes, image, None).map(drop)
}

/// What an image is decoded for.
#[derive(Debug, Clone, Copy)]
pub struct Purpose<'a> {
    /// How it is prepared.
    pub preprocessing: &'a Preprocessing,
    /// Whether a JPEG that is at least twice as large on every side may come out at 1/2, 1/4 or 1/8 of its size, still as large as is
    /// wanted. libjpeg-turbo then makes fewer pixels of each block, which saves most of the time that large photographs take, and
    /// averages them as a box filter would: the prepared pixels differ by a few levels from those of the full image.
    pub fast: bool,
}

/// Where in a picture the pixels of an [`Image8`] lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Columns before them.
    pub left: u32,
    /// Rows above them.
    pub top: u32,
    /// Width and height of the picture.
    pub whole: (u32, u32),
}

impl Place {
    /// Of an image that is all of its picture.
    pub fn whole(image: &Image8) -> Self {
        Self { left: 0, top: 0, whole: (image.width, image.height) }
    }
}

/// As [`decode_into()`]; where it is known what for, pixels of a JPEG that are not needed for that may be left out
/// ([`prepare_part`](super::prepare_part) takes what comes out, and its place). Damage is found there all the same.
///
/// # Errors
///
/// As [`decode()`].
pub fn decode_for(bytes: &[u8], image: &mut Image8, purpose: Option<Purpose>) -> Result<Place, DecodeError> {
    if bytes.is_empty() {
        return Err(DecodeError::Empty);
    }
    if !jpeg::is_jpeg(bytes) {
        *image = decode_other(bytes)?;
        return Ok(Place::whole(image));
    }
    match jpeg::decode(bytes, image, purpose) {
        Ok((Orientation::NoTransforms, place)) => return Ok(place),
        Ok((orientation, _)) => turn_upright(image, orientation),
        Err(jpeg::Refusal::Final(error)) => return Err(error),
        Err(jpeg::Refusal::TryOther(reason)) => {
            *image = decode_other(bytes).map_err(|error| match error {
                DecodeError::TooLarge { .. } => error,
                _ => DecodeError::Broken { reason },
            })?;
        }
    }
    Ok(Place::whole(image))
}

/// Decodes with the crate `image`, whatever the format. A panic in there is one broken file, not the end of a long run.
fn decode_other(bytes: &[u8]) -> Result<Image8, DecodeError> {
    std::panic::catch_unwind(|| decode_unguarded(bytes))
        .unwrap_or_else(|_| Err(DecodeError::Broken { reason: "its decoder crashed on it".into() }))
}

fn decode_unguarded(bytes: &[u8]) -> Result<Image8, DecodeError> {
    let mut reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|error| DecodeError::Broken { reason: error.to_string() })?;
    if reader.format().is_none() {
        return Err(DecodeError::NotAnImage);
    }
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_PIXELS * 8);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(refusal)?;
    let (width, height) = decoder.dimensions();
    check_size(width.into(), height.into())?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let color = decoder.color_type();
    let mut raw = vec![0; usize::try_from(decoder.total_bytes()).map_err(|_| too_large(width, height))?];
    decoder.read_image(&mut raw).map_err(refusal)?;
    let mut image = Image8 { width, height, pixels: to_rgb(raw, color)? };
    turn_upright(&mut image, orientation);
    Ok(image)
}

fn too_large(width: u32, height: u32) -> DecodeError {
    DecodeError::TooLarge { width: width.into(), height: height.into() }
}

/// Refuses images without pixels and those with too many, before anything is allocated for them.
pub(super) fn check_size(width: u64, height: u64) -> Result<(), DecodeError> {
    match width.checked_mul(height) {
        Some(0) => Err(DecodeError::Broken { reason: format!("{width}×{height} pixels") }),
        Some(pixels) if pixels <= MAX_PIXELS => Ok(()),
        _ => Err(DecodeError::TooLarge { width, height }),
    }
}

/// Pixels as `image` hands them out (16-bit ones in native byte order) to RGB.
fn to_rgb(raw: Vec<u8>, color: ColorType) -> Result<Vec<u8>, DecodeError> {
    let grey = |stride: usize, byte: usize| raw.chunks_exact(stride).flat_map(|pixel| [pixel[byte]; 3]).collect();
    let colour = |stride: usize, byte: usize, step: usize| {
        raw.chunks_exact(stride).flat_map(|p| [p[byte], p[byte + step], p[byte + 2 * step]]).collect()
    };
    let high = if cfg!(target_endian = "little") { 1 } else { 0 };
    Ok(match color {
        ColorType::Rgb8 => raw,
        ColorType::L8 => grey(1, 0),
        ColorType::La8 => grey(2, 0),
        ColorType::Rgba8 => colour(4, 0, 1),
        ColorType::L16 => grey(2, high),
        ColorType::La16 => grey(4, high),
        ColorType::Rgb16 => colour(6, high, 2),
        ColorType::Rgba16 => colour(8, high, 2),
        other => {
            return Err(DecodeError::Unsupported { reason: format!("pixels of type {other:?} have no fixed range") });
        }
    })
}

fn turn_upright(image: &mut Image8, orientation: Orientation) {
    if orientation == Orientation::NoTransforms {
        return;
    }
    let pixels = std::mem::take(&mut image.pixels);
    // The buffer has the length of its dimensions, so it is taken.
    if let Some(turned) = RgbImage::from_raw(image.width, image.height, pixels) {
        let mut turned = DynamicImage::ImageRgb8(turned);
        turned.apply_orientation(orientation);
        (image.width, image.height) = (turned.width(), turned.height());
        image.pixels = turned.into_bytes();
    }
}

fn refusal(error: ImageError) -> DecodeError {
    match error {
        ImageError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => {
            DecodeError::Truncated { reason: error.to_string() }
        }
        ImageError::Unsupported(error) => DecodeError::Unsupported { reason: error.to_string() },
        error => DecodeError::Broken { reason: error.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(image: &DynamicImage, format: image::ImageFormat) -> Vec<u8> {
        let mut bytes = Vec::new();
        image.write_to(&mut Cursor::new(&mut bytes), format).unwrap();
        bytes
    }

    fn gradient() -> DynamicImage {
        RgbImage::from_fn(40, 30, |x, y| image::Rgb([x as u8 * 6, y as u8 * 8, (x ^ y) as u8 * 4])).into()
    }

    #[test]
    fn what_is_no_image_is_said_to_be_none() {
        assert_eq!(decode(b""), Err(DecodeError::Empty));
        assert_eq!(decode(b"<html>404</html>"), Err(DecodeError::NotAnImage));
        assert_eq!(decode(&[0; 4096]), Err(DecodeError::NotAnImage));
    }

    #[test]
    fn every_truncation_is_an_error_or_the_whole_picture() {
        use image::ImageFormat::{Bmp, Gif, Jpeg, Png, Tiff, WebP};
        for format in [Bmp, Gif, Jpeg, Png, Tiff, WebP] {
            let bytes = encoded(&gradient(), format);
            let whole = decode(&bytes).unwrap();
            for length in 0..bytes.len() {
                if let Ok(image) = decode(&bytes[..length]) {
                    assert_eq!(image, whole, "{format:?} cut to {length} of {} bytes", bytes.len());
                }
            }
            assert!(decode(&bytes[..bytes.len() / 2]).is_err(), "{format:?}");
        }
    }

    #[test]
    fn bombs_are_refused_by_their_header() {
        let mut jpeg = encoded(&gradient(), image::ImageFormat::Jpeg);
        let frame = jpeg.windows(2).position(|marker| marker == [0xFF, 0xC0]).unwrap();
        jpeg[frame + 5..frame + 9].copy_from_slice(&[0xFF, 0xFF, 0xFF, 0xFF]);
        assert_eq!(decode(&jpeg), Err(DecodeError::TooLarge { width: 65535, height: 65535 }));

        let mut bmp = encoded(&gradient(), image::ImageFormat::Bmp);
        bmp[18..22].copy_from_slice(&60_000i32.to_le_bytes());
        bmp[22..26].copy_from_slice(&60_000i32.to_le_bytes());
        assert_eq!(decode(&bmp), Err(DecodeError::TooLarge { width: 60_000, height: 60_000 }));
    }

    #[test]
    fn a_gif_is_as_large_as_its_canvas() {
        let frame = RgbImage::from_pixel(4, 3, image::Rgb([9, 8, 7]));
        for canvas in [(4u16, 3u16), (6, 5)] {
            let mut gif = encoded(&frame.clone().into(), image::ImageFormat::Gif);
            gif[6..8].copy_from_slice(&canvas.0.to_le_bytes());
            gif[8..10].copy_from_slice(&canvas.1.to_le_bytes());
            let decoded = decode(&gif).unwrap();
            assert_eq!((decoded.width, decoded.height), (canvas.0.into(), canvas.1.into()));
            for (index, pixel) in decoded.pixels.chunks(3).enumerate() {
                let inside = index % usize::from(canvas.0) < 4 && index / usize::from(canvas.0) < 3;
                assert_eq!(pixel, if inside { [9, 8, 7] } else { [0; 3] });
            }
        }
    }

    #[test]
    fn floating_point_has_no_levels() {
        let floats = image::Rgb32FImage::from_pixel(4, 4, image::Rgb([0.5; 3]));
        let tiff = encoded(&floats.into(), image::ImageFormat::Tiff);
        assert!(matches!(decode(&tiff), Err(DecodeError::Unsupported { .. })));
    }

    #[test]
    fn a_buffer_is_used_again_whatever_came_before() {
        let png = encoded(&gradient(), image::ImageFormat::Png);
        let jpeg = encoded(&gradient().crop_imm(0, 0, 9, 7), image::ImageFormat::Jpeg);
        let mut image = decode(&png).unwrap();
        decode_into(&jpeg, &mut image).unwrap();
        assert_eq!(image, decode(&jpeg).unwrap());
        assert_eq!((image.width, image.height, image.pixels.len()), (9, 7, 9 * 7 * 3));
    }

    proptest::proptest! {
        #[test]
        fn damaged_files_never_panic(format in 0usize..6, at in 0usize..4000, value: u8, more in 0usize..4000) {
            use image::ImageFormat::{Bmp, Gif, Jpeg, Png, Tiff, WebP};
            let mut bytes = encoded(&gradient(), [Bmp, Gif, Jpeg, Png, Tiff, WebP][format]);
            let length = bytes.len();
            bytes[at % length] = value;
            bytes[more % length] ^= value;
            let _ = decode(&bytes);
        }
    }
}
