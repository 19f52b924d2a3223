use crate::{Outcome, Usage, table};
use headstart_extractor::{
    bench::{self, DecodeReport, Effort, Machine, Photos, Spread, WriteReport},
    images::{batch::Input, geometry},
};
use serde::Serialize;
use std::path::PathBuf;

/// Measure this machine: decoding, forward passes, writing, and whole extractions
#[derive(clap::Args)]
#[command(after_help = "\
What is measured: decode (image files to the pixels that a network sees, for each number of threads), forward (a backbone's pass
for each batch size, precision and device: the \"time per inference step\" of tables of models), write (vectors to a cache), extract
(everything together, which also says what holds it up).

Every number is the median of --repeats runs after one that warms up, with the slowest and the fastest beside it. Weights
are random, since their values do not change how long a pass takes: nothing is downloaded. Without --images, photographs of 500×375
pixels are made up. Close other programs first.

Examples:
  headstart bench
  headstart bench --what forward --backbone resnet50,mobilenet_v2 --batch 1,32 --dtype f32,bf16
  headstart bench --what forward --backbone all --json > forward.json
  headstart bench --what forward --backbone resnet50 --device cuda:0 --dtype f16,bf16,tf32 --batch 64,256
  headstart bench --what decode,extract --images photos/ --threads 1,2,4,8
  headstart bench --what write --folder /scratch/features")]
pub struct Args {
    /// What to measure, separated by commas.
    #[arg(long, value_name = "STAGES", value_delimiter = ',', default_value = "decode,forward,write,extract",
          value_parser = ["decode", "forward", "write", "extract"])]
    what: Vec<String>,
    /// Folder or CSV of images to decode and extract [default: made-up ones].
    #[arg(long, value_name = "PATH")]
    images: Option<PathBuf>,
    /// Images to decode and extract, at most (listed ones are spread evenly over the list).
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    limit: u32,
    /// Backbones to run, separated by commas; all for every one that `headstart models` lists.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "mobilenet_v2,resnet18,resnet50")]
    backbone: Vec<String>,
    /// Layers to hand out [default: forward the network's last, extract the last stage].
    #[arg(long, value_name = "SPECS", value_delimiter = ',')]
    layers: Vec<String>,
    /// Images per forward pass, separated by commas [default: what `extract` takes].
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=65536))]
    batch: Vec<u32>,
    /// Precisions, separated by commas: f32, bf16, f16, tf32 (what the device has; see `headstart doctor`).
    #[arg(long = "dtype", value_name = "DTYPES", value_delimiter = ',', default_value = "f32")]
    dtypes: Vec<String>,
    /// auto, cpu, cuda or cuda:N.
    #[arg(long = "device", value_name = "DEVICE", default_value = "auto")]
    device_text: String,
    /// Input side in pixels [default: each backbone's own; 224 for decode].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    size: Option<u32>,
    /// Numbers of threads to decode with, separated by commas [default: 1, 2, 4 and so on to all processors].
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=4096))]
    threads: Vec<u32>,
    /// Decode JPEGs that are at least twice as large as needed at a fraction of their size, as `extract --fast-decode` does.
    #[arg(long)]
    fast_decode: bool,
    /// Folder that `write` and `extract` write to; nothing stays there.
    #[arg(long, value_name = "DIR", default_value = ".")]
    folder: PathBuf,
    /// Megabytes that `write` writes.
    #[arg(long, value_name = "MB", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    megabytes: u32,
    /// How often each number is measured.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    repeats: u32,
    /// Least seconds of one repetition; shorter work is done several times.
    #[arg(long, value_name = "S", default_value_t = 0.3)]
    seconds: f64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    machine: Machine,
    #[serde(skip_serializing_if = "Option::is_none")]
    decode: Option<DecodeReport>,
    #[cfg(feature = "torch")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    forward: Vec<bench::ForwardRate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    write: Option<WriteReport>,
    #[cfg(feature = "torch")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    extract: Vec<bench::ExtractRate>,
}

pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    if !(0.0..=3600.0).contains(&args.seconds) {
        return Err(Usage(format!("--seconds {}: give a number from 0 to 3600", args.seconds)).into());
    }
    #[cfg(feature = "torch")]
    let requests = requests(args)?;
    #[cfg(not(feature = "torch"))]
    if let Some(stage) = args.what.iter().find(|stage| ["forward", "extract"].contains(&stage.as_str())) {
        return Err(super::needs_torch(&format!("bench --what {stage}")));
    }
    let machine = bench::machine();
    if !args.json {
        show_machine(&machine);
    }
    let stop = super::stop_on_signals()?;
    let effort = Effort { repeats: args.repeats as usize, seconds: args.seconds, stop: &stop };
    let wants = |stage: &str| args.what.iter().any(|asked| asked == stage);
    let spinner = crate::progress::Spinner::default();
    let tell = |what: String| spinner.tell(what);
    let limit = args.limit as usize;
    let photos = if wants("decode") || wants("extract") { Some(photos(args, limit)?) } else { None };
    let mut report = Report {
        machine,
        decode: None,
        #[cfg(feature = "torch")]
        forward: Vec::new(),
        write: None,
        #[cfg(feature = "torch")]
        extract: Vec::new(),
    };
    if let Some(photos) = photos.as_ref().filter(|_| wants("decode")) {
        let preprocessing = geometry::with_geometry(&geometry::imagenet(224), args.size, None)?;
        let input = Input { preprocessing: &preprocessing, augmenter: None, fast: args.fast_decode };
        report.decode = Some(bench::decode(photos, input, &threads(args, report.machine.threads), effort, &tell)?);
        show(args, &spinner, || report.decode.iter().for_each(show_decode));
    }
    #[cfg(feature = "torch")]
    if wants("forward") {
        for request in &requests {
            tell(format!("{} in {}", request.backbone, request.precision));
            report.forward.push(bench::forward(request, effort)?);
        }
        show(args, &spinner, || show_forward(&report.forward));
    }
    if wants("write") {
        report.write = Some(bench::write(&args.folder, args.megabytes as usize, effort, &tell)?);
        show(args, &spinner, || report.write.iter().for_each(show_write));
    }
    #[cfg(feature = "torch")]
    if let Some(photos) = photos.as_ref().filter(|_| wants("extract")) {
        for request in &requests {
            tell(format!("extracting with {} in {}", request.backbone, request.precision));
            report.extract.push(bench::extract(photos, Some(limit), request, &args.folder, effort)?);
        }
        show(args, &spinner, || show_extract(&report.extract));
    }
    spinner.finish();
    if args.json {
        table::print_json(&report)?;
    }
    Ok(Outcome::Done)
}

/// Every backbone with every precision and batch size.
#[cfg(feature = "torch")]
fn requests(args: &Args) -> anyhow::Result<Vec<bench::ForwardRequest>> {
    use headstart_extractor::{backbone::WeightsChoice, engine::Precision, zoo};
    let all = || zoo::all().iter().map(|architecture| architecture.name.to_string()).collect();
    let names: Vec<String> = if args.backbone == ["all"] { all() } else { args.backbone.clone() };
    let precisions: Vec<Precision> = super::parse_all(&args.dtypes)?;
    let batches: Vec<Option<usize>> =
        if args.batch.is_empty() { vec![None] } else { args.batch.iter().map(|&batch| Some(batch as usize)).collect() };
    let device = super::parse(&args.device_text)?;
    let layers = super::parse_all(&args.layers)?;
    let mut requests = Vec::new();
    for backbone in &names {
        zoo::find(backbone).map_err(|error| Usage(error.to_string()))?;
        for &precision in &precisions {
            requests.extend(batches.iter().map(|&batch| bench::ForwardRequest {
                backbone: backbone.clone(),
                weights: WeightsChoice::Random(0),
                device,
                precision,
                batch,
                size: args.size,
                layers: layers.clone(),
                fast_decode: args.fast_decode,
            }));
        }
    }
    Ok(requests)
}

fn photos(args: &Args, limit: usize) -> anyhow::Result<Photos> {
    Ok(match &args.images {
        Some(path) => Photos::listed(path, limit)?,
        None => Photos::made_up(limit)?,
    })
}

fn threads(args: &Args, available: usize) -> Vec<usize> {
    if !args.threads.is_empty() {
        return args.threads.iter().map(|&threads| threads as usize).collect();
    }
    let mut doubling: Vec<usize> = std::iter::successors(Some(1), |threads| Some(threads * 2))
        .take_while(|&threads| threads < available)
        .collect();
    doubling.push(available);
    doubling
}

