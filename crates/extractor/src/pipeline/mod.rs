//! Images to a cache: decode workers → batches → device → pooled taps → writer, all overlapped, with bounded queues, so
//! that memory does not grow with the number of images.

mod accelerator;
mod ahead;
mod bottleneck;
mod check;
mod complete;
mod decode;
mod estimate;
mod forward;
pub(crate) mod lanes;
mod precision;
mod run;
mod segments;
mod vectors;

pub use crate::images::batch::View;
pub use bottleneck::{Bottleneck, Stage};
pub use check::{CheckReport, check};
pub use estimate::Estimate;
pub use precision::PrecisionChoice;
pub use vectors::for_each_vector;

use crate::{
    backbone::{Backbone, BackboneError, WeightsChoice},
    engine::{self, DeviceChoice, DeviceError, EngineError, Precision},
    graph::{LayerSpec, SelectError, Tap},
    images::{self, Item, ListError, Listing, augment::Augmenter},
};
use headstart_cache::{
    Augmentation, Cache, Error as CacheError, FORMAT_VERSION, LayerDesc, Outline, Provenance, Resize, RowSpec, Status,
    Store, Writer,
};
use serde::Serialize;
use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
    time::Instant,
};

/// What `headstart extract` was asked to do.
#[derive(Debug, Clone)]
pub struct ExtractOptions {
    /// Folder or CSV of images.
    pub images: PathBuf,
    /// Name in the zoo.
    pub backbone: String,
    /// Where its weights come from.
    pub weights: WeightsChoice,
    /// The layers, as typed.
    pub layers: Vec<LayerSpec>,
    /// The cache to make or extend.
    pub output: PathBuf,
    /// Where to compute.
    pub device: DeviceChoice,
    /// Further devices that batches are spread over; what is first chosen for one device is chosen for `device`.
    pub also_on: Vec<DeviceChoice>,
    /// Precision of the forward pass.
    pub precision: PrecisionChoice,
    /// Precision of the stored values; none: f32 for pooled vectors, f16 for raw maps.
    pub store: Option<Store>,
    /// Images per forward pass; none: 32 on the CPU, 256 on a GPU.
    pub batch: Option<usize>,
    /// Only this many images, spread evenly over the listing.
    pub limit: Option<usize>,
    /// Input side in pixels, instead of the weights' own.
    pub size: Option<u32>,
    /// Geometry, instead of the weights' own.
    pub resize: Option<Resize>,
    /// Views of the images; none: each image as it is.
    pub augment: Option<AugmentOptions>,
    /// Stop at the first broken image instead of noting it.
    pub fail_on_bad_image: bool,
    /// Try the images again that failed in an earlier run.
    pub retry_failed: bool,
    /// Decode large JPEGs at a fraction of their size; not for augmented views, which look at parts of an image.
    pub fast_decode: bool,
}

/// Which views images get.
#[derive(Debug, Clone)]
pub struct AugmentOptions {
    /// What people call the recipe.
    pub name: String,
    /// What makes the views.
    pub augmenter: Augmenter,
    /// Views per image, the image itself included.
    pub views: u32,
    /// Whether images that are not trained on get them too.
    pub test_views: bool,
}

/// Told what is going on; the command line draws bars from it.
pub trait Progress: Sync {
    /// Before the first batch: how much there is to do and what it will take.
    fn begin(&self, plan: &Estimate);
    /// Another `rows` rows are committed.
    fn advance(&self, rows: usize);
    /// An image cannot be used.
    fn bad_image(&self, path: &str, reason: &str);
}

