use crate::{Outcome, Usage, table};
use anyhow::Context;
use headstart_cache::Cache;
use headstart_scenarios::report;
use headstart_trainer::{
    CalibrationSummary, Estimate, HeadKind, Memory, MemoryUse, Metric, NestedValidation, Normalize, ParamGuard, Part,
    ProbabilityScores, Progress, Source, TrainParams, Tuned, Validation, Vectors, evaluate, train,
};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::{path::PathBuf, time::Instant};

/// Train a head on one layer of a cache; C is chosen by cross-validation
#[derive(clap::Args)]
#[command(after_help = "\
Trained on the rows of the split `train` where there is one, else on every row that is in neither `val` nor `test`.
The head is then scored on `test` (else `val`), which chose nothing. A class without training rows is left out, with a
warning, and so are its rows from the scores.

With --calibrate every kind of head gives probabilities, and predicts the likeliest class. What is told of them before and
after is of held-out rows, and “after” uses maps that were not fitted to the row they are scored on.

Examples:
  headstart train features/photos.h5 --layer layer4 --head logistic -o heads/photos.head
  headstart train features/photos.h5 --layer layer2 --head svm --c-grid 1e-5:1e1:7 --class-weight balanced -o x.head
  headstart train features/photos.h5 --layer layer4 -o heads/photos.head --report reports/photos
  headstart train features/photos.h5 --layer layer4 --head svm --calibrate auto -o heads/photos.head
  headstart train features/photos.h5 --layer layer4 --head knn --neighbors 1,5,20 --knn-metric cosine -o x.head
  headstart train features/photos.h5 --head svm --c 0.01 --split train:val -o x.head
  headstart train features/photos.h5 --head svm --c 0.01 --cv none -o x.head")]
pub struct Args {
    /// The cache.
    #[arg(value_name = "FILE.h5")]
    cache: PathBuf,
    /// Layer to train on; may be left out when the cache has one.
    #[arg(long, value_name = "NAME[:POOL]")]
    layer: Option<String>,
    #[command(flatten)]
    head: super::HeadArgs,
    /// logistic, svm, ridge, ncm (nearest class mean) or knn (nearest neighbours).
    #[arg(long = "head", value_name = "logistic|svm|ridge|ncm|knn", default_value = "logistic")]
    kind: String,
    /// Turn scores into calibrated probabilities: platt, isotonic, temperature, or auto (temperature for logistic heads, platt
    /// for others). Fitted to the rows that the folds of the best C held out.
    #[arg(long = "calibrate", value_name = "none|platt|isotonic|temperature|auto", default_value = "none")]
    calibrate_text: String,
    /// One C, instead of a grid.
    #[arg(long, value_name = "C", conflicts_with = "c_grid")]
    c: Option<f64>,
    /// Train on one split and choose C on another, instead of by cross-validation.
    #[arg(long, value_name = "TRAIN:VAL", conflicts_with_all = ["cv_folds", "repeats"])]
    split: Option<String>,
    /// Score the whole selection on K outer folds that have no part in it, as well: an accuracy without the optimism of the
    /// best of many. Takes K times the grid; the head stays the same.
    #[arg(long, value_name = "K", conflicts_with = "split")]
    nested: Option<usize>,
    /// Where to write the head.
    #[arg(short, long, value_name = "FILE.head")]
    output: PathBuf,
    /// Write a report into this folder: index.html, one page that needs no network, and metrics.json.
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    /// Print everything as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Shown<'a> {
    head: &'a PathBuf,
    layer: &'a str,
    kind: HeadKind,
    #[serde(flatten)]
    tuned: Tuned,
    /// What the head does to each row of features first.
    normalize: Normalize,
    /// What features and fits take of the memory that may be used.
    memory: MemoryUse,
    /// Seconds of reading; the others are in `outcome`.
    read_seconds: f64,
    #[serde(flatten)]
    outcome: &'a headstart_trainer::Outcome,
    /// The split that chose C, where that was no cross-validation.
    #[serde(skip)]
    chosen_on: Option<&'a str>,
    /// The page of the report.
    #[serde(skip)]
    report: Option<PathBuf>,
    /// The split that `test` is of.
    test_rows: Option<&'static str>,
    /// Scores on the rows that chose nothing.
    test: Option<headstart_trainer::Metrics>,
}

pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let kind: HeadKind = super::parse(&args.kind)?;
    let start = Instant::now();
    let cache = Cache::open(&args.cache)?;
    let layer = super::layer(&cache, args.layer.as_deref())?;
    args.head.refuse_unheeded(&[kind], args.c.is_some())?;
    let head = args.head.params(kind)?;
    let memory = args.head.memory()?;
    let parts = Parts::of(args)?;
    let rows = parts.count(&cache, &layer)?;
    let used = MemoryUse::new(memory, rows, layer.width, &head, cache.classes().len());
    if used.streamed || args.head.memory_text.is_some() {
        eprintln!("memory: {used}");
    }
    // All rows are in the same place, so that those of two parts can be put together.
    let place = if used.streamed { Memory::new(0) } else { Memory::UNLIMITED };
    let (vectors, validation) = match &parts.chosen_on {
        None => (Vectors::read_training(&cache, &layer, &parts.train, place)?, args.head.validation()?),
        Some(validate) => holdout(&cache, &layer, &parts.train, validate, place)?,
    };
    let mut test = Vectors::read(&cache, &layer, &parts.test, place)?;
    super::leave_out(&mut test, &vectors.classes, NOT_TRAINED);
    let read_seconds = start.elapsed().as_secs_f64();

    let params = TrainParams::new(head)
        .memory(memory)
        .search(args.head.search(kind, args.c)?)
        .validation(validation)
        .scaling(args.head.scaling()?)
        .seed(args.head.seed)
        .nested(args.nested)
        .calibration(super::parse(&args.calibrate_text)?)
        .keep_held_out(args.report.is_some())
        .check()
        .map_err(super::usage)?;
    args.report.as_deref().map(report::make_folder).transpose()?;
    let bar = ProgressBar::new(0);
    bar.set_style(
        ProgressStyle::with_template("{bar:32} {pos}/{len} fits  {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let outcome = train(vectors.samples(), &params, &|progress| {
        if let Progress::Grid { done, total } | Progress::Nested { done, total } = progress {
            bar.set_length(total as u64);
            bar.set_position(done as u64);
        }
    })
    .with_context(|| format!("{}, layer {}", args.cache.display(), layer.name))?;
    bar.finish_and_clear();

    let test_metrics =
        if test.is_empty() { None } else { Some(evaluate(&outcome.model, test.features.view(), &test.labels)?) };
    let source =
        Source { layer: layer.name.clone(), pool: layer.pool.clone(), provenance: Some(cache.provenance().clone()) };
    let mut shown = Shown {
        head: &args.output,
        layer: &layer.name,
        kind,
        tuned: outcome.model.tuned(),
        normalize: outcome.model.normalize(),
        memory: used,
        read_seconds,
        outcome: &outcome,
        chosen_on: args.split.as_deref().and_then(|split| Some(split.split_once(':')?.1)),
        report: None,
        test_rows: Part::test_split(&cache).filter(|_| test_metrics.is_some()),
        test: test_metrics,
    };
    outcome.clone().into_head(source).save(&args.output)?;
    if let Some(folder) = &args.report {
        let subject = report::Subject {
            cache: &args.cache,
            provenance: cache.provenance(),
            rows: cache.rows(),
            layer: &layer.name,
            pool: &layer.pool,
            head: &args.output,
            outcome: &outcome,
            training: &vectors,
            chosen_on: shown.chosen_on,
            test: &test,
            test_rows: shown.test_rows,
            test_metrics: shown.test.as_ref(),
            read_seconds,
            command: &std::env::args_os().collect::<Vec<_>>(),
        };
        shown.report = Some(report::write(&subject, folder)?);
    }
    if args.json {
        table::print_json(&shown)?;
    } else {
        print(&shown);
    }
    Ok(Outcome::Done)
}

