use crate::Outcome;
use std::path::PathBuf;

/// Classify images with a trained head
#[derive(clap::Args)]
#[command(after_help = "\
The head names backbone, weights, layer and preprocessing; the extraction is rebuilt exactly, and other weights are
refused.

Examples:
  headstart predict heads/photos.head new/*.jpg
  headstart predict heads/photos.head new/*.jpg --json")]
pub struct Args {
    /// The head.
    head: PathBuf,
    /// The images.
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<PathBuf>,
    /// The weights the head was trained with, when they are not in the weights cache: a file, or random:SEED.
    #[arg(long = "weights", value_name = "FILE|random:SEED")]
    weights_text: Option<String>,
    /// auto, cpu, cuda or cuda:N.
    #[arg(long = "device", value_name = "DEVICE", default_value = "auto")]
    device_text: String,
    /// End with exit code 3 when an image could not be used.
    #[arg(long)]
    strict: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[cfg(not(feature = "torch"))]
pub fn run(_: &Args) -> anyhow::Result<Outcome> {
    Err(super::needs_torch("predict"))
}

#[cfg(feature = "torch")]
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let head = headstart_trainer::Head::load(&args.head)?;
    let weights = args.weights_text.as_deref().map(super::parse).transpose()?.unwrap_or_default();
    let device = super::parse(&args.device_text)?;
    let predictions = headstart_scenarios::predict::predict(&head, &args.images, &weights, device)?;
    super::show_predictions(&predictions, args.json, args.strict)
}
