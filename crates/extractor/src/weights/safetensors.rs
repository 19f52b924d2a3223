//! The safetensors format: a JSON header (keys, element types, shapes, positions, free metadata) and raw row-major data.

use super::tensor::{Budget, Element, Layout, little_endian};
use super::{ReadError, StateDict, Tensor};
use safetensors::{Dtype, SafeTensors, View};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// Whether the bytes start like a safetensors file: the length of a header that fits, then a JSON object.
pub(super) fn recognises(bytes: &[u8]) -> bool {
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else { return false };
    usize::try_from(u64::from_le_bytes(*length)).is_ok_and(|length| length <= rest.len()) && rest.first() == Some(&b'{')
}

/// Reads every tensor.
pub(super) fn read(bytes: &[u8], budget: &mut Budget) -> Result<StateDict, ReadError> {
    let file = SafeTensors::deserialize(bytes)
        .map_err(|error| ReadError::malformed(format!("damaged safetensors file: {error}")))?;
    let mut state = StateDict::new();
    for (key, view) in file.iter() {
        let element = element(view.dtype()).ok_or_else(|| {
            ReadError::unsupported(format!("{}: elements of type {:?} are not read", key.escape_debug(), view.dtype()))
        })?;
        let tensor = Layout::row_major(view.shape().to_vec()).read(element, view.data(), false, budget)?;
        state.insert(key.to_owned(), tensor);
    }
    Ok(state)
}

/// The keys and shapes of a whole file, as tensors without values: only its header is looked at, and its length. None where
/// the file is damaged, cut short or of another format.
pub(super) fn shapes(bytes: &[u8]) -> Option<StateDict> {
    let file = SafeTensors::deserialize(bytes).ok().filter(|_| recognises(bytes))?;
    let bare = |shape: &[usize]| Tensor { shape: shape.to_vec(), data: Vec::new() };
    Some(file.iter().map(|(key, view)| (key.to_owned(), bare(view.shape()))).collect())
}

/// The free metadata in a file's header, given at least the header; empty where there is none.
pub(super) fn metadata(bytes: &[u8]) -> BTreeMap<String, String> {
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else { return BTreeMap::new() };
    let header = usize::try_from(u64::from_le_bytes(*length)).ok().and_then(|length| rest.get(..length));
    let header: Option<serde_json::Value> = header.and_then(|header| serde_json::from_slice(header).ok());
    match header.as_ref().and_then(|header| header.get("__metadata__")?.as_object()) {
        Some(facts) => facts.iter().filter_map(|(key, fact)| Some((key.clone(), fact.as_str()?.to_owned()))).collect(),
        None => BTreeMap::new(),
    }
}

fn element(dtype: Dtype) -> Option<Element> {
    Some(match dtype {
        Dtype::F16 => Element::F16,
        Dtype::BF16 => Element::Bf16,
        Dtype::F32 => Element::F32,
        Dtype::F64 => Element::F64,
        Dtype::I8 => Element::I8,
        Dtype::I16 => Element::I16,
        Dtype::I32 => Element::I32,
        Dtype::I64 => Element::I64,
        Dtype::U8 => Element::U8,
        Dtype::U16 => Element::U16,
        Dtype::U32 => Element::U32,
        Dtype::U64 => Element::U64,
        Dtype::BOOL => Element::Bool,
        _ => return None,
    })
}

/// A tensor on its way into a file. The bytes are made when they are asked for, one tensor at a time.
struct Outgoing<'t>(&'t Tensor);

impl View for Outgoing<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.0.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(little_endian(&self.0.data))
    }

    fn data_len(&self) -> usize {
        self.0.data.len() * 4
    }
}

/// Writes every tensor as f32, with `metadata` in the header.
pub(super) fn write(
    path: &Path,
    state: &StateDict,
    metadata: HashMap<String, String>,
) -> Result<(), safetensors::SafeTensorError> {
    safetensors::serialize_to_file(state.iter().map(|(key, tensor)| (key, Outgoing(tensor))), Some(metadata), path)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_header_whose_length_looks_like_a_pickle_is_still_a_header() {
        // 0x0280 bytes of header: the file starts with 0x80 0x02, like every pickle of protocol 2.
        let header = format!("{:<640}", r#"{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#);
        let file = [&640u64.to_le_bytes()[..], header.as_bytes(), &2.5f32.to_le_bytes()].concat();
        assert_eq!(file[..2], [0x80, 2]);
        assert_eq!(super::super::read_bytes(&file).unwrap()["w"].data, [2.5]);
    }
}
