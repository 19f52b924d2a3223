use crate::{Outcome, table};
use headstart_extractor::{
    graph::{Pool, Shape},
    images::geometry,
    zoo,
};
use serde::Serialize;

/// List every layer of a backbone that can be tapped
#[derive(clap::Args)]
#[command(after_help = "\
A layer is asked for as NAME or NAME:POOL (gap, gmp, gem3, grid2, grid4, flatten, raw). Globs (layer*.relu_2),
`stages` and `all` stand for several.

Examples:
  headstart layers resnet18
  headstart layers vgg16 --size 160 --json")]
pub struct Args {
    /// A name from `headstart models`.
    backbone: String,
    /// Input side in pixels, instead of the one the backbone was trained with.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    size: Option<u32>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Listing<'a> {
    backbone: &'a str,
    input: [usize; 3],
    parameters: u64,
    multiply_adds: u64,
    stages: &'a [String],
    layers: Vec<Layer<'a>>,
}

#[derive(Serialize)]
struct Layer<'a> {
    name: &'a str,
    op: &'static str,
    shape: Vec<usize>,
    /// Whether the name is a module's, which stands for the value it returns.
    module: bool,
    /// Numbers per image with the default pool.
    width: usize,
    /// Multiply-adds of everything that runs to compute this value.
    multiply_adds: u64,
}

pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let architecture = zoo::find(&args.backbone)?;
    let graph = architecture.graph();
    let preprocessing = geometry::with_geometry(&architecture.preprocessing, args.size, None)?;
    let side = preprocessing.size as usize;
    let input = [architecture.input[0], side, side];
    let shapes = graph.shapes(input)?;
    let costs = graph.multiply_adds(&shapes);
    let layers: Vec<Layer> = graph
        .tap_names()
        .into_iter()
        .filter_map(|name| graph.find(name).map(|node| (name, node)))
        .map(|(name, node)| {
            let stored = Pool::default_for(shapes[node]).stored(shapes[node]).unwrap_or_default();
            Layer {
                name,
                op: graph.node(node).op.label(),
                shape: shapes[node].dims(),
                module: graph.node(node).name != name,
                width: stored.iter().product(),
                multiply_adds: graph.multiply_adds_to(&[node], &shapes),
            }
        })
        .collect();
    if args.json {
        table::print_json(&Listing {
            backbone: architecture.name,
            input,
            parameters: graph.parameter_count(),
            multiply_adds: costs.iter().sum(),
            stages: graph.stages(),
            layers,
        })?;
        return Ok(Outcome::Done);
    }
    println!(
        "{}: {} parameters, {} multiply-adds for {}, stages {}\n",
        architecture.name,
        table::short_count(graph.parameter_count()),
        table::short_count(costs.iter().sum()),
        Shape::Map(input),
        graph.stages().join(", "),
    );
    table::print(
        &["layer", "operation", ">C×H×W", ">pooled width", ">mult-adds up to here"],
        layers.iter().map(|layer| {
            let shape: Vec<String> = layer.shape.iter().map(ToString::to_string).collect();
            vec![
                layer.name.into(),
                if layer.module { format!("module, ends in {}", layer.op) } else { layer.op.into() },
                shape.join("×"),
                layer.width.to_string(),
                table::short_count(layer.multiply_adds),
            ]
        }),
    );
    Ok(Outcome::Done)
}
