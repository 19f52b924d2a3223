//! The linear model inside every head.

use ndarray::{Array1, Array2, ArrayView2, Axis, s};
use rayon::prelude::*;

use crate::Error;
use crate::features::Features;
use crate::metrics::{argmax_rows, softmax_rows};
use crate::normalize::Normalize;
use crate::params::HeadKind;

/// Rows turned to f64 at once when scoring: a constant, so that scores do not depend on how many rows come together.
const ROW_BLOCK: usize = 256;

/// Scores `W x + b`, one per class; the largest wins. Acts on raw features, whatever scaling the training used: where rows are
/// normalised, the model does it.
///
/// Two classes are stored as two rows as well: (−w/2, w/2) for logistic heads, whose softmax then is exactly the binary logistic
/// model (and for nearest means), and (−w, w) for others. Weights are f64: with features far from 0 the bias cancels most of `W x`, and f32 weights would lose
/// there what the solver won; a head is small beside its cache.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearModel {
    kind: HeadKind,
    classes: Vec<String>,
    weights: Array2<f64>,
    bias: Array1<f64>,
    c: f64,
    normalize: Normalize,
}

impl LinearModel {
    /// Puts a model together from k × d weights and k biases.
    ///
    /// # Errors
    /// Says which part is wrong: fewer than two classes or twice the same one, shapes that do not fit, values that are not finite, a
    /// C that is not positive.
    pub fn new(
        kind: HeadKind,
        classes: Vec<String>,
        weights: Array2<f64>,
        bias: Array1<f64>,
        c: f64,
    ) -> Result<Self, String> {
        let k = classes.len();
        check_classes(&classes)?;
        if weights.nrows() != k || weights.ncols() == 0 {
            return Err(format!("weight: shape {:?} for {k} classes", weights.shape()));
        }
        if bias.len() != k {
            return Err(format!("bias: {} values for {k} classes", bias.len()));
        }
        if !weights.iter().chain(&bias).all(|value| value.is_finite()) {
            return Err("weight, bias: some values are not finite".into());
        }
        if !(c.is_finite() && c > 0.0) {
            return Err(format!("c: {c} is not a positive number"));
        }
        Ok(Self { kind, classes, weights, bias, c, normalize: Normalize::None })
    }

    /// The same weights and biases on rows that are normalised first.
    pub fn on_rows(self, normalize: Normalize) -> Self {
        Self { normalize, ..self }
    }

    /// The model whose outputs (one for two classes, else one per class) have these weights.
    pub(crate) fn from_outputs(
        kind: HeadKind,
        classes: &[String],
        weights: Array2<f64>,
        bias: Array1<f64>,
        c: f64,
    ) -> Result<Self, String> {
        let (weights, bias) = (expand(kind, &weights.reversed_axes()), expand(kind, &bias.insert_axis(Axis(0))));
        let weights = weights.reversed_axes().as_standard_layout().into_owned();
        Self::new(kind, classes.to_vec(), weights, bias.index_axis_move(Axis(0), 0), c)
    }

    /// What kind of classifier it is.
    pub fn kind(&self) -> HeadKind {
        self.kind
    }

    /// Class names, in the order of scores and labels.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// k × d weights.
    pub fn weights(&self) -> &Array2<f64> {
        &self.weights
    }

    /// k biases.
    pub fn bias(&self) -> &Array1<f64> {
        &self.bias
    }

    /// Inverse regularisation it was trained with; 1 for kinds that have none.
    pub fn c(&self) -> f64 {
        self.c
    }

    /// What is done to each row of features before the weights meet it.
    pub fn normalize(&self) -> Normalize {
        self.normalize
    }

    /// Number of features it expects.
    pub fn width(&self) -> usize {
        self.weights.ncols()
    }

    /// Refuses features of another width.
    pub(crate) fn check_width(&self, got: usize) -> Result<(), Error> {
        if got == self.width() { Ok(()) } else { Err(Error::Width { expected: self.width(), got }) }
    }

