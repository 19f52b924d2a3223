//! Do test images stay wrong as the training set grows?

use serde::Serialize;

/// How often each test image is wrong, at each size.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Persistence {
    /// Images that most draws of the smallest size get wrong, and most draws of the largest, too.
    pub stay_wrong: usize,
    /// Images that most draws of the smallest size get wrong, but not those of the largest.
    pub learnt: usize,
    /// Images that most draws of the smallest size get right, and those of the largest wrong.
    pub lost: usize,
    /// Images that most draws get right at both sizes.
    pub stay_right: usize,
    /// `shares[size][test image]`: in which share of the draws the image was wrong.
    #[serde(skip)]
    pub shares: Vec<Vec<f64>>,
}

impl Persistence {
    /// Counts; `wrong[size][draw][test image]`.
    pub fn of(wrong: &[Vec<Vec<bool>>]) -> Self {
        let share = |draws: &Vec<Vec<bool>>| -> Vec<f64> {
            let images = draws.first().map_or(0, Vec::len);
            let times = |image: usize| draws.iter().filter(|wrong| wrong[image]).count();
            (0..images).map(|image| times(image) as f64 / draws.len() as f64).collect()
        };
        let shares: Vec<Vec<f64>> = wrong.iter().map(share).collect();
        let mut counts = [[0; 2]; 2];
        if let (Some(first), Some(last)) = (shares.first(), shares.last()) {
            for (first, last) in first.iter().zip(last) {
                counts[usize::from(*first > 0.5)][usize::from(*last > 0.5)] += 1;
            }
        }
        let [[stay_right, lost], [learnt, stay_wrong]] = counts;
        Self { stay_wrong, learnt, lost, stay_right, shares }
    }

    /// The images that are wrong most stubbornly: wrong in most draws of the largest size; those first that are wrong in the
    /// largest share over all sizes, of equals in their order.
    pub fn stubborn(&self) -> Vec<usize> {
        let Some(last) = self.shares.last() else { return Vec::new() };
        let together = |image: usize| self.shares.iter().map(|shares| shares[image]).sum::<f64>();
        let mut images: Vec<usize> = (0..last.len()).filter(|&image| last[image] > 0.5).collect();
        images.sort_by(|&a, &b| together(b).total_cmp(&together(a)));
        images
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_stay_wrong_or_are_learnt() {
        // Five images: always right, learnt, lost, always wrong, wrong in one draw of two at first.
        let small = vec![vec![false, true, false, true, true], vec![false, true, false, true, false]];
        let large = vec![vec![false, false, true, true, true]];
        let found = Persistence::of(&[small, large]);
        assert_eq!((found.stay_right, found.learnt, found.lost, found.stay_wrong), (1, 1, 2, 1));
        assert_eq!(found.shares[0], [0.0, 1.0, 0.0, 1.0, 0.5]);
        assert_eq!(found.stubborn(), [3, 4, 2]);
    }
}
