//! What can go wrong with a cache, in words that name the file, the field and the way out.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

/// Result with this crate's [`enum@Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// One part of the file key that differs between a file and the run that wants to extend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyDifference {
    /// Which part, such as `weights` or `preprocessing.size`.
    pub part: String,
    /// Its value in the file, as JSON.
    pub file: String,
    /// Its value in this run, as JSON.
    pub run: String,
}

/// Errors of the cache.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is nothing at that path.
    #[error("{}: no such file", .path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file is not HDF5 at all.
    #[error(
        "{}: not an HDF5 file; give a cache that headstart extract or import wrote, or write to another file (-o)",
        .path.display()
    )]
    NotHdf5 {
        /// The file.
        path: PathBuf,
    },
    /// An HDF5 file, but not one of ours.
    #[error(
        "{}: an HDF5 file, but not a headstart cache ({detail}); give one that headstart extract or import wrote, or write \
         to another file (-o)",
        .path.display()
    )]
    NotACache {
        /// The file.
        path: PathBuf,
        /// What is missing.
        detail: String,
    },
    /// Written by a newer headstart.
    #[error(
        "{}: written in format {found}, and this headstart reads formats up to {known}; use a newer headstart",
        .path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Format version of the file.
        found: u32,
        /// Newest format version this build reads.
        known: u32,
    },
    /// The file ends before its contents do.
    #[error(
        "{}: truncated ({detail}); it was cut off while being copied, or its disk is damaged: copy it again, or delete it \
         and extract again",
        .path.display()
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// What HDF5 says.
        detail: String,
    },
    /// The file opens, but its parts contradict each other.
    #[error("{}: damaged: {detail}; `headstart inspect --verify` lists everything that is wrong", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// HDF5 failed.
    #[error("{}: {doing}: {detail}", .path.display())]
    Hdf5 {
        /// The file.
        path: PathBuf,
        /// What was being done.
        doing: String,
        /// What HDF5 says.
        detail: String,
    },
    /// The operating system failed.
    #[error("{}: {doing}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was being done.
        doing: String,
        /// The system's reason.
        source: io::Error,
    },
    /// No room for what was to be written.
    #[error(
        "{}: {doing}: no room left ({detail}); everything committed before is safe: free some space and run the same \
         command again, it continues where it stopped",
        .path.display()
    )]
    DiskFull {
        /// The file.
        path: PathBuf,
        /// What was being done.
        doing: String,
        /// The system's reason: disk, quota or file size limit.
        detail: String,
    },
    /// Another process writes this file.
    #[error("{}: being written by {holder}; wait for it to end, or write to another file (-o)", .path.display())]
    Locked {
        /// The file.
        path: PathBuf,
        /// `process PID on HOST`.
        holder: String,
    },
    /// The file was made with other settings.
    #[error("{}", key_mismatch(path, differences))]
    KeyMismatch {
        /// The file.
        path: PathBuf,
        /// Every part of the key that differs.
        differences: Vec<KeyDifference>,
    },
    /// A row that the file has already says something else now.
    #[error(
        "{}: the {what} of {row} (view {view}) was {was:?} when the file was made and is {now:?} now; rows never change: \
         write to another file (-o), or undo the change",
        .path.display()
    )]
    RowChanged {
        /// The file.
        path: PathBuf,
        /// Path of the image.
        row: String,
        /// View of the image.
        view: u32,
        /// `class` or `split`.
        what: &'static str,
        /// Value in the file.
        was: String,
        /// Value in this run.
        now: String,
    },
    /// A row given by the caller makes no sense.
    #[error("row {index} ({row}): {detail}")]
    BadRow {
        /// Position in the list given.
        index: usize,
        /// Path of the image.
        row: String,
        /// What is wrong.
        detail: String,
    },
    /// A class list or layer description given by the caller makes no sense.
    #[error("{0}")]
    BadSchema(String),
    /// A layer exists with other properties.
    #[error(
        "{}: layer {layer} has {what} {file} in the file and {run} in this run; write to another file (-o), or ask for {file}",
        .path.display()
    )]
    LayerMismatch {
        /// The file.
        path: PathBuf,
        /// Name of the dataset.
        layer: String,
        /// What differs.
        what: &'static str,
        /// In the file.
        file: String,
        /// In this run.
        run: String,
    },
    /// No such layer in the file.
    #[error("{}: no layer {asked:?}{}; it has {}", .path.display(), did_you_mean(near), list(have))]
    UnknownLayer {
        /// The file.
        path: PathBuf,
        /// What was asked for.
        asked: String,
        /// Similar names.
        near: Vec<String>,
        /// Everything there is.
        have: Vec<String>,
    },
    /// A layer name that fits several datasets.
    #[error("{}: layer {asked:?} was stored with several poolings; say which: {}", .path.display(), list(have))]
    AmbiguousLayer {
        /// The file.
        path: PathBuf,
        /// What was asked for.
        asked: String,
        /// The datasets it could mean.
        have: Vec<String>,
    },
    /// Rows of a layer that were never computed.
    #[error(
        "{}: layer {layer} is complete up to row {committed}, and row {wanted} was asked for; run the extraction again, it \
         continues",
        .path.display()
    )]
    NotCommitted {
        /// The file.
        path: PathBuf,
        /// Name of the dataset.
        layer: String,
        /// Rows that are there.
        committed: usize,
        /// The last row asked for.
        wanted: usize,
    },
    /// A NaN or an infinity where an activation should be.
    #[error(
        "layer {layer}, row {row} ({image}): the network gave {value}; check weights and preprocessing, or run with \
         --dtype f32"
    )]
    NonFinite {
        /// Name of the dataset.
        layer: String,
        /// Row in the file.
        row: usize,
        /// Path of the image.
        image: String,
        /// The value.
        value: f32,
    },
    /// A value beyond what a half-precision float holds.
    #[error(
        "layer {layer}, row {row} ({image}): {value} does not fit f16 (at most 65504); write to another file \
         with --store f32 -o OTHER.h5"
    )]
    F16Overflow {
        /// Name of the dataset.
        layer: String,
        /// Row in the file.
        row: usize,
        /// Path of the image.
        image: String,
        /// The value.
        value: f32,
    },
    /// A call that does not fit the file: rows out of order, a buffer of the wrong length.
    #[error("{}: {detail}", .path.display())]
    Misuse {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        detail: String,
    },
    /// An earlier write failed, and the writer gave the file up.
    #[error("{}: closed after a failed write; open it again to continue", .path.display())]
    Closed {
        /// The file.
        path: PathBuf,
    },
    /// Adding rows or layers failed in this process, which left HDF5 unable to open the file again.
    #[error("{}: a change of the file failed before, and was undone; start the command again to continue", .path.display())]
    Abandoned {
        /// The file.
        path: PathBuf,
    },
    /// An `.npz` file that cannot become a cache.
    #[error("{}: {detail}", .path.display())]
    Import {
        /// The `.npz` file.
        path: PathBuf,
        /// What is wrong, and what is expected.
        detail: String,
    },
    /// The file to be made is there already.
    #[error("{}: exists already; delete it, or write to another file (-o)", .path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
}

