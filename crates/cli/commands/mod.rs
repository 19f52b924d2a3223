//! One file per subcommand: its arguments, the call, and how the result is shown.

pub mod advise;
pub mod augment;
pub mod bench;
pub mod classify;
pub mod curve;
pub mod doctor;
pub mod evaluate;
pub mod export;
pub mod extract;
pub mod import;
pub mod inspect;
pub mod layers;
pub mod map;
pub mod models;
pub mod neighbors;
pub mod predict;
pub mod scenario;
pub mod sweep;
pub mod train;
pub mod units;
pub mod weights;

use crate::{Outcome, Usage};
use headstart_trainer::{HeadKind, HeadParams, Memory, Metric, Scaling, Search, Validation, parse_c_grid};
use std::{fmt::Display, path::PathBuf, str::FromStr};

/// Which network, with which weights, seeing images how.
#[derive(clap::Args)]
pub struct BackboneArgs {
    /// A name from `headstart models`.
    #[arg(long, value_name = "NAME")]
    pub backbone: String,
    /// Weights: a file (safetensors, .pth, ONNX), or random:SEED [default: the pretrained ones, see `headstart weights`].
    #[arg(long = "weights", value_name = "FILE|random:SEED")]
    pub weights_text: Option<String>,
    /// Input side in pixels [default: what the weights were trained with].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub size: Option<u32>,
    /// Scale the shorter side and cut out the centre (crop), or scale both sides to the square (squash).
    #[arg(long = "resize", value_name = "crop|squash", value_parser = ["crop", "squash"])]
    pub resize_text: Option<String>,
}

/// Where to compute.
#[derive(clap::Args)]
pub struct DeviceArgs {
    /// auto, cpu, cuda or cuda:N; cuda never falls back to the CPU.
    #[arg(long = "device", value_name = "DEVICE", default_value = "auto")]
    pub device_text: String,
    /// Precision of the forward pass: f32, bf16, f16 or tf32 (what the device has; see `headstart doctor`). Where a cache is made
    /// also auto: that of the file if it exists, else bf16 (on a GPU f16) where the device has it and the features stay those of f32.
    #[arg(long = "dtype", value_name = "DTYPE", default_value = "f32")]
    pub precision_text: String,
}

#[cfg(feature = "torch")]
impl BackboneArgs {
    fn weights(&self) -> anyhow::Result<headstart_extractor::backbone::WeightsChoice> {
        Ok(self.weights_text.as_deref().map(parse).transpose()?.unwrap_or_default())
    }

    fn resize(&self) -> anyhow::Result<Option<headstart_cache::Resize>> {
        self.resize_text.as_deref().map(parse).transpose()
    }
}

#[cfg(feature = "torch")]
impl DeviceArgs {
    fn device(&self) -> anyhow::Result<headstart_extractor::engine::DeviceChoice> {
        parse(&self.device_text)
    }

    fn precision(&self) -> anyhow::Result<headstart_extractor::engine::Precision> {
        parse(&self.precision_text)
    }

    /// Where there is a cache to say what `auto` means.
    fn precision_choice(&self) -> anyhow::Result<headstart_extractor::pipeline::PrecisionChoice> {
        parse(&self.precision_text)
    }
}

/// A mistake in a trainer's parameter is one of usage; its other errors are failures.
fn usage(error: headstart_trainer::Error) -> anyhow::Error {
    use headstart_trainer::Error::{LinfaWeights, Parameter};
    match error {
        Parameter { .. } | LinfaWeights => Usage(error.to_string()).into(),
        _ => error.into(),
    }
}

/// Parses an argument; a mistake is one of usage.
fn parse<T: FromStr>(text: &str) -> anyhow::Result<T>
where
    T::Err: Display,
{
    text.parse().map_err(|error: T::Err| anyhow::Error::new(Usage(error.to_string())))
}

fn parse_all<T: FromStr>(texts: &[String]) -> anyhow::Result<Vec<T>>
where
    T::Err: Display,
{
    texts.iter().map(|text| parse(text)).collect()
}

