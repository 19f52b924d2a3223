//! An architecture from the zoo plus one set of weights: what runs.

use crate::{
    graph::{Graph, LayerSpec, SelectError, Shape, ShapeError, Tap},
    images::{GeometryError, geometry},
    weights::{self, Outline, StateDict, Weights, WeightsError},
    zoo::{self, Architecture, UnknownBackbone},
};
use headstart_cache::{Preprocessing, Resize, WeightsId};
use std::{
    path::{Path, PathBuf},
    str::FromStr,
};

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
    /// Its weights file changed under way.
    #[error("{}: replaced by other weights while it was being read; run the command again", .path.display())]
    Replaced {
        /// The file.
        path: PathBuf,
    },
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
    /// Its parameters; without their numbers until [`Self::read_weights`], where it was only described.
    pub weights: Weights,
    /// How images are prepared for it.
    pub preprocessing: Preprocessing,
    /// The file whose numbers have not been read.
    unread: Option<PathBuf>,
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
        let mut backbone = Self::describe(name, weights, size, resize)?;
        backbone.read_weights()?;
        Ok(backbone)
    }

    /// [`Self::load`] without the numbers of a weights file whose header says which weights they are: enough to tell what
    /// a run would do, and half a gigabyte less to read when that is nothing. [`Self::read_weights`] makes it fit to run.
    ///
    /// # Errors
    /// Those of [`Self::load`], but a damaged file may go unnoticed until its numbers are read.
    pub fn describe(
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
        let (weights, unread) = match weights {
            WeightsChoice::Pretrained => {
                let not_fetched = || BackboneError::NotFetched { backbone: name.to_string() };
                let path = weights::locate(name).ok_or_else(not_fetched)?;
                let source = weights::facts(&path)?.remove("source");
                described(&path, source, &graph)?
            }
            WeightsChoice::File(path) => described(path, None, &graph)?,
            WeightsChoice::Random(seed) => (weights::random(*seed, &graph), None),
        };
        Ok(Self { architecture, graph, shapes, weights, preprocessing, unread })
    }

    /// Reads the numbers of the weights if that has not been done.
    ///
    /// # Errors
    /// When the file cannot be read, is damaged, or holds other weights than when the backbone was described.
    pub fn read_weights(&mut self) -> Result<(), BackboneError> {
        if let Some(path) = &self.unread {
            let read = weights::load(path, &self.graph)?;
            if read.sha256 != self.weights.sha256 {
                return Err(BackboneError::Replaced { path: path.clone() });
            }
            self.weights.tensors = read.tensors;
            self.unread = None;
        }
        Ok(())
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

/// The weights in a file under the name of their source (else the file's), and the file if their numbers are still in it.
fn described(path: &Path, source: Option<String>, graph: &Graph) -> Result<(Weights, Option<PathBuf>), WeightsError> {
    let source = source.unwrap_or_else(|| path.display().to_string());
    Ok(match weights::outline(path, graph)? {
        Some(Outline { sha256, missing }) => {
            (Weights { tensors: StateDict::new(), sha256, source, missing }, Some(path.to_path_buf()))
        }
        None => (Weights { source, ..weights::load(path, graph)? }, None),
    })
}
