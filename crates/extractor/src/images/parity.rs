//! Decoding and preparing against Pillow: the files of tests/golden/images, which scripts/golden_images.py makes.

use super::{Image8, decode, prepare};
use crate::images::geometry::imagenet;
use headstart_cache::{Preprocessing, Resize};
use serde::Deserialize;
use std::path::PathBuf;

/// The most grey levels by which a prepared image may differ from Pillow's, anywhere: none, except that Pillow 13 scales
/// some upright images down first and then across, and so rounds differently.
fn prepared_tolerance(image: &Image8) -> u8 {
    u8::from(image.height > image.width)
}

#[derive(Deserialize)]
struct Cases {
    decoded: Vec<Decoded>,
    prepared: Vec<Prepared>,
    refused: Vec<Refused>,
}

#[derive(Deserialize)]
struct Decoded {
    file: String,
    expected: String,
    tolerance: u8,
}

#[derive(Deserialize)]
struct Prepared {
    file: String,
    expected: String,
    size: u32,
    shorter_side: u32,
    resize: Resize,
    channels: u32,
}

#[derive(Deserialize)]
struct Refused {
    file: String,
    says: String,
}

fn read(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/images"));
    std::fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn cases() -> Cases {
    serde_json::from_slice(&read("cases.json")).unwrap()
}

fn decoded(name: &str) -> Image8 {
    decode(&read(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The largest difference between two buffers, in grey levels.
fn difference(a: &[u8], b: &[u8]) -> u8 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0)
}

#[test]
fn every_kind_of_file_decodes_as_in_pillow() {
    let mut wrong = Vec::new();
    for Decoded { file, expected, tolerance } in cases().decoded {
        let (found, expected) = match decode(&read(&file)) {
            Ok(image) => (image, decoded(&expected)),
            Err(error) => {
                wrong.push(format!("{file}: {error}"));
                continue;
            }
        };
        if (found.width, found.height) != (expected.width, expected.height) {
            wrong.push(format!("{file}: {}×{} pixels", found.width, found.height));
        } else if difference(&found.pixels, &expected.pixels) > tolerance {
            wrong.push(format!("{file}: {} levels off", difference(&found.pixels, &expected.pixels)));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn prepared_images_are_pillows() {
    let mut wrong = Vec::new();
    for Prepared { file, expected, size, shorter_side, resize, channels } in cases().prepared {
        let preprocessing = Preprocessing { shorter_side, resize, channels, ..imagenet(size) };
        let mut out = vec![0; (size * size * channels) as usize];
        let image = decoded(&file);
        prepare(&image, &preprocessing, &mut out).unwrap();
        let stride = 3 / channels as usize;
        let expected_pixels: Vec<u8> = decoded(&expected).pixels.into_iter().step_by(stride).collect();
        let off = difference(&out, &expected_pixels);
        if off > prepared_tolerance(&image) {
            wrong.push(format!("{expected}: {off} levels off"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn broken_files_are_refused_with_their_reason() {
    for Refused { file, says } in cases().refused {
        let said = decode(&read(&file)).expect_err(&file).to_string();
        assert!(said.contains(&says), "{file}: {said}");
    }
}
