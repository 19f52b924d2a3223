//! How many images are drawn, and which: nested, stratified, the same for everything that is compared.

use super::CurveError;
use headstart_trainer::SplitMix64;
use serde::Serialize;
use std::str::FromStr;

/// A number of images, or all there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// That many.
    Images(usize),
    /// All of them.
    All,
}

impl FromStr for Amount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "all" => Ok(Self::All),
            number => match number.parse() {
                Ok(images) if images > 0 => Ok(Self::Images(images)),
                _ => Err(format!("'{text}' is no number of images; give numbers from 1, or all")),
            },
        }
    }
}

/// A size of training set as it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// So many images of every class; of classes that have fewer, all.
    PerClass(Amount),
    /// So many images together, the classes in the proportions that they have.
    Total(Amount),
}

/// A size of training set as it is drawn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// As it was asked for: `5 per class`, `300`, `all`.
    pub asked: String,
    /// Images of each class.
    pub per_class: Vec<usize>,
    /// Images together.
    pub images: usize,
}

/// The sizes, from small to large and each once, for classes with so many images; and what a reader should know of them.
///
/// Every class is in every step. The images of a total are dealt to the classes by Sainte-Laguë's divisors, so that a larger
/// total never takes fewer of any class, and draws of it can be nested.
///
/// # Errors
/// [`CurveError::TooFew`] for a total that has no image for some class.
pub fn steps(sizes: &[Size], available: &[usize]) -> Result<(Vec<Step>, Vec<String>), CurveError> {
    let all: usize = available.iter().sum();
    let (mut steps, mut notes): (Vec<Step>, Vec<String>) = (Vec::new(), Vec::new());
    for size in sizes {
        let (asked, per_class) = match *size {
            Size::PerClass(Amount::All) | Size::Total(Amount::All) => ("all".to_owned(), available.to_vec()),
            Size::PerClass(Amount::Images(images)) => {
                let largest = available.iter().max().copied().unwrap_or(0);
                let small = available.iter().filter(|&&count| count < images).count();
                if images > largest {
                    notes.push(format!("{images} per class: no class has more than {largest} images, so that is all"));
                } else if small > 0 {
                    notes.push(format!(
                        "{images} per class: {small} of {} classes have fewer images, of which all are taken",
                        available.len()
                    ));
                }
                (format!("{images} per class"), available.iter().map(|&count| count.min(images)).collect())
            }
            Size::Total(Amount::Images(images)) if images < available.len() => {
                return Err(CurveError::TooFew { images, classes: available.len() });
            }
            Size::Total(Amount::Images(images)) => {
                if images > all {
                    notes.push(format!("{images} images: there are {all}, so that is all"));
                }
                (images.to_string(), dealt(images.min(all), available))
            }
        };
        let images = per_class.iter().sum();
        let asked = if images == all { "all".to_owned() } else { asked };
        if !steps.iter().any(|step| step.per_class == per_class) {
            steps.push(Step { asked, per_class, images });
        }
    }
    steps.sort_by_key(|step| step.images);
    let share = |step: &Step, class: usize| step.per_class[class] as f64 / step.images as f64;
    let changes = |class| steps.iter().any(|step| (share(step, class) - share(&steps[0], class)).abs() > 0.05);
    if (0..available.len()).any(changes) {
        notes.push(
            "the mix of classes changes from size to size, and with it what is learnt; --total keeps the mix".into(),
        );
    }
    Ok((steps, notes))
}

/// How many of `images` each class gets: one each, then by Sainte-Laguë's divisors 1, 3, 5…, which is as the images of all
/// classes come when each class spreads its own evenly over the same stretch.
fn dealt(images: usize, available: &[usize]) -> Vec<usize> {
    let mut places: Vec<(f64, usize)> = Vec::new();
    for (class, &count) in available.iter().enumerate() {
        let place = |rank: usize| if rank == 0 { 0.0 } else { (rank as f64 + 0.5) / count as f64 };
        places.extend((0..count).map(|rank| (place(rank), class)));
    }
    places.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let mut dealt = vec![0; available.len()];
    places.iter().take(images).for_each(|&(_, class)| dealt[class] += 1);
    dealt
}

/// For every draw and class, the images in the order in which they are taken: a larger size takes those of the smaller ones,
/// and some more.
#[derive(Debug, Clone)]
pub struct Draws(Vec<Vec<Vec<usize>>>);

