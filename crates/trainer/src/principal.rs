//! Principal components: the directions in which features vary most, and where each row lies along them.

use ndarray::{Array2, ArrayView2, Axis, s};

use crate::Error;
use crate::eigen::PrincipalAxes;
use crate::gram::column_products;

/// Rows along the directions in which they vary most (Pearson 1901).
#[derive(Debug, Clone, PartialEq)]
pub struct PrincipalComponents {
    /// n × k: each row along each direction, the strongest first. A direction has no sign of its own; here the row that lies farthest
    /// along it lies on the positive side.
    pub scores: Array2<f64>,
    /// k shares of the variance.
    pub shares: Vec<f64>,
}

/// The first `count` principal components of n × d features, or as many as there are directions: the smaller of n and d. Features are
/// centred, not scaled.
///
/// # Errors
/// [`Error::NoRows`], [`Error::NotFinite`], or that the eigendecomposition does not converge.
pub fn principal_components(features: ArrayView2<f32>, count: usize) -> Result<PrincipalComponents, Error> {
    crate::features::Features::from(features).check_finite()?;
    let mut centred = features.mapv(f64::from);
    centred -= &centred.mean_axis(Axis(0)).ok_or(Error::NoRows)?;
    let (rows, columns) = centred.dim();
    // Of rows and columns the fewer: either matrix of products has the same eigenvalues.
    let few_rows = rows <= columns;
    let products = column_products(if few_rows { centred.t() } else { centred.view() });
    let axes = PrincipalAxes::new(&products)?;
    let count = count.min(rows.min(columns));
    let vectors = axes.vectors.slice(s![.., ..count]);
    let mut scores = if few_rows { &vectors * &axes.sizes.slice(s![..count]) } else { centred.dot(&vectors) };
    for mut column in scores.columns_mut() {
        let farthest = column.iter().fold(0f64, |far, &value| if value.abs() > far.abs() { value } else { far });
        if farthest < 0.0 {
            column.mapv_inplace(|value| -value);
        }
    }
    let total: f64 = axes.sizes.iter().map(|size| size * size).sum();
    let share = |size: &f64| if total > 0.0 { size * size / total } else { 0.0 };
    Ok(PrincipalComponents { scores, shares: axes.sizes.iter().take(count).map(share).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn a_line_is_one_component() {
        let x = array![[0.0f32, 0.0, 5.0], [3.0, 4.0, 5.0], [6.0, 8.0, 5.0], [9.0, 12.0, 5.0], [27.0, 36.0, 5.0]];
        let found = principal_components(x.view(), 2).unwrap();
        assert!((found.shares[0] - 1.0).abs() < 1e-12 && found.shares[1] < 1e-12);
        // Along (3, 4) / 5 from the mean, which is at 15.
        for (got, expected) in found.scores.column(0).iter().zip([-15.0, -10.0, -5.0, 0.0, 30.0]) {
            assert!((got - expected).abs() < 1e-9, "{found:?}");
        }
    }

    #[test]
    fn few_rows_and_few_columns_agree() {
        let value = |row: usize, column: usize| ((row * 7 + column * 3) % 11) as f32 + 0.1 * (row * column % 5) as f32;
        let (wide, rows) = (Array2::from_shape_fn((6, 9), |(row, column)| value(row, column)), 6);
        let found = principal_components(wide.view(), 9).unwrap();
        assert_eq!(found.scores.dim(), (rows, rows));
        // Distances between rows are kept, whichever matrix was decomposed; more rows than columns, by repeating rows.
        let tall = ndarray::concatenate(Axis(0), &[wide.view(), wide.view()]).unwrap();
        let twice = principal_components(tall.view(), 9).unwrap();
        for (a, b) in [(0, 1), (2, 5), (3, 4)] {
            let apart = |scores: &Array2<f64>| (&scores.row(a) - &scores.row(b)).mapv(|d| d * d).sum().sqrt();
            let direct = (&wide.row(a) - &wide.row(b)).mapv(|d| f64::from(d * d)).sum().sqrt();
            assert!((apart(&found.scores) - direct).abs() < 1e-5 && (apart(&twice.scores) - direct).abs() < 1e-5);
        }
        assert!((found.shares.iter().sum::<f64>() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn rows_that_are_all_alike_vary_in_no_direction() {
        let found = principal_components(Array2::<f32>::ones((4, 3)).view(), 2).unwrap();
        assert_eq!((found.scores, found.shares), (Array2::zeros((4, 2)), vec![0.0, 0.0]));
        assert!(principal_components(Array2::<f32>::zeros((0, 3)).view(), 2).is_err());
    }
}
