//! What libtorch does not show of CUDA: streams, events, memory that a GPU reads and writes by itself, and copies that return
//! before they are done. The functions are those of CUDA's runtime library, which libtorch has loaded, and are looked up when they
//! are first needed; signatures and constants are those of cuda_runtime_api.h and driver_types.h.

use std::{
    ffi::{CStr, c_char, c_int, c_uint, c_void},
    ops::{Deref, DerefMut},
    ptr::null_mut,
    sync::OnceLock,
};

/// `cudaError_t`; 0 is success.
pub type Status = c_int;
/// `cudaStream_t` or `cudaEvent_t`.
pub type Handle = *mut c_void;

/// The stream that libtorch computes on: a thread that has chosen no other computes on the device's default stream, which is the
/// null handle.
pub const COMPUTE: Handle = null_mut();

/// `cudaStreamNonBlocking`: does not wait for the default stream by itself.
const NON_BLOCKING: c_uint = 1;
/// `cudaEventBlockingSync | cudaEventDisableTiming`: who waits for it sleeps, since images are to be decoded meanwhile.
const SLEEP_NO_TIMING: c_uint = 1 | 2;
/// `cudaHostAllocPortable`: for all GPUs.
const PORTABLE: c_uint = 1;
/// `cudaErrorNotReady`.
const NOT_READY: Status = 600;
/// `cudaMemcpyHostToDevice`.
const TO_DEVICE: c_int = 1;
/// `cudaMemcpyDeviceToHost`.
const TO_HOST: c_int = 2;

/// The functions of the runtime library that are used here.
pub struct Functions {
    pub set_device: unsafe extern "C" fn(c_int) -> Status,
    pub device_synchronize: unsafe extern "C" fn() -> Status,
    pub stream_create: unsafe extern "C" fn(*mut Handle, c_uint) -> Status,
    pub stream_destroy: unsafe extern "C" fn(Handle) -> Status,
    pub stream_wait_event: unsafe extern "C" fn(Handle, Handle, c_uint) -> Status,
    pub event_create: unsafe extern "C" fn(*mut Handle, c_uint) -> Status,
    pub event_destroy: unsafe extern "C" fn(Handle) -> Status,
    pub event_record: unsafe extern "C" fn(Handle, Handle) -> Status,
    pub event_query: unsafe extern "C" fn(Handle) -> Status,
    pub event_synchronize: unsafe extern "C" fn(Handle) -> Status,
    pub memcpy_async: unsafe extern "C" fn(*mut c_void, *const c_void, usize, c_int, Handle) -> Status,
    pub host_alloc: unsafe extern "C" fn(*mut *mut c_void, usize, c_uint) -> Status,
    pub free_host: unsafe extern "C" fn(*mut c_void) -> Status,
    pub get_last_error: unsafe extern "C" fn() -> Status,
    pub get_error_string: unsafe extern "C" fn(Status) -> *const c_char,
}

/// Why a call failed, in the library's words.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{function}: {reason}")]
pub struct CudaError {
    function: &'static str,
    reason: String,
}

