use crate::{Outcome, Usage, table};
use headstart_extractor::graph::Pool;
use headstart_scenarios::{
    plot::draw_scores,
    report,
    sweep::{ALPHA, Sweep, SweepOptions, cache_names, p_value, sweep},
};
use headstart_trainer::{Metric, Tuned};
use indicatif::{ProgressBar, ProgressStyle};
use std::path::PathBuf;

/// Compare layers × heads of one or more caches: a table and a plot of score against depth
#[derive(clap::Args)]
#[command(after_help = "\
For every layer and head, C is chosen by cross-validation on the training rows; `test` is the score on the test rows (else
the val rows), which chose nothing. Every row is compared with the best on the same folds (corrected resampled t-test, Nadeau
and Bengio 2003), so a large p says that the two cannot be told apart; the sentence below the table corrects for how many are
compared (Holm 1979), the column p does not. Several caches share their folds if they hold the same images in the same order.

Examples:
  headstart sweep features/photos.h5 --plot sweep.svg --report reports/sweep
  headstart sweep features/photos.h5 --layers layer3 --join layer2+layer4 --repeats 5
  headstart sweep features/a.h5 features/b.h5 --layers layer2,layer4 --heads logistic --json")]
pub struct Args {
    /// The caches.
    #[arg(value_name = "FILE.h5", required = true)]
    caches: Vec<PathBuf>,
    /// Only these layers [default: all in the cache].
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    layers: Vec<String>,
    /// Only layers that were pooled so: gap, gmp, gem3, grid2, grid4, flatten.
    #[arg(long, value_name = "POOLS", value_delimiter = ',')]
    pool: Vec<String>,
    /// Layers side by side as one candidate, such as layer2+layer4; alone, or beside --layers (may be repeated).
    #[arg(long, value_name = "A+B", value_delimiter = ',')]
    join: Vec<String>,
    /// Heads to train: logistic, svm, ridge, ncm, knn.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "logistic,svm")]
    heads: Vec<String>,
    #[command(flatten)]
    head: super::HeadArgs,
    /// Draw score against depth (.svg or .png; may be repeated).
    #[arg(long, value_name = "FILE")]
    plot: Vec<PathBuf>,
    /// Title of the plot and of the report.
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    /// Write a page with the plot, the table and the comparisons, and metrics.json, into this folder.
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
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
    // Nor should mistakes wait for the first training.
    let heads = args.head.heads(&args.heads)?;
    let options = SweepOptions {
        caches: args.caches.clone(),
        layers: args.layers.clone(),
        pools: pools(&args.pool)?,
        joined: args.join.iter().map(|names| joined(names)).collect::<anyhow::Result<_>>()?,
        heads,
        validation: args.head.validation()?,
        scaling: args.head.scaling()?,
        seed: args.head.seed,
        memory: args.head.memory()?,
    };
    args.report.as_deref().map(report::make_folder).transpose()?;
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
    let title = || {
        let names = || cache_names(&args.caches).join(", ");
        args.title.clone().unwrap_or_else(|| format!("{}: score against depth", names()))
    };
    for path in &args.plot {
        draw_scores(&result.plot(&title()), path)?;
        eprintln!("wrote {}", path.display());
    }
    if let Some(folder) = &args.report {
        let command: Vec<_> = std::env::args_os().collect();
        eprintln!("wrote {}", result.write_report(&title(), &command, folder)?.display());
    }
    Ok(Outcome::Done)
}

fn pools(typed: &[String]) -> anyhow::Result<Vec<String>> {
    let pools: Vec<Pool> = super::parse_all(typed)?;
    Ok(pools.into_iter().map(|pool| pool.name().into()).collect())
}

/// The names of `a+b`, of which there are at least two.
fn joined(typed: &str) -> anyhow::Result<Vec<String>> {
    let names: Vec<String> = typed.split('+').map(|name| name.trim().to_owned()).collect();
    if names.len() < 2 || names.iter().any(String::is_empty) {
        return Err(Usage(format!("--join {typed}: give two layers or more, such as layer2+layer4")).into());
    }
    Ok(names)
}

