//! How many images there really are: copies counted once, classes of different sizes as what they are worth.

use super::Reading;
use serde::Serialize;

/// Labelled images below which data is small whatever else is true of it: where BiT's rule of thumb for fine-tuning begins to train
/// longer (Kolesnikov et al. 2020, "Big Transfer", arXiv:1912.11370, section 3.3: fewer than 20,000 is small).
pub const IMAGES: f64 = 20_000.0;
/// Images per class, likewise. No paper draws this line; it is the geometric mean of the largest set that this project knows as small
/// (ELPV, 2,624 cells in two classes) and the smallest it knows as large (CIFAR-10, 5,000 photos in each class, which is also where
/// Goodfellow, Bengio and Courville 2016, p. 20, expect networks to do acceptably).
pub const PER_CLASS: f64 = 2_500.0;
/// Within this factor of a threshold, both readings are given.
pub const BETWEEN: f64 = 1.5;

/// The first axis.
#[derive(Debug, Clone, Serialize)]
pub struct Size {
    /// Images to train on: those of the split `train`, else all that are in neither `val` nor `test`.
    pub training: usize,
    /// Images in `val` and `test`.
    pub held_out: usize,
    /// Labelled training images of each class, copies included.
    pub classes: Vec<(String, usize)>,
    /// Training images that show what an earlier one shows; none where images were not compared.
    pub duplicates: Option<usize>,
    /// Training images that are worth something: copies counted once and, where there are classes, (Σ 1/n)⁻¹ over them times the
    /// square of their number. That is Kish's effective sample size (1965) under weights that make all classes count the same.
    pub effective: f64,
    /// [`Self::effective`] by class; none where images have no labels.
    pub effective_per_class: Option<f64>,
    /// By the number of images.
    pub by_images: Reading,
    /// By the number per class.
    pub by_class: Option<Reading>,
    /// The two together: what both say, else between.
    pub reading: Reading,
}

/// Counts training images, given for each its class (none: no label) and whether it is the copy of an earlier one.
pub fn size(names: &[String], training: &[(Option<usize>, bool)], compared: bool, held_out: usize) -> Size {
    let mut classes: Vec<(String, usize)> = names.iter().map(|name| (name.clone(), 0)).collect();
    let mut originals = vec![0usize; names.len()];
    for (class, copy) in training {
        if let Some(class) = class {
            classes[*class].1 += 1;
            originals[*class] += usize::from(!copy);
        }
    }
    classes.retain(|(_, images)| *images > 0);
    originals.retain(|images| *images > 0);
    let copies = training.iter().filter(|(_, copy)| *copy).count();
    let k = originals.len() as f64;
    let per_class = (k > 0.0).then(|| k / originals.iter().map(|&images| 1.0 / images as f64).sum::<f64>());
    let effective = per_class.map_or((training.len() - copies) as f64, |images| images * k);
    let by_images = reading(effective, IMAGES);
    let by_class = per_class.map(|images| reading(images, PER_CLASS));
    let reading = match by_class {
        Some(by_class) if by_class != by_images => Reading::Between,
        _ => by_images,
    };
    Size {
        training: training.len(),
        held_out,
        classes,
        duplicates: compared.then_some(copies),
        effective,
        effective_per_class: per_class,
        by_images,
        by_class,
        reading,
    }
}

fn reading(images: f64, threshold: f64) -> Reading {
    match images / threshold {
        ratio if ratio <= 1.0 / BETWEEN => Reading::Low,
        ratio if ratio >= BETWEEN => Reading::High,
        _ => Reading::Between,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(counts: &[usize]) -> Size {
        let names: Vec<String> = (0..counts.len()).map(|class| class.to_string()).collect();
        let images: Vec<_> = counts.iter().enumerate().flat_map(|(class, &n)| vec![(Some(class), false); n]).collect();
        size(&names, &images, true, 0)
    }

    #[test]
    fn sets_of_known_size() {
        // ELPV, BCCD, a tenth of CIFAR-10, CIFAR-10 and Fashion-MNIST, by their training images.
        for (counts, wanted) in [
            (vec![1312, 1312], Reading::Low),
            (vec![20, 40, 60, 121], Reading::Low),
            (vec![500; 10], Reading::Low),
            (vec![5000; 10], Reading::High),
            (vec![6000; 10], Reading::High),
            // As many images as CIFAR-10, but few of each class.
            (vec![300; 170], Reading::Between),
            (vec![2500; 10], Reading::Between),
        ] {
            assert_eq!(of(&counts).reading, wanted, "{counts:?}");
        }
    }

    #[test]
    fn copies_and_rare_classes_are_worth_little() {
        let even = of(&[50, 50]);
        assert_eq!((even.effective, even.effective_per_class), (100.0, Some(50.0)));
        let uneven = of(&[95, 5]);
        assert!((uneven.effective - 19.0).abs() < 1e-9, "{}", uneven.effective);
        let names = ["a".to_string(), "empty".into(), "b".into()];
        let doubled = size(&names, &[(Some(0), false), (Some(0), true), (Some(2), false), (Some(2), true)], true, 3);
        assert_eq!((doubled.effective, doubled.duplicates, doubled.classes.len()), (2.0, Some(2), 2));
        let unlabelled = size(&[], &[(None, false), (None, true), (None, false)], true, 0);
        assert_eq!((unlabelled.effective, unlabelled.effective_per_class), (2.0, None));
        assert_eq!(unlabelled.reading, Reading::Low);
    }
}
