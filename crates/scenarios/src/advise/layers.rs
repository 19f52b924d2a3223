//! What the layers of a cache are good for: which carry the evidence, which a sweep should try, how transferable each is.

use super::{
    AdviseError,
    measure::{Evidence, softmax},
};
use headstart_cache::{Cache, LayerInfo};
use headstart_extractor::{
    backbone::Backbone,
    graph::{NodeId, Pool},
    source::{Scores, SourceClassifier},
};
use headstart_trainer::{Memory, Part, Vectors, h_score, leep, log_me};
use ndarray::Array2;
use serde::Serialize;

/// Which layers of a cache serve what.
pub(super) struct Roles<'a> {
    backbone: &'a Backbone,
    classifier: Option<SourceClassifier<'a>>,
    /// The layer that gives the scores of the source classes.
    pub(super) scores: Option<(LayerInfo, Scores)>,
    /// For batch normalisations whose input is there: its number among them, and the layer.
    pub(super) inputs: Vec<(usize, LayerInfo)>,
}

impl<'a> Roles<'a> {
    /// Looks through the layers of a cache that this backbone made.
    pub(super) fn of(cache: &Cache, backbone: &'a Backbone) -> Self {
        let placed: Vec<(NodeId, Pool, &LayerInfo)> = cache
            .layers()
            .iter()
            .filter(|layer| layer.committed == cache.rows().len())
            .filter_map(|layer| Some((backbone.graph.find(&layer.layer)?, layer.pool.parse().ok()?, layer)))
            .collect();
        let classifier = backbone.source_classifier();
        let scores = classifier.as_ref().and_then(|classifier| {
            let scores = |&(node, pool, layer): &(NodeId, Pool, &LayerInfo)| {
                classifier.from_layer(backbone, node, pool).map(|how| (layer.clone(), how))
            };
            placed.iter().find_map(scores)
        });
        let mut inputs = Vec::new();
        for (index, known) in backbone.source_statistics().iter().enumerate() {
            let is_input = |(node, pool, _): &&(NodeId, Pool, &LayerInfo)| *node == known.input && *pool == Pool::Gap;
            if let Some((_, _, layer)) = placed.iter().find(is_input) {
                inputs.push((index, (*layer).clone()));
            }
        }
        Self { backbone, classifier, scores, inputs }
    }

    /// The layers that evidence needs and the cache lacks, as `--layers` takes them: of the classifier, and of batch
    /// normalisations.
    pub(super) fn missing(&self) -> (Option<String>, Vec<String>) {
        let graph = &self.backbone.graph;
        let scores = match (&self.classifier, &self.scores) {
            (Some(classifier), None) => Some(graph.node(classifier.output).name.clone()),
            _ => None,
        };
        let known = self.backbone.source_statistics();
        let lacking =
            known.iter().enumerate().filter(|(index, _)| !self.inputs.iter().any(|(there, _)| there == index));
        (scores, lacking.map(|(_, known)| graph.node(known.input).name.clone()).collect())
    }

    /// Whether the backbone has a classifier at all.
    pub(super) fn has_classifier(&self) -> bool {
        self.classifier.is_some()
    }