/// Why rows of a class cannot be scored.
const NOT_TRAINED: &str = "has no training rows";

/// Which rows train, choose C and test.
struct Parts {
    train: Part,
    /// Where that is a split of its own.
    chosen_on: Option<Part>,
    test: Part,
}

impl Parts {
    fn of(args: &Args) -> Result<Self, Usage> {
        let Some(split) = args.split.as_deref() else {
            return Ok(Self { train: Part::Train, chosen_on: None, test: Part::Test });
        };
        let Some((train, validate)) = split.split_once(':').filter(|(a, b)| !a.is_empty() && !b.is_empty() && a != b)
        else {
            return Err(Usage(format!("--split {split}: write two different splits, as in --split train:val")));
        };
        if train == "all" || validate == "all" {
            return Err(Usage(format!("--split {split}: all holds the rows of the other; name two splits")));
        }
        Ok(Self {
            train: Part::Split(train.into()),
            chosen_on: Some(Part::Split(validate.into())),
            // Neither the rows that the head is fitted on nor those that chose C are a test of it.
            test: Part::TestUnless(vec![train.into(), validate.into()]),
        })
    }

    /// How many rows these are together.
    fn count(&self, cache: &Cache, layer: &headstart_cache::LayerInfo) -> Result<usize, headstart_trainer::Error> {
        let parts = [Some(&self.train), self.chosen_on.as_ref(), Some(&self.test)];
        parts.into_iter().flatten().map(|part| Ok(Vectors::find(cache, layer, part)?.len())).sum()
    }
}

/// The rows of both parts together, those of the second marked as validation.
fn holdout(
    cache: &Cache,
    layer: &headstart_cache::LayerInfo,
    train: &Part,
    validate: &Part,
    place: Memory,
) -> anyhow::Result<(Vectors, Validation)> {
    let mut vectors = Vectors::read_training(cache, layer, train, place)?;
    let mut held = Vectors::read(cache, layer, validate, place)?;
    super::leave_out(&mut held, &vectors.classes, NOT_TRAINED);
    let first = vectors.len();
    vectors.extend(held)?;
    let validation = Validation::Holdout((first..vectors.len()).collect());
    Ok((vectors, validation))
}

fn print(shown: &Shown) {
    let outcome = shown.outcome;
    let training = &outcome.training;
    for warning in &outcome.warnings {
        eprintln!("warning: {warning}");
    }
    println!(
        "{} on {} ({}, {} classes){}",
        shown.kind,
        shown.layer,
        super::images_and_rows("images", training.images, training.n),
        training.class_counts.len(),
        match shown.tuned {
            Tuned::C(c) => format!(", C = {c:.4e}"),
            Tuned::Neighbors(_) => format!(", {}", shown.tuned),
            Tuned::Nothing => String::new(),
        }
    );
    if let Some(selection) = &outcome.selection {
        let (best, metric) = (selection.best(), selection.metric);
        let title = metric.title();
        let score = super::with_error(metric, best.mean_score, best.score_standard_error);
        let accuracy = match metric {
            Metric::Accuracy => String::new(),
            _ => {
                let accuracy = (best.mean_accuracy, best.accuracy_standard_error);
                format!("; accuracy {}", super::with_error(Metric::Accuracy, accuracy.0, accuracy.1))
            }
        };
        match shown.chosen_on {
            Some(split) => {
                let which = which_chose(shown.tuned);
                println!("{title} {score} on split {split}{which}{accuracy}")
            }
            None => {
                let over = match selection.repeats {
                    1 => format!("standard error over {} folds", selection.folds),
                    repeats => format!("standard error over {repeats} × {} folds, corrected", selection.folds),
                };
                println!("cross-validated {title} {score} ({over}){accuracy}")
            }
        }
    }
    if let Some(nested) = &outcome.nested {
        print_nested(nested);
    }
    if let Some(kept) = outcome.model.neighbors() {
        let bytes = table::short_bytes(kept.bytes() as u64);
        println!("the head keeps its {} training vectors, {bytes}", kept.labels().len());
    }
    if let Some(calibration) = &training.calibration {
        print_calibration(calibration);
    }
    match (&shown.test, &outcome.selection) {
        (Some(test), _) => {
            super::evaluate::print(test, &format!("split {}", shown.test_rows.unwrap_or_default()), training.metric);
        }
        (None, Some(selection)) => {
            let rows = shown
                .chosen_on
                .map_or("out-of-fold".into(), |split| format!("split {split}{}", which_chose(shown.tuned)));
            match &outcome.calibrated_out_of_fold {
                Some(calibrated) => super::evaluate::print(calibrated, &format!("{rows}, calibrated"), training.metric),
                None => super::evaluate::print(&selection.out_of_fold, &rows, training.metric),
            }
        }
        (None, None) => {
            let rows = "training (says nothing about new images)";
            super::evaluate::print(&outcome.training_metrics, rows, training.metric);
        }
    }
    let seconds = &outcome.seconds;
    println!(
        "\nread {:.2} s, reduction {:.2} s, grid {:.2} s, refit {:.2} s; wrote {}",
        shown.read_seconds,
        seconds.reduction,
        seconds.grid,
        seconds.refit,
        shown.head.display()
    );
    if let Some(page) = &shown.report {
        println!("wrote the report {}", page.display());
    }
}

