//! Learning curves: what a layer and a head make of 5, 10, 30, 100 images of every class, and whether more would help.

mod draws;
mod error;
#[cfg(test)]
pub(crate) mod fixture;
mod images;
mod outlook;
mod persistence;
mod picture;
mod power_law;
#[cfg(test)]
mod tests;
mod training;

pub use draws::{Amount, Size, Step};
pub use error::CurveError;
pub use images::{Image, TestRows};
pub use outlook::{Check, Outlook, Uncertain, Verdict, WORTH};
pub use persistence::Persistence;
pub use power_law::PowerLaw;
pub use training::Recipe;

use crate::sweep::{cache_names, given_once};
use draws::Draws;
use headstart_cache::{Augmentation, Cache, LayerInfo, Provenance};
use headstart_trainer::{Estimate, HeadKind, Metric, Metrics, Tuned, mean_of_trainings};
use images::{Images, Rows};
use outlook::Wrong;
use rayon::prelude::*;
use serde::Serialize;
use std::{
    collections::HashSet,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
};
use training::{Trained, train};

/// What to measure.
#[derive(Debug, Clone)]
pub struct CurveOptions {
    /// The caches, of the same images.
    pub caches: Vec<PathBuf>,
    /// Layers (names with or without the pool); empty for all.
    pub layers: Vec<String>,
    /// Sizes of training sets.
    pub sizes: Vec<Size>,
    /// Draws of each size.
    pub draws: usize,
    /// Share of the images that is held out where a cache has no test images.
    pub held_out: f64,
    /// Whether what heads say of all cached views of a test image is added up; otherwise the image alone is scored.
    pub sum_views: bool,
    /// How heads are trained; its seed is that of the draws, too.
    pub recipe: Recipe,
}

/// Learning curves, all of the same images.
#[derive(Debug, Clone, Serialize)]
pub struct Curves {
    /// Names of the classes.
    pub classes: Vec<String>,
    /// Training images there are.
    pub images: usize,
    /// Test images.
    pub test_images: usize,
    /// Where these come from.
    pub test_rows: TestRows,
    /// The sizes, ascending.
    pub steps: Vec<Step>,
    /// Draws of each size; of the size that takes all images there is one.
    pub draws: usize,
    /// Seed of draws and folds.
    pub seed: u64,
    /// What C was chosen by.
    pub metric: Metric,
    /// One for each cache, layer and head.
    pub lines: Vec<Line>,
    /// What a reader of all curves should know.
    pub notes: Vec<String>,
    /// The test images, in the order of [`Persistence::shares`].
    #[serde(skip)]
    pub tested: Vec<Image>,
}

/// One learning curve.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    /// What tells it from the others.
    pub name: String,
    /// The cache.
    pub cache: PathBuf,
    /// Its backbone.
    pub backbone: String,
    /// How its training images were varied.
    pub augmentation: Augmentation,
    /// The layer, without the pool.
    pub layer: String,
    /// The pool.
    pub pool: String,
    /// Numbers per image.
    pub width: usize,
    /// Views of a test image that are added up; 1 where the image alone is scored.
    pub test_views: usize,
    /// The head.
    pub head: HeadKind,
    /// A point for each of the steps.
    pub points: Vec<Point>,
    /// What more images would bring.
    pub outlook: Outlook,
    /// Whether test images stay wrong.
    pub persistence: Persistence,
    /// What a reader of this curve should know.
    pub notes: Vec<String>,
    /// `mistaken[image]`: what the test image was most often taken for at the largest size.
    #[serde(skip)]
    pub mistaken: Vec<usize>,
    /// Where the cache's numbers come from.
    #[serde(skip)]
    pub provenance: Provenance,
}

/// One size of training set on one curve.
#[derive(Debug, Clone, Serialize)]
pub struct Point {
    /// The size as it was asked for.
    pub asked: String,
    /// Images that were trained on.
    pub images: usize,
    /// Draws.
    pub draws: usize,
    /// Mean accuracy on the test images over the draws, with an interval for other draws and other test images.
    pub test: Estimate,
    /// Its standard deviation over the draws; none of a single draw.
    pub test_sd: Option<f64>,
    /// Mean recall of the classes on the test images, over the draws.
    pub test_balanced: f64,
    /// Mean accuracy on the images that were trained on.
    pub train: f64,
    /// Its standard deviation over the draws.
    pub train_sd: Option<f64>,
    /// Folds on which C was chosen; 0 where the images were too few and the default was taken.
    pub folds: usize,
    /// Mean of the metric over folds and draws; none where a draw has no folds.
    pub cv_score: Option<f64>,
    /// What was chosen, in the order of the draws.
    pub tuned: Vec<Tuned>,
    /// Test accuracy of each draw.
    pub by_draw: Vec<f64>,
    /// Fits that did not come as close to their optimum as asked.
    pub unconverged: usize,
}

