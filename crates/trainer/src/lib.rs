//! Shallow heads on cached feature vectors: logistic regression and linear SVMs, chosen by cross-validation, scored honestly.
//!
//! The way through: [`Samples`] borrow the vectors of one layer; [`TrainParams`], once checked, say what to train; [`train()`] picks C,
//! fits, and returns an [`Outcome`], whose [`Outcome::into_head`] makes a [`Head`] that can be saved, loaded and applied. For many
//! heads on one layer, [`Prepared`] does the work they share once.
//!
//! In linfa's words: checked parameters implement `Fit`, models `Predict`.
//!
//! Nothing here knows images or libtorch, and the same arguments give the same bits on any number of threads.

mod calibration;
mod centring;
mod classifier;
mod criterion;
mod eigen;
mod engine;
mod error;
mod export;
mod faint;
mod features;
mod folds;
mod gram;
mod grid;
mod head;
mod head_file;
mod head_tensors;
mod interval;
mod linfa_traits;
mod made_rows;
mod memory;
mod metrics;
mod model;
mod neighbors;
mod nested;
mod normalize;
mod objective;
mod origin;
mod out_of_fold;
mod paired;
mod params;
mod part_file;
mod prepared;
mod principal;
mod progress;
mod random;
mod reduction;
mod roc;
mod samples;
mod search;
mod selection;
mod splits;
mod spread;
mod statistics;
mod table;
mod train;
mod train_params;
mod transferability;
mod tuned;
mod validation;
mod vectors;
mod views;

pub use calibration::{
    Calibration, CalibrationChoice, CalibrationMethod, CalibrationSummary, Curve, ECE_BINS, ProbabilityScores,
};
pub use classifier::{Model, Rule, Verdicts};
pub use criterion::Metric;
pub use engine::{Certificate, Engine, Measure, Problem, Rows, Solution, engine};
pub use error::Error;
pub use export::ExportFormat;
pub use features::{Features, RowSource};
pub use folds::stratified_folds;
pub use grid::parse_c_grid;
pub use head::{Head, Source, TrainingSummary, evaluate, evaluate_each};
pub use head_file::HEAD_FORMAT_VERSION;
pub use interval::{Estimate, mean_of_proportions, mean_of_trainings, wilson};
pub use linfa::ParamGuard;
pub use memory::{Memory, MemoryUse};
pub use metrics::{ClassMetrics, Metrics};
pub use model::LinearModel;
pub use neighbors::{KnnMetric, NeighborsModel, Standardization, nearest};
pub use nested::{NestedValidation, OuterFold};
pub use normalize::{Normalize, Scaling};
pub use objective::objective;
pub use out_of_fold::HeldOutVerdicts;
pub use paired::{PairedTest, corrected_resampled_t, holm, mcnemar};
pub use params::{Bias, ClassWeight, DEFAULT_TOLERANCE, EngineChoice, HeadKind, HeadParams, SvmLoss};
pub use part_file::PartFile;
pub use prepared::{FitReport, Fitted, HeldOut, Prepared};
pub use principal::{PrincipalComponents, principal_components};
pub use random::SplitMix64;
pub use samples::Samples;
pub use search::Search;
pub use selection::{CrossValidation, GridPoint, Scheme};
pub use table::{StoredRows, Table};
pub use train::{Outcome, Progress, Seconds, train, train_prepared};
pub use train_params::{HeldOutUse, TrainParams, TrainValidParams};
pub use transferability::{h_score, leep, log_me};
pub use tuned::Tuned;
pub use validation::Validation;
pub use vectors::{Part, Vectors, training_splits};
pub use views::evaluate_views;
