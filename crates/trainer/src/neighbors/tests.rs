use super::*;
use ndarray::array;
use proptest::prelude::*;

/// Every distance in f64, sorted.
fn by_definition(
    vectors: &Array2<f32>,
    query: ndarray::ArrayView1<f32>,
    metric: KnnMetric,
    standard: Option<&Standardization>,
) -> Vec<usize> {
    let value = |row: ndarray::ArrayView1<f32>, at: usize| match standard {
        Some(Standardization { mean, scale }) => (f64::from(row[at]) - mean[at]) / scale[at],
        None => f64::from(row[at]),
    };
    let distance = |row: ndarray::ArrayView1<f32>| -> f64 {
        let sum = |of: &dyn Fn(usize) -> f64| (0..row.len()).map(of).sum::<f64>();
        match (metric, standard) {
            (KnnMetric::Euclidean, None) => sum(&|at| (value(query, at) - value(row, at)).powi(2)),
            (KnnMetric::Euclidean, Some(standard)) => {
                sum(&|at| ((f64::from(query[at]) - f64::from(row[at])) / standard.scale[at]).powi(2))
            }
            (KnnMetric::Cosine, _) => {
                let length = |of: &dyn Fn(usize) -> f64| sum(&|at| of(at).powi(2)).sqrt();
                let lengths = [length(&|at| value(query, at)), length(&|at| value(row, at))];
                let product = sum(&|at| value(query, at) * value(row, at));
                if lengths[0] * lengths[1] > 0.0 { 0.0 - product / (lengths[0] * lengths[1]) } else { 0.0 }
            }
        }
    };
    let distances: Vec<f64> = vectors.outer_iter().map(distance).collect();
    let mut order: Vec<usize> = (0..vectors.nrows()).collect();
    order.sort_by(|&a, &b| distances[a].total_cmp(&distances[b]));
    order
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Whatever the size and the offset of the numbers, and however many are equal.
    #[test]
    fn the_nearest_are_those_of_f64(
        seed: u64, rows in 1usize..300, width in 1usize..40, count in 1usize..8,
        offset in -1e4f32..1e4, exponent in -12i32..13, steps in prop::sample::select(vec![3.0f32, 1e6]),
        cosine: bool, standardized: bool,
    ) {
        let mut random = crate::random::SplitMix64::new(seed);
        let mut draw = || {
            let uniform = (random.next() >> 40) as f32 / (1u64 << 24) as f32;
            ((uniform * steps).round() / steps + offset) * 10f32.powi(exponent)
        };
        let vectors = Array2::from_shape_simple_fn((rows, width), &mut draw);
        let queries = Array2::from_shape_simple_fn((5, width), &mut draw);
        let metric = if cosine { KnnMetric::Cosine } else { KnnMetric::Euclidean };
        let standard = standardized.then(|| Standardization::of(vectors.view()));
        let index = Index::new(vectors.clone(), metric, standard.clone());
        let found = index.nearest(queries.view(), count);
        for (query, found) in queries.outer_iter().zip(&found) {
            let mut wanted = by_definition(&vectors, query, metric, standard.as_ref());
            wanted.truncate(count);
            prop_assert_eq!(found, &wanted);
        }
        // One by one they are the same.
        for (row, found) in found.iter().enumerate() {
            prop_assert_eq!(&index.nearest(queries.slice(ndarray::s![row..=row, ..]), count)[0], found);
        }
    }
}

#[test]
fn numbers_beyond_f32_are_searched_too() {
    let vectors = array![[f32::MAX, 0.0], [f32::MIN, 0.0], [0.0, f32::MAX], [1.0, 1.0]];
    let index = Index::new(vectors, KnnMetric::Euclidean, None);
    let queries = array![[2e38f32, 1e38], [0.0, 0.0], [1e-30, 3e38]];
    assert_eq!(index.nearest(queries.view(), 1), [[0], [3], [2]]);
}

#[test]
fn equal_votes_go_to_the_nearest() {
    let labels = [2, 0, 1, 0, 2];
    let votes = |nearest: &[usize], neighbors| Votes::count(&[nearest.to_vec()], &labels, 3, neighbors);
    let nearest = [2, 0, 4, 1, 3];
    // 1, then 1 and 2, then 2 twice, then 2 twice and 0 and 1, then 0 and 2 twice.
    let winners: Vec<usize> = (1..=5).map(|neighbors| votes(&nearest, neighbors).predicted[0]).collect();
    assert_eq!(winners, [1, 1, 2, 2, 2]);
    assert_eq!(votes(&nearest, 5).shares, array![[0.4, 0.2, 0.4]]);
}

#[test]
fn parts_must_fit() {
    let classes = || vec!["a".to_string(), "b".to_string()];
    let vectors = || array![[0.0f32, 1.0], [1.0, 0.0]];
    let new = |vectors, labels, neighbors, standard| {
        NeighborsModel::new(classes(), vectors, labels, neighbors, KnnMetric::Euclidean, standard).unwrap_err()
    };
    assert!(new(vectors(), vec![0], 1, None).contains("for 1 labels"));
    assert!(new(vectors(), vec![0, 2], 1, None).contains("labels: 2 among 2"));
    assert!(new(vectors(), vec![0, 1], 3, None).contains("neighbors: 3 of 2"));
    assert!(new(vectors(), vec![0, 1], 0, None).contains("neighbors: 0 of 2"));
    assert!(new(vectors() * f32::NAN, vec![0, 1], 1, None).contains("finite"));
    let standard = Standardization { mean: Array1::zeros(2), scale: Array1::zeros(2) };
    assert!(new(vectors(), vec![0, 1], 1, Some(standard)).contains("scales above 0"));
}

#[test]
fn distances_come_with_the_nearest() {
    let vectors = array![[0.0, 1.0], [3.0, 5.0], [0.0, 2.0], [-1.0, 0.0]];
    let found = nearest(vectors.clone(), array![[0.0, 1.0]].view(), KnnMetric::Euclidean, 3);
    assert_eq!(found, [vec![(0, 0.0), (2, 1.0), (3, 2f64.sqrt())]]);
    let found = nearest(vectors, array![[0.0, 4.0]].view(), KnnMetric::Cosine, 4);
    assert_eq!(found[0].iter().map(|(at, _)| *at).collect::<Vec<_>>(), [0, 2, 1, 3]);
    assert_eq!((found[0][0].1, found[0][3].1), (0.0, 1.0));
    assert!((found[0][2].1 - (1.0 - 5.0 / 34f64.sqrt())).abs() < 1e-15);
}
