//! Small pictures made by arithmetic: the same on every machine, and different enough by class for a head to learn them.

use crate::harness::Dir;
use image::{Rgb, RgbImage};
use std::path::Path;

/// A picture of 48 × 40 pixels: stripes whose direction and colour tell the class, with noise that tells the picture.
pub fn picture(class: usize, index: usize) -> RgbImage {
    let mut noise = Noise((class * 1000 + index) as u64);
    let shift = noise.below(8);
    RgbImage::from_fn(48, 40, |x, y| {
        let along = if class.is_multiple_of(2) { x } else { y } + shift;
        let base = if (along / 4).is_multiple_of(2) { 190 } else { 60 };
        let colour = |channel: usize| if class % 3 == channel { base } else { base / 2 };
        Rgb([0, 1, 2].map(|channel| (colour(channel) + noise.below(50)) as u8))
    })
}

/// A reproducible source of numbers (Knuth's MMIX generator, the upper bits).
pub struct Noise(pub u64);

impl Noise {
    pub fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % u64::from(end)) as u32
    }
}

impl Dir {
    /// Saves a picture in the format its extension says.
    pub fn picture(&self, name: &str, class: usize, index: usize) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        picture(class, index).save(path).unwrap();
    }

    /// A folder of class folders with `count` pictures each, PNG and JPEG in turn.
    pub fn class_folders(&self, folder: &str, classes: &[&str], count: usize) {
        for (class, name) in classes.iter().enumerate() {
            for index in 0..count {
                self.picture(&picture_name(folder, name, index), class, index);
            }
        }
    }
}

/// Where [`Dir::class_folders`] puts a picture.
pub fn picture_name(folder: &str, class: &str, index: usize) -> String {
    let extension = if index.is_multiple_of(2) { "png" } else { "jpg" };
    Path::new(folder).join(class).join(format!("{index:03}.{extension}")).display().to_string()
}
