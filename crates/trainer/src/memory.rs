//! How much memory training may use.

use crate::Error;
use crate::error::size;
use crate::features::Features;
use crate::objective::outputs;
use crate::params::{HeadParams, Loss};

/// A bound on the memory that training uses for features and whatever is made of them. Labels, paths and the program itself come on
/// top, some hundred bytes for each row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(transparent)]
pub struct Memory(u64);

impl Memory {
    /// No bound.
    pub const UNLIMITED: Self = Self(u64::MAX);

    /// That many bytes.
    pub fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Half of what is available now: what the system could give without swapping, less where a control group allows less.
    pub fn of_this_machine() -> Self {
        let bytes = [available(), group_left("/sys/fs/cgroup", "memory.max", "memory.current"), {
            group_left("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes")
        }];
        bytes.into_iter().flatten().min().map_or(Self::UNLIMITED, |bytes| Self(bytes / 2))
    }

    /// The bound in bytes.
    pub fn bytes(self) -> u64 {
        self.0
    }

    /// Whether an n × d matrix of features may be in memory, with room for what is made of it.
    pub fn holds(self, rows: usize, width: usize) -> bool {
        bytes_of(rows, width) <= self.0 / 2
    }

    pub(crate) fn less(self, bytes: u64) -> Self {
        if self == Self::UNLIMITED { self } else { Self(self.0.saturating_sub(bytes)) }
    }
}

/// What a training uses of the memory it may use, as far as that is known before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct MemoryUse {
    /// Bytes that may be used; none if there is no bound.
    pub limit: Memory,
    /// Bytes of all features as f32.
    pub features: u64,
    /// Bytes that one fit takes beside the rows.
    pub solver: u64,
    /// Whether the features stay in the file and are read from it whenever they are needed.
    pub streamed: bool,
}

impl MemoryUse {
    /// For so many rows of a width.
    pub fn new(limit: Memory, rows: usize, width: usize, head: &HeadParams, classes: usize) -> Self {
        let streamed = !limit.holds(rows, width);
        Self { limit, features: bytes_of(rows, width), solver: of_solver(head, width, classes), streamed }
    }
}

impl std::fmt::Display for MemoryUse {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let how = if self.streamed { "read from the cache whenever they are needed" } else { "held in memory" };
        let (features, limit, solver) = (size(self.features), size(self.limit.0), size(self.solver));
        write!(out, "{features} of features are {how}; a fit takes {solver} beside them; the limit is {limit}")
    }
}

impl std::str::FromStr for Memory {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refused = || Error::Parameter {
            name: "--memory",
            value: format!("'{text}'"),
            wanted: "give a size such as 512M or 8G, at least 16M",
        };
        let number = text.trim_end_matches(['B', 'b', 'i']);
        let (digits, unit) = match number.chars().last() {
            Some('k' | 'K') => (&number[..number.len() - 1], 1 << 10),
            Some('m' | 'M') => (&number[..number.len() - 1], 1 << 20),
            Some('g' | 'G') => (&number[..number.len() - 1], 1 << 30),
            Some('t' | 'T') => (&number[..number.len() - 1], 1u64 << 40),
            _ => (number, 1),
        };
        let bytes = digits.parse::<f64>().map_err(|_| refused())? * unit as f64;
        // Less would not hold a few blocks of rows.
        if bytes >= f64::from(16 << 20) && bytes < u64::MAX as f64 { Ok(Self(bytes as u64)) } else { Err(refused()) }
    }
}

/// What `/proc/meminfo` calls available.
fn available() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// What a control group has left; `None` without one, or without a bound.
fn group_left(folder: &str, limit: &str, usage: &str) -> Option<u64> {
    let read = |name: &str| std::fs::read_to_string(format!("{folder}/{name}")).ok()?.trim().parse::<u64>().ok();
    let limit = read(limit)?;
    // What files in the page cache take counts as used, but makes room when asked.
    Some(limit - read(usage).unwrap_or(0).min(limit / 2))
}

/// Bytes of n × d features in f32.
pub(crate) fn bytes_of(rows: usize, width: usize) -> u64 {
    (rows * width * size_of::<f32>()) as u64
}

/// Bytes that features take; none if they are read when they are needed.
pub(crate) fn of_features(features: &Features) -> u64 {
    if features.is_stored() { 0 } else { bytes_of(features.nrows(), features.ncols()) }
}

/// Bytes that one fit of a head takes beside the rows, roughly: parameters, the steps that L-BFGS remembers, a gradient for each part
/// of the rows, and the columns' products with their Cholesky factor.
pub(crate) fn of_solver(head: &HeadParams, width: usize, classes: usize) -> u64 {
    let parameters = (width * outputs(classes) * size_of::<f64>()) as u64;
    let products = if head.loss() == Loss::Hinge { 0 } else { 4 * bytes_of(width.min(4096), width.min(4096)) };
    (2 * 10 + 16 + 10) * parameters + products
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        for (text, bytes) in [("64M", 64 << 20), ("8G", 8 << 30), ("1.5GiB", 3 << 29), ("20000000", 20_000_000)] {
            assert_eq!(text.parse::<Memory>().unwrap().bytes(), bytes, "{text}");
        }
        for text in ["", "M", "-1G", "much", "1M", "nanG", "1e30G"] {
            assert!(text.parse::<Memory>().unwrap_err().to_string().contains("--memory"), "{text}");
        }
    }

    #[test]
    fn this_machine_has_some() {
        assert!(Memory::of_this_machine().bytes() > 1 << 20);
    }
}