/// The scores that no choice has made better than they are, and what was chosen.
fn print_nested(nested: &NestedValidation) {
    let interval = |metric: Metric, estimate: &Estimate| {
        let [value, low, high] = [estimate.value, estimate.low, estimate.high].map(|value| metric.digits(value));
        format!("{} {value}{} [{low}, {high}]", metric.title(), metric.unit())
    };
    let accuracy = interval(Metric::Accuracy, &nested.metrics.accuracy);
    let scores = match nested.metric {
        Metric::Accuracy => accuracy,
        metric => format!("{}, {accuracy}", interval(metric, &nested.score)),
    };
    let value = |tuned: Tuned| match tuned {
        Tuned::C(c) => format!("{c:.1e}"),
        other => other.value().to_string(),
    };
    let chosen: Vec<String> = nested.outer.iter().map(|fold| value(fold.tuned)).collect();
    let folds = nested.outer.len();
    let chosen = match nested.outer.first().and_then(|fold| fold.tuned.symbol()) {
        Some(symbol) => format!("; {symbol} chosen in {folds} outer folds: {}", chosen.join(", ")),
        None => format!("; {folds} outer folds"),
    };
    println!("nested cross-validation: {scores} (95 % interval){chosen}");
}

/// What the split that validates did, as the end of a sentence.
fn which_chose(tuned: Tuned) -> String {
    tuned.symbol().map_or_else(|| ", which was not trained on".into(), |symbol| format!(", which chose {symbol}"))
}

/// What the calibration was fitted to and what it brought.
fn print_calibration(calibration: &CalibrationSummary) {
    let change = |of: &dyn Fn(&ProbabilityScores) -> String| {
        let text = |scores: &Option<ProbabilityScores>| scores.as_ref().map_or_else(|| "–".into(), of);
        match calibration.before {
            Some(_) => format!("{} → {}", text(&calibration.before), text(&calibration.after)),
            None => text(&calibration.after),
        }
    };
    println!(
        "calibrated by {} on {} held-out rows: expected calibration error {}, log-loss {}, Brier {}{}",
        calibration.method.name(),
        calibration.n,
        change(&|scores| format!("{:.1} %", 100.0 * scores.expected_calibration_error)),
        change(&|scores| format!("{:.4}", scores.log_loss)),
        change(&|scores| format!("{:.4}", scores.brier)),
        if calibration.after.is_some() { " (after: each row by a map that had not seen it)" } else { "" }
    );
}
