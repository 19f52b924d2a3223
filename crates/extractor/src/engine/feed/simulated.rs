//! CUDA's runtime library as far as a feed uses it, on a machine without a GPU. Streams are threads that take their time over every
//! copy, the memory of the device is that of the processor, and what libtorch computes it computes at once, in the calling thread.
//! So values are wrong where something is read too early or given away too early. Writing over pixels that are still computed with
//! cannot show that way, so clocks are kept: an upload must come after everything that reads what was there.
//!
//! Each thread has a device of its own.

use super::super::cudart::{Functions, Handle, Status};
use crossbeam_channel::{Sender, bounded, unbounded};
use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, HashSet},
    ffi::{c_char, c_int, c_uint, c_void},
    sync::{Arc, Condvar, Mutex},
    thread::sleep,
    time::Duration,
};

/// The library.
pub static FUNCTIONS: Functions = Functions {
    set_device,
    device_synchronize,
    stream_create,
    stream_destroy,
    stream_wait_event,
    event_create,
    event_destroy,
    event_record,
    event_query,
    event_synchronize,
    memcpy_async,
    host_alloc,
    free_host,
    get_last_error,
    get_error_string,
};

const OUT_OF_MEMORY: Status = 2;
const NOT_READY: Status = 600;
const COPY: Duration = Duration::from_millis(2);

type Work = Box<dyn FnOnce() + Send>;
/// For each stream, how much of it has been waited for.
type Clock = HashMap<usize, u64>;

/// What happens in the order it was given.
struct Stream {
    queue: Sender<Work>,
    clock: Clock,
}

impl Stream {
    fn new() -> Self {
        let (queue, work) = unbounded::<Work>();
        std::thread::spawn(move || work.iter().for_each(|work| work()));
        Self { queue, clock: Clock::new() }
    }

    fn give(&self, work: impl FnOnce() + Send + 'static) {
        self.queue.send(Box::new(work)).unwrap();
    }
}

/// How often it was recorded, and how many of these have happened.
#[derive(Default)]
struct Event {
    recorded: u64,
    happened: Arc<(Mutex<u64>, Condvar)>,
    clock: Clock,
}

/// Waits until that many have happened.
fn await_event((count, changed): &(Mutex<u64>, Condvar), wanted: u64) {
    let mut count = count.lock().unwrap();
    while *count < wanted {
        count = changed.wait(count).unwrap();
    }
}

/// One of CUDA's devices with what is in use of it; streams and events by their handles.
#[derive(Default)]
struct Device {
    streams: HashMap<usize, Stream>,
    events: HashMap<usize, Event>,
    handles: usize,
    /// Where pixels were uploaded to since the compute stream last recorded an event.
    unread: HashSet<usize>,
    /// When the compute stream was done reading them.
    read: HashMap<usize, u64>,
    /// What must not have happened.
    violations: Vec<String>,
}

impl Device {
    fn stream(&mut self, handle: Handle) -> &mut Stream {
        self.streams.entry(handle as usize).or_insert_with(Stream::new)
    }

    fn handle(&mut self) -> usize {
        self.handles += 1;
        self.handles
    }
}

