//! Progress of work on many threads.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts fits from many threads for a progress display.
pub(crate) struct Counter<'a> {
    count: AtomicUsize,
    total: usize,
    report: &'a (dyn Fn(usize, usize) + Sync),
}

impl<'a> Counter<'a> {
    pub(crate) fn new(total: usize, report: &'a (dyn Fn(usize, usize) + Sync)) -> Self {
        Self { count: AtomicUsize::new(0), total, report }
    }

    pub(crate) fn step(&self) {
        (self.report)(self.count.fetch_add(1, Ordering::Relaxed) + 1, self.total);
    }
}
