//! The weights in an ONNX model: the initializers of its graph. Only the fields that hold them are declared; protobuf
//! readers skip the rest. Field numbers: `onnx.proto3`, the same in every version.

use super::tensor::{Budget, Element, Layout};
use super::{ReadError, StateDict, Tensor};
use prost::Message;

#[derive(Clone, PartialEq, Message)]
struct Model {
    #[prost(message, optional, tag = "7")]
    graph: Option<OnnxGraph>,
}

#[derive(Clone, PartialEq, Message)]
struct OnnxGraph {
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<Initializer>,
}

#[derive(Clone, PartialEq, Message)]
struct Initializer {
    #[prost(int64, repeated, tag = "1")]
    dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    data_type: i32,
    #[prost(float, repeated, tag = "4")]
    float_data: Vec<f32>,
    /// Also the bits of f16 and bf16.
    #[prost(int32, repeated, tag = "5")]
    int32_data: Vec<i32>,
    #[prost(string, tag = "8")]
    name: String,
    #[prost(bytes = "vec", tag = "9")]
    raw_data: Vec<u8>,
    #[prost(double, repeated, tag = "10")]
    double_data: Vec<f64>,
    /// 1 when the data is in another file.
    #[prost(int32, tag = "14")]
    data_location: i32,
}

/// Reads the floating-point initializers. Those of integers are shapes and indices of operations, not weights.
pub(super) fn read(bytes: &[u8], budget: &mut Budget) -> Result<StateDict, ReadError> {
    let model =
        Model::decode(bytes).map_err(|error| ReadError::malformed(format!("not a readable ONNX model: {error}")))?;
    let mut state = StateDict::new();
    for initializer in model.graph.unwrap_or_default().initializer {
        let element = match initializer.data_type {
            1 => Element::F32,
            10 => Element::F16,
            11 => Element::F64,
            16 => Element::Bf16,
            _ => continue,
        };
        let tensor = tensor(&initializer, element, budget)?;
        state.insert(initializer.name, tensor);
    }
    Ok(state)
}

fn tensor(initializer: &Initializer, element: Element, budget: &mut Budget) -> Result<Tensor, ReadError> {
    let name = initializer.name.escape_debug();
    if initializer.data_location == 1 {
        return Err(ReadError::unsupported(format!(
            "{name} is kept in another file (external data); save the model again as one file"
        )));
    }
    let shape: Option<Vec<usize>> = initializer.dims.iter().map(|&d| usize::try_from(d).ok()).collect();
    let shape = shape.ok_or_else(|| ReadError::malformed(format!("{name} has a negative dimension")))?;
    let layout = Layout::row_major(shape.clone());
    let tensor = if !initializer.raw_data.is_empty() {
        layout.read(element, &initializer.raw_data, false, budget)?
    } else {
        let count = budget.elements(&shape)?;
        let half = |decode: Element| {
            let bits: Vec<u8> = initializer.int32_data.iter().flat_map(|&bits| (bits as u16).to_le_bytes()).collect();
            decode.decode(&bits, false)
        };
        let data = match element {
            Element::F64 => initializer.double_data.iter().map(|&value| value as f32).collect(),
            Element::F16 | Element::Bf16 => half(element),
            _ => initializer.float_data.clone(),
        };
        if data.len() != count {
            return Err(ReadError::malformed(format!("{name} needs {count} values and has {}", data.len())));
        }
        Tensor { shape, data }
    };
    Ok(tensor)
}