fn key_mismatch(path: &Path, differences: &[KeyDifference]) -> String {
    let mut text = format!("{}: made with other settings than this run's:", path.display());
    for KeyDifference { part, file, run } in differences {
        let _ = write!(text, "\n  {part}: {file} in the file, {run} in this run");
    }
    text.push_str("\nwrite to another file (-o), run with the settings of the file, or delete it to start again");
    text
}

fn did_you_mean(near: &[String]) -> String {
    if near.is_empty() { String::new() } else { format!(" (did you mean {}?)", near.join(" or ")) }
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "no layers".into() } else { names.join(", ") }
}

/// Adds the file and the action to an error of HDF5 or of the system, and recognises a full disk in either.
pub(crate) trait At<T> {
    /// `doing` says what was being done, as in "cannot write layer avgpool:gap".
    fn at(self, path: &Path, doing: impl Into<String>) -> Result<T>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, path: &Path, doing: impl Into<String>) -> Result<T> {
        self.map_err(|source| {
            let (path, doing) = (path.to_owned(), doing.into());
            if is_full(&source) {
                Error::DiskFull { path, doing, detail: source.to_string() }
            } else {
                Error::Io { path, doing, source }
            }
        })
    }
}

impl<T> At<T> for hdf5::Result<T> {
    fn at(self, path: &Path, doing: impl Into<String>) -> Result<T> {
        self.map_err(|error| from_hdf5_error(&error, path, doing))
    }
}

/// An error of HDF5 with its file and action.
pub(crate) fn from_hdf5_error(error: &hdf5::Error, path: &Path, doing: impl Into<String>) -> Error {
    let (path, doing) = (path.to_owned(), doing.into());
    match system_error(error) {
        Some(source) if is_full(&source) => Error::DiskFull { path, doing, detail: source.to_string() },
        Some(source) => Error::Io { path, doing, source },
        None => Error::Hdf5 { path, doing, detail: error.to_string() },
    }
}

/// The system error under an HDF5 error. HDF5 has no field for it; its text says `errno = 28`.
fn system_error(error: &hdf5::Error) -> Option<io::Error> {
    error.stack()?.iter().find_map(|frame| {
        let (_, rest) = frame.desc().split_once("errno = ")?;
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse().ok().filter(|&code| code != 0).map(io::Error::from_raw_os_error)
    })
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_recognised_in_a_system_error() {
        for code in [28, 27, 122] {
            let result: io::Result<()> = Err(io::Error::from_raw_os_error(code));
            let error = result.at(Path::new("x.h5"), "cannot write").unwrap_err();
            assert!(matches!(error, Error::DiskFull { .. }), "{error}");
        }
        let result: io::Result<()> = Err(io::Error::from_raw_os_error(5));
        assert!(matches!(result.at(Path::new("x.h5"), "cannot write").unwrap_err(), Error::Io { .. }));
    }

    #[test]
    fn a_key_mismatch_lists_every_part_and_the_way_out() {
        let difference = |part: &str| KeyDifference { part: part.into(), file: "1".into(), run: "2".into() };
        let text =
            Error::KeyMismatch { path: "x.h5".into(), differences: vec![difference("weights"), difference("dtype")] };
        let text = text.to_string();
        for part in ["x.h5", "weights: 1 in the file, 2 in this run", "dtype:", "-o"] {
            assert!(text.contains(part), "{text}");
        }
    }
}
