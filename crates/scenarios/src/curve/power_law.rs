//! The power law of learning curves, error(n) = a + b · n^(−c).
//!
//! Cortes, Jackel, Solla, Vapnik and Denker (Learning curves: asymptotic values and rate of convergence, NIPS 6, 1993) fit it to
//! classifiers and extrapolate by it; Hestness et al. (Deep learning scaling is predictable, empirically, arXiv 1712.00409, 2017)
//! find it over orders of magnitude of data; Viering and Loog (The shape of learning curves: a review, TPAMI 2022) review where it
//! holds, and where not.

use serde::Serialize;

/// error(n) = a + b · n^(−c).
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PowerLaw {
    /// The error that no number of images gets below, 0 to 1.
    pub a: f64,
    /// What there is above it with a single image.
    pub b: f64,
    /// How fast it falls.
    pub c: f64,
}

/// A point of a learning curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// Training images.
    pub images: f64,
    /// Share of the test images that are wrong.
    pub error: f64,
    /// Variance of that.
    pub variance: f64,
}

/// The exponents that are looked at. Slower than the first cannot be told from not falling at all; faster than the last, from having
/// fallen already.
pub const EXPONENTS: (f64, f64) = (0.01, 5.0);

impl PowerLaw {
    /// The law of least squares, each point weighed by the inverse of its variance, with a, b ≥ 0 and c in [`EXPONENTS`];
    /// and its χ², the weighed sum of squares. At least three different numbers of images are needed for it to be unique.
    ///
    /// For a given c the best a and b are a matter of linear algebra (Golub and Pereyra's variable projection, 1973), so that what
    /// is searched is one number: on a grid, then by golden section around the best, which no start value can mislead.
    ///
    /// # Panics
    /// Without points.
    pub fn fit(points: &[Measured]) -> (Self, f64) {
        // Powers of the images themselves would differ by orders of magnitude for large c.
        let middle = (points.iter().map(|point| point.images.ln()).sum::<f64>() / points.len() as f64).exp();
        let at = |log_c: f64| linear(points, middle, log_c.exp());
        let (low, high) = (EXPONENTS.0.ln(), EXPONENTS.1.ln());
        let step = (high - low) / GRID as f64;
        let chi2 = |index: usize| at(low + step * index as f64).1;
        let best = (0..=GRID).fold((0, f64::INFINITY), |best, index| {
            let chi2 = chi2(index);
            if chi2 < best.1 { (index, chi2) } else { best }
        });
        let around = |index: f64| (low + step * index).clamp(low, high);
        let log_c = golden((around(best.0 as f64 - 1.0), around(best.0 as f64 + 1.0)), |log_c| at(log_c).1);
        // Golden section never looks at the ends themselves.
        let ends = [around(best.0 as f64), log_c];
        let log_c = if at(ends[0]).1 <= at(ends[1]).1 { ends[0] } else { ends[1] };
        let ((a, b), chi2) = at(log_c);
        let c = log_c.exp();
        (Self { a, b: b * middle.powf(c), c }, chi2)
    }

    /// The error with so many images.
    pub fn at(&self, images: f64) -> f64 {
        self.a + self.b * images.powf(-self.c)
    }
}

/// Exponents tried before the search is narrowed.
const GRID: usize = 120;

/// The best a and b ≥ 0 of a + b (n / middle)^(−c), and the χ² that they leave.
fn linear(points: &[Measured], middle: f64, c: f64) -> ((f64, f64), f64) {
    let power = |point: &Measured| (point.images / middle).powf(-c);
    let sum = |of: &dyn Fn(&Measured) -> f64| points.iter().map(|point| of(point) / point.variance).sum::<f64>();
    let (w, x, xx) = (sum(&|_| 1.0), sum(&power), sum(&|point| power(point).powi(2)));
    let (y, xy) = (sum(&|point| point.error), sum(&|point| power(point) * point.error));
    let chi2 = |(a, b): (f64, f64)| sum(&|point| (point.error - a - b * power(point)).powi(2));
    let determinant = w * xx - x * x;
    let b = (w * xy - x * y) / determinant;
    let a = (y - b * x) / w;
    // Where the free optimum has a negative part, the best has a zero in one of the two places.
    let candidates =
        if determinant > 0.0 && a >= 0.0 && b >= 0.0 { vec![(a, b)] } else { vec![(y / w, 0.0), (0.0, xy / xx)] };
    let scored = candidates.into_iter().map(|candidate| (candidate, chi2(candidate)));
    scored.fold(((0.0, 0.0), f64::INFINITY), |best, next| if next.1 < best.1 { next } else { best })
}

/// Where a function of one number is least between two ends, as far as it has one valley there.
fn golden((mut low, mut high): (f64, f64), of: impl Fn(f64) -> f64) -> f64 {
    let ratio = (5f64.sqrt() - 1.0) / 2.0;
    let (mut left, mut right) = (high - ratio * (high - low), low + ratio * (high - low));
    let (mut at_left, mut at_right) = (of(left), of(right));
    while high - low > 1e-10 {
        if at_left <= at_right {
            (high, right, at_right) = (right, left, at_left);
            left = high - ratio * (high - low);
            at_left = of(left);
        } else {
            (low, left, at_left) = (left, right, at_right);
            right = low + ratio * (high - low);
            at_right = of(right);
        }
    }
    (low + high) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    /// The cases of scripts/golden_power_law.py, fitted by scipy.optimize.curve_fit.
    #[test]
    fn fits_are_those_of_scipy() {
        let golden: Value =
            serde_json::from_str(include_str!("../../../../tests/golden/power_law.json")).expect("golden file");
        let numbers = |value: &Value| -> Vec<f64> {
            value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
        };
        let cases = golden["cases"].as_array().unwrap();
        assert!(cases.len() >= 8);
        for case in cases {
            let (images, errors, sigma) = (numbers(&case["n"]), numbers(&case["error"]), numbers(&case["sigma"]));
            let points: Vec<Measured> = (0..images.len())
                .map(|at| Measured { images: images[at], error: errors[at], variance: sigma[at].powi(2) })
                .collect();
            let (law, chi2) = PowerLaw::fit(&points);
            let name = &case["name"];
            let expected = case["chi2"].as_f64().unwrap();
            assert!((chi2 - expected).abs() <= 1e-6 * expected + 1e-9, "{name}: χ² {chi2}, scipy {expected}");
            let doubled = 2.0 * images[images.len() - 1];
            let (got, expected) = (law.at(doubled), case["at_doubled"].as_f64().unwrap());
            assert!((got - expected).abs() < 1e-5, "{name}: {got} at {doubled}, scipy {expected}");
            if case["determined"].as_bool().unwrap() {
                let expected = numbers(&case["abc"]);
                for (got, expected) in [law.a, law.b, law.c].into_iter().zip(expected) {
                    assert!((got - expected).abs() <= 1e-3 * expected.abs() + 1e-5, "{name}: {law:?}, {expected}");
                }
            }
        }
    }

    #[test]
    fn what_does_not_fall_has_no_slope() {
        let rising = [(10.0, 0.2), (20.0, 0.25), (40.0, 0.3)];
        let points = rising.map(|(images, error)| Measured { images, error, variance: 1e-4 });
        let (law, _) = PowerLaw::fit(&points);
        assert_eq!(law.b, 0.0);
        assert!((law.at(1000.0) - 0.25).abs() < 1e-12);
        let zero = [10.0, 20.0, 40.0].map(|images| Measured { images, error: 0.0, variance: 1e-4 });
        assert_eq!(PowerLaw::fit(&zero).0.at(80.0), 0.0);
    }
}
