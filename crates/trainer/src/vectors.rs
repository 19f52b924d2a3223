//! One layer of a cache as training and test data.

use crate::memory::Memory;
use crate::table::Table;
use crate::{Error, Samples};
use headstart_cache::{Cache, LayerInfo, Rows, Status};

/// Which rows of a cache are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// What heads are trained on: the rows of the split `train`, or, where there is no such split, every row that is in
    /// neither `val` nor `test`.
    Train,
    /// What heads are scored on: the un-augmented rows of `test`, else those of `val`; may be empty.
    Test,
    /// [`Part::Test`] without the rows of these splits, which have been fitted on or used to choose (`all`: every row).
    TestUnless(Vec<String>),
    /// The rows of the split of this name; `all` for every row.
    Split(String),
}

/// Labelled vectors of one layer.
#[derive(Debug, Clone)]
pub struct Vectors {
    /// n × d.
    pub features: Table,
    /// n class indices.
    pub labels: Vec<usize>,
    /// n group ids: the views of one image share one.
    pub groups: Vec<usize>,
    /// Which rows count in scores: the un-augmented views.
    pub scored: Vec<bool>,
    /// Row numbers in the cache.
    pub rows: Vec<usize>,
    /// Class names, in the order of the labels.
    pub classes: Vec<String>,
}

impl Vectors {
    /// Reads the labelled, successfully decoded rows of `part`; features that `memory` does not hold stay in the file.
    ///
    /// # Errors
    /// When the layer is not complete yet, no row qualifies (an empty [`Part::Test`] is fine), or the file cannot be read.
    pub fn read(cache: &Cache, layer: &LayerInfo, part: &Part, memory: Memory) -> Result<Self, Error> {
        Self::read_joined(cache, std::slice::from_ref(layer), part, memory)
    }

    /// [`Self::read`] with the vectors of several layers side by side, in this order.
    ///
    /// # Errors
    /// Those of [`Self::read`], for any of the layers.
    pub fn read_joined(cache: &Cache, layers: &[LayerInfo], part: &Part, memory: Memory) -> Result<Self, Error> {
        let all = cache.rows();
        let rows = layers.iter().map(|layer| Self::find(cache, layer, part)).collect::<Result<Vec<_>, _>>()?;
        // Which rows they are depends on the part alone.
        let rows = rows.into_iter().next().unwrap_or_default();
        let features = Table::read(cache, layers, &rows, memory)?;
        let mut ids = std::collections::HashMap::new();
        let groups = rows
            .iter()
            .map(|&row| {
                let next = ids.len();
                *ids.entry(all.path[row].as_str()).or_insert(next)
            })
            .collect();
        Ok(Self {
            features,
            labels: rows.iter().map(|&row| all.label[row] as usize).collect(),
            groups,
            scored: rows.iter().map(|&row| all.view[row] == 0).collect(),
            rows,
            classes: cache.classes().to_vec(),
        })
    }

    /// [`Self::read`] for training: classes without rows are left out of the list of classes, since a head cannot learn them,
    /// and named in a warning.
    ///
    /// # Errors
    /// Those of [`Self::read`].
    pub fn read_training(cache: &Cache, layer: &LayerInfo, part: &Part, memory: Memory) -> Result<Self, Error> {
        Ok(Self::read(cache, layer, part, memory)?.for_training(cache, part))
    }

    /// What [`Self::read_training`] does about classes without rows.
    #[must_use]
    pub fn for_training(mut self, cache: &Cache, part: &Part) -> Self {
        let present = self.present_classes();
        for (class, _) in self.keep_classes(&present) {
            tracing::warn!(
                "{}: class '{class}' has no {} rows and is left out: the head will not know it",
                cache.path().display(),
                part.describe()
            );
        }
        self
    }

    /// The row numbers that [`Self::read`] would read, without reading them.
    ///
    /// # Errors
    /// Those of [`Self::read`], except that the values themselves may yet be unreadable.
    pub fn find(cache: &Cache, layer: &LayerInfo, part: &Part) -> Result<Vec<usize>, Error> {
        let all = cache.rows();
        if layer.committed < all.len() {
            return Err(Error::Incomplete {
                path: cache.path().to_path_buf(),
                layer: layer.name.clone(),
                committed: layer.committed,
                rows: all.len(),
            });
        }
        let rows = select(all, part);
        let may_be_empty = matches!(part, Part::Test | Part::TestUnless(_));
        if rows.is_empty() && !may_be_empty {
            return Err(Error::NoneSelected {
                path: cache.path().to_path_buf(),
                part: part.describe(),
                splits: splits(all),
            });
        }
        Ok(rows)
    }

    /// The classes that have rows. A head can be trained on these alone: see [`Self::keep_classes`].
    pub fn present_classes(&self) -> Vec<String> {
        let mut present = vec![false; self.classes.len()];
        self.labels.iter().for_each(|&label| present[label] = true);
        self.classes.iter().zip(present).filter(|(_, present)| *present).map(|(class, _)| class.clone()).collect()
    }

