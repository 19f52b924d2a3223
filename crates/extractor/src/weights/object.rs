//! What a pickle is made of here: scalars on the stack, and objects that refer to one another by index.

use super::globals::Global;
use super::numpy::{Array, DType};
use super::tensor::{Element, Layout};
use std::ops::{Deref, Range};
use std::rc::Rc;

/// Bytes of the file, or bytes that had to be unpacked from text in it.
#[derive(Debug, Clone)]
pub(super) enum Blob<'a> {
    /// A part of the file.
    File(&'a [u8]),
    /// A part of an unpacked copy.
    Copied(Rc<[u8]>, Range<usize>),
}

impl<'a> Blob<'a> {
    /// Bytes that are not in the file as such.
    pub fn copied(bytes: Vec<u8>) -> Self {
        let length = bytes.len();
        Blob::Copied(bytes.into(), 0..length)
    }

    /// The part at `range`, or `None` past the end.
    pub fn slice(&self, range: Range<usize>) -> Option<Blob<'a>> {
        match self {
            Blob::File(bytes) => bytes.get(range).map(Blob::File),
            Blob::Copied(bytes, part) => {
                let (start, end) = (part.start.checked_add(range.start)?, part.start.checked_add(range.end)?);
                (start <= end && end <= part.end).then(|| Blob::Copied(Rc::clone(bytes), start..end))
            }
        }
    }
}

impl Deref for Blob<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Blob::File(bytes) => bytes,
            Blob::Copied(bytes, part) => &bytes[part.clone()],
        }
    }
}

/// A value on the stack: a small scalar, or the index of an object.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Object(usize),
}

/// The bytes behind a tensor.
#[derive(Debug, Clone)]
pub(super) struct Storage<'a> {
    /// Its element type; `None` for an untyped storage, whose tensors say it.
    pub element: Option<Element>,
    pub bytes: StorageBytes<'a>,
}

/// Where a storage's bytes are.
#[derive(Debug, Clone)]
pub(super) enum StorageBytes<'a> {
    /// In the container around the pickle, under this key.
    Named(Rc<str>),
    /// Here; true when big-endian.
    Here(Blob<'a>, bool),
}

/// A tensor that has been described but not yet read.
#[derive(Debug, Clone)]
pub(super) struct Described<'a> {
    pub storage: Storage<'a>,
    pub element: Element,
    pub layout: Layout,
}

/// What a pickle can build here.
#[derive(Debug, Clone)]
pub(super) enum Object<'a> {
    /// An integer too large for i64, little-endian two's complement.
    Big(Blob<'a>),
    Text(Blob<'a>),
    Bytes(Blob<'a>),
    Tuple(Vec<Value>),
    List(Vec<Value>),
    Dict(Vec<(Value, Value)>),
    Global(Global),
    Storage(Storage<'a>),
    /// Boxed, so that the many small objects of a pickle stay small.
    Tensor(Box<Described<'a>>),
    DType(DType),
    Array(Box<Array<'a>>),
    /// Something harmless that describes no tensor (a set, a device, a namespace of options).
    Inert,
}

/// The text a value refers to.
pub(super) fn text<'o>(objects: &'o [Object<'_>], value: Value) -> Option<&'o str> {
    match value {
        Value::Object(id) => match objects.get(id)? {
            Object::Text(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        },
        _ => None,
    }
}
