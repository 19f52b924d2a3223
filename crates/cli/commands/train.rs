use crate::{Outcome, Usage, table};
use headstart_scenarios::train::{TrainError, TrainOptions, Trained, train};
use headstart_trainer::{
    CalibrationSummary, Estimate, HeadKind, MemoryUse, Metric, NestedValidation, ProbabilityScores, Progress,
    TrainParams, Tuned,
};
use indicatif::{ProgressBar, ProgressStyle};
use std::path::PathBuf;

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

pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let kind: HeadKind = super::parse(&args.kind)?;
    args.head.refuse_unheeded(&[kind], args.c.is_some())?;
    let params = TrainParams::new(args.head.params(kind)?)
        .search(args.head.search(kind, args.c)?)
        .validation(args.head.validation()?)
        .scaling(args.head.scaling()?)
        .seed(args.head.seed)
        .nested(args.nested)
        .calibration(super::parse(&args.calibrate_text)?);
    let options = TrainOptions {
        cache: args.cache.clone(),
        layer: args.layer.clone(),
        splits: args.split.as_deref().map(splits).transpose()?,
        params,
        memory: args.head.memory()?,
        output: args.output.clone(),
        report: args.report.clone(),
        command: std::env::args_os().collect(),
    };
    let bar = ProgressBar::new(0);
    bar.set_style(
        ProgressStyle::with_template("{bar:32} {pos}/{len} fits  {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let memory_told = |used: &MemoryUse| {
        if used.streamed || args.head.memory_text.is_some() {
            eprintln!("memory: {used}");
        }
    };
    let trained = train(&options, &memory_told, &|progress| {
        if let Progress::Grid { done, total } | Progress::Nested { done, total } = progress {
            bar.set_length(total as u64);
            bar.set_position(done as u64);
        }
    })
    .map_err(|error| match error {
        TrainError::Params(_) | TrainError::WhichLayer { .. } => Usage(error.to_string()).into(),
        error => anyhow::Error::from(error),
    })?;
    bar.finish_and_clear();
    if args.json {
        table::print_json(&trained)?;
    } else {
        print(&trained);
    }
    Ok(Outcome::Done)
}

/// The two splits of `TRAIN:VAL`.
fn splits(typed: &str) -> anyhow::Result<(String, String)> {
    let Some((train, validate)) = typed.split_once(':').filter(|(a, b)| !a.is_empty() && !b.is_empty() && a != b)
    else {
        return Err(Usage(format!("--split {typed}: write two different splits, as in --split train:val")).into());
    };
    if train == "all" || validate == "all" {
        return Err(Usage(format!("--split {typed}: all holds the rows of the other; name two splits")).into());
    }
    Ok((train.into(), validate.into()))
}

pub(super) fn print(shown: &Trained) {
    let outcome = &shown.outcome;
    let training = &outcome.training;
    for warning in &outcome.warnings {
        eprintln!("warning: {warning}");
    }
    println!(
        "{} on {} ({} images, {} classes){}",
        shown.kind,
        shown.layer,
        training.n,
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
        match &shown.chosen_on {
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
                .as_ref()
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
