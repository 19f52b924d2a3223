//! Repeated measurements and what is said of them.

use super::BenchError;
use serde::Serialize;
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

/// How much is put into a measurement.
#[derive(Clone, Copy)]
pub struct Effort<'a> {
    /// How often each number is measured.
    pub repeats: usize,
    /// The least time of one repetition, in seconds; work that takes less is done several times.
    pub seconds: f64,
    /// Ends everything when it becomes true.
    pub stop: &'a AtomicBool,
}

/// The same quantity measured several times.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// The smallest value.
    pub low: f64,
    /// The middle one (of an even number, the mean of both in the middle).
    pub median: f64,
    /// The largest.
    pub high: f64,
}

impl Spread {
    /// What can be said of these values, of which there is at least one.
    pub fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let (last, middle) = (values.len() - 1, values.len() / 2);
        let median = if values.len() % 2 == 1 { values[middle] } else { 0.5 * (values[middle - 1] + values[middle]) };
        Self { low: values[0], median, high: values[last] }
    }

    /// The spread of `factor` ÷ value.
    pub fn inverse(self, factor: f64) -> Self {
        Self { low: factor / self.high, median: factor / self.median, high: factor / self.low }
    }

    /// The spread of `factor` × value, for a positive factor.
    pub fn times(self, factor: f64) -> Self {
        Self { low: factor * self.low, median: factor * self.median, high: factor * self.high }
    }
}

impl Effort<'_> {
    /// Seconds that `work` takes, measured after one call that warms caches and chooses kernels.
    pub fn seconds(&self, mut work: impl FnMut() -> Result<(), BenchError>) -> Result<Spread, BenchError> {
        self.check()?;
        work()?;
        let mut seconds = Vec::with_capacity(self.repeats);
        for _ in 0..self.repeats.max(1) {
            let (start, mut calls) = (Instant::now(), 0);
            while calls == 0 || start.elapsed().as_secs_f64() < self.seconds {
                self.check()?;
                work()?;
                calls += 1;
            }
            seconds.push(start.elapsed().as_secs_f64() / f64::from(calls));
        }
        Ok(Spread::of(seconds))
    }

    pub(super) fn check(&self) -> Result<(), BenchError> {
        if self.stop.load(Ordering::Relaxed) { Err(BenchError::Interrupted) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_of_times_becomes_one_of_rates() {
        let times = Spread::of(vec![0.5, 0.25, 1.0, 0.5]);
        assert_eq!(times, Spread { low: 0.25, median: 0.5, high: 1.0 });
        assert_eq!(times.inverse(32.0), Spread { low: 32.0, median: 64.0, high: 128.0 });
        assert_eq!(times.times(1000.0).high, 1000.0);
        assert_eq!(Spread::of(vec![1.0, 2.0]).median, 1.5);
    }

    #[test]
    fn work_is_repeated_after_warming_up() {
        let stop = AtomicBool::new(false);
        let mut calls = 0;
        let effort = Effort { repeats: 3, seconds: 0.0, stop: &stop };
        let mut work = || {
            calls += 1;
            Ok(())
        };
        effort.seconds(&mut work).unwrap();
        stop.store(true, Ordering::Relaxed);
        assert!(matches!(effort.seconds(&mut work), Err(BenchError::Interrupted)));
        assert_eq!(calls, 4);
    }
}
