//! An HTTP/2 client with prior knowledge that can send any bytes in any header (RFC 9113, RFC 7541).
//!
//! It builds frames itself, and sends header fields as literals without indexing and without Huffman coding. So no
//! library inspects or corrects them before Envoy does.

use std::io::{self, Read, Write};

use loona_hpack::Decoder;

use crate::message::{Inbox, Pair, Reply};
use crate::secrets;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const LARGEST_FRAME: usize = 16 * 1024;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;

/// How much data may arrive before the client returns flow-control credit: half of a connection's initial window (RFC
/// 9113, section 6.9.2).
const CREDIT: u32 = 32 * 1024;
const CANCEL: u32 = 8;

/// A connection for requests and replies: one stream after the other ([`Client::send`]), or several at the same time
/// ([`Client::open`], [`Client::event`]).
pub struct Client<S> {
    inbox: Inbox<S>,
    decoder: Decoder<'static>,
    next_stream: u32,
    uncredited: u32,
}

/// An event on one of several streams.
#[derive(Debug)]
pub struct Event {
    /// The stream, as [`Client::open`] has returned it.
    pub stream: u32,
    /// What arrived.
    pub what: What,
    /// Whether the server has ended its side.
    pub ended: bool,
}

/// The kinds of [`Event`].
#[derive(Debug)]
pub enum What {
    /// Header fields, or trailers; without a body.
    Fields(Reply),
    /// A piece of the body.
    Data(Vec<u8>),
    /// The server has reset the stream, with this code.
    Reset(u32),
}

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl<S: Read + Write> Client<S> {
    /// Sends the connection preface on a connected stream.
    ///
    /// # Errors
    /// If a write fails.
    pub fn new(stream: S) -> io::Result<Self> {
        let mut client = Self { inbox: Inbox::new(stream), decoder: Decoder::new(), next_stream: 1, uncredited: 0 };
        client.inbox.stream().write_all(PREFACE)?;
        // SETTINGS_HEADER_TABLE_SIZE = 0: replies do not use a dynamic table.
        client.write(SETTINGS, 0, 0, &[0, 1, 0, 0, 0, 0])?;
        Ok(client)
    }

    /// Sends one request and reads the reply to it. `fields` are sent unchanged, pseudo-headers included. The stream of
    /// a CONNECT stays open, like a tunnel (RFC 9113, section 8.5).
    ///
    /// # Errors
    /// If the stream is reset, or the connection ends; the message has the HTTP/2 error code.
    pub fn send(&mut self, fields: &[Pair], body: Option<&[u8]>, trailers: &[Pair]) -> io::Result<Reply> {
        secrets::in_fields(trailers);
        let tunnel = fields.iter().any(|(name, value)| name == b":method" && value == b"CONNECT");
        let stream = self.open(fields, body.is_none() && trailers.is_empty() && !tunnel)?;
        if let Some(body) = body {
            self.data(stream, body, trailers.is_empty())?;
        }
        if !trailers.is_empty() {
            self.header_block(stream, trailers, true)?;
        }
        self.inbox.stream().flush()?;
        self.reply(stream)
    }

    /// Sends the headers of a request without its body, and reads the reply.
    ///
    /// # Errors
    /// As [`Client::send`]; also if the server waits for the body until the timeout.
    pub fn announce(&mut self, fields: &[Pair]) -> io::Result<Reply> {
        let stream = self.open(fields, false)?;
        self.inbox.stream().flush()?;
        self.reply(stream)
    }

    /// Begins a request and does not wait for its reply; `end` if nothing follows the header fields. Returns the
    /// stream.
    ///
    /// # Errors
    /// If a write fails.
    pub fn open(&mut self, fields: &[Pair], end: bool) -> io::Result<u32> {
        secrets::in_fields(fields);
        let stream = self.next_stream;
        self.next_stream += 2;
        self.header_block(stream, fields, end)?;
        Ok(stream)
    }

    /// Sends a piece of a request's body; `end` if it is the last one.
    ///
    /// # Errors
    /// If a write fails.
    pub fn data(&mut self, stream: u32, bytes: &[u8], end: bool) -> io::Result<()> {
        self.write(DATA, if end { END_STREAM } else { 0 }, stream, bytes)
    }

    /// Resets a stream. Events that are already in transit may still arrive on it.
    ///
    /// # Errors
    /// If a write fails.
    pub fn reset(&mut self, stream: u32) -> io::Result<()> {
        self.write(RST_STREAM, 0, stream, &CANCEL.to_be_bytes())
    }

    /// Waits for the next event on any stream. It keeps the connection's flow-control window open, but not that of a
    /// stream: a stream accepts 64 KiB in total.
    ///
    /// # Errors
    /// If the connection ends or stays silent until the timeout; for GOAWAY, the message has the HTTP/2 error code.
    pub fn event(&mut self) -> io::Result<Event> {
        loop {
            let frame = self.read()?;
            let what = match frame.kind {
                HEADERS => {
                    let (mut block, mut flags) = (unpadded(&frame), frame.flags);
                    // No other frame may come in between (RFC 9113, section 6.10).
                    while flags & END_HEADERS == 0 {
                        let next = self.read()?;
                        block.extend(&next.payload);
                        flags = next.flags;
                    }
                    let mut reply = Reply::default();
                    self.fields(&block, &mut reply)?;
                    What::Fields(reply)
                }
                DATA => {
                    self.credit(&frame.payload)?;
                    What::Data(unpadded(&frame))
                }
                RST_STREAM => What::Reset(code(&frame.payload, 0)),
                _ => {
                    self.housekeeping(&frame)?;
                    continue;
                }
            };
            let ended = frame.kind == RST_STREAM || frame.flags & END_STREAM != 0;
            return Ok(Event { stream: frame.stream, what, ended });
        }
    }

    fn credit(&mut self, payload: &[u8]) -> io::Result<()> {
        self.uncredited += u32::try_from(payload.len()).map_err(io::Error::other)?;
        if self.uncredited < CREDIT {
            return Ok(());
        }
        let credit = std::mem::take(&mut self.uncredited);
        self.write(WINDOW_UPDATE, 0, 0, &credit.to_be_bytes())
    }

    /// Answers a frame of the connection itself.
    fn housekeeping(&mut self, frame: &Frame) -> io::Result<()> {
        match frame.kind {
            SETTINGS if frame.flags & ACK == 0 => self.write(SETTINGS, ACK, 0, &[]),
            PING if frame.flags & ACK == 0 => self.write(PING, ACK, 0, &frame.payload),
            GOAWAY => Err(io::Error::other(format!("GOAWAY with code {}", code(&frame.payload, 4)))),
            _ => Ok(()),
        }
    }

    fn header_block(&mut self, stream: u32, fields: &[Pair], end_stream: bool) -> io::Result<()> {
        let block = fields.iter().map(|(name, value)| literal(name, value)).collect::<Vec<_>>().concat();
        let mut pieces = block.chunks(LARGEST_FRAME).peekable();
        let mut kind = HEADERS;
        let mut flags = if end_stream { END_STREAM } else { 0 };
        while let Some(piece) = pieces.next() {
            if pieces.peek().is_none() {
                flags |= END_HEADERS;
            }
            self.write(kind, flags, stream, piece)?;
            (kind, flags) = (CONTINUATION, 0);
        }
        Ok(())
    }

    fn reply(&mut self, stream: u32) -> io::Result<Reply> {
        let mut reply = Reply::default();
        let mut block = Vec::new();
        let mut ended = false;
        loop {
            let frame = self.read()?;
            match frame.kind {
                SETTINGS | PING | GOAWAY => self.housekeeping(&frame)?,
                _ if frame.stream != stream => {}
                RST_STREAM => {
                    return Err(io::Error::other(format!("RST_STREAM with code {}", code(&frame.payload, 0))));
                }
                HEADERS | CONTINUATION => {
                    ended |= frame.kind == HEADERS && frame.flags & END_STREAM != 0;
                    block.extend(unpadded(&frame));
                    if frame.flags & END_HEADERS != 0 {
                        self.fields(&std::mem::take(&mut block), &mut reply)?;
                    }
                }
                DATA => {
                    ended |= frame.flags & END_STREAM != 0;
                    reply.body.extend(unpadded(&frame));
                }
                _ => {}
            }
            if ended && block.is_empty() {
                return Ok(reply);
            }
        }
    }

    fn fields(&mut self, block: &[u8], reply: &mut Reply) -> io::Result<()> {
        let fields = self.decoder.decode(block).map_err(|error| io::Error::other(format!("{error:?}")))?;
        for (name, value) in fields {
            if name == b":status" {
                reply.status = std::str::from_utf8(&value).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
            } else {
                reply.headers.push((name, value));
            }
        }
        Ok(())
    }

    fn read(&mut self) -> io::Result<Frame> {
        let head = self.inbox.exactly(9)?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
        Ok(Frame { kind: head[3], flags: head[4], stream, payload: self.inbox.exactly(length)? })
    }

    fn write(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> io::Result<()> {
        let length = u32::try_from(payload.len()).map_err(io::Error::other)?.to_be_bytes();
        let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
        self.inbox.stream().write_all(&[&head, payload].concat())
    }
}

fn code(payload: &[u8], at: usize) -> u32 {
    payload.get(at..at + 4).map_or(0, |bytes| u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

fn unpadded(frame: &Frame) -> Vec<u8> {
    let mut payload = frame.payload.as_slice();
    if frame.flags & PADDED != 0 {
        let padding = payload.first().copied().unwrap_or(0);
        payload = &payload[1..payload.len().saturating_sub(usize::from(padding))];
    }
    if frame.kind == HEADERS && frame.flags & PRIORITY != 0 {
        payload = &payload[5..];
    }
    payload.to_vec()
}

/// A literal header field without indexing, new name (RFC 7541 6.2.2), both strings raw.
fn literal(name: &[u8], value: &[u8]) -> Vec<u8> {
    [vec![0], length(name.len()), name.to_vec(), length(value.len()), value.to_vec()].concat()
}

/// An integer with a 7-bit prefix and the Huffman bit off (RFC 7541 5.1).
fn length(value: usize) -> Vec<u8> {
    let Some(mut rest) = value.checked_sub(127) else { return vec![value.to_le_bytes()[0]] };
    let mut bytes = vec![127];
    while rest >= 128 {
        bytes.push((rest % 128 + 128).to_le_bytes()[0]);
        rest /= 128;
    }
    bytes.push(rest.to_le_bytes()[0]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::{Decoder, literal};

    #[test]
    fn a_literal_reads_back_whatever_its_bytes_and_length() {
        for size in [0, 1, 126, 127, 128, 255, 300, 20_000] {
            let pair = (b"x-\xff".to_vec(), vec![0xff; size]);
            let decoded = Decoder::new().decode(&literal(&pair.0, &pair.1)).expect("well formed");
            assert_eq!(decoded, [pair], "{size}");
        }
    }
}