/// A flag that SIGINT and SIGTERM raise; a second signal ends the process at once.
fn stop_on_signals() -> anyhow::Result<std::sync::Arc<std::sync::atomic::AtomicBool>> {
    use signal_hook::{consts, flag};
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    for signal in [consts::SIGINT, consts::SIGTERM] {
        flag::register_conditional_shutdown(signal, 130, stop.clone())?;
        flag::register(signal, stop.clone())?;
    }
    Ok(stop)
}

/// Refuses a plot of another format before any work is done, for it would be a pity to find out afterwards.
fn check_plots<'a>(plots: impl IntoIterator<Item = &'a PathBuf>) -> anyhow::Result<()> {
    let is_picture = |path: &PathBuf| {
        path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("svg") || ending.eq_ignore_ascii_case("png"))
    };
    match plots.into_iter().find(|path| !is_picture(path)) {
        Some(path) => Err(Usage(format!("--plot {}: end the file name with .svg or .png", path.display())).into()),
        None => Ok(()),
    }
}

/// What commands that run a network say in a binary built without libtorch.
#[cfg(not(feature = "torch"))]
fn needs_torch(command: &str) -> anyhow::Error {
    anyhow::anyhow!(
        "{command} runs a network, and this headstart was built without libtorch; build it with `scripts/setup && cargo build --release`"
    )
}

/// A number of folds.
fn at_least_two(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&folds| folds >= 2).ok_or_else(|| "give a number of folds, at least 2".into())
}

/// Folds of a cross-validation: at least 2, or `none` for 0.
fn parse_folds(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(folds) if folds >= 2 => Ok(folds),
        _ if text == "none" => Ok(0),
        _ => Err("give a number of folds, at least 2, or none".into()),
    }
}

/// How heads are chosen and trained.
#[derive(clap::Args)]
pub struct HeadArgs {
    /// Candidates for C: from:to:count, spaced evenly in the logarithm [default: 1e-4:1e3:8].
    #[arg(long, value_name = "FROM:TO:COUNT")]
    pub c_grid: Option<String>,
    /// After the grid, N rounds of two more values of C around the best: halfway to its neighbours, or beyond the grid's end.
    #[arg(long, value_name = "N", default_value_t = 0)]
    refine: usize,
    /// Candidates for the number of neighbours, for heads of kind knn [default: 1,3,5,11,21].
    #[arg(long, value_name = "K,K,…")]
    pub neighbors: Option<String>,
    /// What near means to these: euclidean or cosine [default: euclidean].
    #[arg(long = "knn-metric", value_name = "euclidean|cosine")]
    knn_metric_text: Option<String>,
    /// Folds of the cross-validation; `none` fits the one C of --c (or the one number of --neighbors) without it.
    #[arg(long = "cv", value_name = "K|none", default_value = "5", value_parser = parse_folds)]
    cv_folds: usize,
    /// Repeat the cross-validation with other folds, of seeds N, N + 1 and so on; the standard error counts no row twice.
    #[arg(long, value_name = "R", default_value_t = 1)]
    repeats: usize,
    /// What C is chosen by, and layers and heads in a sweep: accuracy; balanced (mean recall of the classes); logloss (of
    /// heads with probabilities); auc (area under the ROC curve, over several classes the mean of each against the rest).
    #[arg(long = "metric", value_name = "NAME", default_value = "accuracy", value_parser = ["accuracy", "balanced", "logloss", "auc"])]
    metric_text: String,
    /// `l2`: divide every image's features by their Euclidean norm first; the head does the same when it predicts.
    #[arg(long = "normalize", value_name = "none|l2", default_value = "none", value_parser = ["none", "l2"])]
    normalize_text: String,
    /// Bring every feature to mean 0 and standard deviation 1 (statistics of each fold's training rows).
    #[arg(long)]
    pub standardize: bool,
    /// Seed of the folds.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// The solvers: headstart's own (default), or linfa-logistic and linfa-svm, to compare with (slow for large C).
    #[arg(long = "engine", value_name = "default|linfa", default_value = "default", value_parser = ["default", "linfa"])]
    engine_text: String,
    /// `balanced`: rows count by the inverse of their class's frequency.
    #[arg(long = "class-weight", value_name = "none|balanced", default_value = "none", value_parser = ["none", "balanced"])]
    class_weight_text: String,
    /// What an SVM pays for images within the margin: libsvm's loss, or liblinear's default.
    #[arg(long = "loss", value_name = "hinge|squared-hinge", default_value = "hinge", value_parser = ["hinge", "squared-hinge"])]
    svm_loss_text: String,
    /// What the bias costs: nothing (libsvm's objective), or as much as a weight (liblinear's).
    #[arg(long = "bias", value_name = "free|regularized", default_value = "free", value_parser = ["free", "regularized"])]
    bias_text: String,
    /// Memory for features and what is made of them, such as 512M or 8G [default: half of what is available]. Features that are
    /// too large for it stay in the cache and are read again for every step; the head is the same.
    #[arg(long = "memory", value_name = "SIZE")]
    memory_text: Option<String>,
    /// How close to the optimum each fit has to come: bounds the relative error of logistic weights, and how far an SVM's
    /// objective is above its minimum. A fit that stays above it is reported.
    #[arg(long = "tol", value_name = "TOL", default_value_t = headstart_trainer::DEFAULT_TOLERANCE)]
    tolerance: f64,
}

