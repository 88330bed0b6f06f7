//! The hostcalls, as in the specification: pointers and sizes in the module's memory, a status as the result.

use wasmi::errors::LinkerError;
use wasmi::{Caller, Error, Extern, Linker, Memory};

use super::{Answer, Host, deserialize, index, serialize};
use crate::message::{Pair, Reply};

const OK: u32 = 0;
const NOT_FOUND: u32 = 1;
const BAD_ARGUMENT: u32 = 2;
const CAS_MISMATCH: u32 = 8;
const REQUEST_HEADERS: u32 = 0;
const REQUEST_TRAILERS: u32 = 1;
const PLUGIN_CONFIGURATION: u32 = 7;

pub(super) fn define(linker: &mut Linker<Host>) -> Result<(), LinkerError> {
    linker.func_wrap("env", "proxy_log", log)?;
    linker.func_wrap("env", "proxy_get_current_time_nanoseconds", get_current_time)?;
    linker.func_wrap("env", "proxy_get_buffer_bytes", get_buffer_bytes)?;
    linker.func_wrap("env", "proxy_get_header_map_pairs", get_header_map_pairs)?;
    linker.func_wrap("env", "proxy_add_header_map_value", add_header_map_value)?;
    linker.func_wrap("env", "proxy_replace_header_map_value", replace_header_map_value)?;
    linker.func_wrap("env", "proxy_remove_header_map_value", remove_header_map_value)?;
    linker.func_wrap("env", "proxy_get_property", get_property)?;
    linker.func_wrap("env", "proxy_set_property", set_property)?;
    // Modules from before 2026-12, with which the benchmark compares, ask which contexts exist.
    linker.func_wrap("env", "proxy_set_effective_context", |_: Caller<'_, Host>, _: u32| OK)?;
    linker.func_wrap("env", "proxy_define_metric", define_metric)?;
    linker.func_wrap("env", "proxy_record_metric", |host: Caller<'_, Host>, id, value: u64| {
        metric(host, "record", id, |_| value)
    })?;
    linker.func_wrap("env", "proxy_increment_metric", |host: Caller<'_, Host>, id, by: i64| {
        metric(host, "increment", id, |value| value.wrapping_add_signed(by))
    })?;
    linker.func_wrap("env", "proxy_get_shared_data", get_shared_data)?;
    linker.func_wrap("env", "proxy_set_shared_data", set_shared_data)?;
    linker.func_wrap("env", "proxy_set_tick_period_milliseconds", set_tick_period)?;
    linker.func_wrap("env", "proxy_send_local_response", send_local_response)?;
    linker.func_wrap("wasi_snapshot_preview1", "environ_sizes_get", environ_sizes_get)?;
    linker.func_wrap("wasi_snapshot_preview1", "environ_get", environ_get)?;
    linker.func_wrap("wasi_snapshot_preview1", "random_get", random_get)?;
    Ok(())
}

fn log(mut host: Caller<'_, Host>, _level: u32, at: u32, size: u32) -> Answer {
    let line = text(&host, at, size)?;
    answer(&mut host, "log", "", |host| {
        host.data_mut().log.push(line);
        Ok(OK)
    })
}

fn get_current_time(mut host: Caller<'_, Host>, to: u32) -> Answer {
    answer(&mut host, "get_current_time_nanoseconds", "", |host| {
        let nanoseconds = host.data().stream.now.saturating_mul(1_000_000_000);
        write(host, to, &nanoseconds.to_le_bytes())?;
        Ok(OK)
    })
}

fn get_buffer_bytes(mut host: Caller<'_, Host>, which: u32, start: u32, most: u32, data: u32, size: u32) -> Answer {
    answer(&mut host, "get_buffer_bytes", &which.to_string(), |host| {
        if which != PLUGIN_CONFIGURATION {
            return Ok(NOT_FOUND);
        }
        let most = index(most).min(host.data().piece.unwrap_or(usize::MAX));
        let bytes: Vec<u8> = host.data().configuration.iter().copied().skip(index(start)).take(most).collect();
        give(host, &bytes, data, size)
    })
}

fn get_header_map_pairs(mut host: Caller<'_, Host>, map: u32, data: u32, size: u32) -> Answer {
    answer(&mut host, "get_header_map_pairs", map_name(map), |host| {
        let Some(fields) = fields(host, map) else { return Ok(BAD_ARGUMENT) };
        let bytes = serialize(fields);
        give(host, &bytes, data, size)
    })
}

fn add_header_map_value(host: Caller<'_, Host>, map: u32, name: u32, name_size: u32, value: u32, size: u32) -> Answer {
    put(host, "add_header_map_value", map, (name, name_size), (value, size), |_, _| {})
}

