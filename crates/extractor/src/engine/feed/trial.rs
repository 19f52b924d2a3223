//! Whether streams and events do here what a feed relies on, found out before it is relied on: some bytes go to the device and back,
//! and a libtorch that computes on another stream than is thought here would read them before they have come, or hand back what is not
//! computed yet.

use super::{Feed, FeedError};
use crate::engine::cudart::{COMPUTE, Pinned};
use std::sync::{Mutex, PoisonError};
use tch::{Kind, Tensor};

/// Bytes that are sent, and how often: enough that copies take longer than asking for them does.
const BYTES: usize = 1 << 22;
const ROUNDS: u8 = 3;

/// Tries each device once.
pub fn once(feed: &Feed, index: usize) -> Result<(), FeedError> {
    static GOOD: Mutex<Vec<usize>> = Mutex::new(Vec::new());
    let mut good = GOOD.lock().unwrap_or_else(PoisonError::into_inner);
    if !good.contains(&index) {
        run(feed)?;
        good.push(index);
    }
    Ok(())
}

/// Tries the device of a feed that has no batch yet.
pub fn run(feed: &Feed) -> Result<(), FeedError> {
    let mut there = Pinned::<u8>::zeros(feed.functions, BYTES)?;
    let mut back = Pinned::<f32>::zeros(feed.functions, BYTES)?;
    let place = Tensor::f_zeros([BYTES as i64], (Kind::Uint8, feed.engine.device()))?;
    for round in 1..=ROUNDS {
        there.fill(round);
        let outcome = there_and_back(feed, &there, &place, &mut back);
        // What was begun reads and writes all three.
        feed.functions.synchronize()?;
        outcome?;
        if back.iter().any(|&value| value != f32::from(round) + 1.0) {
            return Err(FeedError::Order);
        }
    }
    Ok(())
}

/// Bytes to a place on the device, one more than each of them back.
fn there_and_back(feed: &Feed, there: &[u8], place: &Tensor, back: &mut [f32]) -> Result<(), FeedError> {
    let (functions, uploads, slot) = (feed.functions, feed.uploads.handle, &feed.slots[0]);
    slot.consumed.record(COMPUTE)?;
    functions.wait(uploads, &slot.consumed)?;
    // SAFETY: as many bytes are there, and the caller keeps all of it until the device is done.
    unsafe { functions.upload(place.data_ptr(), there, uploads) }?;
    slot.uploaded.record(uploads)?;
    functions.wait(COMPUTE, &slot.uploaded)?;
    let values = place.f_to_kind(Kind::Float)?.f_add_scalar(1)?;
    // SAFETY: likewise.
    unsafe { functions.download(back, values.data_ptr(), COMPUTE) }?;
    slot.done.record(COMPUTE)?;
    Ok(slot.done.synchronize()?)
}