    /// Reads what the measures need, for all rows of a (small) cache. Batch normalisations count only where all of them are there,
    /// for thresholds are those of all.
    ///
    /// # Errors
    /// When the cache cannot be read.
    pub(super) fn evidence(&self, cache: &Cache) -> Result<Evidence<'_>, AdviseError> {
        let rows = 0..cache.rows().len();
        let mut evidence = Evidence::default();
        if let (Some((layer, how)), Some(classifier)) = (&self.scores, &self.classifier) {
            let values = cache.read(cache.find_layer(&layer.name)?, rows.clone())?;
            let mut probabilities = Array2::zeros((rows.len(), classifier.classes));
            for (row, mut out) in values.outer_iter().zip(probabilities.outer_iter_mut()) {
                let mut scores = classifier.scores(*how, &row.to_vec());
                softmax(&mut scores);
                out.iter_mut().zip(scores).for_each(|(out, score)| *out = score);
            }
            evidence.probabilities = Some(probabilities);
        }
        let known = self.backbone.source_statistics();
        if self.inputs.len() == known.len() {
            for (index, layer) in &self.inputs {
                let values = cache.read(cache.find_layer(&layer.name)?, rows.clone())?;
                evidence.activations.push((values, known[*index].clone()));
            }
        }
        Ok(evidence)
    }

    /// The layers to try heads on: the ends of the stages if the cache holds two or more of them, else everything that is not there
    /// for the evidence alone.
    pub(super) fn candidates(&self, cache: &Cache) -> Vec<LayerInfo> {
        let graph = &self.backbone.graph;
        let stages: Vec<Option<NodeId>> = graph.stages().iter().map(|stage| graph.find(stage)).collect();
        let node = |layer: &LayerInfo| graph.find(&layer.layer);
        let vectors: Vec<&LayerInfo> = super::vectors(cache).collect();
        let of_stages: Vec<LayerInfo> =
            vectors.iter().filter(|layer| stages.contains(&node(layer))).map(|layer| (*layer).clone()).collect();
        if of_stages.len() > 1 {
            return of_stages;
        }
        let output = graph.nodes().len() - 1;
        let for_evidence = |layer: &LayerInfo| {
            node(layer) == Some(output) || self.inputs.iter().any(|(_, input)| input.name == layer.name)
        };
        vectors.into_iter().filter(|layer| !for_evidence(layer)).cloned().collect()
    }
}

/// How well labels follow from a layer, by formulas.
#[derive(Debug, Clone, Serialize)]
pub struct Transferability {
    /// `layer:pool`.
    pub layer: String,
    /// LogME (You et al. 2021).
    pub log_me: f64,
    /// H-score, shrunk (Bao et al. 2019; Ibrahim et al. 2022).
    pub h_score: f64,
}

/// Whether all training rows of a layer are the same. One that cannot be read is said to be by whoever needs it.
pub(super) fn is_constant(cache: &Cache, layer: &LayerInfo) -> bool {
    let Ok(rows) = Vectors::read(cache, layer, &Part::Train, Memory::UNLIMITED) else { return false };
    let all: Vec<usize> = (0..rows.len()).collect();
    rows.features.view().read(&all).is_ok_and(|values| values.outer_iter().all(|row| row == values.row(0)))
}

/// LogME and H-score of every layer.
///
/// # Errors
/// When the cache cannot be read, or its rows have no labels of two classes.
pub(super) fn transferability(cache: &Cache, layers: &[&LayerInfo]) -> Result<Vec<Transferability>, AdviseError> {
    let score = |layer: &&LayerInfo| {
        let rows = Vectors::read(cache, layer, &Part::Train, Memory::UNLIMITED)?;
        let values = rows.features.view().read(&(0..rows.len()).collect::<Vec<_>>())?;
        let classes = rows.classes.len();
        Ok(Transferability {
            layer: layer.name.clone(),
            log_me: log_me(values.view(), &rows.labels, classes)?,
            h_score: h_score(values.view(), &rows.labels, classes)?,
        })
    };
    layers.iter().map(score).collect()
}

/// LEEP of the source classifier for the labels of these rows.
///
/// # Errors
/// When labels are of fewer than two classes.
pub(super) fn leep_of(cache: &Cache, evidence: &Evidence) -> Result<Option<f64>, AdviseError> {
    let Some(probabilities) = &evidence.probabilities else { return Ok(None) };
    let all = cache.rows();
    let rows: Vec<usize> = (0..all.len()).filter(|&row| all.label[row] >= 0).collect();
    let labels: Vec<usize> = rows.iter().map(|&row| all.label[row] as usize).collect();
    let chosen = probabilities.select(ndarray::Axis(0), &rows);
    Ok(Some(leep(chosen.view(), &labels, cache.classes().len())?))
}
