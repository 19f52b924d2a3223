//! What may happen to an image: ranges and probabilities, or a list of views.

use super::{
    affine,
    chance::{Chance, Matter},
    colour::ColourRecipe,
    crop::CropRecipe,
    frame::Part,
    noise::NoiseRecipe,
    view::View,
    warp::WarpRecipe,
};
use headstart_cache::Resize;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Names of the recipes that come with headstart.
pub const PRESETS: [&str; 3] = ["flip", "standard", "razavian"];

/// Views of a random recipe unless another number is asked for, the image itself included.
const RANDOM_VIEWS: u32 = 8;

/// The version of the rules by which recipes become pixels. Part of what a cache keeps: raise it whenever pixels may come out
/// differently, so that a cache is not extended with others.
const RULES: u64 = 1;

/// What may happen to an image. Either transformations with ranges, drawn for each view, or a list of views.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Random cropping.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crop: Option<CropRecipe>,
    /// Mirroring left to right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<Mirror>,
    /// Turning, counterclockwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<Angles>,
    /// Shearing, across and down independently.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shear: Option<Angles>,
    /// Local warping.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warp: Option<WarpRecipe>,
    /// Colour shifting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub colour: Option<ColourRecipe>,
    /// Noise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise: Option<NoiseRecipe>,
    /// Views that are always the same: the first is view 1.
    #[serde(default, rename = "view", skip_serializing_if = "Vec::is_empty")]
    pub views: Vec<FixedView>,
}

/// How often images are mirrored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mirror {
    /// Share of the views.
    pub probability: f64,
}

/// Angles of a rotation or shear.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Angles {
    /// Bounds.
    pub degrees: [f64; 2],
    /// How often it happens.
    #[serde(default = "always")]
    pub probability: f64,
}

/// A view of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FixedView {
    /// The part that is prepared as if it were the image.
    #[serde(default)]
    pub part: Region,
    /// Degrees by which it is turned, counterclockwise.
    #[serde(default)]
    pub rotation: f64,
    /// Whether it is mirrored left to right, after turning.
    #[serde(default)]
    pub mirror: bool,
}

/// A part of an image, as shares of its sides.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// Where it begins, from the left.
    pub left: f64,
    /// Where it begins, from the top.
    pub top: f64,
    /// How much of the width it takes.
    pub width: f64,
    /// How much of the height it takes.
    pub height: f64,
}

impl Region {
    /// The image.
    pub const WHOLE: Self = Self { left: 0.0, top: 0.0, width: 1.0, height: 1.0 };
}

impl Default for Region {
    fn default() -> Self {
        Self::WHOLE
    }
}

/// Why there is no recipe.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecipeError {
    /// Neither a preset nor a file.
    #[error("--augment {0}: no such recipe; give {presets}, or a file that ends in .toml", presets = PRESETS.join(", "))]
    Unknown(String),
    /// A file that cannot be read.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file that is no recipe.
    #[error("{}: {reason}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        reason: String,
    },
    /// A number out of its range.
    #[error("{field} is {value}: {wanted}")]
    Field {
        /// Section and field.
        field: String,
        /// What it says.
        value: String,
        /// What it may say.
        wanted: String,
    },
    /// Nothing that would change an image.
    #[error(
        "the recipe is empty: give one of the sections crop, mirror, rotation, shear, warp, colour, noise, or a list of [[view]]"
    )]
    Empty,
    /// Two kinds of recipe in one.
    #[error("a recipe lists views ([[view]]) or says what happens at random ([crop], [mirror], …), not both")]
    Both,
    /// More views than are listed.
    #[error("--views {views}: this recipe lists {listed} views, the image itself included; ask for at most as many")]
    TooManyViews {
        /// Views asked for.
        views: u32,
        /// Views there are.
        listed: u32,
    },
    /// The recipe of a cache or head, made by another version.
    #[error("the recipe of the augmentation is not one of this version of headstart: {0}")]
    Stored(String),
}

impl Recipe {
    /// A preset, or the recipe in a TOML file.
    ///
    /// # Errors
    /// [`RecipeError`] naming the file and the field.
    pub fn find(text: &str) -> Result<Self, RecipeError> {
        match text {
            "flip" => Ok(Self::flip()),
            "standard" => Ok(Self::standard()),
            "razavian" => Ok(Self::razavian()),
            file if Path::new(file).extension().is_some_and(|ending| ending.eq_ignore_ascii_case("toml")) => {
                Self::read(Path::new(file))
            }
            _ => Err(RecipeError::Unknown(text.into())),
        }
    }