/// Measures the curves; `progress` is told after every draw: of which layer, how many are done, how many there are.
///
/// Draws are made at the same time where memory allows; the result does not depend on that.
///
/// # Errors
/// The first cache, layer or draw that cannot be read or trained on. Caches that do not go together, and layers that are not
/// complete, are found before anything is trained.
pub fn curves(options: &CurveOptions, progress: &(dyn Fn(&str, usize, usize) + Sync)) -> Result<Curves, CurveError> {
    let mut caches: Vec<(Cache, Vec<LayerInfo>)> = Vec::new();
    given_once(&options.caches)?;
    for path in &options.caches {
        let cache = Cache::open(path)?;
        let mut layers: Vec<LayerInfo> = match &options.layers[..] {
            [] => cache.layers().to_vec(),
            names => names.iter().map(|name| cache.find_layer(name).cloned()).collect::<Result<_, _>>()?,
        };
        // What is named twice is one curve.
        let mut known: HashSet<String> = HashSet::new();
        layers.retain(|layer| known.insert(layer.name.clone()));
        if layers.is_empty() {
            return Err(CurveError::NoLayers(path.clone()));
        }
        caches.push((cache, layers));
    }
    let recipe = &options.recipe;
    let first: Vec<(&Cache, &LayerInfo)> = caches.iter().map(|(cache, layers)| (cache, &layers[0])).collect();
    let images = Images::common(&first, options.held_out, recipe.seed)?;
    let work: Vec<(&Cache, &LayerInfo)> =
        caches.iter().flat_map(|(cache, layers)| layers.iter().map(move |layer| (cache, layer))).collect();
    for (cache, layer) in &work {
        headstart_trainer::Vectors::find(cache, layer, &headstart_trainer::Part::Train)
            .map_err(|source| CurveError::about(cache, layer, source))?;
    }
    let (steps, mut notes) = draws::steps(&options.sizes, &images.available())?;
    notes.splice(..0, images.notes.iter().cloned());
    let class_of: Vec<usize> = images.train.iter().map(|image| image.class).collect();
    let draws = Draws::new(&class_of, images.classes.len(), options.draws, recipe.seed);
    let sum_views = options.sum_views;
    let run =
        Run { images: &images, steps: &steps, draws: &draws, recipe, sum_views, total: 0, done: AtomicUsize::new(0) };
    let run = Run { total: run.tasks().len() * work.len(), ..run };
    let mut lines = Vec::new();
    let mut constant = None;
    for (cache, layer) in &work {
        match run.layer(cache, layer, progress) {
            Ok(of_layer) => lines.extend(of_layer),
            Err(source @ headstart_trainer::Error::ConstantFeatures { .. }) => {
                notes.push(format!("{}, layer {}, is left out: {source}", cache.path().display(), layer.name));
                constant.get_or_insert(CurveError::about(cache, layer, source));
            }
            Err(source) => return Err(CurveError::about(cache, layer, source)),
        }
    }
    // Other layers are worth having where there are any.
    if let Some(error) = constant.filter(|_| lines.is_empty()) {
        return Err(error);
    }
    if sum_views && lines.iter().all(|line| line.test_views == 1) {
        notes.push(
            "there is one view of each test image, so there is nothing to add up; extract --test-views makes more"
                .into(),
        );
    }
    name(&mut lines, &options.caches);
    let metric = recipe.heads.first().map_or(Metric::Accuracy, |(_, search)| search.compared_by());
    Ok(Curves {
        images: images.train.len(),
        test_images: images.test.len(),
        test_rows: images.test_rows,
        classes: images.classes,
        steps,
        draws: options.draws,
        seed: recipe.seed,
        metric,
        lines,
        notes,
        tested: images.test,
    })
}

/// What is done with every layer.
struct Run<'a> {
    images: &'a Images,
    steps: &'a [Step],
    draws: &'a Draws,
    recipe: &'a Recipe,
    sum_views: bool,
    /// Draws of all layers together.
    total: usize,
    done: AtomicUsize,
}

