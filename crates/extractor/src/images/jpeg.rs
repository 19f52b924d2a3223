//! JPEG through libjpeg-turbo, with the pixels that Pillow gets from it.

use super::Image8;
use super::decode::{DecodeError, check_size};
use super::geometry::reduction;
use headstart_cache::Preprocessing;
use image::metadata::Orientation;
use std::cell::RefCell;
use turbojpeg::{Colorspace, Decompressor, PixelFormat, ScalingFactor};

/// Scans after which a progressive file is taken for one made to keep decoders busy; real ones have about ten.
const MAX_SCANS: u32 = 500;

thread_local! {
    /// Making a decompressor costs more than decoding a thumbnail, so each thread keeps one.
    static DECOMPRESSOR: RefCell<Option<Decompressor>> = const { RefCell::new(None) };
}

/// Why libjpeg-turbo gives no image.
pub(super) enum Refusal {
    /// Another decoder could not, or should not, make something of it either.
    Final(DecodeError),
    /// A kind of JPEG it does not read, and what it says.
    TryOther(String),
}

impl From<DecodeError> for Refusal {
    fn from(error: DecodeError) -> Self {
        Self::Final(error)
    }
}

pub(super) fn is_jpeg(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xFF, 0xD8])
}

/// Decodes into `image`, as the picture is stored, and says how to turn it upright. `fast`: for this, at a fraction of its size
/// where that is enough.
pub(super) fn decode(bytes: &[u8], image: &mut Image8, fast: Option<&Preprocessing>) -> Result<Orientation, Refusal> {
    let segments = Segments::of(bytes);
    DECOMPRESSOR.with_borrow_mut(|kept| {
        // A decompressor that has failed is dropped, so that no state of a broken file reaches the next one.
        let mut decompressor = match kept.take() {
            Some(decompressor) => decompressor,
            None => new_decompressor().map_err(|error| Refusal::TryOther(error.to_string()))?,
        };
        decode_with(&mut decompressor, bytes, &segments, image, fast)?;
        *kept = Some(decompressor);
        Ok::<(), Refusal>(())
    })?;
    Ok(segments.exif.and_then(Orientation::from_exif_chunk).unwrap_or(Orientation::NoTransforms))
}

/// Accurate DCT and smooth chroma upsampling are TurboJPEG's defaults, and Pillow's.
fn new_decompressor() -> turbojpeg::Result<Decompressor> {
    let mut decompressor = Decompressor::new()?;
    decompressor.set_scan_limit(MAX_SCANS)?;
    Ok(decompressor)
}

fn decode_with(
    decompressor: &mut Decompressor,
    bytes: &[u8],
    segments: &Segments,
    image: &mut Image8,
    fast: Option<&Preprocessing>,
) -> Result<(), Refusal> {
    let header = decompressor.read_header(bytes).map_err(|error| refusal(error, segments))?;
    check_size(header.width as u64, header.height as u64)?;
    // Lossless files have no transform that could be scaled.
    let wanted = fast.filter(|_| !header.is_lossless);
    let parts = wanted.map_or(1, |wanted| reduction(header.width as u32, header.height as u32, wanted));
    let factor = ScalingFactor::new(1, parts);
    decompressor.set_scaling_factor(factor).map_err(|error| refusal(error, segments))?;
    let (width, height) = (factor.scale(header.width), factor.scale(header.height));
    let inks = matches!(header.colorspace, Colorspace::CMYK | Colorspace::YCCK);
    let format = if inks { PixelFormat::CMYK } else { PixelFormat::RGB };
    let pitch = width * format.size();
    image.pixels.resize(pitch * height, 0);
    let target = turbojpeg::Image { pixels: &mut image.pixels[..], width, pitch, height, format };
    if let Err(error) = decompressor.decompress(bytes, target) {
        let refused = refusal(error, segments);
        // What libjpeg only warns of comes as an error as well, but after the whole picture has been decoded.
        if !matches!(&refused, Refusal::TryOther(message) if is_harmless(message)) {
            return Err(refused);
        }
    }
    if inks {
        image.pixels =
            image.pixels.chunks_exact(4).flat_map(|cmyk| rgb([cmyk[0], cmyk[1], cmyk[2], cmyk[3]])).collect();
    }
    // A JPEG's sides fit 16 bits.
    (image.width, image.height) = (width as u32, height as u32);
    Ok(())
}

/// Warnings about bytes that are no part of the picture. All others tell of damaged pixels.
fn is_harmless(message: &str) -> bool {
    ["extraneous bytes before marker", "unknown JFIF revision", "Unknown Adobe color transform"]
        .iter()
        .any(|known| message.contains(known))
}

fn refusal(error: turbojpeg::Error, segments: &Segments) -> Refusal {
    let reason = match error {
        turbojpeg::Error::TurboJpegError(message) => message,
        other => other.to_string(),
    };
    // Only the first warning is told, so a harmless one may hide that the end is missing.
    if reason.contains("Premature end of JPEG file") || !segments.has_end() {
        return Refusal::Final(DecodeError::Truncated { reason });
    }
    if reason.contains("Corrupt JPEG data") && !is_harmless(&reason) {
        return Refusal::Final(DecodeError::Broken { reason });
    }
    Refusal::TryOther(reason)
}

