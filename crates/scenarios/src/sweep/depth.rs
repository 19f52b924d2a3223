//! Score against depth as a picture, and what its lines are called.

use super::{Sweep, SweepRow};
use crate::plot::{Point, ScorePlot, Series};
use headstart_trainer::{HeadKind, Metric};
use std::path::{Path, PathBuf};

/// What to call each of these caches: its name without the ending, or the shortest end of its path that no other has.
pub fn cache_names(caches: &[PathBuf]) -> Vec<String> {
    // Of `parts` parts of a path; none of them, the name without its ending.
    let name = |path: &Path, parts: usize| match parts {
        0 => path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        _ => {
            let all: Vec<_> = path.components().collect();
            all[all.len().saturating_sub(parts)..].iter().collect::<PathBuf>().display().to_string()
        }
    };
    let shortest = |path: &PathBuf| {
        let others = || caches.iter().filter(move |other| *other != path);
        let unique = |parts: &usize| others().all(|other| name(other, *parts) != name(path, *parts));
        name(path, (0..path.components().count()).find(unique).unwrap_or(usize::MAX))
    };
    caches.iter().map(shortest).collect()
}

impl Sweep {
    /// The picture: a line for each cache and head, layers from shallow to deep. Shown is the accuracy on the test rows
    /// with its interval where every row has one, else the cross-validated one ± 1.96 standard errors; where rows were compared by
    /// another metric that lies between 0 and 1, that one, cross-validated.
    pub fn plot(&self, title: &str) -> ScorePlot {
        let other =
            self.rows.first().map(|row| row.metric).filter(|metric| metric.is_bounded() && *metric != Metric::Accuracy);
        let tested = other.is_none() && self.rows.iter().all(|row| row.test.is_some());
        let several_pools = self.rows.iter().any(|a| self.rows.iter().any(|b| a.layer == b.layer && a.pool != b.pool));
        let several_backbones = self.rows.iter().any(|row| row.backbone != self.rows[0].backbone);
        let name = |row: &SweepRow| {
            let pool = if several_pools { format!(":{}", row.pool) } else { String::new() };
            let backbone = if several_backbones { format!("{} ", row.backbone) } else { String::new() };
            format!("{backbone}{}{pool}", row.layer)
        };
        let mut layers: Vec<(f64, String)> = Vec::new();
        for row in &self.rows {
            if !layers.iter().any(|(_, known)| *known == name(row)) {
                layers.push((row.depth.unwrap_or(0.0), name(row)));
            }
        }
        layers.sort_by(|a, b| a.0.total_cmp(&b.0));
        let layers: Vec<String> = layers.into_iter().map(|(_, name)| name).collect();

        let mut caches: Vec<PathBuf> = Vec::new();
        for row in &self.rows {
            if !caches.contains(&row.cache) {
                caches.push(row.cache.clone());
            }
        }
        let names = cache_names(&caches);
        let mut lines: Vec<(&Path, HeadKind)> = Vec::new();
        let mut series: Vec<Series> = Vec::new();
        for row in &self.rows {
            let (mean, half) = match other {
                Some(_) => (row.cv_score, 1.96 * row.cv_score_se),
                None => (row.cv_mean, 1.96 * row.cv_se),
            };
            let of_test = |end: Option<f64>, otherwise: f64| end.filter(|_| tested).unwrap_or(otherwise);
            let point = Point {
                layer: layers.iter().position(|layer| *layer == name(row)).unwrap_or(0),
                score: of_test(row.test, mean),
                low: of_test(row.test_low, mean - half),
                high: of_test(row.test_high, mean + half),
            };
            let line = (row.cache.as_path(), row.head);
            match lines.iter().position(|known| *known == line) {
                Some(index) => series[index].points.push(point),
                None => {
                    let cache = caches.iter().zip(&names).find(|(path, _)| **path == row.cache).map(|(_, name)| name);
                    let name = match cache.filter(|_| caches.len() > 1) {
                        Some(cache) => format!("{cache}, {}", row.head),
                        None => row.head.to_string(),
                    };
                    lines.push(line);
                    series.push(Series { name, points: vec![point] });
                }
            }
        }
        for line in &mut series {
            line.points.sort_by_key(|point| point.layer);
        }
        let score = match other {
            _ if tested => "test accuracy (95 % interval)".into(),
            metric => format!("cross-validated {} (± 1.96 SE)", metric.unwrap_or(Metric::Accuracy).title()),
        };
        ScorePlot { title: title.into(), score, layers, series }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caches_are_named_by_what_tells_them_apart() {
        let names = |paths: &[&str]| cache_names(&paths.iter().map(PathBuf::from).collect::<Vec<_>>());
        assert_eq!(names(&["a/x.h5", "b/y.h5"]), ["x", "y"]);
        assert_eq!(names(&["a/x.h5", "b/x.h5", "b/y.h5"]), ["a/x.h5", "b/x.h5", "y"]);
        assert_eq!(names(&["x.h5", "x.hdf5"]), ["x.h5", "x.hdf5"]);
        assert_eq!(names(&["/r/a/x.h5", "/s/a/x.h5", "x.h5"]), ["r/a/x.h5", "s/a/x.h5", "x.h5"]);
    }
}
