//! A few hundred rows of a cache as a cache of their own, so that measuring and sweeping cost the same whatever the cache's size.

use super::AdviseError;
use headstart_cache::{Cache, LayerDesc, LayerInfo, RowOutcome, RowSpec, Status, Writer};
use headstart_trainer::training_splits;
use std::{collections::BTreeMap, path::Path};

/// Writes at most `count` un-augmented, decoded training rows of `cache`, with the layers in `layers`, into a new cache at `to`:
/// every class keeps its share, and the same rows are taken every time.
///
/// # Errors
/// When either file fails, or no row qualifies.
pub(super) fn write(cache: &Cache, layers: &[LayerInfo], count: usize, to: &Path) -> Result<(), AdviseError> {
    let all = cache.rows();
    let done = |row: usize| all.status[row] == Status::Done && all.view[row] == 0;
    let trains = training_splits(all.split.iter().map(String::as_str));
    let usable: Vec<usize> = (0..all.len()).filter(|&row| done(row) && trains(&all.split[row])).collect();
    let rows = spread(&usable, |row| all.label[row], count);
    if rows.is_empty() {
        return Err(AdviseError::NoImages { path: cache.path().to_path_buf() });
    }
    let specs: Vec<RowSpec> = rows
        .iter()
        .map(|&row| RowSpec { path: all.path[row].clone(), label: all.label[row], split: String::new(), view: 0 })
        .collect();
    let (mut writer, _) = Writer::open_or_create(to, cache.provenance(), &specs, cache.classes())?;
    let descs: Vec<LayerDesc> = layers.iter().map(desc).collect();
    let ids = writer.add_layers(&descs)?;
    for (layer, id) in layers.iter().zip(ids) {
        let values = cache.read_rows(layer, &rows)?;
        let values: Vec<f32> = values.into_iter().collect();
        writer.append(0, &vec![RowOutcome::Done; rows.len()], &[(id, &values)])?;
    }
    writer.finish()?;
    Ok(())
}

fn desc(layer: &LayerInfo) -> LayerDesc {
    LayerDesc {
        layer: layer.layer.clone(),
        pool: layer.pool.clone(),
        shape: layer.shape.clone(),
        stored: layer.stored.clone(),
        store: layer.store,
        device: layer.device.clone(),
        tool_version: layer.tool_version.clone(),
    }
}

/// At most `count` of `items`, evenly from each group, in their order.
pub(super) fn spread<K: Ord>(items: &[usize], group: impl Fn(usize) -> K, count: usize) -> Vec<usize> {
    let mut groups: BTreeMap<K, Vec<usize>> = BTreeMap::new();
    items.iter().for_each(|&item| groups.entry(group(item)).or_default().push(item));
    // Every item has a place within its group, from 0 to 1; those with the earliest places are taken in the order of a bit
    // reversal, which spreads any number of them evenly.
    let mut ranked: Vec<(u64, usize)> = Vec::new();
    for members in groups.values() {
        let order = evenly(members.len());
        ranked.extend(
            order
                .iter()
                .enumerate()
                .map(|(rank, &at)| ((rank as u64 * 1_000_000 + 500_000) / members.len() as u64, members[at])),
        );
    }
    ranked.sort_unstable();
    let mut chosen: Vec<usize> = ranked.into_iter().take(count).map(|(_, item)| item).collect();
    chosen.sort_unstable();
    chosen
}

/// The numbers below `n` in an order whose every beginning is spread over all of them: by their bits in reverse.
fn evenly(n: usize) -> Vec<usize> {
    let bits = usize::BITS - n.saturating_sub(1).leading_zeros();
    let reversed = |index: usize| if bits == 0 { 0 } else { index.reverse_bits() >> (usize::BITS - bits) };
    (0..1usize << bits).map(reversed).filter(|&index| index < n).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_keep_their_shares_and_are_spread_evenly() {
        let items: Vec<usize> = (0..1000).collect();
        let chosen = spread(&items, |item| usize::from(item >= 800), 100);
        assert_eq!(chosen.len(), 100);
        assert_eq!(chosen.iter().filter(|item| **item >= 800).count(), 20);
        assert!(chosen.windows(2).all(|pair| pair[1] - pair[0] < 30), "{chosen:?}");
        assert_eq!(spread(&items[..7], |_| 0, 100), [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(spread(&[], |_| 0, 3), Vec::<usize>::new());
    }
}
