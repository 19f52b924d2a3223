//! Image files to the pixels that a backbone sees, per second.

use super::{BenchError, Effort, Photos, Spread};
use crate::images::{
    batch::{self, Input, View},
    pixels::Buffers,
};
use headstart_cache::Preprocessing;
use serde::Serialize;

/// Images that are decoded together for each thread: enough that threads hardly wait for the slowest image.
const BATCH: usize = 32;

/// How fast images are decoded.
#[derive(Debug, Clone, Serialize)]
pub struct DecodeReport {
    /// What was decoded.
    pub images: String,
    /// The side of the square that comes out, in pixels.
    pub size: u32,
    /// Whether large JPEGs were decoded at a fraction of their size.
    pub fast: bool,
    /// One entry for each number of threads.
    pub rates: Vec<DecodeRate>,
}

/// The rate of some threads.
#[derive(Debug, Clone, Serialize)]
pub struct DecodeRate {
    /// How many work at the same time.
    pub threads: usize,
    /// Images per second, all threads together.
    pub images_per_second: Spread,
    /// Milliseconds that one thread spends on an image.
    pub ms_per_image: Spread,
}

/// Reads, decodes and scales the images with each of these numbers of threads. Files have been read before, so they come from
/// the system's memory and not from the disk.
///
/// # Errors
/// [`BenchError::NoImages`] when none can be decoded; broken ones among others are left out.
pub fn decode(
    photos: &Photos,
    input: Input,
    threads: &[usize],
    effort: Effort,
    tell: &dyn Fn(String),
) -> Result<DecodeReport, BenchError> {
    let views: Vec<View> = photos
        .files
        .iter()
        .map(|path| View { image: Ok(path), name: path.to_str().unwrap_or(""), number: 0 })
        .collect();
    let buffers = Buffers::default();
    let first = batch::decode(0, &views, input, &buffers);
    let good: Vec<View> = views
        .iter()
        .zip(&first.failures)
        .filter(|(_, failure)| failure.is_none())
        .map(|(view, _)| view.clone())
        .collect();
    if good.is_empty() {
        let reason = first.failures.into_iter().flatten().next().unwrap_or_else(|| "there are none".into());
        return Err(BenchError::NoImages { path: photos.images.clone(), count: views.len(), reason });
    }
    let mut rates = Vec::new();
    for &threads in threads {
        tell(format!("decoding with {threads} threads"));
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .map_err(|error| BenchError::File { path: photos.images.clone(), reason: error.to_string() })?;
        let seconds = effort.seconds(|| {
            pool.install(|| {
                good.chunks(BATCH * threads).for_each(|views| drop(batch::decode(0, views, input, &buffers)))
            });
            Ok(())
        })?;
        rates.push(DecodeRate {
            threads,
            images_per_second: seconds.inverse(good.len() as f64),
            ms_per_image: seconds.times(1e3 * threads as f64 / good.len() as f64),
        });
    }
    let Preprocessing { size, .. } = *input.preprocessing;
    Ok(DecodeReport { images: photos.source.clone(), size, fast: input.fast, rates })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::geometry::imagenet;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn broken_images_are_left_out_and_nothing_but_them_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.png"), "no picture").unwrap();
        let (stop, preprocessing) = (AtomicBool::new(false), imagenet(32));
        let input = Input { preprocessing: &preprocessing, augmenter: None, fast: false };
        let effort = Effort { repeats: 2, seconds: 0.0, stop: &stop };
        let measured = |photos: &Photos| decode(photos, input, &[1, 2], effort, &|_| {});
        let error = measured(&Photos::listed(folder.path(), 9).unwrap()).unwrap_err().to_string();
        assert!(error.contains("not an image"), "{error}");
        image::RgbImage::new(9, 9).save(folder.path().join("b.png")).unwrap();
        let report = measured(&Photos::listed(folder.path(), 9).unwrap()).unwrap();
        assert_eq!(report.rates.iter().map(|rate| rate.threads).collect::<Vec<_>>(), [1, 2]);
        assert!(report.rates.iter().all(|rate| rate.images_per_second.low > 0.0));
    }
}
