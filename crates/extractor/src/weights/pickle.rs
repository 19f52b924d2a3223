//! A pickle read as data. Pickle is a small stack language; Python's reader calls whatever the file names. This one has
//! the same stack, memo and marks, but calls resolve to the few builders in [`super::globals`]; any other name is an error.
//!
//! Objects live in one flat list and refer to each other by index: a file that nests lists a million deep costs a million
//! entries, not a million stack frames when they are dropped.
//!
//! Reference for the opcodes: the comments of Python's `pickletools`, protocols 2 to 5.

use super::ReadError;
use super::globals;
use super::object::{Blob, Object, Value, text};
use super::tensor::Budget;
use std::collections::HashMap;
use std::rc::Rc;

/// The result of one pickle.
#[derive(Debug)]
pub(super) struct Unpickled<'a> {
    pub objects: Vec<Object<'a>>,
    pub root: Value,
    /// The byte after the pickle's last.
    pub end: usize,
    /// Element size in bytes and number of elements of every storage named by a persistent id.
    pub storages: HashMap<Rc<str>, (usize, usize)>,
}

impl<'a> Unpickled<'a> {
    /// The object a value refers to.
    pub fn object(&self, value: Value) -> Option<&Object<'a>> {
        match value {
            Value::Object(id) => self.objects.get(id),
            _ => None,
        }
    }

    /// A text value.
    pub fn text(&self, value: Value) -> Option<&str> {
        text(&self.objects, value)
    }
}

/// Reads the pickle that starts at byte `start`. `depth` counts streams nested in one another.
pub(super) fn unpickle<'a>(
    data: &Blob<'a>,
    start: usize,
    depth: usize,
    budget: &mut Budget,
) -> Result<Unpickled<'a>, ReadError> {
    let machine = Machine {
        data: data.clone(),
        at: start,
        depth,
        budget,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        objects: Vec::new(),
        storages: HashMap::new(),
    };
    machine.run()
}

/// The state of one run.
pub(super) struct Machine<'a, 'b> {
    data: Blob<'a>,
    at: usize,
    pub depth: usize,
    pub budget: &'b mut Budget,
    stack: Vec<Value>,
    /// Stack heights at the open marks.
    marks: Vec<usize>,
    memo: HashMap<u64, Value>,
    pub objects: Vec<Object<'a>>,
    pub storages: HashMap<Rc<str>, (usize, usize)>,
}

