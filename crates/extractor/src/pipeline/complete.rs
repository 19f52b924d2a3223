//! The run that finds nothing to do, which is what the second run of a job is: told from an outline of the file and a digest of its
//! rows, without the tables that matching rows of a million images takes.

use super::{ExtractError, ExtractOptions, Summary, listed, provenance, stored_as};
use crate::{
    backbone::Backbone,
    graph::Tap,
    images::listing::{self, Listing},
};
use headstart_cache::{Outline, Provenance, RowDigest};

/// The summary of a run that has nothing to do: the file is of the same key and origin, with exactly the listed rows in their
/// order, none of them failed, and every tap complete. None if it is not, and for a file that has to be looked at more closely;
/// `images` is set if they had to be listed for it.
///
/// # Errors
/// Images that cannot be listed.
pub fn summary(
    options: &ExtractOptions,
    backbone: &Backbone,
    taps: &[Tap],
    images: &mut Option<Listing>,
) -> Result<Option<Summary>, ExtractError> {
    // A file that cannot be read is reported by the writer, in its own words.
    let Some(file) = options.output.exists().then(|| Outline::read(&options.output).ok()).flatten() else {
        return Ok(None);
    };
    let precision = options.precision.of_file(&file.provenance);
    let run = provenance(backbone, options, precision, listing::root(&options.images));
    if !is_filled(&file, &run, options, taps) {
        return Ok(None);
    }
    let mut digest = RowDigest::new();
    let mut count = 0;
    let mut push = |name: &str, class: Option<&str>, split: &str| {
        count += 1;
        let views = options.augment.as_ref().map_or(1, |augment| augment.views_of(split));
        (0..views).for_each(|view| digest.push(name, view, class, split));
    };
    if options.limit.is_none() && options.images.is_file() {
        if listing::each_line(&options.images, push).is_err() {
            // Said when the images are listed.
            return Ok(None);
        }
    } else {
        let listing = images.insert(listed(options)?);
        listing.items.iter().for_each(|item| push(&item.name, listing.class_of(item), &item.split));
    }
    let same = digest.rows() == file.rows && file.row_digest == Some(digest.finish());
    Ok(same.then(|| Summary::nothing_done(&options.output, taps, precision, file.rows, count)))
}

/// Whether all rows of the file have all taps of the run, whichever rows these are.
fn is_filled(file: &Outline, run: &Provenance, options: &ExtractOptions, taps: &[Tap]) -> bool {
    let there = &file.provenance;
    let same_origin = there.differences(run).is_empty()
        && there.images == run.images
        && there.augmentation.views >= run.augmentation.views;
    // Layers that were not asked for may be behind, which is none of this run's business.
    let filled = |tap: &Tap| {
        let name = tap.dataset();
        file.layers.iter().find(|layer| layer.name == name).is_some_and(|layer| {
            // Another precision of storage is refused by the writer, in its own words.
            layer.committed == file.rows && layer.store == stored_as(tap, options.store)
        })
    };
    same_origin && file.done == file.rows && taps.iter().all(filled)
}
