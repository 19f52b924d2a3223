//! One draw of images: every head trained on it, C chosen on it alone, and scored.

use super::images::Rows;
use headstart_trainer::{
    Error, HeadKind, HeadParams, Memory, Prepared, Scaling, Search, Tuned, Validation, Vectors, train_prepared,
};

/// How heads are trained.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// The heads, each with its grid.
    pub heads: Vec<(HeadParams, Search)>,
    /// Folds that C is chosen on; draws whose smallest class has fewer images get as many as that has.
    pub folds: usize,
    /// How often the images are dealt out to folds.
    pub repeats: usize,
    /// What is done to features before.
    pub scaling: Scaling,
    /// Seed of the folds.
    pub seed: u64,
    /// Memory that training may use.
    pub memory: Memory,
}

/// A head on one draw.
#[derive(Debug, Clone)]
pub struct Trained {
    /// Share of the drawn images that it predicts right.
    pub training_accuracy: f64,
    /// What it says of every test image, its views added up.
    pub predicted: Vec<usize>,
    /// What was chosen.
    pub tuned: Tuned,
    /// Mean of the metric over the folds; none where there were none.
    pub cv_score: Option<f64>,
    /// On how many folds; 0 where there were too few images, and the default was taken.
    pub folds: usize,
    /// Whether the final fit came as close to its optimum as asked.
    pub converged: bool,
}

/// Test rows scored at once.
const ROWS: usize = 1024;

/// Trains all heads on these training images (indices into [`Rows::rows_of`]).
///
/// # Errors
/// Those of the trainer.
pub fn train(rows: &Rows, images: &[usize], recipe: &Recipe) -> Result<Vec<Trained>, Error> {
    // Every view of a drawn image, and none of any other.
    let drawn: Vec<usize> = images.iter().flat_map(|&image| &rows.rows_of[image]).copied().collect();
    let train = rows.train.select(&drawn);
    let folds = folds(&train, recipe.folds);
    let validation = match (folds, recipe.repeats) {
        (0, _) => Validation::None,
        (folds, 1) => Validation::KFold(folds),
        (folds, repeats) => Validation::Repeated { folds, repeats },
    };
    let heads: Vec<HeadParams> = recipe.heads.iter().map(|(head, _)| *head).collect();
    let prepared = Prepared::within(recipe.memory, train.samples(), &validation, recipe.scaling, recipe.seed)?
        .for_heads(&heads)?;
    let of_head = |(head, search): &(HeadParams, Search)| {
        let search = fitting(search, head.kind, &train, folds);
        let outcome = train_prepared(&prepared, head, &search, &|_| {})?;
        let mut predicted = Vec::with_capacity(rows.test_views.len());
        let views = rows.test_views.iter().max().copied().unwrap_or(1);
        let mut first = 0;
        // Some rows at a time: the features may be more than memory holds.
        for sizes in rows.test_views.chunks(ROWS.div_ceil(views)) {
            let some: Vec<usize> = (first..first + sizes.iter().sum::<usize>()).collect();
            first += some.len();
            let features = rows.test.features.view().read(&some)?;
            predicted.extend(outcome.model.verdicts(features.view())?.summed(sizes).predicted);
        }
        Ok(Trained {
            training_accuracy: outcome.training_metrics.accuracy.value,
            predicted,
            tuned: outcome.model.tuned(),
            cv_score: outcome.training.cv_score.filter(|score| score.is_finite()),
            folds,
            converged: outcome.refit.certificate.converged,
        })
    };
    // One head after another: they share what `prepared` makes when it is first asked for.
    recipe.heads.iter().map(of_head).collect()
}

/// As many folds as every class has images, at most so many; none of a single image.
fn folds(train: &Vectors, most: usize) -> usize {
    let mut images = vec![0; train.classes.len()];
    for row in (0..train.len()).filter(|&row| train.scored[row]) {
        images[train.labels[row]] += 1;
    }
    let smallest = images.into_iter().min().unwrap_or(0);
    if smallest < 2 { 0 } else { smallest.min(most) }
}

/// The candidates that so few images allow: without folds a single one, and no more neighbours than there are rows.
fn fitting(search: &Search, kind: HeadKind, train: &Vectors, folds: usize) -> Search {
    let images = train.scored.iter().filter(|scored| **scored).count();
    let views = train.len().div_ceil(images.max(1));
    // Folds differ by at most one image.
    let held_out = if folds == 0 { 0 } else { images.div_ceil(folds) * views };
    let rows = train.len().saturating_sub(held_out).max(1) as f64;
    let candidates: Vec<f64> =
        search.cs().iter().copied().filter(|&value| kind != HeadKind::Knn || value <= rows).collect();
    let candidates = match &candidates[..] {
        [_] => candidates,
        // One neighbour, and scikit-learn's default for C.
        [] => vec![1.0],
        _ if folds == 0 => vec![1.0],
        _ => return Search::new(candidates).metric(search.compared_by()).refine(search.rounds()),
    };
    Search::new(candidates).metric(search.compared_by())
}
