//! Which images there are: their files, names, classes and splits, in an order that is the same on every machine.
//!
//! Four layouts are read, told apart by what is there:
//!
//! | given | rows | labels | splits |
//! |---|---|---|---|
//! | a folder of class folders | every image below them, however deep | the folders' names | none |
//! | a folder of `train`, `val`, `test`, … folders | as above, in each of them | the class folders; none where images lie directly in the split | the folders' names |
//! | a folder of images | its images | none | none |
//! | a CSV file with a column `path` | its lines, in their order | column `label` (or `class`); none where it is empty or −1 | column `split` |

mod csv_file;
mod folder;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The images found under one folder or in one CSV file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// What the items' names are relative to: the folder, or the one the CSV file is in.
    pub root: PathBuf,
    /// The images. From a folder: in byte order of their names; from a CSV file: in its order.
    pub items: Vec<Item>,
    /// Names of the classes, which [`Item::label`] counts in. In byte order, or as numbers when all of them are
    /// non-negative integers.
    pub classes: Vec<String>,
    /// How many files were passed over because their extension is not one of [`EXTENSIONS`]; hidden ones are not counted.
    pub ignored: usize,
    /// Folders, relative to the root, that stand where a class is expected but hold no image. They are no classes.
    pub empty: Vec<String>,
}

/// One image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The file to open.
    pub path: PathBuf,
    /// The path relative to [`Listing::root`], with `/` between its parts: what identifies the image in a cache. (A CSV
    /// file may name absolute paths outside the root; those stay absolute.)
    pub name: String,
    /// Index into [`Listing::classes`]; none when the image has no label.
    pub label: Option<usize>,
    /// `train`, `val`, `test` or what a CSV file says; empty when there is none.
    pub split: String,
}

/// Extensions, in lower case, of the files that are listed from folders. Case does not matter.
pub const EXTENSIONS: [&str; 11] = ["jpg", "jpeg", "jpe", "jfif", "png", "gif", "bmp", "dib", "tif", "tiff", "webp"];

/// Why images cannot be listed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListError {
    /// Nothing is there.
    #[error("{path}: no such file or folder; give a folder of images or a CSV file with a column `path`")]
    Missing {
        /// What was given.
        path: PathBuf,
    },
    /// A folder without a single image.
    #[error(
        "{path}: no images in this folder ({ignored} other files); give a folder of class folders, of train/val/test \
         folders, or of images ({extensions})", extensions = EXTENSIONS.join(", ")
    )]
    NoImages {
        /// The folder.
        path: PathBuf,
        /// How many files of other kinds it holds.
        ignored: usize,
    },
    /// Images beside folders of images: whether the folders are classes cannot be told.
    #[error(
        "{path}: {image} lies beside folders of images such as {folder}/; move such images into a class folder, or list \
         them in a CSV file (columns path,label,split)"
    )]
    Mixed {
        /// The folder in which both are.
        path: PathBuf,
        /// One of the images.
        image: String,
        /// One of the folders that hold images.
        folder: String,
    },
    /// Split folders beside other folders of images.
    #[error(
        "{path}: {other}/ lies beside the split folders {splits}; name it train, val or test, move it away, or list the \
         images in a CSV file (columns path,label,split)"
    )]
    OddSplit {
        /// The folder in which both are.
        path: PathBuf,
        /// The folder that is no split.
        other: String,
        /// The folders that are, comma-separated.
        splits: String,
    },
    /// A name that is not UTF-8, which the rows of a cache have to be.
    #[error("{path:?}: the name is not UTF-8; rename it (for example with convmv)")]
    NotUtf8 {
        /// The file or folder.
        path: PathBuf,
    },
    /// A file or folder that cannot be read.
    #[error("{path}: {source}")]
    Io {
        /// What cannot be read.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file that is not a list of images.
    #[error("{path}: not a CSV file with a column `path`: {reason}; its first line has to be like `path,label,split`")]
    NotCsv {
        /// The file.
        path: PathBuf,
        /// What it is or what it lacks.
        reason: String,
    },
    /// A CSV file that names no image.
    #[error("{path}: no line follows the header, so there is no image; add one line per image")]
    EmptyCsv {
        /// The file.
        path: PathBuf,
    },
    /// A wrong line of a CSV file.
    #[error("{path}, line {line}: {reason}")]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1 with the header.
        line: u64,
        /// What is wrong, and what to do about it.
        reason: String,
    },
}

/// Lists the images of a folder or a CSV file; see the [module](self) for the layouts.
///
/// # Errors
///
/// [`ListError`]; among others when there is no image at all. A file that a CSV file names but that is not there is no
/// error here: it keeps its row, and fails when it is decoded.
pub fn list(path: &Path) -> Result<Listing, ListError> {
    let kind = std::fs::metadata(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => ListError::Missing { path: path.into() },
        _ => ListError::Io { path: path.into(), source },
    })?;
    if kind.is_dir() { folder::list(path) } else { csv_file::list(path) }
}