fn replace_header_map_value(
    host: Caller<'_, Host>,
    map: u32,
    name: u32,
    name_size: u32,
    value: u32,
    size: u32,
) -> Answer {
    put(host, "replace_header_map_value", map, (name, name_size), (value, size), |fields, name| {
        fields.retain(|(field, _)| field != name);
    })
}

/// Appends a field to a map, if there is room for it.
fn put(
    mut host: Caller<'_, Host>,
    call: &str,
    map: u32,
    (name, name_size): (u32, u32),
    (value, value_size): (u32, u32),
    make_room: fn(&mut Vec<Pair>, &[u8]),
) -> Answer {
    let (name, value) = (read(&host, name, name_size)?, read(&host, value, value_size)?);
    answer(&mut host, call, &name.escape_ascii().to_string(), |host| {
        let Some(fields) = fields(host, map) else { return Ok(BAD_ARGUMENT) };
        make_room(fields, &name);
        fields.push((name, value));
        Ok(OK)
    })
}

fn remove_header_map_value(mut host: Caller<'_, Host>, map: u32, name: u32, name_size: u32) -> Answer {
    let name = read(&host, name, name_size)?;
    answer(&mut host, "remove_header_map_value", &name.escape_ascii().to_string(), |host| {
        let Some(fields) = fields(host, map) else { return Ok(BAD_ARGUMENT) };
        fields.retain(|(field, _)| *field != name);
        Ok(OK)
    })
}

fn get_property(mut host: Caller<'_, Host>, path: u32, path_size: u32, data: u32, size: u32) -> Answer {
    let path = text(&host, path, path_size)?.replace('\0', ".");
    answer(&mut host, "get_property", &path, |host| match host.data().stream.properties.get(&path).cloned() {
        Some(value) => give(host, &value, data, size),
        None => Ok(NOT_FOUND),
    })
}

fn set_property(mut host: Caller<'_, Host>, path: u32, path_size: u32, value: u32, value_size: u32) -> Answer {
    let (path, value) = (text(&host, path, path_size)?, text(&host, value, value_size)?);
    answer(&mut host, "set_property", &path, |host| {
        host.data_mut().filter_state.insert(path.clone(), value);
        Ok(OK)
    })
}

fn define_metric(mut host: Caller<'_, Host>, _kind: u32, name: u32, name_size: u32, id: u32) -> Answer {
    let name = text(&host, name, name_size)?;
    answer(&mut host, "define_metric", &name, |host| {
        let next = u32::try_from(host.data().metrics.len()).expect("few metrics");
        host.data_mut().metrics.push((name.clone(), 0));
        write(host, id, &next.to_le_bytes())?;
        Ok(OK)
    })
}

fn metric(mut host: Caller<'_, Host>, verb: &str, id: u32, change: impl FnOnce(u64) -> u64) -> Answer {
    let name = host.data().metrics.get(index(id)).map(|(name, _)| name.clone());
    answer(&mut host, &format!("{verb}_metric"), name.as_deref().unwrap_or("?"), |host| {
        let Some((_, value)) = host.data_mut().metrics.get_mut(index(id)) else { return Ok(NOT_FOUND) };
        *value = change(*value);
        Ok(OK)
    })
}

fn get_shared_data(mut host: Caller<'_, Host>, key: u32, key_size: u32, data: u32, size: u32, version: u32) -> Answer {
    let key = text(&host, key, key_size)?;
    answer(&mut host, "get_shared_data", &key, |host| match host.data().shared.get(&key).cloned() {
        Some((value, current)) => {
            write(host, version, &current.to_le_bytes())?;
            give(host, &value, data, size)
        }
        None => Ok(NOT_FOUND),
    })
}

fn set_shared_data(
    mut host: Caller<'_, Host>,
    key: u32,
    key_size: u32,
    value: u32,
    value_size: u32,
    version: u32,
) -> Answer {
    let (key, value) = (text(&host, key, key_size)?, read(&host, value, value_size)?);
    answer(&mut host, "set_shared_data", &key, |host| {
        let current = host.data().shared.get(&key).map_or(0, |(_, version)| *version);
        if version != 0 && version != current {
            return Ok(CAS_MISMATCH);
        }
        host.data_mut().shared.insert(key.clone(), (value, current + 1));
        Ok(OK)
    })
}

fn set_tick_period(mut host: Caller<'_, Host>, milliseconds: u32) -> Answer {
    answer(&mut host, "set_tick_period_milliseconds", &milliseconds.to_string(), |_| Ok(OK))
}

