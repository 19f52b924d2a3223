use crate::{Outcome, table};
use headstart_extractor::{
    weights::{self, sources::Part},
    zoo,
};
use serde::Serialize;

/// Say what was found on this machine, and what is wrong
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  headstart doctor\n  headstart doctor --json")]
pub struct Args {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    version: &'static str,
    #[cfg(feature = "torch")]
    torch: headstart_extractor::engine::DeviceReport,
    libraries: Vec<String>,
    weights_folder: String,
    weights: Vec<String>,
    problems: Vec<String>,
}

pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let report = examine();
    if args.json {
        table::print_json(&report)?;
        return Ok(Outcome::Done);
    }
    println!("headstart {}", report.version);
    #[cfg(feature = "torch")]
    print_torch(&report.torch);
    #[cfg(not(feature = "torch"))]
    println!("libtorch      built without it: extract, classify and predict with images are not available");
    println!("libraries     {}", report.libraries.join(", "));
    println!(
        "weights       {} ({})",
        report.weights_folder,
        if report.weights.is_empty() { "empty".into() } else { report.weights.join(", ") }
    );
    for problem in &report.problems {
        println!("problem       {problem}");
    }
    if report.problems.is_empty() {
        println!("no problems found");
    }
    Ok(Outcome::Done)
}

fn examine() -> Report {
    let mut problems = Vec::new();
    let folder = match weights::cache_folder() {
        Ok(folder) => folder.display().to_string(),
        Err(error) => {
            problems.push(error.to_string());
            "none".into()
        }
    };
    let stored: Vec<String> = weights::list().iter().filter_map(|listed| stored(listed, &mut problems)).collect();
    if stored.is_empty() {
        problems.push("no pretrained weights yet; get some with: headstart weights get resnet18".to_string());
    }
    #[cfg(feature = "torch")]
    let torch = {
        let torch = headstart_extractor::engine::report();
        if let (true, Some(reason)) = (torch.nvidia_driver, &torch.cuda_problem) {
            problems.push(format!("an NVIDIA driver is here but CUDA cannot be used: {reason}"));
        }
        torch
    };
    Report {
        version: env!("CARGO_PKG_VERSION"),
        #[cfg(feature = "torch")]
        torch,
        libraries: vec![
            format!("HDF5 {} (built in)", headstart_cache::hdf5_version()),
            headstart_extractor::images::DECODER.into(),
        ],
        weights_folder: folder,
        weights: stored,
        problems,
    }
}

/// A backbone whose weights are on this machine, and what of it there is. Headers and lengths are looked at: reading
/// every number would take a minute for all of them.
fn stored(listed: &weights::Listed, problems: &mut Vec<String>) -> Option<String> {
    let (path, backbone) = (listed.cached.as_ref()?, listed.sources.backbone);
    let graph = zoo::find(backbone).ok()?.graph();
    Some(match (weights::outline(path, &graph), listed.cached_part) {
        (Ok(Some(_)), Some(Part::Convolutional)) => format!("{backbone} (convolutional part)"),
        (Ok(Some(_)), _) => backbone.to_string(),
        (outline, _) => {
            let reason =
                outline.err().map_or("cut short, or not the weights of this backbone".into(), |e| e.to_string());
            problems.push(format!(
                "{}: {reason}; remove it and get it again with: headstart weights get {backbone}",
                path.display()
            ));
            format!("{backbone} (damaged)")
        }
    })
}

#[cfg(feature = "torch")]
fn print_torch(torch: &headstart_extractor::engine::DeviceReport) {
    println!(
        "libtorch      {} in {}",
        torch.libtorch_version.as_deref().unwrap_or("of unknown version"),
        torch.libtorch.as_deref().unwrap_or("?")
    );
    println!("CPU           {} threads; precisions {}", torch.threads, torch.cpu_precisions.join(", "));
    match (&torch.cuda_problem, torch.cuda_devices) {
        (None, devices) => println!(
            "CUDA          {devices} device(s), cuDNN {}; precisions f32, f16, and from compute capability 8.0 on tf32, bf16",
            torch.cudnn.unwrap_or(0)
        ),
        (Some(reason), _) if torch.nvidia_driver => println!("CUDA          not usable: {reason}"),
        (Some(_), _) => println!("CUDA          no NVIDIA driver on this machine"),
    }
    for gpu in &torch.gpus {
        println!("GPU           {gpu}");
    }
}
