//! What a run will take, told before it starts: bytes from the widths, time from a few real images.

use super::{
    ExtractError,
    lanes::Lanes,
    run::{Run, Source},
    segments::Segment,
    stored_as,
};
use crate::{
    engine::Engine,
    graph::Tap,
    images::{batch, pixels::Buffers},
};
use headstart_cache::{Cache, RowSpec, Store};
use serde::Serialize;
use std::{collections::HashSet, path::Path, time::Instant};

/// Images the measurement looks at, at most.
const SAMPLE: usize = 8;
/// It looks at one image in this many, so that it costs a fraction of the run.
const ONE_IN: usize = 8;
/// A first pass of fewer seconds is repeated, as it may have gone mostly into memory; a longer one is measure enough.
const SHORT_PASS: f64 = 0.2;

/// Size and time of what is about to be computed.
#[derive(Debug, Clone, Serialize)]
pub struct Estimate {
    /// Rows to compute.
    pub rows: usize,
    /// Whether several of them may be views of one image.
    pub views: bool,
    /// Rows of the file that need nothing.
    pub already: usize,
    /// Bytes the new values take on disk.
    pub bytes: u64,
    /// Expected seconds; none where the images looked at cannot be used.
    pub seconds: Option<f64>,
}

/// Measures the first piece on a few of its images.
pub fn measure(run: &Run, pieces: &[Segment], engine: &Engine, sources: &[Source]) -> Result<Estimate, ExtractError> {
    let rows: usize = pieces.iter().map(|piece| piece.rows.len()).sum();
    let bytes: u64 = pieces
        .iter()
        .map(|piece| piece.rows.len() as u64 * piece.layers.iter().map(|&layer| run.row_bytes[layer]).sum::<u64>())
        .sum();
    let seconds = seconds_per_row(run, engine, sources)?.map(|seconds| seconds * rows as f64);
    let views = sources.iter().any(|source| source.view > 0);
    Ok(Estimate { rows, views, already: run.listed.len().saturating_sub(rows), bytes, seconds })
}

/// How many bytes of activations the file lacks; none for one that has every row of every tap.
pub fn missing_bytes(existing: Option<&Cache>, taps: &[Tap], store: Option<Store>, wanted: &[RowSpec]) -> u64 {
    let known: HashSet<(&str, u32)> = existing
        .iter()
        .flat_map(|cache| cache.rows().path.iter().map(String::as_str).zip(cache.rows().view.iter().copied()))
        .collect();
    let new = wanted.iter().filter(|row| !known.contains(&(row.path.as_str(), row.view))).count();
    let rows = known.len() + new;
    taps.iter()
        .map(|tap| {
            let layer = existing.as_ref().and_then(|cache| cache.find_layer(&tap.dataset()).ok());
            let missing = rows - layer.map_or(0, |layer| layer.committed.min(rows));
            (missing * tap.width() * stored_as(tap, store).size()) as u64
        })
        .sum()
}

/// Checks that what is missing fits on the disk, before anything is made.
pub fn check_space(output: &Path, missing: u64) -> Result<(), ExtractError> {
    match free_bytes(output) {
        Some(free) if missing > free => Err(ExtractError::NoSpace {
            path: output.to_path_buf(),
            needed_mb: missing.div_ceil(1_000_000),
            free_mb: free / 1_000_000,
        }),
        _ => Ok(()),
    }
}

/// Seconds a row takes when decoding and the forward pass overlap: the slower of the two.
fn seconds_per_row(run: &Run, engine: &Engine, sources: &[Source]) -> Result<Option<f64>, ExtractError> {
    // Two at least: the only one might be broken.
    let size = (sources.len() / ONE_IN).clamp(2, SAMPLE);
    let step = (sources.len() / size).max(1);
    let sample: Vec<batch::View> = sources.iter().step_by(step).take(size).map(Source::view).collect();
    let batch = batch::decode(0, &sample, run.input(), &Buffers::default());
    let good = batch.failures.iter().filter(|failure| failure.is_none()).count();
    if good == 0 {
        return Ok(None);
    }
    let decode = batch.seconds / rayon::current_num_threads() as f64 / sample.len() as f64;
    let lanes = Lanes::new(engine, run.device);
    let pass = || {
        let start = Instant::now();
        lanes.run(&batch.pixels).map(|_| start.elapsed().as_secs_f64())
    };
    let first = pass()?;
    // On a GPU the first pass loads and chooses kernels, which can take seconds.
    let forward = if first < SHORT_PASS || run.device.is_cuda() { pass()? } else { first } / good as f64;
    // The sample may be too small for all workers.
    let forward = forward * lanes.busy(good) as f64 / (lanes.workers() * (1 + run.others.len())) as f64;
    // On the CPU both share the same cores.
    Ok(Some(if run.device.is_cuda() { decode.max(forward) } else { decode + forward }))
}

/// Free bytes on the disk that holds `path`, or none where the system does not say.
fn free_bytes(path: &Path) -> Option<u64> {
    use std::os::unix::ffi::OsStrExt;
    // The folder may not be there yet; the disk is that of the first one above that is.
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = parent.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("."));
    let name = std::ffi::CString::new(folder.as_os_str().as_bytes()).ok()?;
    // SAFETY: statvfs is plain data, and the name is a valid C string.
    let mut stats: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are valid for the call.
    let failed = unsafe { libc::statvfs(name.as_ptr(), &mut stats) } != 0;
    (!failed).then(|| stats.f_bavail as u64 * stats.f_frsize as u64)
}
