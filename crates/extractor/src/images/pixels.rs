//! Memory for the pixels of batches, used again from one batch to the next: it is large, so asking the system for it anew each
//! time costs milliseconds, and more where an accelerator is to read it by itself.

use std::{
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, PoisonError},
};

/// Bytes that something owns: a vector, or memory that a device can read.
pub type Memory = Box<dyn DerefMut<Target = [u8]> + Send + Sync>;

type Free = Arc<Mutex<Vec<Memory>>>;

/// Where the memory of batches comes from and goes back to.
pub struct Buffers {
    make: Box<dyn Fn(usize) -> Memory + Send + Sync>,
    free: Free,
}

impl Default for Buffers {
    /// Ordinary memory.
    fn default() -> Self {
        Self::new(|bytes| Box::new(vec![0; bytes]))
    }
}

impl Buffers {
    /// Memory from `make`, which is given the number of bytes and returns at least as many.
    pub fn new(make: impl Fn(usize) -> Memory + Send + Sync + 'static) -> Self {
        Self { make: Box::new(make), free: Free::default() }
    }

    /// This many bytes, with whatever they held before.
    pub fn take(&self, bytes: usize) -> Pixels {
        // Memory that is too small is given back after the lock is.
        let used = locked(&self.free).pop();
        let memory = used.filter(|memory| memory.len() >= bytes).unwrap_or_else(|| (self.make)(bytes));
        Pixels { memory: Some(memory), len: bytes, home: self.free.clone() }
    }
}

/// The pixels of a batch. Their memory goes back to its [`Buffers`] when they are dropped.
pub struct Pixels {
    /// There until they are dropped.
    memory: Option<Memory>,
    len: usize,
    home: Free,
}

impl Pixels {
    /// Forgets all but the first `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }
}

impl Deref for Pixels {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.memory.as_ref().map_or(&[], |memory| &memory[..self.len])
    }
}

impl DerefMut for Pixels {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.memory.as_mut().map_or(&mut [], |memory| &mut memory[..self.len])
    }
}

impl Drop for Pixels {
    fn drop(&mut self) {
        locked(&self.home).extend(self.memory.take());
    }
}

/// Nothing can be half done under this lock, so it does not matter whether another thread died with it.
fn locked(free: &Free) -> std::sync::MutexGuard<'_, Vec<Memory>> {
    free.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn memory_is_used_again_where_it_is_large_enough() {
        let made = Arc::new(AtomicUsize::new(0));
        let count = made.clone();
        let buffers = Buffers::new(move |bytes| {
            count.fetch_add(1, Ordering::Relaxed);
            Box::new(vec![0; bytes])
        });
        let mut first = buffers.take(8);
        first[7] = 9;
        first.truncate(3);
        assert_eq!(first.len(), 3);
        let second = buffers.take(4);
        drop(first);
        assert_eq!(buffers.take(8)[..], [0, 0, 0, 0, 0, 0, 0, 9]);
        assert_eq!(made.load(Ordering::Relaxed), 2);
        drop(second);
        // The last to come back is the first to go out, and too small.
        assert_eq!(buffers.take(6).len(), 6);
        assert_eq!(made.load(Ordering::Relaxed), 3);
    }
}
