//! A recipe carried out: extraction, a sweep where there is a layer to choose, training, reports.

use super::{Recipe, Scenario};
use crate::{
    advise,
    report::ReportError,
    sweep::{Sweep, SweepError, SweepOptions, sweep},
    train::{TrainError, TrainOptions, Trained, train},
};
use headstart_extractor::{
    images::{ListError, Listing, list},
    pipeline::{self, ExtractError, ExtractOptions},
};
use headstart_trainer::{
    CalibrationChoice, HeadKind, HeadParams, Memory, Scaling, Search, TrainParams, Validation, parse_c_grid,
    training_splits,
};
use serde::Serialize;
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

/// What to carry out, on which images.
#[derive(Debug, Clone)]
pub struct ScenarioOptions {
    /// Which scenario.
    pub scenario: Scenario,
    /// What it does.
    pub recipe: Recipe,
    /// How its layers are extracted; the layers are the recipe's.
    pub extract: ExtractOptions,
    /// Where everything goes.
    pub files: Files,
    /// Folds of the cross-validation.
    pub folds: usize,
    /// Seed of the folds.
    pub seed: u64,
    /// Memory that training may use.
    pub memory: Memory,
    /// The command line, for the reports.
    pub command: Vec<OsString>,
}

/// What a scenario leaves behind.
#[derive(Debug, Clone, Serialize)]
pub struct Files {
    /// The features.
    pub cache: PathBuf,
    /// The head.
    pub head: PathBuf,
    /// Folder of the report on the head.
    pub report: PathBuf,
    /// Folder of the report on the layers, where there are several.
    pub sweep: PathBuf,
    /// The same by hand.
    pub commands: PathBuf,
}

impl Files {
    /// In a folder.
    pub fn within(folder: &Path) -> Self {
        Self {
            cache: folder.join("features.h5"),
            head: folder.join("model.head"),
            report: folder.join("report"),
            sweep: folder.join("sweep"),
            commands: folder.join("commands.sh"),
        }
    }
}

/// What was done.
#[derive(Debug, Serialize)]
pub struct ScenarioSummary {
    /// Which scenario.
    pub scenario: Scenario,
    /// What it did.
    pub recipe: Recipe,
    /// Where everything is.
    pub files: Files,
    /// The extraction.
    pub extraction: pipeline::Summary,
    /// Groups of images that show the same, some of them trained on and some held out: scores on those are too good.
    pub leaks: Vec<Vec<String>>,
    /// All layers compared, where there are several.
    pub sweep: Option<Sweep>,
    /// The head; none where the extraction was interrupted.
    pub trained: Option<Trained>,
}

/// Where a run is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// Layers are compared: which one, how many are done, how many there are.
    Comparing(String, usize, usize),
    /// The head is trained.
    Training,
}

