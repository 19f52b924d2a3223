//! linfa's traits: [`Fit`] for checked parameters, [`PredictInplace`] (and with it `Predict`) for models.
//!
//! So heads can stand wherever linfa's own classifiers do. (A model also has a `predict` of its own, with errors.) Labels are class
//! indices; the dataset's weights, where it has some, are the rows' weights.

use linfa::DatasetBase;
use linfa::dataset::{AsSingleTargets, Records};
use linfa::traits::{Fit, PredictInplace};
use ndarray::{Array1, ArrayBase, Axis, Data, Ix2};

use crate::Error;
use crate::classifier::Model;
use crate::samples::Samples;
use crate::train::train;
use crate::train_params::TrainValidParams;

impl<D, T> Fit<ArrayBase<D, Ix2>, T, Error> for TrainValidParams
where
    D: Data<Elem = f32>,
    T: AsSingleTargets<Elem = usize>,
{
    type Object = Model;

    /// Chooses C by the validation asked for and fits all rows (n × d records, n class indices). Classes are named by their index;
    /// every index up to the largest has to occur. Each row is a group of its own.
    ///
    /// # Errors
    /// Those of [`train()`].
    fn fit(&self, dataset: &DatasetBase<ArrayBase<D, Ix2>, T>) -> Result<Model, Error> {
        let labels: Vec<usize> = dataset.as_single_targets().to_vec();
        let groups: Vec<usize> = (0..labels.len()).collect();
        let classes: Vec<String> =
            (0..=labels.iter().copied().max().unwrap_or(0)).map(|class| class.to_string()).collect();
        let weights: Option<Vec<f64>> =
            dataset.weights().map(|weights| weights.iter().map(|&weight| f64::from(weight)).collect());
        let samples = Samples {
            features: dataset.records().view().into(),
            labels: &labels,
            groups: &groups,
            classes: &classes,
            scored: None,
            weights: weights.as_deref(),
        };
        Ok(train(samples, self, &|_| ())?.model)
    }
}

impl<D: Data<Elem = f32>> PredictInplace<ArrayBase<D, Ix2>, Array1<usize>> for Model {
    /// The class index of each row.
    ///
    /// # Panics
    /// As linfa's own models do, if the records have another width than the model or `targets` another length than they;
    /// [`Model::predict`] says it with an error. A row that is not finite is of class 0.
    fn predict_inplace(&self, records: &ArrayBase<D, Ix2>, targets: &mut Array1<usize>) {
        assert_eq!(records.nrows(), targets.len(), "one target per record");
        assert_eq!(records.ncols(), self.width(), "the model was trained on records of another width");
        let finite = |row: &usize| records.row(*row).iter().all(|value| value.is_finite());
        let usable: Vec<usize> = (0..records.nrows()).filter(finite).collect();
        targets.fill(0);
        // Width and values have been looked at, so there is nothing left to refuse.
        let predicted = self.predict(records.select(Axis(0), &usable).view()).unwrap_or_default();
        usable.iter().zip(predicted).for_each(|(&row, class)| targets[row] = class);
    }

    fn default_target(&self, records: &ArrayBase<D, Ix2>) -> Array1<usize> {
        Array1::zeros(records.nsamples())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::tests::clusters;
    use crate::params::HeadKind;
    use crate::train_params::TrainParams;
    use crate::validation::Validation;
    use linfa::traits::Predict;
    use linfa::{Dataset, ParamGuard};
    use ndarray::Array1;

    #[test]
    fn a_head_is_a_classifier_of_linfas() {
        let (x, y) = clusters(60, 20, 3, 4);
        let dataset = Dataset::new(x.mapv(|value| value as f32), Array1::from(y.clone()));
        for kind in [HeadKind::Logistic, HeadKind::Svm, HeadKind::Ridge] {
            let params = TrainParams::new(kind).cs([0.1, 10.0]).check().unwrap();
            let model = params.fit(&dataset).unwrap();
            let predicted: Array1<usize> = Predict::predict(&model, dataset.records());
            assert_eq!(predicted.to_vec(), model.predict(dataset.records().view()).unwrap());
            let right = predicted.iter().zip(&y).filter(|(a, b)| a == b).count();
            assert!(right > 45, "{kind}: {right}");
        }
    }

    #[test]
    fn weights_of_the_dataset_count() {
        let (x, y) = clusters(40, 5, 2, 4);
        let x = x.mapv(|value| value as f32);
        let weights: Array1<f32> = (0..40).map(|row| if row < 7 { 2.0 } else { 1.0 }).collect();
        let twice: Vec<usize> = (0..40).chain(0..7).collect();
        let repeated = x.select(ndarray::Axis(0), &twice);
        let labels: Array1<usize> = twice.iter().map(|&row| y[row]).collect();
        let of = |model: &Model| model.linear().unwrap().weights().clone();
        for kind in [HeadKind::Logistic, HeadKind::Svm] {
            let params = TrainParams::new(kind).cs([3.0]).validation(Validation::None).check().unwrap();
            let weighted =
                params.fit(&Dataset::new(x.clone(), Array1::from(y.clone())).with_weights(weights.clone())).unwrap();
            let doubled = params.fit(&Dataset::new(repeated.clone(), labels.clone())).unwrap();
            assert!((of(&weighted) - of(&doubled)).iter().all(|difference| difference.abs() < 5e-2), "{kind}");
        }
    }
}
