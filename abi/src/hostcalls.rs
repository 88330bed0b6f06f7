//! The hostcalls, each as the specification has it.

use core::fmt;
use core::ops::Deref;
use core::ptr::null_mut;
use std::cell::RefCell;

use crate::buffers::Buffers;

/// What a hostcall returned, other than success (`proxy_status_t`).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Status(u32);

impl Status {
    /// There is no data.
    pub const EMPTY: Self = Self(7);
    /// The host did what it never does.
    pub const INTERNAL_FAILURE: Self = Self(10);
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status {}", self.0)
    }
}

fn done(status: u32) -> Result<(), Status> {
    if status == 0 { Ok(()) } else { Err(Status(status)) }
}

/// A map of header fields (`proxy_map_type_t`).
#[derive(Debug, Clone, Copy)]
pub enum Map {
    /// The headers of the request.
    RequestHeaders = 0,
    /// Its trailers.
    RequestTrailers = 1,
}

/// The level of a log line (`proxy_log_level_t`).
#[derive(Debug, Clone, Copy)]
pub enum Level {
    /// For information.
    Info = 2,
    /// Something looks wrong.
    Warn = 3,
    /// Something is wrong.
    Error = 4,
    /// The VM ends.
    Critical = 5,
}

/// The kind of a metric (`proxy_metric_type_t`).
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// It only goes up.
    Counter = 0,
    /// It has a value.
    Gauge = 1,
}

/// A metric that the host knows.
#[derive(Debug, Clone, Copy)]
pub struct Metric(u32);

/// What a plugin answers to a callback (`proxy_action_t`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The request goes on.
    Continue = 0,
    /// It stays here.
    Pause = 1,
}

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_log(level: u32, text: *const u8, length: usize) -> u32;
    fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32;
    fn proxy_get_buffer_bytes(buffer: u32, start: usize, most: usize, to: *mut *mut u8, length: *mut usize) -> u32;
    fn proxy_get_header_map_pairs(map: u32, to: *mut *mut u8, length: *mut usize) -> u32;
    fn proxy_add_header_map_value(map: u32, name: *const u8, of: usize, value: *const u8, length: usize) -> u32;
    fn proxy_replace_header_map_value(map: u32, name: *const u8, of: usize, value: *const u8, length: usize) -> u32;
    fn proxy_remove_header_map_value(map: u32, name: *const u8, of: usize) -> u32;
    fn proxy_get_property(path: *const u8, of: usize, to: *mut *mut u8, length: *mut usize) -> u32;
    fn proxy_set_property(path: *const u8, of: usize, value: *const u8, length: usize) -> u32;
    fn proxy_define_metric(kind: u32, name: *const u8, length: usize, metric: *mut u32) -> u32;
    safe fn proxy_set_effective_context(context: u32) -> u32;
    safe fn proxy_record_metric(metric: u32, value: u64) -> u32;
    safe fn proxy_increment_metric(metric: u32, by: i64) -> u32;
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_length: usize,
        body: *const u8,
        body_length: usize,
        headers: *const u8,
        headers_length: usize,
        grpc_status: i32,
    ) -> u32;
}

/// `proxy_log`: a line in the host's log.
pub fn log(level: Level, text: &str) {
    // SAFETY: the host reads the text while it is called.
    let _ = unsafe { proxy_log(level as u32, text.as_ptr(), text.len()) };
}

/// `proxy_set_effective_context`: the calls that follow are about this context, until the callback returns.
pub(crate) fn set_effective_context(context: u32) {
    let _ = proxy_set_effective_context(context);
}

/// Whether the host has this context. It is the effective one then.
pub(crate) fn is_a_context(context: u32) -> bool {
    const BAD_ARGUMENT: u32 = 2;
    proxy_set_effective_context(context) != BAD_ARGUMENT
}

/// `proxy_get_current_time_nanoseconds`, since 1970.
///
/// # Errors
/// As the host says.
pub fn current_time_nanoseconds() -> Result<u64, Status> {
    let mut time = 0;
    // SAFETY: the host writes to the variable while it is called.
    done(unsafe { proxy_get_current_time_nanoseconds(&raw mut time) })?;
    Ok(time)
}

/// `proxy_get_buffer_bytes`: a piece of the plugin's configuration, `most` bytes at most.
///
/// # Errors
/// As the host says.
pub fn configuration(start: usize, most: usize) -> Result<Handed, Status> {
    const PLUGIN_CONFIGURATION: u32 = 7;
    handed(|to, length| {
        // SAFETY: the host writes to the two variables while it is called.
        unsafe { proxy_get_buffer_bytes(PLUGIN_CONFIGURATION, start, most, to, length) }
    })
}

/// `proxy_get_header_map_pairs`: all pairs, as the ABI serializes them.
///
/// # Errors
/// As the host says.
pub fn header_pairs(map: Map) -> Result<Handed, Status> {
    handed(|to, length| {
        // SAFETY: the host writes to the two variables while it is called.
        unsafe { proxy_get_header_map_pairs(map as u32, to, length) }
    })
}

