//! A file that appears under its name only when it is complete.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// A file being written under another name beside its own. [`Self::finish`] puts it in place in one step, so that a reader
/// sees the file that was there before or the new one, never half of one; dropped before that, it leaves nothing behind.
#[derive(Debug)]
pub struct PartFile {
    file: File,
    partial: PathBuf,
    path: PathBuf,
    finished: bool,
}

impl PartFile {
    /// Starts a file, making its folder.
    ///
    /// # Errors
    /// What the system says; a path without a file name is invalid input.
    pub fn create(path: &Path) -> io::Result<Self> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        if path.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        // In the same folder, because a rename is only atomic within one file system.
        let mut partial = std::ffi::OsString::from(".");
        partial.push(name);
        partial.push(format!(".{}.part", std::process::id()));
        let partial = path.with_file_name(partial);
        Ok(Self { file: File::create(&partial)?, partial, path: path.to_owned(), finished: false })
    }

    /// Puts the file in place once everything is on the disk.
    ///
    /// # Errors
    /// What the system says; the file that was there before, if any, is still there then.
    pub fn finish(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        std::fs::rename(&self.partial, &self.path)?;
        self.finished = true;
        Ok(())
    }
}

impl Write for PartFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Seek for PartFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        if !self.finished {
            // Nothing more can be done about the rest of a failed write.
            let _ = std::fs::remove_file(&self.partial);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_file_stays_until_the_new_one_is_complete() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/x.txt");
        let write = |text: &str| {
            let mut file = PartFile::create(&path).unwrap();
            file.write_all(text.as_bytes()).unwrap();
            file
        };
        write("old").finish().unwrap();
        drop(write("given up"));
        let new = write("new");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
        new.finish().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no partial file is left");
        assert!(PartFile::create(folder.path()).is_err());
    }
}
