//! The images that all caches of a run have: those that are drawn from, and those that are scored.

use super::CurveError;
use headstart_cache::{Cache, LayerInfo};
use headstart_trainer::{Memory, Part, SplitMix64, Vectors};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};

/// An image, as all caches name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Its path.
    pub path: String,
    /// Its class.
    pub class: usize,
}

/// Where the images that are scored come from.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TestRows {
    /// The split of this name.
    Split(String),
    /// There is no such split: this share of the training images of every class was held out, and never drawn.
    HeldOut(f64),
}

/// The images of a run.
#[derive(Debug, Clone)]
pub struct Images {
    /// Classes with training images.
    pub classes: Vec<String>,
    /// Images to draw from, by class and path.
    pub train: Vec<Image>,
    /// Images to score, by class and path; never drawn.
    pub test: Vec<Image>,
    /// Where these come from.
    pub test_rows: TestRows,
    /// What a reader should know.
    pub notes: Vec<String>,
}

/// Class and path: what tells images of different caches apart.
type Key = (String, String);

/// Vectors of one layer in the order of [`Images`].
pub struct Rows {
    /// All rows that may be drawn.
    pub train: Vectors,
    /// Of each training image the indices of its rows, view after view.
    pub rows_of: Vec<Vec<usize>>,
    /// The rows of all test images, image after image: the one that is not augmented, and those of its views if they are asked for.
    pub test: Vectors,
    /// How many rows each test image has.
    pub test_views: Vec<usize>,
}

impl Images {
    /// The images that all of these caches have; each comes with one of its layers.
    ///
    /// Images are the same when class and path are. Those of some caches only are left out, so that everything that is compared
    /// has the same images; an image counts if its un-augmented row can be used.
    ///
    /// # Errors
    /// A layer that is not complete, caches without training images, caches that have hardly any image in common or name
    /// different splits for the test.
    pub fn common(caches: &[(&Cache, &LayerInfo)], held_out: f64, seed: u64) -> Result<Self, CurveError> {
        let mut notes = Vec::new();
        let splits: Vec<Option<&str>> = caches.iter().map(|(cache, _)| Part::test_split(cache)).collect();
        if let Some(other) = splits.iter().position(|split| *split != splits[0]) {
            let named = |split: Option<&str>| split.unwrap_or("none").to_owned();
            return Err(CurveError::Splits {
                first: caches[0].0.path().to_path_buf(),
                first_split: named(splits[0]),
                other: caches[other].0.path().to_path_buf(),
                other_split: named(splits[other]),
            });
        }
        let train = in_all(caches, &Part::Train, "training", &mut notes)?;
        let test = in_all(caches, &Part::Test, "test", &mut notes)?;
        let classes: Vec<String> =
            caches[0].0.classes().iter().filter(|class| train.iter().any(|(of, _)| of == *class)).cloned().collect();
        let (train, _) = images(train, &classes);
        let (test, unknown) = images(test, &classes);
        for (class, count) in unknown {
            notes.push(format!("class '{class}' has no training images: its {count} test images are left out"));
        }
        let mut found = Self { classes, train, test, test_rows: TestRows::HeldOut(held_out), notes };
        match splits[0] {
            Some(split) => {
                if split != "test" {
                    found.notes.push(format!("no split is called test: the images of split {split} are scored"));
                }
                found.test_rows = TestRows::Split(split.to_owned());
                if found.test.is_empty() {
                    let (path, split) = (caches[0].0.path().to_path_buf(), split.to_owned());
                    return Err(CurveError::OtherClasses { path, split, classes: found.classes.join(", ") });
                }
            }
            None => found.hold_out(held_out, seed)?,
        }
        Ok(found)
    }

    /// Moves a share of the images of every class to the test images, at least one and never all.
    fn hold_out(&mut self, share: f64, seed: u64) -> Result<(), CurveError> {
        // Of another stream than the draws.
        let mut random = SplitMix64::new(seed ^ 0x7465_7374_696d_6773);
        let mut held = vec![false; self.train.len()];
        for class in 0..self.classes.len() {
            let mut members: Vec<usize> =
                (0..self.train.len()).filter(|&image| self.train[image].class == class).collect();
            random.shuffle(&mut members);
            let count = ((share * members.len() as f64).round() as usize).max(1).min(members.len() - 1);
            if count == 0 {
                self.notes.push(format!("class '{}' has one image, which is not held out", self.classes[class]));
            }
            members[..count].iter().for_each(|&image| held[image] = true);
        }
        let mut held = held.into_iter();
        (self.test, self.train) =
            std::mem::take(&mut self.train).into_iter().partition(|_| held.next().unwrap_or_default());
        if self.test.is_empty() {
            return Err(CurveError::NothingToTest);
        }
        self.notes.push(format!(
            "the cache has neither test nor val images: {} of {} images, {:.0} % of every class (seed {seed}), were held out \
             as a fixed test set and are never trained on",
            self.test.len(),
            self.test.len() + self.train.len(),
            100.0 * share
        ));
        Ok(())
    }

