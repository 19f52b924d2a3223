//! The functions and classes that a pickle of tensors names, and what each call builds. This list is the whole of what a
//! file can make the reader do; a name that is not in it is refused before it can be called.

use super::ReadError;
use super::numpy::{self, DType};
use super::object::{Described, Object, Storage, StorageBytes, Value, text};
use super::pickle::Machine;
use super::tensor::{Element, Layout};
use super::torch_file;
use std::rc::Rc;

/// A function or class from the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Global {
    /// `collections.OrderedDict` and `dict`.
    Dict,
    /// `collections.defaultdict`, whose first argument is the factory of its defaults.
    DefaultDict,
    /// `torch._utils._rebuild_tensor` and its `_v2`: storage, offset, shape, strides, …
    RebuildTensor,
    /// `torch._utils._rebuild_tensor_v3`: as above on an untyped storage, with the element type last.
    RebuildTensorV3,
    /// `torch._utils._rebuild_parameter`: a tensor that is learnable.
    RebuildParameter,
    /// `torch.storage._load_from_bytes`: a storage as a `torch.save` stream of its own.
    LoadFromBytes,
    /// `torch.FloatStorage` and its kin; none for `torch.storage.UntypedStorage`.
    StorageType(Option<Element>),
    /// `torch.float32` and its kin.
    TorchDType(Element),
    /// `torch.Size`: a tuple.
    Size,
    /// numpy's `_reconstruct`: an empty array, filled by its state.
    Reconstruct,
    /// numpy's `_frombuffer`: buffer, dtype, shape, order.
    FromBuffer,
    /// `numpy.ndarray`, only named as an argument.
    NdArray,
    /// `numpy.dtype`.
    NumpyDType,
    /// `_codecs.encode`: how protocol 2 writes bytes.
    Encode,
    /// `bytes` and `bytearray`.
    Bytes,
    /// A class of harmless values that are no tensors.
    Inert,
}

/// The entry of the list for this name.
pub(super) fn find(module: &str, name: &str) -> Option<Global> {
    let global = match (module, name) {
        ("collections", "OrderedDict") | ("builtins" | "__builtin__", "dict") => Global::Dict,
        ("collections", "defaultdict") => Global::DefaultDict,
        ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Global::RebuildTensor,
        ("torch._utils", "_rebuild_tensor_v3") => Global::RebuildTensorV3,
        ("torch._utils", "_rebuild_parameter") => Global::RebuildParameter,
        ("torch.storage", "_load_from_bytes") => Global::LoadFromBytes,
        ("torch", "Size") => Global::Size,
        ("torch.storage" | "torch", "UntypedStorage") => Global::StorageType(None),
        ("torch" | "torch.cuda", storage) if storage.ends_with("Storage") => {
            Global::StorageType(Some(storage_element(storage)?))
        }
        ("torch", dtype) if torch_dtype(dtype).is_some() => Global::TorchDType(torch_dtype(dtype)?),
        ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => Global::Reconstruct,
        ("numpy.core.numeric" | "numpy._core.numeric", "_frombuffer") => Global::FromBuffer,
        ("numpy", "ndarray") => Global::NdArray,
        ("numpy", "dtype") => Global::NumpyDType,
        ("_codecs", "encode") => Global::Encode,
        ("builtins" | "__builtin__", "bytes" | "bytearray") => Global::Bytes,
        // What training scripts leave beside the weights: the best accuracy, options, the device.
        ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar")
        | ("argparse", "Namespace")
        | ("torch", "device")
        | ("builtins" | "__builtin__", "set" | "frozenset" | "int" | "float" | "list") => Global::Inert,
        _ => return None,
    };
    Some(global)
}

fn storage_element(name: &str) -> Option<Element> {
    Some(match name {
        "HalfStorage" => Element::F16,
        "BFloat16Storage" => Element::Bf16,
        "FloatStorage" => Element::F32,
        "DoubleStorage" => Element::F64,
        "CharStorage" => Element::I8,
        "ShortStorage" => Element::I16,
        "IntStorage" => Element::I32,
        "LongStorage" => Element::I64,
        "ByteStorage" => Element::U8,
        "BoolStorage" => Element::Bool,
        _ => return None,
    })
}

fn torch_dtype(name: &str) -> Option<Element> {
    Some(match name {
        "float16" | "half" => Element::F16,
        "bfloat16" => Element::Bf16,
        "float32" | "float" => Element::F32,
        "float64" | "double" => Element::F64,
        "int8" => Element::I8,
        "int16" => Element::I16,
        "int32" => Element::I32,
        "int64" => Element::I64,
        "uint8" => Element::U8,
        "uint16" => Element::U16,
        "uint32" => Element::U32,
        "uint64" => Element::U64,
        "bool" => Element::Bool,
        _ => return None,
    })
}

