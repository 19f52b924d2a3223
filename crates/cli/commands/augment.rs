use crate::{Outcome, Usage, table};
use anyhow::Context;
use headstart_cache::Preprocessing;
use headstart_extractor::{
    images::{
        self, Item,
        augment::{
            Augmenter, PRESETS, Recipe, RecipeError,
            sheet::{self, SheetError},
        },
        geometry,
    },
    zoo,
};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Draw a contact sheet of the views that `extract --augment` makes
#[derive(clap::Args)]
#[command(after_help = "\
The sheet shows every view as the backbone will see it, view 0 (the image as it is) first, eight in a row. What is random follows
from the seed, the image's path and the number of the view: of a folder or CSV, the sheet shows the very views that
extract makes of it.

Recipes: flip (the image and its mirror image), standard (crops, mirroring, rotation, shear, local warping, colours and
noise, in moderation), razavian (16 views: five crops, two rotations, mirror images), or a TOML file with any of these:

  [crop]                     # a part of the image, brought to the square
  area = [0.5, 1.0]          # share of the image's area
  ratio = [0.75, 1.33]       # width by height
  [mirror]
  probability = 0.5          # every section may have one; 1 unless given
  [rotation]
  degrees = [-15, 15]        # counterclockwise
  [shear]
  degrees = [-8, 8]
  [warp]
  amplitude = [0.01, 0.04]   # largest displacement, share of the square's side
  cells = 4                  # of the grid that is displaced
  [colour]
  brightness = [0.8, 1.2]    # contrast and saturation likewise
  hue = [-0.02, 0.02]        # turns of the colour circle
  shift = [-8, 8]            # added to each channel, of 255 levels
  [noise]
  deviation = [0, 6]         # standard deviation, of 255 levels

or a list: [[view]] with part = {left, top, width, height} (shares), rotation = DEGREES, mirror = true, once for each view.

Examples:
  headstart augment --preview photos/ -o sheet.png
  headstart augment --preview photo.jpg --augment my.toml --views 24 -o sheet.png")]
pub struct Args {
    /// An image, a folder of images, or a CSV that lists some.
    #[arg(long, value_name = "IMAGE|DIR|FILE.csv")]
    preview: PathBuf,
    #[command(flatten)]
    augment: AugmentArgs,
    /// Show images as this backbone sees them [default: 224 pixels, as most do].
    #[arg(long, value_name = "NAME")]
    backbone: Option<String>,
    /// Side of each view in pixels [default: the backbone's].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    size: Option<u32>,
    /// Images on the sheet, spread evenly over the list.
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=100))]
    limit: u32,
    /// Where to write the sheet.
    #[arg(short, long, value_name = "FILE.png")]
    output: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Which views of each image there are.
#[derive(clap::Args)]
pub struct AugmentArgs {
    /// How images are varied: flip, standard, razavian, or a TOML file (see `headstart augment --help`).
    #[arg(long = "augment", id = "recipe", value_name = "NAME|FILE.toml")]
    pub recipe: Option<String>,
    /// Views per image, the image itself included [default: 8, or as many as the recipe lists].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    views: Option<u32>,
    /// Seed of what is random in them.
    #[arg(long, value_name = "N", default_value_t = 0)]
    augment_seed: u64,
}

/// A recipe that was asked for.
pub struct Chosen {
    /// The preset, or the name of the file.
    pub name: String,
    pub augmenter: Augmenter,
    pub views: u32,
}

impl AugmentArgs {
    /// What was asked for, if anything was.
    #[cfg_attr(not(feature = "torch"), expect(dead_code))]
    pub fn chosen(&self) -> anyhow::Result<Option<Chosen>> {
        match &self.recipe {
            Some(recipe) => self.with(recipe).map(Some),
            None if self.views.is_some_and(|views| views > 1) || self.augment_seed != 0 => {
                let recipes = PRESETS.join(", ");
                Err(Usage(format!(
                    "--views and --augment-seed say nothing without --augment: give {recipes}, or a TOML file"
                ))
                .into())
            }
            None => Ok(None),
        }
    }

    fn with(&self, recipe: &str) -> anyhow::Result<Chosen> {
        let usage = |error: RecipeError| match error {
            RecipeError::Unknown(_) | RecipeError::TooManyViews { .. } => Usage(error.to_string()).into(),
            _ => anyhow::Error::new(error),
        };
        let found = Recipe::find(recipe).map_err(usage)?;
        let views = found.views(self.views).map_err(usage)?;
        let name =
            Path::new(recipe).file_name().map_or_else(|| recipe.into(), |name| name.to_string_lossy().into_owned());
        Ok(Chosen { name, augmenter: Augmenter::new(found, self.augment_seed), views })
    }
}

#[derive(Serialize)]
struct Shown<'a> {
    output: &'a Path,
    recipe: String,
    views: u32,
    /// From the top.
    images: Vec<String>,
    broken: Vec<(String, String)>,
}

pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    if !args.output.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("png")) {
        return Err(Usage(format!("-o {}: end the file name with .png", args.output.display())).into());
    }
    let chosen = args.augment.with(args.augment.recipe.as_deref().unwrap_or("standard"))?;
    let preprocessing = preprocessing(args)?;
    let items = items(args)?;
    let sheet = sheet::sheet(&items, &chosen.augmenter, chosen.views, &preprocessing).map_err(|error| match error {
        SheetError::TooLarge { .. } => Usage(error.to_string()).into(),
        SheetError::Geometry(_) => anyhow::Error::new(error),
    })?;
    for (name, reason) in &sheet.broken {
        eprintln!("warning: {name}: {reason}");
    }
    if sheet.shown.is_empty() {
        anyhow::bail!("{}: none of the images could be used", args.preview.display());
    }
    sheet.picture.save(&args.output).with_context(|| args.output.display().to_string())?;
    if args.json {
        let Chosen { name: recipe, views, .. } = chosen;
        let (images, broken) = (sheet.shown, sheet.broken);
        table::print_json(&Shown { output: &args.output, recipe, views, images, broken })?;
    } else {
        println!("{}: {} views by {} of, from the top:", args.output.display(), chosen.views, chosen.name);
        sheet.shown.iter().for_each(|name| println!("  {name}"));
    }
    Ok(Outcome::Done)
}

fn preprocessing(args: &Args) -> anyhow::Result<Preprocessing> {
    let base = match &args.backbone {
        Some(name) => zoo::find(name)?.preprocessing.clone(),
        None => geometry::imagenet(224),
    };
    Ok(geometry::with_geometry(&base, args.size, None)?)
}

/// The images on the sheet.
fn items(args: &Args) -> anyhow::Result<Vec<Item>> {
    let path = &args.preview;
    if path.is_dir() || path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv")) {
        let mut listing = images::list(path)?;
        listing.limit(args.limit as usize);
        return Ok(listing.items);
    }
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    Ok(vec![Item { path: path.clone(), name, label: None, split: String::new() }])
}
