use crate::{Outcome, Usage, table};
use anyhow::Context;
use headstart_cache::Cache;
use headstart_scenarios::{
    look::map::{FeatureMap, MapMethod, MapOptions, feature_map},
    plot::draw_map,
    report,
    train::layer,
};
use std::path::PathBuf;

/// A picture of all images as a layer sees them: near each other where their features are alike
#[derive(clap::Args)]
#[command(after_help = "\
t-SNE (van der Maaten and Hinton 2008) keeps neighbours together; how far groups lie apart and how large they are means little.
PCA shows true distances as far as its two directions hold the variance. What is printed tells how far to trust the picture: the
share of images whose nearest neighbour is of their class, by the features and on the map. Images of the splits val and test are
drawn as rings.

Examples:
  headstart map features/photos.h5 --layer layer4 -o map.png
  headstart map features/photos.h5 --layer layer4 --method pca -o map.svg -o map.csv")]
pub struct Args {
    /// The cache.
    #[arg(value_name = "FILE.h5")]
    cache: PathBuf,
    /// The layer; may be left out when the cache has one.
    #[arg(long, value_name = "NAME[:POOL]")]
    layer: Option<String>,
    /// pca or tsne.
    #[arg(long = "method", value_name = "pca|tsne", default_value = "tsne", value_parser = ["pca", "tsne"])]
    method_text: String,
    /// Of more images than this, so many are mapped, spread evenly over the cache.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(4..=10_000))]
    images: u32,
    /// For t-SNE: about how many neighbours an image has.
    #[arg(long, value_name = "P", default_value_t = 30.0)]
    perplexity: f64,
    /// For t-SNE: seed of the positions to begin with.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// A picture (.svg or .png), or the positions as a table (.csv); may be repeated.
    #[arg(short, long, value_name = "FILE")]
    output: Vec<PathBuf>,
    /// Write a page with the map into this folder: index.html, which needs no network, and metrics.json.
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    /// Title of the picture.
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let (tables, pictures): (Vec<PathBuf>, Vec<PathBuf>) =
        args.output.iter().cloned().partition(|path| path.extension().is_some_and(|ending| ending == "csv"));
    super::check_plots(&pictures)?;
    if args.output.is_empty() && args.report.is_none() && !args.json {
        return Err(Usage("say where the map goes: -o map.png (or .svg, .csv), --report DIR, or --json".into()).into());
    }
    if !(args.perplexity.is_finite() && args.perplexity >= 1.0) {
        return Err(Usage(format!("--perplexity is {}: give a number of 1 or more", args.perplexity)).into());
    }
    let cache = Cache::open(&args.cache)?;
    let layer = layer(&cache, args.layer.as_deref())?;
    let options = MapOptions {
        method: super::parse(&args.method_text)?,
        images: args.images as usize,
        perplexity: args.perplexity,
        seed: args.seed,
    };
    args.report.as_deref().map(report::make_folder).transpose()?;
    let map = feature_map(&cache, &layer, &options)?;
    for path in &tables {
        let file = std::fs::File::create(path).with_context(|| format!("{}: cannot be written", path.display()))?;
        map.write_csv(std::io::BufWriter::new(file)).with_context(|| format!("{}", path.display()))?;
        eprintln!("wrote {}", path.display());
    }
    let title = || args.title.clone().unwrap_or_else(|| format!("{}, {}", args.cache.display(), layer.name));
    for path in &pictures {
        draw_map(&map.plot(&title()), path)?;
        eprintln!("wrote {}", path.display());
    }
    if let Some(folder) = &args.report {
        let page = report::write_map(&map, &cache, &std::env::args_os().collect::<Vec<_>>(), folder)?;
        eprintln!("wrote the report {}", page.display());
    }
    if args.json {
        table::print_json(&map)?;
    } else {
        print(&map);
    }
    Ok(Outcome::Done)
}

fn print(map: &FeatureMap) {
    let how = match (map.method, map.shares, map.perplexity) {
        (MapMethod::Pca, Some([first, second]), _) => {
            format!("PCA; two directions hold {:.1} % of the variance", 100.0 * (first + second))
        }
        (_, _, perplexity) => format!("t-SNE, perplexity {:.1}", perplexity.unwrap_or_default()),
    };
    println!("{}: {} of {} images by {how}", map.layer, map.points.len(), map.available);
    if let (Some(features), Some(on_map)) = (map.same_class_in_features, map.same_class_on_map) {
        println!(
            "nearest neighbour of the same class: {:.1} % by the features, {:.1} % on the map",
            100.0 * features,
            100.0 * on_map
        );
    }
}
