//! The images themselves: which there are, which are trained on, and which show the same.

use super::AdviseError;
use headstart_cache::{Cache, Status};
use headstart_extractor::images::{Fingerprint, Listing, copies, list};
use headstart_trainer::training_splits;
use rayon::prelude::*;
use serde::Serialize;
use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

/// One image, as a folder, a CSV or a cache names it.
#[derive(Debug, Clone)]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) label: Option<usize>,
    /// Whether it is trained on.
    pub(super) trains: bool,
    /// Where it is; none where that is not known.
    pub(super) file: Option<PathBuf>,
}

/// The images of a listing.
#[cfg(feature = "torch")]
pub(super) fn of_listing(listing: &Listing) -> Vec<Named> {
    let trains = training_splits(listing.items.iter().map(|item| item.split.as_str()));
    let named = |item: &headstart_extractor::images::Item| Named {
        name: item.name.clone(),
        label: item.label,
        trains: trains(&item.split),
        file: Some(item.path.clone()),
    };
    listing.items.iter().map(named).collect()
}

/// The images of a cache that could be read, with their files where `listing` has them.
pub(super) fn of_cache(cache: &Cache, listing: Option<&Listing>) -> Vec<Named> {
    let files: HashMap<&str, &Path> = listing
        .iter()
        .flat_map(|listing| &listing.items)
        .map(|item| (item.name.as_str(), item.path.as_path()))
        .collect();
    let rows = cache.rows();
    let trains = training_splits(rows.split.iter().map(String::as_str));
    (0..rows.len())
        .filter(|&row| rows.view[row] == 0 && rows.status[row] != Status::Failed)
        .map(|row| Named {
            name: rows.path[row].clone(),
            label: usize::try_from(rows.label[row]).ok(),
            trains: trains(&rows.split[row]),
            file: files.get(rows.path[row].as_str()).map(|file| file.to_path_buf()),
        })
        .collect()
}

/// The folder or CSV that a cache was made from, if it is still there: what was given, else where its provenance says, or a CSV in
/// that folder; it has to name every image of the cache.
///
/// # Errors
/// When `given` cannot be listed, or does not name them.
pub(super) fn find_listing(cache: &Cache, given: Option<&Path>) -> Result<Option<(PathBuf, Listing)>, AdviseError> {
    let wanted: HashSet<&str> = cache.rows().path.iter().map(String::as_str).collect();
    let covers = |listing: &Listing| {
        let names: HashSet<&str> = listing.items.iter().map(|item| item.name.as_str()).collect();
        wanted.iter().all(|name| names.contains(name))
    };
    if let Some(path) = given {
        let listing = list(path)?;
        return match covers(&listing) {
            true => Ok(Some((path.to_path_buf(), listing))),
            false => Err(AdviseError::OtherImages { cache: cache.path().to_path_buf(), images: path.to_path_buf() }),
        };
    }
    let Some(root) = cache.provenance().images.as_ref().map(PathBuf::from) else { return Ok(None) };
    let mut candidates = vec![root.clone()];
    if let Ok(entries) = std::fs::read_dir(&root) {
        let mut tables: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        tables.retain(|path| path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv")));
        tables.sort();
        candidates.extend(tables);
    }
    Ok(candidates
        .into_iter()
        .find_map(|path| list(&path).ok().filter(|listing| covers(listing)).map(|listing| (path, listing))))
}

/// Images that show the same as others.
#[derive(Debug, Clone, Serialize)]
pub struct Duplicates {
    /// Images that were compared.
    pub compared: usize,
    /// Images that could not be read, or whose file is not known.
    pub unreadable: usize,
    /// Groups of two or more, by name.
    pub groups: Vec<Vec<String>>,
    /// Groups with training images and images of `val` or `test`: scores on those are too good.
    pub leaks: Vec<Vec<String>>,
    /// Groups whose images do not all have one label.
    pub contradictions: Vec<Vec<String>>,
    /// For each image, whether it shows what an earlier training image shows.
    #[serde(skip)]
    pub(super) copy: Vec<bool>,
}

/// Compares all images; `progress` is told how many have been read.
pub(super) fn duplicates(images: &[Named], progress: &(dyn Fn(usize, usize) + Sync)) -> Duplicates {
    let done = AtomicUsize::new(0);
    let prints: Vec<Option<Fingerprint>> = images
        .par_iter()
        .map(|image| {
            let print = image.file.as_deref().and_then(Fingerprint::read);
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, images.len());
            print
        })
        .collect();
    let compared = prints.iter().flatten().count();
    let groups = copies(&prints);
    let mut copy = vec![false; images.len()];
    for group in &groups {
        group.iter().filter(|&&image| images[image].trains).skip(1).for_each(|&image| copy[image] = true);
    }
    let of = |chosen: &dyn Fn(&Vec<usize>) -> bool| -> Vec<Vec<String>> {
        let names = |group: &Vec<usize>| group.iter().map(|&image| images[image].name.clone()).collect();
        groups.iter().filter(|group| chosen(group)).map(names).collect()
    };
    let leaks =
        |group: &Vec<usize>| group.iter().any(|&i| images[i].trains) && group.iter().any(|&i| !images[i].trains);
    let contradicts = |group: &Vec<usize>| group.iter().any(|&image| images[image].label != images[group[0]].label);
    Duplicates {
        compared,
        unreadable: images.len() - compared,
        groups: of(&|_| true),
        leaks: of(&leaks),
        contradictions: of(&contradicts),
        copy,
    }
}
