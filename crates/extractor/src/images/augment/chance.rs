//! Random numbers that belong to one view of one image.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};
use sha2::{Digest, Sha256};

/// What is left to chance. Each has a stream of its own, so that a recipe with one more transformation leaves the others as they
/// were. The numbers are part of the streams: they never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Matter {
    Crop = 1,
    Mirror = 2,
    Rotation = 3,
    Shear = 4,
    Warp = 5,
    Colour = 6,
    Noise = 7,
}

/// The source of everything that is random in one view.
///
/// ChaCha with 8 rounds (Bernstein 2008), keyed with the SHA-256 of seed, view and name. Only its 64-bit outputs are used:
/// how they become numbers is written here, because distributions of random-number crates change between versions, and a cache
/// may be extended years later.
#[derive(Debug, Clone)]
pub struct Chance([u8; 32]);

impl Chance {
    pub fn new(seed: u64, name: &str, view: u32) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"headstart view 1\0");
        hash.update(seed.to_le_bytes());
        hash.update(view.to_le_bytes());
        hash.update(name.as_bytes());
        Self(hash.finalize().into())
    }

    /// The numbers for one matter, from their beginning.
    pub fn of(&self, matter: Matter) -> Stream {
        let mut generator = ChaCha8Rng::from_seed(self.0);
        generator.set_stream(matter as u64);
        Stream(generator)
    }
}

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub struct Stream(ChaCha8Rng);

impl Stream {
    /// Uniform in 0…1, 1 left out: 53 bits.
    pub fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Uniform between two bounds.
    pub fn between(&mut self, [low, high]: [f64; 2]) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Whether something of this probability happens.
    pub fn happens(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Two independent numbers of mean 0 and standard deviation 1 (Box and Muller 1958). The functions are those of `libm`: the
    /// system's may differ in the last digit from one machine to the next.
    pub fn normal_pair(&mut self) -> [f64; 2] {
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - self.unit()));
        let (sine, cosine) = libm::sincos(std::f64::consts::TAU * self.unit());
        [radius * cosine, radius * sine]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_stay_what_they_are() {
        // Written down once: a cache made with another version must go on with the same numbers.
        let chance = Chance::new(7, "cat/one.jpg", 3);
        let first = |matter| chance.of(matter).0.next_u64();
        assert_eq!(
            [first(Matter::Crop), first(Matter::Noise)],
            [16_012_034_312_487_159_639, 15_904_314_640_378_112_381]
        );
        assert_ne!(Chance::new(8, "cat/one.jpg", 3).0, chance.0);
        assert_ne!(Chance::new(7, "cat/one.jpg", 4).0, chance.0);
        assert_ne!(Chance::new(7, "cat/two.jpg", 3).0, chance.0);
    }

    #[test]
    fn numbers_have_the_moments_they_should_have() {
        let mut stream = Chance::new(0, "x", 1).of(Matter::Noise);
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let uniform: Vec<f64> = (0..20_000).map(|_| stream.between([2.0, 4.0])).collect();
        assert!(uniform.iter().all(|value| (2.0..4.0).contains(value)));
        assert!((mean(&uniform) - 3.0).abs() < 0.02);
        let normal: Vec<f64> = (0..10_000).flat_map(|_| stream.normal_pair()).collect();
        let squares: Vec<f64> = normal.iter().map(|value| value * value).collect();
        assert!(mean(&normal).abs() < 0.03 && (mean(&squares) - 1.0).abs() < 0.03);
    }
}
