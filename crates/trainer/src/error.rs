//! Everything that can go wrong between cached vectors and a head, each with what to do about it.

use std::path::PathBuf;

/// Why a head could not be trained, saved, read or applied.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A hyper-parameter that the trainer cannot work with.
    #[error("{name} is {value}: {wanted}")]
    Parameter {
        /// Name of the parameter as the command line spells it.
        name: &'static str,
        /// What was given.
        value: String,
        /// What would be accepted.
        wanted: &'static str,
    },
    /// linfa treats all rows of a class the same, and linfa-logistic all classes.
    #[error(
        "linfa has no sample weights and linfa-logistic no class weights; use --engine default or leave the weights out"
    )]
    LinfaWeights,
    /// A sample weight that makes no sense.
    #[error("row {row} has sample weight {value}; give positive, finite numbers")]
    Weight {
        /// Row, counted from 0.
        row: usize,
        /// Its weight.
        value: f64,
    },
    /// There is nothing to train on.
    #[error("no rows to train on; are any rows labelled and extracted?")]
    NoRows,
    /// Part of the cache has no labelled rows.
    #[error("{}: no labelled {part} rows (splits with labelled rows: {})", .path.display(), split_names(.splits))]
    NoneSelected {
        /// The cache.
        path: PathBuf,
        /// What was looked for.
        part: String,
        /// The splits that have labelled rows.
        splits: Vec<String>,
    },
    /// A row of a class that the head does not know.
    #[error("there are rows of class '{class}', which the head does not know (it knows {}); score other rows with --split", .known.join(", "))]
    UnknownClass {
        /// The class.
        class: String,
        /// The head's classes.
        known: Vec<String>,
    },
    /// A cache from another extraction than the head's.
    #[error(
        "{}: the head was trained on other vectors ({}); give a cache of the same backbone, weights and preprocessing",
        .path.display(), .differences.join("; ")
    )]
    OtherVectors {
        /// The cache.
        path: PathBuf,
        /// What differs: the head's value there, the cache's here.
        differences: Vec<String>,
    },
    /// A layer that an extraction has not finished.
    #[error("{}: {layer} has {committed} of {rows} rows; run its extract command again, it continues where it stopped", .path.display())]
    Incomplete {
        /// The cache.
        path: PathBuf,
        /// The layer.
        layer: String,
        /// Rows it has.
        committed: usize,
        /// Rows of the cache.
        rows: usize,
    },
    /// The cache cannot be read.
    #[error(transparent)]
    Cache(#[from] headstart_cache::Error),
    /// There are rows, but they have no columns.
    #[error("the feature vectors have no columns")]
    NoColumns,
    /// Arrays that describe the same rows have different lengths.
    #[error("{what} has {got} entries for {rows} rows of features")]
    Length {
        /// Name of the array.
        what: &'static str,
        /// Its length.
        got: usize,
        /// The number of rows of the features.
        rows: usize,
    },
    /// A label beyond the list of classes.
    #[error("row {row} has label {label}, but there are only {classes} classes (0 to {})", classes.saturating_sub(1))]
    Label {
        /// Row, counted from 0.
        row: usize,
        /// Its label.
        label: usize,
        /// Number of classes.
        classes: usize,
    },
    /// Two classes of one name.
    #[error("the class name '{0}' is listed twice")]
    DuplicateClass(String),
    /// A classifier needs something to tell apart.
    #[error("all {rows} rows are of one class, '{class}'; a head needs at least two classes")]
    OneClass {
        /// The only class.
        class: String,
        /// Rows.
        rows: usize,
    },
    /// A class is listed, but no row of the training part has it.
    #[error("class '{class}' has no rows to train on{place}; remove it from the classes or add images of it")]
    EmptyClass {
        /// Name of the class.
        class: String,
        /// Which part it is missing from, empty for the whole training set.
        place: String,
    },
    /// A class cannot be spread over all folds.
    #[error(
        "class '{class}' has {groups} image(s), fewer than the {folds} folds of the cross-validation; {}",
        instead_of_folds(*groups)
    )]
    ClassSmallerThanFolds {
        /// Name of the class.
        class: String,
        /// Number of groups (images) of that class.
        groups: usize,
        /// Folds asked for.
        folds: usize,
    },
    /// NaN or infinity among the features.
    #[error("the feature in row {row}, column {column} is {value}; extract the layer again or leave that row out")]
    NotFinite {
        /// Row, counted from 0.
        row: usize,
        /// Column, counted from 0.
        column: usize,
        /// `NaN`, `inf` or `-inf`.
        value: f32,
    },
    /// More neighbours than there are rows to choose them from.
    #[error("--neighbors asks for {neighbors}, but there are only {rows} training rows{place}; give smaller numbers")]
    FewNeighbors {
        /// Neighbours asked for.
        neighbors: usize,
        /// Training rows.
        rows: usize,
        /// When there are so few, empty for the whole training set.
        place: String,
    },
    /// Nearest neighbours all have one vote.
    #[error("nearest neighbours (knn) have one vote each; leave sample weights out")]
    WeightedNeighbors,
    /// No ONNX for a head that is its training vectors.
    #[error("{}: a head of nearest neighbours is its training vectors, not a formula that fits ONNX well; export to .npz", path.display())]
    ExportNeighbors {
        /// The file.
        path: PathBuf,
    },
    /// No column tells any two rows apart.
    #[error("all {rows} training rows have the same features, so this layer cannot tell the classes apart")]
    ConstantFeatures {
        /// Training rows.
        rows: usize,
    },
    /// Rows that are read when they are needed could not be read.
    #[error("{0}")]
    Unreadable(String),
    /// More memory is needed than may be used.
    #[error("{method} needs {} of memory, and {} are left of what --memory allows: allow more{way_out}", size(*.needed), size(*.left))]
    Memory {
        /// What cannot be used.
        method: &'static str,
        /// Bytes it needs.
        needed: u64,
        /// Bytes that are left.
        left: u64,
        /// What else would help.
        way_out: &'static str,
    },
    /// A fixed split whose validation part cannot be used.
    #[error("the fixed split is unusable: {0}")]
    Split(String),
    /// A selection without the rows of one outer fold.
    #[error("outer fold {fold} of {folds} of the nested cross-validation: {source}")]
    OuterFold {
        /// Which fold, counted from 1.
        fold: usize,
        /// Outer folds.
        folds: usize,
        /// What went wrong.
        source: Box<Error>,
    },
    /// A metric that the held-out rows do not define.
    #[error(
        "--metric: the {0} is undefined, for all held-out rows of every fold are of one class; hold out rows of at least \
         two classes, or use --metric accuracy"
    )]
    UndefinedMetric(&'static str),
    /// The head was made for vectors of another width.
    #[error("the head was trained on vectors of {expected} features, but these have {got}; is it the same layer?")]
    Width {
        /// Width the head knows.
        expected: usize,
        /// Width that was given.
        got: usize,
    },
    /// Probabilities were asked of a head that has none.
    #[error("a head of kind {0} gives scores, not probabilities")]
    NoProbabilities(&'static str),
    /// A solver gave up or returned something that is no model.
    #[error("the {engine} solver failed at C = {c}: {reason}")]
    Solver {
        /// Name of the engine.
        engine: &'static str,
        /// C of the fit.
        c: f64,
        /// What happened.
        reason: String,
    },
    /// The eigendecomposition of the Gram matrix did not converge.
    #[error(
        "the eigendecomposition of the {rows} x {rows} Gram matrix failed; standardize the features or drop extreme rows"
    )]
    Eigen {
        /// Rows of the training set.
        rows: usize,
    },
    /// linfa refused a dataset.
    #[error(transparent)]
    Linfa(#[from] linfa::Error),
    /// A head file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The name of a file to export to says nothing that can be written.
    #[error("{}: end the file name with .onnx (for ONNX Runtime and others) or .npz (for NumPy)", path.display())]
    ExportFormat {
        /// The file.
        path: PathBuf,
    },
    /// Weights beyond what one ONNX file holds.
    #[error("{}: the weights take {bytes} bytes, and an ONNX file holds at most 2 GB; export to .npz", path.display())]
    ExportSize {
        /// The file.
        path: PathBuf,
        /// Bytes of the weights.
        bytes: usize,
    },
    /// A file that is not a head, or a damaged one.
    #[error("{place}: not a usable head file: {reason}")]
    HeadFile {
        /// The file, or `head` for bytes in memory.
        place: String,
        /// Which field is wrong and how.
        reason: String,
    },
}

/// A number of bytes for people.
pub(crate) fn size(bytes: u64) -> String {
    let megabytes = bytes as f64 / f64::from(1 << 20);
    if megabytes < 10_000.0 { format!("{megabytes:.0} MB") } else { format!("{:.0} GB", megabytes / 1024.0) }
}

fn split_names(splits: &[String]) -> String {
    if splits.is_empty() {
        return "none at all; are the images in class folders?".into();
    }
    let quoted: Vec<String> = splits.iter().map(|split| format!("'{split}'")).collect();
    quoted.join(", ")
}

/// What can be done about a class that has so few images; folds are two or more.
fn instead_of_folds(groups: usize) -> String {
    match groups {
        0 | 1 => "folds are at least 2, so add images of it, leave the class out, or use a fixed split".into(),
        _ => format!("use at most {groups} folds, add images of it, or use a fixed split"),
    }
}
