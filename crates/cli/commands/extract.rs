use crate::Outcome;
use std::path::PathBuf;

/// Run a frozen backbone over images and write the activations of chosen layers to a cache
#[derive(clap::Args)]
#[command(after_help = "\
IMAGES is a folder of class folders, a folder with train/ val/ test/ of such, a flat folder (no labels), or a CSV with
the columns path,label,split (an empty label or -1 is no label). The same command continues after an interruption, and computes only what is missing.

With --augment, images that are trained on (split train, or none) get several rows: view 0 is the image as it is, the others
are varied at random, by the seed, the image's path in the list and the number of the view alone. A cache can be given more views later, by
the same command with more of them. `headstart augment --preview` shows what they look like.

The precision is part of what a cache is: it decides the numbers, so a file is continued in its own. --dtype auto takes the
fastest that keeps every layer's cosine to f32 at 0.9995 or above on some of your images, which depends on the machine; so it
is not the default. --check prints those cosines. A bf16 or f16 that is asked for by name is used, with a warning where it does not.

Examples:
  headstart extract --images photos/ --backbone resnet18 --layers layer3,layer4 -o features/photos.h5
  headstart extract --images photos/ --backbone vgg16 --layers stages,features.29:grid2 -o features/vgg.h5
  headstart extract --images list.csv --backbone resnet50 --layers avgpool --device cuda:0 --dtype bf16 -o x.h5
  headstart extract --images photos/ --backbone resnet50 --layers stages --devices cuda:0,cuda:1 --dtype f16 -o x.h5
  headstart extract --images photos/ --backbone resnet50 --layers stages --dtype bf16 --check
  headstart extract --images photos/ --backbone resnet18 --layers layer4 --augment standard --views 8 -o views.h5")]
pub struct Args {
    /// Folder or CSV of images.
    #[arg(long, value_name = "PATH")]
    images: PathBuf,
    #[command(flatten)]
    backbone: super::BackboneArgs,
    /// Layers to store, separated by commas: NAME[:POOL], globs, stages, all (see `headstart layers`).
    #[arg(long, value_name = "SPECS", value_delimiter = ',', required = true)]
    layers: Vec<String>,
    /// The cache to write or extend.
    #[arg(short, long, value_name = "FILE.h5", required_unless_present = "check")]
    output: Option<PathBuf>,
    /// Write nothing: compare the layers in this --dtype with f32 on at most 16 of the images, and with f32 where nothing is
    /// folded or fused. Exit code 1 where a cosine is below 0.9995.
    #[arg(long, conflicts_with_all = ["output", "recipe", "store", "batch", "retry_failed", "strict"])]
    check: bool,
    #[command(flatten)]
    device: super::DeviceArgs,
    /// Spread batches over several GPUs: cuda:0,cuda:1.
    #[arg(long, value_name = "DEVICES", value_delimiter = ',', conflicts_with_all = ["device_text", "check"])]
    devices: Vec<String>,
    #[command(flatten)]
    augment: super::augment::AugmentArgs,
    /// Views of images in the other splits too (val, test), to be added up by `evaluate --sum-views`.
    #[arg(long, requires = "recipe")]
    test_views: bool,
    /// Precision of stored values [default: f32 for pooled vectors, f16 for raw maps].
    #[arg(long, value_name = "f32|f16")]
    store: Option<String>,
    /// Images per forward pass [default: 32 on the CPU, 256 on a GPU].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65536))]
    batch: Option<u32>,
    /// Decode JPEGs that are at least twice as large as needed at 1/2, 1/4 or 1/8 of their size: faster, and pixels differ a little.
    /// The cache remembers, and `predict` does the same.
    #[arg(long, conflicts_with = "recipe")]
    fast_decode: bool,
    /// Threads that decode, and on the CPU run the network [default: one for each processor].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    threads: Option<u32>,
    /// Only N images, spread evenly over the list.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// What to do with an image that cannot be decoded: skip keeps its row and the reason, fail stops.
    #[arg(long, value_name = "skip|fail", default_value = "skip", value_parser = ["skip", "fail"])]
    on_bad_image: String,
    /// Try the images again that failed in an earlier run.
    #[arg(long)]
    retry_failed: bool,
    /// End with exit code 3 when images were skipped.
    #[arg(long)]
    strict: bool,
    /// Print the summary as JSON.
    #[arg(long)]
    json: bool,
}

/// What `--devices` names: several have to be GPUs, which compute the same.
#[cfg(feature = "torch")]
fn devices(names: &[String]) -> anyhow::Result<Vec<headstart_extractor::engine::DeviceChoice>> {
    use headstart_extractor::engine::DeviceChoice;

    let devices: Vec<DeviceChoice> = super::parse_all(names)?;
    for (at, device) in devices.iter().enumerate() {
        if devices.len() > 1 && !matches!(device, DeviceChoice::Cuda(_)) {
            return Err(crate::Usage(format!("--devices: {} is no GPU; give cuda:0,cuda:1,…", names[at])).into());
        }
        if devices[..at].contains(device) {
            return Err(crate::Usage(format!("--devices: {} is given twice", names[at])).into());
        }
    }
    Ok(devices)
}

#[cfg(not(feature = "torch"))]
pub fn run(_: &Args) -> anyhow::Result<Outcome> {
    Err(super::needs_torch("extract"))
}

