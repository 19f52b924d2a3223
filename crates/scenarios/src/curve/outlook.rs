//! Where more images would still help: the power law of a learning curve, and how much it can be believed.

use super::power_law::{EXPONENTS, Measured, PowerLaw};
use headstart_trainer::SplitMix64;
use rayon::prelude::*;
use serde::Serialize;
use statrs::distribution::{ChiSquared, ContinuousCDF};

/// What the errors of a curve are made of: of each size and draw, which test images were wrong.
#[derive(Debug, Clone, Copy)]
pub struct Wrong<'a> {
    /// Training images of each size, ascending.
    pub images: &'a [usize],
    /// `wrong[size][draw][test image]`.
    pub wrong: &'a [Vec<Vec<bool>>],
    /// Seed of the bootstrap.
    pub seed: u64,
}

/// A number with its 95 % interval, from the bootstrap.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Uncertain {
    /// The value of the data themselves.
    pub value: f64,
    /// The 2.5 % point of the resampled data.
    pub low: f64,
    /// The 97.5 % point.
    pub high: f64,
}

/// What is to be expected of more images.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outlook {
    /// What twice as many images would bring.
    pub verdict: Verdict,
    /// In words, with the reason.
    pub why: String,
    /// The fitted law; none of fewer sizes than it has unknowns.
    pub law: Option<PowerLaw>,
    /// The error that no number of images gets below.
    pub floor: Option<Uncertain>,
    /// How fast the error falls; none where the data leave that open.
    pub exponent: Option<Uncertain>,
    /// Weighed sum of squares of what the law leaves.
    pub chi2: Option<f64>,
    /// Images of the largest size.
    pub images: usize,
    /// The error there, as the law has it.
    pub error: Option<Uncertain>,
    /// The error with twice as many images.
    pub error_at_double: Option<Uncertain>,
    /// By how much these differ.
    pub gain: Option<Uncertain>,
    /// Of five sizes or more: the error at the largest, from the others and as measured.
    pub check: Option<Check>,
}

/// What twice as many images would bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The whole interval of the gain is worth having.
    MoreHelps,
    /// None of it is.
    Saturated,
    /// It cannot be told.
    CannotBeTold,
}

/// The law against a point that it was not fitted to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Check {
    /// Predicted from the smaller sizes.
    pub predicted: f64,
    /// Measured.
    pub measured: f64,
}

/// A gain in accuracy that is worth having: half a percentage point.
pub const WORTH: f64 = 0.005;
/// Unknowns of the law.
const UNKNOWNS: usize = 3;
/// Sizes that leave something over when these are fitted.
pub const SIZES: usize = UNKNOWNS + 1;
/// Draws below which their spread is not known.
const DRAWS: usize = 3;
/// Resampled data sets.
const REPLICATES: usize = 1000;
/// How improbable a χ² has to be before the points are taken for no power law.
const MISFIT: f64 = 0.01;

impl Outlook {
    /// Fits the law to the mean errors and resamples draws and test images (each with replacement, both at once: Owen, The
    /// pigeonhole bootstrap, 2007) for its uncertainty. A resampled draw is taken at every size, as draws are nested, and so is a
    /// test image, so that what the points of a curve share is shared in the intervals.
    pub fn of(data: Wrong) -> Self {
        let sizes = data.images.len();
        let images = data.images.last().copied().unwrap_or(0);
        let none = |why: String| Self {
            verdict: Verdict::CannotBeTold,
            why,
            law: None,
            floor: None,
            exponent: None,
            chi2: None,
            images,
            error: None,
            error_at_double: None,
            gain: None,
            check: None,
        };
        if sizes < SIZES {
            return none(format!("{sizes} sizes; a law of three unknowns needs {SIZES} to be tested at all"));
        }
        let draws = data.wrong.iter().map(Vec::len).max().unwrap_or(0);
        if draws < DRAWS {
            return none(format!(
                "{draws} draws of a size do not show how much draws differ; give --draws at least {DRAWS}"
            ));
        }
        let tested = data.wrong[0][0].len();
        let points = measured(&data, &vec![1; draws], &vec![1; tested]);
        let (law, chi2) = PowerLaw::fit(&points);
        let replicates = bootstrap(&data, draws, tested, &points);

        let (now, double) = (images as f64, 2.0 * images as f64);
        let of = |value: &dyn Fn(&PowerLaw) -> f64| Uncertain::new(value(&law), replicates.iter().map(value).collect());
        let gain = of(&|law| law.at(now) - law.at(double));
        let at_a_bound = |law: &&PowerLaw| law.b == 0.0 || law.c < 1.001 * EXPONENTS.0 || law.c > EXPONENTS.1 / 1.001;
        let open = replicates.iter().chain([&law]).filter(at_a_bound).count() as f64 > 0.025 * REPLICATES as f64;
        let check = (sizes > SIZES).then(|| Check {
            predicted: PowerLaw::fit(&points[..sizes - 1]).0.at(now),
            measured: points[sizes - 1].error,
        });
        let freedom = (sizes - UNKNOWNS) as f64;
        let misfit = ChiSquared::new(freedom).is_ok_and(|expected| expected.sf(chi2) < MISFIT);
        let (verdict, why) = judge(gain, misfit, chi2, sizes);
        Self {
            verdict,
            why,
            law: Some(law),
            floor: Some(of(&|law| law.a)),
            exponent: (!open).then(|| of(&|law| law.c)),
            chi2: Some(chi2),
            images,
            error: Some(of(&|law| law.at(now))),
            error_at_double: Some(of(&|law| law.at(double))),
            gain: Some(gain),
            check,
        }
    }
}

