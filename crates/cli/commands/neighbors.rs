use crate::{Outcome, table};
use headstart_cache::Cache;
use headstart_scenarios::{look::neighbors::neighbors, report, train::layer};
use std::path::PathBuf;

/// The images of a cache that are nearest to one of them
#[derive(clap::Args)]
#[command(after_help = "\
Images are named by their paths in the cache, or by so much of the end as is clear. The search is exact, over all images of all
splits; augmented views are left out.

Examples:
  headstart neighbors features/photos.h5 --layer layer4 cats/12.jpg
  headstart neighbors features/photos.h5 --layer layer4 cats/12.jpg dogs/3.jpg -k 20 --report reports/near")]
pub struct Args {
    /// The cache.
    #[arg(value_name = "FILE.h5")]
    cache: PathBuf,
    /// Images that are in the cache.
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
    /// The layer; may be left out when the cache has one.
    #[arg(long, value_name = "NAME[:POOL]")]
    layer: Option<String>,
    /// How many of the nearest.
    #[arg(short = 'k', long, value_name = "K", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1000))]
    count: u32,
    /// What near means: cosine or euclidean.
    #[arg(long, value_name = "cosine|euclidean", default_value = "cosine", value_parser = ["cosine", "euclidean"])]
    metric: String,
    /// Write a contact sheet into this folder: index.html, one page that needs no network, and metrics.json.
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let cache = Cache::open(&args.cache)?;
    let layer = layer(&cache, args.layer.as_deref())?;
    args.report.as_deref().map(report::make_folder).transpose()?;
    let found = neighbors(&cache, &layer, &args.images, super::parse(&args.metric)?, args.count as usize)?;
    if args.json {
        table::print_json(&found)?;
    } else {
        for (at, query) in found.queries.iter().enumerate() {
            if at > 0 {
                println!();
            }
            let class = query.image.class.as_deref().unwrap_or("no label");
            println!("{} ({class}), nearest of {} images by {}", query.image.path, found.images, layer.name);
            let rows = query.neighbors.iter().map(|near| {
                let class = near.image.class.clone().unwrap_or_default();
                vec![near.image.path.clone(), class, near.image.split.clone(), format!("{:.4}", near.distance)]
            });
            let distance = if args.metric == "cosine" { ">1 - cosine" } else { ">distance" };
            table::print(&["image", "class", "split", distance], rows);
            if let Some(count) = query.of_its_class() {
                println!("{count} of {} are of its class", query.neighbors.len());
            }
        }
    }
    if let Some(folder) = &args.report {
        let page = found.write_report(&cache, &std::env::args_os().collect::<Vec<_>>(), folder)?;
        eprintln!("wrote the report {}", page.display());
    }
    Ok(Outcome::Done)
}
