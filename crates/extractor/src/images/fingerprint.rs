//! Which images show the same: a perceptual hash finds candidates, a thumbnail decides.
//!
//! The hash is dHash (N. Krawetz, "Kind of Like That", hackerfactor.com 2013) with nine rows instead of eight: the image is squashed
//! to 9 × 9 grey pixels, and each bit says whether a pixel is darker than its right neighbour. It survives scaling and
//! recompression, but images of plain things on plain ground share hashes too, so two images count as the same only when their 16 ×
//! 16 colour thumbnails agree as well. Mirrored, turned or cropped copies are not found.

use super::{Image8, decode, prepare};
use headstart_cache::{Preprocessing, Resize};
use rayon::prelude::*;
use std::path::Path;

/// Columns and rows of the grey image that is hashed.
const HASHED: u32 = 9;
/// Side of the thumbnail.
const SIDE: u32 = 16;
/// Bits of 72 that may differ between copies. Of copies recompressed at JPEG quality 50 to 90 and scaled down to half (photographs,
/// blood cells, solar cells of 150 to 500 pixels), 99 in 100 differ in no more.
const BITS: u32 = 6;
/// How much two thumbnails may differ in the mean, as a share of the standard deviation of their levels. Copies as above differ by
/// 0.01 to 0.03; different cells of one solar module, whose hashes are alike too, come as close as 0.09.
const SHARE: f64 = 0.05;
/// The same in levels (0…255), for images of nearly one colour.
const LEVELS: f64 = 0.25;

/// What an image looks like, in 800 bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Fingerprint {
    hash: u128,
    thumbnail: Vec<u8>,
    /// Standard deviation of its levels.
    spread: f64,
}

impl Fingerprint {
    /// Of a decoded image; none if it has no pixels.
    pub fn of(image: &Image8) -> Option<Self> {
        let grey = squashed(image, HASHED, 1)?;
        let darker = grey.chunks_exact(HASHED as usize).flat_map(|row| row.windows(2)).map(|pair| pair[0] < pair[1]);
        let hash = darker.fold(0, |bits, darker| bits << 1 | u128::from(darker));
        let thumbnail = squashed(image, SIDE, 3)?;
        Some(Self { hash, spread: spread(&thumbnail), thumbnail })
    }

    /// Of an image file; none if it cannot be read.
    pub fn read(path: &Path) -> Option<Self> {
        Self::of(&decode(&std::fs::read(path).ok()?).ok()?)
    }

    /// Whether both are of the same picture, up to scale and compression.
    pub fn is_copy_of(&self, other: &Self) -> bool {
        if (self.hash ^ other.hash).count_ones() > BITS {
            return false;
        }
        let apart: u32 = self.thumbnail.iter().zip(&other.thumbnail).map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
        let apart = f64::from(apart) / self.thumbnail.len() as f64;
        apart <= (SHARE * self.spread.min(other.spread)).max(LEVELS)
    }
}

/// Standard deviation of levels.
fn spread(levels: &[u8]) -> f64 {
    let n = levels.len() as f64;
    let mean = levels.iter().copied().map(f64::from).sum::<f64>() / n;
    (levels.iter().map(|&level| (f64::from(level) - mean).powi(2)).sum::<f64>() / n).sqrt()
}

fn squashed(image: &Image8, size: u32, channels: u32) -> Option<Vec<u8>> {
    let (mean, std) = (vec![0.0; channels as usize], vec![1.0; channels as usize]);
    let to = Preprocessing { size, resize: Resize::Squash, shorter_side: size, channels, mean, std };
    let mut out = vec![0; (size * size * channels) as usize];
    prepare(image, &to, &mut out).ok()?;
    Some(out)
}

