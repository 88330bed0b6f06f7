//! The hostcalls of the request path, and all unsafe code of the filter.
//!
//! The SDK also has these calls, but:
//!
//! * It copies each header into two vectors, and serializes each reply a second time. That is most of the cost of a filter
//!   on the SDK (docs/performance.md). The SDK's work on the copies:
//!   <https://github.com/proxy-wasm/proxy-wasm-rust-sdk/pull/285>.
//! * Its replies have no details.
//!
//! All other calls use the SDK. The calls are specified in <https://github.com/proxy-wasm/spec>, "abi-versions/v0.2.1".
#![expect(unsafe_code, reason = "what the host reads and writes is memory, and no Rust value")]

use std::ptr::null_mut;

use proxy_wasm::types::MapType;

/// A hostcall failed: the host returned another status than OK (`proxy_status_t`).
#[derive(Debug)]
pub(super) struct Failed;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_get_header_map_pairs(map: MapType, to: *mut *mut u8, length: *mut usize) -> u32;
    fn proxy_add_header_map_value(map: MapType, name: *const u8, of: usize, value: *const u8, length: usize) -> u32;
    fn proxy_replace_header_map_value(map: MapType, name: *const u8, of: usize, value: *const u8, length: usize)
    -> u32;
    fn proxy_remove_header_map_value(map: MapType, name: *const u8, of: usize) -> u32;
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

fn done(status: u32) -> Result<(), Failed> {
    if status == 0 { Ok(()) } else { Err(Failed) }
}

/// Gets all pairs of a map, serialized for [`Headers::read`](crate::Headers::read).
pub(super) fn header_block(map: MapType) -> Result<Vec<u8>, Failed> {
    let (mut block, mut length) = (null_mut(), 0);
    // SAFETY: the host writes to the two variables, and only during the call.
    done(unsafe { proxy_get_header_map_pairs(map, &raw mut block, &raw mut length) })?;
    if block.is_null() {
        return Ok(Vec::new());
    }
    // SAFETY: the host returns memory that it allocated with the SDK's `proxy_on_memory_allocate`: a boxed slice of this
    // length, with no other owner.
    Ok(unsafe { Vec::from_raw_parts(block, length, length) })
}

/// Adds a header field.
pub(super) fn add_header(map: MapType, name: &[u8], value: &[u8]) -> Result<(), Failed> {
    // SAFETY: the host reads both texts, and only during the call.
    done(unsafe { proxy_add_header_map_value(map, name.as_ptr(), name.len(), value.as_ptr(), value.len()) })
}

/// Replaces all values of a header field with one value.
pub(super) fn replace_header(map: MapType, name: &[u8], value: &[u8]) -> Result<(), Failed> {
    // SAFETY: as above.
    done(unsafe { proxy_replace_header_map_value(map, name.as_ptr(), name.len(), value.as_ptr(), value.len()) })
}

/// Removes a header field with all its values.
pub(super) fn remove_header(map: MapType, name: &[u8]) -> Result<(), Failed> {
    // SAFETY: as above.
    done(unsafe { proxy_remove_header_map_value(map, name.as_ptr(), name.len()) })
}

/// Sends a local reply. `details` appears only in access logs. `headers` is serialized as in [`header_block`].
pub(super) fn send_local_response(status: u16, details: &str, headers: &[u8], body: &str) -> Result<(), Failed> {
    // For gRPC, Envoy derives the `grpc-status` from the HTTP status.
    const NO_GRPC_STATUS: i32 = -1;
    // SAFETY: the host reads all of these, and only during the call.
    done(unsafe {
        proxy_send_local_response(
            status.into(),
            details.as_ptr(),
            details.len(),
            body.as_ptr(),
            body.len(),
            headers.as_ptr(),
            headers.len(),
            NO_GRPC_STATUS,
        )
    })
}
