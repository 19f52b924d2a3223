//! JPEG through libjpeg-turbo, with the pixels that Pillow gets from it.

use super::Image8;
use super::decode::{DecodeError, Place, Purpose, check_size};
use super::geometry::{needed, reduction};
use super::turbo::{Decompressor, Header, Region};
use image::metadata::Orientation;
use std::cell::RefCell;
use turbojpeg::PixelFormat;

/// Scans after which a progressive file is taken for one made to keep decoders busy; real ones have about ten.
const MAX_SCANS: i32 = 500;
/// Pixels at the edge of a cropped picture that smooth upsampling, which knows no neighbours there, may make otherwise; and some more.
const EDGE: usize = 4;

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

/// Decodes into `image`, as the picture is stored, and says how to turn it upright. Where it is stored upright, only what `purpose`
/// needs of it; the place says what that is.
pub(super) fn decode(
    bytes: &[u8],
    image: &mut Image8,
    purpose: Option<Purpose>,
) -> Result<(Orientation, Place), Refusal> {
    let segments = Segments::of(bytes);
    let orientation = segments.exif.and_then(Orientation::from_exif_chunk).unwrap_or(Orientation::NoTransforms);
    let place = DECOMPRESSOR.with_borrow_mut(|kept| {
        // A decompressor that has failed is dropped, so that no state of a broken file reaches the next one.
        let mut decompressor = match kept.take() {
            Some(decompressor) => decompressor,
            None => Decompressor::new(MAX_SCANS).map_err(Refusal::TryOther)?,
        };
        let upright = orientation == Orientation::NoTransforms;
        let place = decode_with(&mut decompressor, bytes, &segments, image, purpose, upright)?;
        *kept = Some(decompressor);
        Ok::<Place, Refusal>(place)
    })?;
    Ok((orientation, place))
}