    /// The recipe in a TOML file.
    ///
    /// # Errors
    /// [`RecipeError`] naming the file and the field.
    pub fn read(path: &Path) -> Result<Self, RecipeError> {
        let text = std::fs::read_to_string(path).map_err(|source| RecipeError::Io { path: path.into(), source })?;
        let file = |reason: String| RecipeError::File { path: path.into(), reason };
        let recipe: Self = toml::from_str(&text).map_err(|error| file(error.to_string().trim_end().into()))?;
        recipe.check().map_err(|error| file(error.to_string()))?;
        Ok(recipe)
    }

    /// The image and its mirror image (Krizhevsky, Sutskever and Hinton 2012): two views, there are no more.
    pub fn flip() -> Self {
        Self { views: vec![FixedView { part: Region::WHOLE, rotation: 0.0, mirror: true }], ..Self::default() }
    }

    /// A little of everything: what leaves the class of most photographs as it is.
    pub fn standard() -> Self {
        Self {
            crop: Some(CropRecipe { area: [0.5, 1.0], ratio: [0.75, 4.0 / 3.0], probability: 1.0 }),
            mirror: Some(Mirror { probability: 0.5 }),
            rotation: Some(Angles { degrees: [-15.0, 15.0], probability: 0.5 }),
            shear: Some(Angles { degrees: [-8.0, 8.0], probability: 0.25 }),
            warp: Some(WarpRecipe { amplitude: [0.01, 0.04], cells: 4, probability: 0.25 }),
            colour: Some(ColourRecipe {
                brightness: [0.8, 1.2],
                contrast: [0.8, 1.2],
                saturation: [0.8, 1.2],
                hue: [-0.02, 0.02],
                shift: [-8.0, 8.0],
                probability: 0.8,
            }),
            noise: Some(NoiseRecipe { deviation: [0.0, 6.0], probability: 0.25 }),
            views: Vec::new(),
        }
    }

    /// The 16 representations of Razavian, Azizpour, Sullivan and Carlsson 2014 (“CNN features off-the-shelf: an astounding
    /// baseline for recognition”): the image, five crops of 4/9 of its area (corners and centre), two rotations (by 30 degrees
    /// to either side), and the mirror images of these eight.
    pub fn razavian() -> Self {
        let upright = |part| FixedView { part, rotation: 0.0, mirror: false };
        let crop = |left, top| upright(Region { left, top, width: 2.0 / 3.0, height: 2.0 / 3.0 });
        let (third, sixth) = (1.0 / 3.0, 1.0 / 6.0);
        let whole = upright(Region::WHOLE);
        let eight: Vec<FixedView> = [whole.clone()]
            .into_iter()
            .chain([(0.0, 0.0), (third, 0.0), (0.0, third), (third, third), (sixth, sixth)].map(|(x, y)| crop(x, y)))
            .chain([-30.0, 30.0].map(|rotation| FixedView { rotation, ..whole.clone() }))
            .collect();
        let mirrored = eight.iter().map(|view| FixedView { mirror: true, ..view.clone() });
        Self { views: eight.iter().cloned().chain(mirrored).skip(1).collect(), ..Self::default() }
    }

    /// Whether views are drawn, and not listed.
    pub fn is_random(&self) -> bool {
        self.views.is_empty()
    }

    /// How many views an image gets, itself included: as many as are asked for, else all that are listed, else 8.
    ///
    /// # Errors
    /// [`RecipeError::TooManyViews`].
    pub fn views(&self, asked: Option<u32>) -> Result<u32, RecipeError> {
        let listed = self.views.len() as u32 + 1;
        match asked {
            Some(views) if !self.is_random() && views > listed => Err(RecipeError::TooManyViews { views, listed }),
            Some(views) => Ok(views),
            None if self.is_random() => Ok(RANDOM_VIEWS),
            None => Ok(listed),
        }
    }

    /// Everything that decides what views look like, as a cache keeps it.
    pub fn definition(&self) -> serde_json::Value {
        let mut definition = serde_json::to_value(self).unwrap_or_default();
        if let Some(fields) = definition.as_object_mut() {
            fields.insert("rules".into(), RULES.into());
        }
        definition
    }

    /// The recipe that a cache keeps.
    pub(super) fn from_definition(definition: &serde_json::Value) -> Result<Self, RecipeError> {
        let stored = |reason: String| RecipeError::Stored(reason);
        let mut fields = definition.as_object().cloned().ok_or_else(|| stored("it has no fields".into()))?;
        match fields.remove("rules") {
            Some(rules) if rules == RULES => {}
            rules => {
                return Err(stored(format!("its rules are {}, those known are {RULES}", rules.unwrap_or_default())));
            }
        }
        let recipe: Self =
            serde_json::from_value(fields.into()).map_err(|error| RecipeError::Stored(error.to_string()))?;
        recipe.check().map_err(|error| stored(error.to_string()))?;
        Ok(recipe)
    }

