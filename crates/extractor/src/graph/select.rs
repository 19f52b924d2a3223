//! Layer specs: what a user types after `--layers`, and the taps it stands for.
//!
//! A spec is `node[:pool]`; a glob (`layer*.relu_2`, where `*` also crosses dots), `stages` and `all` expand to several.

use super::{Graph, NodeId, Shape};
use globset::Glob;
use std::{fmt, str::FromStr};

/// How a C×H×W value becomes the row that is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pool {
    /// Mean over all pixels: C numbers.
    Gap,
    /// Maximum over all pixels: C numbers.
    Gmp,
    /// Generalised mean with exponent 3 (Radenović et al. 2018, arXiv:1711.02512) of the values clamped at 1e-6: C numbers.
    Gem3,
    /// Mean over each cell of a 2×2 grid: 4·C numbers, channel first.
    Grid2,
    /// Mean over each cell of a 4×4 grid: 16·C numbers, channel first.
    Grid4,
    /// Every value, as one vector of C·H·W numbers.
    Flatten,
    /// Every value, kept as C×H×W.
    Raw,
}

impl Pool {
    /// Every pool, in the order help texts list them.
    pub const ALL: [Pool; 7] = [Pool::Gap, Pool::Gmp, Pool::Gem3, Pool::Grid2, Pool::Grid4, Pool::Flatten, Pool::Raw];

    /// The pool used when a spec names none: `gap` for maps, `flatten` for vectors.
    pub fn default_for(shape: Shape) -> Self {
        match shape {
            Shape::Map(_) => Pool::Gap,
            Shape::Vector(_) => Pool::Flatten,
        }
    }

    /// The word for it in specs and in the cache.
    pub fn name(self) -> &'static str {
        match self {
            Pool::Gap => "gap",
            Pool::Gmp => "gmp",
            Pool::Gem3 => "gem3",
            Pool::Grid2 => "grid2",
            Pool::Grid4 => "grid4",
            Pool::Flatten => "flatten",
            Pool::Raw => "raw",
        }
    }

    /// Dimensions of what is stored per image for a value of this shape; none where the pool does not apply to vectors.
    pub fn stored(self, shape: Shape) -> Option<Vec<usize>> {
        match (self, shape) {
            (Pool::Gap | Pool::Gmp | Pool::Gem3, Shape::Map([c, _, _])) => Some(vec![c]),
            (Pool::Grid2, Shape::Map([c, _, _])) => Some(vec![4 * c]),
            (Pool::Grid4, Shape::Map([c, _, _])) => Some(vec![16 * c]),
            (Pool::Flatten, shape) => Some(vec![shape.elements()]),
            (Pool::Raw, shape) => Some(shape.dims()),
            (_, Shape::Vector(_)) => None,
        }
    }
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Pool {
    type Err = SelectError;

    fn from_str(word: &str) -> Result<Self, SelectError> {
        Pool::ALL
            .into_iter()
            .find(|pool| pool.name() == word)
            .ok_or_else(|| SelectError::UnknownPool { pool: word.to_string() })
    }
}

/// One `--layers` entry as typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerSpec {
    /// A node name, module path, glob, `stages` or `all`.
    pub layer: String,
    /// The pool, when one was typed.
    pub pool: Option<Pool>,
}

impl FromStr for LayerSpec {
    type Err = SelectError;

    fn from_str(text: &str) -> Result<Self, SelectError> {
        let text = text.trim();
        let (layer, pool) = match text.split_once(':') {
            Some((layer, pool)) => (layer, Some(pool.parse()?)),
            None => (text, None),
        };
        if layer.is_empty() {
            return Err(SelectError::Empty);
        }
        Ok(Self { layer: layer.to_string(), pool })
    }
}

/// A value to hand out: which node, under which name, pooled how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tap {
    /// The name it was asked for by; a module path stays a module path.
    pub layer: String,
    /// How it is pooled.
    pub pool: Pool,
    /// The node whose value it is.
    pub node: NodeId,
    /// That value's shape.
    pub shape: Shape,
    /// Dimensions of what is stored per image.
    pub stored: Vec<usize>,
}

impl Tap {
    /// Name of the dataset in the cache, `layer:pool`.
    pub fn dataset(&self) -> String {
        format!("{}:{}", self.layer, self.pool)
    }

    /// How many numbers are stored per image.
    pub fn width(&self) -> usize {
        self.stored.iter().product()
    }
}

