use crate::Outcome;
use std::path::PathBuf;

/// Name what is in images, by a backbone's own ImageNet classifier
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  headstart weights get mobilenet_v2\n  headstart classify --backbone mobilenet_v2 photo.jpg"
)]
pub struct Args {
    #[command(flatten)]
    backbone: super::BackboneArgs,
    #[command(flatten)]
    device: super::DeviceArgs,
    /// The images.
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<PathBuf>,
    /// Classes to name for each image.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    top: u32,
    /// End with exit code 3 when an image could not be used.
    #[arg(long)]
    strict: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[cfg(not(feature = "torch"))]
pub fn run(_: &Args) -> anyhow::Result<Outcome> {
    Err(super::needs_torch("classify"))
}

#[cfg(feature = "torch")]
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    use headstart_extractor::backbone::Backbone;
    let named = &args.backbone;
    let backbone = Backbone::load(&named.backbone, &named.weights()?, named.size, named.resize()?)?;
    let (device, precision) = (args.device.device()?, args.device.precision()?);
    let predictions =
        headstart_scenarios::predict::classify(&backbone, &args.images, args.top as usize, device, precision)?;
    super::show_predictions(&predictions, args.json, args.strict)
}
