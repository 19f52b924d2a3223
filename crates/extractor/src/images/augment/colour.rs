//! Colour shifting: brightness, contrast, saturation, hue, and a constant for each channel.
//!
//! Brightness, contrast and saturation as Pillow's `ImageEnhance`, hue as in the HSV cone, all as torchvision's `ColorJitter`
//! applies them, in that order (Howard 2013, “Some improvements on deep convolutional neural network based image classification”);
//! the constants in the sense of AlexNet's (Krizhevsky, Sutskever and Hinton 2012), independent for each channel. Values are
//! clipped to 0…255 after each step, as 8-bit images would be, but rounded only at the end.

use super::{
    chance::Stream,
    recipe::{RecipeError, always, check_probability, check_range},
};
use serde::{Deserialize, Serialize};

/// How colours are shifted; what is left out stays.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColourRecipe {
    /// Bounds of the factor of all values.
    #[serde(default = "same")]
    pub brightness: [f64; 2],
    /// Bounds of the factor of differences from the mean grey.
    #[serde(default = "same")]
    pub contrast: [f64; 2],
    /// Bounds of the factor of differences from the pixel's grey; 0 is a grey image.
    #[serde(default = "same")]
    pub saturation: [f64; 2],
    /// Bounds of the turn of the hue, in whole turns: −0.5…0.5.
    #[serde(default)]
    pub hue: [f64; 2],
    /// Bounds of what is added to each channel, in levels of 0…255.
    #[serde(default)]
    pub shift: [f64; 2],
    /// How often colours are shifted.
    #[serde(default = "always")]
    pub probability: f64,
}

fn same() -> [f64; 2] {
    [1.0, 1.0]
}

impl ColourRecipe {
    pub(super) fn check(&self) -> Result<(), RecipeError> {
        check_range("colour.brightness", self.brightness, [0.0, 10.0])?;
        check_range("colour.contrast", self.contrast, [0.0, 10.0])?;
        check_range("colour.saturation", self.saturation, [0.0, 10.0])?;
        check_range("colour.hue", self.hue, [-0.5, 0.5])?;
        check_range("colour.shift", self.shift, [-255.0, 255.0])?;
        check_probability("colour.probability", self.probability)
    }

    pub(super) fn draw(&self, mut chance: Stream) -> Option<Shift> {
        chance.happens(self.probability).then(|| Shift {
            brightness: chance.between(self.brightness),
            contrast: chance.between(self.contrast),
            saturation: chance.between(self.saturation),
            hue: chance.between(self.hue),
            levels: [0; 3].map(|_| chance.between(self.shift)),
        })
    }
}

/// Changes of colour, drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Shift {
    pub brightness: f64,
    pub contrast: f64,
    pub saturation: f64,
    /// Turns.
    pub hue: f64,
    /// Added to red, green and blue.
    pub levels: [f64; 3],
}

impl Shift {
    /// Changes RGB pixels.
    pub fn apply(&self, pixels: &mut [u8]) {
        let brighter = |pixel: &[u8; 3]| pixel.map(|level| clipped(f64::from(level) * self.brightness));
        let pixels = pixels.as_chunks_mut::<3>().0;
        let mean = rounded_mean(pixels.iter().map(|pixel| grey(brighter(pixel))), pixels.len());
        for pixel in pixels {
            let mut colour = brighter(pixel).map(|level| clipped(mean + (level - mean) * self.contrast));
            let own = grey(colour);
            colour = colour.map(|level| clipped(own + (level - own) * self.saturation));
            if self.hue != 0.0 {
                colour = turned(colour, self.hue);
            }
            for ((level, value), added) in pixel.iter_mut().zip(colour).zip(self.levels) {
                *level = to_level(value + added);
            }
        }
    }