impl Run<'_> {
    /// Every size with every draw of it, size after size.
    fn tasks(&self) -> Vec<(usize, usize)> {
        let draws = |step: &Step| if step.images == self.images.train.len() { 1 } else { self.draws.len() };
        self.steps.iter().enumerate().flat_map(|(at, step)| (0..draws(step)).map(move |draw| (at, draw))).collect()
    }

    fn layer(
        &self,
        cache: &Cache,
        layer: &LayerInfo,
        progress: &(dyn Fn(&str, usize, usize) + Sync),
    ) -> Result<Vec<Line>, headstart_trainer::Error> {
        let memory = self.recipe.memory;
        let all = cache.rows().len();
        let place = if memory.holds(all, layer.width) { memory } else { headstart_trainer::Memory::new(0) };
        let rows = self.images.read(cache, layer, place, self.sum_views)?;
        let of_task = |&(step, draw): &(usize, usize)| {
            let trained = train(&rows, &self.draws.images(draw, &self.steps[step]), self.recipe);
            progress(&layer.name, self.done.fetch_add(1, Ordering::Relaxed) + 1, self.total);
            trained
        };
        let tasks = self.tasks();
        // The rows of a draw in f64, and some copies of them.
        let of_draw = 40 * rows.train.len() as u64 * layer.width as u64;
        let at_once = of_draw.saturating_mul(rayon::current_num_threads() as u64) <= memory.bytes();
        let trained: Vec<Result<Vec<Trained>, _>> = match at_once {
            true => tasks.par_iter().with_max_len(1).map(of_task).collect(),
            false => tasks.iter().map(of_task).collect(),
        };
        // Few images may be all the same in an early layer; the other draws of their size still say something.
        let mut constant = vec![0; self.steps.len()];
        let mut kept = Vec::new();
        for (&(step, _), trained) in tasks.iter().zip(trained) {
            match trained {
                Ok(heads) => kept.push((step, heads)),
                Err(headstart_trainer::Error::ConstantFeatures { .. }) => constant[step] += 1,
                Err(error) => return Err(error),
            }
        }
        for (at, step) in self.steps.iter().enumerate().filter(|(at, _)| constant[*at] > 0) {
            if !kept.iter().any(|(step, _)| *step == at) {
                return Err(headstart_trainer::Error::ConstantFeatures { rows: step.images });
            }
        }
        let heads = self.recipe.heads.iter().enumerate();
        // The heads of a draw came together; curves are of one head each.
        let line = |(at, (head, _)): (usize, &(headstart_trainer::HeadParams, _))| {
            let mut of_head: Vec<Vec<&Trained>> = vec![Vec::new(); self.steps.len()];
            kept.iter().for_each(|(step, heads)| of_head[*step].push(&heads[at]));
            let mut line = self.line(cache, layer, head.kind, &rows, &of_head);
            let left_out = self.steps.iter().zip(&constant).filter(|(_, draws)| **draws > 0);
            line.notes.extend(left_out.map(|(step, draws)| {
                format!(
                    "{}: {draws} draw(s) are left out, whose training images are all the same in this layer",
                    step.asked
                )
            }));
            line
        };
        Ok(heads.map(line).collect())
    }

    fn line(&self, cache: &Cache, layer: &LayerInfo, head: HeadKind, rows: &Rows, trained: &[Vec<&Trained>]) -> Line {
        let truth: &[usize] = &self.images.test.iter().map(|image| image.class).collect::<Vec<_>>();
        let is_wrong = |one: &&Trained| one.predicted.iter().zip(truth).map(|(said, is)| said != is).collect();
        let wrong: Vec<Vec<Vec<bool>>> = trained.iter().map(|draws| draws.iter().map(is_wrong).collect()).collect();
        let points: Vec<Point> =
            self.steps.iter().zip(trained).map(|(step, draws)| self.point(step, draws, truth)).collect();
        let images: Vec<usize> = self.steps.iter().map(|step| step.images).collect();
        let outlook = Outlook::of(Wrong { images: &images, wrong: &wrong, seed: self.recipe.seed });
        let provenance = cache.provenance().clone();
        Line {
            name: String::new(),
            cache: cache.path().to_path_buf(),
            backbone: provenance.backbone.clone(),
            augmentation: provenance.augmentation.clone(),
            layer: layer.layer.clone(),
            pool: layer.pool.clone(),
            width: layer.width,
            test_views: rows.test_views.iter().max().copied().unwrap_or(1),
            head,
            notes: notes(head, &points),
            points,
            outlook,
            persistence: Persistence::of(&wrong),
            mistaken: trained.last().map(|draws| mistaken(draws, truth, self.images.classes.len())).unwrap_or_default(),
            provenance,
        }
    }

    fn point(&self, step: &Step, draws: &[&Trained], truth: &[usize]) -> Point {
        let scores: Vec<Metrics> =
            draws.iter().map(|one| Metrics::new(&self.images.classes, truth, &one.predicted, None)).collect();
        let by_draw: Vec<f64> = scores.iter().map(|metrics| metrics.accuracy.value).collect();
        let training: Vec<f64> = draws.iter().map(|one| one.training_accuracy).collect();
        let cv_scores: Option<Vec<f64>> = draws.iter().map(|one| one.cv_score).collect();
        let balanced: f64 = scores.iter().map(|metrics| metrics.balanced_accuracy.value).sum();
        Point {
            asked: step.asked.clone(),
            images: step.images,
            draws: draws.len(),
            test: mean_of_trainings(&by_draw, truth.len()),
            test_sd: deviation(&by_draw),
            test_balanced: balanced / draws.len() as f64,
            train: training.iter().sum::<f64>() / training.len() as f64,
            train_sd: deviation(&training),
            folds: draws.iter().map(|one| one.folds).min().unwrap_or(0),
            cv_score: cv_scores.map(|scores| scores.iter().sum::<f64>() / draws.len() as f64),
            tuned: draws.iter().map(|one| one.tuned).collect(),
            by_draw,
            unconverged: draws.iter().filter(|one| !one.converged).count(),
        }
    }
}