#[cfg(feature = "torch")]
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    use crate::{progress::Bar, table};
    use headstart_extractor::pipeline::{AugmentOptions, ExtractOptions, check, extract};

    let (device, also_on) = match devices(&args.devices)?.split_first() {
        Some((&first, others)) => (Some(first), others.to_vec()),
        None => (None, Vec::new()),
    };
    let options = ExtractOptions {
        images: args.images.clone(),
        backbone: args.backbone.backbone.clone(),
        weights: args.backbone.weights()?,
        layers: super::parse_all(&args.layers)?,
        // Without one, nothing is written.
        output: args.output.clone().unwrap_or_default(),
        device: device.map_or_else(|| args.device.device(), Ok)?,
        also_on,
        precision: args.device.precision_choice()?,
        store: args.store.as_deref().map(super::parse).transpose()?,
        batch: args.batch.map(|batch| batch as usize),
        limit: args.limit.map(|limit| limit as usize),
        size: args.backbone.size,
        resize: args.backbone.resize()?,
        augment: args.augment.chosen()?.map(|chosen| AugmentOptions {
            name: chosen.name,
            augmenter: chosen.augmenter,
            views: chosen.views,
            test_views: args.test_views,
        }),
        fail_on_bad_image: args.on_bad_image == "fail",
        retry_failed: args.retry_failed,
        fast_decode: args.fast_decode,
    };
    if let Some(threads) = args.threads {
        headstart_extractor::use_threads(threads as usize)?;
    }
    if args.check {
        let report = check(&options)?;
        if args.json {
            table::print_json(&report)?;
        } else {
            print_check(&report);
        }
        return if report.holds {
            Ok(Outcome::Done)
        } else {
            Err(anyhow::anyhow!("{} does not keep the features; use --dtype f32", report.precision))
        };
    }
    let bar = Bar::default();
    let stop = super::stop_on_signals()?;
    let summary = extract(&options, &bar, &stop);
    bar.finish();
    let summary = summary?;

    if args.json {
        table::print_json(&summary)?;
    } else {
        print(&summary);
    }
    Ok(match () {
        () if summary.interrupted => Outcome::Interrupted,
        () if args.strict && !summary.failed.is_empty() => Outcome::Skipped,
        () => Outcome::Done,
    })
}

/// How many rows there are, and where these are views, of how many images.
#[cfg(feature = "torch")]
fn rows(summary: &headstart_extractor::pipeline::Summary) -> String {
    match summary.images == summary.rows {
        true => format!("{} rows", summary.rows),
        false => format!("{} rows (views of {} images)", summary.rows, summary.images),
    }
}

/// How busy the stages were, and what would help.
#[cfg(feature = "torch")]
pub(super) fn bottleneck_line(bottleneck: &headstart_extractor::pipeline::Bottleneck) -> String {
    use headstart_extractor::pipeline::{Bottleneck, Stage};
    let Bottleneck { stage, read, decode, forward, write, advice } = bottleneck;
    let limit = match stage {
        Some(Stage::Read) => "reading files is the bottleneck",
        Some(Stage::Decode) => "decoding is the bottleneck",
        Some(Stage::Forward) => "the network is the bottleneck",
        Some(Stage::Write) => "writing is the bottleneck",
        None => "no stage is the bottleneck",
    };
    let percent = |share: &f64| format!("{:.0} %", 100.0 * share);
    format!(
        "busy: reading {}, decoding {}, network {}, writing {}; {limit}: {advice}",
        percent(read),
        percent(decode),
        percent(forward),
        percent(write)
    )
}

#[cfg(feature = "torch")]
fn print_check(report: &headstart_extractor::pipeline::CheckReport) {
    let row = |(fast, plain): (&headstart_extractor::engine::Agreement, &headstart_extractor::engine::Agreement)| {
        let mut row = vec![fast.layer.clone()];
        for agreement in [fast, plain] {
            row.push(format!("{:.7}", agreement.lowest));
            row.push(format!("{:.7}", agreement.mean));
            row.push(format!("{:.1e}", agreement.largest_difference));
        }
        row
    };
    let headings = ["layer", ">cosine to f32", ">mean", ">difference", ">cosine to plain f32", ">mean", ">difference"];
    crate::table::print(&headings, report.to_f32.iter().zip(&report.to_plain).map(row));
    println!(
        "{} in {} on {}, {} images: lowest cosine, mean, largest difference as a share of the largest value; plain: nothing folded or fused; {}",
        report.backbone,
        report.precision,
        report.device,
        report.images,
        if report.holds {
            format!("every cosine is at least {}", report.threshold)
        } else {
            format!("not every cosine is at least {}", report.threshold)
        },
    );
}

#[cfg(feature = "torch")]
fn print(summary: &headstart_extractor::pipeline::Summary) {
    let file = summary.output.display();
    let what = if summary.images == summary.rows { "images" } else { "views" };
    if summary.interrupted {
        println!(
            "interrupted after {} {what}; everything so far is in {file}, and the same command continues",
            summary.computed
        );
    } else if summary.computed == 0 {
        println!("{file} is complete: {}, {}", rows(summary), summary.layers.join(", "));
    } else {
        println!("{file}: {}, {}", rows(summary), summary.layers.join(", "));
    }
    if summary.computed > 0 {
        let seconds = &summary.seconds;
        println!(
            "{} {what} in {:.1} s ({:.1} {what}/s) on {} in {}",
            summary.computed,
            seconds.total,
            summary.rate,
            summary.device.as_deref().unwrap_or("cpu"),
            summary.precision,
        );
        if let Some(bottleneck) = &summary.bottleneck {
            println!("{}", bottleneck_line(bottleneck));
        }
    }
    if summary.unlisted > 0 {
        println!("{} rows of the cache are not in the list of images any more; they were kept", summary.unlisted);
    }
    if !summary.failed.is_empty() {
        println!(
            "{} images could not be used; `headstart inspect {file}` lists them with the reason",
            summary.failed.len()
        );
    }
}
