use crate::{Outcome, Usage, table};
use headstart_scenarios::{
    advise::{Advice, AdviseOptions, Reading, advise, calibration, is_cache, rules, size},
    report,
};
use indicatif::{ProgressBar, ProgressStyle};
use std::path::PathBuf;

/// Say which scenario of transfer learning images are in, by measurement, and what to run next
#[derive(clap::Args)]
#[command(after_help = "\
Two axes are measured: how many images there really are (copies counted once, classes of different sizes for what they are
worth), and how similar they are to the data that the backbone was trained on (what its own classifier makes of them, and how
far activations are from the statistics that its weights keep), judged by data sets of known kind. A quick sweep of the sample
then says whether the rule of thumb for that scenario holds. --explain prints every value, every threshold and where it is from.

Given images, a backbone looks at a sample of them. Given a cache, what it holds is used, and no network is run.

Examples:
  headstart advise photos/
  headstart advise photos/ --backbone mobilenet_v2 --explain
  headstart advise features/photos.h5 --json")]
pub struct Args {
    /// Folder or CSV of images, or a cache.
    #[arg(value_name = "DIR|CSV|FILE.h5")]
    target: PathBuf,
    /// For images: a name from `headstart models`. Similarity is calibrated for resnet18 and mobilenet_v2
    /// [default: resnet18].
    #[arg(long, value_name = "NAME")]
    backbone: Option<String>,
    /// Weights: a file, or random:SEED [default: the pretrained ones; of a cache, those that it was made with].
    #[arg(long = "weights", value_name = "FILE|random:SEED")]
    weights_text: Option<String>,
    /// For images: auto, cpu, cuda or cuda:N, where the backbone runs [default: auto].
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// For a cache: where its images are, if not where they were.
    #[arg(long, value_name = "DIR|CSV")]
    images: Option<PathBuf>,
    /// Training images to measure, spread evenly over the classes.
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    sample: u32,
    /// Do not compare all images with each other (copies then count as images).
    #[arg(long)]
    no_compare: bool,
    /// Seed of the folds.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Print every measurement with its thresholds, and where these come from.
    #[arg(long)]
    explain: bool,
    /// Write a page, and metrics.json, into this folder.
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let cache = is_cache(&args.target);
    if cache && args.backbone.is_some() {
        return Err(Usage("--backbone is for images; a cache knows its own".into()).into());
    }
    if cache && args.device.is_some() {
        return Err(Usage("--device is for images; on a cache no network is run".into()).into());
    }
    if !cache && args.images.is_some() {
        return Err(Usage("--images is for a cache; give the images alone".into()).into());
    }
    let options = AdviseOptions {
        target: args.target.clone(),
        images: args.images.clone(),
        backbone: args.backbone.clone().unwrap_or_else(|| "resnet18".into()),
        weights: args.weights_text.as_deref().map(super::parse).transpose()?,
        #[cfg(feature = "torch")]
        device: super::parse(args.device.as_deref().unwrap_or("auto"))?,
        sample: args.sample as usize,
        compare: !args.no_compare,
        seed: args.seed,
    };
    args.report.as_deref().map(report::make_folder).transpose()?;
    let bar = ProgressBar::new(0);
    bar.set_style(
        ProgressStyle::with_template("{bar:32} {pos}/{len}  {msg}").unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let advice = advise(&options, &|what, done, all| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
        bar.set_message(what.to_string());
    });
    bar.finish_and_clear();
    let advice = advice?;
    if args.json {
        table::print_json(&advice)?;
    } else {
        print(&advice, args.explain);
    }
    if let Some(folder) = &args.report {
        let command: Vec<_> = std::env::args_os().collect();
        eprintln!("wrote {}", advice.write_report(&command, folder)?.display());
    }
    Ok(Outcome::Done)
}

fn print(advice: &Advice, explain: bool) {
    print_size(advice, explain);
    print_similarity(advice, explain);
    println!("\nScenario {}", advice.scenario());
    for check in &advice.rules {
        println!("  rule of thumb for {}: {}", check.scenario.number(), check.rule);
        println!("  {}: {}", check.verdict.words(), check.found);
    }
    if explain {
        print_layers(advice);
    }
    for left in &advice.left_out {
        println!("\nNot measured: {}, because {}", left.what, left.why);
        if let Some(command) = &left.command {
            println!("  {command}");
        }
    }
    println!("\nNext");
    if advice.scenarios.iter().any(|&scenario| rules::fine_tunes(scenario)) {
        println!("  (fine-tuning is not part of headstart yet; this is the nearest that works today)");
    }
    if let Some(missing) = advice.no_head() {
        println!("  ({missing})");
    }
    advice.next.iter().for_each(|command| println!("  {command}"));
}

