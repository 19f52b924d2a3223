//! Random cropping: a part of the image, by area and proportions, scaled to the square.
//!
//! As in the training of Inception (Szegedy et al. 2015, “Going deeper with convolutions”, section 6) and torchvision's
//! `RandomResizedCrop`, whose rule for parts that do not fit is followed: ten tries, then the largest centred part of a proportion
//! within the bounds.

use super::{
    chance::Stream,
    recipe::{RecipeError, Region, check_probability, check_range},
};
use headstart_cache::Resize;
use serde::{Deserialize, Serialize};

/// How parts are chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CropRecipe {
    /// Bounds of the part's share of the image's area, above 0 and at most 1.
    pub area: [f64; 2],
    /// Bounds of width by height, in pixels of the image (where preprocessing squashes images: relative to their own
    /// proportions). Chosen evenly in the logarithm.
    #[serde(default = "proportions")]
    pub ratio: [f64; 2],
    /// How often images are cropped; the others are prepared as they are.
    #[serde(default = "super::recipe::always")]
    pub probability: f64,
}

fn proportions() -> [f64; 2] {
    [0.75, 4.0 / 3.0]
}

/// Parts that are tried before the centre is taken.
const TRIES: usize = 10;

impl CropRecipe {
    pub(super) fn check(&self) -> Result<(), RecipeError> {
        check_range("crop.area", self.area, [0.01, 1.0])?;
        check_range("crop.ratio", self.ratio, [0.1, 10.0])?;
        check_probability("crop.probability", self.probability)
    }

    /// The part of an image of these pixels, as shares of its sides; none to leave it whole.
    pub(super) fn draw(&self, mut chance: Stream, (width, height): (u32, u32), resize: Resize) -> Option<Region> {
        if !chance.happens(self.probability) {
            return None;
        }
        // Proportions in shares of the sides: 1 for the proportions of the image.
        let own = match resize {
            Resize::Crop => f64::from(height) / f64::from(width),
            Resize::Squash => 1.0,
        };
        let [narrow, wide] = self.ratio;
        let logarithms = [libm::log(narrow), libm::log(wide)];
        for _ in 0..TRIES {
            let area = chance.between(self.area);
            let ratio = libm::exp(chance.between(logarithms)) * own;
            let (across, down) = (libm::sqrt(area * ratio), libm::sqrt(area / ratio));
            if across <= 1.0 && down <= 1.0 {
                let left = chance.between([0.0, 1.0 - across]);
                let top = chance.between([0.0, 1.0 - down]);
                return Some(Region { left, top, width: across, height: down });
            }
        }
        // width : height in shares, as close to 1 : 1 as the bounds allow, so that one side is whole.
        let ratio = 1.0_f64.clamp(narrow * own, wide * own);
        let (across, down) = if ratio < 1.0 { (ratio, 1.0) } else { (1.0, 1.0 / ratio) };
        Some(Region { left: (1.0 - across) / 2.0, top: (1.0 - down) / 2.0, width: across, height: down })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::augment::chance::{Chance, Matter};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn parts_lie_in_the_image_and_within_the_bounds(
            width in 1u32..5000, height in 1u32..5000, view: u32, squash: bool, low in 0.05f64..1.0,
        ) {
            let recipe = CropRecipe { area: [low, 1.0], ratio: [0.8, 1.25], probability: 1.0 };
            let resize = if squash { Resize::Squash } else { Resize::Crop };
            let part = recipe.draw(Chance::new(1, "x", view).of(Matter::Crop), (width, height), resize).unwrap();
            let Region { left, top, width: across, height: down } = part;
            prop_assert!(left >= 0.0 && top >= 0.0 && left + across <= 1.0 + 1e-12 && top + down <= 1.0 + 1e-12);
            let own = if squash { 1.0 } else { f64::from(width) / f64::from(height) };
            let ratio = across / down * own;
            prop_assert!((0.8 - 1e-9..=1.25 + 1e-9).contains(&ratio), "{ratio}");
        }
    }

    #[test]
    fn some_images_stay_whole() {
        let recipe = CropRecipe { area: [0.5, 1.0], ratio: [1.0, 1.0], probability: 0.5 };
        let whole = (0..400)
            .filter(|&view| recipe.draw(Chance::new(0, "x", view).of(Matter::Crop), (9, 9), Resize::Crop).is_none())
            .count();
        assert!((160..240).contains(&whole), "{whole}");
    }
}
