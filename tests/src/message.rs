//! HTTP messages as bytes: header pairs in order with duplicates, a reply, and a reader for HTTP/1 headers and bodies
//! that the client and the upstream share. Nothing is validated: messages are kept as they arrived.

use std::io::{self, BufRead as _, BufReader, Read};

/// A header line: name and value, as sent.
pub type Pair = (Vec<u8>, Vec<u8>);

/// Header lines from text.
pub fn pairs(headers: &[(&str, &str)]) -> Vec<Pair> {
    headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
}

/// The values of all headers of that name, in order; the name is compared case-insensitively.
pub fn values<'a>(headers: &'a [Pair], name: &str) -> Vec<&'a [u8]> {
    let same = |pair: &&Pair| pair.0.eq_ignore_ascii_case(name.as_bytes());
    headers.iter().filter(same).map(|(_, value)| value.as_slice()).collect()
}

/// An answer to a request.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// All header lines, followed by the trailers.
    pub headers: Vec<Pair>,
    /// The body without framing.
    pub body: Vec<u8>,
}

impl Reply {
    /// The first value of a header as text.
    pub fn header(&self, name: &str) -> Option<String> {
        values(&self.headers, name).first().map(|value| String::from_utf8_lossy(value).into_owned())
    }
}

/// A start line and its header lines.
#[derive(Debug, Clone)]
pub struct Head {
    /// The request line or status line, without its end.
    pub first: Vec<u8>,
    /// The header lines, blanks around the values trimmed.
    pub headers: Vec<Pair>,
}

/// Reads HTTP/1 messages from a stream.
#[derive(Debug)]
pub struct Inbox<R> {
    from: BufReader<R>,
}

impl<R: Read> Inbox<R> {
    /// A reader of `from`.
    pub fn new(from: R) -> Self {
        Self { from: BufReader::new(from) }
    }

    /// The underlying stream, for writing.
    pub fn stream(&mut self) -> &mut R {
        self.from.get_mut()
    }

    /// The next message head, or `None` if the stream has ended before its first byte.
    ///
    /// # Errors
    /// If a read fails, or the stream ends within the head.
    pub fn head(&mut self) -> io::Result<Option<Head>> {
        let Some(first) = self.line()? else { return Ok(None) };
        Ok(Some(Head { first, headers: self.pairs()? }))
    }

    /// Exactly `length` bytes.
    ///
    /// # Errors
    /// If a read fails, or the stream ends too early.
    pub fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.from.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// A body in chunked framing, with its trailers.
    ///
    /// # Errors
    /// If a read fails, or a chunk size is not a number.
    pub fn chunked(&mut self) -> io::Result<(Vec<u8>, Vec<Pair>)> {
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk()? {
            body.extend(chunk);
        }
        Ok((body, self.pairs()?))
    }

    /// The next chunk of a body in chunked framing, or `None` for the last chunk, which is empty and is followed by the
    /// trailers.
    ///
    /// # Errors
    /// If a read fails, or a chunk size is not a number.
    pub fn chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        let line = self.line()?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let digits = line.split(|&byte| byte == b';').next().unwrap_or_default();
        let size = std::str::from_utf8(digits).ok().and_then(|text| usize::from_str_radix(text.trim(), 16).ok());
        let size = size.ok_or_else(|| io::Error::other("a chunk size that is no number"))?;
        if size == 0 {
            return Ok(None);
        }
        let chunk = self.exactly(size)?;
        self.line()?;
        Ok(Some(chunk))
    }

    /// The body that `headers` announce, with its trailers. If they announce none: the rest of the stream if
    /// `else_rest`, otherwise nothing.
    ///
    /// # Errors
    /// Those of the framing in use.
    pub fn body(&mut self, headers: &[Pair], else_rest: bool) -> io::Result<(Vec<u8>, Vec<Pair>)> {
        if values(headers, "transfer-encoding").iter().any(|value| value.ends_with(b"chunked")) {
            return self.chunked();
        }
        let length = values(headers, "content-length").first().copied();
        let length = length.and_then(|value| std::str::from_utf8(value).ok()?.parse().ok());
        let mut body = Vec::new();
        match length {
            Some(length) => body = self.exactly(length)?,
            None if else_rest => _ = self.from.read_to_end(&mut body)?,
            None => {}
        }
        Ok((body, Vec::new()))
    }

    /// Header lines up to the empty line.
    fn pairs(&mut self) -> io::Result<Vec<Pair>> {
        let mut pairs = Vec::new();
        loop {
            let line = self.line()?.ok_or(io::ErrorKind::UnexpectedEof)?;
            if line.is_empty() {
                return Ok(pairs);
            }
            pairs.push(pair(&line));
        }
    }

    /// A line without its end, or `None` at the end of the stream.
    fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        if self.from.read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        if line.pop() != Some(b'\n') {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(Some(line))
    }
}

fn pair(line: &[u8]) -> Pair {
    let mut parts = line.splitn(2, |&byte| byte == b':');
    let name = parts.next().unwrap_or_default();
    (name.to_vec(), parts.next().unwrap_or_default().trim_ascii().to_vec())
}
