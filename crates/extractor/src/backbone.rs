//! An architecture from the zoo plus one set of weights: what runs.

use crate::{
    graph::{Graph, LayerSpec, SelectError, Shape, ShapeError, Tap},
    images::{GeometryError, geometry},
    weights::{self, Weights, WeightsError},
    zoo::{self, Architecture, UnknownBackbone},
};
use headstart_cache::{Preprocessing, Resize, WeightsId};
use std::{path::PathBuf, str::FromStr};

/// Where the weights come from: what `--weights` says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum WeightsChoice {
    /// The pretrained weights in the weights cache (`headstart weights get`).
    #[default]
    Pretrained,
    /// A file in any format the readers know.
    File(PathBuf),
    /// Made by the deterministic rule from a seed.
    Random(u64),
}

impl FromStr for WeightsChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("random:") {
            Some(seed) => seed
                .parse()
                .map(Self::Random)
                .map_err(|_| format!("random:{seed} needs a whole number, as in random:0")),
            None => Ok(Self::File(PathBuf::from(text))),
        }
    }
}

/// Why a backbone cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BackboneError {
    /// Not in the zoo.
    #[error(transparent)]
    Unknown(#[from] UnknownBackbone),
    /// Its weights are not on this machine.
    #[error(
        "no weights of {backbone} on this machine yet; get them with `headstart weights get {backbone}`, or name others with --weights FILE|random:SEED"
    )]
    NotFetched {
        /// The backbone.
        backbone: String,
    },
    /// Its weights cannot be used.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The input size is out of bounds.
    #[error(transparent)]
    Geometry(#[from] GeometryError),
    /// The input does not suit it.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// A layer spec that does not fit.
    #[error(transparent)]
    Select(#[from] SelectError),
    /// A tap lies behind parameters that the weights do not hold.
    #[error(
        "{tap} needs the parameters of {node}, which {weights} does not hold; tap a layer before it, or give complete \
         weights with --weights FILE"
    )]
    MissingParameters {
        /// The tap asked for.
        tap: String,
        /// The first node without parameters.
        node: String,
        /// Where the weights came from.
        weights: String,
    },
}

/// A network with its weights and the geometry of its input.
#[derive(Debug)]
pub struct Backbone {
    /// What the zoo says about it.
    pub architecture: Architecture,
    /// The network.
    pub graph: Graph,
    /// Shape of every node's value at this input size.
    pub shapes: Vec<Shape>,
    /// Its parameters.
    pub weights: Weights,
    /// How images are prepared for it.
    pub preprocessing: Preprocessing,
}

impl Backbone {
    /// Loads backbone `name` with these weights. `size` and `resize` replace the geometry the weights were trained with.
    ///
    /// # Errors
    /// When the name is unknown, the weights cannot be had or do not fit, or the network cannot take that size.
    pub fn load(
        name: &str,
        weights: &WeightsChoice,
        size: Option<u32>,
        resize: Option<Resize>,
    ) -> Result<Self, BackboneError> {
        let architecture = zoo::find(name)?;
        let graph = architecture.graph();
        let preprocessing = geometry::with_geometry(&architecture.preprocessing, size, resize)?;
        let side = preprocessing.size as usize;
        let shapes = graph.shapes([preprocessing.channels as usize, side, side])?;
        let weights = match weights {
            WeightsChoice::Pretrained => pretrained(name, &graph)?,
            WeightsChoice::File(path) => weights::load(path, &graph)?,
            WeightsChoice::Random(seed) => weights::random(*seed, &graph),
        };
        Ok(Self { architecture, graph, shapes, weights, preprocessing })
    }

    /// The taps that layer specs stand for.
    ///
    /// # Errors
    /// When a spec names nothing, a pool does not fit its layer, or the weights end before a tap.
    pub fn select(&self, specs: &[LayerSpec]) -> Result<Vec<Tap>, BackboneError> {
        let name = self.architecture.name;
        let computable = |tap: &Tap| self.weights.has(&self.graph.node(tap.node).name);
        let mut usable: Vec<LayerSpec> = Vec::new();
        for spec in specs {
            let taps = self.graph.select(name, std::slice::from_ref(spec), &self.shapes)?;
            let (there, beyond): (Vec<Tap>, Vec<Tap>) = taps.into_iter().partition(computable);
            let typed = self.graph.find(&spec.layer).is_some();
            match beyond.first() {
                // A word or pattern means what can be had; a name means itself.
                Some(first) if !typed && !there.is_empty() => tracing::warn!(
                    "{} leaves out {} layers from {} on, for which the weights have no parameters",
                    spec.layer,
                    beyond.len(),
                    first.layer
                ),
                Some(first) => {
                    return Err(BackboneError::MissingParameters {
                        tap: first.layer.clone(),
                        node: self.weights.missing.first().cloned().unwrap_or_default(),
                        weights: self.weights.source.clone(),
                    });
                }
                None => {}
            }
            usable.extend(there.into_iter().map(|tap| LayerSpec { layer: tap.layer, pool: Some(tap.pool) }));
        }
        Ok(self.graph.select(name, &usable, &self.shapes)?)
    }

    /// The weights as provenance names them.
    pub fn weights_id(&self) -> WeightsId {
        WeightsId { source: self.weights.source.clone(), sha256: self.weights.sha256.clone() }
    }
}

/// The weights that `headstart weights get` put on this machine.
fn pretrained(name: &str, graph: &Graph) -> Result<Weights, BackboneError> {
    let path = weights::locate(name).ok_or_else(|| BackboneError::NotFetched { backbone: name.to_string() })?;
    let source = weights::facts(&path)?.remove("source");
    let weights = weights::load(&path, graph)?;
    Ok(Weights { source: source.unwrap_or_else(|| path.display().to_string()), ..weights })
}
