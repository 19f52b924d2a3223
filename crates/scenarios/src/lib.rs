//! What is asked of features and heads together: heads from caches, advice, layer sweeps, learning curves, looks at the images behind
//! features, predictions from images and caches, files of these, plots, reports.

pub mod advise;
pub mod curve;
pub mod look;
pub mod plot;
pub mod predict;
pub mod prediction_file;
pub mod report;
pub mod scenario;
pub mod sweep;
pub mod train;
