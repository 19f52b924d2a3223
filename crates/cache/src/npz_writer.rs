//! Writing an `.npz` file that `numpy.load` reads without pickles: a zip of stored `.npy` members (format version 1.0 of
//! `numpy.lib.format`).

use std::io::{self, Seek, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// What NumPy aligns values to, in bytes, so that a file can be mapped into memory.
const ALIGNMENT: usize = 64;

/// An `.npz` file being written. The same arrays give the same bytes: members carry no time.
pub struct NpzWriter<W: Write + Seek> {
    zip: ZipWriter<W>,
}

impl<W: Write + Seek> NpzWriter<W> {
    /// Starts a file.
    pub fn new(out: W) -> Self {
        Self { zip: ZipWriter::new(out) }
    }

    /// Adds an array of float64, `values` in row-major order.
    ///
    /// # Errors
    /// When the file cannot be written, or `values` are not as many as `shape` says.
    pub fn floats(&mut self, name: &str, shape: &[usize], values: impl IntoIterator<Item = f64>) -> io::Result<()> {
        let bytes: Vec<u8> = values.into_iter().flat_map(f64::to_le_bytes).collect();
        self.array(name, "<f8", size_of::<f64>(), shape, &bytes)
    }

    /// Adds an array of float32, `values` in row-major order.
    ///
    /// # Errors
    /// As [`Self::floats`].
    pub fn singles(&mut self, name: &str, shape: &[usize], values: impl IntoIterator<Item = f32>) -> io::Result<()> {
        let bytes: Vec<u8> = values.into_iter().flat_map(f32::to_le_bytes).collect();
        self.array(name, "<f4", size_of::<f32>(), shape, &bytes)
    }

    /// Adds an array of int64, `values` in row-major order; an empty `shape` makes one number of no dimensions.
    ///
    /// # Errors
    /// As [`Self::floats`].
    pub fn integers(&mut self, name: &str, shape: &[usize], values: impl IntoIterator<Item = i64>) -> io::Result<()> {
        let bytes: Vec<u8> = values.into_iter().flat_map(i64::to_le_bytes).collect();
        self.array(name, "<i8", size_of::<i64>(), shape, &bytes)
    }

    /// Adds an array of fixed-width Unicode, as wide as the longest text; an empty `shape` makes one text of no dimensions.
    ///
    /// # Errors
    /// When the file cannot be written, or `texts` are not as many as `shape` says.
    pub fn texts<T: AsRef<str>>(&mut self, name: &str, shape: &[usize], texts: &[T]) -> io::Result<()> {
        // NumPy reads arrays of width 0, but indexing one goes wrong in some versions.
        let width = texts.iter().map(|text| text.as_ref().chars().count()).max().unwrap_or(0).max(1);
        let padded = |text: &T| text.as_ref().chars().chain(std::iter::repeat('\0')).take(width).collect::<Vec<char>>();
        let bytes: Vec<u8> = texts.iter().flat_map(padded).flat_map(|c| u32::from(c).to_le_bytes()).collect();
        self.array(name, &format!("<U{width}"), 4 * width, shape, &bytes)
    }

    /// Writes what a zip file ends with.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn finish(self) -> io::Result<W> {
        Ok(self.zip.finish()?)
    }

    fn array(&mut self, name: &str, dtype: &str, size: usize, shape: &[usize], bytes: &[u8]) -> io::Result<()> {
        if bytes.len() != size * shape.iter().product::<usize>() {
            let detail = format!("array {name}: {} bytes do not make the shape {shape:?}", bytes.len());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, detail));
        }
        // Members of 4 GB and more need zip's longer fields, which have to be asked for beforehand.
        let large = u32::try_from(bytes.len() + (1 << 16)).is_err();
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored).large_file(large);
        self.zip.start_file(format!("{name}.npy"), options)?;
        self.zip.write_all(&header(dtype, shape))?;
        self.zip.write_all(bytes)
    }
}

/// Everything before the values: magic, version, and a Python dictionary padded so that the values are aligned.
fn header(dtype: &str, shape: &[usize]) -> Vec<u8> {
    let dims: Vec<String> = shape.iter().map(ToString::to_string).collect();
    // As Python writes tuples: (), (3,), (3, 4).
    let comma = if shape.len() == 1 { "," } else { "" };
    let text = format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': ({}{comma}), }}", dims.join(", "));
    let before = b"\x93NUMPY\x01\x00";
    let used = before.len() + size_of::<u16>() + text.len() + 1;
    let padded = text.len() + 1 + used.next_multiple_of(ALIGNMENT) - used;
    let mut header = before.to_vec();
    // A dictionary of these three keys is far shorter than 64 kB.
    header.extend((padded as u16).to_le_bytes());
    header.extend(format!("{text:<width$}\n", width = padded - 1).as_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::npz::Npz;
    use std::fs::File;

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.npz");
        let mut npz = NpzWriter::new(File::create(&path).unwrap());
        npz.floats("weight", &[2, 3], (0..6).map(f64::from)).unwrap();
        npz.texts("classes", &[3], &["ant", "", "Käfer ✓"]).unwrap();
        npz.texts("kind", &[], &["svm"]).unwrap();
        npz.finish().unwrap();

        let mut npz = Npz::open(&path).unwrap();
        assert_eq!(npz.names(), ["weight", "classes", "kind"]);
        let weight = npz.array("weight").unwrap().unwrap();
        assert_eq!((&weight.shape[..], &weight.dtype_name()[..]), (&[2, 3][..], "float64"));
        assert_eq!(weight.floats(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        let classes = npz.array("classes").unwrap().unwrap();
        assert_eq!(classes.strings().unwrap(), ["ant", "", "Käfer ✓"]);
        let kind = npz.array("kind").unwrap().unwrap();
        assert_eq!((kind.shape.len(), kind.strings().unwrap()), (0, vec!["svm".to_string()]));
    }

    #[test]
    fn values_begin_where_numpy_wants_them() {
        for shape in [&[][..], &[7], &[1_000_000, 512]] {
            let header = header("<f8", shape);
            assert_eq!(header.len() % ALIGNMENT, 0);
            assert_eq!(usize::from(u16::from_le_bytes([header[8], header[9]])), header.len() - 10);
            assert_eq!(header.last(), Some(&b'\n'));
        }
    }

    #[test]
    fn a_shape_that_does_not_fit_is_refused() {
        let mut npz = NpzWriter::new(io::Cursor::new(Vec::new()));
        let error = npz.floats("weight", &[2, 2], [1.0; 3]).unwrap_err();
        assert!(error.to_string().contains("weight"), "{error}");
    }
}
