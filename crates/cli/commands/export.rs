use crate::{Outcome, Usage, table};
use headstart_trainer::{Error, ExportFormat, Head, HeadKind};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Write a head as ONNX, or as arrays for NumPy
#[derive(clap::Args)]
#[command(after_help = "\
FILE.onnx is a graph that ONNX Runtime and others run: input features (N × width, f32, as they are in the cache), outputs
scores (N × classes, f32), label (N, int64, index of the class) and, for logistic and calibrated heads, probabilities. It
computes in double inside. Classes, layer, weights and preprocessing are the JSON text of the metadata key headstart_head.

FILE.npz has the arrays weight (classes × width) and bias, with scores = X @ weight.T + bias, and the texts classes, kind,
layer, provenance (JSON) and calibration (JSON: the map from scores to probabilities, null without); numpy.load reads it as
it is. A head of nearest neighbours (knn) goes to FILE.npz alone: vectors (rows × width, float32), labels, neighbors,
knn_metric and, if standardised, mean and scale.

Examples:
  headstart export heads/photos.head -o photos.onnx
  headstart export heads/photos.head -o photos.npz --json")]
pub struct Args {
    /// The head.
    head: PathBuf,
    /// Where to write it; the ending says the format.
    #[arg(short, long, value_name = "FILE.onnx|FILE.npz")]
    output: PathBuf,
    /// Print what was written as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Exported<'a> {
    output: &'a Path,
    format: &'static str,
    kind: HeadKind,
    layer: &'a str,
    width: usize,
    classes: &'a [String],
    bytes: u64,
}

pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    // A wrong ending is one of usage, whatever the head is.
    ExportFormat::of(&args.output).map_err(|error| Usage(error.to_string()))?;
    let head = Head::load(&args.head)?;
    let format = head.export(&args.output)?;
    let bytes =
        std::fs::metadata(&args.output).map_err(|source| Error::Io { path: args.output.clone(), source })?.len();
    let exported = Exported {
        output: &args.output,
        format: format.name(),
        kind: head.kind(),
        layer: &head.source.layer,
        width: head.width(),
        classes: head.classes(),
        bytes,
    };
    if args.json {
        table::print_json(&exported)?;
    } else {
        println!(
            "{}: {} on {}, {} features, {} classes, {}",
            exported.output.display(),
            exported.kind,
            exported.layer,
            exported.width,
            exported.classes.len(),
            table::short_bytes(bytes)
        );
    }
    Ok(Outcome::Done)
}
