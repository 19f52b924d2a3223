//! Vectors to a cache file, in megabytes per second.

use super::{BenchError, Effort, Spread, timing};
use headstart_cache::{
    Augmentation, FORMAT_VERSION, LayerDesc, Provenance, RowOutcome, RowSpec, Store, WeightsId, Writer,
};
use serde::Serialize;
use std::{
    path::{Path, PathBuf},
    time::Instant,
};

/// Values of each row: the width of ResNet-50's last stage.
const WIDTH: usize = 2048;
/// Rows that are written and committed together, as in an extraction on a GPU.
const BATCH: usize = 256;

/// How fast a cache is written.
#[derive(Debug, Clone, Serialize)]
pub struct WriteReport {
    /// The folder that was written to.
    pub folder: PathBuf,
    /// Bytes of values in the file.
    pub bytes: u64,
    /// MB (10⁶ bytes) of values per second into the system's memory, as an extraction waits for it.
    pub megabytes_per_second: Spread,
    /// The same until the disk has everything.
    pub synced_megabytes_per_second: Spread,
    /// Rows of 2048 values per second.
    pub rows_per_second: Spread,
}

/// Writes about `megabytes` of vectors to a cache in `folder`, which is removed afterwards.
///
/// # Errors
/// When the folder cannot be written to.
pub fn write(
    folder: &Path,
    megabytes: usize,
    effort: Effort,
    tell: &dyn Fn(String),
) -> Result<WriteReport, BenchError> {
    let fail = |reason: std::io::Error| BenchError::File { path: folder.to_path_buf(), reason: reason.to_string() };
    std::fs::create_dir_all(folder).map_err(fail)?;
    let place = tempfile::tempdir_in(folder).map_err(fail)?;
    let path = place.path().join("bench.h5");
    let rows = (megabytes * 1_000_000).div_ceil(WIDTH * 4).max(1);
    let bytes = (rows * WIDTH * 4) as u64;
    let specs: Vec<RowSpec> = (0..rows)
        .map(|row| RowSpec { path: format!("{row:08}.jpg"), label: -1, split: String::new(), view: 0 })
        .collect();
    let values: Vec<f32> = (0..BATCH * WIDTH).map(|value| (value % 1009) as f32 * 0.001).collect();
    let (mut plain, mut synced) = (Vec::new(), Vec::new());
    for turn in 0..=effort.repeats.max(1) {
        tell(format!("writing {megabytes} MB to {}", folder.display()));
        effort.check()?;
        let seconds = once(&path, &specs, &values).and_then(|seconds| {
            let start = Instant::now();
            std::fs::File::open(&path).and_then(|file| file.sync_all()).map_err(fail)?;
            Ok((seconds, seconds + start.elapsed().as_secs_f64()))
        });
        std::fs::remove_file(&path).map_err(fail)?;
        let (until_written, until_synced) = seconds?;
        // The first one warms up.
        if turn > 0 {
            plain.push(until_written);
            synced.push(until_synced);
        }
    }
    let (plain, synced) = (timing::Spread::of(plain), timing::Spread::of(synced));
    Ok(WriteReport {
        folder: folder.to_path_buf(),
        bytes,
        megabytes_per_second: plain.inverse(bytes as f64 * 1e-6),
        synced_megabytes_per_second: synced.inverse(bytes as f64 * 1e-6),
        rows_per_second: plain.inverse(rows as f64),
    })
}

/// Seconds that the rows take, the file's beginning and end left out.
fn once(path: &Path, specs: &[RowSpec], values: &[f32]) -> Result<f64, BenchError> {
    let provenance = Provenance {
        format_version: FORMAT_VERSION,
        tool_version: env!("CARGO_PKG_VERSION").into(),
        backbone: "bench".into(),
        weights: WeightsId { source: "none".into(), sha256: String::new() },
        preprocessing: None,
        decoder: None,
        compute_dtype: "f32".into(),
        augmentation: Augmentation::none(),
        images: None,
    };
    let (mut writer, _) = Writer::open_or_create(path, &provenance, specs, &[])?;
    let layer = writer.add_layer(&LayerDesc {
        layer: "bench".into(),
        pool: "gap".into(),
        shape: vec![WIDTH],
        stored: vec![WIDTH],
        store: Store::F32,
        device: "cpu".into(),
        tool_version: env!("CARGO_PKG_VERSION").into(),
    })?;
    let start = Instant::now();
    for first in (0..specs.len()).step_by(BATCH) {
        let rows = BATCH.min(specs.len() - first);
        writer.append(first, &vec![RowOutcome::Done; rows], &[(layer, &values[..rows * WIDTH])])?;
    }
    let seconds = start.elapsed().as_secs_f64();
    writer.finish()?;
    Ok(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn what_is_written_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let stop = AtomicBool::new(false);
        let effort = Effort { repeats: 2, seconds: 0.0, stop: &stop };
        let report = write(folder.path(), 3, effort, &|_| {}).unwrap();
        assert_eq!(report.bytes, 367 * 2048 * 4);
        assert!(report.synced_megabytes_per_second.low <= report.megabytes_per_second.low);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
