use crate::{Outcome, Usage, table};
use headstart_scenarios::{
    curve::{Amount, CurveOptions, Curves, Point, Recipe, Size, TestRows, Uncertain, Verdict, curves},
    plot::draw_curves,
    report,
    sweep::cache_names,
};
use headstart_trainer::Tuned;
use indicatif::{ProgressBar, ProgressStyle};
use std::path::PathBuf;

/// Learning curves: accuracy against the number of training images, and whether more images would help
#[derive(clap::Args)]
#[command(after_help = "\
Images are drawn at random from the training images of every class, with all of their cached views: nested (the 5 are among
the 10), and the same for every layer, head and cache, which have to hold the same images. C is chosen on each draw alone, by
cross-validation in as many folds as its smallest class has images, at most --cv. The test images are those of the split `test`,
else of `val`; where there are none, a fixed part of every class is held out.

To the errors a power law is fitted, error(n) = a + b n^-c (Cortes et al. 1993, Hestness et al. 2017, Viering and Loog 2022), and
fitted again to resampled draws and test images, to tell what twice as many images would bring, or that it cannot be told.

Examples:
  headstart curve features/photos.h5 --layers layer2,layer4 --per-class 5,10,30,100,all --plot curve.svg
  headstart curve features/photos.h5 --layers layer4 --heads logistic,svm --total 300,600,900,all --report reports/curve
  headstart curve features/plain.h5 features/views8.h5 --layers layer4 --draws 20 --sum-views --json")]
pub struct Args {
    /// The caches: of the same images, by other backbones or with other augmentation.
    #[arg(value_name = "FILE.h5", required = true)]
    caches: Vec<PathBuf>,
    /// Only these layers [default: all in the cache].
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    layers: Vec<String>,
    /// Heads to train: logistic, svm, ridge, ncm, knn.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "logistic")]
    heads: Vec<String>,
    /// Images of every class; all for every image [default: 5,10,30,100,all, unless --total is given].
    #[arg(long, value_name = "N,…|all", value_delimiter = ',')]
    per_class: Vec<String>,
    /// Images together, the classes in the proportions that they have; all for every image.
    #[arg(long, value_name = "N,…|all", value_delimiter = ',')]
    total: Vec<String>,
    /// Draws of each size.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    draws: u32,
    /// Share of every class that is held out for the test where the cache has no test images.
    #[arg(long, value_name = "SHARE", default_value_t = 0.3, value_parser = parse_share)]
    holdout: f64,
    /// Add up what a head says of all cached views of a test image (extract --test-views makes them); otherwise the image alone
    /// is scored.
    #[arg(long)]
    sum_views: bool,
    #[command(flatten)]
    head: super::HeadArgs,
    /// Draw the curves (.svg or .png; may be repeated).
    #[arg(long, value_name = "FILE")]
    plot: Vec<PathBuf>,
    /// Title of the plot.
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    /// Write a report into this folder: index.html, one page that needs no network, and metrics.json.
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

fn parse_share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if share > 0.0 && share < 1.0 => Ok(share),
        _ => Err("give a share between 0 and 1, such as 0.3".into()),
    }
}

/// The sizes asked for by either option.
fn sizes(args: &Args) -> anyhow::Result<Vec<Size>> {
    const PER_CLASS: [&str; 5] = ["5", "10", "30", "100", "all"];
    let amounts = |option: &str, texts: &[String]| -> anyhow::Result<Vec<Amount>> {
        let one = |text: &String| text.parse().map_err(|error: String| Usage(format!("{option}: {error}")).into());
        texts.iter().map(one).collect()
    };
    let per_class = match (&args.per_class[..], &args.total[..]) {
        ([], []) => PER_CLASS.map(String::from).to_vec(),
        (given, _) => given.to_vec(),
    };
    let per_class = amounts("--per-class", &per_class)?.into_iter().map(Size::PerClass);
    let total = amounts("--total", &args.total)?.into_iter().map(Size::Total);
    Ok(per_class.chain(total).collect())
}

pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    // Before anything is trained: it would be a pity to find out afterwards.
    super::check_plots(&args.plot)?;
    if args.head.cv_folds == 0 {
        return Err(Usage("--cv none: C is chosen for every draw; give a number of folds".into()).into());
    }
    let heads = args.head.heads(&args.heads)?;
    let validation = args.head.validation()?;
    let options = CurveOptions {
        caches: args.caches.clone(),
        layers: args.layers.clone(),
        sizes: sizes(args)?,
        draws: args.draws as usize,
        held_out: args.holdout,
        sum_views: args.sum_views,
        recipe: Recipe {
            heads,
            folds: validation.folds(),
            repeats: validation.repeats(),
            scaling: args.head.scaling()?,
            seed: args.head.seed,
            memory: args.head.memory()?,
        },
    };
    args.report.as_deref().map(report::make_folder).transpose()?;
    let bar = ProgressBar::new(0);
    bar.set_style(
        ProgressStyle::with_template("{bar:32} {pos}/{len} draws  {msg}  {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let result = curves(&options, &|layer, done, total| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
        bar.set_message(layer.to_string());
    })?;
    bar.finish_and_clear();
    for note in &result.notes {
        eprintln!("note: {note}");
    }
    for line in &result.lines {
        line.notes.iter().for_each(|note| eprintln!("note: {}: {note}", line.name));
    }
    if args.json {
        table::print_json(&result)?;
    } else {
        print(&result);
    }
    let title =
        args.title.clone().unwrap_or_else(|| format!("{}: learning curves", cache_names(&args.caches).join(", ")));
    for path in &args.plot {
        draw_curves(&result.plot(&title), path)?;
        eprintln!("wrote {}", path.display());
    }
    if let Some(folder) = &args.report {
        let page = report::write_curves(&result, &std::env::args_os().collect::<Vec<_>>(), folder)?;
        eprintln!("wrote the report {}", page.display());
    }
    Ok(Outcome::Done)
}

fn percent(share: f64) -> String {
    format!("{:.1}", 100.0 * share)
}

fn print(result: &Curves) {
    let test = match &result.test_rows {
        TestRows::Split(split) => format!("split {split}"),
        TestRows::HeldOut(_) => "held out of the training images".into(),
    };
    println!(
        "{} training images of {} classes, {} draws (seed {}); {} test images ({test})\n",
        result.images,
        result.classes.len(),
        result.draws,
        result.seed,
        result.test_images
    );
    let mean = |value: f64, deviation: Option<f64>| match deviation {
        Some(deviation) => format!("{} ± {}", percent(value), percent(deviation)),
        None => percent(value),
    };
    let rows = result.lines.iter().flat_map(|line| {
        line.points.iter().map(move |point| {
            vec![
                line.name.clone(),
                point.asked.clone(),
                point.images.to_string(),
                point.draws.to_string(),
                chosen(point),
                mean(point.train, point.train_sd),
                mean(point.test.value, point.test_sd),
                format!("[{}, {}]", percent(point.test.low), percent(point.test.high)),
            ]
        })
    });
    let headings = [
        "curve",
        "size",
        ">images",
        ">draws",
        ">chosen (median)",
        ">training accuracy %",
        ">test accuracy %",
        "95 % interval",
    ];
    table::print(&headings, rows);
    println!(
        "\n± is the standard deviation over the draws; the interval is of their mean, for other draws and other test images.\n"
    );
    for line in &result.lines {
        println!("{}: {}", line.name, foretold(line));
    }
}

/// The median of what was chosen.
fn chosen(point: &Point) -> String {
    let mut values: Vec<f64> = point.tuned.iter().map(|tuned| tuned.value()).collect();
    values.sort_by(f64::total_cmp);
    let middle = values[values.len() / 2];
    match point.tuned[0] {
        Tuned::Nothing => "–".into(),
        Tuned::C(_) => format!("C = {middle:.1e}"),
        Tuned::Neighbors(_) => format!("k = {middle}"),
    }
}

/// What more images would bring, in a sentence.
fn foretold(line: &headstart_scenarios::curve::Line) -> String {
    let outlook = &line.outlook;
    let verdict = match outlook.verdict {
        Verdict::MoreHelps => "more images would help",
        Verdict::Saturated => "more images would hardly help",
        Verdict::CannotBeTold => "whether more images would help cannot be told",
    };
    let interval =
        |found: &Uncertain| format!("{} % [{}, {}]", percent(found.value), percent(found.low), percent(found.high));
    let error = match (&outlook.error, &outlook.error_at_double) {
        (Some(now), Some(double)) => format!(
            " (error {} with {} images, {} with {})",
            interval(now),
            outlook.images,
            interval(double),
            2 * outlook.images
        ),
        _ => String::new(),
    };
    format!("{verdict}: {}{error}", outlook.why)
}