    /// Makes `classes` the list of classes: labels become indices into it, rows of other classes are left out.
    ///
    /// Gives the names of the classes that are no longer there, each with its number of rows, in their former order. A class
    /// that no training row has cannot be learnt, and rows of it could only be counted as wrong; so that scores are about what
    /// the head can say, such rows are not scored, and whoever calls this has to say so.
    #[must_use = "what was left out has to be reported"]
    pub fn keep_classes(&mut self, classes: &[String]) -> Vec<(String, usize)> {
        let new_label: Vec<Option<usize>> =
            self.classes.iter().map(|class| classes.iter().position(|kept| kept == class)).collect();
        let mut left_out: Vec<(String, usize)> = self.classes.iter().map(|class| (class.clone(), 0)).collect();
        self.labels.iter().for_each(|&label| left_out[label].1 += 1);
        let kept: Vec<usize> = (0..self.len()).filter(|&row| new_label[self.labels[row]].is_some()).collect();
        self.keep_rows(&kept);
        self.labels = self.labels.iter().filter_map(|&label| new_label[label]).collect();
        self.classes = classes.to_vec();
        let mut keeps = new_label.iter();
        left_out.retain(|_| keeps.next().is_some_and(Option::is_none));
        left_out
    }

    /// The rows of these indices, in this order, with all that belongs to them. Features in memory are copied.
    ///
    /// # Panics
    /// If an index is beyond the last row.
    pub fn select(&self, rows: &[usize]) -> Self {
        Self {
            features: self.features.select(rows),
            labels: rows.iter().map(|&row| self.labels[row]).collect(),
            groups: rows.iter().map(|&row| self.groups[row]).collect(),
            scored: rows.iter().map(|&row| self.scored[row]).collect(),
            rows: rows.iter().map(|&row| self.rows[row]).collect(),
            classes: self.classes.clone(),
        }
    }

    /// Leaves out augmented views, which are no images of their own and not scored.
    pub fn keep_scored(&mut self) {
        let scored: Vec<usize> = (0..self.len()).filter(|&row| self.scored[row]).collect();
        self.keep_rows(&scored);
    }

    /// Keeps these rows, given in ascending order.
    fn keep_rows(&mut self, kept: &[usize]) {
        if kept.len() < self.len() {
            *self = self.select(kept);
        }
    }

    /// Number of images, whose views are the rows.
    pub fn images(&self) -> usize {
        self.groups.iter().collect::<std::collections::HashSet<_>>().len()
    }

    /// Borrowed for training.
    pub fn samples(&self) -> Samples<'_> {
        Samples {
            features: self.features.view(),
            labels: &self.labels,
            groups: &self.groups,
            classes: &self.classes,
            scored: Some(&self.scored),
            weights: None,
        }
    }

    /// Adds the rows of `more`, read from the same layer of the same cache.
    ///
    /// # Errors
    /// When the vectors have another width, or cannot be read.
    pub fn extend(&mut self, more: Self) -> Result<(), Error> {
        self.features.append(more.features)?;
        let offset = self.groups.iter().max().map_or(0, |last| last + 1);
        self.groups.extend(more.groups.iter().map(|group| group + offset));
        self.labels.extend(more.labels);
        self.scored.extend(more.scored);
        self.rows.extend(more.rows);
        Ok(())
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl Part {
    /// The split that [`Part::Test`] stands for in a cache: `test`, else `val`, else none.
    pub fn test_split(cache: &Cache) -> Option<&'static str> {
        test_split(cache.rows())
    }

    fn describe(&self) -> String {
        match self {
            Self::Train => "training".into(),
            Self::Test | Self::TestUnless(_) => "test".into(),
            Self::Split(name) => format!("split '{name}'"),
        }
    }
}

fn usable(rows: &Rows) -> impl Iterator<Item = usize> + '_ {
    (0..rows.len()).filter(|&row| rows.status[row] == Status::Done && rows.label[row] >= 0)
}

fn test_split(rows: &Rows) -> Option<&'static str> {
    ["test", "val"].into_iter().find(|split| usable(rows).any(|row| rows.split[row] == *split))
}

fn select(rows: &Rows, part: &Part) -> Vec<usize> {
    let of = |split: &str| -> Vec<usize> { usable(rows).filter(|&row| rows.split[row] == split).collect() };
    match part {
        Part::Train => {
            let trains = training_splits(usable(rows).map(|row| rows.split[row].as_str()));
            usable(rows).filter(|&row| trains(&rows.split[row])).collect()
        }
        Part::Test => {
            let split = test_split(rows).unwrap_or_default();
            of(split).into_iter().filter(|&row| !split.is_empty() && rows.view[row] == 0).collect()
        }
        Part::TestUnless(used) => {
            let is_used = |row: usize| used.iter().any(|name| name == "all" || *name == rows.split[row]);
            select(rows, &Part::Test).into_iter().filter(|&row| !is_used(row)).collect()
        }
        Part::Split(name) if name == "all" => usable(rows).collect(),
        Part::Split(name) => of(name),
    }
}

