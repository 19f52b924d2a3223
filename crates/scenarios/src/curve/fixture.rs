//! Small caches for tests.

use super::{Amount, CurveOptions, Recipe, Size};
use headstart_cache::{Augmentation, LayerDesc, Provenance, RowOutcome, RowSpec, Store, WeightsId, Writer};
use headstart_trainer::{HeadKind, Memory, Scaling, Search, SplitMix64};
use std::path::{Path, PathBuf};

/// Images of three classes whose names try to break a page, in overlapping clusters of eight features.
pub struct Made {
    /// Images of each class.
    pub per_class: usize,
    /// Views of each image.
    pub views: u32,
    /// Split of the images of each class by their number.
    pub split: fn(usize) -> &'static str,
    /// Whether labels have nothing to do with features.
    pub shuffled: bool,
    /// Whether the rows stand in another order.
    pub reversed: bool,
}

impl Default for Made {
    fn default() -> Self {
        let split = |image| if image % 3 == 2 { "test" } else { "train" };
        Self { per_class: 30, views: 1, split, shuffled: false, reversed: false }
    }
}

pub const CLASSES: [&str; 3] = ["<b>bold</b>", "a & b", "fly"];

impl Made {
    /// Writes the cache, with two layers.
    pub fn write(&self, folder: &Path, name: &str) -> PathBuf {
        let path = folder.join(name);
        let mut random = SplitMix64::new(5);
        let mut uniform = move || (random.below(1 << 24) as f32) / (1 << 24) as f32 - 0.5;
        let mut rows: Vec<(RowSpec, Vec<f32>)> = Vec::new();
        for image in 0..self.per_class {
            for class in 0..CLASSES.len() {
                let label = if self.shuffled { ((uniform() + 0.5) * 3.0) as usize % 3 } else { class };
                let own: Vec<f32> = (0..8)
                    .map(|column| 2.0 * (uniform() + uniform()) + if column % 3 == class { 0.6 } else { 0.0 })
                    .collect();
                for view in 0..self.views {
                    let path = format!("<i>/{class}-{image:03}.png");
                    let split = (self.split)(image).to_owned();
                    let values =
                        own.iter().map(|value| value + if view == 0 { 0.0 } else { 0.3 * uniform() }).collect();
                    rows.push((RowSpec { path, label: label as i32, split, view }, values));
                }
            }
        }
        if self.reversed {
            rows.reverse();
        }
        let (specs, values): (Vec<RowSpec>, Vec<Vec<f32>>) = rows.into_iter().unzip();
        let provenance = Provenance {
            format_version: headstart_cache::FORMAT_VERSION,
            tool_version: "0".into(),
            backbone: "lenet5".into(),
            weights: WeightsId { source: "<script>".into(), sha256: "0".into() },
            preprocessing: None,
            decoder: None,
            compute_dtype: "f32".into(),
            augmentation: Augmentation { recipe: "made".into(), views: self.views, ..Augmentation::none() },
            images: None,
        };
        let (mut writer, _) = Writer::open_or_create(&path, &provenance, &specs, &CLASSES.map(String::from)).unwrap();
        let desc = |layer: &str| LayerDesc {
            layer: layer.into(),
            pool: "flatten".into(),
            shape: vec![8],
            stored: vec![8],
            store: Store::F32,
            device: "cpu".into(),
            tool_version: "0".into(),
        };
        let layers = writer.add_layers(&[desc("fc1"), desc("fc2")]).unwrap();
        let values: Vec<f32> = values.concat();
        for layer in layers {
            writer.append(0, &vec![RowOutcome::Done; specs.len()], &[(layer, &values)]).unwrap();
        }
        writer.finish().unwrap();
        path
    }
}

/// A logistic head on the first layer, 2, 5, 10 and all images of each class, four draws.
pub fn options(caches: &[&PathBuf]) -> CurveOptions {
    let amounts = [2, 5, 10].map(Amount::Images).into_iter().chain([Amount::All]);
    CurveOptions {
        caches: caches.iter().map(|&path| path.clone()).collect(),
        layers: vec!["fc1".into()],
        sizes: amounts.map(Size::PerClass).collect(),
        draws: 4,
        held_out: 0.3,
        sum_views: false,
        recipe: Recipe {
            heads: vec![(HeadKind::Logistic.into(), Search::new([1e-3, 0.1]))],
            folds: 3,
            repeats: 1,
            scaling: Scaling::default(),
            seed: 0,
            memory: Memory::UNLIMITED,
        },
    }
}