/// The sample standard deviation, of two values or more.
fn deviation(values: &[f64]) -> Option<f64> {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    (values.len() > 1).then(|| (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0)).sqrt())
}

/// What each test image is most often taken for when it is wrong; its own class where it never is.
fn mistaken(draws: &[&Trained], truth: &[usize], classes: usize) -> Vec<usize> {
    let most = |(image, &is): (usize, &usize)| {
        let mut times = vec![0; classes];
        draws.iter().for_each(|one| times[one.predicted[image]] += 1);
        times[is] = 0;
        let best = (0..classes).fold(is, |best, class| if times[class] > times[best] { class } else { best });
        if times[best] == 0 { is } else { best }
    };
    truth.iter().enumerate().map(most).collect()
}

fn notes(head: HeadKind, points: &[Point]) -> Vec<String> {
    let mut notes = Vec::new();
    let small: Vec<&str> = points.iter().filter(|point| point.folds == 0).map(|point| &point.asked[..]).collect();
    if !small.is_empty() {
        let default = match head {
            HeadKind::Ncm => None,
            HeadKind::Knn => Some("k = 1 was taken"),
            _ => Some("C = 1 was taken, or the one that was given"),
        };
        if let Some(default) = default {
            notes.push(format!(
                "{}: a class has a single image, so nothing could be chosen: {default}",
                small.join(", ")
            ));
        }
    }
    let unconverged: usize = points.iter().map(|point| point.unconverged).sum();
    if unconverged > 0 {
        let fits: usize = points.iter().map(|point| point.draws).sum();
        notes.push(format!("{unconverged} of {fits} fits did not converge; standardize, or use smaller values of C"));
    }
    notes
}

/// Names each line by what it does not share with all others.
fn name(lines: &mut [Line], caches: &[PathBuf]) {
    let names = cache_names(caches);
    let several = |of: &dyn Fn(&Line) -> String| lines.iter().any(|line| of(line) != of(&lines[0]));
    let layers = several(&|line| format!("{}:{}", line.layer, line.pool));
    let heads = several(&|line| line.head.to_string());
    for line in lines {
        let cache = caches.iter().zip(&names).find(|(path, _)| **path == line.cache).map(|(_, name)| name.clone());
        let layer = format!("{}:{}", line.layer, line.pool);
        let parts = [
            cache.filter(|_| caches.len() > 1),
            (layers || (caches.len() == 1 && !heads)).then_some(layer),
            heads.then(|| line.head.to_string()),
        ];
        line.name = parts.into_iter().flatten().collect::<Vec<_>>().join(", ");
    }
}
