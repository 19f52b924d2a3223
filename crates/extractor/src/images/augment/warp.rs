//! Local warping: a smooth field of small displacements.
//!
//! The elastic distortions of Simard, Steinkraus and Platt 2003 (“Best practices for convolutional neural networks applied to visual
//! document analysis”), with the smooth field on a coarse grid as in U-Net (Ronneberger, Fischer and Brox 2015): random
//! displacements at the nodes, uniform cubic B-splines between them (Rueckert et al. 1999, free-form deformations), which never
//! exceed the largest of the nodes.

use super::{
    chance::Stream,
    recipe::{RecipeError, always, check_probability, check_range},
};
use serde::{Deserialize, Serialize};

/// How images are warped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WarpRecipe {
    /// Bounds of the largest displacement, as a share of the square's side.
    pub amplitude: [f64; 2],
    /// Cells of the grid along each side: more are finer.
    #[serde(default = "cells")]
    pub cells: u32,
    /// How often images are warped.
    #[serde(default = "always")]
    pub probability: f64,
}

fn cells() -> u32 {
    4
}

impl WarpRecipe {
    pub(super) fn check(&self) -> Result<(), RecipeError> {
        check_range("warp.amplitude", self.amplitude, [0.0, 0.2])?;
        check_range("warp.cells", [f64::from(self.cells); 2], [1.0, 64.0])?;
        check_probability("warp.probability", self.probability)
    }

    pub(super) fn draw(&self, mut chance: Stream) -> Option<Field> {
        if !chance.happens(self.probability) {
            return None;
        }
        let amplitude = chance.between(self.amplitude);
        let nodes = self.cells as usize + 3;
        let displacements =
            (0..nodes * nodes).map(|_| [0; 2].map(|_| amplitude * chance.between([-1.0, 1.0]))).collect();
        Some(Field { cells: self.cells as usize, amplitude, nodes: displacements })
    }
}

/// Displacements everywhere in the square, as shares of its side.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Cells along each side.
    pub cells: usize,
    /// No displacement is larger, in either direction.
    pub amplitude: f64,
    /// (cells + 3)² displacements across and down, row by row; one node lies before the square and two behind it.
    pub nodes: Vec<[f64; 2]>,
}

impl Field {
    /// Displacement at a place of the square, 0…1 across and down.
    #[inline]
    pub fn at(&self, across: f64, down: f64) -> [f64; 2] {
        let (column, x) = self.weights(across);
        let (row, y) = self.weights(down);
        let mut sum = [0.0; 2];
        for (nodes, y) in self.nodes.chunks_exact(self.cells + 3).skip(row).zip(y) {
            for (node, x) in nodes[column..].iter().zip(x) {
                sum[0] += x * y * node[0];
                sum[1] += x * y * node[1];
            }
        }
        sum
    }

    /// The first of the four nodes that matter along one axis, and their weights.
    fn weights(&self, place: f64) -> (usize, [f64; 4]) {
        let scaled = place * self.cells as f64;
        let cell = (scaled as usize).min(self.cells - 1);
        let t = scaled - cell as f64;
        let (s, t2) = (1.0 - t, t * t);
        let t3 = t2 * t;
        (
            cell,
            [
                s * s * s / 6.0,
                (3.0 * t3 - 6.0 * t2 + 4.0) / 6.0,
                (-3.0 * t3 + 3.0 * t2 + 3.0 * t + 1.0) / 6.0,
                t3 / 6.0,
            ],
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::augment::chance::{Chance, Matter};

    #[test]
    fn a_field_of_one_displacement_moves_everything_by_it() {
        let field = Field { cells: 3, amplitude: 0.1, nodes: vec![[0.1, -0.05]; 36] };
        for place in [0.0, 0.2, 0.5, 0.999, 1.0] {
            let [x, y] = field.at(place, 1.0 - place);
            assert!((x - 0.1).abs() < 1e-12 && (y + 0.05).abs() < 1e-12);
        }
    }

    #[test]
    fn no_displacement_exceeds_the_amplitude() {
        let recipe = WarpRecipe { amplitude: [0.02, 0.02], cells: 5, probability: 1.0 };
        let field = recipe.draw(Chance::new(3, "x", 1).of(Matter::Warp)).unwrap();
        let places = || (0..=40).map(|step| f64::from(step) / 40.0);
        let all: Vec<[f64; 2]> =
            places().flat_map(|x| places().map(move |y| (x, y))).map(|(x, y)| field.at(x, y)).collect();
        assert!(all.iter().flatten().all(|shift| shift.abs() <= 0.02));
        assert!(all.iter().flatten().any(|shift| shift.abs() > 0.004), "it does warp");
    }
}
