//! Direct solvers in f64 that heads are compared with: dense Newton steps by Cholesky on raw features, without centring, scaling or
//! reduction. They share no code with the engines, and are slow.

pub mod hinge;
pub mod smooth;

use ndarray::{Array1, Array2};

/// Rows as they are, with a 1 for the bias at the end of each.
pub struct Rows {
    pub x: Array2<f64>,
    pub labels: Vec<usize>,
    pub classes: usize,
    /// What the square of the bias costs: ½ as for a weight, or nothing.
    pub bias_is_penalised: bool,
}

impl Rows {
    pub fn new(x: &Array2<f32>, labels: &[usize], bias_is_penalised: bool) -> Self {
        let d = x.ncols();
        let x = Array2::from_shape_fn(
            (x.nrows(), d + 1),
            |(row, column)| {
                if column == d { 1.0 } else { f64::from(x[[row, column]]) }
            },
        );
        let classes = labels.iter().max().unwrap() + 1;
        Self { x, labels: labels.to_vec(), classes, bias_is_penalised }
    }

    /// One output for two classes, else one each.
    pub fn outputs(&self) -> usize {
        if self.classes == 2 { 1 } else { self.classes }
    }

    /// ±1 for each row of one output.
    pub fn signs(&self, output: usize) -> Array1<f64> {
        let positive = if self.classes == 2 { 1 } else { output };
        self.labels.iter().map(|&label| if label == positive { 1.0 } else { -1.0 }).collect()
    }

    /// 1 for each parameter that is penalised, else 0.
    fn penalty(&self) -> Array1<f64> {
        let mut out = Array1::ones(self.x.ncols());
        out[self.x.ncols() - 1] = f64::from(u8::from(self.bias_is_penalised));
        out
    }
}

/// Solves A x = b for a symmetric positive definite A by Cholesky, with one step of refinement.
pub fn solve(a: &Array2<f64>, b: &Array1<f64>) -> Array1<f64> {
    let n = b.len();
    // Scaled to a unit diagonal first, which columns in different units need.
    let scale: Array1<f64> = a.diag().mapv(|value| if value > 0.0 { value.sqrt().recip() } else { 1.0 });
    let mut l = Array2::from_shape_fn((n, n), |(i, j)| a[[i, j]] * scale[i] * scale[j]);
    for j in 0..n {
        for i in j..n {
            let product: f64 = (0..j).map(|k| l[[i, k]] * l[[j, k]]).sum();
            let rest = l[[i, j]] - product;
            l[[i, j]] = if i == j { rest.max(1e-14).sqrt() } else { rest / l[[j, j]] };
        }
    }
    let once = |b: &Array1<f64>| {
        let mut x = b * &scale;
        for i in 0..n {
            let product: f64 = (0..i).map(|k| l[[i, k]] * x[k]).sum();
            x[i] = (x[i] - product) / l[[i, i]];
        }
        for i in (0..n).rev() {
            let product: f64 = (i + 1..n).map(|k| l[[k, i]] * x[k]).sum();
            x[i] = (x[i] - product) / l[[i, i]];
        }
        x * &scale
    };
    let first = once(b);
    let left = b - &a.dot(&first);
    first + once(&left)
}

/// Size of the weights, without biases, of parameters that are a whole number of outputs of `width` + 1 each.
pub fn weight_norm(theta: &Array1<f64>, width: usize) -> f64 {
    theta
        .iter()
        .enumerate()
        .filter(|(at, _)| at % (width + 1) != width)
        .map(|(_, value)| value * value)
        .sum::<f64>()
        .sqrt()
}
