use crate::{Outcome, Usage, table};
use headstart_scenarios::{
    plot::draw_scores,
    sweep::{Sweep, SweepOptions, cache_names, sweep},
};
use headstart_trainer::{HeadKind, HeadParams, Metric, Search, Tuned};
use indicatif::{ProgressBar, ProgressStyle};
use std::path::PathBuf;

/// Compare layers × heads of one or more caches: a table and a plot of score against depth
#[derive(clap::Args)]
#[command(after_help = "\
For every layer and head, C is chosen by cross-validation on the training rows; `test` is the score on the test rows (else
the val rows), which chose nothing.

Examples:
  headstart sweep features/photos.h5 --plot sweep.svg --plot sweep.png
  headstart sweep features/a.h5 features/b.h5 --layers layer2,layer4 --heads logistic --json")]
pub struct Args {
    /// The caches.
    #[arg(value_name = "FILE.h5", required = true)]
    caches: Vec<PathBuf>,
    /// Only these layers [default: all in the cache].
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    layers: Vec<String>,
    /// Heads to train: logistic, svm, ridge, ncm, knn.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "logistic,svm")]
    heads: Vec<String>,
    #[command(flatten)]
    head: super::HeadArgs,
    /// Draw score against depth (.svg or .png; may be repeated).
    #[arg(long, value_name = "FILE")]
    plot: Vec<PathBuf>,
    /// Title of the plot.
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    // Before anything is trained: it would be a pity to find out afterwards.
    super::check_plots(&args.plot)?;
    if args.head.cv_folds == 0 {
        return Err(Usage("--cv none: a sweep compares by cross-validation; give a number of folds".into()).into());
    }
    let kinds: Vec<HeadKind> = args.heads.iter().map(|head| super::parse(head)).collect::<Result<_, _>>()?;
    args.head.refuse_unheeded(&kinds, false)?;
    let heads: Vec<(HeadParams, Search)> = kinds
        .iter()
        .map(|&kind| Ok((args.head.params(kind)?, args.head.search(kind, None)?)))
        .collect::<anyhow::Result<_>>()?;
    // Nor should mistakes wait for the first training.
    heads.iter().try_for_each(|(head, search)| search.verify(head.kind)).map_err(super::usage)?;
    let options = SweepOptions {
        caches: args.caches.clone(),
        layers: args.layers.clone(),
        heads,
        validation: args.head.validation()?,
        scaling: args.head.scaling()?,
        seed: args.head.seed,
        memory: args.head.memory()?,
    };
    let bar = ProgressBar::new(0);
    bar.set_style(
        ProgressStyle::with_template("{bar:32} {pos}/{len} layers  {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let result = sweep(&options, &|layer, done, total| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
        bar.set_message(layer.to_string());
    })?;
    bar.finish_and_clear();
    if args.json {
        table::print_json(&result)?;
    } else {
        print(&result, args.caches.len() > 1);
    }
    for path in &args.plot {
        let names = || cache_names(&args.caches).join(", ");
        let title = args.title.clone().unwrap_or_else(|| format!("{}: score against depth", names()));
        draw_scores(&result.plot(&title), path)?;
        eprintln!("wrote {}", path.display());
    }
    Ok(Outcome::Done)
}

fn print(result: &Sweep, several: bool) {
    for row in &result.rows {
        for warning in &row.warnings {
            eprintln!("warning: {} {}: {warning}", row.layer, row.head);
        }
    }
    let metric = result.rows.first().map_or(Metric::Accuracy, |row| row.metric);
    let (cv, test) = (scored(">CV", metric), scored(">test", metric));
    // Accuracy has a column of its own, with its interval.
    let other = metric != Metric::Accuracy;
    let mut headings = vec!["layer", ">width", "head", ">C", &cv];
    headings.extend(other.then_some(test.as_str()));
    headings.extend([">test accuracy %", "95 % interval", ">seconds"]);
    if several {
        headings.insert(0, "cache");
    }
    let percent = |value: f64| format!("{:.1}", 100.0 * value);
    table::print(
        &headings,
        result.rows.iter().map(|row| {
            let interval = match (row.test_low, row.test_high) {
                (Some(low), Some(high)) => format!("[{}, {}]", percent(low), percent(high)),
                _ => String::new(),
            };
            let mut cells = vec![
                format!("{}:{}", row.layer, row.pool),
                row.width.to_string(),
                row.head.to_string(),
                match row.tuned {
                    Tuned::C(c) => format!("{c:.1e}"),
                    Tuned::Neighbors(_) => row.tuned.to_string(),
                    Tuned::Nothing => "–".into(),
                },
                format!("{} ± {}", metric.digits(row.cv_score), metric.digits(row.cv_score_se)),
            ];
            cells.extend(other.then(|| row.test_score.map_or_else(|| "–".into(), |score| metric.digits(score))));
            cells.extend([row.test.map_or_else(|| "–".into(), percent), interval, format!("{:.2}", row.seconds)]);
            if several {
                cells.insert(0, row.cache.display().to_string());
            }
            cells
        }),
    );
    println!();
    for best in result.best() {
        println!(
            "{}: {}{}; best by {}: {}:{} with {}",
            best.cache.display(),
            super::images_and_rows("training images", best.n_train_images, best.n_train),
            if best.n_test > 0 { format!(", {} test images", best.n_test) } else { String::new() },
            match metric {
                Metric::Accuracy => "cross-validation".into(),
                _ => format!("cross-validated {}", metric.title()),
            },
            best.layer,
            best.pool,
            best.head
        );
    }
}

/// The heading of a column: on which rows, what, in which unit.
fn scored(rows: &str, metric: Metric) -> String {
    format!("{rows} {}{}", metric.title(), metric.unit())
}
