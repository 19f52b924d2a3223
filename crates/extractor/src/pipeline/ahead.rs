//! Files fetched into the system's memory shortly before they are decoded, so that no worker waits for a disk or a network folder.
//! Nothing is kept here: the system is asked to read ahead, and may forget again what memory does not hold.

use super::run::Source;
use std::{
    os::fd::AsRawFd,
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

/// Threads that ask for files: opening one over a network takes milliseconds, in which others can be asked for.
pub const READERS: usize = 4;
/// How long readers rest when they are far enough ahead.
const REST: Duration = Duration::from_millis(1);

/// How far readers and decoders are in a list of images.
pub struct Ahead {
    next: Mutex<usize>,
    decoded: AtomicUsize,
    ended: AtomicBool,
    distance: usize,
}

impl Ahead {
    /// Readers stay within `distance` images of what is decoded.
    pub fn new(distance: usize) -> Self {
        Self { next: Mutex::new(0), decoded: AtomicUsize::new(0), ended: AtomicBool::new(false), distance }
    }

    /// Images up to this one are being decoded.
    pub fn reached(&self, image: usize) {
        self.decoded.store(image, Ordering::Relaxed);
    }

    /// Sends the readers home when it is dropped, however the decoding ends.
    pub fn until_dropped(&self) -> impl Drop {
        struct End<'a>(&'a AtomicBool);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        End(&self.ended)
    }

    /// Has files read, until the end of the list.
    pub fn read(&self, sources: &[Source]) {
        while !self.ended.load(Ordering::Relaxed) {
            match self.take(sources.len()) {
                Next::Image(image) => sources[image].image.iter().for_each(|path| will_need(path)),
                Next::Later => std::thread::sleep(REST),
                Next::Never => return,
            }
        }
    }

    fn take(&self, count: usize) -> Next {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let decoded = self.decoded.load(Ordering::Relaxed);
        // What is being decoded is being read.
        *next = decoded.max(*next);
        match *next {
            image if image >= count => Next::Never,
            image if image >= decoded + self.distance => Next::Later,
            image => {
                *next += 1;
                Next::Image(image)
            }
        }
    }
}

#[derive(Debug, PartialEq)]
enum Next {
    Image(usize),
    Later,
    Never,
}

/// Asks the system to read a file. Whatever is wrong with it shows when it is decoded.
fn will_need(path: &Path) {
    if let Ok(file) = std::fs::File::open(path) {
        // SAFETY: the descriptor is open, and the call only gives advice.
        unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_WILLNEED) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_keep_their_distance_and_never_fall_behind() {
        let ahead = Ahead::new(2);
        assert_eq!([ahead.take(9), ahead.take(9), ahead.take(9)], [Next::Image(0), Next::Image(1), Next::Later]);
        ahead.reached(5);
        assert_eq!([ahead.take(9), ahead.take(9), ahead.take(9)], [Next::Image(5), Next::Image(6), Next::Later]);
        ahead.reached(8);
        assert_eq!([ahead.take(9), ahead.take(9)], [Next::Image(8), Next::Never]);
    }
}
