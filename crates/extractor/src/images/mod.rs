//! Pictures on disk to the bytes a backbone is fed with.
//!
//! [`listing`] says which images there are, with their labels and splits; [`decode()`] turns the bytes of one file into an
//! upright RGB image; [`prepare()`] brings that to the square the backbone sees; [`geometry`] holds the measures of this.
//! [`augment`] makes varied views of it. Scaling to 0…1 and normalising is left to the device that runs the backbone.

pub mod augment;
pub mod batch;
pub mod decode;
pub mod fingerprint;
pub mod geometry;
mod jpeg;
pub mod listing;
pub mod pixels;
mod prepare;
mod resample;
mod turbo;

#[cfg(test)]
mod parity;

pub use decode::{DECODER, DecodeError, FAST_DECODER, Image8, Place, Purpose, decode, decode_for, decode_into};
pub use fingerprint::{Fingerprint, copies};
pub use geometry::GeometryError;
pub use listing::{Item, ListError, Listing, list};
pub use prepare::{prepare, prepare_part};