thread_local! {
    static DEVICE: RefCell<Device> = RefCell::default();
    static LAST_ERROR: Cell<Status> = const { Cell::new(0) };
    static FAILS: Cell<Option<(&'static str, usize)>> = const { Cell::new(None) };
}

/// From now on the call of `function` that comes after `calls` others fails, once.
pub fn fail(function: &'static str, calls: usize) {
    FAILS.set(Some((function, calls)));
}

/// Whether an error was made that nobody asked for.
pub fn has_error() -> bool {
    LAST_ERROR.get() != 0
}

/// What this thread's device was made to do that it must not.
pub fn violations() -> Vec<String> {
    DEVICE.with_borrow_mut(|device| std::mem::take(&mut device.violations))
}

/// The status that a call of this function is to return.
fn outcome(function: &'static str) -> Status {
    match FAILS.get() {
        Some((failing, 0)) if failing == function => {
            FAILS.set(None);
            LAST_ERROR.set(OUT_OF_MEMORY);
            OUT_OF_MEMORY
        }
        Some((failing, calls)) if failing == function => {
            FAILS.set(Some((failing, calls - 1)));
            0
        }
        _ => 0,
    }
}

unsafe extern "C" fn set_device(_: c_int) -> Status {
    outcome("cudaSetDevice")
}

unsafe extern "C" fn device_synchronize() -> Status {
    let waits = DEVICE.with_borrow_mut(|device| {
        let wait = |stream: &Stream| {
            let (done, reached) = bounded::<()>(1);
            stream.give(move || drop(done));
            reached
        };
        device.streams.values().map(wait).collect::<Vec<_>>()
    });
    // Nothing is sent: the other end goes away.
    waits.into_iter().for_each(|reached| assert!(reached.recv().is_err()));
    outcome("cudaDeviceSynchronize")
}

unsafe extern "C" fn stream_create(handle: *mut Handle, _: c_uint) -> Status {
    let status = outcome("cudaStreamCreateWithFlags");
    if status == 0 {
        let made = DEVICE.with_borrow_mut(Device::handle);
        // SAFETY: the caller's pointer is valid.
        unsafe { *handle = made as Handle };
    }
    status
}

unsafe extern "C" fn stream_destroy(handle: Handle) -> Status {
    DEVICE.with_borrow_mut(|device| drop(device.streams.remove(&(handle as usize))));
    0
}

unsafe extern "C" fn stream_wait_event(stream: Handle, event: Handle, _: c_uint) -> Status {
    let (happened, wanted) = DEVICE.with_borrow_mut(|device| {
        let Event { recorded, happened, clock } = &device.events[&(event as usize)];
        let (recorded, happened, clock) = (*recorded, happened.clone(), clock.clone());
        let own = &mut device.stream(stream).clock;
        clock.into_iter().for_each(|(other, time)| {
            let known = own.entry(other).or_default();
            *known = time.max(*known);
        });
        (happened, recorded)
    });
    if stream.is_null() {
        await_event(&happened, wanted);
    } else {
        DEVICE.with_borrow_mut(|device| device.stream(stream).give(move || await_event(&happened, wanted)));
    }
    outcome("cudaStreamWaitEvent")
}

unsafe extern "C" fn event_create(handle: *mut Handle, _: c_uint) -> Status {
    let made = DEVICE.with_borrow_mut(|device| {
        let made = device.handle();
        device.events.insert(made, Event::default());
        made
    });
    // SAFETY: the caller's pointer is valid.
    unsafe { *handle = made as Handle };
    outcome("cudaEventCreateWithFlags")
}

unsafe extern "C" fn event_destroy(handle: Handle) -> Status {
    DEVICE.with_borrow_mut(|device| drop(device.events.remove(&(handle as usize))));
    0
}

unsafe extern "C" fn event_record(event: Handle, stream: Handle) -> Status {
    let status = outcome("cudaEventRecord");
    if status != 0 {
        return status;
    }
    DEVICE.with_borrow_mut(|device| {
        let id = stream as usize;
        let own = device.stream(stream);
        *own.clock.entry(id).or_default() += 1;
        let clock = own.clock.clone();
        if stream.is_null() {
            let now = clock[&id];
            let unread = std::mem::take(&mut device.unread);
            device.read.extend(unread.into_iter().map(|place| (place, now)));
        }
        let event = device.events.get_mut(&(event as usize)).unwrap();
        event.recorded += 1;
        event.clock = clock;
        let (number, happened) = (event.recorded, event.happened.clone());
        device.stream(stream).give(move || {
            *happened.0.lock().unwrap() = number;
            happened.1.notify_all();
        });
    });
    0
}

unsafe extern "C" fn event_query(event: Handle) -> Status {
    let happened = DEVICE.with_borrow(|device| {
        let event = &device.events[&(event as usize)];
        *event.happened.0.lock().unwrap() == event.recorded
    });
    if happened {
        return outcome("cudaEventQuery");
    }
    // The library counts this among its errors.
    LAST_ERROR.set(NOT_READY);
    NOT_READY
}

unsafe extern "C" fn event_synchronize(event: Handle) -> Status {
    let (happened, wanted) = DEVICE.with_borrow(|device| {
        let event = &device.events[&(event as usize)];
        (event.happened.clone(), event.recorded)
    });
    await_event(&happened, wanted);
    outcome("cudaEventSynchronize")
}

/// A place in memory that another thread writes to or reads from.
#[derive(Clone, Copy)]
struct Place(usize);

unsafe extern "C" fn memcpy_async(
    to: *mut c_void,
    from: *const c_void,
    bytes: usize,
    kind: c_int,
    stream: Handle,
) -> Status {
    let status = outcome("cudaMemcpyAsync");
    if status != 0 {
        return status;
    }
    let (to, from) = (Place(to as usize), Place(from as usize));
    // SAFETY: both are valid for that long, until the copy is done: what is tested.
    let bytes_at = move |place: Place| unsafe { std::slice::from_raw_parts(place.0 as *const u8, bytes) };
    // SAFETY: likewise, and nobody else looks.
    let write = move |bytes: &[u8]| unsafe { (to.0 as *mut u8).copy_from(bytes.as_ptr(), bytes.len()) };
    DEVICE.with_borrow_mut(|device| {
        if kind == 1 {
            let computed = device.stream(std::ptr::null_mut()).clock.get(&0).copied().unwrap_or(0);
            // Memory that is new may be computed with yet, whatever it was.
            let needed = device.read.get(&to.0).copied().unwrap_or(computed);
            let waited = device.stream(stream).clock.get(&0).copied().unwrap_or(0);
            if waited < needed || device.unread.contains(&to.0) {
                device.violations.push(format!("pixels are written over: read until {needed}, waited until {waited}"));
            }
            device.unread.insert(to.0);
            device.stream(stream).give(move || {
                sleep(COPY);
                write(bytes_at(from));
            });
        } else {
            // What is computed later may be put in the same place.
            let value = bytes_at(from).to_vec();
            device.stream(stream).give(move || {
                sleep(COPY);
                write(&value);
            });
        }
    });
    0
}

/// Start and bytes of pinned memory.
static ALLOCATED: Mutex<std::collections::BTreeMap<usize, usize>> = Mutex::new(std::collections::BTreeMap::new());

unsafe extern "C" fn host_alloc(start: *mut *mut c_void, bytes: usize, _: c_uint) -> Status {
    let status = outcome("cudaHostAlloc");
    if status == 0 {
        let memory = vec![u64::MAX; bytes.div_ceil(8)].leak();
        ALLOCATED.lock().unwrap().insert(memory.as_ptr() as usize, memory.len() * 8);
        // SAFETY: the caller's pointer is valid.
        unsafe { *start = memory.as_mut_ptr().cast() };
    }
    status
}

unsafe extern "C" fn free_host(start: *mut c_void) -> Status {
    if let Some(bytes) = ALLOCATED.lock().unwrap().remove(&(start as usize)) {
        // SAFETY: leaked above as a boxed slice of that many numbers.
        drop(unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(start.cast::<u64>(), bytes / 8)) });
    }
    0
}

unsafe extern "C" fn get_last_error() -> Status {
    LAST_ERROR.replace(0)
}

unsafe extern "C" fn get_error_string(_: Status) -> *const c_char {
    c"out of memory".as_ptr()
}