impl Functions {
    /// Those of the library that is loaded.
    ///
    /// # Errors
    /// When there is none, or it lacks one of them.
    pub fn loaded() -> Result<&'static Self, CudaError> {
        static FOUND: OnceLock<Result<Functions, CudaError>> = OnceLock::new();
        FOUND.get_or_init(Self::find).as_ref().map_err(Clone::clone)
    }

    fn find() -> Result<Self, CudaError> {
        let process = libloading::os::unix::Library::this();
        macro_rules! function {
            ($name:literal) => {
                // SAFETY: the signature is the one that the header gives for this name (the field's type).
                *unsafe { process.get($name.as_bytes()) }
                    .map_err(|error| CudaError { function: $name, reason: error.to_string() })?
            };
        }
        Ok(Self {
            set_device: function!("cudaSetDevice"),
            device_synchronize: function!("cudaDeviceSynchronize"),
            stream_create: function!("cudaStreamCreateWithFlags"),
            stream_destroy: function!("cudaStreamDestroy"),
            stream_wait_event: function!("cudaStreamWaitEvent"),
            event_create: function!("cudaEventCreateWithFlags"),
            event_destroy: function!("cudaEventDestroy"),
            event_record: function!("cudaEventRecord"),
            event_query: function!("cudaEventQuery"),
            event_synchronize: function!("cudaEventSynchronize"),
            memcpy_async: function!("cudaMemcpyAsync"),
            host_alloc: function!("cudaHostAlloc"),
            free_host: function!("cudaFreeHost"),
            get_last_error: function!("cudaGetLastError"),
            get_error_string: function!("cudaGetErrorString"),
        })
    }

    /// The outcome of a call. The library keeps errors until they are asked for, and libtorch would take one for its own.
    fn check(&self, function: &'static str, status: Status) -> Result<(), CudaError> {
        if status == 0 {
            return Ok(());
        }
        // SAFETY: both only look at the library's state, and the text is a constant of it.
        let text = unsafe {
            (self.get_last_error)();
            (self.get_error_string)(status)
        };
        let reason = if text.is_null() {
            format!("error {status}")
        } else {
            // SAFETY: the library's texts end with a zero and stay where they are.
            unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
        };
        Err(CudaError { function, reason })
    }

    /// What the calling thread does from here on concerns this device.
    pub fn set_device(&self, index: usize) -> Result<(), CudaError> {
        let index = c_int::try_from(index).unwrap_or(c_int::MAX);
        // SAFETY: a number is all it takes.
        self.check("cudaSetDevice", unsafe { (self.set_device)(index) })
    }

    /// Waits until the device has done all that it was given.
    pub fn synchronize(&self) -> Result<(), CudaError> {
        // SAFETY: takes nothing.
        self.check("cudaDeviceSynchronize", unsafe { (self.device_synchronize)() })
    }

    /// Has `stream` go on only when `event` has happened, as it was last recorded; the caller does not wait.
    pub fn wait(&self, stream: Handle, event: &Event) -> Result<(), CudaError> {
        // SAFETY: handles that the library gave out and that are not destroyed yet.
        self.check("cudaStreamWaitEvent", unsafe { (self.stream_wait_event)(stream, event.handle, 0) })
    }

    /// Copies to the device in the order of `stream`; returns before it is done at least where the host's memory is [`Pinned`].
    ///
    /// # Safety
    /// `to` points at as many bytes on the device; both they and `from` stay as they are until the copy is done.
    pub unsafe fn upload(&self, to: *mut c_void, from: &[u8], stream: Handle) -> Result<(), CudaError> {
        // SAFETY: as the caller promises.
        let status = unsafe { (self.memcpy_async)(to, from.as_ptr().cast(), from.len(), TO_DEVICE, stream) };
        self.check("cudaMemcpyAsync", status)
    }

    /// Copies from the device in the order of `stream`; returns before it is done at least where the host's memory is [`Pinned`].
    ///
    /// # Safety
    /// `from` points at as many numbers on the device, which stay as they are until the copy is done; nobody looks at `to` before.
    pub unsafe fn download(&self, to: &mut [f32], from: *const c_void, stream: Handle) -> Result<(), CudaError> {
        // SAFETY: as the caller promises.
        let status = unsafe { (self.memcpy_async)(to.as_mut_ptr().cast(), from, size_of_val(to), TO_HOST, stream) };
        self.check("cudaMemcpyAsync", status)
    }
}

/// A queue of work on the device beside the one that libtorch computes on.
pub struct Stream {
    functions: &'static Functions,
    pub handle: Handle,
}

impl Stream {
    /// On the thread's device.
    pub fn new(functions: &'static Functions) -> Result<Self, CudaError> {
        let mut handle = null_mut();
        // SAFETY: the pointer is valid for the call.
        let status = unsafe { (functions.stream_create)(&mut handle, NON_BLOCKING) };
        functions.check("cudaStreamCreateWithFlags", status).map(|()| Self { functions, handle })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: nobody uses the handle any more; the library finishes what is queued by itself.
        unsafe { (self.functions.stream_destroy)(self.handle) };
    }
}

