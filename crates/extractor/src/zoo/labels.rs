//! What the outputs of a pretrained network stand for.

use serde::Serialize;
use std::sync::LazyLock;

/// A set of classes, in the order of the outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Labels {
    /// The 1000 classes of the ImageNet challenges since 2012.
    #[serde(rename = "imagenet-1k")]
    ImageNet1k,
    /// The ten digits, 0 to 9.
    Digits,
}

impl Labels {
    /// The name of each class, in the order of the outputs.
    pub fn names(self) -> &'static [&'static str] {
        match self {
            Labels::ImageNet1k => imagenet_classes(),
            Labels::Digits => &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
        }
    }
}

static IMAGENET: LazyLock<Vec<&'static str>> = LazyLock::new(|| include_str!("imagenet1k.txt").lines().collect());

/// The names of the 1000 ImageNet classes, in the order of the outputs; the short ones that torchvision uses.
pub fn imagenet_classes() -> &'static [&'static str] {
    &IMAGENET
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_thousand_different_names_in_the_usual_order() {
        let names = imagenet_classes();
        assert_eq!(names.len(), 1000);
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), 1000);
        assert!(names.iter().all(|name| !name.is_empty() && name.trim() == *name));
        assert_eq!(names[0], "tench");
        assert_eq!(names[207], "golden retriever");
        assert_eq!(names[999], "toilet tissue");
    }
}
