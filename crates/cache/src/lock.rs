//! One writer per file, by a lock of our own.
//!
//! HDF5's built-in lock is switched off: it keeps readers out during a run, and it fails outright on network file systems
//! that do not support it. Ours is an advisory lock on a file beside the cache, `.NAME.lock`, which says who holds it. The
//! kernel drops the lock when its process ends, however it ends, so a lock file left by a killed run means nothing.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{At, Error, Result};

/// The right to write a cache, held until dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    /// Kept open: closing it is what releases the lock.
    _file: File,
    path: PathBuf,
}

impl Lock {
    /// Takes the lock of `target`, or says who has it.
    pub(crate) fn acquire(target: &Path) -> Result<Self> {
        let path = sidecar(target, "lock");
        // Someone who asks who the holder is (`holder`) has the lock for an instant; so one refusal is not final.
        let mut attempts = 0;
        loop {
            let mut options = OpenOptions::new();
            let file = options.read(true).write(true).create(true).truncate(false).open(&path);
            let mut file = file.at(&path, "cannot create the lock file")?;
            match file.try_lock() {
                Ok(()) if same_file(&file, &path) => {}
                // The last holder removed the file between our opening and our locking it: the lock we have is on nothing.
                Ok(()) => continue,
                Err(TryLockError::WouldBlock) if attempts < 10 => {
                    attempts += 1;
                    std::thread::sleep(Duration::from_millis(20));
                    continue;
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::Locked { path: target.to_owned(), holder: read_holder(&mut file) });
                }
                Err(TryLockError::Error(error)) if is_unsupported(&error) => {
                    tracing::warn!(
                        "{}: this file system has no locks ({error}); make sure that only one run writes the file",
                        target.display()
                    );
                }
                Err(TryLockError::Error(error)) => return Err(error).at(&path, "cannot lock"),
            }
            let described = file.set_len(0).and_then(|()| file.write_all(this_process().as_bytes()));
            // On a full disk the name of the holder is lost, not the lock.
            if let Err(error) = described {
                tracing::debug!("{}: {error}", path.display());
            }
            return Ok(Self { _file: file, path });
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Removed while still held, so that no one can have locked this very file in between.
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!("{}: {error}", self.path.display());
        }
    }
}

/// Who writes `target` at this moment, as `process PID on HOST`.
pub(crate) fn holder(target: &Path) -> Option<String> {
    let mut file = File::open(sidecar(target, "lock")).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => Some(read_holder(&mut file)),
        _ => None,
    }
}

/// A hidden file beside `target`: `.NAME.SUFFIX`.
pub(crate) fn sidecar(target: &Path, suffix: &str) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    target.with_file_name(format!(".{name}.{suffix}"))
}

fn same_file(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(open), Ok(named)) => open.dev() == named.dev() && open.ino() == named.ino(),
        _ => false,
    }
}

fn is_unsupported(error: &io::Error) -> bool {
    // ENOLCK: a network file system mounted without its lock service.
    const ENOLCK: i32 = 37;
    error.kind() == io::ErrorKind::Unsupported || error.raw_os_error() == Some(ENOLCK)
}

fn read_holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.take(1000).read_to_string(&mut text));
    match read {
        Ok(_) if !text.trim().is_empty() => text.trim().to_owned(),
        _ => "another process".into(),
    }
}

fn this_process() -> String {
    let host =
        std::fs::read_to_string("/proc/sys/kernel/hostname").or_else(|_| std::fs::read_to_string("/etc/hostname"));
    let host = host.map_or_else(|_| std::env::var("HOSTNAME").unwrap_or_default(), |name| name.trim().to_owned());
    let host = if host.is_empty() { "this machine" } else { &host };
    format!("process {} on {host}\n", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lock_is_refused_and_names_the_holder() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("x.h5");
        let lock = Lock::acquire(&target).unwrap();
        let error = Lock::acquire(&target).unwrap_err().to_string();
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        assert!(holder(&target).unwrap().starts_with("process "));
        drop(lock);
        assert!(holder(&target).is_none());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        Lock::acquire(&target).unwrap();
    }

    #[test]
    fn a_lock_file_left_behind_is_no_lock() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("x.h5");
        std::fs::write(sidecar(&target, "lock"), "process 1 on elsewhere").unwrap();
        assert!(holder(&target).is_none());
        Lock::acquire(&target).unwrap();
    }
}
