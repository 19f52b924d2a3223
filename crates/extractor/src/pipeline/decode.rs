//! Decode workers: image files to batches of prepared 8-bit pixels, all cores at once, in row order.

use crate::images::{self, Image8};
use headstart_cache::Preprocessing;
use rayon::prelude::*;
use std::{cell::RefCell, path::Path, time::Instant};

/// Consecutive rows, decoded.
pub struct Batch {
    /// The first row.
    pub first_row: usize,
    /// Why each row failed, or none where it is in `pixels`.
    pub failures: Vec<Option<String>>,
    /// The good rows' pixels, packed: size × size × channels bytes each.
    pub pixels: Vec<u8>,
    /// Seconds of work, summed over the workers.
    pub seconds: f64,
}

/// Reads, decodes and prepares the images at `paths` (none: a row known to be bad, with its reason).
pub fn batch(first_row: usize, rows: &[Result<&Path, String>], preprocessing: &Preprocessing) -> Batch {
    let side = preprocessing.size as usize;
    let image_bytes = side * side * preprocessing.channels as usize;
    let mut pixels = vec![0_u8; rows.len() * image_bytes];
    let outcomes: Vec<(Option<String>, f64)> = pixels
        .par_chunks_mut(image_bytes)
        .zip(rows)
        .map(|(out, row)| {
            let start = Instant::now();
            let failure = match row {
                Ok(path) => read(path, preprocessing, out).err(),
                Err(reason) => Some(reason.clone()),
            };
            (failure, start.elapsed().as_secs_f64())
        })
        .collect();
    let seconds = outcomes.iter().map(|(_, seconds)| seconds).sum();
    let failures: Vec<Option<String>> = outcomes.into_iter().map(|(failure, _)| failure).collect();
    pack(&mut pixels, image_bytes, &failures);
    Batch { first_row, failures, pixels, seconds }
}

thread_local! {
    /// Each worker's decoded image, whose memory is used again.
    static IMAGE: RefCell<Image8> = RefCell::default();
}

/// One image file as prepared pixels.
fn read(path: &Path, preprocessing: &Preprocessing, out: &mut [u8]) -> Result<(), String> {
    let bytes = std::fs::read(path).map_err(|error| format!("cannot be read: {error}"))?;
    IMAGE.with_borrow_mut(|image| {
        images::decode_into(&bytes, image).map_err(|error| error.to_string())?;
        images::prepare(image, preprocessing, out).map_err(|error| error.to_string())
    })
}

/// Moves the good rows together, in order.
fn pack(pixels: &mut Vec<u8>, image_bytes: usize, failures: &[Option<String>]) {
    let mut good = 0;
    for (row, failure) in failures.iter().enumerate() {
        if failure.is_none() {
            if good != row {
                pixels.copy_within(row * image_bytes..(row + 1) * image_bytes, good * image_bytes);
            }
            good += 1;
        }
    }
    pixels.truncate(good * image_bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_keeps_the_order_of_the_good_rows() {
        let mut pixels = vec![1, 1, 2, 2, 3, 3, 4, 4];
        pack(&mut pixels, 2, &[Some("broken".into()), None, Some("broken".into()), None]);
        assert_eq!(pixels, [2, 2, 4, 4]);
    }
}