/// Why an extraction did not finish.
#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
    /// The images cannot be listed.
    #[error(transparent)]
    List(#[from] ListError),
    /// The backbone or its weights.
    #[error(transparent)]
    Backbone(#[from] BackboneError),
    /// A layer spec.
    #[error(transparent)]
    Select(#[from] SelectError),
    /// The cache file.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The device or precision.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The forward pass.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A broken image, with `--on-bad-image fail`.
    #[error("{path}: {reason}; the batches before it are kept, and --on-bad-image skip goes on without it")]
    BadImage {
        /// The image.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An image that other layers were computed from is gone.
    #[error(
        "{path}: {reason}; other layers of the cache were computed from this image, so it cannot be skipped: put it back \
         (were the images moved?), or write to another file with -o"
    )]
    Vanished {
        /// The image.
        path: String,
        /// Why it cannot be read now.
        reason: String,
    },
    /// The rows cannot fit on the disk.
    #[error("{}: the activations need {needed_mb} MB more and the disk has {free_mb} MB free; extract fewer layers, use --store f16, or write elsewhere with -o", .path.display())]
    NoSpace {
        /// The cache.
        path: PathBuf,
        /// MB (1e6 bytes) still to be written.
        needed_mb: u64,
        /// MB free.
        free_mb: u64,
    },
    /// Nothing to compare a precision on.
    #[error("{}: none of the images looked at can be decoded, so there is nothing to check", .path.display())]
    NothingToCheck {
        /// What was listed.
        path: PathBuf,
    },
    /// A part of the pipeline stopped without saying why.
    #[error("the {0} thread stopped unexpectedly")]
    Lost(&'static str),
}

/// Seconds that each stage was at work; stages overlap, so they add up to more than the total.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct StageSeconds {
    /// Reading, decoding and resizing, summed over the workers.
    pub decode: f64,
    /// The part of it that went into reading files.
    pub read: f64,
    /// Workers that shared the decoding.
    pub decode_workers: usize,
    /// Forward pass, with upload and pooling, summed over its workers.
    pub forward: f64,
    /// Workers that shared the forward pass: on the CPU those that decode, on a GPU one.
    pub forward_workers: usize,
    /// The forward pass waiting for images: large when decoding is the bottleneck.
    pub waited: f64,
    /// Writing and flushing.
    pub write: f64,
    /// From start to end, loading left out.
    pub total: f64,
}

/// What an extraction did.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// The cache.
    pub output: PathBuf,
    /// Rows in it: one for each view of an image.
    pub rows: usize,
    /// Images in it.
    pub images: usize,
    /// Rows computed by this run.
    pub computed: usize,
    /// Datasets asked for, `layer:pool`.
    pub layers: Vec<String>,
    /// Where it was computed; none when there was nothing to do.
    pub device: Option<String>,
    /// The precision of the forward pass.
    pub precision: &'static str,
    /// Images that could not be used, with the reason.
    pub failed: Vec<(String, String)>,
    /// Rows in the cache that are not listed any more.
    pub unlisted: usize,
    /// Whether a signal ended the run early.
    pub interrupted: bool,
    /// Images per second of this run.
    pub rate: f64,
    /// Where the time went.
    pub seconds: StageSeconds,
    /// What held the run up; none when there was nothing to do.
    pub bottleneck: Option<Bottleneck>,
}

impl Summary {
    /// Of a run that has not done anything (yet).
    fn nothing_done(output: &Path, taps: &[Tap], precision: Precision, rows: usize, images: usize) -> Self {
        Self {
            output: output.to_path_buf(),
            rows,
            images,
            computed: 0,
            layers: taps.iter().map(Tap::dataset).collect(),
            device: None,
            precision: precision.name(),
            failed: Vec::new(),
            unlisted: 0,
            interrupted: false,
            rate: 0.0,
            seconds: StageSeconds::default(),
            bottleneck: None,
        }
    }
}

