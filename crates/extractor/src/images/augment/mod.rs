//! Views: deterministic variations of an image, made between decoding and the backbone.
//!
//! A [`Recipe`] says what may happen to an image; an [`Augmenter`] is a recipe with a seed. View 0 is always the image as it
//! is. Every other view follows from the seed, the name of the image and the number of the view, and from nothing else:
//! neither the other images, nor their order, nor threads or batches. So any row of a cache can be made again alone.
//!
//! What happens to a view, in this order: a part of the image is chosen ([`crop`]) and scaled to the backbone's square, and in
//! the same step turned, sheared and mirrored ([`affine`]) and locally warped ([`warp`]), sampled bilinearly
//! ([`sample`]); beyond the edge the image is continued by its mirror image, so that no corner is black. Then
//! colours are shifted ([`colour`]), and noise is added ([`noise`]). Backbones that see grey get grey from the start.

mod affine;
mod chance;
mod colour;
mod crop;
mod frame;
#[cfg(test)]
mod golden;
mod noise;
mod recipe;
mod sample;
pub mod sheet;
mod view;
mod warp;

pub use colour::ColourRecipe;
pub use crop::CropRecipe;
pub use noise::NoiseRecipe;
pub use recipe::{Angles, FixedView, Mirror, PRESETS, Recipe, RecipeError, Region};
pub use warp::WarpRecipe;

use super::prepare::{check_input, luma};
use super::{GeometryError, Image8, prepare};
use headstart_cache::{Augmentation, Preprocessing};
use std::cell::RefCell;

/// A recipe with its seed: makes any view of any image.
#[derive(Debug, Clone, PartialEq)]
pub struct Augmenter {
    recipe: Recipe,
    seed: u64,
}

impl Augmenter {
    /// Views by this recipe.
    pub fn new(recipe: Recipe, seed: u64) -> Self {
        Self { recipe, seed }
    }

    /// The augmenter that made the views of a cache; none for caches without any.
    ///
    /// # Errors
    /// [`RecipeError::Stored`] when the recipe is one that this version does not know.
    pub fn of(augmentation: &Augmentation) -> Result<Option<Self>, RecipeError> {
        let Some(definition) = &augmentation.definition else { return Ok(None) };
        Ok(Some(Self::new(Recipe::from_definition(definition)?, augmentation.seed)))
    }

    /// What a cache with `views` views of each image keeps of this augmenter. `name`: what people call the recipe.
    pub fn describe(&self, name: &str, views: u32) -> Augmentation {
        // Listed views leave nothing to chance: the same views whatever the seed.
        let seed = if self.recipe.is_random() { self.seed } else { 0 };
        Augmentation { recipe: name.into(), views, seed, definition: Some(self.recipe.definition()) }
    }

    /// Writes a view into `out` as the backbone sees it before normalisation: size × size × channels bytes, as
    /// [`prepare()`] does, which is what view 0 is.
    ///
    /// # Errors
    /// Those of [`prepare()`].
    pub fn prepare(
        &self,
        image: &Image8,
        name: &str,
        view: u32,
        preprocessing: &Preprocessing,
        out: &mut [u8],
    ) -> Result<(), GeometryError> {
        match self.recipe.draw(self.seed, name, view, (image.width, image.height), preprocessing.resize) {
            None => prepare(image, preprocessing, out),
            Some(view) => {
                check_input(image, preprocessing, out)?;
                draw(image, &view, preprocessing, out);
                Ok(())
            }
        }
    }
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// What one thread keeps from view to view, so that nothing large is allocated per view.
#[derive(Default)]
struct Scratch {
    grey: Vec<u8>,
    sample: sample::Scratch,
}

/// Makes a view whose every choice is made.
fn draw(image: &Image8, view: &view::View, preprocessing: &Preprocessing, out: &mut [u8]) {
    let grey = preprocessing.channels == 1;
    SCRATCH.with_borrow_mut(|Scratch { grey: levels, sample }| {
        if grey {
            levels.clear();
            levels.extend(image.pixels.chunks_exact(3).map(|rgb| luma([rgb[0], rgb[1], rgb[2]])));
            sample::sample::<1>(levels, image, view, preprocessing, out, sample);
        } else {
            sample::sample::<3>(&image.pixels, image, view, preprocessing, out, sample);
        }
    });
    if let Some(shift) = &view.colour {
        if grey { shift.apply_grey(out) } else { shift.apply(out) }
    }
    if let Some(noise) = &view.noise {
        noise.apply(out);
    }
}

#[cfg(test)]
mod tests;
