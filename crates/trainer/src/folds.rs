//! Stratified k-fold over groups: every class is spread evenly, no group is ever cut.

use std::collections::HashMap;

use crate::Error;
use crate::random::SplitMix64;

/// The fold (0 to `folds` − 1) in which each row is validated.
///
/// Rows of one group stay together. The groups of each class (for a group of several classes, the commonest, ties to the
/// smallest) are shuffled and dealt out in turn, each class going on where the one before stopped, so that for groups of equal
/// size both the classes and the fold sizes differ by at most one group. The same arguments give the same folds on every machine.
///
/// # Errors
/// [`Error::ClassSmallerThanFolds`] if a class has fewer groups than there are folds.
///
/// # Panics
/// If the arrays differ in length or a label is not below `classes.len()`; the samples' own check comes first.
pub fn stratified_folds(
    labels: &[usize],
    groups: &[usize],
    classes: &[String],
    folds: usize,
    seed: u64,
) -> Result<Vec<usize>, Error> {
    assert_eq!(labels.len(), groups.len(), "one group per label");
    // Groups in order of their first row, so that the ids themselves do not matter.
    let mut index_of: HashMap<usize, usize> = HashMap::new();
    let mut counts: Vec<HashMap<usize, usize>> = Vec::new();
    let rows: Vec<usize> = labels
        .iter()
        .zip(groups)
        .map(|(&label, &group)| {
            let index = *index_of.entry(group).or_insert_with(|| {
                counts.push(HashMap::new());
                counts.len() - 1
            });
            *counts[index].entry(label).or_default() += 1;
            index
        })
        .collect();

    let mut by_class: Vec<Vec<usize>> = vec![Vec::new(); classes.len()];
    for (group, labels) in counts.iter().enumerate() {
        let commonest = labels.iter().max_by_key(|&(&label, &count)| (count, std::cmp::Reverse(label)));
        if let Some((&label, _)) = commonest {
            by_class[label].push(group);
        }
    }

    // The smallest class, so that the folds it allows are those that all allow.
    let smallest = by_class.iter().enumerate().min_by_key(|(_, members)| members.len());
    if let Some((class, members)) = smallest.filter(|(_, members)| members.len() < folds) {
        return Err(Error::ClassSmallerThanFolds { class: classes[class].clone(), groups: members.len(), folds });
    }

    let mut random = SplitMix64::new(seed);
    let mut fold_of = vec![0; counts.len()];
    let mut next = 0;
    for members in &mut by_class {
        random.shuffle(members);
        for &group in members.iter() {
            fold_of[group] = next;
            next = (next + 1) % folds;
        }
    }
    Ok(rows.into_iter().map(|group| fold_of[group]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|index| index.to_string()).collect()
    }

    #[test]
    fn a_small_class_is_named() {
        let message = stratified_folds(&[0, 0, 0, 1, 1], &[0, 1, 2, 3, 4], &names(2), 3, 0).unwrap_err().to_string();
        assert!(message.contains("class '1' has 2 image(s), fewer than the 3 folds"), "{message}");
    }

    #[test]
    fn views_do_not_make_a_class_larger() {
        // Four rows, but two images.
        let error = stratified_folds(&[0, 0, 0, 0, 1, 1, 1], &[0, 0, 1, 1, 2, 3, 4], &names(2), 3, 0);
        assert!(matches!(error, Err(Error::ClassSmallerThanFolds { groups: 2, .. })));
    }

    #[test]
    fn a_group_of_several_classes_stays_whole() {
        let labels = [0, 0, 1, 0, 1, 0, 1, 1, 0, 1];
        let groups = [7, 7, 7, 1, 2, 3, 4, 5, 6, 8];
        let folds = stratified_folds(&labels, &groups, &names(2), 2, 5).unwrap();
        assert_eq!(folds[0], folds[1]);
        assert_eq!(folds[0], folds[2]);
    }

    proptest! {
        #[test]
        fn classes_are_spread_and_groups_are_whole(
            sizes in prop::collection::vec(5usize..30, 2..6),
            views in 1usize..4,
            folds in 2usize..6,
            seed in any::<u64>(),
            shift in 0usize..1000,
        ) {
            let mut labels = Vec::new();
            let mut groups = Vec::new();
            for (class, &size) in sizes.iter().enumerate() {
                for image in 0..size {
                    for _ in 0..views {
                        labels.push(class);
                        groups.push(shift + class * 100 + image);
                    }
                }
            }
            let classes = names(sizes.len());
            let fold_of = stratified_folds(&labels, &groups, &classes, folds, seed).unwrap();
            prop_assert_eq!(&fold_of, &stratified_folds(&labels, &groups, &classes, folds, seed).unwrap());
            let renamed: Vec<usize> = groups.iter().map(|group| 5000 - group).collect();
            prop_assert_eq!(&fold_of, &stratified_folds(&labels, &renamed, &classes, folds, seed).unwrap());

            let mut home = HashMap::new();
            let mut counts = vec![vec![0usize; folds]; sizes.len()];
            let mut totals = vec![0usize; folds];
            for ((&label, &group), &fold) in labels.iter().zip(&groups).zip(&fold_of) {
                prop_assert_eq!(*home.entry(group).or_insert(fold), fold);
                counts[label][fold] += 1;
                totals[fold] += 1;
            }
            for spread in counts.iter().chain([&totals]) {
                let (low, high) = (spread.iter().min().unwrap(), spread.iter().max().unwrap());
                prop_assert!(high - low <= views, "{:?}", spread);
            }
        }
    }

    #[test]
    fn the_seed_matters() {
        let labels: Vec<usize> = (0..40).map(|row| row % 2).collect();
        let groups: Vec<usize> = (0..40).collect();
        let folds = |seed| stratified_folds(&labels, &groups, &names(2), 5, seed).unwrap();
        assert_ne!(folds(0), folds(1));
    }
}
