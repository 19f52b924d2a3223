//! What `torch.save` writes, in its three forms:
//!
//! - **zip** (since PyTorch 1.6): an uncompressed zip archive; `FOLDER/data.pkl` describes the tensors and `FOLDER/data/KEY`
//!   are the storages. `FOLDER/byteorder` says `little` or `big` (absent: little).
//! - **legacy**: five pickles in a row (a magic number, the protocol version, facts about the machine, the object, the
//!   storages' keys), then every storage as a count of elements (i64) and its raw bytes.
//! - **plain**: one pickle made by Python itself; each storage in it is a legacy stream of its own.

use super::object::{Blob, Object, Storage, StorageBytes, Value};
use super::pickle::{Unpickled, unpickle};
use super::tensor::Budget;
use super::{ReadError, StateDict, tree};
use std::collections::HashMap;
use std::io::Cursor;
use std::rc::Rc;
use zip::{CompressionMethod, ZipArchive};

/// The magic number 0x1950a86a20f9469cfc6c that opens a legacy file, little-endian.
const LEGACY_MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// Streams nested deeper than this are an attack: torch itself nests a storage in a pickle, and stops there.
const DEEPEST: usize = 3;

/// The storages of a container, found by key.
#[derive(Debug, Default)]
pub(super) struct Storages<'a> {
    named: HashMap<Rc<str>, Blob<'a>>,
    big_endian: bool,
}

impl<'a> Storages<'a> {
    /// The bytes of a storage, and whether they are big-endian.
    pub fn bytes(&self, storage: &StorageBytes<'a>) -> Result<(Blob<'a>, bool), ReadError> {
        match storage {
            StorageBytes::Here(bytes, big_endian) => Ok((bytes.clone(), *big_endian)),
            StorageBytes::Named(key) => match self.named.get(key) {
                Some(bytes) => Ok((bytes.clone(), self.big_endian)),
                None => {
                    let key: String = key.escape_debug().collect();
                    Err(ReadError::malformed(format!("storage \"{key}\" is not in the file")))
                }
            },
        }
    }
}

/// Reads the zip layout.
pub(super) fn read_zip(bytes: &[u8], budget: &mut Budget) -> Result<StateDict, ReadError> {
    let damaged = |error: zip::result::ZipError| ReadError::malformed(format!("damaged zip archive: {error}"));
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(damaged)?;
    let Some(pickle_name) = archive.file_names().find(|name| *name == "data.pkl" || name.ends_with("/data.pkl")) else {
        return Err(ReadError::unsupported("a zip archive without data.pkl: not a PyTorch file"));
    };
    let folder = pickle_name.trim_end_matches("data.pkl").to_owned();
    if archive.file_names().any(|name| name.strip_prefix(&folder).is_some_and(|name| name.starts_with("code/"))) {
        return Err(ReadError::unsupported(
            "this is a TorchScript program, not a state dict; load it with torch.jit.load and save its state_dict()",
        ));
    }
    let mut pickle = None;
    let mut storages = Storages::default();
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index).map_err(damaged)?;
        let Some(name) = entry.name().strip_prefix(&folder) else { continue };
        if entry.compression() != CompressionMethod::Stored {
            return Err(ReadError::unsupported(format!(
                "{} is compressed, which torch.save never does; unpack and zip it again without compression",
                entry.name().escape_debug()
            )));
        }
        let data = entry.data_start().and_then(|start| {
            let start = usize::try_from(start).ok()?;
            bytes.get(start..start.checked_add(usize::try_from(entry.size()).ok()?)?)
        });
        let Some(data) = data else {
            return Err(ReadError::malformed(format!(
                "{} reaches past the end of the file",
                entry.name().escape_debug()
            )));
        };
        match name {
            "data.pkl" => pickle = Some(data),
            "byteorder" => storages.big_endian = data.starts_with(b"big"),
            _ => {
                if let Some(key) = name.strip_prefix("data/") {
                    storages.named.insert(key.into(), Blob::File(data));
                }
            }
        }
    }
    let pickle = pickle.ok_or_else(|| ReadError::malformed("damaged zip archive: data.pkl cannot be found again"))?;
    let unpickled = unpickle(&Blob::File(pickle), 0, 0, budget)?;
    tree::state_dict(&unpickled, &storages, budget)
}

