use crate::{Outcome, table};
use headstart_extractor::zoo::model_cards;
use headstart_scenarios::plot::draw_models;
use std::path::PathBuf;

/// List the known backbones with their size, cost and published accuracy
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  headstart models\n  headstart models --plot models.svg")]
pub struct Args {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Draw accuracy against multiply-adds, with circles for parameters (.svg or .png).
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    super::check_plots(&args.plot)?;
    let cards = model_cards();
    if let Some(path) = &args.plot {
        draw_models(&cards, path)?;
        eprintln!("wrote {}", path.display());
    }
    if args.json {
        table::print_json(&cards)?;
        return Ok(Outcome::Done);
    }
    let percent = |value: Option<f64>| value.map_or_else(|| "–".into(), |v| format!("{v:.2}"));
    table::print(
        &["name", "family", ">parameters", ">mult-adds", ">depth", "input", ">top-1", ">top-5", ">MB", "paper"],
        cards.iter().map(|card| {
            let [c, h, w] = card.input;
            vec![
                card.name.into(),
                card.family.into(),
                table::short_count(card.parameters),
                table::short_count(card.multiply_adds),
                card.depth.to_string(),
                format!("{c}×{h}×{w}"),
                percent(card.top1),
                percent(card.top5),
                format!("{:.0}", card.size_mb),
                format!("{} {}, {}", card.paper.authors, card.paper.year, card.paper.reference),
            ]
        }),
    );
    if let Some(source) = cards.iter().find_map(|card| card.source) {
        println!("\ntop-1 and top-5: ImageNet-1k validation, percent; {source}");
    }
    Ok(Outcome::Done)
}