/// Candidates for C unless others are asked for.
const C_GRID: &str = "1e-4:1e3:8";

/// Candidates for the number of neighbours unless others are asked for.
const NEIGHBORS: &str = "1,3,5,11,21";

impl HeadArgs {
    /// Memory that training may use.
    fn memory(&self) -> anyhow::Result<Memory> {
        self.memory_text.as_deref().map_or_else(|| Ok(Memory::of_this_machine()), parse)
    }

    /// Refuses options that none of these kinds of heads heeds. `c`: whether a single C was given.
    fn refuse_unheeded(&self, kinds: &[HeadKind], c: bool) -> anyhow::Result<()> {
        if !kinds.iter().any(|kind| kind.has_c()) {
            let given = [("--c", c), ("--c-grid", self.c_grid.is_some()), ("--refine", self.refine > 0)];
            if let Some((option, _)) = given.iter().find(|(_, given)| *given) {
                let instead = if kinds[0] == HeadKind::Knn { "; give --neighbors" } else { "; leave it out" };
                return Err(Usage(format!("{option}: heads of kind {} have no C{instead}", kinds[0])).into());
            }
        }
        if !kinds.contains(&HeadKind::Knn) {
            let given = [("--neighbors", self.neighbors.is_some()), ("--knn-metric", self.knn_metric_text.is_some())];
            if let Some((option, _)) = given.iter().find(|(_, given)| *given) {
                return Err(Usage(format!("{option} is for heads of kind knn; leave it out for {}", kinds[0])).into());
            }
        }
        Ok(())
    }

    /// Which points of its grid a kind of head tries, and what they are compared by. `c`: the only one.
    fn search(&self, kind: HeadKind, c: Option<f64>) -> anyhow::Result<Search> {
        let points = match (kind, c) {
            (HeadKind::Knn, _) => self.neighbors()?,
            (_, Some(c)) => vec![c],
            _ if !kind.has_c() => vec![1.0],
            _ => parse_c_grid(self.c_grid.as_deref().unwrap_or(C_GRID)).map_err(usage)?,
        };
        let refine = if kind.has_c() { self.refine } else { 0 };
        Ok(Search::new(points).metric(parse(&self.metric_text)?).refine(refine))
    }

