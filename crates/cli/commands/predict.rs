use crate::{Outcome, Usage, table};
use anyhow::{Context, bail};
use headstart_cache::Cache;
use headstart_scenarios::{
    predict::{Prediction, Scored, Selection, Tally, predict_cache},
    prediction_file::{PredictionFile, PredictionFormat},
};
use headstart_trainer::{Estimate, Head};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// Classify images with a trained head
#[derive(clap::Args)]
#[command(
    group(clap::ArgGroup::new("source").required(true).args(["images", "listed", "cache"])),
    after_help = "\
The head names backbone, weights, layer and preprocessing; the extraction is rebuilt exactly, and other weights are
refused. With --cache no network runs (and no libtorch is needed): the rows of the head's layer are scored, if the cache
comes from the same extraction.

A file of predictions, which appears when it is complete, has one row per image: path, label (where images have any),
predicted, for each class p:CLASS (its probability) or score:CLASS (for heads without probabilities), and error (why the
image cannot be used). Where there are labels, the accuracy ends the report; images of classes that the head does not know
do not count.

Examples:
  headstart predict heads/photos.head new/*.jpg
  headstart predict heads/photos.head --images new.csv -o predictions.csv
  headstart predict heads/photos.head --images folder/ -o predictions.parquet
  headstart predict heads/photos.head --cache features/photos.h5 --split test -o predictions.jsonl"
)]
pub struct Args {
    /// The head.
    head: PathBuf,
    /// The images.
    #[arg(value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// A CSV file with a column path (relative to its folder; label too, if known), a folder, or images.
    #[arg(long = "images", value_name = "FILE.csv|FOLDER|IMAGE", num_args = 1..)]
    listed: Vec<PathBuf>,
    /// Score the rows of a cache instead.
    #[arg(long, value_name = "FILE.h5", conflicts_with_all = ["weights_text", "device_text"])]
    cache: Option<PathBuf>,
    /// Only the rows of this split of the cache [default: all].
    #[arg(long, value_name = "NAME", requires = "cache", conflicts_with_all = ["images", "listed"])]
    split: Option<String>,
    /// Write the predictions to a file, in the format of its ending.
    #[arg(short, long, value_name = "OUT.csv|OUT.parquet|OUT.jsonl")]
    output: Option<PathBuf>,
    /// The weights the head was trained with, when they are not in the weights cache: a file, or random:SEED.
    #[arg(long = "weights", value_name = "FILE|random:SEED")]
    weights_text: Option<String>,
    /// auto, cpu, cuda or cuda:N.
    #[arg(long = "device", value_name = "DEVICE", default_value = "auto")]
    device_text: String,
    /// Average what the head says of several views of each image: those that a cache holds, or, of image files, as many and of the
    /// same recipe as the head was trained on (`extract --augment`).
    #[arg(long)]
    sum_views: bool,
    /// End with exit code 3 when an image could not be used.
    #[arg(long)]
    strict: bool,
    /// Print JSON: the predictions, or with -o a summary.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    if let Some(output) = &args.output {
        PredictionFormat::of(output).map_err(|error| Usage(error.to_string()))?;
    }
    match &args.cache {
        Some(cache) => from_cache(args, cache),
        None => from_images(args),
    }
}

fn from_cache(args: &Args, path: &Path) -> anyhow::Result<Outcome> {
    let head = Head::load(&args.head)?;
    let cache = Cache::open(path)?;
    let selection = Selection::new(&head, &cache, args.split.as_deref(), args.sum_views)
        .with_context(|| args.head.display().to_string())?;
    let mut report = Report::new(args, &head, !cache.classes().is_empty(), selection.len())?;
    predict_cache(&head, &cache, &selection, |scored| report.add(scored))?;
    report.end()
}

#[cfg(not(feature = "torch"))]
fn from_images(_: &Args) -> anyhow::Result<Outcome> {
    Err(super::needs_torch("predict with images (--cache scores the rows of a cache without one)"))
}

#[cfg(feature = "torch")]
fn from_images(args: &Args) -> anyhow::Result<Outcome> {
    let head = Head::load(&args.head)?;
    let weights = args.weights_text.as_deref().map(super::parse).transpose()?.unwrap_or_default();
    let device = super::parse(&args.device_text)?;
    let images = images(args)?;
    let labelled = images.iter().any(|image| image.label.is_some());
    let mut report = Report::new(args, &head, labelled, images.len())?;
    headstart_scenarios::predict::predict(&head, &images, &weights, device, args.sum_views, |scored| {
        report.add(scored)
    })?;
    report.end()
}

/// The images that were named: one by one, or by a folder or CSV file that lists them.
#[cfg(feature = "torch")]
fn images(args: &Args) -> anyhow::Result<Vec<headstart_scenarios::predict::Image>> {
    use headstart_extractor::images;
    use headstart_scenarios::predict::Image;
    let lists = |path: &&PathBuf| path.is_dir() || path.extension().is_some_and(|e| e.eq_ignore_ascii_case("csv"));
    if let [only] = &args.listed[..]
        && lists(&only)
    {
        let listing = images::list(only)?;
        let label = |label: Option<usize>| label.and_then(|label| listing.classes.get(label)).cloned();
        let image = |item: images::Item| Image { file: item.path, name: item.name, label: label(item.label) };
        return Ok(listing.items.into_iter().map(image).collect());
    }
    if let Some(list) = args.listed.iter().find(lists) {
        let message = format!("--images {}: give one folder or CSV file, or any number of images", list.display());
        return Err(Usage(message).into());
    }
    let named = args.images.iter().chain(&args.listed);
    Ok(named.map(|path| Image { file: path.clone(), name: path.display().to_string(), label: None }).collect())
}

/// Where predictions go as they come.
struct Report<'a> {
    args: &'a Args,
    classes: &'a [String],
    tally: Tally,
    bar: ProgressBar,
    file: Option<PredictionFile>,
    /// Raised when a file is to be given up, which removes what there is of it.
    stop: Arc<AtomicBool>,
    /// All of them, for JSON, which is printed in one piece.
    collected: Vec<Prediction>,
}

/// What is said of predictions that went to a file.
#[derive(Serialize)]
struct Summary<'a> {
    output: &'a Path,
    #[serde(flatten)]
    tally: &'a Tally,
    accuracy: Option<Estimate>,
}

impl<'a> Report<'a> {
    fn new(args: &'a Args, head: &'a Head, labelled: bool, images: usize) -> anyhow::Result<Self> {
        // Without a file, a signal ends the process at once.
        let stop = if args.output.is_some() { super::stop_on_signals()? } else { Arc::default() };
        let file = args.output.as_ref().map(|path| PredictionFile::create(path, head, labelled)).transpose()?;
        // Lines of predictions show the progress themselves.
        let bar = if file.is_some() { ProgressBar::new(images as u64) } else { ProgressBar::hidden() };
        let style =
            ProgressStyle::with_template("{bar:32} {pos}/{len} images  {per_sec}  {elapsed} elapsed  {eta} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Ok(Self { args, classes: head.classes(), tally: Tally::default(), bar, file, stop, collected: Vec::new() })
    }

    fn add(&mut self, scored: Scored) -> anyhow::Result<()> {
        if let (true, Some(output)) = (self.stop.load(Ordering::Relaxed), &self.args.output) {
            bail!("interrupted; {} is not written", output.display());
        }
        self.tally.add(&scored, self.classes);
        match &mut self.file {
            Some(file) => {
                file.write(&scored)?;
                self.bar.inc(1);
            }
            None if self.args.json => self.collected.push(Prediction::new(scored, self.classes)),
            None => super::show_prediction(&Prediction::new(scored, self.classes)),
        }
        Ok(())
    }

    fn end(self) -> anyhow::Result<Outcome> {
        let Self { args, tally, bar, file, collected, .. } = self;
        bar.finish_and_clear();
        if let Some(file) = file {
            file.finish()?;
        }
        for (class, images) in &tally.unknown {
            tracing::warn!(
                "class '{class}' is not known to the head: its {images} images are left out of the accuracy"
            );
        }
        let accuracy = tally.accuracy();
        match &args.output {
            Some(output) if args.json => table::print_json(&Summary { output, tally: &tally, accuracy })?,
            None if args.json => table::print_json(&collected)?,
            output => {
                if let Some(output) = output {
                    println!("{}: {} images, {} cannot be used", output.display(), tally.images, tally.unusable);
                }
                if let Some(accuracy) = accuracy {
                    let percent = |share: f64| format!("{:.1}", 100.0 * share);
                    println!(
                        "{} labelled images: accuracy {} % [{}, {}] (95 % interval)",
                        tally.labelled,
                        percent(accuracy.value),
                        percent(accuracy.low),
                        percent(accuracy.high)
                    );
                }
            }
        }
        super::after_predictions(tally.images, tally.unusable, args.strict)
    }
}
