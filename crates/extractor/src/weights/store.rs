//! The folder of weights on this machine, and the safetensors files in it.

use super::check::{Weights, compare};
use super::sources::{self, Part, Sources};
use super::{ReadError, WeightsError, load, map, safetensors};
use crate::graph::Graph;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The folder that fetched weights are kept in: `$HEADSTART_WEIGHTS`, else `$XDG_CACHE_HOME/headstart/weights`, else
/// `~/.cache/headstart/weights`.
///
/// # Errors
/// When none of the variables is set.
pub fn cache_folder() -> Result<PathBuf, WeightsError> {
    folder_from(|name| std::env::var_os(name).filter(|value| !value.is_empty())).ok_or_else(|| WeightsError::Io {
        path: "~/.cache/headstart/weights".into(),
        source: io::Error::new(io::ErrorKind::NotFound, "HOME is not set; name a folder with HEADSTART_WEIGHTS=FOLDER"),
    })
}

fn folder_from(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    if let Some(folder) = variable("HEADSTART_WEIGHTS") {
        return Some(folder.into());
    }
    let cache = match variable("XDG_CACHE_HOME") {
        Some(cache) => PathBuf::from(cache),
        None => PathBuf::from(variable("HOME")?).join(".cache"),
    };
    Some(cache.join("headstart").join("weights"))
}

/// The file of this backbone in `folder`, for complete weights or a part.
pub(super) fn file_in(folder: &Path, backbone: &str, part: Part) -> PathBuf {
    let backbone = backbone.replace(['/', '\\'], "--");
    folder.join(match part {
        Part::Complete => format!("{backbone}.safetensors"),
        Part::Convolutional => format!("{backbone}.convolutional.safetensors"),
    })
}

/// The weights of this backbone in `folder`: complete ones if there are any, else the convolutional part.
pub(super) fn locate_in(folder: &Path, backbone: &str) -> Option<(PathBuf, Part)> {
    [Part::Complete, Part::Convolutional]
        .into_iter()
        .map(|part| (file_in(folder, backbone, part), part))
        .find(|(path, _)| path.is_file())
}

/// The weights of this backbone that were fetched before: complete ones if there are any, else the convolutional part.
pub fn locate(backbone: &str) -> Option<PathBuf> {
    locate_in(&cache_folder().ok()?, backbone).map(|(path, _)| path)
}

/// What a safetensors file says about itself in its header: for a file written here `backbone`, `sha256` (of the contents),
/// `source`, and for a fetched one `source_sha256`, `licence` and `evidence`. Empty for other formats.
///
/// # Errors
/// When the file cannot be read.
pub fn facts(path: &Path) -> Result<BTreeMap<String, String>, WeightsError> {
    let mut file = File::open(path).map_err(WeightsError::io(path))?;
    let mut length = [0; 8];
    let mut header = Vec::new();
    let read = file.read_exact(&mut length).and_then(|()| {
        // Only the header is wanted; the format's own limit for it is 100 MB.
        let wanted = u64::from_le_bytes(length).min(100_000_000);
        header.extend(length);
        file.take(wanted).read_to_end(&mut header)
    });
    match read {
        Ok(_) => Ok(safetensors::metadata(&header)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(BTreeMap::new()),
        Err(error) => Err(WeightsError::io(path)(error)),
    }
}

/// The hash of its contents that a file claims in its header, if it was written here.
pub(super) fn claimed_hash(facts: &BTreeMap<String, String>) -> Option<&str> {
    facts.get("sha256").filter(|_| facts.contains_key("backbone")).map(String::as_str)
}

/// What a file written here says about the weights in it, for when their numbers are not needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    /// The hash that [`load`] would find, unless the file is damaged.
    pub sha256: String,
    /// The nodes that cannot be computed, as in [`Weights::missing`].
    pub missing: Vec<String>,
}

/// Reads the header of a file that [`import`] or [`fetch()`](super::fetch()) wrote, which takes no time whatever its size.
/// None for other files, for one that does not fit the graph, and for one cut short: [`load`] says what is wrong.
///
/// # Errors
/// When the file cannot be opened.
pub fn outline(path: &Path, graph: &Graph) -> Result<Option<Outline>, WeightsError> {
    let bytes = map(path)?;
    let facts = safetensors::metadata(&bytes);
    let (Some(sha256), Some(shapes)) = (claimed_hash(&facts).map(str::to_owned), safetensors::shapes(&bytes)) else {
        return Ok(None);
    };
    let comparison = compare(&shapes, graph);
    Ok(comparison.usable.then_some(Outline { sha256, missing: comparison.lost }))
}

/// One line of `weights list`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Listed {
    /// Where the weights can be had.
    #[serde(flatten)]
    pub sources: Sources,
    /// The file on this machine.
    pub cached: Option<PathBuf>,
    /// How much of the network that file covers.
    pub cached_part: Option<Part>,
    /// Where that file came from.
    pub cached_source: Option<String>,
}

/// Every backbone with known sources, and what of it is on this machine.
pub fn list() -> Vec<Listed> {
    let folder = cache_folder().ok();
    sources::all()
        .into_iter()
        .map(|sources| {
            let found = folder.as_deref().and_then(|folder| locate_in(folder, sources.backbone));
            let (cached, cached_part) = found.unzip();
            let cached_source = cached.as_deref().and_then(|path| facts(path).ok()?.remove("source"));
            Listed { sources, cached, cached_part, cached_source }
        })
        .collect()
}