/// Reads a file that starts with a pickle: the legacy layout, or a plain pickle.
pub(super) fn read_pickle(bytes: &[u8], budget: &mut Budget) -> Result<StateDict, ReadError> {
    let (unpickled, storages) = read_stream(&Blob::File(bytes), 0, budget)?;
    tree::state_dict(&unpickled, &storages, budget)
}

/// Reads a storage that is a stream of its own inside a pickle (`torch.storage._load_from_bytes`).
pub(super) fn read_storage<'a>(bytes: &Blob<'a>, depth: usize, budget: &mut Budget) -> Result<Storage<'a>, ReadError> {
    if depth > DEEPEST {
        return Err(ReadError::malformed("streams are nested in streams too deeply"));
    }
    let (unpickled, storages) = read_stream(bytes, depth, budget)?;
    match unpickled.object(unpickled.root) {
        Some(Object::Storage(storage)) => {
            let (bytes, big_endian) = storages.bytes(&storage.bytes)?;
            Ok(Storage { element: storage.element, bytes: StorageBytes::Here(bytes, big_endian) })
        }
        _ => Err(ReadError::malformed("a nested stream that holds no storage")),
    }
}

/// One stream, legacy or plain, and the storages that follow it.
fn read_stream<'a>(
    bytes: &Blob<'a>,
    depth: usize,
    budget: &mut Budget,
) -> Result<(Unpickled<'a>, Storages<'a>), ReadError> {
    let first = unpickle(bytes, 0, depth, budget)?;
    let legacy = matches!(first.object(first.root), Some(Object::Big(magic)) if magic[..] == LEGACY_MAGIC);
    if !legacy {
        return Ok((first, Storages::default()));
    }
    let version = unpickle(bytes, first.end, depth, budget)?;
    if version.root != Value::Int(1001) {
        return Err(ReadError::unsupported("a legacy PyTorch file of another version than 1001"));
    }
    let system = unpickle(bytes, version.end, depth, budget)?;
    let big_endian = match system.object(system.root) {
        Some(Object::Dict(facts)) => {
            facts.iter().any(|&(key, value)| system.text(key) == Some("little_endian") && value == Value::Bool(false))
        }
        _ => return Err(ReadError::malformed("a legacy PyTorch file without a description of its machine")),
    };
    let object = unpickle(bytes, system.end, depth, budget)?;
    let keys = unpickle(bytes, object.end, depth, budget)?;
    let Some(Object::List(list)) = keys.object(keys.root) else {
        return Err(ReadError::malformed("a legacy PyTorch file without a list of storages"));
    };
    let mut storages = Storages { named: HashMap::new(), big_endian };
    let mut at = keys.end;
    for &key in list {
        let Some((key, &(size, _))) = keys.text(key).and_then(|key| object.storages.get_key_value(key)) else {
            return Err(ReadError::malformed("a storage in the list that no tensor names"));
        };
        let cut = || ReadError::malformed(format!("the file ends inside storage \"{}\"", key.escape_debug()));
        let end = at.checked_add(8).ok_or_else(cut)?;
        let header = bytes.slice(at..end).ok_or_else(cut)?;
        let count = <[u8; 8]>::try_from(&header[..]).map_err(|_| cut())?;
        let count = if big_endian { u64::from_be_bytes(count) } else { u64::from_le_bytes(count) };
        let length = usize::try_from(count).ok().and_then(|count| count.checked_mul(size)).ok_or_else(cut)?;
        at = end.checked_add(length).ok_or_else(cut)?;
        let data = bytes.slice(end..at).ok_or_else(cut)?;
        storages.named.insert(Rc::clone(key), data);
    }
    Ok((object, storages))
}
