//! The run that finds nothing to do, which is what the second run of a job is: told from the columns of the file, without the
//! tables that matching rows of a million images takes.

use super::{ExtractOptions, stored_as};
use crate::{graph::Tap, images::Listing};
use headstart_cache::{Cache, Provenance, Status};

/// Whether `cache` is what the run would make: of the same key and origin, with exactly the listed rows in their order, none of
/// them failed, and every tap complete. What is not said yes to here may still turn out to need nothing.
pub fn is_complete(
    cache: &Cache,
    provenance: &Provenance,
    listing: &Listing,
    options: &ExtractOptions,
    taps: &[Tap],
) -> bool {
    let there = cache.provenance();
    let same_origin = there.differences(provenance).is_empty()
        && there.images == provenance.images
        && there.augmentation.views >= provenance.augmentation.views;
    // Layers that were not asked for may be behind: then rows can be pending, which is none of this run's business.
    let filled = |tap: &Tap| {
        cache.find_layer(&tap.dataset()).is_ok_and(|layer| {
            // Another precision of storage is refused by the writer, in its own words.
            let store = stored_as(tap, options.store);
            layer.name == tap.dataset() && layer.committed == cache.rows().len() && layer.store == store
        })
    };
    same_origin && taps.iter().all(filled) && has_rows(cache, listing, options)
}

fn has_rows(cache: &Cache, listing: &Listing, options: &ExtractOptions) -> bool {
    let rows = cache.rows();
    let classes: Vec<i32> = listing
        .classes
        .iter()
        .map(|class| cache.classes().iter().position(|own| own == class).map_or(i32::MIN, |index| index as i32))
        .collect();
    let mut row = 0;
    for item in &listing.items {
        let label = item.label.map_or(-1, |label| classes[label]);
        for view in 0..options.augment.as_ref().map_or(1, |augment| augment.views_of(item)) {
            let same = row < rows.len()
                && rows.path[row] == item.name
                && rows.view[row] == view
                && rows.label[row] == label
                && rows.split[row] == item.split
                && rows.status[row] == Status::Done;
            if !same {
                return false;
            }
            row += 1;
        }
    }
    row == rows.len()
}
