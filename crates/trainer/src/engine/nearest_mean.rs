//! The nearest class mean: −½‖x − mₖ‖² of every class, up to what all classes share, is linear in x with weights mₖ and bias
//! −½‖mₖ‖². The means are the optimum of Σ ‖x − m‖² themselves, so nothing iterates and nothing is left to certify.

use ndarray::{Array1, Array2, ArrayView1, Axis};

use super::rows::{Blocks, Buffer};
use super::{Certificate, Engine, Measure, Problem, Solution};
use crate::Error;
use crate::features::BLOCK;

pub(super) struct NearestMean;

impl Engine for NearestMean {
    fn name(&self) -> &'static str {
        "class-means"
    }

    /// `c` undoes the unit of the coordinates: it is 1 in those of the features.
    fn fit(&self, problem: &Problem, c: f64) -> Result<Solution, Error> {
        let Problem { features, labels, classes, weights, .. } = problem;
        let mut means = Array2::<f64>::zeros((*classes, features.width()));
        let mut totals = vec![0.0; *classes];
        let mut buffer = Buffer::<f64>::default();
        for start in (0..labels.len()).step_by(BLOCK) {
            let range = start..labels.len().min(start + BLOCK);
            let block = features.block(range.clone(), &mut buffer);
            for (&values, row) in block.iter().zip(range) {
                let weight = weights.map_or(1.0, |weights| weights[row]);
                totals[labels[row]] += weight;
                means.row_mut(labels[row]).scaled_add(weight, &ArrayView1::from(values));
            }
        }
        means.outer_iter_mut().zip(totals).for_each(|(mut mean, total)| mean /= total);
        let bias: Array1<f64> = means.outer_iter().map(|mean| -0.5 * mean.dot(&mean)).collect();
        let (weights, bias) = if *classes == 2 {
            let difference = &means.row(1) - &means.row(0);
            (difference.insert_axis(Axis(0)), Array1::from_elem(1, bias[1] - bias[0]))
        } else {
            (means, bias)
        };
        let certificate = Certificate::new(Measure::ClosedForm, 0.0, problem.head.tolerance);
        // There is no loss that is weighed against a penalty.
        let objective = 0.0;
        Ok(Solution { weights: weights * c, bias: bias * c, objective, certificate, iterations: None })
    }
}
