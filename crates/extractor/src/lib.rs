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
