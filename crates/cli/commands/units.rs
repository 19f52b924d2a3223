use crate::{Outcome, table};
use headstart_cache::Cache;
use headstart_scenarios::{
    look::units::{Wanted, units},
    report,
    train::layer,
};
use std::path::PathBuf;

/// The images that excite a unit (a column of a layer) most, and how much it keeps to one class
#[derive(clap::Args)]
#[command(after_help = "\
Selectivity is the class selectivity index of Morcos et al. (2018), (a - b) / (a + b) of the mean activation a of the class that
excites the unit most and the mean b of the other classes: 0 for none, 1 for a unit of one class alone. It needs activations
that are not negative; eta2, the share of the variance that lies between the classes, needs nothing, and ranks units where some
are. Of a pooled layer a unit is a channel.

Examples:
  headstart units features/photos.h5 --layer layer4 --top-units 12 --report reports/units
  headstart units features/photos.h5 --layer layer4 --unit 17,301 --json")]
pub struct Args {
    /// The cache.
    #[arg(value_name = "FILE.h5")]
    cache: PathBuf,
    /// The layer; may be left out when the cache has one.
    #[arg(long, value_name = "NAME[:POOL]")]
    layer: Option<String>,
    /// Look at these units, counted from 0.
    #[arg(long, value_name = "N,…", value_delimiter = ',', conflicts_with = "top_units")]
    unit: Vec<usize>,
    /// Look at the K most selective units.
    #[arg(long, value_name = "K", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    top_units: u32,
    /// Images of each unit.
    #[arg(long, value_name = "N", default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..=1000))]
    images: u32,
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
    let wanted = match &args.unit[..] {
        [] => Wanted::Most(args.top_units as usize),
        units => Wanted::Units(units.to_vec()),
    };
    let found = units(&cache, &layer, &wanted, args.images as usize)?;
    if args.json {
        table::print_json(&found)?;
    } else {
        let by = match found.ranked_by {
            Some("eta2") => "selective by eta2, for some activations are negative",
            Some(_) => "selective by selectivity",
            None if found.labelled == 0 => "there are no labels, so units are not ranked",
            None => "all labels are of one class, so units are not ranked",
        };
        println!(
            "{}: {} units, {} images ({} labelled, {} classes); {by}\n",
            found.layer,
            found.width,
            found.images,
            found.labelled,
            found.classes.len()
        );
        let rows = found.units.iter().map(|unit| {
            let shown =
                |value: Option<f64>, digits: usize| value.map_or_else(|| "–".into(), |v| format!("{v:.digits$}"));
            let (own, others) = unit.means();
            let images: Vec<&str> = unit.images.iter().take(3).map(|excited| &excited.image.path[..]).collect();
            vec![
                unit.unit.to_string(),
                shown(unit.selectivity, 2),
                shown(unit.eta2, 2),
                unit.class.clone().unwrap_or_else(|| "–".into()),
                shown(own, 3),
                shown(others, 3),
                images.join(", "),
            ]
        });
        table::print(
            &[">unit", ">selectivity", ">eta2", "class", ">its mean", ">others' mean", "images that excite it most"],
            rows,
        );
    }
    if let Some(folder) = &args.report {
        let page = found.write_report(&cache, &std::env::args_os().collect::<Vec<_>>(), folder)?;
        eprintln!("wrote the report {}", page.display());
    }
    Ok(Outcome::Done)
}
