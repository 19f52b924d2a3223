//! From what a pickle holds to a flat state dict: wrappers are opened, nested dictionaries flattened, tensors read.

use super::object::{Object, Value};
use super::pickle::Unpickled;
use super::tensor::Budget;
use super::torch_file::Storages;
use super::{ReadError, StateDict, Tensor};

/// Keys under which training scripts keep the weights, in the order of preference.
const WRAPPERS: [&str; 6] = ["state_dict", "model_state_dict", "model", "net", "params", "module"];

/// Prefixes that wrapper modules put before every key: DataParallel's and `torch.compile`'s.
const PREFIXES: [&str; 2] = ["module.", "_orig_mod."];

/// Dictionaries nested deeper than this are no weights.
const DEEPEST: usize = 16;

/// The tensors of an unpickled checkpoint.
pub(super) fn state_dict(
    unpickled: &Unpickled<'_>,
    storages: &Storages<'_>,
    budget: &mut Budget,
) -> Result<StateDict, ReadError> {
    let mut root = unpickled.root;
    // A wrapper may hold a wrapper (`{"model": {"state_dict": …}}`).
    for _ in 0..DEEPEST {
        match unwrap(unpickled, root) {
            Some(inner) => root = inner,
            None => break,
        }
    }
    if !matches!(unpickled.object(root), Some(Object::Dict(_))) {
        return Err(ReadError::unsupported("the file holds something else than a dictionary of tensors"));
    }
    let mut state = StateDict::new();
    flatten(unpickled, storages, root, String::new(), 0, budget, &mut state)?;
    Ok(state)
}

/// The dictionary inside a wrapper; `None` when `value` is the state dict itself.
fn unwrap(unpickled: &Unpickled<'_>, value: Value) -> Option<Value> {
    let Some(Object::Dict(entries)) = unpickled.object(value) else { return None };
    let has_tensors =
        entries.iter().any(|&(_, value)| matches!(unpickled.object(value), Some(Object::Tensor(_) | Object::Array(_))));
    if has_tensors {
        return None;
    }
    WRAPPERS.iter().find_map(|wrapper| {
        entries.iter().rev().find_map(|&(key, value)| {
            let inner = matches!(unpickled.object(value), Some(Object::Dict(_)));
            (inner && unpickled.text(key) == Some(wrapper)).then_some(value)
        })
    })
}

fn flatten(
    unpickled: &Unpickled<'_>,
    storages: &Storages<'_>,
    dict: Value,
    prefix: String,
    depth: usize,
    budget: &mut Budget,
    state: &mut StateDict,
) -> Result<(), ReadError> {
    let Some(Object::Dict(entries)) = unpickled.object(dict) else { return Ok(()) };
    if depth > DEEPEST {
        return Err(ReadError::malformed("dictionaries are nested too deeply"));
    }
    for &(key, value) in entries {
        // A dictionary that is shared many times is walked many times: every visit is a step.
        budget.steps(1)?;
        // Keys that are no text belong to optimizers' tables.
        let Some(name) = unpickled.text(key) else { continue };
        match unpickled.object(value) {
            Some(Object::Dict(_)) => {
                let inner = format!("{prefix}{name}.");
                budget.copy(inner.len())?;
                flatten(unpickled, storages, value, inner, depth + 1, budget, state)?;
            }
            Some(Object::Tensor(described)) => {
                let tensor = storages.bytes(&described.storage.bytes).and_then(|(bytes, big_endian)| {
                    described.layout.clone().read(described.element, &bytes, big_endian, budget)
                });
                insert(state, &prefix, name, tensor, budget)?;
            }
            Some(Object::Array(array)) => {
                let tensor = array.read(budget);
                insert(state, &prefix, name, tensor, budget)?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn insert(
    state: &mut StateDict,
    prefix: &str,
    name: &str,
    tensor: Result<Tensor, ReadError>,
    budget: &mut Budget,
) -> Result<(), ReadError> {
    budget.copy(prefix.len() + name.len())?;
    let key = format!("{prefix}{name}");
    let tensor = tensor.map_err(|error| match error {
        ReadError::Malformed(reason) => ReadError::Malformed(format!("{}: {reason}", key.escape_debug())),
        other => other,
    })?;
    state.insert(key, tensor);
    Ok(())
}

/// Takes off the prefixes that every key carries.
pub(super) fn strip_prefixes(mut state: StateDict) -> StateDict {
    while let Some(prefix) = PREFIXES.iter().find(|&&prefix| state.keys().all(|key| key.starts_with(prefix))) {
        if state.is_empty() {
            break;
        }
        state = state.into_iter().map(|(key, tensor)| (key[prefix.len()..].to_owned(), tensor)).collect();
    }
    state
}
