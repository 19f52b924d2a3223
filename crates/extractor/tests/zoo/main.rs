//! The zoo against the golden files in `tests/golden/zoo`, which `scripts/golden.py` makes from torchvision and describes.

#[cfg(feature = "torch")]
mod activations;
mod golden;
#[cfg(feature = "torch")]
mod passes;
mod structure;
