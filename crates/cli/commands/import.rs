use crate::Outcome;
use std::path::PathBuf;

/// Make a cache from vectors computed elsewhere (an .npz file)
#[derive(clap::Args)]
#[command(after_help = "\
The arrays of the .npz file: X (rows × width, floats), y (labels: class names or numbers, −1 for none), and optionally
split, paths and classes. The cache gets one layer, features:flatten.

Example:
  python -c \"import numpy as np; np.savez('f.npz', X=X, y=y)\"
  headstart import f.npz -o features/mine.h5")]
pub struct Args {
    /// The .npz file.
    #[arg(value_name = "FEATURES.npz")]
    npz: PathBuf,
    /// The cache to make.
    #[arg(short, long, value_name = "FILE.h5")]
    output: PathBuf,
}

pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    headstart_cache::import_npz(&args.npz, &args.output)?;
    let summary = headstart_cache::summarize(&args.output)?;
    let width = summary.layers.first().map_or(0, |layer| layer.width);
    println!("{}: {} rows × {width}, {} classes", args.output.display(), summary.rows.total, summary.classes.len());
    Ok(Outcome::Done)
}