    /// Changes grey levels: their brightness and contrast, and the mean of what is added.
    pub fn apply_grey(&self, levels: &mut [u8]) {
        let brighter = |level: u8| clipped(f64::from(level) * self.brightness);
        let mean = rounded_mean(levels.iter().map(|&level| brighter(level)), levels.len());
        let added = self.levels.iter().sum::<f64>() / 3.0;
        for level in levels {
            *level = to_level(clipped(mean + (brighter(*level) - mean) * self.contrast) + added);
        }
    }
}

fn clipped(level: f64) -> f64 {
    level.clamp(0.0, 255.0)
}

fn to_level(value: f64) -> u8 {
    (clipped(value) + 0.5) as u8
}

/// ITU-R 601 luma.
fn grey([red, green, blue]: [f64; 3]) -> f64 {
    0.299 * red + 0.587 * green + 0.114 * blue
}

/// The mean as a whole level, as Pillow takes it.
fn rounded_mean(values: impl Iterator<Item = f64>, count: usize) -> f64 {
    (values.sum::<f64>() / count.max(1) as f64 + 0.5).floor()
}

/// A colour whose hue is turned by this share of a circle; saturation and value in the sense of HSV stay.
fn turned([red, green, blue]: [f64; 3], turns: f64) -> [f64; 3] {
    let (largest, smallest) = (red.max(green).max(blue), red.min(green).min(blue));
    let range = largest - smallest;
    if range == 0.0 {
        return [red, green, blue];
    }
    let sixths = if largest == red {
        (green - blue) / range
    } else if largest == green {
        2.0 + (blue - red) / range
    } else {
        4.0 + (red - green) / range
    };
    let hue = (sixths + 6.0 * turns).rem_euclid(6.0);
    // Each channel is a trapezoid over the circle (Smith 1978): full for a third of it, none for a third.
    [5.0, 3.0, 1.0].map(|offset| {
        let place = (offset + hue) % 6.0;
        largest - range * place.min(4.0 - place).clamp(0.0, 1.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Shift = Shift { brightness: 1.0, contrast: 1.0, saturation: 1.0, hue: 0.0, levels: [0.0; 3] };

    fn changed(shift: Shift, pixels: &[u8]) -> Vec<u8> {
        let mut pixels = pixels.to_vec();
        shift.apply(&mut pixels);
        pixels
    }

    #[test]
    fn each_change_by_hand() {
        let pixels = [200, 100, 0, 40, 40, 40];
        assert_eq!(changed(NOTHING, &pixels), pixels);
        assert_eq!(changed(Shift { brightness: 1.5, ..NOTHING }, &pixels), [255, 150, 0, 60, 60, 60]);
        // A third of a turn makes green of red, and leaves grey as it is.
        assert_eq!(changed(Shift { hue: 1.0 / 3.0, ..NOTHING }, &pixels), [0, 200, 100, 40, 40, 40]);
        assert_eq!(changed(Shift { saturation: 0.0, ..NOTHING }, &pixels), [119, 119, 119, 40, 40, 40]);
        // The mean grey is (118.5 + 40) / 2, rounded: 79.
        assert_eq!(changed(Shift { contrast: 0.0, ..NOTHING }, &pixels), [79; 6]);
        assert_eq!(changed(Shift { levels: [10.0, -10.0, -5.0], ..NOTHING }, &pixels), [210, 90, 0, 50, 30, 35]);
        let mut grey = [10, 30];
        Shift { contrast: 2.0, levels: [3.0; 3], ..NOTHING }.apply_grey(&mut grey);
        assert_eq!(grey, [3, 43]);
    }

    #[test]
    fn a_whole_turn_of_the_hue_is_none() {
        for turns in [-1.0, 1.0] {
            for colour in [[200.0, 100.0, 0.0], [7.0, 9.0, 250.0], [3.0, 99.0, 98.0]] {
                let again = turned(colour, turns);
                assert!(colour.iter().zip(again).all(|(a, b)| (a - b).abs() < 1e-9), "{colour:?} {again:?}");
            }
        }
    }
}
