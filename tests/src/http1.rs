//! An HTTP/1.1 client that sends exactly the given bytes.

use std::io::{self, Read, Write};

use crate::message::{Head, Inbox, Pair, Reply, pairs, values};
use crate::secrets;

/// A connection that sends requests and reads replies, one after the other.
#[derive(Debug)]
pub struct Client<S> {
    inbox: Inbox<S>,
}

impl<S: Read + Write> Client<S> {
    /// A client on a connected stream.
    pub fn new(stream: S) -> Self {
        Self { inbox: Inbox::new(stream) }
    }

    /// Sends `request` unchanged and reads the reply to it; skips interim replies (1xx except 101).
    ///
    /// # Errors
    /// The connection ends before the reply does, or stays silent until the timeout.
    pub fn send(&mut self, request: &[u8]) -> io::Result<Reply> {
        secrets::in_request(request);
        self.inbox.stream().write_all(request)?;
        self.inbox.stream().flush()?;
        loop {
            let head = self.inbox.head()?.ok_or(io::ErrorKind::UnexpectedEof)?;
            let status = status(&head)?;
            if status >= 200 || status == 101 {
                return self.reply(status, head.headers, request.starts_with(b"HEAD "));
            }
        }
    }

    fn reply(&mut self, status: u16, mut headers: Vec<Pair>, head_only: bool) -> io::Result<Reply> {
        let empty = head_only || matches!(status, 101 | 204 | 304);
        let (body, trailers) = if empty { Default::default() } else { self.inbox.body(&headers, true)? };
        headers.extend(trailers);
        Ok(Reply { status, headers, body })
    }
}

fn status(head: &Head) -> io::Result<u16> {
    let code =
        head.first.split(|&byte| byte == b' ').nth(1).and_then(|code| std::str::from_utf8(code).ok()?.parse().ok());
    code.ok_or_else(|| io::Error::other("a status line without a status"))
}

/// The bytes of a request. `Host` is first; `Content-Length` is last, if there is a body and no header frames it.
pub fn request(method: &[u8], target: &[u8], authority: &[u8], headers: &[Pair], body: Option<&[u8]>) -> Vec<u8> {
    let mut bytes = [method, b" ", target, b" HTTP/1.1\r\n"].concat();
    let mut line = |name: &[u8], value: &[u8]| bytes.extend([name, b": ", value, b"\r\n"].concat());
    line(b"host", authority);
    for (name, value) in headers {
        line(name, value);
    }
    let framed = ["content-length", "transfer-encoding"].iter().any(|name| !values(headers, name).is_empty());
    if let Some(body) = body.filter(|_| !framed) {
        line(b"content-length", body.len().to_string().as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body.unwrap_or_default());
    bytes
}

/// A GET without a body, the request that most suites send.
pub fn get(path: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    request(b"GET", path.as_bytes(), b"gate.test", &pairs(headers), None)
}