    fn check(&self) -> Result<(), RecipeError> {
        let Self { crop, mirror, rotation, shear, warp, colour, noise, views } = self;
        let random = Self { views: Vec::new(), ..self.clone() } != Self::default();
        match (random, views.is_empty()) {
            (false, true) => return Err(RecipeError::Empty),
            (true, false) => return Err(RecipeError::Both),
            _ => {}
        }
        crop.as_ref().map_or(Ok(()), CropRecipe::check)?;
        mirror.as_ref().map_or(Ok(()), |mirror| check_probability("mirror.probability", mirror.probability))?;
        rotation.as_ref().map_or(Ok(()), |angles| angles.check("rotation", 180.0))?;
        // Two shears of 45 degrees would leave nothing of the picture.
        shear.as_ref().map_or(Ok(()), |angles| angles.check("shear", 40.0))?;
        warp.as_ref().map_or(Ok(()), WarpRecipe::check)?;
        colour.as_ref().map_or(Ok(()), ColourRecipe::check)?;
        noise.as_ref().map_or(Ok(()), NoiseRecipe::check)?;
        views.iter().enumerate().try_for_each(|(at, view)| view.check(at + 1))
    }

    /// A view of the image of this name and these pixels; none for the image as it is.
    pub(super) fn draw(&self, seed: u64, name: &str, view: u32, size: (u32, u32), resize: Resize) -> Option<View> {
        if view == 0 {
            return None;
        }
        let fixed = |FixedView { part, rotation, mirror }: &FixedView| View {
            part: Part::AsImage(*part),
            matrix: affine::matrix(*rotation, [0.0; 2], *mirror),
            field: None,
            colour: None,
            noise: None,
        };
        if !self.is_random() {
            return self.views.get(view as usize - 1).map(fixed);
        }
        let chance = Chance::new(seed, name, view);
        let part = self.crop.as_ref().and_then(|crop| crop.draw(chance.of(Matter::Crop), size, resize));
        let angle = |angles: &Option<Angles>, matter| -> [f64; 2] {
            let mut chance = chance.of(matter);
            angles
                .as_ref()
                .filter(|angles| chance.happens(angles.probability))
                .map_or([0.0; 2], |angles| [0; 2].map(|_| chance.between(angles.degrees)))
        };
        let mirror = self.mirror.as_ref().is_some_and(|mirror| chance.of(Matter::Mirror).happens(mirror.probability));
        let [rotation, _] = angle(&self.rotation, Matter::Rotation);
        Some(View {
            part: part.map_or(Part::AsImage(Region::WHOLE), Part::Filling),
            matrix: affine::matrix(rotation, angle(&self.shear, Matter::Shear), mirror),
            field: self.warp.as_ref().and_then(|warp| warp.draw(chance.of(Matter::Warp))),
            colour: self.colour.as_ref().and_then(|colour| colour.draw(chance.of(Matter::Colour))),
            noise: self.noise.as_ref().and_then(|noise| noise.draw(chance.of(Matter::Noise))),
        })
    }
}

impl Angles {
    fn check(&self, section: &str, most: f64) -> Result<(), RecipeError> {
        check_range(&format!("{section}.degrees"), self.degrees, [-most, most])?;
        check_probability(&format!("{section}.probability"), self.probability)
    }
}

impl FixedView {
    fn check(&self, number: usize) -> Result<(), RecipeError> {
        let Region { left, top, width, height } = self.part;
        let wrong = |field: &str, value: String, wanted: &str| {
            Err(RecipeError::Field { field: format!("view {number}, {field}"), value, wanted: wanted.into() })
        };
        let inside = |first: f64, share: f64| first >= 0.0 && share >= 0.01 && first + share <= 1.0 + 1e-9;
        if !inside(left, width) || !inside(top, height) {
            return wrong(
                "part",
                format!("{:?}", self.part),
                "it has to lie in the image, in shares of its sides (0 to 1)",
            );
        }
        if !(-360.0..=360.0).contains(&self.rotation) {
            return wrong("rotation", self.rotation.to_string(), "give degrees from -360 to 360");
        }
        Ok(())
    }
}

/// The probability of what is not said to be rare.
pub(super) fn always() -> f64 {
    1.0
}

pub(super) fn check_probability(field: &str, value: f64) -> Result<(), RecipeError> {
    if (0.0..=1.0).contains(&value) {
        return Ok(());
    }
    Err(RecipeError::Field {
        field: field.into(),
        value: value.to_string(),
        wanted: "give a number from 0 to 1".into(),
    })
}

/// Whether a range lies between two bounds and has its ends in order.
pub(super) fn check_range(field: &str, [low, high]: [f64; 2], [least, most]: [f64; 2]) -> Result<(), RecipeError> {
    if least <= low && low <= high && high <= most {
        return Ok(());
    }
    let wanted = format!("give two numbers from {least} to {most}, the smaller first");
    Err(RecipeError::Field { field: field.into(), value: format!("[{low}, {high}]"), wanted })
}
