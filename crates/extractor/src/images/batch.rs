//! Decode workers: image files to batches of prepared 8-bit pixels, all cores of the current rayon pool at once, in row order.

use super::{
    Image8, Purpose,
    augment::Augmenter,
    decode_for,
    pixels::{Buffers, Pixels},
    prepare_part,
};
use headstart_cache::Preprocessing;
use rayon::prelude::*;
use std::{cell::Cell, io::Read, path::Path, time::Instant};

/// One view of an image.
#[derive(Debug, Clone)]
pub struct View<'a> {
    /// The file, or why it is already known to be bad.
    pub image: Result<&'a Path, String>,
    /// What the image is called, which decides what is random in its views.
    pub name: &'a str,
    /// 0 for the image as it is.
    pub number: u32,
}

/// What views look like.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// What the backbone sees.
    pub preprocessing: &'a Preprocessing,
    /// What makes views other than 0; without it every view is the image as it is.
    pub augmenter: Option<&'a Augmenter>,
    /// Whether large JPEGs are decoded at a fraction of their size ([`decode_for`]).
    pub fast: bool,
}

/// Consecutive rows, decoded.
pub struct Batch {
    /// The first row.
    pub first_row: usize,
    /// Why each row failed, or none where it is in `pixels`.
    pub failures: Vec<Option<String>>,
    /// The good rows' pixels, packed: size × size × channels bytes each.
    pub pixels: Pixels,
    /// Seconds of work, summed over the workers.
    pub seconds: f64,
    /// The part of it that went into reading files.
    pub reading: f64,
}

/// Reads, decodes and prepares images, in memory from `buffers`. Neighbouring views of one image share the decoding.
pub fn decode(first_row: usize, rows: &[View], input: Input, buffers: &Buffers) -> Batch {
    let side = input.preprocessing.size as usize;
    let image_bytes = side * side * input.preprocessing.channels as usize;
    let mut pixels = buffers.take(rows.len() * image_bytes);
    let mut rest = &mut pixels[..];
    let mut groups = Vec::new();
    for views in rows.chunk_by(|a, b| a.name == b.name && a.image == b.image) {
        let (out, after) = rest.split_at_mut(views.len() * image_bytes);
        groups.push((views, out));
        rest = after;
    }
    let outcomes: Vec<Outcome> = groups
        .into_par_iter()
        .map(|(views, out)| match &views[0].image {
            Ok(path) => read(path, views, input, out),
            Err(reason) => Outcome { failures: vec![Some(reason.clone()); views.len()], seconds: 0.0, reading: 0.0 },
        })
        .collect();
    let seconds = outcomes.iter().map(|outcome| outcome.seconds).sum();
    let reading = outcomes.iter().map(|outcome| outcome.reading).sum();
    let failures: Vec<Option<String>> = outcomes.into_iter().flat_map(|outcome| outcome.failures).collect();
    pack(&mut pixels, image_bytes, &failures);
    Batch { first_row, failures, pixels, seconds, reading }
}

/// What became of the views of one image: why each failed, and seconds of work, with the part that went into reading.
struct Outcome {
    failures: Vec<Option<String>>,
    seconds: f64,
    reading: f64,
}

thread_local! {
    /// Each worker's file and decoded image, whose memory is used again. They are taken while in use: a worker that waits for the
    /// views of one image may be given another.
    static BUFFERS: Cell<(Vec<u8>, Image8)> = Cell::default();
}

/// Views of one image file as prepared pixels.
fn read(path: &Path, views: &[View], input: Input, out: &mut [u8]) -> Outcome {
    let start = Instant::now();
    let (mut bytes, mut image) = BUFFERS.take();
    let contents = read_file(path, &mut bytes).map_err(|error| format!("cannot be read: {error}"));
    let reading = start.elapsed().as_secs_f64();
    // Views may look at any part of an image.
    let purpose = Purpose { preprocessing: input.preprocessing, fast: input.fast };
    let purpose = Some(purpose).filter(|_| input.augmenter.is_none());
    let decoded = contents.and_then(|()| decode_for(&bytes, &mut image, purpose).map_err(|error| error.to_string()));
    let mut seconds = start.elapsed().as_secs_f64();
    let failures = match decoded {
        Err(reason) => vec![Some(reason); views.len()],
        Ok(place) => {
            let outcomes: Vec<(Option<String>, f64)> = out
                .par_chunks_mut(out.len() / views.len())
                .zip(views)
                .map(|(out, view)| {
                    let start = Instant::now();
                    let prepared = match input.augmenter {
                        Some(augmenter) => augmenter.prepare(&image, view.name, view.number, input.preprocessing, out),
                        None => prepare_part(&image, place, input.preprocessing, out),
                    };
                    (prepared.err().map(|error| error.to_string()), start.elapsed().as_secs_f64())
                })
                .collect();
            seconds += outcomes.iter().map(|(_, seconds)| seconds).sum::<f64>();
            outcomes.into_iter().map(|(failure, _)| failure).collect()
        }
    };
    BUFFERS.set((bytes, image));
    Outcome { failures, seconds, reading }
}

fn read_file(path: &Path, bytes: &mut Vec<u8>) -> std::io::Result<()> {
    bytes.clear();
    std::fs::File::open(path)?.read_to_end(bytes)?;
    Ok(())
}

/// Moves the good rows together, in order.
fn pack(pixels: &mut Pixels, image_bytes: usize, failures: &[Option<String>]) {
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
    use crate::images::{augment::Recipe, geometry::imagenet};

    #[test]
    fn packing_keeps_the_order_of_the_good_rows() {
        let mut pixels = Buffers::default().take(8);
        pixels.copy_from_slice(&[1, 1, 2, 2, 3, 3, 4, 4]);
        pack(&mut pixels, 2, &[Some("broken".into()), None, Some("broken".into()), None]);
        assert_eq!(pixels[..], [2, 2, 4, 4]);
    }

    #[test]
    fn views_do_not_depend_on_batches_order_or_threads() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["a.png", "b.png", "c.png"];
        for (shade, name) in (1..).zip(names) {
            let image = image::RgbImage::from_fn(40, 30, |x, y| image::Rgb([(x * shade) as u8, (y * 8) as u8, 9]));
            image.save(folder.path().join(name)).unwrap();
        }
        let preprocessing = imagenet(20);
        let augmenter = Augmenter::new(Recipe::standard(), 4);
        let input = Input { preprocessing: &preprocessing, augmenter: Some(&augmenter), fast: false };
        let paths: Vec<_> = names.iter().map(|name| folder.path().join(name)).collect();
        let view = |image: usize, number| View { image: Ok(&paths[image]), name: names[image], number };
        let rows: Vec<View> =
            (0..3).flat_map(|image| (0..5).map(move |number| (image, number))).map(|(i, n)| view(i, n)).collect();
        let buffers = Buffers::default();
        let whole = decode(0, &rows, input, &buffers);
        assert!(whole.failures.iter().all(Option::is_none));
        let bytes = 20 * 20 * 3;
        for (row, alone) in rows.iter().enumerate().rev() {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(1 + row % 4).build().unwrap();
            let one = pool.install(|| decode(row, std::slice::from_ref(alone), input, &buffers));
            assert_eq!(one.pixels[..], whole.pixels[row * bytes..(row + 1) * bytes], "row {row}");
        }
        let pieces: Vec<u8> =
            rows.chunks(4).flat_map(|rows| decode(0, rows, input, &buffers).pixels.to_vec()).collect();
        assert_eq!(pieces, whole.pixels[..]);
    }
}
