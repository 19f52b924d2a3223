//! A contact sheet: views as the backbone will see them, one image after another.

use super::Augmenter;
use crate::images::{self, GeometryError, Item};
use headstart_cache::Preprocessing;
use image::{Rgb, RgbImage, imageops};

/// Views beside each other.
const COLUMNS: u32 = 8;
/// Pixels between two views, and twice as many between two images.
const GAP: u32 = 6;

/// A sheet, and what is not on it.
pub struct Sheet {
    /// The picture.
    pub picture: RgbImage,
    /// Names of the images on it, from the top.
    pub shown: Vec<String>,
    /// Images that cannot be used, with the reason.
    pub broken: Vec<(String, String)>,
}

/// Draws `views` views of each image, view 0 first.
///
/// # Errors
/// When the preprocessing cannot be carried out. An image that cannot be used is left out, and listed.
pub fn sheet(
    items: &[Item],
    augmenter: &Augmenter,
    views: u32,
    preprocessing: &Preprocessing,
) -> Result<Sheet, GeometryError> {
    let mut usable = Vec::new();
    let mut broken = Vec::new();
    for item in items {
        let bytes = std::fs::read(&item.path).map_err(|error| format!("cannot be read: {error}"));
        match bytes.and_then(|bytes| images::decode(&bytes).map_err(|error| error.to_string())) {
            Ok(image) => usable.push((item.name.clone(), image)),
            Err(reason) => broken.push((item.name.clone(), reason)),
        }
    }
    let (size, channels) = (preprocessing.size, preprocessing.channels as usize);
    let columns = views.clamp(1, COLUMNS);
    let lines = views.div_ceil(columns);
    let image_height = lines * (size + GAP) + GAP;
    let (width, height) = (columns * (size + GAP) + GAP, usable.len() as u32 * image_height + GAP);
    let mut picture = RgbImage::from_pixel(width, height.max(1), Rgb([255; 3]));
    let mut pixels = vec![0; size as usize * size as usize * channels];
    for (row, (name, image)) in (0..).zip(&usable) {
        for view in 0..views {
            augmenter.prepare(image, name, view, preprocessing, &mut pixels)?;
            let cell = RgbImage::from_fn(size, size, |x, y| {
                let at = (y * size + x) as usize * channels;
                Rgb([0, 1, 2].map(|channel| pixels[at + channel.min(channels - 1)]))
            });
            let (x, y) =
                (view % columns * (size + GAP) + GAP, row * image_height + view / columns * (size + GAP) + GAP);
            imageops::replace(&mut picture, &cell, x.into(), y.into());
        }
    }
    Ok(Sheet { picture, shown: usable.into_iter().map(|(name, _)| name).collect(), broken })
}