fn judge(gain: Uncertain, misfit: bool, chi2: f64, sizes: usize) -> (Verdict, String) {
    let points = |share: f64| format!("{:.1}", 100.0 * share);
    let interval = format!("{} to {} points", points(gain.low), points(gain.high));
    if misfit {
        let why = format!(
            "the points are no power law: χ² is {chi2:.1} with {} degrees of freedom, more than noise explains",
            sizes - UNKNOWNS
        );
        return (Verdict::CannotBeTold, why);
    }
    if gain.low >= WORTH {
        (Verdict::MoreHelps, format!("twice the images would bring {interval}"))
    } else if gain.high < WORTH {
        (Verdict::Saturated, format!("twice the images would bring {interval}, less than half a point"))
    } else {
        (Verdict::CannotBeTold, format!("twice the images would bring {interval}: much or next to nothing"))
    }
}

/// The mean error of each size, draws and test images counted as often as these say.
fn measured(data: &Wrong, draws: &[u32], tested: &[u32]) -> Vec<Measured> {
    let images: f64 = tested.iter().map(|&times| f64::from(times)).sum();
    let error = |wrong: &[bool]| {
        let count: u32 = wrong.iter().zip(tested).filter(|(wrong, _)| **wrong).map(|(_, times)| times).sum();
        f64::from(count) / images
    };
    let of_size = |(&size, wrong): (&usize, &Vec<Vec<bool>>)| {
        // The size that takes all images is drawn once.
        let times = |draw: usize| if wrong.len() == 1 { 1.0 } else { f64::from(draws[draw]) };
        let errors: Vec<f64> = wrong.iter().map(|wrong| error(wrong)).collect();
        let total: f64 = (0..errors.len()).map(times).sum();
        let mean = (0..errors.len()).map(|draw| times(draw) * errors[draw]).sum::<f64>() / total;
        // Of the test images as if one more had been wrong and one more right, for no error proves that there is none.
        let likely = (mean * images + 1.0) / (images + 2.0);
        let of_images = likely * (1.0 - likely) / images;
        let of_draws = match errors.len() {
            1 => 0.0,
            _ => {
                let squares: f64 = (0..errors.len()).map(|draw| times(draw) * (errors[draw] - mean).powi(2)).sum();
                squares / (total - 1.0) / total
            }
        };
        Measured { images: size as f64, error: mean, variance: of_images + of_draws }
    };
    data.images.iter().zip(data.wrong).map(of_size).collect()
}

/// The laws of resampled data; points weigh what they weigh in the data, as χ² is compared by.
fn bootstrap(data: &Wrong, draws: usize, tested: usize, points: &[Measured]) -> Vec<PowerLaw> {
    let mut seeds = SplitMix64::new(data.seed ^ 0x626f_6f74);
    let seeds: Vec<u64> = (0..REPLICATES).map(|_| seeds.next()).collect();
    let replicate = |&seed: &u64| {
        let mut random = SplitMix64::new(seed);
        let mut resampled = |count: usize| {
            let mut times = vec![0u32; count];
            (0..count).for_each(|_| times[random.below(count)] += 1);
            times
        };
        let (draws, tested) = (resampled(draws), resampled(tested));
        let resampled: Vec<Measured> = measured(data, &draws, &tested)
            .into_iter()
            .zip(points)
            .map(|(new, own)| Measured { variance: own.variance, ..new })
            .collect();
        PowerLaw::fit(&resampled).0
    };
    seeds.par_iter().map(replicate).collect()
}