impl Draws {
    /// Orders for images of these classes. Draws do not depend on how many follow.
    pub fn new(class_of: &[usize], classes: usize, draws: usize, seed: u64) -> Self {
        let mut by_class = vec![Vec::new(); classes];
        class_of.iter().enumerate().for_each(|(image, &class)| by_class[class].push(image));
        let mut random = SplitMix64::new(seed);
        let shuffled = |_| {
            let mut order: Vec<Vec<usize>> = by_class.clone();
            order.iter_mut().for_each(|images| random.shuffle(images));
            order
        };
        Self((0..draws).map(shuffled).collect())
    }

    /// Number of draws.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The images of a draw of this size, in ascending order.
    pub fn images(&self, draw: usize, step: &Step) -> Vec<usize> {
        let taken = self.0[draw].iter().zip(&step.per_class).flat_map(|(order, &count)| &order[..count]);
        let mut images: Vec<usize> = taken.copied().collect();
        images.sort_unstable();
        images
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn total(images: usize) -> Size {
        Size::Total(Amount::Images(images))
    }

    #[test]
    fn sizes_are_as_asked_for() {
        let per_class = |images| Size::PerClass(Amount::Images(images));
        let (made, notes) = steps(&[per_class(30), per_class(5), per_class(90), total(9)], &[60, 20, 10]).unwrap();
        let shown: Vec<(&str, &[usize])> = made.iter().map(|step| (&step.asked[..], &step.per_class[..])).collect();
        assert_eq!(
            shown,
            [
                ("9", &[6, 2, 1][..]),
                ("5 per class", &[5, 5, 5]),
                ("30 per class", &[30, 20, 10]),
                ("all", &[60, 20, 10])
            ]
        );
        assert!(notes[0].contains("30 per class: 2 of 3 classes have fewer"), "{notes:?}");
        assert!(notes[1].contains("90 per class: no class has more than 60"), "{notes:?}");
        assert!(notes[2].contains("the mix of classes changes"), "{notes:?}");
        let (made, notes) =
            steps(&[total(500), Size::Total(Amount::All), Size::PerClass(Amount::All)], &[3, 4]).unwrap();
        assert_eq!((made.len(), made[0].images, &made[0].asked[..], notes.len()), (1, 7, "all", 1));
        assert!(steps(&[total(2)], &[5, 5, 5]).unwrap_err().to_string().contains("3 classes"));
        for wrong in ["0", "-3", "five", "", "1.5"] {
            assert!(wrong.parse::<Amount>().is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn draws_are_nested_stratified_and_seeded(
            available in prop::collection::vec(1usize..40, 2..6),
            share in 0.0f64..1.0,
            more in 0usize..40,
            seed in any::<u64>(),
        ) {
            let all: usize = available.iter().sum();
            let classes = available.len();
            let small = classes + (share * (all - classes) as f64) as usize;
            let (steps, _) = steps(&[total(small), total((small + more).min(all))], &available).unwrap();
            let class_of: Vec<usize> =
                available.iter().enumerate().flat_map(|(class, &count)| vec![class; count]).collect();
            let draws = Draws::new(&class_of, classes, 3, seed);
            let fewer = Draws::new(&class_of, classes, 2, seed);
            for draw in 0..3 {
                let sets: Vec<Vec<usize>> = steps.iter().map(|step| draws.images(draw, step)).collect();
                for (images, step) in sets.iter().zip(&steps) {
                    prop_assert!(images.is_sorted_by(|a, b| a < b), "each once");
                    let mut counts = vec![0; classes];
                    images.iter().for_each(|&image| counts[class_of[image]] += 1);
                    prop_assert_eq!(&counts, &step.per_class);
                    prop_assert!(counts.iter().all(|&count| count > 0), "every class is there");
                    prop_assert_eq!(images.len(), step.images);
                    for (class, &count) in counts.iter().enumerate() {
                        // Shares are kept to within an image and the one that every class has for sure.
                        let fair = (step.images * available[class]) as f64 / all as f64;
                        prop_assert!((count as f64 - fair).abs() <= classes as f64 / 2.0 + 1.0, "{} {}", count, fair);
                    }
                }
                prop_assert!(sets[0].iter().all(|image| sets[sets.len() - 1].contains(image)), "nested");
                if draw < 2 {
                    prop_assert_eq!(&sets[0], &fewer.images(draw, &steps[0]), "draws do not depend on how many there are");
                }
            }
        }
    }

    #[test]
    fn seeds_and_draws_differ() {
        let class_of: Vec<usize> = (0..60).map(|image| image % 3).collect();
        let step = steps(&[total(30)], &[20, 20, 20]).unwrap().0.remove(0);
        let of = |seed, draw| Draws::new(&class_of, 3, 2, seed).images(draw, &step);
        assert_ne!(of(0, 0), of(1, 0));
        assert_ne!(of(0, 0), of(0, 1));
    }
}
