//! End-to-end tests: every one runs the real `headstart` binary on real files in a folder of its own.
//!
//! `cargo test --test e2e` runs the binary with libtorch, `cargo test --test e2e --no-default-features` the one without.
//! What needs something that may be absent (fetched weights, photographs, torchvision, ONNX Runtime, a browser, the right to mount
//! a file system) prints a line that begins with SKIPPED; `cargo test --test e2e -- --nocapture` shows those.

mod browser;
mod harness;
mod hdf5_file;
mod npz;

mod advise;
mod bench;
mod calibration;
mod contact_sheet;
mod curve;
mod digits;
mod errors;
mod export;
mod heads;
mod import;
mod leakage;
mod listing;
mod look;
mod memory;
mod neighbors;
#[cfg(not(feature = "torch"))]
mod no_torch;
mod predict_cache;
mod report;
mod selection;
mod sweep;
mod weights;

#[cfg(feature = "torch")]
mod augment;
#[cfg(feature = "torch")]
mod cache;
#[cfg(feature = "torch")]
mod cells;
#[cfg(feature = "torch")]
mod extract;
#[cfg(feature = "torch")]
mod full_disk;
#[cfg(feature = "torch")]
mod photos;
#[cfg(feature = "torch")]
mod pictures;
#[cfg(feature = "torch")]
mod precision;
#[cfg(feature = "torch")]
mod predict;
#[cfg(feature = "torch")]
mod predict_images;
#[cfg(feature = "torch")]
mod resume;
#[cfg(feature = "torch")]
mod scenario;
#[cfg(feature = "torch")]
mod torchvision;
#[cfg(feature = "torch")]
mod work;
