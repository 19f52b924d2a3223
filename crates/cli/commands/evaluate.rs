use crate::{Outcome, table};
use anyhow::Context;
use headstart_cache::Cache;
use headstart_trainer::{Error, Head, Memory, Metric, Metrics, Part, Vectors, evaluate};
use serde::Serialize;
use std::path::PathBuf;

/// Score a head on the labelled rows of a cache
#[derive(clap::Args)]
#[command(after_help = "\
The cache must come from the same backbone, weights and preprocessing as the head, and hold the head's layer. Of imported
vectors only the layer and the width are known, and compared. Rows of classes that the head does not know are not scored.

Examples:
  headstart evaluate heads/photos.head features/photos.h5
  headstart evaluate heads/photos.head features/new.h5 --split all --json")]
pub struct Args {
    /// The head.
    head: PathBuf,
    /// The cache.
    #[arg(value_name = "FILE.h5")]
    cache: PathBuf,
    /// Rows to score: a split, or `all` [default: test, else val, else all].
    #[arg(long, value_name = "NAME")]
    split: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let head = Head::load(&args.head)?;
    let cache = Cache::open(&args.cache)?;
    let layer = head.layer_of(&cache).with_context(|| args.head.display().to_string())?.clone();
    let (rows, part) = match (&args.split, Part::test_split(&cache)) {
        (Some(split), _) => (split.as_str(), Part::Split(split.clone())),
        (None, Some(split)) => (split, Part::Test),
        (None, None) => {
            eprintln!(
                "warning: {}: no labelled rows are called test or val, so all rows are scored; those that the head was \
                 trained on say nothing about new images",
                args.cache.display()
            );
            ("all", Part::Split("all".into()))
        }
    };
    let mut vectors = Vectors::read(&cache, &layer, &part, Memory::of_this_machine())?;
    let left_out = headstart_scenarios::train::leave_out(&mut vectors, head.classes(), "is not known to the head");
    if vectors.is_empty() {
        let class = left_out.into_iter().next().map(|(class, _)| class).unwrap_or_default();
        return Err(Error::UnknownClass { class, known: head.classes().to_vec() })
            .with_context(|| format!("{} scored by {}", args.cache.display(), args.head.display()));
    }
    let metrics = evaluate(&head, vectors.features.view(), &vectors.labels)?;
    if args.json {
        table::print_json(&Scored { rows, left_out: left_out.iter().map(|(_, rows)| rows).sum(), metrics: &metrics })?;
    } else {
        let rows = if rows == "all" { "all rows".into() } else { format!("split {rows}") };
        print(&metrics, &rows, head.training.metric);
    }
    Ok(Outcome::Done)
}

#[derive(Serialize)]
struct Scored<'a> {
    /// Which rows: the name of a split, or `all`.
    rows: &'a str,
    /// How many of these were not scored, being of classes that the head does not know.
    left_out: usize,
    #[serde(flatten)]
    metrics: &'a Metrics,
}

/// Classes above which the confusion matrix does not fit a terminal.
const CONFUSION_CLASSES: usize = 12;

/// Prints scores for people. `chosen_by`: what the head's C was chosen by.
pub fn print(metrics: &Metrics, rows: &str, chosen_by: Metric) {
    let percent = |value: Option<f64>| value.map_or_else(|| "–".into(), |v| format!("{:.1}", 100.0 * v));
    let estimate = |e: &headstart_trainer::Estimate| {
        format!("{:.1} % [{:.1}, {:.1}]", 100.0 * e.value, 100.0 * e.low, 100.0 * e.high)
    };
    println!(
        "{} images, {rows}: accuracy {} (95 % interval), balanced accuracy {}",
        metrics.n,
        estimate(&metrics.accuracy),
        estimate(&metrics.balanced_accuracy)
    );
    if let Some(loss) = metrics.log_loss {
        let more = match (metrics.expected_calibration_error, metrics.brier) {
            (Some(error), Some(brier)) => {
                format!(", Brier {brier:.4}, expected calibration error {:.1} %", 100.0 * error)
            }
            _ => String::new(),
        };
        println!("log-loss {loss:.4} nats{more}");
    }
    if let Some(auc) = metrics.auc.filter(|_| chosen_by == Metric::Auc) {
        println!("AUC {auc:.4}");
    }
    println!();
    table::print(
        &["class", ">images", ">precision %", ">recall %", ">F1 %"],
        metrics.per_class.iter().map(|class| {
            vec![
                class.class.clone(),
                class.support.to_string(),
                percent(class.precision),
                percent(class.recall),
                percent(class.f1),
            ]
        }),
    );
    if metrics.per_class.len() > CONFUSION_CLASSES {
        return;
    }
    println!("\nconfusion (rows: true class, columns: predicted)");
    let names: Vec<String> = metrics.per_class.iter().map(|class| format!(">{}", class.class)).collect();
    let headings: Vec<&str> = std::iter::once("").chain(names.iter().map(String::as_str)).collect();
    table::print(
        &headings,
        metrics.confusion.iter().zip(&metrics.per_class).map(|(row, class)| {
            std::iter::once(class.class.clone()).chain(row.iter().map(ToString::to_string)).collect()
        }),
    );
}
