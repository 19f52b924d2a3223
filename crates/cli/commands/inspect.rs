use crate::{Outcome, table};
use anyhow::bail;
use headstart_cache::{Augmentation, Report, Summary, summarize, verify};
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

/// Show what a cache holds and where it comes from, also while it is being written
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  headstart inspect features/photos.h5\n  headstart inspect features/photos.h5 --verify --json"
)]
pub struct Args {
    /// The cache.
    #[arg(value_name = "FILE.h5")]
    file: PathBuf,
    /// Read and check every row; exit code 1 when something is wrong.
    #[arg(long)]
    verify: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    summary: Summary,
    #[serde(skip_serializing_if = "Option::is_none")]
    verified: Option<Report>,
}

/// Failed images listed for people; `--json` has them all.
const LISTED: usize = 10;

pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let verified = if args.verify { Some(verify(&args.file)?) } else { None };
    let shown = Shown { summary: summarize(&args.file)?, verified };
    if args.json {
        table::print_json(&shown)?;
    } else {
        print(&shown);
    }
    match shown.verified {
        Some(report) if !report.is_clean() => bail!("{}: {} problems found", args.file.display(), report.problem_count),
        _ => Ok(Outcome::Done),
    }
}

fn print(shown: &Shown) {
    let summary = &shown.summary;
    let rows = &summary.rows;
    let state = match (&summary.writer, summary.complete) {
        (Some(writer), _) => format!("being written by {writer}"),
        (None, true) => "complete".into(),
        (None, false) => "incomplete; the same extract command continues it".into(),
    };
    println!("{}  {}, {state}", summary.path.display(), table::short_bytes(summary.bytes));
    let views = if rows.images < rows.total { format!(", views of {} images", rows.images) } else { String::new() };
    println!(
        "rows        {}{views} ({} done, {} failed, {} pending)",
        rows.total, rows.done, rows.failed, rows.pending
    );
    let provenance = &summary.provenance;
    let short = provenance.weights.sha256.get(..12).unwrap_or(&provenance.weights.sha256);
    println!("backbone    {}, weights {} ({short}…)", provenance.backbone, provenance.weights.source);
    if let Some(input) = &provenance.preprocessing {
        println!(
            "images      {} px, {}, computed in {}, from {}",
            input.size,
            match input.resize {
                headstart_cache::Resize::Crop => format!("shorter side to {} and centre crop", input.shorter_side),
                headstart_cache::Resize::Squash => "both sides scaled".into(),
            },
            provenance.compute_dtype,
            provenance.images.as_deref().unwrap_or("?"),
        );
        let numbers = |values: &[f32]| values.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        println!(
            "            {} channels, mean {}, standard deviation {}",
            input.channels,
            numbers(&input.mean),
            numbers(&input.std)
        );
    }
    if let Some(decoder) = &provenance.decoder {
        println!("decoder     {decoder}");
    }
    let Augmentation { recipe, views, seed, .. } = &provenance.augmentation;
    let seed = if *views > 1 { format!(", seed {seed}") } else { String::new() };
    let whose = if *views > 1 { "training image" } else { "image" };
    println!("augmented   {recipe}, {views} view(s) per {whose}{seed}");
    println!("made by     headstart {}, file format {}", provenance.tool_version, provenance.format_version);
    println!("key         {}", summary.key);
    println!();
    table::print(
        &["layer", ">shape", ">width", "stored", ">rows committed", ">size", "computed on"],
        summary.layers.iter().map(|layer| {
            let shape: Vec<String> = layer.shape.iter().map(ToString::to_string).collect();
            vec![
                layer.name.clone(),
                shape.join("×"),
                layer.width.to_string(),
                layer.store.to_string(),
                format!("{} of {}", layer.committed, rows.total),
                table::short_bytes(layer.bytes),
                layer.device.clone(),
            ]
        }),
    );
    print_classes(summary);
    if !summary.failed.is_empty() {
        println!("\nimages that could not be used:");
        for failed in summary.failed.iter().take(LISTED) {
            println!("  row {}  {}: {}", failed.row, failed.path, failed.reason);
        }
        if summary.failed.len() > LISTED {
            println!("  … and {} more (--json lists them)", summary.failed.len() - LISTED);
        }
    }
    if let Some(report) = &shown.verified {
        println!("\nverified {} values: {} problems", report.values_checked, report.problem_count);
        for problem in &report.problems {
            println!("  {problem}");
        }
    }
}

/// How many rows of each class each split has, and how many have no class.
fn print_classes(summary: &Summary) {
    const UNLABELLED: &str = "(no label)";
    let unlabelled = (!summary.unlabelled.is_empty()).then_some((UNLABELLED, &summary.unlabelled));
    let lines: Vec<(&str, &BTreeMap<String, usize>)> =
        summary.classes.iter().map(|class| (class.name.as_str(), &class.splits)).chain(unlabelled).collect();
    let splits: BTreeSet<&String> = lines.iter().flat_map(|(_, splits)| splits.keys()).collect();
    if splits.is_empty() {
        return;
    }
    let what = if summary.rows.images < summary.rows.total { ">rows" } else { ">images" };
    let named = |split: &&String| if split.is_empty() { what.into() } else { format!(">{split}") };
    let headings: Vec<String> = std::iter::once("class".to_string()).chain(splits.iter().map(named)).collect();
    let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
    println!();
    table::print(
        &headings,
        lines.iter().map(|(class, counts)| {
            let count = |split: &&String| counts.get(*split).copied().unwrap_or(0).to_string();
            std::iter::once(class.to_string()).chain(splits.iter().map(count)).collect()
        }),
    );
}