    /// n × k scores of n × d raw features.
    ///
    /// # Errors
    /// [`Error::Width`] for features of another width, [`Error::NotFinite`] for NaN and infinities.
    pub fn decision(&self, features: ArrayView2<f32>) -> Result<Array2<f64>, Error> {
        self.check_width(features.ncols())?;
        Features::from(features).check_finite()?;
        let mut scores = Array2::zeros((features.nrows(), self.classes.len()));
        for (index, block) in features.axis_chunks_iter(Axis(0), ROW_BLOCK).enumerate() {
            let start = index * ROW_BLOCK;
            scores.slice_mut(s![start..start + block.nrows(), ..]).assign(&self.scores_of_block(block));
        }
        Ok(scores)
    }

    fn scores_of_block(&self, block: ArrayView2<f32>) -> Array2<f64> {
        self.normalize.widen(block).dot(&self.weights.t()) + &self.bias
    }

    /// Scores of the rows of these numbers, as [`Self::decision`] would give them; features must be finite and as wide as the model.
    pub(crate) fn scores_of_rows(&self, features: Features, rows: &[usize]) -> Array2<f64> {
        let mut scores = Array2::zeros((rows.len(), self.classes.len()));
        let blocks = scores.axis_chunks_iter_mut(Axis(0), ROW_BLOCK).into_par_iter();
        blocks.zip(rows.par_chunks(ROW_BLOCK)).for_each(|(mut scores, rows)| {
            scores.assign(&self.scores_of_block(features.gather(rows).view()));
        });
        scores
    }

    /// The class index of each row.
    ///
    /// # Errors
    /// As [`Self::decision`].
    pub fn predict(&self, features: ArrayView2<f32>) -> Result<Vec<usize>, Error> {
        Ok(argmax_rows(self.decision(features)?.view()))
    }

    /// n × k probabilities.
    ///
    /// # Errors
    /// As [`Self::decision`], and [`Error::NoProbabilities`] for SVMs.
    pub fn predict_proba(&self, features: ArrayView2<f32>) -> Result<Array2<f64>, Error> {
        if !self.kind.is_probabilistic() {
            return Err(Error::NoProbabilities(self.kind.name()));
        }
        let mut scores = self.decision(features)?;
        softmax_rows(&mut scores);
        Ok(scores)
    }

    /// What the difference of both classes' scores is multiplied by to give the one output of two classes.
    fn collapse_factor(&self) -> f64 {
        match self.kind {
            HeadKind::Logistic | HeadKind::Ncm => 1.0,
            HeadKind::Svm | HeadKind::Ridge | HeadKind::Knn => 0.5,
        }
    }

    /// Undoes [`expand`] on the biases of this model.
    pub(crate) fn outputs_bias(&self) -> Array1<f64> {
        if self.classes.len() > 2 {
            return self.bias.clone();
        }
        Array1::from_elem(1, (self.bias[1] - self.bias[0]) * self.collapse_factor())
    }

    /// Undoes [`expand`] on the weights and on scores of this model.
    pub(crate) fn collapse(&self, scores: &Array2<f64>) -> (Array2<f64>, Array2<f64>) {
        if self.classes.len() > 2 {
            return (self.weights.clone(), scores.clone());
        }
        let factor = self.collapse_factor();
        let difference = |rows: ArrayView2<f64>| (&rows.column(1) - &rows.column(0)) * factor;
        let weights = difference(self.weights.t()).insert_axis(Axis(0));
        (weights, difference(scores.view()).insert_axis(Axis(1)))
    }
}

/// Says what is wrong with the classes of a head.
pub(crate) fn check_classes(classes: &[String]) -> Result<(), String> {
    if classes.len() < 2 {
        return Err(format!("classes: {} of them, a head needs at least 2", classes.len()));
    }
    let mut sorted: Vec<&String> = classes.iter().collect();
    sorted.sort();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("classes: '{}' is listed twice", pair[0])),
        None => Ok(()),
    }
}

