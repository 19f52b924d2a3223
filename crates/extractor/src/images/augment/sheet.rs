//! A contact sheet: views as the backbone will see them, one image after another.

use super::Augmenter;
use crate::images::{self, GeometryError, Item};
use headstart_cache::Preprocessing;
use image::{Rgb, RgbImage, imageops};

/// Views beside each other.
const COLUMNS: u32 = 8;
/// Pixels between two views, and twice as many between two images.
const GAP: u32 = 6;

/// Pixels of a sheet at most, views without what is between them: 0.75 GB of memory, and more than a viewer opens.
const PIXELS: u64 = 1 << 28;

/// Why there is no sheet.
#[derive(Debug, thiserror::Error)]
pub enum SheetError {
    /// More than memory holds, or anybody looks at.
    #[error(
        "{views} views of {images} image(s) at {size} × {size} pixels are {} million pixels, and a sheet has at most {}; ask for \
         fewer views (--views), fewer images (--limit) or a smaller side (--size)",
        pixels(*images, *views, *size).div_ceil(1_000_000),
        PIXELS / 1_000_000
    )]
    TooLarge {
        /// Images on the sheet.
        images: usize,
        /// Views of each.
        views: u32,
        /// Side of a view.
        size: u32,
    },
    /// The preprocessing cannot be carried out.
    #[error(transparent)]
    Geometry(#[from] GeometryError),
}

/// Pixels of all views together.
fn pixels(images: usize, views: u32, size: u32) -> u64 {
    let side = u64::from(size);
    [images as u64, u64::from(views), side, side].into_iter().fold(1, u64::saturating_mul)
}

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
/// When the sheet would be too large, which is found before an image is read, or the preprocessing cannot be carried out. An image that cannot be used is left out, and listed.
pub fn sheet(
    items: &[Item],
    augmenter: &Augmenter,
    views: u32,
    preprocessing: &Preprocessing,
) -> Result<Sheet, SheetError> {
    if pixels(items.len(), views, preprocessing.size) > PIXELS {
        return Err(SheetError::TooLarge { images: items.len(), views, size: preprocessing.size });
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::{augment::Recipe, geometry};

    #[test]
    fn a_sheet_that_no_memory_holds_is_refused() {
        let item = Item { path: "absent.png".into(), name: "absent".into(), label: None, split: String::new() };
        let augmenter = Augmenter::new(Recipe::find("standard").unwrap(), 0);
        let of = |images: usize, views, side| {
            let preprocessing = geometry::with_geometry(&geometry::imagenet(224), Some(side), None).unwrap();
            sheet(&vec![item.clone(); images], &augmenter, views, &preprocessing)
        };
        let Err(error) = of(100, 1024, 1024) else { panic!("it would take 322 GB") };
        let message = error.to_string();
        for part in
            ["1024 views of 100 image(s)", "107375 million pixels", "at most 268", "--views", "--limit", "--size"]
        {
            assert!(message.contains(part), "{part:?} is not in {message}");
        }
        // What is asked for by default is far from it.
        assert_eq!(of(6, 8, 224).unwrap().broken.len(), 6);
    }
}