/// Ink levels as libjpeg gives them for Adobe's files, where 255 is no ink, to RGB; the arithmetic is Pillow's.
fn rgb([cyan, magenta, yellow, black]: [u8; 4]) -> [u8; 3] {
    let light = u32::from(black);
    [cyan, magenta, yellow].map(|level| {
        let product = u32::from(255 - level) * light + 128;
        // product / 255, rounded; never more than `light`.
        (light - ((product + (product >> 8)) >> 8)) as u8
    })
}

/// What is read from the markers of a file without decoding it.
struct Segments<'a> {
    /// The TIFF structure in the first EXIF segment.
    exif: Option<&'a [u8]>,
    /// What follows the first start-of-scan marker.
    scan: &'a [u8],
}

impl<'a> Segments<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        let mut found = Self { exif: None, scan: &[] };
        let mut rest = bytes.get(2..).unwrap_or_default();
        while let Some(start) = rest.iter().position(|&byte| byte == 0xFF) {
            rest = &rest[start..];
            // Any number of 0xFF may precede a marker.
            let Some(marker_at) = rest.iter().position(|&byte| byte != 0xFF) else { break };
            let marker = rest[marker_at];
            rest = &rest[marker_at + 1..];
            match marker {
                // Without a length: stuffing, TEM, restarts, start of image.
                0x00 | 0x01 | 0xD0..=0xD8 => continue,
                0xD9 => break,
                0xDA => {
                    found.scan = rest;
                    break;
                }
                _ => {}
            }
            let Some(&[high, low]) = rest.first_chunk::<2>() else { break };
            let length = usize::from(u16::from_be_bytes([high, low])).max(2);
            let Some((segment, after)) = rest.split_at_checked(length) else { break };
            if marker == 0xE1 && found.exif.is_none() {
                found.exif = segment[2..].strip_prefix(b"Exif\0\0");
            }
            rest = after;
        }
        found
    }

    /// Whether the end-of-image marker is there. In a scan 0xFF is followed by 0 unless it begins a marker, so it is found
    /// by its two bytes.
    fn has_end(&self) -> bool {
        self.scan.windows(2).any(|pair| pair == [0xFF, 0xD9])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jpeg() -> Vec<u8> {
        let pixels: Vec<u8> = (0..32 * 24 * 3).map(|index| (index * 7 % 251) as u8).collect();
        let image =
            turbojpeg::Image { pixels: &pixels[..], width: 32, pitch: 96, height: 24, format: PixelFormat::RGB };
        turbojpeg::compress(image, 90, turbojpeg::Subsamp::Sub2x2).unwrap().to_vec()
    }

    fn decoded(bytes: &[u8]) -> Result<Image8, DecodeError> {
        crate::images::decode(bytes)
    }

    #[test]
    fn stray_bytes_between_segments_are_forgiven_but_not_a_missing_end() {
        let mut stray = jpeg();
        let end = stray.len() - 2;
        stray.splice(end..end, [1, 2, 3, 4]);
        let whole = decoded(&jpeg()).unwrap();
        assert_eq!(decoded(&stray), Ok(whole));
        assert!(matches!(decoded(&jpeg()[..end]), Err(DecodeError::Truncated { .. })));
        stray.truncate(end + 3);
        assert!(matches!(decoded(&stray), Err(DecodeError::Truncated { .. })));
    }

    #[test]
    fn a_scan_that_stops_short_is_damaged_even_with_an_end() {
        let mut bytes = jpeg();
        let end = bytes.len() - 2;
        bytes.drain(end - 200..end);
        assert!(matches!(decoded(&bytes), Err(DecodeError::Broken { .. })), "{:?}", decoded(&bytes).err());
        // The next picture on this thread is not affected.
        assert!(decoded(&jpeg()).is_ok());
    }

    #[test]
    fn orientation_is_found_behind_other_segments() {
        let exif = [b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0".as_slice(), &[0; 4]].concat();
        let segment = |marker: u8, content: &[u8]| {
            [&[0xFF, marker], &(content.len() as u16 + 2).to_be_bytes()[..], content].concat()
        };
        let mut bytes = jpeg();
        bytes.splice(2..2, [segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0"), segment(0xE1, &exif)].concat());
        let upright = decoded(&bytes).unwrap();
        assert_eq!((upright.width, upright.height), (24, 32));
    }

    #[test]
    fn ink_and_light() {
        assert_eq!(rgb([255, 255, 255, 255]), [255; 3]);
        assert_eq!(rgb([255, 255, 255, 0]), [0; 3]);
        assert_eq!(rgb([0, 255, 128, 255]), [0, 255, 128]);
        assert_eq!(rgb([100, 200, 50, 77]), [30, 60, 15]);
    }
}
