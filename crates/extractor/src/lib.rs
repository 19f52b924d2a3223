//! Images through a frozen, pretrained backbone: the activations of any chosen layers, written to a cache.
//!
//! [`graph`] describes networks, [`zoo`] holds the known ones, [`weights`] reads and fetches their parameters, [`images`]
//! lists, decodes and prepares pictures. With the feature `torch`, `engine` runs a plan and `pipeline` ties it all together.

pub mod backbone;
pub mod bench;
pub mod graph;
pub mod images;
pub mod source;
pub mod weights;
pub mod zoo;

#[cfg(feature = "torch")]
pub mod engine;
#[cfg(feature = "torch")]
pub mod pipeline;

/// Has this process decode, and on the CPU run networks, on this many threads instead of one for each processor. To be called
/// before anything else here.
///
/// # Errors
/// When something has run already, or the system gives no more threads.
pub fn use_threads(threads: usize) -> Result<(), rayon::ThreadPoolBuildError> {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()
}