/// What calling `global` with `args` gives.
pub(super) fn call<'a>(machine: &mut Machine<'a, '_>, global: Global, args: &[Value]) -> Result<Value, ReadError> {
    match global {
        Global::Dict => match args {
            [] => Ok(machine.store(Object::Dict(Vec::new()))),
            &[items, ..] => dict_from(machine, items),
        },
        Global::DefaultDict => match args {
            &[_, items, ..] => dict_from(machine, items),
            _ => Ok(machine.store(Object::Dict(Vec::new()))),
        },
        Global::RebuildTensor => match args {
            &[storage, offset, shape, strides, ..] => rebuild(machine, storage, offset, shape, strides, None),
            _ => Err(machine.broken("a tensor with too few arguments")),
        },
        Global::RebuildTensorV3 => match args {
            &[storage, offset, shape, strides, _, _, dtype, ..] => {
                let element = match object(machine, dtype) {
                    Some(Object::Global(Global::TorchDType(element))) => *element,
                    _ => return Err(machine.broken("a tensor without an element type")),
                };
                rebuild(machine, storage, offset, shape, strides, Some(element))
            }
            _ => Err(machine.broken("a tensor with too few arguments")),
        },
        Global::RebuildParameter => match args.first().map(|&tensor| (tensor, object(machine, tensor))) {
            Some((tensor, Some(Object::Tensor(_)))) => Ok(tensor),
            _ => Err(machine.broken("a parameter that is no tensor")),
        },
        Global::LoadFromBytes => {
            let bytes = match args.first().and_then(|&bytes| object(machine, bytes)) {
                Some(Object::Bytes(bytes) | Object::Text(bytes)) => bytes.clone(),
                _ => return Err(machine.broken("a storage that is no bytes")),
            };
            let storage = torch_file::read_storage(&bytes, machine.depth + 1, machine.budget)?;
            Ok(machine.store(Object::Storage(storage)))
        }
        Global::Size => match args.first().map(|&dims| (dims, object(machine, dims))) {
            Some((dims, Some(Object::Tuple(_) | Object::List(_)))) => Ok(dims),
            _ => Err(machine.broken("a torch.Size that is no tuple")),
        },
        Global::NumpyDType => {
            let name = args.first().and_then(|&name| text(&machine.objects, name));
            let dtype = DType::parse(name.unwrap_or_default())?;
            Ok(machine.store(Object::DType(dtype)))
        }
        Global::Reconstruct => Ok(machine.store(Object::Array(Box::default()))),
        Global::FromBuffer => {
            let array = numpy::from_buffer(machine, args)?;
            Ok(machine.store(Object::Array(Box::new(array))))
        }
        Global::Encode => encode(machine, args),
        Global::Bytes => match args {
            [] => Ok(machine.store(Object::Bytes(super::object::Blob::File(&[])))),
            &[bytes] => match object(machine, bytes) {
                Some(Object::Bytes(_)) => Ok(bytes),
                _ => Err(machine.broken("bytes made of something else")),
            },
            _ => encode(machine, args),
        },
        Global::Inert => Ok(machine.store(Object::Inert)),
        Global::StorageType(_) | Global::TorchDType(_) | Global::NdArray => {
            Err(machine.broken(&format!("a call of {global:?}, which is only ever named")))
        }
    }
}

fn object<'m, 'a>(machine: &'m Machine<'a, '_>, value: Value) -> Option<&'m Object<'a>> {
    match value {
        Value::Object(id) => machine.objects.get(id),
        _ => None,
    }
}

/// `OrderedDict([[key, value], …])`, as Python 2 wrote it.
fn dict_from(machine: &mut Machine<'_, '_>, items: Value) -> Result<Value, ReadError> {
    let items = match object(machine, items) {
        Some(Object::List(items) | Object::Tuple(items)) => items.clone(),
        Some(Object::Dict(_)) => return Ok(items),
        _ => return Err(machine.broken("a dictionary made of something else")),
    };
    // Copying is the one thing here whose cost does not follow from the length of the pickle.
    machine.budget.steps(items.len())?;
    let mut pairs = Vec::with_capacity(items.len());
    for item in items {
        match object(machine, item) {
            Some(Object::List(pair) | Object::Tuple(pair)) if pair.len() == 2 => pairs.push((pair[0], pair[1])),
            _ => return Err(machine.broken("a dictionary entry that is no pair")),
        }
    }
    Ok(machine.store(Object::Dict(pairs)))
}