pub(super) fn print(result: &Sweep, several: bool) {
    if result.groups.len() > 1 {
        eprintln!(
            "the caches do not all hold the same training images in the same order: rows are compared where they do"
        );
    }
    for row in &result.rows {
        for warning in &row.warnings {
            eprintln!("warning: {} {}: {warning}", row.layer, row.head);
        }
    }
    let metric = result.rows.first().map_or(Metric::Accuracy, |row| row.metric);
    let (cv, test) = (scored(">CV", metric), scored(">test", metric));
    // Accuracy has a column of its own, with its interval.
    let other = metric != Metric::Accuracy;
    let mut headings = vec!["layer", "head", ">C", &cv, ">against best", ">p"];
    headings.extend(other.then_some(test.as_str()));
    headings.extend([">test accuracy %", "95 % interval", ">test p", ">multiply-adds", ">bytes", ">seconds"]);
    if several {
        headings.insert(0, "cache");
    }
    let percent = |value: f64| format!("{:.1}", 100.0 * value);
    table::print(
        &headings,
        result.rows.iter().enumerate().map(|(index, row)| {
            let interval = match (row.test_low, row.test_high) {
                (Some(low), Some(high)) => format!("[{}, {}]", percent(low), percent(high)),
                _ => String::new(),
            };
            let mut cells = vec![
                row.name(),
                row.head.to_string(),
                match row.tuned {
                    Tuned::C(c) => format!("{c:.1e}"),
                    Tuned::Neighbors(_) => row.tuned.to_string(),
                    Tuned::Nothing => "–".into(),
                },
                format!("{} ± {}", metric.digits(row.cv_score), metric.digits(row.cv_score_se)),
            ];
            let against = row.against_best.as_ref();
            cells.extend([
                match against {
                    _ if result.groups.iter().any(|group| group.best == index) => "best".into(),
                    Some(found) => metric.signed_digits(found.difference),
                    None => "–".into(),
                },
                against.map_or_else(String::new, |found| p_value(found.p)),
            ]);
            cells.extend(other.then(|| row.test_score.map_or_else(|| "–".into(), |score| metric.digits(score))));
            cells.extend([
                row.test.map_or_else(|| "–".into(), percent),
                interval,
                against.and_then(|found| found.test_p).map_or_else(String::new, p_value),
                row.multiply_adds.map_or_else(|| "–".into(), table::short_count),
                row.bytes_per_image.to_string(),
                format!("{:.2}", row.seconds),
            ]);
            if several {
                cells.insert(0, row.cache.display().to_string());
            }
            cells
        }),
    );
    println!();
    for best in result.best_of_each() {
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
    for group in &result.groups {
        let (best, cheapest) = (&result.rows[group.best], &result.rows[group.cheapest]);
        // Where rows of some caches cannot be compared with those of others: which caches these are.
        let mut caches: Vec<String> =
            group.rows.iter().map(|&index| result.rows[index].cache.display().to_string()).collect();
        caches.dedup();
        let caches = if result.groups.len() > 1 { format!("{}: ", caches.join(", ")) } else { String::new() };
        println!(
            "{caches}{} of {} other rows cannot be told from {} with {} on the same folds, p > {ALPHA} after Holm's correction \
             (corrected resampled t-test)",
            group.alike(&result.rows),
            group.rows.len() - 1,
            best.name(),
            best.head,
        );
        if group.cheapest != group.best {
            println!("{caches}cheapest within one standard error of it: {} with {}", cheapest.name(), cheapest.head);
        }
    }
}

/// The heading of a column: on which rows, what, in which unit.
fn scored(rows: &str, metric: Metric) -> String {
    format!("{rows} {}{}", metric.title(), metric.unit())
}
