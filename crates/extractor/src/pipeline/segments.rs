//! Which rows still need which layers. Layers added at different times have come differently far; rows are cut where one
//! of them ends, so that every piece computes exactly what is missing.

use std::ops::Range;

/// Rows that need the same layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The rows.
    pub rows: Range<usize>,
    /// Indices of the layers to compute for them.
    pub layers: Vec<usize>,
}

/// Cuts the rows up to `end` where a layer's committed rows end.
pub fn segments(committed: &[usize], end: usize) -> Vec<Segment> {
    let mut marks: Vec<usize> = committed.iter().copied().filter(|&mark| mark < end).collect();
    marks.sort_unstable();
    marks.dedup();
    marks
        .iter()
        .enumerate()
        .map(|(at, &first)| Segment {
            rows: first..marks.get(at + 1).copied().unwrap_or(end),
            layers: (0..committed.len()).filter(|&layer| committed[layer] <= first).collect(),
        })
        .collect()
}

/// Cuts rows into batches that end at multiples of `batch`, so that a resumed run forms the same batches as one that was
/// never interrupted.
pub fn batches(rows: Range<usize>, batch: usize) -> impl Iterator<Item = Range<usize>> + Send {
    let mut first = rows.start;
    std::iter::from_fn(move || {
        let end = ((first / batch + 1) * batch).min(rows.end);
        let range = first..end;
        first = end;
        (!range.is_empty()).then_some(range)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_layer_starts_alone_and_the_others_join_where_they_stopped() {
        let pieces = segments(&[100, 40, 0, 40], 100);
        assert_eq!(
            pieces,
            [Segment { rows: 0..40, layers: vec![2] }, Segment { rows: 40..100, layers: vec![1, 2, 3] }]
        );
        assert_eq!(segments(&[7, 7], 7), []);
        assert_eq!(segments(&[3], 9), [Segment { rows: 3..9, layers: vec![0] }]);
    }

    #[test]
    fn batches_end_at_multiples_wherever_they_start() {
        assert_eq!(batches(0..10, 4).collect::<Vec<_>>(), [0..4, 4..8, 8..10]);
        assert_eq!(batches(6..10, 4).collect::<Vec<_>>(), [6..8, 8..10]);
        assert_eq!(batches(5..5, 4).count(), 0);
    }
}