fn print_size(advice: &Advice, explain: bool) {
    let size = &advice.size;
    println!("Size: {}", size.reading.size());
    let copies = match size.duplicates {
        Some(0) => "none shows what another shows".into(),
        Some(1) => "1 shows what another shows".into(),
        Some(n) => format!("{n} show what another shows"),
        None => "not compared with each other".into(),
    };
    let worth = match size.effective_per_class {
        Some(images) => format!("{:.0}, {images:.0} per class", size.effective),
        None => format!("{:.0}; they have no labels", size.effective),
    };
    println!(
        "  {} training images in {} classes ({} held out), {copies}; worth {worth}",
        size.training,
        size.classes.len(),
        size.held_out
    );
    if let Some(found) = &advice.duplicates {
        for (groups, what) in [
            (&found.leaks, "in training and held-out images, whose scores are too good"),
            (&found.contradictions, "with different labels"),
        ] {
            if let Some(first) = groups.first() {
                println!("  WARNING: {} of copies {what}, e.g. {}", groups_of(groups.len()), first.join(" = "));
                if explain {
                    groups.iter().skip(1).for_each(|group| println!("    {}", group.join(" = ")));
                }
            }
        }
    }
    if !explain {
        return;
    }
    if let Some(found) = &advice.duplicates {
        println!(
            "  {} images compared by perceptual hash and thumbnail, {} could not be",
            found.compared, found.unreadable
        );
    }
    println!(
        "  by images: {} (threshold {}, Kolesnikov et al. 2020); both readings within a factor of {}",
        size.by_images.size(),
        size::IMAGES,
        size::BETWEEN
    );
    if let Some(reading) = size.by_class {
        println!(
            "  by images per class: {} (threshold {}: the geometric mean of ELPV's 1312, known as small, and CIFAR-10's 5000, known as large)",
            reading.size(),
            size::PER_CLASS
        );
    }
    println!(
        "  classes: {}",
        size.classes.iter().map(|(name, n)| format!("{name} {n}")).collect::<Vec<_>>().join(", ")
    );
}

fn groups_of(n: usize) -> String {
    if n == 1 { "1 group".into() } else { format!("{n} groups") }
}

fn print_similarity(advice: &Advice, explain: bool) {
    let similarity = &advice.similarity;
    let reading = similarity.reading.map_or("not judged", Reading::similarity);
    println!("\nSimilarity to the source data of {} ({}): {reading}", advice.backbone, advice.weights);
    if let Some(reason) = &similarity.why_not {
        println!("  {reason}");
    }
    if let (Some(score), Some(different), Some(similar)) =
        (similarity.score, similarity.different_below, similarity.similar_above)
    {
        println!(
            "  score {score:+.2}{} from {} images; different up to {different:+.2}, similar from {similar:+.2}",
            advice.error_of_score(),
            similarity.images
        );
    }
    if !similarity.parts.is_empty() {
        table::print(
            &["  measure", ">value", ">threshold", ">score", "alone"],
            similarity.parts.iter().map(|part| {
                vec![
                    format!("  {}", part.measure.title()),
                    format!("{:.3}", part.value),
                    format!("{:.3}", part.scale.threshold),
                    format!("{:+.2}", part.score),
                    part.reading.similarity().into(),
                ]
            }),
        );
    } else {
        for measure in similarity.measured.measures() {
            println!("  {} {:.3}", measure.title(), similarity.measured.get(measure).unwrap_or(f64::NAN));
        }
    }
    if !explain {
        return;
    }
    for measure in similarity.measured.measures() {
        println!("  {}: {}", measure.title(), measure.provenance());
    }
    if let Some(entropy) = similarity.measured.entropy {
        println!(
            "  mean entropy of the source classifier: {entropy:.3} nats (told, not counted: it says what its confidence says)"
        );
    }
    if similarity.known.is_empty() {
        println!("  calibrated backbones: {}", calibration::backbones().join(", "));
        return;
    }
    println!(
        "  Thresholds lie halfway between the nearest sets of both kinds, a score of 1 is the standard deviation within kinds, and\n  \
         scores are averaged with equal weights (Dawes 1979). There are only {} such sets, so this is a rough ruler; with\n  \
         thresholds made from the others, {} of them are placed right. What they measured:",
        similarity.known.len(),
        similarity.placed_by_others
    );
    for part in &similarity.parts {
        println!(
            "  {}: unit {:.3}, gap between the kinds {:+.2} units{}",
            part.measure.title(),
            part.scale.unit,
            part.scale.gap,
            if part.scale.gap < 0.0 { " (they overlap)" } else { "" }
        );
    }
    let shown = |value: Option<f64>| value.map_or_else(|| "–".into(), |value| format!("{value:.3}"));
    table::print(
        &["  set", "kind", ">images", ">confidence", ">information", ">distance", ">score", "origin"],
        similarity.known.iter().map(|known| {
            let measured = &known.set.measured;
            vec![
                format!("  {}", known.set.name),
                if known.set.similar { "similar".into() } else { "different".into() },
                known.set.images.to_string(),
                shown(measured.confidence),
                shown(measured.information),
                shown(measured.distance),
                format!("{:+.2}", known.score),
                known.set.origin.clone(),
            ]
        }),
    );
}

fn print_layers(advice: &Advice) {
    if let Some(sweep) = &advice.sweep {
        println!("\nQuick sweep of the sample (cross-validated, three deals of the folds, standardised)");
        table::print(
            &["  layer", "head", ">accuracy %", ">p against best", ">LogME", ">H-score"],
            sweep.rows.iter().enumerate().map(|(index, row)| {
                let formula = advice.layers.iter().find(|layer| layer.layer == row.name());
                vec![
                    format!("  {}", row.name()),
                    row.head.to_string(),
                    format!("{:.1} ± {:.1}", 100.0 * row.cv_mean, 100.0 * row.cv_se),
                    match &row.against_best {
                        _ if sweep.groups.iter().any(|group| group.best == index) => "best".into(),
                        Some(found) => format!("{:.3}", found.p),
                        None => "–".into(),
                    },
                    formula.map_or_else(String::new, |layer| format!("{:.3}", layer.log_me)),
                    formula.map_or_else(String::new, |layer| format!("{:.3}", layer.h_score)),
                ]
            }),
        );
    }
    if let Some(leep) = advice.leep {
        println!("  LEEP of the source classifier: {leep:.3} (at most 0; Nguyen et al. 2020)");
    }
    if !advice.layers.is_empty() {
        println!(
            "  LogME: You et al. 2021; H-score: Bao et al. 2019, shrunk as Ibrahim et al. 2022. They compare layers, not data sets."
        );
    }
}