/// The gRPC status is always -1: Envoy derives it from the HTTP status.
#[expect(clippy::too_many_arguments, reason = "the specification has that many")]
fn send_local_response(
    mut host: Caller<'_, Host>,
    status: u32,
    details: u32,
    details_size: u32,
    body: u32,
    body_size: u32,
    headers: u32,
    headers_size: u32,
    _grpc_status: u32,
) -> Answer {
    let (body, headers) = (read(&host, body, body_size)?, deserialize(&read(&host, headers, headers_size)?));
    let details = String::from_utf8_lossy(&read(&host, details, details_size)?).into_owned();
    answer(&mut host, "send_local_response", &format!("{status} {details}"), |host| {
        let status = u16::try_from(status).map_err(|_| Error::new("a status beyond 65535"))?;
        host.data_mut().reply = Some(Reply { status, headers, body });
        Ok(OK)
    })
}

fn environ_sizes_get(mut host: Caller<'_, Host>, count: u32, size: u32) -> Answer {
    let bytes = u32::try_from(host.data().environment.len()).expect("a small environment");
    let variables = host.data().variables;
    write(&mut host, count, &variables.to_le_bytes())?;
    write(&mut host, size, &bytes.to_le_bytes())?;
    Ok(OK)
}

fn environ_get(mut host: Caller<'_, Host>, pointers: u32, to: u32) -> Answer {
    let bytes = host.data().environment.clone();
    let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == 0).map(|(at, _)| at + 1);
    let starts = std::iter::once(0).chain(ends).map(|at| to + u32::try_from(at).expect("a small environment"));
    let starts: Vec<u8> = starts.take(index(host.data().variables)).flat_map(u32::to_le_bytes).collect();
    write(&mut host, pointers, &starts)?;
    write(&mut host, to, &bytes)?;
    Ok(OK)
}

/// The same bytes for all requests of a configuration, so that a row can be repeated.
fn random_get(mut host: Caller<'_, Host>, to: u32, size: u32) -> Answer {
    let byte = host.data().updates.wrapping_add(7);
    write(&mut host, to, &vec![byte; index(size)])?;
    Ok(OK)
}

/// Records a hostcall, and runs it unless it is the one that fails.
fn answer(
    host: &mut Caller<'_, Host>,
    name: &str,
    subject: &str,
    work: impl FnOnce(&mut Caller<'_, Host>) -> Answer,
) -> Answer {
    let state = host.data_mut();
    let place = state.calls.len();
    state.calls.push(format!("{name} {subject}").trim_end().to_owned());
    match state.fault.filter(|fault| fault.call == place) {
        Some(fault) => Ok(fault.status),
        None => work(host),
    }
}

fn map_name(map: u32) -> &'static str {
    match map {
        REQUEST_HEADERS => "request headers",
        REQUEST_TRAILERS => "request trailers",
        _ => "another map",
    }
}

fn fields<'a>(host: &'a mut Caller<'_, Host>, map: u32) -> Option<&'a mut Vec<Pair>> {
    let stream = &mut host.data_mut().stream;
    match map {
        REQUEST_HEADERS => Some(&mut stream.headers),
        REQUEST_TRAILERS => Some(&mut stream.trailers),
        _ => None,
    }
}

// The module's memory. An address outside it is a trap, as in Envoy.

fn memory(host: &Caller<'_, Host>) -> Result<Memory, Error> {
    host.get_export("memory").and_then(Extern::into_memory).ok_or_else(|| Error::new("no memory"))
}

fn read(host: &Caller<'_, Host>, at: u32, size: u32) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0; index(size)];
    memory(host)?.read(host, index(at), &mut bytes).map_err(|error| Error::new(error.to_string()))?;
    Ok(bytes)
}

fn text(host: &Caller<'_, Host>, at: u32, size: u32) -> Result<String, Error> {
    String::from_utf8(read(host, at, size)?).map_err(|_| Error::new("text that is no UTF-8"))
}

fn write(host: &mut Caller<'_, Host>, at: u32, bytes: &[u8]) -> Result<(), Error> {
    memory(host)?.write(host, index(at), bytes).map_err(|error| Error::new(error.to_string()))
}

/// Copies bytes into memory that the module allocates and then owns; a null pointer if there are none.
fn give(host: &mut Caller<'_, Host>, bytes: &[u8], data: u32, size: u32) -> Answer {
    let length = u32::try_from(bytes.len()).expect("less than 4 GiB");
    let mut at = 0_u32;
    if length > 0 {
        let allocate = host.get_export("proxy_on_memory_allocate").and_then(Extern::into_func);
        let allocate = allocate.ok_or_else(|| Error::new("no allocator"))?.typed::<u32, u32>(&*host)?;
        at = allocate.call(&mut *host, length)?;
        write(host, at, bytes)?;
    }
    write(host, data, &at.to_le_bytes())?;
    write(host, size, &length.to_le_bytes())?;
    Ok(OK)
}
