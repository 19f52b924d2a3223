//! Reading the arrays of an `.npz` file: a zip of `.npy` members, each a short text header and raw values.
//!
//! The format is the one of `numpy.lib.format`, versions 1 to 3. Arrays of Python objects are refused: they are pickles,
//! and reading those would mean running what is in them.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use zip::ZipArchive;

/// One array, as stored.
pub(crate) struct Array {
    pub(crate) shape: Vec<usize>,
    fortran: bool,
    dtype: Dtype,
    bytes: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Dtype {
    big_endian: bool,
    /// `f`, `i`, `u`, `b` (bool), `U` (UCS-4 text), `S` (bytes).
    kind: char,
    /// Bytes per value.
    size: usize,
}

/// An open `.npz` file. Errors are sentences without the file's name.
pub(crate) struct Npz {
    zip: ZipArchive<BufReader<File>>,
}

impl Npz {
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        let file = File::open(path).map_err(|error| format!("cannot open: {error}"))?;
        let zip = ZipArchive::new(BufReader::new(file))
            .map_err(|error| format!("not an .npz file ({error}); numpy.savez makes one"))?;
        Ok(Self { zip })
    }

    /// Names of the arrays, without `.npy`.
    pub(crate) fn names(&self) -> Vec<String> {
        self.zip.file_names().map(|name| name.strip_suffix(".npy").unwrap_or(name).to_owned()).collect()
    }

    /// An array by name, if it is there.
    pub(crate) fn array(&mut self, name: &str) -> Result<Option<Array>, String> {
        let Some(index) = self.zip.index_for_name(&format!("{name}.npy")) else { return Ok(None) };
        let mut member = self.zip.by_index(index).map_err(|error| format!("array {name}: {error}"))?;
        read_npy(&mut member).map(Some).map_err(|error| format!("array {name}: {error}"))
    }
}

impl Array {
    /// Type in NumPy's words, for messages.
    pub(crate) fn dtype_name(&self) -> String {
        let Dtype { kind, size, .. } = self.dtype;
        match kind {
            'f' => format!("float{}", size * 8),
            'i' => format!("int{}", size * 8),
            'u' => format!("uint{}", size * 8),
            'b' => "bool".into(),
            _ => format!("{kind}{}", if kind == 'U' { size / 4 } else { size }),
        }
    }

    pub(crate) fn is_float(&self) -> bool {
        self.dtype.kind == 'f'
    }

    pub(crate) fn is_half(&self) -> bool {
        self.is_float() && self.dtype.size == 2
    }

    pub(crate) fn is_text(&self) -> bool {
        matches!(self.dtype.kind, 'U' | 'S')
    }

    pub(crate) fn is_bool(&self) -> bool {
        self.dtype.kind == 'b'
    }

    /// Floating-point values in row-major order, rounded to f32. At most two dimensions.
    pub(crate) fn floats(&self) -> Vec<f32> {
        let big = self.dtype.big_endian;
        let values: Vec<f32> = match self.dtype.size {
            2 => self.map(|b: [u8; 2]| {
                half::f16::from_bits(if big { u16::from_be_bytes(b) } else { u16::from_le_bytes(b) }).to_f32()
            }),
            4 => self.map(|b: [u8; 4]| if big { f32::from_be_bytes(b) } else { f32::from_le_bytes(b) }),
            _ => self.map(|b: [u8; 8]| (if big { f64::from_be_bytes(b) } else { f64::from_le_bytes(b) }) as f32),
        };
        match self.shape[..] {
            [rows, columns] if self.fortran => {
                (0..rows * columns).map(|i| values[(i % columns) * rows + i / columns]).collect()
            }
            _ => values,
        }
    }