/// Extracts; rows committed earlier are kept, and only what is missing is computed. When `stop` becomes true the batches
/// under way are committed and the summary says `interrupted`.
///
/// # Errors
/// See [`ExtractError`]. Whatever was committed before stays readable, and the same call continues from there.
pub fn extract(options: &ExtractOptions, progress: &dyn Progress, stop: &AtomicBool) -> Result<Summary, ExtractError> {
    let mut backbone = Backbone::describe(&options.backbone, &options.weights, options.size, options.resize)?;
    let taps = backbone.select(&options.layers)?;
    let mut listing = None;
    if let Some(summary) = complete::summary(options, &backbone, &taps, &mut listing)? {
        return Ok(summary);
    }
    let listing = listing.map_or_else(|| listed(options), Ok)?;
    let existing = options.output.exists().then(|| Cache::open(&options.output).ok()).flatten();
    let wanted = wanted_rows(&listing, options.augment.as_ref());
    let (specs, files): (Vec<RowSpec>, Vec<&Path>) = wanted.into_iter().unzip();
    let missing = estimate::missing_bytes(existing.as_ref(), &taps, options.store, &specs);
    drop(existing);
    // Weights that will run are found sound before a file is touched; a complete file does not need their numbers.
    if missing > 0 || !options.output.exists() {
        backbone.read_weights()?;
    }
    // A new file is made only when it can be filled; an existing one is opened first, because a complete one needs no device.
    let (precision, early_device) = decide(options, &backbone, &taps, &files)?;
    let provenance = provenance(&backbone, options, precision, &listing.root);
    estimate::check_space(&options.output, missing)?;
    let (mut writer, ids) = Writer::open_or_create(&options.output, &provenance, &specs, &listing.classes)?;
    let end = ids.iter().copied().max().map_or(0, |last| last + 1);
    let failed_before = writer.rows().with_status(Status::Failed);
    let retry = options.retry_failed && !failed_before.is_empty();
    let there = |tap: &Tap| writer.layers().any(|(_, info)| info.name == tap.dataset() && info.committed >= end);
    let device = match early_device {
        Some(device) => Some(device),
        None if !retry && taps.iter().all(there) => None,
        None => Some(engine::resolve(options.device, precision)?),
    };
    if let Some(device) = device {
        backbone.read_weights()?;
        // What `auto` has chosen for a new file has been judged.
        let judged = options.precision == PrecisionChoice::Auto && early_device.is_some();
        if precision::is_reduced(precision) && !judged {
            let judged = precision::judge(&backbone, &taps, &files, device, precision)?;
            if let Some(reason) = precision::objection(precision, &judged) {
                tracing::warn!(
                    "the features are not those of f32: {reason}; --dtype f32 gives them, `extract --check` says more"
                );
            }
        }
    }

    let others = match device {
        Some(_) => options.also_on.iter().map(|&other| engine::resolve(other, precision)).collect::<Result<_, _>>()?,
        None => Vec::new(),
    };
    let planned = device.iter().chain(&others).map(|&device| device_name(device)).collect::<Vec<_>>().join(",");
    let descs: Vec<LayerDesc> = taps.iter().map(|tap| layer_desc(tap, options.store, &planned)).collect();
    let layers = writer.add_layers(&descs)?;
    let committed: Vec<usize> = layers.iter().map(|&layer| writer.committed(layer)).collect();
    let pieces = segments::segments(&committed, end);
    let row_bytes: Vec<u64> =
        taps.iter().zip(&descs).map(|(tap, desc)| (tap.width() * desc.store.size()) as u64).collect();
    let mut listed: Vec<Option<&Path>> = vec![None; writer.rows().len()];
    ids.iter().zip(&files).for_each(|(&row, &file)| listed[row] = Some(file));
    let names: HashSet<&str> = specs.iter().map(|spec| spec.path.as_str()).collect();

    let images = writer.rows().path.iter().collect::<HashSet<_>>().len();
    let mut summary = Summary::nothing_done(&options.output, &taps, precision, writer.rows().len(), images);
    summary.unlisted = writer.rows().path[..end].iter().filter(|name| !names.contains(name.as_str())).count();
    if let Some(device) = device.filter(|_| retry || !pieces.is_empty()) {
        summary.device = Some(planned);
        let run = run::Run {
            backbone: &backbone,
            taps: &taps,
            layers: &layers,
            row_bytes: &row_bytes,
            listed: &listed,
            root: &listing.root,
            augmenter: options.augment.as_ref().map(|augment| &augment.augmenter),
            device,
            others: &others,
            precision,
            batch: options.batch.unwrap_or(lanes::default_batch(device)).max(1),
            fast_decode: options.fast_decode,
            fail_on_bad_image: options.fail_on_bad_image,
            progress,
            stop,
        };
        let start = Instant::now();
        writer = run.execute(writer, &pieces, &mut summary)?;
        if retry && !summary.interrupted {
            run.retry(&mut writer, &failed_before, &mut summary)?;
        }
        summary.seconds.total = start.elapsed().as_secs_f64();
        summary.rate = summary.computed as f64 / summary.seconds.total.max(1e-9);
        let faster = Some(precision::fastest(device)).filter(|&fastest| fastest != Precision::F32);
        summary.bottleneck = Some(bottleneck::judge(&summary.seconds, device.is_cuda(), precision, faster));
    }
    let rows = writer.rows();
    let mut told = HashSet::new();
    summary.failed = (0..rows.len())
        .filter(|&row| rows.status[row] == Status::Failed && told.insert(&rows.path[row]))
        .map(|row| (rows.path[row].clone(), rows.error[row].clone()))
        .collect();
    writer.finish()?;
    match summary.failed.first() {
        Some((path, reason)) if options.fail_on_bad_image => {
            Err(ExtractError::BadImage { path: path.clone(), reason: reason.clone() })
        }
        _ => Ok(summary),
    }
}