impl Uncertain {
    fn new(value: f64, mut replicates: Vec<f64>) -> Self {
        replicates.sort_by(f64::total_cmp);
        let at = |share: f64| replicates[((share * replicates.len() as f64) as usize).min(replicates.len() - 1)];
        Self { value, low: at(0.025), high: at(0.975) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Test images of which each size and draw gets about so many wrong, the hardest first, so that they agree much, as heads do.
    fn made(images: &[usize], error: impl Fn(usize) -> f64, draws: usize, tested: usize) -> Vec<Vec<Vec<bool>>> {
        let mut random = SplitMix64::new(7);
        let mut uniform = move || random.below(1 << 30) as f64 / f64::from(1 << 30);
        let mut wrong = |error: f64, draws: usize| -> Vec<Vec<bool>> {
            let of_draw = |_| {
                let threshold = error + 0.02 * (uniform() - 0.5);
                (0..tested)
                    .map(|image| (image as f64 + 0.5) / tested as f64 + 0.1 * (uniform() - 0.5) < threshold)
                    .collect()
            };
            (0..draws).map(of_draw).collect()
        };
        let last = images.len() - 1;
        images.iter().enumerate().map(|(at, &n)| wrong(error(n), if at == last { 1 } else { draws })).collect()
    }

    fn outlook(images: &[usize], error: impl Fn(usize) -> f64, draws: usize) -> Outlook {
        let wrong = made(images, error, draws, 400);
        Outlook::of(Wrong { images, wrong: &wrong, seed: 0 })
    }

    #[test]
    fn a_curve_that_falls_goes_on_falling() {
        let images = [20, 50, 100, 200, 400];
        let found = outlook(&images, |n| 2.0 * (n as f64).powf(-0.5), 10);
        assert_eq!(found.verdict, Verdict::MoreHelps, "{found:?}");
        let expected = 2.0 * 800f64.powf(-0.5);
        let double = found.error_at_double.unwrap();
        assert!(double.low < expected && expected < double.high, "{double:?} {expected}");
        let check = found.check.unwrap();
        assert!((check.predicted - check.measured).abs() < 0.03, "{check:?}");
    }

    #[test]
    fn a_flat_curve_is_saturated() {
        let found = outlook(&[50, 100, 200, 400, 800], |n| 0.1 + 300.0 * (n as f64).powf(-2.0), 10);
        assert_eq!(found.verdict, Verdict::Saturated, "{found:?}");
        assert!(found.floor.unwrap().low > 0.05);
    }

    #[test]
    fn what_the_data_leave_open_is_not_told() {
        let steep = |n: usize| 2.0 * (n as f64).powf(-0.5);
        let few = outlook(&[20, 50, 100], steep, 10);
        assert_eq!((few.verdict, few.law), (Verdict::CannotBeTold, None));
        assert!(few.why.contains("3 sizes"), "{}", few.why);
        let once = outlook(&[20, 50, 100, 200], steep, 1);
        assert!(once.verdict == Verdict::CannotBeTold && once.why.contains("--draws"), "{}", once.why);
        // Falls, rises and falls again, by more than noise.
        let odd = outlook(&[20, 50, 100, 200, 400], |n| if n == 100 { 0.5 } else { 0.2 }, 10);
        assert!(odd.verdict == Verdict::CannotBeTold && odd.why.contains("no power law"), "{odd:?}");
        // Hardly falls, with a handful of test images: the slope may be anything.
        let images = [20, 30, 40, 60];
        let wrong = made(&images, |n| 0.4 - 0.0015 * n as f64, 4, 30);
        let open = Outlook::of(Wrong { images: &images, wrong: &wrong, seed: 0 });
        assert_eq!(open.verdict, Verdict::CannotBeTold, "{open:?}");
        assert!(open.exponent.is_none(), "{open:?}");
    }

    #[test]
    fn the_same_on_any_number_of_threads() {
        let images = [20, 50, 100, 200];
        let wrong = made(&images, |n| 2.0 * (n as f64).powf(-0.5), 5, 100);
        let of = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| Outlook::of(Wrong { images: &images, wrong: &wrong, seed: 3 }))
        };
        assert_eq!(of(1), of(4));
    }
}
