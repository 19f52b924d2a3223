//! The images that are decoded: the user's, or some that are made up.

use super::BenchError;
use crate::images;
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The size of made-up images: the commonest of ImageNet's photographs.
const SIDES: (usize, usize) = (500, 375);
/// Different images that are made up; more rows than this show them again.
const DIFFERENT: usize = 32;
/// JPEG quality of made-up images. With [`pixels`] it gives files of about the size of ImageNet's (110 kB on average).
const QUALITY: i32 = 90;

/// Image files, in a folder of their own that is removed with this where they are made up.
pub struct Photos {
    /// What is measured, for people.
    pub source: String,
    /// The files.
    pub files: Vec<PathBuf>,
    /// What an extraction is given to read them.
    pub images: PathBuf,
    _folder: Option<TempDir>,
}

impl Photos {
    /// At most `limit` of the images listed at `path`, spread evenly.
    ///
    /// # Errors
    /// When nothing can be listed there.
    pub fn listed(path: &Path, limit: usize) -> Result<Self, BenchError> {
        let mut listing = images::list(path)?;
        listing.limit(limit);
        let files: Vec<PathBuf> = listing.items.into_iter().map(|item| item.path).collect();
        let source = format!("{} images of {}", files.len(), path.display());
        Ok(Self { source, files, images: path.to_path_buf(), _folder: None })
    }

    /// `count` photographs of 500×375 pixels, made up: the same on every machine.
    ///
    /// # Errors
    /// When they cannot be written to the folder for temporary files.
    pub fn made_up(count: usize) -> Result<Self, BenchError> {
        let fail = |path: &Path, reason: String| BenchError::File { path: path.to_path_buf(), reason };
        let folder = tempfile::tempdir().map_err(|error| fail(&std::env::temp_dir(), error.to_string()))?;
        let mut jpegs: Vec<Vec<u8>> = Vec::new();
        let mut files = Vec::with_capacity(count);
        for index in 0..count {
            let path = folder.path().join(format!("{index:06}.jpg"));
            if index < DIFFERENT {
                jpegs.push(jpeg(index as u64).map_err(|reason| fail(&path, reason))?);
            }
            std::fs::write(&path, &jpegs[index % DIFFERENT]).map_err(|error| fail(&path, error.to_string()))?;
            files.push(path);
        }
        let bytes: usize = jpegs.iter().map(Vec::len).sum();
        let (width, height) = SIDES;
        let source =
            format!("{count} made-up JPEGs of {width}×{height}, {} kB each", bytes / jpegs.len().max(1) / 1000);
        Ok(Self { source, files, images: folder.path().to_path_buf(), _folder: Some(folder) })
    }
}

fn jpeg(seed: u64) -> Result<Vec<u8>, String> {
    let (width, height) = SIDES;
    let pixels = pixels(seed);
    let image =
        turbojpeg::Image { pixels: &pixels[..], width, height, pitch: width * 3, format: turbojpeg::PixelFormat::RGB };
    let bytes = turbojpeg::compress(image, QUALITY, turbojpeg::Subsamp::Sub2x2).map_err(|error| error.to_string())?;
    Ok(bytes.to_vec())
}

/// Random levels on coarser and coarser grids, scaled up and added, the fine ones strong enough for files as heavy as those of real
/// photographs.
fn pixels(seed: u64) -> Vec<u8> {
    let (width, height) = SIDES;
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    let mut levels = vec![0.5_f32; width * height * 3];
    for (cell, strength) in [(128, 0.6), (64, 0.4), (32, 0.25), (16, 0.2), (8, 0.16), (4, 0.2), (2, 0.2), (1, 0.2)] {
        let (across, down) = (width / cell + 2, height / cell + 2);
        let grid: Vec<f32> =
            (0..across * down * 3).map(|_| (chance.next_u32() >> 8) as f32 / 16_777_216.0 - 0.5).collect();
        for (at, level) in levels.iter_mut().enumerate() {
            let (x, y, channel) = (at / 3 % width, at / 3 / width, at % 3);
            let (u, v) = ((x % cell) as f32 / cell as f32, (y % cell) as f32 / cell as f32);
            let corner = |i: usize, j: usize| grid[((y / cell + j) * across + x / cell + i) * 3 + channel];
            let (top, bottom) =
                (corner(0, 0) * (1.0 - u) + corner(1, 0) * u, corner(0, 1) * (1.0 - u) + corner(1, 1) * u);
            *level += strength * (top * (1.0 - v) + bottom * v);
        }
    }
    levels.iter().map(|level| (level.clamp(0.0, 1.0) * 255.0) as u8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_photographs_are_as_heavy_as_real_ones_and_always_the_same() {
        let bytes = jpeg(3).unwrap();
        assert_eq!(bytes, jpeg(3).unwrap());
        assert_ne!(bytes, jpeg(4).unwrap());
        assert!((80_000..140_000).contains(&bytes.len()), "{}", bytes.len());
        let image = images::decode(&bytes).unwrap();
        assert_eq!((image.width, image.height), (500, 375));
    }

    #[test]
    fn a_folder_of_its_own_is_removed() {
        let photos = Photos::made_up(2).unwrap();
        let folder = photos.images.clone();
        assert_eq!(images::list(&folder).unwrap().items.len(), 2);
        drop(photos);
        assert!(!folder.exists());
    }
}