/// `_codecs.encode(text, "latin1")`: every character is one byte.
fn encode(machine: &mut Machine<'_, '_>, args: &[Value]) -> Result<Value, ReadError> {
    let encoding = args.get(1).and_then(|&encoding| text(&machine.objects, encoding)).unwrap_or("latin1");
    if !matches!(encoding, "latin1" | "latin-1" | "iso-8859-1") {
        return Err(machine.broken("bytes in an encoding other than latin1"));
    }
    let Some(source) = args.first().and_then(|&value| text(&machine.objects, value)) else {
        return Err(machine.broken("bytes encoded from something that is no text"));
    };
    machine.budget.copy(source.len())?;
    let bytes: Option<Vec<u8>> = source.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
    let Some(bytes) = bytes else { return Err(machine.broken("a character that is no latin1 byte")) };
    Ok(machine.store(Object::Bytes(super::object::Blob::copied(bytes))))
}

/// The dimensions in a tuple: at most 32, none negative.
pub(super) fn dimensions(machine: &Machine<'_, '_>, tuple: Value) -> Result<Vec<usize>, ReadError> {
    let items = match object(machine, tuple) {
        Some(Object::Tuple(items) | Object::List(items)) if items.len() <= 32 => items,
        _ => return Err(machine.broken("a shape that is no short tuple")),
    };
    items.iter().map(|&item| size(machine, item)).collect()
}

fn size(machine: &Machine<'_, '_>, value: Value) -> Result<usize, ReadError> {
    match value {
        Value::Int(size) => usize::try_from(size).map_err(|_| machine.broken("a negative size")),
        _ => Err(machine.broken("a size that is no integer")),
    }
}

fn rebuild<'a>(
    machine: &mut Machine<'a, '_>,
    storage: Value,
    offset: Value,
    shape: Value,
    strides: Value,
    element: Option<Element>,
) -> Result<Value, ReadError> {
    let Some(Object::Storage(storage)) = object(machine, storage) else {
        return Err(machine.broken("a tensor without a storage"));
    };
    let storage = storage.clone();
    let Some(element) = element.or(storage.element) else {
        return Err(machine.broken("a tensor of unknown element type"));
    };
    let layout = Layout {
        shape: dimensions(machine, shape)?,
        strides: dimensions(machine, strides)?,
        offset: size(machine, offset)?,
    };
    Ok(machine.store(Object::Tensor(Box::new(Described { storage, element, layout }))))
}

/// What a persistent id stands for: `("storage", type, key, location, number of elements)`.
pub(super) fn persistent<'a>(machine: &mut Machine<'a, '_>, id: Value) -> Result<Value, ReadError> {
    let Some(Object::Tuple(id)) = object(machine, id) else {
        return Err(machine.broken("a persistent id that is no tuple"));
    };
    let &[tag, kind, key, _, count, ref rest @ ..] = id.as_slice() else {
        return Err(machine.broken("a persistent id of another kind"));
    };
    let view = rest.first().copied();
    if text(&machine.objects, tag) != Some("storage") {
        return Err(machine.broken("a persistent id that is no storage"));
    }
    if !matches!(view, None | Some(Value::None)) {
        return Err(ReadError::unsupported(
            "a storage that is a view of another (written by PyTorch before 0.4); open and save it again with a newer torch",
        ));
    }
    let element = match object(machine, kind) {
        Some(&Object::Global(Global::StorageType(element))) => element,
        _ => return Err(machine.broken("a storage of unknown type")),
    };
    let key: Rc<str> = match text(&machine.objects, key) {
        Some(key) if key.len() <= 256 => key.into(),
        _ => return Err(machine.broken("a storage without a key")),
    };
    let count = size(machine, count)?;
    machine.storages.insert(Rc::clone(&key), (element.map_or(1, Element::size), count));
    Ok(machine.store(Object::Storage(Storage { element, bytes: StorageBytes::Named(key) })))
}

/// Applies the state that follows an object (`BUILD`).
pub(super) fn set_state(machine: &mut Machine<'_, '_>, target: Value, state: Value) -> Result<(), ReadError> {
    match object(machine, target) {
        // A state dict's `_metadata` (versions of modules) and the fields of harmless objects say nothing about tensors.
        Some(Object::Dict(_) | Object::Inert | Object::Tensor(_)) => Ok(()),
        Some(Object::DType(dtype)) => {
            let dtype = dtype.with_state(machine, state)?;
            replace(machine, target, Object::DType(dtype));
            Ok(())
        }
        Some(Object::Array(_)) => {
            let array = numpy::from_state(machine, state)?;
            replace(machine, target, Object::Array(Box::new(array)));
            Ok(())
        }
        _ => Err(machine.broken("a state for something that has none")),
    }
}

fn replace<'a>(machine: &mut Machine<'a, '_>, target: Value, object: Object<'a>) {
    if let Value::Object(id) = target {
        machine.objects[id] = object;
    }
}