fn show(args: &Args, spinner: &crate::progress::Spinner, print: impl FnOnce()) {
    if !args.json {
        spinner.pause(print);
    }
}

fn show_machine(machine: &Machine) {
    let libtorch = machine.libtorch.as_ref().map_or_else(String::new, |version| format!(", libtorch {version}"));
    println!(
        "{}, {} threads ({}), {} of memory{libtorch}, headstart {}",
        machine.cpu,
        machine.threads,
        machine.instructions.join(", "),
        table::short_bytes(machine.memory),
        machine.headstart
    );
    machine.gpus.iter().for_each(|gpu| println!("{gpu}"));
}

fn show_decode(report: &DecodeReport) {
    let fast = if report.fast { ", fast" } else { "" };
    println!("\ndecode: {}, to {} pixels{fast}", report.images, report.size);
    table::print(
        &[">threads", ">images/s", ">slowest–fastest", ">ms per image and thread"],
        report.rates.iter().map(|rate| {
            let one = format!("{:.2}", rate.ms_per_image.median);
            vec![rate.threads.to_string(), number(rate.images_per_second.median), range(rate.images_per_second), one]
        }),
    );
}

#[cfg(feature = "torch")]
fn show_forward(rates: &[bench::ForwardRate]) {
    println!("\nforward: 8-bit pixels in memory to the values of the layer");
    table::print(
        &[
            "backbone",
            ">MB",
            ">parameters",
            ">mult-adds",
            "device",
            "dtype",
            ">batch",
            ">ms per image",
            ">ms per step",
            ">images/s",
            ">slowest–fastest",
            ">GFLOP/s",
        ],
        rates.iter().map(|rate| {
            vec![
                rate.backbone.clone(),
                format!("{:.0}", rate.size_mb),
                table::short_count(rate.parameters),
                table::short_count(rate.multiply_adds),
                rate.device.clone(),
                rate.dtype.into(),
                rate.batch.to_string(),
                format!("{:.2}", rate.ms_per_image.median),
                format!("{:.1}", rate.ms_per_step.median),
                number(rate.images_per_second.median),
                range(rate.images_per_second),
                format!("{:.0}", rate.gflops),
            ]
        }),
    );
}

fn show_write(report: &WriteReport) {
    let WriteReport { folder, bytes, megabytes_per_second: rate, synced_megabytes_per_second: synced, .. } = report;
    println!("\nwrite: {} of vectors (2048 × f32) to {}", table::short_bytes(*bytes), folder.display());
    println!("{} MB/s ({}), {} rows/s", number(rate.median), range(*rate), number(report.rows_per_second.median));
    println!("{} MB/s ({}) until the disk has it", number(synced.median), range(*synced));
}

#[cfg(feature = "torch")]
fn show_extract(rates: &[bench::ExtractRate]) {
    println!("\nextract: {}", rates.first().map_or("", |rate| &rate.images));
    table::print(
        &[
            "backbone",
            "layers",
            "device",
            "dtype",
            ">images/s",
            ">slowest–fastest",
            ">decode %",
            ">forward %",
            ">write %",
        ],
        rates.iter().map(|rate| {
            let share = |of: fn(&headstart_extractor::pipeline::Bottleneck) -> f64| {
                rate.bottleneck
                    .as_ref()
                    .map_or_else(|| "–".into(), |bottleneck| format!("{:.0}", 100.0 * of(bottleneck)))
            };
            vec![
                rate.backbone.clone(),
                rate.layers.join(", "),
                rate.device.clone(),
                rate.dtype.into(),
                number(rate.images_per_second.median),
                range(rate.images_per_second),
                share(|bottleneck| bottleneck.read + bottleneck.decode),
                share(|bottleneck| bottleneck.forward),
                share(|bottleneck| bottleneck.write),
            ]
        }),
    );
    for rate in rates {
        if let Some(bottleneck) = &rate.bottleneck {
            println!("{} in {}: {}", rate.backbone, rate.dtype, super::extract::bottleneck_line(bottleneck));
        }
    }
}

/// Three digits or more.
fn number(value: f64) -> String {
    match value {
        v if v < 10.0 => format!("{v:.2}"),
        v if v < 100.0 => format!("{v:.1}"),
        v => format!("{v:.0}"),
    }
}

fn range(spread: Spread) -> String {
    format!("{}–{}", number(spread.low), number(spread.high))
}
