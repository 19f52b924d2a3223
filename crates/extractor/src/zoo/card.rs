//! One line per architecture for people and scripts, with everything countable counted on the graph.

use super::{Architecture, Paper, all};
use serde::Serialize;

/// What `headstart models` says about an architecture.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelCard {
    /// The name it is asked for by.
    pub name: &'static str,
    /// The family, as its paper spells it.
    pub family: &'static str,
    /// The paper that describes it.
    pub paper: Paper,
    /// Learnable scalars.
    pub parameters: u64,
    /// Multiply-adds of convolutions and linear layers for one image of the native size.
    pub multiply_adds: u64,
    /// Weight layers along the longest path.
    pub depth: usize,
    /// The native input, C×H×W.
    pub input: [usize; 3],
    /// Published top-1 accuracy on the ImageNet-1k validation set, in percent.
    pub top1: Option<f64>,
    /// Published top-5 accuracy, in percent.
    pub top5: Option<f64>,
    /// Where the accuracies were published.
    pub source: Option<&'static str>,
    /// Size of the parameters and running statistics as f32, in MB (10⁶ bytes).
    pub size_mb: f64,
}

impl Architecture {
    /// The architecture's line in the list of models.
    pub fn card(&self) -> ModelCard {
        let graph = self.graph();
        let shapes = graph.shapes(self.input).expect("an architecture takes the input it was made for");
        let scalars: usize = graph.parameters().iter().map(|tensor| tensor.shape.iter().product::<usize>()).sum();
        ModelCard {
            name: self.name,
            family: self.family,
            paper: self.paper,
            parameters: graph.parameter_count(),
            multiply_adds: graph.multiply_adds(&shapes).iter().sum(),
            depth: self.depth,
            input: self.input,
            top1: self.published.map(|published| published.top1),
            top5: self.published.map(|published| published.top5),
            source: self.published.map(|published| published.source),
            size_mb: scalars as f64 * 4e-6,
        }
    }
}

/// The card of every architecture, in the order of [`all`].
pub fn model_cards() -> Vec<ModelCard> {
    all().iter().map(Architecture::card).collect()
}

#[cfg(test)]
mod tests {
    use super::super::find;

    #[test]
    fn a_card_has_the_well_known_numbers() {
        let card = find("resnet18").unwrap().card();
        assert_eq!(card.parameters, 11_689_512);
        assert_eq!(card.multiply_adds, 1_814_073_344);
        assert_eq!(card.top1, Some(69.758));
        // 11 689 512 parameters and 9 600 running statistics, four bytes each.
        assert!((card.size_mb - 46.796_45).abs() < 1e-4, "{}", card.size_mb);

        let card = find("lenet5").unwrap().card();
        assert_eq!(card.parameters, 61_706);
        assert_eq!(card.top1, None);
    }

    #[test]
    fn a_card_as_json_is_flat_but_for_the_paper() {
        let json = serde_json::to_value(find("vgg16").unwrap().card()).unwrap();
        assert_eq!(json["input"], serde_json::json!([3, 224, 224]));
        assert_eq!(json["paper"]["year"], 2014);
        assert_eq!(json["source"], "torchvision IMAGENET1K_V1");
    }
}
