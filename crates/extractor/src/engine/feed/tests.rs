//! Feeds on a simulated runtime library, with an engine on the CPU behind them.

use super::{simulated, *};
use crate::{
    backbone::{Backbone, WeightsChoice},
    engine::Precision,
};

/// LeNet with a pooled map, a map as it is, and vectors.
fn engine() -> Engine {
    let weights: WeightsChoice = "random:0".parse().unwrap();
    let mut backbone = Backbone::describe("lenet5", &weights, None, None).unwrap();
    backbone.read_weights().unwrap();
    let layers = ["conv1:gap", "conv2:raw", "fc1"].map(|layer| layer.parse().unwrap());
    let taps = backbone.select(&layers).unwrap();
    Engine::new(&backbone.graph, &taps, &backbone.weights, &backbone.preprocessing, Device::Cpu, Precision::F32)
        .unwrap()
}

fn fill(pixels: &mut [u8], batch: usize) {
    pixels.iter_mut().enumerate().for_each(|(at, pixel)| *pixel = ((at + 1) * (batch + 7) % 251) as u8);
}

/// Ordinary memory, or memory that the simulated library can read by itself.
fn buffers(pinned: bool) -> Buffers {
    if !pinned {
        return Buffers::default();
    }
    Buffers::new(|bytes| Box::new(Pinned::<u8>::zeros(&simulated::FUNCTIONS, bytes).unwrap()))
}

fn same(found: &[Vec<f32>], expected: &[Vec<f32>]) -> bool {
    let close = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-5 * b.abs().max(1.0);
    found.iter().map(Vec::len).eq(expected.iter().map(Vec::len))
        && found.iter().flatten().zip(expected.iter().flatten()).all(close)
}

/// Sends batches of these sizes through a feed and compares what comes out with [`Engine::run`].
fn runs(engine: &Engine, sizes: &[usize], pinned: bool) {
    let mut feed = Feed::simulated(engine);
    let buffers = buffers(pinned);
    // What each batch gives, and where its pixels are.
    let (mut finished, mut expected) = (0, Vec::new());
    let mut finish = |feed: &mut Feed, expected: &[(Vec<Vec<f32>>, *const u8)]| {
        let Fed { values, seconds } = feed.finish().unwrap().unwrap();
        assert!(same(&values, &expected[finished].0), "batch {finished}");
        assert!(seconds > 0.0);
        finished += 1;
        finished
    };
    let mut done = 0;
    for (batch, &images) in sizes.iter().enumerate() {
        let mut pixels = buffers.take(images * engine.image_bytes());
        // The memory may be that of a batch before, but not of one that the GPU has.
        let under_way = |(_, memory): &(_, *const u8)| *memory == pixels.as_ptr();
        assert!(!expected[done..].iter().any(under_way), "batch {batch} overwrites another");
        fill(&mut pixels, batch);
        expected.push((engine.run(&pixels).unwrap(), pixels.as_ptr()));
        if feed.is_full() {
            done = finish(&mut feed, &expected);
        }
        feed.start(pixels).unwrap();
    }
    while !feed.is_empty() {
        done = finish(&mut feed, &expected);
    }
    assert_eq!(done, sizes.len());
    assert!(feed.finish().is_none());
    assert_eq!(simulated::violations(), Vec::<String>::new());
}

#[test]
fn batches_give_what_they_give_alone_whatever_overlaps() {
    let engine = engine();
    for pinned in [false, true] {
        runs(&engine, &[4, 4, 4, 4, 4, 3], pinned);
        runs(&engine, &[1, 5, 2, 6, 7, 7, 1], pinned);
    }
}

#[test]
fn memory_that_cannot_be_pinned_is_done_without() {
    let engine = engine();
    for calls in 0..4 {
        simulated::fail("cudaHostAlloc", calls);
        runs(&engine, &[3, 3, 3, 4], false);
        // Else libtorch would find it and stop.
        assert!(!simulated::has_error());
    }
}

#[test]
fn failures_are_told_and_leave_nothing_under_way() {
    let engine = engine();
    simulated::fail("cudaStreamCreateWithFlags", 0);
    let error = Feed::with(&engine, &simulated::FUNCTIONS, 0).err().unwrap();
    assert_eq!(error.to_string(), "cudaStreamCreateWithFlags: out of memory");
    for function in ["cudaMemcpyAsync", "cudaEventRecord", "cudaStreamWaitEvent"] {
        for calls in 0..3 {
            let mut feed = Feed::simulated(&engine);
            simulated::fail(function, calls);
            let buffers = buffers(true);
            let mut outcome = Ok(());
            for _ in 0..2 {
                outcome = outcome.and_then(|()| feed.start(buffers.take(2 * engine.image_bytes())));
            }
            let error = outcome.unwrap_err();
            assert!(matches!(error, EngineError::OutOfMemory { batch: 2 }), "{function} {calls}: {error}");
            assert!(!simulated::has_error() && !feed.is_full());
        }
    }
    let mut feed = Feed::simulated(&engine);
    feed.start(buffers(true).take(engine.image_bytes())).unwrap();
    simulated::fail("cudaEventSynchronize", 0);
    assert!(feed.finish().unwrap().is_err());
}

#[test]
fn a_trial_finds_nothing_wrong() {
    let engine = engine();
    let feed = Feed::simulated(&engine);
    trial::run(&feed).unwrap();
    assert_eq!(simulated::violations(), Vec::<String>::new());
    simulated::fail("cudaEventRecord", 1);
    assert_eq!(trial::run(&feed).unwrap_err().to_string(), "cudaEventRecord: out of memory");
}

#[test]
fn more_than_it_holds_is_refused() {
    let engine = engine();
    let mut feed = Feed::simulated(&engine);
    let start = |feed: &mut Feed| feed.start(Buffers::default().take(engine.image_bytes()));
    (0..DEPTH).for_each(|_| start(&mut feed).unwrap());
    assert!(feed.is_full() && start(&mut feed).is_err());
}

/// libtorch's CPU half needs the runtime library too, so it is here; what it says depends on whether there is a GPU.
#[test]
fn the_functions_are_in_the_library_that_libtorch_loads() {
    assert!(tch::get_num_threads() > 0);
    let functions = Functions::loaded().unwrap();
    if let Err(error) = functions.set_device(4000) {
        assert!(error.to_string().starts_with("cudaSetDevice: "), "{error}");
    } else {
        panic!("no machine has 4000 GPUs");
    }
    if tch::Cuda::device_count() == 0 {
        assert!(Event::new(functions).is_err() && Stream::new(functions).is_err());
        let error = Pinned::<u8>::zeros(functions, 8).err().unwrap();
        assert!(error.to_string().starts_with("cudaHostAlloc: "), "{error}");
    }
}
