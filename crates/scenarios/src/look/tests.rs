use super::{
    neighbors::neighbors,
    units::{Wanted, units},
    *,
};
use crate::{curve::fixture::Made, report::assert_well_formed};
use headstart_trainer::KnnMetric;
use std::ffi::OsString;

fn cache(folder: &std::path::Path) -> Cache {
    Cache::open(Made { views: 2, ..Made::default() }.write(folder, "x.h5")).unwrap()
}

/// Rows of un-augmented images with their values.
fn values(cache: &Cache, layer: &LayerInfo) -> Vec<(usize, Vec<f64>)> {
    let rows: Vec<usize> = (0..cache.rows().len()).filter(|&row| cache.rows().view[row] == 0).collect();
    let read = cache.read_rows(layer, &rows).unwrap();
    rows.into_iter().zip(read.outer_iter().map(|row| row.iter().map(|&value| f64::from(value)).collect())).collect()
}

#[test]
fn neighbours_are_those_of_the_definition() {
    let folder = tempfile::tempdir().unwrap();
    let cache = cache(folder.path());
    let layer = cache.layers()[0].clone();
    let all = values(&cache, &layer);
    let asked = ["<i>/1-004.png".to_owned(), "0-000.png".into(), "/some/where/<i>/2-029.png".into()];
    for metric in [KnnMetric::Euclidean, KnnMetric::Cosine] {
        let found = neighbors(&cache, &layer, &asked, metric, 5).unwrap();
        assert_eq!((found.images, found.queries.len()), (90, 3));
        for query in &found.queries {
            let own = &all.iter().find(|(row, _)| *row == query.image.row).unwrap().1;
            let distance = |other: &Vec<f64>| {
                let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
                match metric {
                    KnnMetric::Euclidean => own.iter().zip(other).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt(),
                    KnnMetric::Cosine => 1.0 - dot(own, other) / (dot(own, own) * dot(other, other)).sqrt(),
                }
            };
            let mut expected: Vec<(f64, usize)> = all
                .iter()
                .filter(|(row, _)| *row != query.image.row)
                .map(|(row, other)| (distance(other), *row))
                .collect();
            expected.sort_by(|a, b| a.0.total_cmp(&b.0));
            for (near, (distance, row)) in query.neighbors.iter().zip(&expected) {
                assert_eq!(near.image.row, *row);
                assert!((near.distance - distance).abs() < 1e-9);
            }
            assert_eq!(query.neighbors.len(), 5);
        }
        let paths: Vec<&str> = found.queries.iter().map(|query| &query.image.path[..]).collect();
        assert_eq!(paths, ["<i>/1-004.png", "<i>/0-000.png", "<i>/2-029.png"]);
    }
    let refused = |name: &str| neighbors(&cache, &layer, &[name.into()], KnnMetric::Cosine, 1).unwrap_err().to_string();
    assert!(refused("none.png").contains("x.h5: no image 'none.png'"));
    assert!(refused("00.png").contains("no image"), "a name is not cut within its parts");
}

#[test]
fn units_are_measured_as_defined() {
    let folder = tempfile::tempdir().unwrap();
    let cache = cache(folder.path());
    let layer = cache.layers()[0].clone();
    let all = values(&cache, &layer);
    let found = units(&cache, &layer, &Wanted::Most(3), 4).unwrap();
    assert_eq!((found.images, found.labelled, found.width, found.ranked_by), (90, 90, 8, Some("eta2")));
    assert!(found.units.is_sorted_by(|a, b| a.eta2 >= b.eta2));
    let every = units(&cache, &layer, &Wanted::Units((0..8).collect()), 4).unwrap();
    let best = every.units.iter().map(|unit| unit.eta2.unwrap()).fold(0.0, f64::max);
    assert_eq!(found.units[0].eta2, Some(best));
    for unit in &every.units {
        let label = |row: usize| cache.rows().label[row] as usize;
        let of = |class: usize| -> Vec<f64> {
            all.iter().filter(|(row, _)| label(*row) == class).map(|(_, values)| values[unit.unit]).collect()
        };
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let column: Vec<f64> = all.iter().map(|(_, values)| values[unit.unit]).collect();
        let total: f64 = column.iter().map(|value| (value - mean(&column)).powi(2)).sum();
        let between: f64 = (0..3).map(|class| 30.0 * (mean(&of(class)) - mean(&column)).powi(2)).sum();
        assert!((unit.eta2.unwrap() - between / total).abs() < 1e-9, "{unit:?}");
        assert_eq!(unit.selectivity, None, "some activations are negative");
        for class in 0..3 {
            assert!((unit.class_means[class] - mean(&of(class))).abs() < 1e-9);
        }
        let mut sorted = column.clone();
        sorted.sort_by(|a, b| b.total_cmp(a));
        assert_eq!(unit.images.iter().map(|excited| excited.activation).collect::<Vec<_>>(), sorted[..4]);
        let largest = unit.class_means.iter().copied().fold(f64::MIN, f64::max);
        let class = cache.classes().iter().position(|class| Some(class) == unit.class.as_ref()).unwrap();
        assert_eq!(unit.class_means[class], largest);
        let others = unit.class_means.iter().enumerate().filter(|(at, _)| *at != class).map(|(_, mean)| mean);
        let (own, rest) = unit.means();
        assert_eq!(own, Some(largest));
        assert!((rest.unwrap() - others.sum::<f64>() / 2.0).abs() < 1e-9);
    }
    let error = units(&cache, &layer, &Wanted::Units(vec![8]), 1).unwrap_err().to_string();
    assert!(error.contains("unit 8; layer fc1:flatten has units 0 to 7"), "{error}");
}

#[test]
fn sheets_are_sound_and_names_stay_text() {
    let folder = tempfile::tempdir().unwrap();
    let cache = cache(folder.path());
    let layer = cache.layers()[0].clone();
    let command = ["headstart", "neighbors", "it's <x>.h5"].map(OsString::from);
    let near = neighbors(&cache, &layer, &["0-000.png".into()], KnnMetric::Cosine, 3).unwrap();
    let most = units(&cache, &layer, &Wanted::Most(2), 3).unwrap();
    let pages = [
        near.write_report(&cache, &command, &folder.path().join("n")).unwrap(),
        most.write_report(&cache, &command, &folder.path().join("u")).unwrap(),
    ];
    for page in pages {
        let page = std::fs::read_to_string(page).unwrap();
        assert_well_formed(&page);
        assert!(!page.contains("<i>") && !page.contains("<b>"), "names stay text");
        assert!(page.contains("&lt;b&gt;bold&lt;/b&gt;") && page.contains("The images cannot be shown"));
    }
}
