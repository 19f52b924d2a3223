//! Whether the vectors of a cache are of the sort that a head was trained on.

use headstart_cache::{Cache, LayerInfo, Provenance};

use crate::{Error, Head};

impl Head {
    /// The layer of a cache that the head applies to, if the cache comes from the same backbone, weights and preprocessing.
    ///
    /// # Errors
    /// [`Error::OtherVectors`] naming what differs, an unknown layer, and [`Error::Width`] for one of another width.
    pub fn layer_of<'a>(&self, cache: &'a Cache) -> Result<&'a LayerInfo, Error> {
        if let Some(wanted) = &self.source.provenance {
            let differences = differences(wanted, cache.provenance());
            if !differences.is_empty() {
                return Err(Error::OtherVectors { path: cache.path().to_path_buf(), differences });
            }
        }
        let layer = cache.find_layer(&self.source.layer)?;
        if layer.width == self.width() {
            return Ok(layer);
        }
        Err(Error::Width { expected: self.width(), got: layer.width })
    }
}

/// What makes vectors of `here` other than those that a head was trained on.
///
/// The augmentation of the training rows is no matter for scoring. Of imported vectors nothing is known but the name
/// `imported`: their `weights` are a hash of the very numbers, so that any new vectors would differ.
fn differences(wanted: &Provenance, here: &Provenance) -> Vec<String> {
    let imported = wanted.backbone == "imported";
    wanted
        .differences(here)
        .into_iter()
        .filter(
            |difference| {
                if imported { difference.part == "backbone" } else { !difference.part.starts_with("augmentation") }
            },
        )
        .map(|difference| format!("{}: {} there, {} here", difference.part, difference.file, difference.run))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use headstart_cache::{Augmentation, WeightsId};

    fn provenance(backbone: &str, weights: &str) -> Provenance {
        Provenance {
            format_version: 1,
            tool_version: "0".into(),
            backbone: backbone.into(),
            weights: WeightsId { source: "a file".into(), sha256: weights.into() },
            preprocessing: None,
            decoder: None,
            compute_dtype: "f32".into(),
            augmentation: Augmentation::none(),
            images: None,
        }
    }

    #[test]
    fn only_of_imported_vectors_the_weights_may_differ() {
        let named = |a: &Provenance, b: &Provenance| differences(a, b).join("; ");
        let (lenet, imported) = (provenance("lenet5", "a"), provenance("imported", "a"));
        assert_eq!(named(&imported, &provenance("imported", "b")), "");
        assert!(named(&imported, &lenet).contains("backbone"));
        assert!(named(&lenet, &imported).contains("backbone"));
        assert!(named(&lenet, &provenance("lenet5", "b")).contains("weights"));
        let views = Augmentation { recipe: "crops".into(), views: 4, seed: 1, definition: Some("crops".into()) };
        assert_eq!(named(&lenet, &Provenance { augmentation: views, ..lenet.clone() }), "");
    }
}
