//! Predictions for the rows of a cache: no network runs.

use super::{Scored, Scores};
use headstart_cache::{Cache, LayerInfo, Status};
use headstart_trainer::Head;
use std::{
    collections::{BTreeSet, HashMap},
    path::PathBuf,
};

/// Values that are in memory at a time: 16 MB.
const BLOCK_VALUES: usize = 1 << 22;

/// Why the rows of a cache cannot be predicted.
#[derive(Debug, thiserror::Error)]
pub enum FromCacheError {
    /// The head does not fit the cache.
    #[error(transparent)]
    Head(#[from] headstart_trainer::Error),
    /// The file.
    #[error(transparent)]
    Cache(#[from] headstart_cache::Error),
    /// A split that no row is in.
    #[error("{}: no rows of split '{split}'; leave --split out, or name one that is there: {}", .path.display(), .have.join(", "))]
    NoRows {
        /// The cache.
        path: PathBuf,
        /// What was asked for.
        split: String,
        /// The splits that have rows.
        have: Vec<String>,
    },
}

/// Which rows of which layer are to be predicted.
#[derive(Debug, Clone)]
pub struct Selection {
    layer: LayerInfo,
    /// The rows of each image.
    images: Vec<Vec<usize>>,
}

impl Selection {
    /// The images of a split (none or `all`: of every split), in the order of the cache, after checking that the cache comes
    /// from the extraction that the head was trained on. Augmented views are no images of their own: what the head says of
    /// them is added to what it says of the image (`sum_views`), or they are left out.
    ///
    /// # Errors
    /// Another extraction, layer or width, an extraction that is not complete, a split without rows.
    pub fn new(head: &Head, cache: &Cache, split: Option<&str>, sum_views: bool) -> Result<Self, FromCacheError> {
        let layer = head.layer_of(cache)?.clone();
        let all = cache.rows();
        if layer.committed < all.len() {
            let (path, committed) = (cache.path().to_path_buf(), layer.committed);
            let incomplete =
                headstart_trainer::Error::Incomplete { path, layer: layer.name, committed, rows: all.len() };
            return Err(incomplete.into());
        }
        let wanted = split.filter(|split| *split != "all");
        let is_wanted = |row: &usize| all.view[*row] == 0 && wanted.is_none_or(|split| all.split[*row] == split);
        let mut images: Vec<Vec<usize>> = (0..all.len()).filter(is_wanted).map(|row| vec![row]).collect();
        if sum_views {
            let place: HashMap<&str, usize> =
                images.iter().enumerate().map(|(at, rows)| (all.path[rows[0]].as_str(), at)).collect();
            for row in (0..all.len()).filter(|&row| all.view[row] > 0 && all.status[row] == Status::Done) {
                if let Some(&at) = place.get(all.path[row].as_str()) {
                    images[at].push(row);
                }
            }
        }
        match wanted {
            Some(split) if images.is_empty() => {
                let have: BTreeSet<&String> = all.split.iter().filter(|split| !split.is_empty()).collect();
                let have = have.into_iter().map(String::as_str).chain(["all"]).map(String::from).collect();
                Err(FromCacheError::NoRows { path: cache.path().to_path_buf(), split: split.into(), have })
            }
            _ => Ok(Self { layer, images }),
        }
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.images.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
    }
}

/// Hands `each` what the head says about every selected image, in order, reading a block of rows at a time. Those whose image
/// could not be used come with the reason that the extraction noted.
///
/// # Errors
/// When the cache cannot be read, or `each` fails.
pub fn predict_cache<E: From<FromCacheError>>(
    head: &Head,
    cache: &Cache,
    selection: &Selection,
    mut each: impl FnMut(Scored) -> Result<(), E>,
) -> Result<(), E> {
    let all = cache.rows();
    let views = selection.images.iter().map(Vec::len).max().unwrap_or(1);
    for block in selection.images.chunks((BLOCK_VALUES / selection.layer.width / views).max(1)) {
        let usable: Vec<&[usize]> =
            block.iter().filter(|rows| all.status[rows[0]] == Status::Done).map(Vec::as_slice).collect();
        let sizes: Vec<usize> = usable.iter().map(|rows| rows.len()).collect();
        let features = cache.read_rows(&selection.layer, &usable.concat()).map_err(FromCacheError::from)?;
        let scores = Scores::of_views(head, features.view(), &sizes).map_err(FromCacheError::from)?;
        let mut scores = scores.into_iter();
        for row in block.iter().map(|rows| rows[0]) {
            let next = if all.status[row] == Status::Done { scores.next() } else { None };
            let label = usize::try_from(all.label[row]).ok().and_then(|label| cache.classes().get(label)).cloned();
            each(Scored { path: all.path[row].clone(), label, outcome: next.ok_or_else(|| all.error[row].clone()) })?;
        }
    }
    Ok(())
}