/// Which of these splits are trained on: `train` if it is one of them, else all but `val` and `test`.
pub fn training_splits<'s>(mut splits: impl Iterator<Item = &'s str>) -> impl Fn(&str) -> bool {
    let named = splits.any(|split| split == "train");
    move |split| if named { split == "train" } else { !matches!(split, "val" | "test") }
}

fn splits(rows: &Rows) -> Vec<String> {
    let mut names: Vec<String> = usable(rows).map(|row| rows.split[row].clone()).collect();
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(columns: &[(&str, i32, &str, u32, Status)]) -> Rows {
        let mut rows = Rows::default();
        for &(path, label, split, view, status) in columns {
            rows.path.push(path.into());
            rows.label.push(label);
            rows.split.push(split.into());
            rows.view.push(view);
            rows.status.push(status);
            rows.error.push(String::new());
        }
        rows
    }

    #[test]
    fn parts_follow_the_splits_that_are_there() {
        let split = rows(&[
            ("a", 0, "train", 0, Status::Done),
            ("a", 0, "train", 1, Status::Done),
            ("b", 1, "train", 0, Status::Failed),
            ("c", -1, "train", 0, Status::Done),
            ("d", 1, "val", 0, Status::Done),
            ("e", 1, "test", 0, Status::Done),
            ("e", 1, "test", 1, Status::Done),
        ]);
        assert_eq!(select(&split, &Part::Train), [0, 1]);
        assert_eq!(select(&split, &Part::Test), [5]);
        let unless =
            |used: &[&str]| select(&split, &Part::TestUnless(used.iter().map(|name| (*name).into()).collect()));
        assert_eq!(unless(&["train", "val"]), [5]);
        assert!(unless(&["train", "test"]).is_empty());
        assert!(unless(&["test", "val"]).is_empty(), "fitted on test");
        assert!(unless(&["all", "val"]).is_empty());
        assert_eq!(select(&split, &Part::Split("val".into())), [4]);
        assert_eq!(select(&split, &Part::Split("all".into())), [0, 1, 4, 5, 6]);
        let plain = rows(&[("a", 0, "", 0, Status::Done), ("b", 1, "val", 0, Status::Done)]);
        assert_eq!(select(&plain, &Part::Train), [0]);
        assert_eq!(select(&plain, &Part::Test), [1]);
        assert_eq!((test_split(&split), test_split(&plain)), (Some("test"), Some("val")));
        let neither = rows(&[("a", 0, "", 0, Status::Done)]);
        assert_eq!(test_split(&neither), None);
        assert!(select(&neither, &Part::Test).is_empty());
    }

    fn vectors(labels: &[usize], classes: &[&str]) -> Vectors {
        Vectors {
            features: ndarray::Array2::from_shape_fn((labels.len(), 2), |(row, column)| (10 * row + column) as f32)
                .into(),
            labels: labels.to_vec(),
            groups: (0..labels.len()).collect(),
            scored: vec![true; labels.len()],
            rows: (100..100 + labels.len()).collect(),
            classes: classes.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn views_are_counted_once_and_left_out_of_scores() {
        let mut views = vectors(&[0, 0, 1, 1], &["ant", "bee"]);
        (views.groups, views.scored) = (vec![0, 0, 1, 1], vec![true, false, true, false]);
        assert_eq!((views.images(), views.len()), (2, 4));
        views.keep_scored();
        assert_eq!(
            (&views.labels[..], &views.rows[..], &views.groups[..]),
            (&[0, 1][..], &[100, 102][..], &[0, 1][..])
        );
        assert_eq!(views.features.view().read(&[0, 1]).unwrap(), ndarray::array![[0.0, 1.0], [20.0, 21.0]]);
    }

    #[test]
    fn classes_without_rows_are_left_out_of_training_and_their_rows_of_scoring() {
        let names = ["ant", "bee", "cow", "fly"];
        let mut train = vectors(&[3, 0, 3, 0], &names);
        let present = train.present_classes();
        assert_eq!(present, ["ant", "fly"]);
        assert_eq!(train.keep_classes(&present), [("bee".to_string(), 0), ("cow".to_string(), 0)]);
        assert_eq!((&train.labels[..], train.len()), (&[1, 0, 1, 0][..], 4));

        let mut test = vectors(&[1, 3, 0, 1], &names);
        assert_eq!(test.keep_classes(&present), [("bee".to_string(), 2), ("cow".to_string(), 0)]);
        assert_eq!((&test.labels[..], &test.rows[..], &test.groups[..]), (&[1, 0][..], &[101, 102][..], &[1, 2][..]));
        assert_eq!(test.features.view().read(&[0, 1]).unwrap(), ndarray::array![[10.0, 11.0], [20.0, 21.0]]);
        assert_eq!((test.scored.len(), &test.classes), (2, &present));
        assert!(test.keep_classes(&present).is_empty(), "nothing is left to leave out");
    }
}