    /// Integers (bools as 0 and 1, floats where they are whole numbers), or nothing for other types and values.
    pub(crate) fn integers(&self) -> Option<Vec<i64>> {
        let Dtype { kind, size, big_endian } = self.dtype;
        if kind == 'f' {
            let whole = |value: f32| (value.fract() == 0.0 && value.abs() < 1e6).then_some(value as i64);
            return self.floats().into_iter().map(whole).collect();
        }
        if !matches!(kind, 'i' | 'u' | 'b') {
            return None;
        }
        let decode = |bytes: &[u8]| {
            let mut little = bytes.to_vec();
            if big_endian {
                little.reverse();
            }
            let negative = kind == 'i' && little[size - 1] & 0x80 != 0;
            little.resize(8, if negative { 0xff } else { 0 });
            let value = u64::from_le_bytes(little.try_into().ok()?);
            if kind == 'u' { i64::try_from(value).ok() } else { Some(value as i64) }
        };
        self.bytes.chunks_exact(size).map(decode).collect()
    }

    /// Strings, or nothing for other types and for text that is not Unicode.
    pub(crate) fn strings(&self) -> Option<Vec<String>> {
        let Dtype { kind, size, big_endian } = self.dtype;
        if size == 0 {
            return self.is_text().then(|| vec![String::new(); self.shape.iter().product()]);
        }
        match kind {
            'U' => {
                let character = |b: &[u8]| {
                    let b = [b[0], b[1], b[2], b[3]];
                    char::from_u32(if big_endian { u32::from_be_bytes(b) } else { u32::from_le_bytes(b) })
                };
                let decode = |bytes: &[u8]| bytes.chunks_exact(4).map(character).collect::<Option<String>>();
                self.bytes
                    .chunks_exact(size)
                    .map(|bytes| Some(decode(bytes)?.trim_end_matches('\0').to_owned()))
                    .collect()
            }
            'S' => {
                let decode = |bytes: &[u8]| Some(std::str::from_utf8(bytes).ok()?.trim_end_matches('\0').to_owned());
                self.bytes.chunks_exact(size).map(decode).collect()
            }
            _ => None,
        }
    }

    fn map<const N: usize>(&self, convert: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        self.bytes.as_chunks::<N>().0.iter().map(|&bytes| convert(bytes)).collect()
    }
}

fn read_npy(source: &mut impl Read) -> Result<Array, String> {
    let broken = |error: std::io::Error| format!("cannot be read: {error}");
    let mut head = [0; 8];
    source.read_exact(&mut head).map_err(broken)?;
    if &head[..6] != b"\x93NUMPY" {
        return Err("not in NumPy's format".into());
    }
    let mut length = [0; 4];
    let width = match head[6] {
        1 => 2,
        2 | 3 => 4,
        version => return Err(format!("in version {version} of NumPy's format, which is not known")),
    };
    source.read_exact(&mut length[..width]).map_err(broken)?;
    let mut header = Vec::new();
    // NumPy itself takes no header beyond 10000 bytes.
    source.take(u64::from(u32::from_le_bytes(length)).min(1 << 16)).read_to_end(&mut header).map_err(broken)?;
    let header = String::from_utf8_lossy(&header).into_owned();

    let dtype = parse_dtype(&header)?;
    let fortran = field(&header, "fortran_order").is_some_and(|value| value.starts_with("True"));
    let shape = parse_shape(&header).ok_or_else(|| format!("has a header without a shape: {header:?}"))?;
    let size = shape.iter().try_fold(dtype.size, |size, &dim| size.checked_mul(dim));
    let size = size.filter(|&size| size < 1 << 48).ok_or_else(|| format!("has the impossible shape {shape:?}"))?;
    let mut bytes = Vec::new();
    source.take(size as u64).read_to_end(&mut bytes).map_err(broken)?;
    if bytes.len() != size {
        return Err(format!("is cut off: {} of {size} bytes are there", bytes.len()));
    }
    Ok(Array { shape, fortran, dtype, bytes })
}

/// What follows `'name':` in the header, which is a Python dictionary of three known keys.
fn field<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = header.split_once(&format!("'{name}'"))?;
    Some(rest.trim_start().strip_prefix(':')?.trim_start())
}