/// Shares one column out over two classes; anything else stays as it is.
pub(crate) fn expand(kind: HeadKind, scores: &Array2<f64>) -> Array2<f64> {
    if scores.ncols() != 1 {
        return scores.clone();
    }
    let factor = match kind {
        HeadKind::Logistic | HeadKind::Ncm => 0.5,
        HeadKind::Svm | HeadKind::Ridge | HeadKind::Knn => 1.0,
    };
    let mut both = Array2::zeros((scores.nrows(), 2));
    both.column_mut(0).assign(&(&scores.column(0) * -factor));
    both.column_mut(1).assign(&(&scores.column(0) * factor));
    both
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    fn two() -> Vec<String> {
        vec!["no".into(), "yes".into()]
    }

    #[test]
    fn two_classes_are_the_binary_model() {
        let model =
            LinearModel::from_outputs(HeadKind::Logistic, &two(), array![[1.0, -2.0]], array![0.5], 1.0).unwrap();
        let x = array![[3.0f32, 1.0]];
        let score: f64 = 3.0 - 2.0 + 0.5;
        let probability = model.predict_proba(x.view()).unwrap()[[0, 1]];
        assert!((probability - 1.0 / (1.0 + (-score).exp())).abs() < 1e-15);
        assert_eq!(model.predict(x.view()).unwrap(), [1]);
        let svm = LinearModel::from_outputs(HeadKind::Svm, &two(), array![[1.0, -2.0]], array![0.5], 1.0).unwrap();
        assert_eq!(svm.decision(x.view()).unwrap(), array![[-score, score]]);
        assert!(matches!(svm.predict_proba(x.view()), Err(Error::NoProbabilities("svm"))));
        for model in [model, svm] {
            let (weights, scores) = model.collapse(&model.decision(x.view()).unwrap());
            assert_eq!((weights, scores), (array![[1.0, -2.0]], array![[score]]));
        }
    }

    #[test]
    fn a_row_is_normalised_by_the_model() {
        let weights = array![[1.0, -2.0], [0.5, 4.0]];
        let plain = LinearModel::new(HeadKind::Logistic, two(), weights, array![0.5, -1.0], 1.0).unwrap();
        let model = plain.clone().on_rows(Normalize::L2);
        let scores = model.decision(array![[3.0f32, -4.0], [0.0, 0.0]].view()).unwrap();
        let by_hand = array![[0.6 + 1.6 + 0.5, 0.3 - 3.2 - 1.0], [0.5, -1.0]];
        assert!((scores - by_hand).iter().all(|off| off.abs() < 1e-15));
        assert_ne!(model, plain);
    }

    #[test]
    fn other_widths_are_refused() {
        let model = LinearModel::new(HeadKind::Svm, two(), Array2::ones((2, 3)), Array1::zeros(2), 1.0).unwrap();
        let message = model.decision(Array2::zeros((1, 4)).view()).unwrap_err().to_string();
        assert!(message.contains("3 features, but these have 4"), "{message}");
    }

    #[test]
    fn parts_must_fit() {
        let new = |classes: Vec<String>, weights, bias, c| {
            LinearModel::new(HeadKind::Svm, classes, weights, bias, c).unwrap_err()
        };
        let (w, b) = (Array2::ones((2, 3)), Array1::zeros(2));
        assert!(new(vec!["one".into()], w.clone(), b.clone(), 1.0).contains("at least 2"));
        assert!(new(vec!["a".into(), "a".into()], w.clone(), b.clone(), 1.0).contains("twice"));
        assert!(new(two(), Array2::ones((3, 3)), b.clone(), 1.0).contains("weight"));
        assert!(new(two(), Array2::ones((2, 0)), b.clone(), 1.0).contains("weight"));
        assert!(new(two(), w.clone(), Array1::zeros(3), 1.0).contains("bias"));
        assert!(new(two(), w.clone() * f64::NAN, b.clone(), 1.0).contains("finite"));
        assert!(new(two(), w, b, 0.0).contains("c: 0"));
    }
}
