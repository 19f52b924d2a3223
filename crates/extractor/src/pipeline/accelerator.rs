//! The thread of one accelerator: it hands out a batch while the one before is computed, and takes the next as soon as it can.

use super::lanes::{Outcome, Output, timed};
use crate::{
    engine::{Engine, Feed},
    images::pixels::Pixels,
};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use std::{collections::VecDeque, time::Duration};

/// How often to look whether a batch is done while no other comes.
const LOOK: Duration = Duration::from_micros(200);

/// A batch for an accelerator, and where its values go.
pub struct Job {
    pub pixels: Pixels,
    pub out: Sender<(usize, Outcome)>,
}

impl Job {
    /// Nobody listens any more when the run has failed elsewhere.
    fn answer(out: &Sender<(usize, Outcome)>, outcome: Outcome) {
        drop(out.send((0, outcome)));
    }
}

/// Computes what is waiting until nothing more can come.
pub fn serve(engine: &Engine, waiting: &Receiver<Job>) {
    match Feed::new(engine) {
        Ok(feed) => overlapped(feed, waiting),
        Err(reason) => {
            if engine.device().is_cuda() {
                tracing::warn!("the GPU waits for copies, since they cannot be made beside its work: {reason}");
            }
            for Job { pixels, out } in waiting {
                Job::answer(&out, timed(engine, &pixels));
            }
        }
    }
}

/// Computes what is waiting, with a second batch on its way to the device.
pub fn overlapped(mut feed: Feed, waiting: &Receiver<Job>) {
    let mut answers: VecDeque<Sender<(usize, Outcome)>> = VecDeque::new();
    loop {
        let job = if feed.is_full() {
            None
        } else if feed.is_empty() {
            match waiting.recv() {
                Ok(job) => Some(job),
                Err(_) => return,
            }
        } else {
            // A batch that comes while another is computed is to be on its way before that is done.
            match waiting.recv_timeout(LOOK) {
                Ok(job) => Some(job),
                Err(RecvTimeoutError::Timeout) if !feed.is_ready() => continue,
                Err(_) => None,
            }
        };
        match job {
            Some(Job { pixels, out }) => match feed.start(pixels) {
                Ok(()) => answers.push_back(out),
                Err(error) => Job::answer(&out, Err(error)),
            },
            None => {
                if let (Some(outcome), Some(out)) = (feed.finish(), answers.pop_front()) {
                    let output = outcome.map(|fed| Output { values: fed.values, seconds: fed.seconds });
                    Job::answer(&out, output);
                }
            }
        }
    }
}
