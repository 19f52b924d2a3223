//! Noise: an independent normal number added to every value.
//!
//! As in Sietsma and Dow 1991, “Creating artificial neural networks that generalize”; Bishop 1995 shows that to train with it is
//! to penalise steep functions.

use super::{
    chance::Stream,
    recipe::{RecipeError, always, check_probability, check_range},
};
use serde::{Deserialize, Serialize};

/// How much noise is added.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoiseRecipe {
    /// Bounds of its standard deviation, in levels of 0…255.
    pub deviation: [f64; 2],
    /// How often images get any.
    #[serde(default = "always")]
    pub probability: f64,
}

impl NoiseRecipe {
    pub(super) fn check(&self) -> Result<(), RecipeError> {
        check_range("noise.deviation", self.deviation, [0.0, 128.0])?;
        check_probability("noise.probability", self.probability)
    }

    pub(super) fn draw(&self, mut chance: Stream) -> Option<Noise> {
        chance.happens(self.probability).then(|| Noise { deviation: chance.between(self.deviation), chance })
    }
}

/// Noise of one strength, and where it comes from.
#[derive(Debug, Clone)]
pub struct Noise {
    deviation: f64,
    chance: Stream,
}

impl Noise {
    /// Adds it to 8-bit values, in their order.
    pub fn apply(&self, levels: &mut [u8]) {
        let mut chance = self.chance.clone();
        for pair in levels.chunks_mut(2) {
            for (level, normal) in pair.iter_mut().zip(chance.normal_pair()) {
                *level = (f64::from(*level) + self.deviation * normal + 0.5).clamp(0.0, 255.0) as u8;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::augment::chance::{Chance, Matter};

    #[test]
    fn grey_gets_noise_of_the_strength_asked_for() {
        let recipe = NoiseRecipe { deviation: [10.0, 10.0], probability: 1.0 };
        let noise = recipe.draw(Chance::new(0, "x", 1).of(Matter::Noise)).unwrap();
        let mut levels = vec![128; 30_001];
        noise.apply(&mut levels);
        let mean = levels.iter().map(|&level| f64::from(level)).sum::<f64>() / levels.len() as f64;
        let variance = levels.iter().map(|&level| (f64::from(level) - mean).powi(2)).sum::<f64>() / levels.len() as f64;
        assert!((mean - 128.0).abs() < 0.3 && (variance.sqrt() - 10.0).abs() < 0.3, "{mean} {variance}");
        let mut again = vec![128; 30_001];
        noise.apply(&mut again);
        assert_eq!(levels, again);
    }
}