fn decode_with(
    decompressor: &mut Decompressor,
    bytes: &[u8],
    segments: &Segments,
    image: &mut Image8,
    purpose: Option<Purpose>,
    upright: bool,
) -> Result<Place, Refusal> {
    let header = decompressor.header(bytes).map_err(|reason| refusal(reason, segments))?;
    check_size(header.width as u64, header.height as u64)?;
    // Lossless files have no transform that could be scaled, and no blocks to leave out.
    let purpose = purpose.filter(|_| !header.lossless);
    let parts = match purpose {
        Some(Purpose { preprocessing, fast: true }) => {
            reduction(header.width as u32, header.height as u32, preprocessing)
        }
        _ => 1,
    };
    let (whole_width, whole_height) = (header.width.div_ceil(parts), header.height.div_ceil(parts));
    let region = purpose.filter(|_| upright && parts == 1).and_then(|purpose| region(&header, purpose));
    let Region { left, top, width, height } =
        region.unwrap_or(Region { left: 0, top: 0, width: whole_width, height: whole_height });
    let inks = header.inks;
    let format = if inks { PixelFormat::CMYK } else { PixelFormat::RGB };
    image.pixels.resize(width * format.size() * height, 0);
    if let Err(reason) = decompressor.decode(bytes, parts, region, format, &mut image.pixels) {
        let refused = refusal(reason, segments);
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
    Ok(Place { left: left as u32, top: top as u32, whole: (whole_width as u32, whole_height as u32) })
}

/// The part of a picture that is needed, widened to where it can be decoded alone with the same pixels; none if that is all of it.
/// It reaches down to the end: libjpeg-turbo does not read what is below, and would not find it damaged.
fn region(header: &Header, purpose: Purpose) -> Option<Region> {
    let (across, down) = needed(header.width as u32, header.height as u32, purpose.preprocessing);
    let unit = header.unit?;
    let left = across.start.saturating_sub(EDGE) / unit * unit;
    let top = down.start.saturating_sub(EDGE);
    let width = (across.end + EDGE).min(header.width) - left;
    let height = header.height - top;
    ((width, height) != (header.width, header.height)).then_some(Region { left, top, width, height })
}

/// Warnings about bytes that are no part of the picture. All others tell of damaged pixels.
fn is_harmless(message: &str) -> bool {
    ["extraneous bytes before marker", "unknown JFIF revision", "Unknown Adobe color transform"]
        .iter()
        .any(|known| message.contains(known))
}

fn refusal(reason: String, segments: &Segments) -> Refusal {
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
    use crate::images::{Purpose, decode_for, geometry::imagenet, prepare, prepare_part};
    use headstart_cache::{Preprocessing, Resize};
    use proptest::prelude::*;
    use turbojpeg::{Compressor, Image, Subsamp};

    fn jpeg() -> Vec<u8> {
        let pixels: Vec<u8> = (0..32 * 24 * 3).map(|index| (index * 7 % 251) as u8).collect();
        let image =
            turbojpeg::Image { pixels: &pixels[..], width: 32, pitch: 96, height: 24, format: PixelFormat::RGB };
        turbojpeg::compress(image, 90, turbojpeg::Subsamp::Sub2x2).unwrap().to_vec()
    }

    fn decoded(bytes: &[u8]) -> Result<Image8, DecodeError> {
        crate::images::decode(bytes)
    }

    /// A photograph-like picture: smooth, with edges and noise.
    fn photo(width: usize, height: usize, seed: usize) -> Vec<u8> {
        let level = |x: usize, y: usize, channel: usize| {
            let wave = ((x + channel * 9) as f32 / 11.0).sin() * 60.0 + ((y + seed) as f32 / 7.0).cos() * 50.0;
            let edge = if (x / 13 + y / 9 + seed) % 3 == channel { 70.0 } else { 0.0 };
            (110.0 + wave + edge + ((x * 31 + y * 17 + channel * 7 + seed) % 23) as f32) as u8
        };
        (0..height)
            .flat_map(|y| (0..width).flat_map(move |x| (0..3).map(move |channel| (x, y, channel))))
            .map(|(x, y, channel)| level(x, y, channel))
            .collect()
    }

    fn compressed(pixels: &[u8], width: usize, subsampling: Subsamp, progressive: bool) -> Vec<u8> {
        let (pitch, height) = (3 * width, pixels.len() / (3 * width));
        let mut compressor = Compressor::new().unwrap();
        compressor.set_subsamp(subsampling).unwrap();
        compressor.set_quality(85).unwrap();
        compressor.set_progressive(progressive).unwrap();
        compressor.compress_to_vec(Image { pixels, width, pitch, height, format: PixelFormat::RGB }).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]
        /// What is left out is not missed: the pixels of the middle are those of the whole picture, bit for bit.
        #[test]
        fn a_part_is_prepared_as_the_whole(
            width in 1usize..400, height in 1usize..300, kind in 0usize..6, progressive: bool, seed in 0usize..1000,
            size in 8u32..120, longer in 0u32..60, squash: bool,
        ) {
            let kinds = [Subsamp::None, Subsamp::Sub2x1, Subsamp::Sub2x2, Subsamp::Sub1x2, Subsamp::Sub4x1, Subsamp::Gray];
            let bytes = compressed(&photo(width, height, seed), width, kinds[kind], progressive);
            let resize = if squash { Resize::Squash } else { Resize::Crop };
            let preprocessing = Preprocessing { resize, shorter_side: size + longer, ..imagenet(size) };
            let (mut whole, mut part) = (Image8::default(), Image8::default());
            decode_for(&bytes, &mut whole, None).unwrap();
            let purpose = Purpose { preprocessing: &preprocessing, fast: false };
            let place = decode_for(&bytes, &mut part, Some(purpose)).unwrap();
            prop_assert_eq!(place.whole, (whole.width, whole.height));
            let mut expected = vec![0; (size * size * 3) as usize];
            let mut found = expected.clone();
            prepare(&whole, &preprocessing, &mut expected).unwrap();
            prepare_part(&part, place, &preprocessing, &mut found).unwrap();
            prop_assert_eq!(expected, found);
        }
    }

    #[test]
    fn damage_is_found_where_nothing_is_decoded() {
        let preprocessing = imagenet(64);
        let purpose = Some(Purpose { preprocessing: &preprocessing, fast: false });
        for progressive in [false, true] {
            let bytes = compressed(&photo(200, 800, 3), 200, Subsamp::Sub2x2, progressive);
            let mut image = Image8::default();
            let place = decode_for(&bytes, &mut image, purpose).unwrap();
            assert!(place.top > 250 && place.top + image.height == 800, "a third is left out above");
            let mut short = bytes.clone();
            short.truncate(bytes.len() - 10);
            let mut scrambled = bytes.clone();
            let at = bytes.len() - 60;
            scrambled.drain(at..at + 40);
            for damaged in [short, scrambled] {
                let whole = decode_for(&damaged, &mut image, None).unwrap_err();
                assert_eq!(decode_for(&damaged, &mut image, purpose), Err(whole));
            }
            assert!(decode_for(&bytes, &mut image, purpose).is_ok());
        }
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