/// A layer spec that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// Nothing between two commas.
    #[error("an empty layer name; write --layers layer3,layer4 or --layers stages")]
    Empty,
    /// No node, module or alias of that name.
    #[error("{backbone} has no layer {layer}{}; list them with: headstart layers {backbone}", near_text(.near))]
    Unknown {
        /// The backbone asked for.
        backbone: String,
        /// What was typed.
        layer: String,
        /// Names that look alike.
        near: Vec<String>,
    },
    /// A glob that matches nothing.
    #[error("no layer of {backbone} matches {glob}; list them with: headstart layers {backbone}")]
    NoMatch {
        /// The backbone asked for.
        backbone: String,
        /// What was typed.
        glob: String,
    },
    /// A glob that is not one.
    #[error("{glob} is not a valid pattern: {reason}")]
    BadGlob {
        /// What was typed.
        glob: String,
        /// What the parser says.
        reason: String,
    },
    /// A word after the colon that is no pool.
    #[error("unknown pool {pool}; use one of gap, gmp, gem3, grid2, grid4, flatten, raw")]
    UnknownPool {
        /// What was typed.
        pool: String,
    },
    /// Spatial pooling of a vector.
    #[error("{layer} is a vector of {width}, which {pool} cannot pool; write {layer} or {layer}:flatten")]
    VectorPool {
        /// The layer.
        layer: String,
        /// Its width.
        width: usize,
        /// The pool asked for.
        pool: Pool,
    },
    /// A grid finer than the map.
    #[error("{layer} is {shape}, too small for {pool}; use gap or flatten")]
    TooSmall {
        /// The layer.
        layer: String,
        /// Its shape.
        shape: Shape,
        /// The pool asked for.
        pool: Pool,
    },
}

fn near_text(near: &[String]) -> String {
    if near.is_empty() { String::new() } else { format!(" (did you mean {}?)", near.join(", ")) }
}

/// The names among `candidates` that look like `typed`, best first, at most three.
pub fn near_names<'a>(typed: &str, candidates: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut scored: Vec<(f64, &str)> = candidates
        .into_iter()
        .map(|name| (strsim::jaro_winkler(typed, name), name))
        .filter(|(score, _)| *score > 0.8)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    scored.dedup_by_key(|(_, name)| *name);
    scored.into_iter().take(3).map(|(_, name)| name.to_string()).collect()
}

impl Graph {
    /// The taps that `specs` stand for, in the order asked for, each dataset once. `shapes` are the graph's for the input
    /// at hand; `backbone` names it in messages. Of the layers that a word or pattern stands for, those that its pool does
    /// not fit are left out with a warning.
    ///
    /// # Errors
    /// When a spec names nothing (with near names), or its pool does not fit the layer, or any of its layers.
    pub fn select(&self, backbone: &str, specs: &[LayerSpec], shapes: &[Shape]) -> Result<Vec<Tap>, SelectError> {
        let mut taps: Vec<Tap> = Vec::new();
        for spec in specs {
            for tap in self.fitting(spec, self.expand(backbone, &spec.layer)?, shapes)? {
                if !taps.iter().any(|known| known.layer == tap.layer && known.pool == tap.pool) {
                    taps.push(tap);
                }
            }
        }
        Ok(taps)
    }

    /// The taps of those of `layers`, which `spec` stands for, that its pool fits.
    fn fitting(&self, spec: &LayerSpec, layers: Vec<String>, shapes: &[Shape]) -> Result<Vec<Tap>, SelectError> {
        let all = layers.into_iter().filter_map(|layer| {
            let node = self.find(&layer)?;
            Some(tap(layer, spec.pool, node, shapes[node]))
        });
        let (fitting, misfits): (Vec<_>, Vec<_>) = all.partition(Result::is_ok);
        let taps: Vec<Tap> = fitting.into_iter().flatten().collect();
        let misfits: Vec<SelectError> = misfits.into_iter().filter_map(Result::err).collect();
        match misfits.first() {
            // A name means itself; a word or pattern means what can be had.
            Some(first) if taps.is_empty() || self.find(&spec.layer).is_some() => return Err(first.clone()),
            Some(first) => {
                let pool = spec.pool.map_or("", Pool::name);
                tracing::warn!(
                    "{}:{pool} leaves out {} layers that {pool} does not fit: {first}",
                    spec.layer,
                    misfits.len()
                );
            }
            None => {}
        }
        Ok(taps)
    }