    /// Training images of each class.
    pub fn available(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes.len()];
        self.train.iter().for_each(|image| counts[image.class] += 1);
        counts
    }

    /// The vectors of these images in one layer of one of the caches; with `sum_views` of all views of the test images.
    ///
    /// # Errors
    /// When the cache cannot be read.
    pub fn read(
        &self,
        cache: &Cache,
        layer: &LayerInfo,
        place: Memory,
        sum_views: bool,
    ) -> Result<Rows, headstart_trainer::Error> {
        let of_these = |part: &Part| -> Result<Vectors, headstart_trainer::Error> {
            let mut vectors = Vectors::read(cache, layer, part, place)?;
            // Of what is left out here, the notes tell.
            let _ = vectors.keep_classes(&self.classes);
            Ok(vectors)
        };
        let train = of_these(&Part::Train)?;
        let rows_of = by_image(cache, &train, &self.train);
        let split;
        let vectors = match &self.test_rows {
            TestRows::HeldOut(_) => &train,
            TestRows::Split(name) => {
                let part = if sum_views { Part::Split(name.clone()) } else { Part::Test };
                split = of_these(&part)?;
                &split
            }
        };
        let mut views = by_image(cache, vectors, &self.test);
        if !sum_views {
            views.iter_mut().for_each(|views| views.truncate(1));
        }
        let test = vectors.select(&views.concat());
        Ok(Rows { train, rows_of, test, test_views: views.iter().map(Vec::len).collect() })
    }
}

/// Of each image the indices of its rows among these vectors, view after view.
fn by_image(cache: &Cache, vectors: &Vectors, images: &[Image]) -> Vec<Vec<usize>> {
    let columns = cache.rows();
    let mut rows: HashMap<&str, Vec<usize>> = HashMap::new();
    for (index, &row) in vectors.rows.iter().enumerate() {
        rows.entry(&columns.path[row]).or_default().push(index);
    }
    rows.values_mut().for_each(|rows| rows.sort_by_key(|&index| columns.view[vectors.rows[index]]));
    images.iter().map(|image| rows.get(&image.path[..]).cloned().unwrap_or_default()).collect()
}

/// The images of a part that every cache has, by class and path.
fn in_all(
    caches: &[(&Cache, &LayerInfo)],
    part: &Part,
    what: &str,
    notes: &mut Vec<String>,
) -> Result<Vec<Key>, CurveError> {
    let mut seen: BTreeMap<Key, usize> = BTreeMap::new();
    let mut counts = Vec::new();
    for (cache, layer) in caches {
        let rows = Vectors::find(cache, layer, part).map_err(|source| CurveError::about(cache, layer, source))?;
        let all = cache.rows();
        let whole = rows.into_iter().filter(|&row| all.view[row] == 0);
        let before: usize = seen.values().sum();
        for row in whole {
            let class = cache.classes()[all.label[row] as usize].clone();
            *seen.entry((class, all.path[row].clone())).or_default() += 1;
        }
        counts.push(seen.values().sum::<usize>() - before);
    }
    let common: Vec<Key> =
        seen.into_iter().filter(|(_, times)| *times == caches.len()).map(|(image, _)| image).collect();
    for ((cache, _), &count) in caches.iter().zip(&counts) {
        // A few images that one run could not read are one thing, other images another.
        if 2 * common.len() < count {
            let (path, what) = (cache.path().to_path_buf(), what.to_owned());
            return Err(CurveError::OtherImages { path, what, images: count, common: common.len() });
        }
        if common.len() < count {
            notes.push(format!(
                "{}: {} of its {count} {what} images are not in every cache and are left out",
                cache.path().display(),
                count - common.len()
            ));
        }
    }
    Ok(common)
}

/// Images by class and path, and how many there are of each class that is not among these.
fn images(keys: Vec<Key>, classes: &[String]) -> (Vec<Image>, BTreeMap<String, usize>) {
    let mut others = BTreeMap::new();
    let mut found = Vec::new();
    for (class, path) in keys {
        match classes.iter().position(|known| *known == class) {
            Some(class) => found.push(Image { path, class }),
            None => *others.entry(class).or_default() += 1,
        }
    }
    found.sort_by(|a, b| (a.class, &a.path).cmp(&(b.class, &b.path)));
    (found, others)
}
