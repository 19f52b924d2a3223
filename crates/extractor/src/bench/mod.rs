//! What this machine does in a second, one stage at a time and all of them together, so that the slowest can be named and a
//! change to it judged: [`decode`], [`forward`], [`write`](fn@write) and [`extract`].
//!
//! Everything runs through the code that an extraction runs through. Weights are random unless others are asked for, since
//! their values do not change how long a pass takes; nothing has to be downloaded.

mod decode;
mod machine;
mod photos;
mod timing;
mod write;

#[cfg(feature = "torch")]
mod forward;
#[cfg(feature = "torch")]
mod whole;

pub use decode::{DecodeRate, DecodeReport, decode};
pub use machine::{Machine, machine};
pub use photos::Photos;
pub use timing::{Effort, Spread};
pub use write::{WriteReport, write};

#[cfg(feature = "torch")]
pub use forward::{ForwardRate, ForwardRequest, forward};
#[cfg(feature = "torch")]
pub use whole::{ExtractRate, extract};

use crate::images::ListError;
use std::path::PathBuf;

/// Why something cannot be measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// The images cannot be listed.
    #[error(transparent)]
    List(#[from] ListError),
    /// None of the images can be decoded.
    #[error("{}: none of the {count} images tried can be decoded, the first because {reason}", .path.display())]
    NoImages {
        /// Where they are.
        path: PathBuf,
        /// How many were tried.
        count: usize,
        /// What is wrong with the first.
        reason: String,
    },
    /// A folder or file of the measurement.
    #[error("{}: {reason}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        reason: String,
    },
    /// The cache writer.
    #[error(transparent)]
    Cache(#[from] headstart_cache::Error),
    /// A backbone.
    #[error(transparent)]
    Backbone(#[from] crate::backbone::BackboneError),
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
    /// The device or precision.
    #[cfg(feature = "torch")]
    #[error(transparent)]
    Device(#[from] crate::engine::DeviceError),
    /// The forward pass.
    #[cfg(feature = "torch")]
    #[error(transparent)]
    Engine(#[from] crate::engine::EngineError),
    /// The extraction.
    #[cfg(feature = "torch")]
    #[error(transparent)]
    Extract(#[from] crate::pipeline::ExtractError),
}