/// Groups of two or more images that are copies of each other, directly or through others of the group; each group, and the list
/// of them, in the order of the images. Images without a fingerprint are in none.
///
/// Every pair is looked at once: 60,000 images take seconds, a million some ten minutes.
pub fn copies(images: &[Option<Fingerprint>]) -> Vec<Vec<usize>> {
    let pairs: Vec<(usize, usize)> = (0..images.len())
        .into_par_iter()
        .flat_map_iter(|first| {
            let known = images[first].as_ref();
            let is_copy = move |other: &&Fingerprint| known.is_some_and(|known| known.is_copy_of(other));
            (first + 1..images.len())
                .filter(move |&second| images[second].as_ref().filter(is_copy).is_some())
                .map(move |second| (first, second))
        })
        .collect();
    // Every image points to the first one that it is known to be a copy of.
    let mut first_of: Vec<usize> = (0..images.len()).collect();
    fn root(first_of: &mut [usize], mut image: usize) -> usize {
        while first_of[image] != image {
            first_of[image] = first_of[first_of[image]];
            image = first_of[image];
        }
        image
    }
    for (a, b) in pairs {
        let (a, b) = (root(&mut first_of, a), root(&mut first_of, b));
        first_of[a.max(b)] = a.min(b);
    }
    let mut groups: Vec<Vec<usize>> = vec![Vec::new(); images.len()];
    for image in 0..images.len() {
        groups[root(&mut first_of, image)].push(image);
    }
    groups.retain(|group| group.len() > 1);
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture of soft blobs, at any size: the same seed is the same scene.
    fn scene(seed: u32, width: u32, height: u32) -> Image8 {
        let blob = |index: u32| {
            let bits = (seed.wrapping_mul(2_654_435_761) ^ index.wrapping_mul(40_503)).wrapping_mul(2_246_822_519);
            (f64::from(bits >> 24) / 256.0, f64::from(bits >> 16 & 255) / 256.0, f64::from(bits >> 8 & 255))
        };
        let mut pixels = Vec::new();
        for y in 0..height {
            for x in 0..width {
                let (x, y) = ((f64::from(x) + 0.5) / f64::from(width), (f64::from(y) + 0.5) / f64::from(height));
                for channel in 0..3 {
                    let level = (0..6).map(|index| {
                        let (at_x, at_y, height) = blob(6 * channel + index);
                        height * (-12.0 * ((x - at_x).powi(2) + (y - at_y).powi(2))).exp()
                    });
                    pixels.push(level.sum::<f64>().min(255.0) as u8);
                }
            }
        }
        Image8 { width, height, pixels }
    }

    #[test]
    fn copies_are_found_at_any_scale() {
        let mut images: Vec<Option<Fingerprint>> = (0..40).map(|seed| Fingerprint::of(&scene(seed, 120, 90))).collect();
        images.push(None);
        assert!(copies(&images).is_empty());
        images.push(Fingerprint::of(&scene(7, 60, 45)));
        images.push(Fingerprint::of(&scene(3, 240, 180)));
        images.push(Fingerprint::of(&scene(7, 97, 73)));
        assert_eq!(copies(&images), [vec![3, 42], vec![7, 41, 43]]);
    }

    #[test]
    fn a_little_noise_is_forgiven_and_another_colour_is_not() {
        let image = scene(5, 64, 64);
        let print = Fingerprint::of(&image).unwrap();
        let mut noisy = image.clone();
        noisy.pixels.iter_mut().enumerate().for_each(|(at, level)| *level = level.saturating_add((at * 7 % 3) as u8));
        assert!(print.is_copy_of(&Fingerprint::of(&noisy).unwrap()));
        let mut swapped = image.clone();
        swapped.pixels.chunks_exact_mut(3).for_each(|pixel| pixel.swap(0, 2));
        assert!(!print.is_copy_of(&Fingerprint::of(&swapped).unwrap()));
        assert!(Fingerprint::of(&Image8::default()).is_none());
        assert!(Fingerprint::read(Path::new("/no/such/image.png")).is_none());
    }
}
