//! Listing a folder.

use super::{Item, ListError, Listing, index_classes, is_image, split_name};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use walkdir::{DirEntry, WalkDir};

/// An image below the root: its parts are those of its relative path.
struct Found {
    path: PathBuf,
    parts: Vec<String>,
}

/// Everything below a folder that matters for the listing.
#[derive(Default)]
struct Tree {
    images: Vec<Found>,
    /// The first one or two parts of every visible folder's relative path.
    folders: Vec<Vec<String>>,
    ignored: usize,
}

pub(super) fn list(root: &Path) -> Result<Listing, ListError> {
    let Tree { mut images, folders, ignored } = walk(root)?;
    if images.is_empty() {
        return Err(ListError::NoImages { path: root.into(), ignored });
    }
    images.sort_by_cached_key(|image| image.parts.join("/"));
    let by_split = is_split_layout(root, &images)?;
    let depth = usize::from(by_split);
    check_mixed(root, &images, depth)?;

    // Folders at the level of classes that no image is in.
    let filled: BTreeSet<&[String]> = images.iter().filter_map(|image| image.parts.get(..=depth)).collect();
    let mut empty: Vec<String> = folders
        .iter()
        .filter(|folder| folder.len() == depth + 1 && !filled.contains(&folder[..]))
        .filter(|folder| !by_split || split_name(&folder[0]).is_some())
        .map(|folder| folder.join("/"))
        .collect();
    empty.sort();

    let rows = images
        .into_iter()
        .map(|Found { path, parts }| {
            let split = if by_split { split_name(&parts[0]).unwrap_or_default() } else { "" };
            let class = (parts.len() > depth + 1).then(|| parts[depth].clone());
            (Item { path, name: parts.join("/"), label: None, split: split.into() }, class)
        })
        .collect();
    let (items, classes) = index_classes(rows);
    Ok(Listing { root: root.into(), items, classes, ignored, empty })
}

/// Collects the images and folders below `root`, hidden ones excepted, through symbolic links.
fn walk(root: &Path) -> Result<Tree, ListError> {
    let visible = |entry: &DirEntry| entry.depth() == 0 || !entry.file_name().as_encoded_bytes().starts_with(b".");
    let mut tree = Tree::default();
    for entry in WalkDir::new(root).follow_links(true).into_iter().filter_entry(visible) {
        let (path, is_folder) = match entry {
            Ok(entry) if entry.depth() == 0 => continue,
            Ok(entry) => (entry.path().to_path_buf(), entry.file_type().is_dir()),
            // A link to a folder that holds it: what is in there is being listed already.
            Err(error) if error.loop_ancestor().is_some() => continue,
            Err(error) => {
                let path = error.path().unwrap_or(root).to_path_buf();
                if path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")) {
                    continue;
                }
                let source = error.into_io_error().unwrap_or_else(|| std::io::Error::other("cannot be read"));
                // A link to nothing is kept if it is named like an image, as a missing file of a CSV file is.
                let is_link = std::fs::symlink_metadata(&path).is_ok_and(|kind| kind.is_symlink());
                if !(is_link && source.kind() == std::io::ErrorKind::NotFound) {
                    return Err(ListError::Io { path, source });
                }
                (path, false)
            }
        };
        if !is_folder && !is_image(&path) {
            tree.ignored += 1;
            continue;
        }
        let parts = path.strip_prefix(root).unwrap_or(&path).iter().map(|part| part.to_str().map(str::to_owned));
        let parts: Option<Vec<String>> = parts.collect();
        match parts {
            Some(parts) if is_folder && parts.len() <= 2 => tree.folders.push(parts),
            Some(parts) if !is_folder => tree.images.push(Found { path, parts }),
            None if !is_folder => return Err(ListError::NotUtf8 { path }),
            // Folders deeper than classes, and those with odd names: what matters is whether images are in them.
            _ => {}
        }
    }
    Ok(tree)
}

/// Whether the folders directly below the root are splits: all that hold images are named like one. A single one among
/// others is taken for a class, since there are sets with a class called `train`.
fn is_split_layout(root: &Path, images: &[Found]) -> Result<bool, ListError> {
    let mut folders: Vec<&str> = images.iter().filter(|image| image.parts.len() > 1).map(|i| &*i.parts[0]).collect();
    folders.dedup();
    let (splits, others): (Vec<&str>, Vec<&str>) = folders.into_iter().partition(|name| split_name(name).is_some());
    match (splits.len(), others.first()) {
        (0, _) | (1, Some(_)) => Ok(false),
        (_, None) => Ok(true),
        (_, Some(&other)) => {
            Err(ListError::OddSplit { path: root.into(), other: other.into(), splits: splits.join(", ") })
        }
    }
}

/// Refuses images that lie beside class folders: directly below the root, or with splits, in the same split.
fn check_mixed(root: &Path, images: &[Found], depth: usize) -> Result<(), ListError> {
    if depth == 1
        && let Some(loose) = images.iter().find(|image| image.parts.len() == 1)
    {
        let folder = images.iter().find(|image| image.parts.len() > 1).map_or("", |image| &image.parts[0]);
        return Err(ListError::Mixed { path: root.into(), image: loose.parts[0].clone(), folder: folder.into() });
    }
    let mut first: BTreeMap<&[String], [Option<&Found>; 2]> = BTreeMap::new();
    for image in images {
        let in_class = usize::from(image.parts.len() > depth + 1);
        first.entry(&image.parts[..depth]).or_default()[in_class].get_or_insert(image);
    }
    for (folder, pair) in first {
        if let [Some(loose), Some(other)] = pair {
            return Err(ListError::Mixed {
                path: folder.iter().fold(root.to_path_buf(), |path, part| path.join(part)),
                image: loose.parts[depth].clone(),
                folder: other.parts[depth].clone(),
            });
        }
    }
    Ok(())
}