/// The images of the run, with a warning of what was passed over.
fn listed(options: &ExtractOptions) -> Result<Listing, ListError> {
    let mut listing = images::list(&options.images)?;
    for folder in &listing.empty {
        tracing::warn!("{}: the folder {folder} holds no image, so it is no class", options.images.display());
    }
    if listing.ignored > 0 {
        let extensions = images::listing::EXTENSIONS.join(", ");
        tracing::warn!("{} files were passed over, because they do not end in {extensions}", listing.ignored);
    }
    if let Some(limit) = options.limit {
        listing.limit(limit);
    }
    Ok(listing)
}

/// A device as `--device` names it.
pub(crate) fn device_name(device: tch::Device) -> String {
    match device {
        tch::Device::Cuda(index) => format!("cuda:{index}"),
        _ => "cpu".to_string(),
    }
}

/// Lets the allocator keep what a batch frees for the next one. By default glibc returns large blocks to the system, which
/// then clears every page anew for the same activations of the next batch: a tenth of the time on the CPU.
fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: mallopt only sets parameters of the allocator, under its own lock.
    unsafe {
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
    }
}

/// The precision of the run, and its device where the file is new. `auto` keeps to the precision of a file that is there; for
/// a new one it takes the fastest that gives the features of f32.
fn decide(
    options: &ExtractOptions,
    backbone: &Backbone,
    taps: &[Tap],
    files: &[&Path],
) -> Result<(Precision, Option<tch::Device>), ExtractError> {
    if options.output.exists() {
        return Ok((options.precision.of_file(&Outline::read(&options.output)?.provenance), None));
    }
    if let PrecisionChoice::Is(precision) = options.precision {
        return Ok((precision, Some(engine::resolve(options.device, precision)?)));
    }
    let device = engine::resolve(options.device, Precision::F32)?;
    let fastest = precision::fastest(device);
    if fastest == Precision::F32 {
        return Ok((fastest, Some(device)));
    }
    let judged = precision::judge(backbone, taps, files, device, fastest)?;
    Ok(match precision::objection(fastest, &judged) {
        None => (fastest, Some(device)),
        Some(reason) => {
            tracing::warn!("--dtype auto computes in f32: {reason}");
            (Precision::F32, Some(device))
        }
    })
}

fn provenance(backbone: &Backbone, options: &ExtractOptions, precision: Precision, root: &Path) -> Provenance {
    Provenance {
        format_version: FORMAT_VERSION,
        tool_version: env!("CARGO_PKG_VERSION").into(),
        backbone: backbone.architecture.name.into(),
        weights: backbone.weights_id(),
        preprocessing: Some(backbone.preprocessing.clone()),
        decoder: Some(if options.fast_decode { images::FAST_DECODER } else { images::DECODER }.into()),
        compute_dtype: precision.name().into(),
        augmentation: options.augment.as_ref().map_or_else(Augmentation::none, AugmentOptions::describe),
        images: Some(std::path::absolute(root).unwrap_or_else(|_| root.to_path_buf()).display().to_string()),
    }
}

impl AugmentOptions {
    fn describe(&self) -> Augmentation {
        self.augmenter.describe(&self.name, self.views)
    }

    /// How many views an image of a split gets: those of images that are trained on only, unless others are wanted too.
    fn views_of(&self, split: &str) -> u32 {
        let trains = split.is_empty() || split == "train";
        if trains || self.test_views { self.views } else { 1 }
    }
}

/// The rows that the listed images should have, view after view, each with its file.
fn wanted_rows<'a>(listing: &'a Listing, augment: Option<&AugmentOptions>) -> Vec<(RowSpec, &'a Path)> {
    let of_image = |item: &'a Item| {
        let label = item.label.map_or(-1, |label| label as i32);
        (0..augment.map_or(1, |augment| augment.views_of(&item.split))).map(move |view| {
            let spec = RowSpec { path: item.name.clone(), label, split: item.split.clone(), view };
            (spec, item.path.as_path())
        })
    };
    listing.items.iter().flat_map(of_image).collect()
}

fn layer_desc(tap: &Tap, store: Option<Store>, device: &str) -> LayerDesc {
    LayerDesc {
        layer: tap.layer.clone(),
        pool: tap.pool.name().into(),
        shape: tap.shape.dims(),
        stored: tap.stored.clone(),
        store: stored_as(tap, store),
        device: device.into(),
        tool_version: env!("CARGO_PKG_VERSION").into(),
    }
}

/// How a tap's values are stored: as asked for, else maps as f16 and vectors as f32.
fn stored_as(tap: &Tap, asked: Option<Store>) -> Store {
    asked.unwrap_or(if tap.stored.len() > 1 { Store::F16 } else { Store::F32 })
}