/// Why a scenario did not end well.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The folder for everything cannot be made or written to.
    #[error("{}: cannot be written: {source}; give -o another folder", .path.display())]
    Folder {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The images cannot be listed.
    #[error(transparent)]
    List(#[from] ListError),
    /// Images without the labels that a head needs.
    #[error(
        "{}: the training images have labels of {classes} class(es), and a head needs two; put them into class folders, or list \
         them in a CSV file with a column label", .path.display()
    )]
    Classes {
        /// The images.
        path: PathBuf,
        /// How many classes they have.
        classes: usize,
    },
    /// A class too small for the folds.
    #[error(
        "{}: class '{class}' has {images} training image(s), fewer than the {folds} folds; {}", .path.display(), way_out(*.images)
    )]
    SmallClass {
        /// The images.
        path: PathBuf,
        /// The class.
        class: String,
        /// Its training images.
        images: usize,
        /// Folds of the cross-validation.
        folds: usize,
    },
    /// Extraction.
    #[error(transparent)]
    Extract(#[from] ExtractError),
    /// The comparison of layers.
    #[error(transparent)]
    Sweep(#[from] SweepError),
    /// Training.
    #[error(transparent)]
    Train(#[from] Box<TrainError>),
    /// The report of the comparison.
    #[error(transparent)]
    Report(#[from] ReportError),
}

/// Candidates for C.
const C_GRID: &str = "1e-4:1e3:8";

/// Carries a recipe out. What was extracted earlier is not extracted again, so a run that was interrupted goes on. When `stop`
/// becomes true during the extraction, the summary has no head.
///
/// # Errors
/// Everything that can go wrong with images, weights, files and training; see [`ScenarioError`].
pub fn run(
    options: &ScenarioOptions,
    bar: &dyn pipeline::Progress,
    progress: &(dyn Fn(Stage) + Sync),
    stop: &AtomicBool,
) -> Result<ScenarioSummary, ScenarioError> {
    let files = &options.files;
    let folder = files.cache.parent().unwrap_or(Path::new("."));
    let unwritable = |path: &Path| {
        let path = path.to_path_buf();
        move |source| ScenarioError::Folder { path, source }
    };
    let listing = list(&options.extract.images)?;
    check_classes(&listing, &options.extract.images, options.folds)?;
    let leaks = advise::leaks(&listing);
    std::fs::create_dir_all(folder).map_err(unwritable(folder))?;
    let extraction = pipeline::extract(&options.extract, bar, stop)?;
    let recipe = &options.recipe;
    let mut summary = ScenarioSummary {
        scenario: options.scenario,
        recipe: recipe.clone(),
        files: files.clone(),
        extraction,
        leaks,
        sweep: None,
        trained: None,
    };
    if summary.extraction.interrupted {
        return Ok(summary);
    }
    let search = || Search::new(parse_c_grid(C_GRID).unwrap_or_default());
    let scaling = Scaling { standardize: true, ..Scaling::default() };
    let mut layer = summary.extraction.layers[0].clone();
    if let Some(other) = recipe.compared_with {
        let heads = [recipe.head, other].map(|kind: HeadKind| (HeadParams::new(kind), search()));
        let found = sweep(
            &SweepOptions {
                caches: vec![files.cache.clone()],
                layers: summary.extraction.layers.clone(),
                pools: Vec::new(),
                joined: Vec::new(),
                heads: heads.to_vec(),
                validation: Validation::KFold(options.folds),
                scaling,
                seed: options.seed,
                memory: options.memory,
            },
            &|layer, done, total| progress(Stage::Comparing(layer.into(), done, total)),
        )?;
        let title = format!("{}: layers and heads", options.extract.images.display());
        found.write_report(&title, &options.command, &files.sweep)?;
        // The recipe says which kind of head, cross-validation on which layer.
        if let Some(best) = found.best_with(recipe.head) {
            layer = best.name();
        }
        summary.sweep = Some(found);
    }
    progress(Stage::Training);
    let params = TrainParams::new(recipe.head)
        .search(search())
        .validation(Validation::KFold(options.folds))
        .scaling(scaling)
        .seed(options.seed)
        .calibration(CalibrationChoice::Auto);
    summary.trained = Some(
        train(
            &TrainOptions {
                cache: files.cache.clone(),
                layer: Some(layer),
                splits: None,
                params,
                memory: options.memory,
                output: files.head.clone(),
                report: Some(files.report.clone()),
                command: options.command.clone(),
            },
            &|_| {},
            &|_| {},
        )
        .map_err(Box::new)?,
    );
    std::fs::write(&files.commands, summary.by_hand(options)).map_err(unwritable(&files.commands))?;
    Ok(summary)
}

fn way_out(images: usize) -> String {
    match images {
        0 | 1 => "add images of it, or leave it out".into(),
        _ => format!("add images of it, leave it out, or use --cv {images}"),
    }
}

/// What training would find out after the extraction.
fn check_classes(listing: &Listing, path: &Path, folds: usize) -> Result<(), ScenarioError> {
    let trains = training_splits(listing.items.iter().map(|item| item.split.as_str()));
    let mut counts = vec![0; listing.classes.len()];
    let labels = listing.items.iter().filter(|item| trains(&item.split)).filter_map(|item| item.label);
    labels.for_each(|label| counts[label] += 1);
    let path = || path.to_path_buf();
    let classes = counts.iter().filter(|&&images| images > 0).count();
    if classes < 2 {
        return Err(ScenarioError::Classes { path: path(), classes });
    }
    match counts.iter().position(|&images| images > 0 && images < folds) {
        Some(class) => {
            let (class, images) = (listing.classes[class].clone(), counts[class]);
            Err(ScenarioError::SmallClass { path: path(), class, images, folds })
        }
        None => Ok(()),
    }
}

impl ScenarioSummary {
    /// The same, command by command.
    fn by_hand(&self, options: &ScenarioOptions) -> String {
        let quote = |path: &Path| crate::report::command::quoted(&[path.as_os_str().to_owned()]);
        let cache = quote(&self.files.cache);
        let shared = format!("--standardize --cv {} --seed {} --c-grid {C_GRID}", options.folds, options.seed);
        let mut lines = vec![
            "#!/bin/sh".to_string(),
            format!(
                "# What `headstart scenario {}` does, step by step; options of weights and of the device left out.",
                self.scenario.number()
            ),
            format!(
                "headstart extract --images {} --backbone {} --layers {}{}{} -o {cache}",
                quote(&options.extract.images),
                options.extract.backbone,
                self.recipe.layers.join(","),
                options.extract.size.map_or_else(String::new, |size| format!(" --size {size}")),
                options.extract.resize.map_or_else(String::new, |resize| format!(" --resize {resize}")),
            ),
        ];
        if let Some(other) = self.recipe.compared_with {
            let report = quote(&self.files.sweep);
            lines.push(format!(
                "headstart sweep {cache} --heads {},{other} {shared} --report {report}",
                self.recipe.head
            ));
        }
        if let Some(trained) = &self.trained {
            lines.push(format!(
                "headstart train {cache} --layer {} --head {} {shared} --calibrate auto -o {} --report {}",
                trained.layer,
                trained.kind,
                quote(&self.files.head),
                quote(&self.files.report)
            ));
        }
        lines.join("\n") + "\n"
    }
}