impl<'a> Machine<'a, '_> {
    /// An error with the position of the opcode.
    pub fn broken(&self, what: &str) -> ReadError {
        ReadError::malformed(format!("damaged pickle at byte {}: {what}", self.at))
    }

    fn bytes(&mut self, count: usize) -> Result<Blob<'a>, ReadError> {
        let end = self.at.checked_add(count);
        let part = end.and_then(|end| self.data.slice(self.at..end));
        match (part, end) {
            (Some(part), Some(end)) => {
                self.at = end;
                Ok(part)
            }
            _ => Err(self.broken("it ends in the middle of a value")),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ReadError> {
        let bytes = self.bytes(N)?;
        <[u8; N]>::try_from(&bytes[..]).map_err(|_| self.broken("it ends in the middle of a value"))
    }

    fn byte(&mut self) -> Result<u8, ReadError> {
        Ok(self.array::<1>()?[0])
    }

    fn length4(&mut self) -> Result<usize, ReadError> {
        Ok(u32::from_le_bytes(self.array()?) as usize)
    }

    fn length8(&mut self) -> Result<usize, ReadError> {
        let length = u64::from_le_bytes(self.array()?);
        usize::try_from(length).map_err(|_| self.broken("a length beyond the address space"))
    }

    fn line(&mut self) -> Result<String, ReadError> {
        let rest = self.data.get(self.at..).unwrap_or_default();
        // Names of functions are short; a longer line is damage.
        let Some(length) = rest.iter().take(1024).position(|&b| b == b'\n') else {
            return Err(self.broken("a name without an end"));
        };
        let line = self.bytes(length + 1)?;
        Ok(String::from_utf8_lossy(&line[..length]).into_owned())
    }

    /// Stores an object and gives its value.
    pub fn store(&mut self, object: Object<'a>) -> Value {
        self.objects.push(object);
        Value::Object(self.objects.len() - 1)
    }

    fn push(&mut self, object: Object<'a>) {
        let value = self.store(object);
        self.stack.push(value);
    }

    fn pop(&mut self) -> Result<Value, ReadError> {
        if self.stack.len() <= self.marks.last().copied().unwrap_or(0) {
            return Err(self.broken("the stack is empty"));
        }
        self.stack.pop().ok_or_else(|| self.broken("the stack is empty"))
    }

    fn top(&self) -> Result<Value, ReadError> {
        match self.stack.last() {
            Some(&top) if self.stack.len() > self.marks.last().copied().unwrap_or(0) => Ok(top),
            _ => Err(self.broken("the stack is empty")),
        }
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value>, ReadError> {
        let height = self.marks.pop().ok_or_else(|| self.broken("no mark"))?;
        Ok(self.stack.split_off(height.min(self.stack.len())))
    }

    fn append(&mut self, items: Vec<Value>) -> Result<(), ReadError> {
        let list = self.top()?;
        match list {
            Value::Object(id) => match &mut self.objects[id] {
                Object::List(all) => all.extend(items),
                Object::Inert => {}
                _ => return Err(self.broken("an item for something that is no list")),
            },
            _ => return Err(self.broken("an item for something that is no list")),
        }
        Ok(())
    }

    fn set_items(&mut self, items: Vec<Value>) -> Result<(), ReadError> {
        let dict = self.top()?;
        let (pairs, rest) = items.as_chunks::<2>();
        match dict {
            Value::Object(id) if rest.is_empty() => match &mut self.objects[id] {
                Object::Dict(all) => all.extend(pairs.iter().map(|&[key, value]| (key, value))),
                Object::Inert => {}
                _ => return Err(self.broken("an entry for something that is no dictionary")),
            },
            _ => return Err(self.broken("an entry for something that is no dictionary")),
        }
        Ok(())
    }

    fn integer(&mut self, length: usize) -> Result<(), ReadError> {
        let bytes = self.bytes(length)?;
        if length <= 8 {
            let sign = if bytes.last().is_some_and(|b| b & 0x80 != 0) { 0xff } else { 0 };
            let mut wide = [sign; 8];
            wide[..length].copy_from_slice(&bytes);
            self.stack.push(Value::Int(i64::from_le_bytes(wide)));
        } else {
            self.push(Object::Big(bytes));
        }
        Ok(())
    }

    fn text(&mut self, length: usize) -> Result<(), ReadError> {
        let bytes = self.bytes(length)?;
        self.push(Object::Text(bytes));
        Ok(())
    }

    fn binary(&mut self, length: usize) -> Result<(), ReadError> {
        let bytes = self.bytes(length)?;
        self.push(Object::Bytes(bytes));
        Ok(())
    }

    fn global(&mut self, module: &str, name: &str) -> Result<(), ReadError> {
        let global = globals::find(module, name).ok_or_else(|| {
            // The name is the file's own: keep what is printed short and printable.
            let full: String = format!("{module}.{name}").chars().take(120).flat_map(char::escape_debug).collect();
            ReadError::Refused(full)
        })?;
        self.push(Object::Global(global));
        Ok(())
    }

    fn recall(&mut self, key: u64) -> Result<(), ReadError> {
        let value = *self.memo.get(&key).ok_or_else(|| self.broken("a reference to something never stored"))?;
        self.stack.push(value);
        Ok(())
    }

    fn call(&mut self) -> Result<(), ReadError> {
        let args = self.pop()?;
        let callee = self.pop()?;
        let global = match callee {
            Value::Object(id) => match self.objects[id] {
                Object::Global(global) => global,
                _ => return Err(self.broken("a call of something that is no function")),
            },
            _ => return Err(self.broken("a call of something that is no function")),
        };
        let args = match args {
            Value::Object(id) => match &self.objects[id] {
                // Every builder takes a handful; refusing more keeps a call's cost constant.
                Object::Tuple(args) if args.len() <= 16 => args.clone(),
                _ => return Err(self.broken("the arguments of a call are no short tuple")),
            },
            _ => return Err(self.broken("the arguments of a call are no tuple")),
        };
        let result = globals::call(self, global, &args)?;
        self.stack.push(result);
        Ok(())
    }

    fn run(mut self) -> Result<Unpickled<'a>, ReadError> {
        loop {
            self.budget.steps(1)?;
            let opcode = self.byte()?;
            match opcode {
                b'.' => {
                    let root = self.pop()?;
                    return Ok(Unpickled { objects: self.objects, root, end: self.at, storages: self.storages });
                }
                0x80 => match self.byte()? {
                    0..=5 => {}
                    version => return Err(ReadError::unsupported(format!("pickle protocol {version} is not known"))),
                },
                0x95 => drop(self.array::<8>()?),
                b'(' => self.marks.push(self.stack.len()),
                b'0' => drop(self.pop()?),
                b'1' => drop(self.pop_to_mark()?),
                b'2' => {
                    let top = self.top()?;
                    self.stack.push(top);
                }
                b'N' => self.stack.push(Value::None),
                0x88 => self.stack.push(Value::Bool(true)),
                0x89 => self.stack.push(Value::Bool(false)),
                b'J' => {
                    let value = i32::from_le_bytes(self.array()?);
                    self.stack.push(Value::Int(value.into()));
                }
                b'K' => {
                    let value = self.byte()?;
                    self.stack.push(Value::Int(value.into()));
                }
                b'M' => {
                    let value = u16::from_le_bytes(self.array()?);
                    self.stack.push(Value::Int(value.into()));
                }
                0x8a => {
                    let length = self.byte()?.into();
                    self.integer(length)?;
                }
                0x8b => {
                    let length = self.length4()?;
                    self.integer(length)?;
                }
                b'G' => {
                    let value = f64::from_be_bytes(self.array()?);
                    self.stack.push(Value::Float(value));
                }
                // The byte strings of Python 2 serve as text and as bytes; which one, their user decides.
                b'U' | 0x8c => {
                    let length = self.byte()?.into();
                    self.text(length)?;
                }
                b'T' | b'X' => {
                    let length = self.length4()?;
                    self.text(length)?;
                }
                0x8d => {
                    let length = self.length8()?;
                    self.text(length)?;
                }
                b'C' => {
                    let length = self.byte()?.into();
                    self.binary(length)?;
                }
                b'B' => {
                    let length = self.length4()?;
                    self.binary(length)?;
                }
                0x8e | 0x96 => {
                    let length = self.length8()?;
                    self.binary(length)?;
                }
                b']' => self.push(Object::List(Vec::new())),
                b')' => self.push(Object::Tuple(Vec::new())),
                b'}' => self.push(Object::Dict(Vec::new())),
                0x8f => self.push(Object::Inert),
                b'a' => {
                    let item = self.pop()?;
                    self.append(vec![item])?;
                }
                b'e' | 0x90 => {
                    let items = self.pop_to_mark()?;
                    self.append(items)?;
                }
                b'l' => {
                    let items = self.pop_to_mark()?;
                    self.push(Object::List(items));
                }
                b't' => {
                    let items = self.pop_to_mark()?;
                    self.push(Object::Tuple(items));
                }
                0x85..=0x87 => {
                    let mut items = Vec::new();
                    for _ in 0..=(opcode - 0x85) {
                        items.push(self.pop()?);
                    }
                    items.reverse();
                    self.push(Object::Tuple(items));
                }
                b'd' => {
                    let items = self.pop_to_mark()?;
                    self.push(Object::Dict(Vec::new()));
                    self.set_items(items)?;
                }
                b's' => {
                    let value = self.pop()?;
                    let key = self.pop()?;
                    self.set_items(vec![key, value])?;
                }
                b'u' => {
                    let items = self.pop_to_mark()?;
                    self.set_items(items)?;
                }
                0x91 => {
                    self.pop_to_mark()?;
                    self.push(Object::Inert);
                }
                b'q' | b'r' | 0x94 => {
                    let key = match opcode {
                        b'q' => u64::from(self.byte()?),
                        b'r' => self.length4()? as u64,
                        _ => self.memo.len() as u64,
                    };
                    let top = self.top()?;
                    self.memo.insert(key, top);
                }
                b'h' => {
                    let key = self.byte()?;
                    self.recall(key.into())?;
                }
                b'j' => {
                    let key = self.length4()?;
                    self.recall(key as u64)?;
                }
                b'c' => {
                    let module = self.line()?;
                    let name = self.line()?;
                    self.global(&module, &name)?;
                }
                0x93 => {
                    let (name, module) = (self.pop()?, self.pop()?);
                    let named = |value| text(&self.objects, value).map(str::to_owned);
                    match (named(module), named(name)) {
                        (Some(module), Some(name)) => self.global(&module, &name)?,
                        _ => return Err(self.broken("a function named by something that is no text")),
                    }
                }
                // An instance made without __init__ (0x81) is here the same as a call of its class.
                b'R' | 0x81 => self.call()?,
                b'b' => {
                    let state = self.pop()?;
                    let target = self.top()?;
                    globals::set_state(&mut self, target, state)?;
                }
                b'Q' => {
                    let id = self.pop()?;
                    let storage = globals::persistent(&mut self, id)?;
                    self.stack.push(storage);
                }
                b'i' => {
                    let (module, name) = (self.line()?, self.line()?);
                    return Err(ReadError::Refused(format!("{module}.{name}").chars().take(120).collect()));
                }
                0x97 | 0x98 => {
                    return Err(ReadError::unsupported(
                        "the pickle keeps its data out of band, in buffers that are not in the file",
                    ));
                }
                other => {
                    return Err(
                        self.broken(&format!("opcode {other:#04x}, which no state dict of protocols 2 to 5 has"))
                    );
                }
            }
        }
    }
}
