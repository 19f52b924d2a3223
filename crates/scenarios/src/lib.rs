//! What is asked of features and heads together: layer sweeps, predictions from images, and the plots of both.

pub mod plot;
#[cfg(feature = "torch")]
pub mod predict;
pub mod report;
pub mod sweep;
