//! The parameters of a backbone: read from every common file format without executing anything, checked against the
//! graph, drawn by a deterministic rule for tests, or fetched and kept in a cache folder.
//!
//! [`read`] turns a file into a [`StateDict`]; [`check()`] holds it against a [`Graph`] and gives [`Weights`];
//! [`load`] does both, [`verify`] only tells. [`fetch()`] downloads what [`sources`] lists; [`import`] takes a file of one's own.

mod archive;
mod check;
mod convert;
mod download;
mod fetch;
mod globals;
mod numpy;
mod object;
mod onnx;
mod pickle;
mod random;
mod safetensors;
pub mod sources;
mod store;
mod tensor;
mod torch_file;
mod tree;

#[cfg(test)]
mod golden_tests;

pub use check::{Comparison, Mismatch, Weights, check, compare};
pub use fetch::{FetchError, Fetched, Via, fetch};
pub use random::{random, random_input};
pub use store::{Listed, Outline, cache_folder, facts, import, list, locate, outline};
pub use tensor::{StateDict, Tensor};

use crate::graph::Graph;
use std::fs::File;
use std::path::{Path, PathBuf};
use tensor::Budget;

/// Why the contents of a file could not be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The file is damaged, or is not what it starts like.
    #[error("{0}")]
    Malformed(String),
    /// The file is sound but needs something that is not supported.
    #[error("{0}")]
    Unsupported(String),
    /// A pickle asks for a function or class that is not needed to describe tensors.
    #[error(
        "refused: the file wants to call {0}, which plain weights never need; save the state dict alone \
         (torch.save(model.state_dict(), FILE)) or convert the file to safetensors"
    )]
    Refused(String),
}

impl ReadError {
    fn malformed(reason: impl Into<String>) -> Self {
        ReadError::Malformed(reason.into())
    }

    fn unsupported(reason: impl Into<String>) -> Self {
        ReadError::Unsupported(reason.into())
    }
}

/// What can go wrong between a weights file and a backbone that can run.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The file could not be opened, mapped or written.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file's contents could not be understood.
    #[error("{}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ReadError,
    },
    /// The file holds the parameters of another network.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
}

impl WeightsError {
    fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| WeightsError::Io { path, source }
    }

    fn read(path: &Path) -> impl FnOnce(ReadError) -> Self {
        let path = path.to_path_buf();
        move |source| WeightsError::Read { path, source }
    }
}

/// Reads every tensor of a weights file. The format is told by the contents, never by the name: safetensors, PyTorch's
/// `.pth` (zip and legacy layout), a plain pickled state dict (of torch tensors or numpy arrays), ONNX initializers.
///
/// Wrappers (`{"state_dict": …}`, `{"model": …}`) and prefixes that every key carries (`module.`, `_orig_mod.`) are taken
/// off; nested dictionaries are flattened with dots. Nothing in the file is executed.
///
/// # Errors
/// When the file cannot be opened, is damaged, is of another format, or a pickle asks for anything but tensors.
pub fn read(path: &Path) -> Result<StateDict, WeightsError> {
    read_bytes(&map(path)?).map_err(WeightsError::read(path))
}

/// A file's bytes, which are read as they are looked at.
fn map(path: &Path) -> Result<memmap2::Mmap, WeightsError> {
    let file = File::open(path).map_err(WeightsError::io(path))?;
    let metadata = file.metadata().map_err(WeightsError::io(path))?;
    if !metadata.is_file() {
        return Err(WeightsError::read(path)(ReadError::unsupported("not a file (a folder, a pipe or a device)")));
    }
    if metadata.len() == 0 {
        return Err(WeightsError::read(path)(ReadError::malformed("the file is empty")));
    }
    // SAFETY: the mapping is read-only and private to this module. Should another process cut the file short meanwhile,
    // the read faults; in exchange a model of half a gigabyte is never held twice.
    unsafe { memmap2::Mmap::map(&file) }.map_err(WeightsError::io(path))
}

/// [`read`] on the bytes of a file.
fn read_bytes(bytes: &[u8]) -> Result<StateDict, ReadError> {
    let mut budget = Budget::for_file(bytes.len());
    let state = match bytes {
        // First, because the length a safetensors file starts with can look like the opening of any other format.
        _ if safetensors::recognises(bytes) => safetensors::read(bytes, &mut budget)?,
        [b'P', b'K', 3, 4, ..] => torch_file::read_zip(bytes, &mut budget)?,
        [0x80, 2..=5, ..] => torch_file::read_pickle(bytes, &mut budget)?,
        [0x89, b'H', b'D', b'F', ..] => {
            return Err(ReadError::unsupported(
                "this is an HDF5 file; Keras weights are not readable here, convert them to safetensors",
            ));
        }
        _ if bytes.get(257..262) == Some(b"ustar") => {
            return Err(ReadError::unsupported(
                "this is a tar archive (PyTorch before 0.1.10 wrote such files); open and save it again with a newer torch",
            ));
        }
        [0x08, ..] => onnx::read(bytes, &mut budget)?,
        _ => {
            return Err(ReadError::unsupported(
                "not a known weights file; safetensors, PyTorch .pth, pickled state dicts and ONNX are read",
            ));
        }
    };
    if state.is_empty() {
        return Err(ReadError::malformed("the file holds no tensors"));
    }
    Ok(tree::strip_prefixes(state))
}

/// Reads a file, renames its keys to torchvision's where it uses another convention, and checks it against the graph.
///
/// A file that [`import`] or [`fetch()`] wrote carries the hash of its contents, which is compared.
///
/// # Errors
/// Those of [`read`] and [`check()`], and when the contents do not have the hash that the file claims.
pub fn load(path: &Path, graph: &Graph) -> Result<Weights, WeightsError> {
    let state = convert::to_torchvision(read(path)?, graph);
    let weights = check(state, graph, &path.display().to_string())?;
    check_claim(path, &weights.sha256)?;
    Ok(weights)
}

/// Says how a file compares with a graph, by the rules of [`load`]: whatever that accepts is usable here, and a file whose
/// contents do not have the hash that it claims is an error in both.
///
/// # Errors
/// Those of [`read`], and when a file that would be usable does not hold the numbers it was written with.
pub fn verify(path: &Path, graph: &Graph) -> Result<Comparison, WeightsError> {
    let comparison = compare(&convert::to_torchvision(read(path)?, graph), graph);
    // The hash is over what fits: of a file that does not, it says nothing.
    if comparison.usable {
        check_claim(path, &comparison.sha256)?;
    }
    Ok(comparison)
}

/// Holds the hash of a file's contents against the one in its header, where the file was written here.
fn check_claim(path: &Path, sha256: &str) -> Result<(), WeightsError> {
    match store::claimed_hash(&facts(path)?) {
        Some(claimed) if claimed != sha256 => Err(WeightsError::read(path)(ReadError::malformed(
            "damaged: its contents do not have the hash it was written with; remove it and get it again",
        ))),
        _ => Ok(()),
    }
}