/// Reads a weights file of one's own in any format that [`read`](super::read()) knows, checks it against the backbone's graph
/// and writes it as safetensors to `out`.
///
/// # Errors
/// Those of [`load`](super::load), and when `out` cannot be written.
pub fn import(file: &Path, graph: &Graph, backbone: &str, out: &Path) -> Result<Weights, WeightsError> {
    let weights = load(file, graph)?;
    write(&weights, out, backbone, &[("source", &file.display().to_string())])?;
    Ok(weights)
}

/// Writes weights as safetensors, whole or not at all, with the backbone, the content hash and `facts` in the header.
pub(super) fn write(weights: &Weights, out: &Path, backbone: &str, facts: &[(&str, &str)]) -> Result<(), WeightsError> {
    let folder = match out.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(folder).map_err(WeightsError::io(folder))?;
    let mut metadata: HashMap<String, String> =
        facts.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
    metadata.insert("format".into(), "pt".into());
    metadata.insert("backbone".into(), backbone.into());
    metadata.insert("sha256".into(), weights.sha256.clone());
    let temporary = tempfile::Builder::new()
        .prefix(".weights-")
        .suffix(".tmp")
        .tempfile_in(folder)
        .map_err(WeightsError::io(folder))?;
    safetensors::write(temporary.path(), &weights.tensors, metadata).map_err(|error| match error {
        ::safetensors::SafeTensorError::IoError(source) => WeightsError::io(out)(source),
        other => WeightsError::read(out)(ReadError::malformed(other.to_string())),
    })?;
    make_readable(temporary.path()).map_err(WeightsError::io(out))?;
    temporary.persist(out).map_err(|error| WeightsError::io(out)(error.error))?;
    Ok(())
}

/// A temporary file is private to its maker; weights may be shared, as far as the folder's own permissions say.
fn make_readable(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644))
}

#[cfg(test)]
mod tests {
    use super::super::check::tests::{small, state};
    use super::super::{check, read, verify};
    use super::*;
    use crate::graph::Builder;

    #[test]
    fn the_folder_follows_the_environment() {
        let with = |set: &[(&str, &str)]| {
            folder_from(|name| set.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into()))
        };
        assert_eq!(with(&[("HOME", "/h")]), Some("/h/.cache/headstart/weights".into()));
        assert_eq!(with(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/x")]), Some("/x/headstart/weights".into()));
        assert_eq!(with(&[("HOME", "/h"), ("HEADSTART_WEIGHTS", "/w")]), Some("/w".into()));
        assert_eq!(with(&[]), None);
    }

    #[test]
    fn written_weights_are_read_back_with_the_same_hash() {
        let folder = tempfile::tempdir().unwrap();
        let graph = small();
        let weights = check(state(&graph), &graph, "test").unwrap();
        let out = folder.path().join("deeper").join("small.safetensors");
        write(&weights, &out, "small", &[("source", "test")]).unwrap();
        assert_eq!(read(&out).unwrap(), weights.tensors);
        let again = import(&out, &graph, "small", &folder.path().join("again.safetensors")).unwrap();
        assert_eq!(again.sha256, weights.sha256);
        let facts = facts(&out).unwrap();
        assert_eq!((&*facts["backbone"], &*facts["source"]), ("small", "test"));
        assert_eq!(facts["sha256"], weights.sha256);
        // Nothing but the file itself is left behind.
        assert_eq!(std::fs::read_dir(out.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_changed_number_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let graph = small();
        let out = folder.path().join("small.safetensors");
        write(&check(state(&graph), &graph, "test").unwrap(), &out, "small", &[]).unwrap();
        let mut bytes = std::fs::read(&out).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&out, bytes).unwrap();
        for error in [load(&out, &graph).unwrap_err(), verify(&out, &graph).unwrap_err()] {
            let error = error.to_string();
            assert!(error.contains("small.safetensors") && error.contains("damaged"), "{error}");
        }
    }

    #[test]
    fn an_outline_is_what_loading_finds() {
        let folder = tempfile::tempdir().unwrap();
        let graph = small();
        let out = folder.path().join("small.safetensors");
        let mut given = state(&graph);
        given.retain(|key, _| !key.starts_with("fc"));
        write(&check(given, &graph, "test").unwrap(), &out, "small", &[("source", "test")]).unwrap();
        let loaded = load(&out, &graph).unwrap();
        let outlined = outline(&out, &graph).unwrap().unwrap();
        assert_eq!((&outlined.sha256, &outlined.missing), (&loaded.sha256, &loaded.missing));
        // Cut short, made by someone else, or for another network: nothing is claimed.
        let bytes = std::fs::read(&out).unwrap();
        std::fs::write(&out, &bytes[..bytes.len() - 1]).unwrap();
        assert_eq!(outline(&out, &graph).unwrap(), None);
        safetensors::write(&out, &state(&graph), HashMap::new()).unwrap();
        assert_eq!(outline(&out, &graph).unwrap(), None);
        std::fs::write(&out, &bytes).unwrap();
        assert_eq!(outline(&out, &Builder::new().0.finish()).unwrap(), None);
        assert!(outline(&folder.path().join("absent"), &graph).is_err());
    }

    #[test]
    fn complete_weights_go_before_a_part() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(locate_in(folder.path(), "vgg16"), None);
        let part = file_in(folder.path(), "vgg16", Part::Convolutional);
        std::fs::write(&part, "x").unwrap();
        assert_eq!(locate_in(folder.path(), "vgg16"), Some((part, Part::Convolutional)));
        let complete = file_in(folder.path(), "vgg16", Part::Complete);
        std::fs::write(&complete, "x").unwrap();
        assert_eq!(locate_in(folder.path(), "vgg16"), Some((complete, Part::Complete)));
        assert_eq!(file_in(folder.path(), "keras/x", Part::Complete).parent(), Some(folder.path()));
    }
}
