//! The hand-written floor: a module without an SDK that makes given hostcalls and does nothing else. No filter with
//! these hostcalls can cost less than Envoy's work for leaving and entering the VM and behind each call.

use std::fmt::Write as _;

use portcullis_tests::message::{Pair, values};
use portcullis_tests::proxy_wasm::{Exchange, serialize};

/// A hostcall on a request, with its subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// All header pairs in one read.
    Pairs,
    /// An attribute, by the parts of its path.
    Property(Vec<String>),
    /// The clock.
    Time,
    /// A counter goes up by one.
    Increment,
    /// A counter is defined.
    Define,
    /// A header is removed.
    Remove(String),
    /// A header is added.
    Add(String, Vec<u8>),
    /// A header is replaced.
    Replace(String, Vec<u8>),
    /// Filter state is written.
    SetProperty(String, Vec<u8>),
    /// The module answers.
    Reply(u16, Vec<Pair>, Vec<u8>),
}

impl Call {
    /// The hostcalls that a module made for a request. The values that it set are those of the final request.
    ///
    /// # Errors
    /// If there is a hostcall that this module cannot make.
    pub fn of(exchange: &Exchange) -> Result<Vec<Self>, String> {
        exchange.calls.iter().map(|call| Self::read(call, exchange)).collect()
    }

    fn read(call: &str, exchange: &Exchange) -> Result<Self, String> {
        let (name, about) = call.split_once(' ').unwrap_or((call, ""));
        let value =
            |name: &str| values(&exchange.stream.headers, name).first().map_or_else(Vec::new, |value| value.to_vec());
        Ok(match name {
            "get_header_map_pairs" => Self::Pairs,
            // Only the keys of filter state contain dots.
            "get_property" if about.starts_with("filter_state.") => {
                Self::Property(about.splitn(2, '.').map(str::to_owned).collect())
            }
            "get_property" => Self::Property(about.split('.').map(str::to_owned).collect()),
            "get_current_time_nanoseconds" => Self::Time,
            "increment_metric" => Self::Increment,
            "define_metric" => Self::Define,
            "remove_header_map_value" => Self::Remove(about.to_owned()),
            "add_header_map_value" => Self::Add(about.to_owned(), value(about)),
            "replace_header_map_value" => Self::Replace(about.to_owned(), value(about)),
            "set_property" => {
                let value = exchange.filter_state.get(about).cloned().unwrap_or_default();
                Self::SetProperty(about.to_owned(), value.into_bytes())
            }
            "send_local_response" => {
                let reply = exchange.reply.clone().ok_or("a reply without a reply")?;
                Self::Reply(reply.status, reply.headers, reply.body)
            }
            other => return Err(format!("the floor does not know the hostcall {other}")),
        })
    }
}

/// Where a hostcall may put a result.
const RESULT: u32 = 16;
/// Where the texts begin.
const TEXTS: u32 = 1024;
/// Where Envoy puts returned data, over the previous data.
const HANDED: u32 = 65_536;

/// The additional exports of a filter that gets the beginning and the end of each request.
pub const BEGIN_AND_END: &str = r#"(func (export "proxy_on_context_create") (param i32 i32))
  (func (export "proxy_on_delete") (param i32))"#;

/// The module that makes these hostcalls on each request, in the text format, with these additional exports.
pub fn text(calls: &[Call], entries: &str) -> String {
    let mut texts = Texts::default();
    let counter = texts.place(b"bench.floor");
    let mut body = String::new();
    let mut action = 0;
    for call in calls {
        let line = match call {
            Call::Pairs => format!("(call $pairs (i32.const 0) (i32.const {RESULT}) (i32.const {}))", RESULT + 4),
            Call::Property(path) => {
                let path = texts.place(path.join("\0").as_bytes());
                format!("(call $property {path} (i32.const {RESULT}) (i32.const {}))", RESULT + 4)
            }
            Call::Time => format!("(call $time (i32.const {RESULT}))"),
            Call::Increment => "(call $increment (i32.load (i32.const 0)) (i64.const 1))".to_owned(),
            Call::Define => format!("(call $define (i32.const 0) {counter} (i32.const {RESULT}))"),
            Call::Remove(name) => format!("(call $remove (i32.const 0) {})", texts.place(name.as_bytes())),
            Call::Add(name, value) => {
                format!("(call $add (i32.const 0) {} {})", texts.place(name.as_bytes()), texts.place(value))
            }
            Call::Replace(name, value) => {
                format!("(call $replace (i32.const 0) {} {})", texts.place(name.as_bytes()), texts.place(value))
            }
            Call::SetProperty(name, value) => {
                format!("(call $set_property {} {})", texts.place(name.as_bytes()), texts.place(value))
            }
            Call::Reply(status, headers, text) => {
                action = 1;
                let (text, headers) = (texts.place(text), texts.place(&serialize(headers)));
                let details = "(i32.const 0) (i32.const 0)";
                format!("(call $reply (i32.const {status}) {details} {text} {headers} (i32.const -1))")
            }
        };
        let _ = writeln!(body, "    (drop {line})");
    }
    let memory = texts.data();
    format!(
        r#"(module
  (import "env" "proxy_get_header_map_pairs" (func $pairs (param i32 i32 i32) (result i32)))
  (import "env" "proxy_get_property" (func $property (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_current_time_nanoseconds" (func $time (param i32) (result i32)))
  (import "env" "proxy_define_metric" (func $define (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_increment_metric" (func $increment (param i32 i64) (result i32)))
  (import "env" "proxy_remove_header_map_value" (func $remove (param i32 i32 i32) (result i32)))
  (import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_replace_header_map_value" (func $replace (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_set_property" (func $set_property (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_send_local_response"
    (func $reply (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 4)
  {memory}
  {entries}
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const {HANDED}))
  (func (export "proxy_on_configure") (param i32 i32) (result i32)
    (drop (call $define (i32.const 0) {counter} (i32.const 0)))
    (i32.const 1))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
{body}    (i32.const {action})))
"#
    )
}

/// Texts in the module's memory.
#[derive(Debug, Default)]
struct Texts {
    bytes: Vec<u8>,
}

impl Texts {
    /// Stores a text: its address and its length, as two operands.
    fn place(&mut self, text: &[u8]) -> String {
        let at = TEXTS as usize + self.bytes.len();
        self.bytes.extend(text);
        format!("(i32.const {at}) (i32.const {})", text.len())
    }

    fn data(&self) -> String {
        let escaped = self.bytes.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "\\{byte:02x}");
            text
        });
        format!("(data (i32.const {TEXTS}) \"{escaped}\")")
    }
}
