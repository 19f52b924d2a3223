//! An undo journal around every change of structure.
//!
//! Appending values changes raw data and one counter per layer, and is safe to kill at any time. Adding rows or layers is
//! not: HDF5 rewrites several pieces of metadata, and a file caught between two of them may not open again. So before such a
//! change everything in the file except the values and reasons is copied to `.NAME.undo`, which is removed when the change is on disk.
//! Whoever opens a file and finds a complete journal without a living writer puts the old bytes back first. Storage of
//! values needs no copy: a change of structure writes only beyond the rows that were there.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::error::{At, Result};
use crate::lock::sidecar;
use crate::schema::{LAYERS, ROWS};

const MAGIC: &[u8; 8] = b"hsundo1\n";

/// A journal on disk, for a change that has not ended yet.
pub(crate) struct Journal {
    path: PathBuf,
    target: PathBuf,
}

/// Where the journal of `target` is, when there is one.
pub(crate) fn journal_path(target: &Path) -> PathBuf {
    sidecar(target, "undo")
}

impl Journal {
    /// Copies what a change of structure may overwrite. `file` must be flushed.
    pub(crate) fn begin(file: &hdf5::File, target: &Path) -> Result<Self> {
        let doing = "cannot prepare a change of the file";
        let path = journal_path(target);
        let chunks = chunk_extents(file).at(target, doing)?;
        let write = || -> io::Result<()> {
            let mut source = File::open(target)?;
            let length = source.metadata()?.len();
            let regions = complement(chunks, length);
            let mut out = Hashing { inner: BufWriter::new(File::create(&path)?), hash: Sha256::new() };
            out.write_all(MAGIC)?;
            out.write_all(&length.to_le_bytes())?;
            out.write_all(&(regions.len() as u64).to_le_bytes())?;
            for &(offset, len) in &regions {
                out.write_all(&offset.to_le_bytes())?;
                out.write_all(&len.to_le_bytes())?;
                source.seek(SeekFrom::Start(offset))?;
                if io::copy(&mut (&mut source).take(len), &mut out)? != len {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            let Hashing { mut inner, hash } = out;
            inner.write_all(&hash.finalize())?;
            inner.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
        };
        let journal = Self { path: path.clone(), target: target.to_owned() };
        match write().at(target, doing) {
            Ok(()) => Ok(journal),
            Err(error) => {
                // Nothing was changed yet, so a torn journal has nothing to undo.
                let _ = std::fs::remove_file(&path);
                Err(error)
            }
        }
    }

    /// The change is complete and flushed.
    pub(crate) fn commit(self) -> Result<()> {
        // On disk before the way back is gone.
        File::open(&self.target).and_then(|file| file.sync_data()).at(&self.target, "cannot sync")?;
        std::fs::remove_file(&self.path).at(&self.path, "cannot remove the journal of a complete change")
    }
}

/// Puts back what an interrupted change overwrote. The caller holds the lock of `target`, and has it closed.
///
/// Returns whether there was something to undo.
pub(crate) fn roll_back(target: &Path) -> Result<bool> {
    let path = journal_path(target);
    let doing = "cannot undo a change that was interrupted";
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error).at(&path, doing),
    };
    let complete = is_complete(&file).at(&path, doing)?;
    if complete {
        restore(file, target).at(target, doing)?;
        tracing::info!("{}: undid a change that was interrupted", target.display());
    }
    std::fs::remove_file(&path).at(&path, doing)?;
    Ok(complete)
}

fn is_complete(file: &File) -> io::Result<bool> {
    const HASH: u64 = 32;
    let length = file.metadata()?.len();
    if length < MAGIC.len() as u64 + 16 + HASH {
        return Ok(false);
    }
    let mut reader = BufReader::new(file);
    let mut hash = Hashing { inner: io::sink(), hash: Sha256::new() };
    io::copy(&mut (&mut reader).take(length - HASH), &mut hash)?;
    let mut stored = [0; HASH as usize];
    reader.read_exact(&mut stored)?;
    Ok(hash.hash.finalize()[..] == stored)
}

fn restore(mut journal: File, target: &Path) -> io::Result<()> {
    journal.seek(SeekFrom::Start(MAGIC.len() as u64))?;
    let mut journal = BufReader::new(journal);
    let mut file = OpenOptions::new().read(true).write(true).open(target)?;
    let length = read_u64(&mut journal)?;
    for _ in 0..read_u64(&mut journal)? {
        let (mut offset, len) = (read_u64(&mut journal)?, read_u64(&mut journal)?);
        let end = offset + len;
        let (mut old, mut now) = (vec![0; 1 << 16], vec![0; 1 << 16]);
        while offset < end {
            let step = (end - offset).min(old.len() as u64) as usize;
            journal.read_exact(&mut old[..step])?;
            file.seek(SeekFrom::Start(offset))?;
            let have = read_up_to(&mut file, &mut now[..step])?;
            // Unchanged bytes are left alone: writing into a hole of the file could need room that a full disk lacks.
            if old[..step] != now[..have] {
                file.seek(SeekFrom::Start(offset))?;
                file.write_all(&old[..step])?;
            }
            offset += step as u64;
        }
    }
    file.set_len(length)?;
    file.sync_all()
}