/// A mark in a stream that others can wait for.
pub struct Event {
    functions: &'static Functions,
    handle: Handle,
}

impl Event {
    /// On the thread's device; as if it had happened already.
    pub fn new(functions: &'static Functions) -> Result<Self, CudaError> {
        let mut handle = null_mut();
        // SAFETY: the pointer is valid for the call.
        let status = unsafe { (functions.event_create)(&mut handle, SLEEP_NO_TIMING) };
        functions.check("cudaEventCreateWithFlags", status).map(|()| Self { functions, handle })
    }

    /// Happens when all that `stream` was given so far is done.
    pub fn record(&self, stream: Handle) -> Result<(), CudaError> {
        // SAFETY: handles that the library gave out and that are not destroyed yet.
        self.functions.check("cudaEventRecord", unsafe { (self.functions.event_record)(self.handle, stream) })
    }

    /// Whether it has happened.
    pub fn has_happened(&self) -> Result<bool, CudaError> {
        // SAFETY: a handle that the library gave out and that is not destroyed yet.
        match unsafe { (self.functions.event_query)(self.handle) } {
            NOT_READY => {
                // SAFETY: takes nothing. The library counts this among its errors.
                unsafe { (self.functions.get_last_error)() };
                Ok(false)
            }
            status => self.functions.check("cudaEventQuery", status).map(|()| true),
        }
    }

    /// Waits for it.
    pub fn synchronize(&self) -> Result<(), CudaError> {
        // SAFETY: a handle that the library gave out and that is not destroyed yet.
        self.functions.check("cudaEventSynchronize", unsafe { (self.functions.event_synchronize)(self.handle) })
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: nobody uses the handle any more; the library waits with what is queued by itself.
        unsafe { (self.functions.event_destroy)(self.handle) };
    }
}

/// Types of which all bits zero are a value, so that cleared memory holds some.
pub trait Number: Copy + Send + Sync {}
impl Number for u8 {}
impl Number for f32 {}

/// Memory of the host that stays in its place, so that a GPU can read and write it while nobody waits.
pub struct Pinned<T: Number> {
    functions: &'static Functions,
    start: *mut T,
    len: usize,
}

// SAFETY: it owns its memory, as a Vec does, and the library takes it back from any thread.
unsafe impl<T: Number> Send for Pinned<T> {}
// SAFETY: shared references only read.
unsafe impl<T: Number> Sync for Pinned<T> {}

impl<T: Number> Pinned<T> {
    /// As many zeros.
    ///
    /// # Errors
    /// When the system does not spare that much memory for it.
    pub fn zeros(functions: &'static Functions, len: usize) -> Result<Self, CudaError> {
        let bytes = len * size_of::<T>();
        let mut start = null_mut();
        // SAFETY: the pointer is valid for the call; the library refuses a size of 0 or gives a null pointer.
        functions.check("cudaHostAlloc", unsafe { (functions.host_alloc)(&mut start, bytes, PORTABLE) })?;
        if !start.is_null() {
            // SAFETY: that many bytes are there, and all types here may be all zeros.
            unsafe { start.cast::<u8>().write_bytes(0, bytes) };
        }
        Ok(Self { functions, start: start.cast(), len: if start.is_null() { 0 } else { len } })
    }
}

impl<T: Number> Deref for Pinned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        if self.len == 0 {
            return &[];
        }
        // SAFETY: that many values are there, written once at least, until this is dropped; pages begin at multiples of any size here.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }
}

impl<T: Number> DerefMut for Pinned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        if self.len == 0 {
            return &mut [];
        }
        // SAFETY: as above, and nobody else looks.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.len) }
    }
}

impl<T: Number> Drop for Pinned<T> {
    fn drop(&mut self) {
        // SAFETY: the library gave it out, and takes null too.
        unsafe { (self.functions.free_host)(self.start.cast()) };
    }
}