    /// Several kinds of heads by their names, each with its candidates. Everything that can be wrong with them is found here.
    fn heads(&self, names: &[String]) -> anyhow::Result<Vec<(HeadParams, Search)>> {
        let mut kinds: Vec<HeadKind> = Vec::new();
        for name in names {
            let kind = parse(name)?;
            // What is named twice is trained once: compared with itself, it would be its own rival.
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        self.refuse_unheeded(&kinds, false)?;
        let head = |&kind: &HeadKind| {
            let search = self.search(kind, None)?;
            search.verify(kind).map_err(usage)?;
            Ok((self.params(kind)?, search))
        };
        kinds.iter().map(head).collect()
    }

    /// Candidates for the number of neighbours.
    fn neighbors(&self) -> anyhow::Result<Vec<f64>> {
        let text = self.neighbors.as_deref().unwrap_or(NEIGHBORS);
        let wrong = || Usage(format!("--neighbors is '{text}': give whole numbers from 1, e.g. {NEIGHBORS}"));
        let one = |part: &str| part.trim().parse::<u32>().ok().filter(|&k| k > 0).map(f64::from);
        text.split(',').map(|part| one(part).ok_or_else(|| wrong().into())).collect()
    }

    /// On which rows candidates are compared, where no split is named.
    fn validation(&self) -> anyhow::Result<Validation> {
        match (self.cv_folds, self.repeats) {
            (0, 1) => Ok(Validation::None),
            (0, _) => Err(Usage("--repeats: there is nothing to repeat without the folds of --cv".into()).into()),
            (folds, 1) => Ok(Validation::KFold(folds)),
            (folds, repeats) => {
                let validation = Validation::Repeated { folds, repeats };
                validation.verify().map_err(usage)?;
                Ok(validation)
            }
        }
    }

    /// What is done to features before.
    fn scaling(&self) -> anyhow::Result<Scaling> {
        Ok(Scaling { normalize: parse(&self.normalize_text)?, standardize: self.standardize })
    }

    /// What is fitted, for one kind of head.
    fn params(&self, kind: HeadKind) -> anyhow::Result<HeadParams> {
        let class_weight = parse(&self.class_weight_text)?;
        let engine = parse(&self.engine_text)?;
        let svm_loss = parse(&self.svm_loss_text)?;
        let bias = parse(&self.bias_text)?;
        let knn_metric = self.knn_metric_text.as_deref().map(parse).transpose()?.unwrap_or_default();
        let params = HeadParams { kind, svm_loss, engine, class_weight, knn_metric, bias, tolerance: self.tolerance };
        params.check().map_err(usage)
    }
}

/// `40 images`, or where views were added `40 images, 320 rows with their views`.
fn images_and_rows(what: &str, images: usize, rows: usize) -> String {
    if images == rows { format!("{rows} {what}") } else { format!("{images} {what}, {rows} rows with their views") }
}

/// What a score that was the mean over folds is followed by: ± its standard error.
fn with_error(metric: Metric, mean: f64, error: f64) -> String {
    format!("{}{} ± {}", metric.digits(mean), metric.unit(), metric.digits(error))
}

/// Prints what was predicted, one line per image, or everything as JSON.
#[cfg(feature = "torch")]
fn show_predictions(
    predictions: &[headstart_scenarios::predict::Prediction],
    json: bool,
    strict: bool,
) -> anyhow::Result<Outcome> {
    if json {
        crate::table::print_json(&predictions)?;
    } else {
        predictions.iter().for_each(show_prediction);
    }
    let broken = predictions.iter().filter(|prediction| prediction.error.is_some()).count();
    after_predictions(predictions.len(), broken, strict)
}

/// Prints one image with its likeliest classes.
fn show_prediction(prediction: &headstart_scenarios::predict::Prediction) {
    /// Classes shown to people for each image.
    const SHOWN: usize = 5;
    let guesses: Vec<String> = prediction
        .guesses
        .iter()
        .take(SHOWN)
        .map(|guess| match guess.probability {
            Some(probability) => format!("{} {:.1} %", guess.class, 100.0 * probability),
            None => format!("{} {:+.3}", guess.class, guess.score),
        })
        .collect();
    let text = prediction.error.as_ref().map_or_else(|| guesses.join(", "), |e| format!("cannot be used: {e}"));
    println!("{}: {text}", prediction.path);
}

/// How predictions ended, by how many of the images could not be used.
fn after_predictions(images: usize, unusable: usize, strict: bool) -> anyhow::Result<Outcome> {
    if unusable == images {
        anyhow::bail!("none of the {unusable} images could be used");
    }
    Ok(if strict && unusable > 0 { Outcome::Skipped } else { Outcome::Done })
}
