//! Writes the .npz files that `numpy.savez` would.

use std::{
    io::{Cursor, Write},
    path::Path,
};
use zip::{ZipWriter, write::SimpleFileOptions};

/// A file being put together.
pub struct Npz(ZipWriter<Cursor<Vec<u8>>>);

impl Npz {
    pub fn new() -> Self {
        Self(ZipWriter::new(Cursor::new(Vec::new())))
    }

    /// Adds an array in format version 1.0 of `numpy.lib.format`.
    fn array(mut self, name: &str, dtype: &str, shape: &[usize], bytes: &[u8]) -> Self {
        let dims: String = shape.iter().map(|dim| format!("{dim},")).collect();
        let mut header = format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': ({dims}), }}");
        // Magic, version and length take ten bytes; the values begin at a multiple of 64.
        header += &" ".repeat(63 - (10 + header.len()) % 64);
        header.push('\n');
        self.0.start_file(format!("{name}.npy"), SimpleFileOptions::default()).unwrap();
        self.0.write_all(b"\x93NUMPY\x01\x00").unwrap();
        self.0.write_all(&(header.len() as u16).to_le_bytes()).unwrap();
        self.0.write_all(header.as_bytes()).unwrap();
        self.0.write_all(bytes).unwrap();
        self
    }

    pub fn floats(self, name: &str, width: usize, values: &[f32]) -> Self {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.array(name, "<f4", &[values.len() / width, width], &bytes)
    }

    pub fn integers(self, name: &str, values: &[i64]) -> Self {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.array(name, "<i8", &[values.len()], &bytes)
    }

    pub fn strings(self, name: &str, values: &[&str]) -> Self {
        let width = values.iter().map(|text| text.chars().count()).max().unwrap_or(0).max(1);
        let padded = |text: &&str| {
            let mut characters: Vec<u32> = text.chars().map(u32::from).collect();
            characters.resize(width, 0);
            characters
        };
        let bytes: Vec<u8> = values.iter().flat_map(padded).flat_map(u32::to_le_bytes).collect();
        self.array(name, &format!("<U{width}"), &[values.len()], &bytes)
    }

    pub fn save(self, path: &Path) {
        std::fs::write(path, self.0.finish().unwrap().into_inner()).unwrap();
    }
}
