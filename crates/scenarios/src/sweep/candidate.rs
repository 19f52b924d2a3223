//! What a sweep trains on: a layer of a cache, or several side by side.

use super::{SweepError, SweepOptions};
use headstart_cache::{Cache, LayerInfo};
use headstart_extractor::{graph::Graph, zoo};
use headstart_trainer::{Error, Memory, Part, Vectors};
use std::{collections::HashSet, path::Path};

/// One or more layers of a cache.
pub(super) struct Candidate {
    pub(super) cache: Cache,
    layers: Vec<LayerInfo>,
    graph: Option<Graph>,
}

/// What of a cache was asked for, in the order of the cache or of the request.
///
/// # Errors
/// When the cache cannot be opened, or lacks a layer.
pub(super) fn of_cache(path: &Path, options: &SweepOptions) -> Result<Vec<Candidate>, SweepError> {
    let cache = Cache::open(path)?;
    if cache.layers().is_empty() {
        return Err(SweepError::Empty(path.to_path_buf()));
    }
    let mut found: Vec<Vec<LayerInfo>> = Vec::new();
    let wanted = |layer: &LayerInfo| options.pools.is_empty() || options.pools.contains(&layer.pool);
    if options.layers.is_empty() && options.joined.is_empty() {
        found.extend(cache.layers().iter().filter(|layer| wanted(layer)).map(|layer| vec![layer.clone()]));
        if found.is_empty() {
            let held: Vec<&str> = cache.layers().iter().map(|layer| layer.name.as_str()).collect();
            return Err(SweepError::NoLayers {
                cache: path.to_path_buf(),
                wanted: options.pools.join(", "),
                held: held.join(", "),
            });
        }
    }
    // A layer in each of the pools asked for, unless its name says which.
    let each_pool = |name: &str| -> Result<Vec<LayerInfo>, SweepError> {
        if options.pools.is_empty() || name.contains(':') {
            return Ok(vec![cache.find_layer(name)?.clone()]);
        }
        let pooled = options.pools.iter().map(|pool| Ok(cache.find_layer(&format!("{name}:{pool}"))?.clone()));
        pooled.collect()
    };
    for name in &options.layers {
        found.extend(each_pool(name)?.into_iter().map(|layer| vec![layer]));
    }
    for names in &options.joined {
        let pooled = |pool: Option<&String>| -> Result<Vec<LayerInfo>, SweepError> {
            let named = |name: &String| match pool {
                Some(pool) if !name.contains(':') => format!("{name}:{pool}"),
                _ => name.clone(),
            };
            names.iter().map(|name| Ok(cache.find_layer(&named(name))?.clone())).collect()
        };
        if options.pools.is_empty() || names.iter().all(|name| name.contains(':')) {
            found.push(pooled(None)?);
        } else {
            for pool in &options.pools {
                found.push(pooled(Some(pool))?);
            }
        }
    }
    // What was asked for twice is one candidate: compared with itself, it would be its own rival.
    let mut known: HashSet<Vec<String>> = HashSet::new();
    found.retain(|layers| known.insert(layers.iter().map(|layer| layer.name.clone()).collect()));
    let graph = || zoo::find(&cache.provenance().backbone).ok().map(|architecture| architecture.graph());
    found.into_iter().map(|layers| Ok(Candidate { cache: Cache::open(path)?, layers, graph: graph() })).collect()
}

impl Candidate {
    /// The layers, `a+b`.
    pub(super) fn layer(&self) -> String {
        join(self.layers.iter().map(|layer| layer.layer.as_str()))
    }

    /// How they were pooled: once, if all were pooled alike.
    pub(super) fn pool(&self) -> String {
        let mut pools: Vec<&str> = self.layers.iter().map(|layer| layer.pool.as_str()).collect();
        pools.dedup();
        join(pools)
    }

    /// `layer:pool`.
    pub(super) fn name(&self) -> String {
        format!("{}:{}", self.layer(), self.pool())
    }

    /// Numbers per image.
    pub(super) fn width(&self) -> usize {
        self.layers.iter().map(|layer| layer.width).sum()
    }

    /// Bytes per image in the file.
    pub(super) fn bytes_per_image(&self) -> u64 {
        self.layers.iter().map(|layer| (layer.width * layer.store.size()) as u64).sum()
    }

    /// Rows that will be trained and tested on, found without reading the vectors.
    ///
    /// # Errors
    /// When a layer is not complete, or no row can be trained on.
    pub(super) fn rows(&self) -> Result<usize, Error> {
        let counts = self.layers.iter().map(|layer| {
            Ok(Vectors::find(&self.cache, layer, &Part::Train)?.len()
                + Vectors::find(&self.cache, layer, &Part::Test)?.len())
        });
        Ok(counts.collect::<Result<Vec<_>, Error>>()?.into_iter().max().unwrap_or(0))
    }

    /// # Errors
    /// Those of [`Vectors::read`].
    pub(super) fn read(&self, part: &Part, memory: Memory) -> Result<Vectors, Error> {
        Vectors::read_joined(&self.cache, &self.layers, part, memory)
    }

    /// Which images these are: path and class of each, views left out: folds deal images, and only images are scored.
    pub(super) fn images(&self, vectors: &Vectors) -> Vec<(String, String)> {
        let rows = self.cache.rows();
        let class = |place: usize| vectors.classes[vectors.labels[place]].clone();
        let numbered = vectors.rows.iter().enumerate().filter(|(_, row)| rows.view[**row] == 0);
        numbered.map(|(place, &row)| (rows.path[row].clone(), class(place))).collect()
    }

    /// The nodes of the layers; none for vectors made elsewhere.
    fn nodes(&self) -> Option<(&Graph, Vec<usize>)> {
        let graph = self.graph.as_ref()?;
        let nodes: Option<Vec<usize>> = self.layers.iter().map(|layer| graph.find(&layer.layer)).collect();
        Some((graph, nodes?))
    }

    /// How far into the backbone the last of the layers is, as a share of its nodes.
    pub(super) fn depth(&self) -> Option<f64> {
        let (graph, nodes) = self.nodes()?;
        Some(nodes.into_iter().max()? as f64 / (graph.nodes().len() - 1) as f64)
    }

    /// Multiply-adds per image of everything that has to run for the layers.
    pub(super) fn multiply_adds(&self) -> Option<u64> {
        let (graph, nodes) = self.nodes()?;
        let preprocessing = self.cache.provenance().preprocessing.as_ref()?;
        let side = preprocessing.size as usize;
        let shapes = graph.shapes([preprocessing.channels as usize, side, side]).ok()?;
        Some(graph.multiply_adds_to(&nodes, &shapes))
    }
}

fn join<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().collect::<Vec<_>>().join("+")
}
