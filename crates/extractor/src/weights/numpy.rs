//! Numpy arrays inside a pickle: `numpy.ndarray.__reduce__` (all protocols) and `__reduce_ex__` of protocol 5.

use super::ReadError;
use super::globals::dimensions;
use super::object::{Blob, Object, Value, text};
use super::pickle::Machine;
use super::tensor::{Budget, Element, Layout, Tensor};

/// `numpy.dtype`: an element type and its byte order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DType {
    element: Element,
    big_endian: bool,
}

impl DType {
    /// Parses numpy's array-protocol type string, such as `f4`, `<f8` or `>i2`.
    pub fn parse(name: &str) -> Result<Self, ReadError> {
        let (big_endian, kind) = match name.strip_prefix('>') {
            Some(kind) => (true, kind),
            None => (false, name.trim_start_matches(['<', '=', '|'])),
        };
        let element = match kind {
            "f2" => Element::F16,
            "f4" => Element::F32,
            "f8" => Element::F64,
            "i1" => Element::I8,
            "i2" => Element::I16,
            "i4" => Element::I32,
            "i8" => Element::I64,
            "u1" => Element::U8,
            "u2" => Element::U16,
            "u4" => Element::U32,
            "u8" => Element::U64,
            "b1" => Element::Bool,
            other => {
                let other: String = other.chars().take(20).flat_map(char::escape_debug).collect();
                return Err(ReadError::unsupported(format!(
                    "numpy arrays of type \"{other}\" hold no weights; numbers are read"
                )));
            }
        };
        Ok(Self { element, big_endian })
    }

    /// The state of a pickled dtype: `(version, byte order, …)`.
    pub fn with_state(self, machine: &Machine<'_, '_>, state: Value) -> Result<Self, ReadError> {
        let order = match tuple(machine, state) {
            Some(&[_, order, ..]) => text(&machine.objects, order),
            _ => None,
        };
        match order {
            Some(">") => Ok(Self { big_endian: true, ..self }),
            Some("<" | "=" | "|") => Ok(self),
            _ => Err(machine.broken("a dtype without a byte order")),
        }
    }
}

/// A numpy array that has been described but not yet read. The default is what `_reconstruct` makes: empty.
#[derive(Debug, Clone, Default)]
pub(super) struct Array<'a> {
    content: Option<(DType, Layout, Blob<'a>)>,
}

impl Array<'_> {
    /// The array's values.
    pub fn read(&self, budget: &mut Budget) -> Result<Tensor, ReadError> {
        match &self.content {
            Some((dtype, layout, bytes)) => layout.clone().read(dtype.element, bytes, dtype.big_endian, budget),
            None => Err(ReadError::malformed("a numpy array was begun and never filled")),
        }
    }
}

fn tuple<'m>(machine: &'m Machine<'_, '_>, value: Value) -> Option<&'m [Value]> {
    match value {
        Value::Object(id) => match machine.objects.get(id)? {
            Object::Tuple(items) => Some(items),
            _ => None,
        },
        _ => None,
    }
}

/// The array whose state is `(version, shape, dtype, is Fortran order, data)`.
pub(super) fn from_state<'a>(machine: &Machine<'a, '_>, state: Value) -> Result<Array<'a>, ReadError> {
    match tuple(machine, state) {
        Some(&[_, shape, dtype, Value::Bool(fortran), data]) => array(machine, shape, dtype, fortran, data),
        _ => Err(machine.broken("a numpy array with a state of another form")),
    }
}

/// The array that `_frombuffer(buffer, dtype, shape, order)` makes.
pub(super) fn from_buffer<'a>(machine: &Machine<'a, '_>, args: &[Value]) -> Result<Array<'a>, ReadError> {
    match args {
        &[data, dtype, shape, order, ..] => {
            let fortran = match text(&machine.objects, order) {
                Some("C") => false,
                Some("F") => true,
                _ => return Err(machine.broken("a numpy array of unknown order")),
            };
            array(machine, shape, dtype, fortran, data)
        }
        _ => Err(machine.broken("a numpy array with too few arguments")),
    }
}

fn array<'a>(
    machine: &Machine<'a, '_>,
    shape: Value,
    dtype: Value,
    fortran: bool,
    data: Value,
) -> Result<Array<'a>, ReadError> {
    let object = |value| match value {
        Value::Object(id) => machine.objects.get(id),
        _ => None,
    };
    let Some(Object::DType(dtype)) = object(dtype) else { return Err(machine.broken("a numpy array without a dtype")) };
    let bytes = match object(data) {
        Some(Object::Bytes(bytes) | Object::Text(bytes)) => bytes.clone(),
        _ => return Err(machine.broken("a numpy array whose data is no bytes")),
    };
    let shape = dimensions(machine, shape)?;
    let layout = if fortran { Layout::column_major(shape) } else { Layout::row_major(shape) };
    Ok(Array { content: Some((*dtype, layout, bytes)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_strings() {
        assert_eq!(DType::parse("f4").unwrap(), DType { element: Element::F32, big_endian: false });
        assert_eq!(DType::parse("<i8").unwrap(), DType { element: Element::I64, big_endian: false });
        assert_eq!(DType::parse(">f2").unwrap(), DType { element: Element::F16, big_endian: true });
        assert!(DType::parse("O8").unwrap_err().to_string().contains("\"O8\""));
    }
}