/// The folder that the names of what [`list`] finds are relative to.
pub fn root(path: &Path) -> &Path {
    if path.is_dir() { path } else { csv_file::root(path) }
}

/// Hands out name, class and split of every image that [`list`] would find in a CSV file, without holding them all, and without
/// looking for names that are there twice.
///
/// # Errors
///
/// [`ListError`].
pub fn each_line(csv: &Path, mut work: impl FnMut(&str, Option<&str>, &str)) -> Result<(), ListError> {
    csv_file::each(csv, |line| work(&line.name, line.class, line.split))
}

impl Listing {
    /// The name of an image's class.
    pub fn class_of(&self, item: &Item) -> Option<&str> {
        item.label.map(|label| self.classes[label].as_str())
    }

    /// Keeps `count` images, spread evenly: each class of each split keeps its share, at least one image if `count` allows
    /// that, and gives up every so-many-th. The same images are kept every time. Order and classes stay as they are.
    pub fn limit(&mut self, count: usize) {
        if count >= self.items.len() {
            return;
        }
        let mut groups: BTreeMap<(&str, Option<usize>), Vec<usize>> = BTreeMap::new();
        for (index, item) in self.items.iter().enumerate() {
            groups.entry((&item.split, item.label)).or_default().push(index);
        }
        let groups: Vec<Vec<usize>> = groups.into_values().collect();
        let sizes: Vec<usize> = groups.iter().map(Vec::len).collect();
        let mut keep = vec![false; self.items.len()];
        for (group, kept) in groups.iter().zip(shares(&sizes, count)) {
            for pick in 0..kept {
                keep[group[pick * group.len() / kept]] = true;
            }
        }
        let mut keep = keep.into_iter();
        self.items.retain(|_| keep.next().unwrap_or(false));
    }
}

/// Divides `count` among groups of these sizes (all at least 1, together more than `count`): one for each as far as it
/// goes, the rest in proportion, by largest remainder. No group is given more than its size.
fn shares(sizes: &[usize], count: usize) -> Vec<usize> {
    if count < sizes.len() {
        let mut shares = vec![0; sizes.len()];
        (0..count).for_each(|pick| shares[pick * sizes.len() / count] = 1);
        return shares;
    }
    // u128: the product of two lengths may not fit a usize.
    let spare = (count - sizes.len()) as u128;
    let total = (sizes.iter().sum::<usize>() - sizes.len()).max(1) as u128;
    let mut shares: Vec<usize> = sizes.iter().map(|&size| 1 + ((size - 1) as u128 * spare / total) as usize).collect();
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|&group| std::cmp::Reverse((sizes[group] - 1) as u128 * spare % total));
    let missing = count - shares.iter().sum::<usize>();
    order.iter().take(missing).for_each(|&group| shares[group] += 1);
    shares
}

/// The name under which a split is known, if `name` is one of the usual ones, in any case.
fn split_name(name: &str) -> Option<&'static str> {
    match name.trim().to_ascii_lowercase().as_str() {
        "train" | "training" => Some("train"),
        "val" | "valid" | "validation" => Some("val"),
        "test" | "testing" => Some("test"),
        _ => None,
    }
}

/// Whether a file is listed from a folder.
fn is_image(path: &Path) -> bool {
    path.extension()
        .and_then(|extension| extension.to_str())
        .is_some_and(|extension| EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known)))
}

/// Gives every row the index of its class. Class names come in byte order, or by value when all are non-negative
/// integers: so that class `10` follows `9`, and digits keep their own value as index.
fn index_classes(rows: Vec<(Item, Option<String>)>) -> (Vec<Item>, Vec<String>) {
    let names: BTreeSet<&str> = rows.iter().filter_map(|(_, class)| class.as_deref()).collect();
    let mut classes: Vec<String> = names.into_iter().map(str::to_owned).collect();
    let number = |class: &str| class.bytes().all(|byte| byte.is_ascii_digit()).then(|| class.parse::<u64>().ok())?;
    if classes.iter().all(|class| number(class).is_some()) {
        classes.sort_by_key(|class| number(class));
    }
    let indices: BTreeMap<&str, usize> = classes.iter().enumerate().map(|(index, class)| (&**class, index)).collect();
    let items = rows
        .into_iter()
        .map(|(item, class)| Item { label: class.and_then(|class| indices.get(&*class).copied()), ..item })
        .collect();
    (items, classes)
}

#[cfg(test)]
mod tests;