fn read_u64(source: &mut impl Read) -> io::Result<u64> {
    let mut bytes = [0; 8];
    source.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

fn read_up_to(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..])? {
            0 => break,
            n => filled += n,
        }
    }
    Ok(filled)
}

/// Address and size of every chunk of the large datasets: values and reasons for failure.
///
/// Not those of strings: HDF5 frees what a string field held before, so remains of an undone change there, though beyond the
/// end, would be taken for strings to free when rows are added next.
fn chunk_extents(file: &hdf5::File) -> hdf5::Result<Vec<(u64, u64)>> {
    let mut datasets = file.group(LAYERS)?.datasets()?;
    datasets.push(file.dataset(&format!("{ROWS}/error"))?);
    let mut extents = Vec::new();
    for dataset in datasets.iter().filter(|dataset| dataset.is_chunked()) {
        dataset.chunks_visit(|chunk| {
            extents.push((chunk.addr, chunk.size));
            0
        })?;
    }
    Ok(extents)
}

/// What is left of 0..length after taking `taken` (address, size) out.
fn complement(mut taken: Vec<(u64, u64)>, length: u64) -> Vec<(u64, u64)> {
    taken.sort_unstable();
    let mut left = Vec::new();
    let mut at = 0;
    for (address, size) in taken {
        if address > at {
            left.push((at, address.min(length).saturating_sub(at)));
        }
        at = at.max(address.saturating_add(size));
    }
    if at < length {
        left.push((at, length - at));
    }
    left.retain(|&(_, len)| len > 0);
    left
}

/// Hashes what passes through.
struct Hashing<W> {
    inner: W,
    hash: Sha256,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_chunk_is_kept() {
        assert_eq!(complement(vec![], 10), [(0, 10)]);
        assert_eq!(complement(vec![(2, 3), (5, 1), (8, 2)], 10), [(0, 2), (6, 2)]);
        assert_eq!(complement(vec![(8, 5), (0, 4)], 10), [(4, 4)]);
        assert_eq!(complement(vec![(12, 5)], 10), [(0, 10)]);
    }

    #[test]
    fn an_interrupted_change_is_undone_to_the_byte() {
        use crate::provenance::{Augmentation, FORMAT_VERSION, Provenance, WeightsId};
        use crate::schema::{LayerDesc, RowSpec, Store, create_layer, select_rows, to_hdf5};

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.h5");
        let provenance = Provenance {
            format_version: FORMAT_VERSION,
            tool_version: String::new(),
            backbone: "lenet5".into(),
            weights: WeightsId { source: String::new(), sha256: String::new() },
            preprocessing: None,
            decoder: None,
            compute_dtype: "f32".into(),
            augmentation: Augmentation::none(),
            images: None,
        };
        let row = |i: usize| RowSpec { path: format!("{i}.png"), label: -1, split: String::new(), view: 0 };
        let rows: Vec<RowSpec> = (0..30).map(row).collect();
        let (mut writer, _) = crate::Writer::open_or_create(&path, &provenance, &rows, &[]).unwrap();
        let mut desc = LayerDesc {
            layer: "a".into(),
            pool: "gap".into(),
            shape: vec![3],
            stored: vec![3],
            store: Store::F32,
            device: "cpu".into(),
            tool_version: String::new(),
        };
        writer.add_layer(&desc).unwrap();
        writer.finish().unwrap();
        let before = std::fs::read(&path).unwrap();

        // As if killed after the change was flushed and before the journal was removed.
        let file = crate::reader::open_file(&path, true).unwrap();
        Journal::begin(&file, &path).unwrap();
        desc.layer = "b".into();
        create_layer(&file.group(LAYERS).unwrap(), &desc, 30, 1).unwrap();
        let column = file.dataset("rows/path").unwrap();
        column.resize(31).unwrap();
        column.write_slice(&[to_hdf5("new.png").unwrap()], select_rows(30..31, 1)).unwrap();
        drop(column);
        file.close().unwrap();
        assert_ne!(std::fs::read(&path).unwrap(), before);

        // Whoever opens the file next undoes it.
        let cache = crate::Cache::open(&path).unwrap();
        assert_eq!((cache.rows().len(), cache.layers().len()), (30, 1));
        let mut after = std::fs::read(&path).unwrap();
        // "Open for writing" in the superblock, as a kill leaves it; HDF5 heeds it in newer superblocks only.
        after[20] = 0;
        assert!(after == before);
        assert!(!roll_back(&path).unwrap(), "nothing is left to undo");
    }
}