    /// The layer names that one name, glob, `stages` or `all` stands for.
    fn expand(&self, backbone: &str, layer: &str) -> Result<Vec<String>, SelectError> {
        if self.find(layer).is_some() {
            return Ok(vec![layer.to_string()]);
        }
        if layer == "stages" {
            return Ok(self.stages().to_vec());
        }
        if layer == "all" {
            return Ok(self.nodes()[1..].iter().map(|node| node.name.clone()).collect());
        }
        if layer.contains(['*', '?', '[', '{']) {
            let glob = Glob::new(layer)
                .map_err(|error| SelectError::BadGlob { glob: layer.into(), reason: error.kind().to_string() })?
                .compile_matcher();
            let matching: Vec<String> =
                self.tap_names().into_iter().filter(|name| glob.is_match(name)).map(String::from).collect();
            if matching.is_empty() {
                return Err(SelectError::NoMatch { backbone: backbone.into(), glob: layer.into() });
            }
            return Ok(matching);
        }
        let near = near_names(layer, self.tap_names().into_iter().chain(["stages", "all"]));
        Err(SelectError::Unknown { backbone: backbone.into(), layer: layer.into(), near })
    }
}

fn tap(layer: String, pool: Option<Pool>, node: NodeId, shape: Shape) -> Result<Tap, SelectError> {
    let pool = pool.unwrap_or_else(|| Pool::default_for(shape));
    let Some(stored) = pool.stored(shape) else {
        return Err(SelectError::VectorPool { layer, width: shape.elements(), pool });
    };
    let cells = match pool {
        Pool::Grid2 => 2,
        Pool::Grid4 => 4,
        _ => 1,
    };
    if let Shape::Map([_, h, w]) = shape
        && h.min(w) < cells
    {
        return Err(SelectError::TooSmall { layer, shape, pool });
    }
    Ok(Tap { layer, pool, node, shape, stored })
}

#[cfg(test)]
mod tests {
    use super::super::{Builder, Conv2d};
    use super::*;

    fn graph() -> Graph {
        let (mut b, x) = Builder::new();
        let mut y = x;
        for layer in ["layer1", "layer2"] {
            y = b.module(layer, |b| {
                let y = b.conv("0.conv1", y, Conv2d::new(3, 3, 3).padding(1));
                b.relu("0.relu", y)
            });
            b.stage(layer);
        }
        let y = b.flatten("flatten", y);
        b.linear("fc", y, 3 * 3 * 3, 2);
        b.finish()
    }

    fn select(specs: &str) -> Result<Vec<String>, SelectError> {
        let graph = graph();
        let shapes = graph.shapes([3, 3, 3]).unwrap();
        let specs: Vec<LayerSpec> = specs.split(',').map(str::parse).collect::<Result<_, _>>()?;
        Ok(graph.select("toy", &specs, &shapes)?.iter().map(Tap::dataset).collect())
    }

    #[test]
    fn names_globs_and_words() {
        assert_eq!(select("layer1,layer1:gmp,fc").unwrap(), ["layer1:gap", "layer1:gmp", "fc:flatten"]);
        assert_eq!(select("stages").unwrap(), ["layer1:gap", "layer2:gap"]);
        assert_eq!(select("layer*.relu").unwrap(), ["layer1.0.relu:gap", "layer2.0.relu:gap"]);
        assert_eq!(select("layer?:raw,layer1:raw").unwrap(), ["layer1:raw", "layer2:raw"]);
        assert_eq!(select("all").unwrap().len(), 6);
    }

    #[test]
    fn words_and_patterns_leave_out_what_their_pool_does_not_fit() {
        let maps =
            ["layer1.0.conv1", "layer1.0.relu", "layer2.0.conv1", "layer2.0.relu"].map(|name| format!("{name}:gmp"));
        assert_eq!(select("all:gmp").unwrap(), maps);
        assert_eq!(select("f*:raw,*fc:raw").unwrap(), ["flatten:raw", "fc:raw"]);
        // Nothing is left.
        assert!(matches!(select("f*:gmp"), Err(SelectError::VectorPool { .. })));
        assert!(matches!(select("all:grid4"), Err(SelectError::TooSmall { .. })));
    }

    #[test]
    fn mistakes_are_named_with_the_way_out() {
        let text = |specs: &str| select(specs).unwrap_err().to_string();
        assert!(text("layr1").contains("did you mean layer1"), "{}", text("layr1"));
        assert!(text("conv*9").contains("matches conv*9"));
        assert!(text("layer1:mean").contains("gap, gmp"));
        assert!(text("fc:gap").contains("fc:flatten"));
        assert!(text("layer1:grid4").contains("too small"));
        assert!(text("layer1,").contains("empty layer name"));
    }
}