/// `proxy_add_header_map_value`: one more field.
///
/// # Errors
/// As the host says.
pub fn add_header(map: Map, name: &[u8], value: &[u8]) -> Result<(), Status> {
    // SAFETY: the host reads both while it is called.
    done(unsafe { proxy_add_header_map_value(map as u32, name.as_ptr(), name.len(), value.as_ptr(), value.len()) })
}

/// `proxy_replace_header_map_value`: this value in the place of all that the field has.
///
/// # Errors
/// As the host says.
pub fn replace_header(map: Map, name: &[u8], value: &[u8]) -> Result<(), Status> {
    // SAFETY: the host reads both while it is called.
    done(unsafe { proxy_replace_header_map_value(map as u32, name.as_ptr(), name.len(), value.as_ptr(), value.len()) })
}

/// `proxy_remove_header_map_value`: the field goes, with all values.
///
/// # Errors
/// As the host says.
pub fn remove_header(map: Map, name: &[u8]) -> Result<(), Status> {
    // SAFETY: the host reads the name while it is called.
    done(unsafe { proxy_remove_header_map_value(map as u32, name.as_ptr(), name.len()) })
}

/// `proxy_get_property`: an attribute, by its path with zeros between the parts.
///
/// # Errors
/// As the host says.
pub fn property(path: &[u8]) -> Result<Handed, Status> {
    handed(|to, length| {
        // SAFETY: the host reads the path, and writes to the two variables, while it is called.
        unsafe { proxy_get_property(path.as_ptr(), path.len(), to, length) }
    })
}

/// `proxy_set_property`: writes to filter state. Envoy puts `wasm.` before the name.
///
/// # Errors
/// As the host says.
pub fn set_property(path: &[u8], value: &[u8]) -> Result<(), Status> {
    // SAFETY: the host reads both while it is called.
    done(unsafe { proxy_set_property(path.as_ptr(), path.len(), value.as_ptr(), value.len()) })
}

/// `proxy_define_metric`: the metric of that name, which may be there already.
///
/// # Errors
/// As the host says.
pub fn define_metric(kind: Kind, name: &str) -> Result<Metric, Status> {
    let mut metric = 0;
    // SAFETY: the host reads the name, and writes to the variable, while it is called.
    done(unsafe { proxy_define_metric(kind as u32, name.as_ptr(), name.len(), &raw mut metric) })?;
    Ok(Metric(metric))
}

/// `proxy_record_metric`: sets a gauge.
///
/// # Errors
/// As the host says.
pub fn record_metric(metric: Metric, value: u64) -> Result<(), Status> {
    done(proxy_record_metric(metric.0, value))
}

/// `proxy_increment_metric`: counts one more.
///
/// # Errors
/// As the host says.
pub fn increment_metric(metric: Metric) -> Result<(), Status> {
    done(proxy_increment_metric(metric.0, 1))
}

/// `proxy_send_local_response`: answers the request. The headers are as the ABI serializes them.
///
/// # Errors
/// As the host says.
pub fn send_local_response(status: u16, headers: &[u8], body: &[u8]) -> Result<(), Status> {
    let none: &[u8] = &[];
    // SAFETY: the host reads headers and body while it is called.
    done(unsafe {
        proxy_send_local_response(
            status.into(),
            none.as_ptr(),
            none.len(),
            body.as_ptr(),
            body.len(),
            headers.as_ptr(),
            headers.len(),
            -1,
        )
    })
}

/// Ends the VM.
pub fn trap() -> ! {
    core::arch::wasm32::unreachable()
}

/// Bytes that the host handed over.
#[derive(Debug)]
pub struct Handed {
    buffer: Vec<u8>,
    length: usize,
}

impl Deref for Handed {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.buffer.get(..self.length).unwrap_or_default()
    }
}

impl AsRef<[u8]> for Handed {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for Handed {
    fn drop(&mut self) {
        BUFFERS.with(|buffers| buffers.keep(core::mem::take(&mut self.buffer)));
    }
}

/// Makes a call that hands something over.
fn handed(call: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Result<Handed, Status> {
    let (mut address, mut length) = (null_mut(), 0);
    done(call(&raw mut address, &raw mut length))?;
    if address.is_null() {
        return Ok(Handed { buffer: Vec::new(), length: 0 });
    }
    let buffer = BUFFERS.with(|buffers| buffers.take_back(address, length)).flatten();
    Ok(Handed { buffer: buffer.ok_or(Status::INTERNAL_FAILURE)?, length })
}

static BUFFERS: OneThread<Buffers> = OneThread::new(Buffers::new());

/// The host wants memory, during a call that hands something over.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    BUFFERS.with(|buffers| buffers.lend(size)).unwrap_or(null_mut())
}

/// A variable of the VM.
#[derive(Debug)]
pub(crate) struct OneThread<T>(RefCell<T>);

#[cfg(target_feature = "atomics")]
compile_error!("a VM of several threads has no `OneThread`");

// SAFETY: without the feature `atomics` there are no threads on wasm32.
unsafe impl<T> Sync for OneThread<T> {}

impl<T> OneThread<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(RefCell::new(value))
    }

    /// Uses the variable; `None` if it is in use, which it never is: no use makes a hostcall that comes back into the VM.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> Option<R> {
        self.0.try_borrow_mut().ok().map(|mut value| f(&mut value))
    }
}