fn parse_dtype(header: &str) -> Result<Dtype, String> {
    let value = field(header, "descr").ok_or_else(|| format!("has a header without a type: {header:?}"))?;
    let descr = value.strip_prefix('\'').and_then(|rest| rest.split_once('\'')).map(|(descr, _)| descr);
    let descr = descr.ok_or("is a structured array; plain arrays are expected")?;
    let unknown = || format!("has type {descr}; floats, integers, bools and strings (U, S) can be read");
    let mut characters = descr.chars();
    let order = characters.next().ok_or_else(unknown)?;
    let kind = characters.next().ok_or_else(unknown)?;
    if kind == 'O' {
        return Err("holds Python objects, which are never loaded (they could run code); convert it, e.g. with \
                    .astype(str)"
            .into());
    }
    let count: usize = characters.as_str().parse().map_err(|_| unknown())?;
    let size = if kind == 'U' { count.checked_mul(4).ok_or_else(unknown)? } else { count };
    let known = match kind {
        'f' => matches!(size, 2 | 4 | 8),
        'i' | 'u' => matches!(size, 1 | 2 | 4 | 8),
        'b' => size == 1,
        'U' | 'S' => true,
        _ => false,
    };
    if !known || !matches!(order, '<' | '>' | '|' | '=') {
        return Err(unknown());
    }
    Ok(Dtype { big_endian: order == '>', kind, size })
}

fn parse_shape(header: &str) -> Option<Vec<usize>> {
    let (inside, _) = field(header, "shape")?.strip_prefix('(')?.split_once(')')?;
    inside.split(',').map(str::trim).filter(|dim| !dim.is_empty()).map(|dim| dim.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A `.npy` file as NumPy writes it.
    fn npy(descr: &str, fortran: &str, shape: &str, bytes: &[u8]) -> Vec<u8> {
        let header = format!("{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n");
        let mut file = b"\x93NUMPY\x01\x00".to_vec();
        file.extend((header.len() as u16).to_le_bytes());
        file.extend(header.as_bytes());
        file.extend(bytes);
        file
    }

    fn read(file: &[u8]) -> Result<Array, String> {
        read_npy(&mut &file[..])
    }

    #[test]
    fn column_major_and_big_endian_values_come_out_in_row_order() {
        let bytes: Vec<u8> = [1.0_f32, 4.0, 2.0, 5.0, 3.0, 6.0].iter().flat_map(|v| v.to_be_bytes()).collect();
        let array = read(&npy("'>f4'", "True", "(2, 3)", &bytes)).unwrap();
        assert_eq!(array.shape, [2, 3]);
        assert_eq!(array.floats(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    }

    #[test]
    fn integers_keep_their_sign() {
        let array = read(&npy("'|i1'", "False", "(3,)", &[0xff, 0, 5])).unwrap();
        assert_eq!(array.integers().unwrap(), [-1, 0, 5]);
        let array = read(&npy("'>i4'", "False", "(1,)", &(-7_i32).to_be_bytes())).unwrap();
        assert_eq!(array.integers().unwrap(), [-7]);
        let array = read(&npy("'<f8'", "False", "(1,)", &1.5_f64.to_le_bytes())).unwrap();
        assert!(array.integers().is_none());
    }

    #[test]
    fn objects_structures_and_stumps_are_refused() {
        for (descr, shape, bytes, part) in [
            ("'|O'", "(1,)", &[0; 8][..], "never loaded"),
            ("[('a', '<f4')]", "(1,)", &[0; 4], "structured"),
            ("'<c8'", "(1,)", &[0; 8], "<c8"),
            ("'<f4'", "(2,)", &[0; 7], "cut off"),
            ("'<f4'", "(9999999999, 9999999999)", &[], "impossible"),
        ] {
            let error = read(&npy(descr, "False", shape, bytes)).err().unwrap();
            assert!(error.contains(part), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), version in 1..4_u8) {
            let _ = read(&bytes);
            let mut file = b"\x93NUMPY".to_vec();
            file.extend([version, 0, 64, 0, 0, 0]);
            file.extend(&bytes);
            let _ = read(&file);
        }
    }
}
