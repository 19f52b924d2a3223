//! Which stage a run was held up by, and what would help.

use super::StageSeconds;
use crate::engine::Precision;
use serde::Serialize;

/// A stage that was at work for less than this share of the time does not hold anything up.
const BUSY: f64 = 0.7;

/// What a run waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Reading files.
    Read,
    /// Decoding and scaling.
    Decode,
    /// The network.
    Forward,
    /// Writing the cache.
    Write,
}

/// How busy each stage was, and what to do about the busiest.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bottleneck {
    /// The stage that held up the others; none where nothing was busy most of the time.
    pub stage: Option<Stage>,
    /// Share of the decode workers' time that went into reading files, 0 to 1.
    pub read: f64,
    /// Share of their time that went into decoding and scaling.
    pub decode: f64,
    /// Share of the time that the network ran: of all workers on the CPU (which are the decode workers), of the clock on a GPU.
    pub forward: f64,
    /// Share of the time that the writer wrote.
    pub write: f64,
    /// What would make the run faster.
    pub advice: String,
}

/// Judges a run.
pub fn judge(seconds: &StageSeconds, on_gpu: bool, precision: Precision, faster: Option<Precision>) -> Bottleneck {
    let total = seconds.total.max(1e-9);
    let share = |work: f64, workers: usize| (work / workers.max(1) as f64 / total).min(1.0);
    let read = share(seconds.read, seconds.decode_workers);
    let decode = share((seconds.decode - seconds.read).max(0.0), seconds.decode_workers);
    let forward = share(seconds.forward, seconds.forward_workers);
    let write = share(seconds.write, 1);
    // On the CPU one set of workers does all but the writing, so that they are busy together, and the stage that takes most of
    // their time is what holds up the others; on a GPU decoding and the network do not take anything from each other.
    let stages = [(Stage::Read, read), (Stage::Decode, decode), (Stage::Forward, forward), (Stage::Write, write)];
    let (largest, share) = stages.into_iter().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or(stages[0]);
    let busy = match largest {
        Stage::Write => write,
        Stage::Forward if on_gpu => forward,
        Stage::Forward => read + decode + forward,
        _ if on_gpu => read + decode,
        _ => read + decode + forward,
    };
    let stage = (busy >= BUSY).then_some(largest);
    let advice = match stage {
        None => {
            "no stage was at work all the time; a larger --batch, or more images at once, gives them more to do".into()
        }
        Some(Stage::Read) => {
            "copy the images to a disk of this machine; on a network folder more --threads read more at once".into()
        }
        Some(Stage::Decode) => format!(
            "{}--fast-decode where photos are at least twice as large as the input; smaller copies of the images",
            if on_gpu { "more cores (--threads); " } else { "" }
        ),
        Some(Stage::Forward) => forward_advice(on_gpu, precision, faster),
        Some(Stage::Write) => format!(
            "write {:.0} % of the time: -o on a faster disk, --store f16, or pooled layers instead of maps",
            100.0 * share
        ),
    };
    Bottleneck { stage, read, decode, forward, write, advice }
}

fn forward_advice(on_gpu: bool, precision: Precision, faster: Option<Precision>) -> String {
    let dtype = match faster {
        Some(faster) if faster != precision => format!("--dtype {faster}; "),
        _ => String::new(),
    };
    let rest = if on_gpu {
        "a larger --batch; a shallower layer or a smaller backbone"
    } else {
        "a GPU; a shallower layer or a smaller backbone"
    };
    format!("{dtype}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(read: f64, decode: f64, forward: f64, write: f64, forward_workers: usize) -> StageSeconds {
        StageSeconds {
            read,
            decode,
            forward,
            write,
            total: 10.0,
            decode_workers: 4,
            forward_workers,
            ..StageSeconds::default()
        }
    }

    #[test]
    fn workers_of_a_cpu_are_busy_with_everything() {
        let judged = judge(&seconds(1.0, 9.0, 29.0, 1.0, 4), false, Precision::F32, Some(Precision::Bf16));
        assert_eq!(judged.stage, Some(Stage::Forward));
        assert!(judged.advice.starts_with("--dtype bf16"), "{}", judged.advice);
        assert!((judged.decode - 0.2).abs() < 1e-9 && (judged.forward - 0.725).abs() < 1e-9);
        let judged = judge(&seconds(1.0, 25.0, 14.0, 1.0, 4), false, Precision::F32, None);
        assert_eq!(judged.stage, Some(Stage::Decode));
    }

    #[test]
    fn a_gpu_waits_for_images_or_they_for_it() {
        let judged = judge(&seconds(1.0, 39.0, 3.0, 1.0, 1), true, Precision::F16, Some(Precision::F16));
        assert_eq!((judged.stage, judged.forward), (Some(Stage::Decode), 0.3));
        assert!(judged.advice.contains("--threads"));
        let judged = judge(&seconds(1.0, 20.0, 9.5, 1.0, 1), true, Precision::F32, Some(Precision::F16));
        assert_eq!(judged.stage, Some(Stage::Forward));
        assert!(judged.advice.starts_with("--dtype f16"));
    }

    #[test]
    fn slow_files_and_disks_are_told_apart_from_slow_decoding() {
        assert_eq!(judge(&seconds(30.0, 36.0, 2.0, 1.0, 4), false, Precision::F32, None).stage, Some(Stage::Read));
        assert_eq!(judge(&seconds(1.0, 6.0, 2.0, 9.0, 4), false, Precision::F32, None).stage, Some(Stage::Write));
        assert_eq!(judge(&seconds(1.0, 6.0, 2.0, 1.0, 4), false, Precision::F32, None).stage, None);
    }
}
