//! An HTTP/2 client that sends the same request again and again with as few bytes as HPACK allows: a field in the
//! dynamic table costs a byte or two (RFC 7541, section 6.1), however long it is. No client library does that with a
//! path.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use loona_hpack::encoder::encode_integer_into;
use portcullis_tests::message::Pair;

/// The size of the dynamic table, unless the server changes it (RFC 9113, section 6.5.2).
const TABLE: usize = 4_096;
/// Complete fields in the static table, and their indexes there (RFC 7541, appendix A).
const STATIC: [(&str, &str, usize); 2] = [(":method", "GET", 2), (":scheme", "http", 6)];
/// The last index of the static table.
const LAST_STATIC: usize = 61;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// The maximum number of requests without a reply.
const OPEN: usize = 32;
/// The timeout without any data.
const SILENCE: Duration = Duration::from_secs(60);

/// The header blocks of a request: the first one fills the table, the others refer to it. `None` if the table cannot
/// hold all of it.
pub fn blocks(fields: &[Pair]) -> Option<(Vec<u8>, Vec<u8>)> {
    let is_static = |(name, value): &Pair| {
        STATIC.iter().find(|known| known.0.as_bytes() == name && known.1.as_bytes() == value).map(|known| known.2)
    };
    let mut table: Vec<&Pair> = Vec::new();
    let (mut first, mut again) = (Vec::new(), Vec::new());
    let mut size = 0;
    for field in fields {
        if let Some(place) = is_static(field) {
            integer(place, 7, 0x80, &mut first);
        } else if let Some(place) = table.iter().rposition(|known| *known == field) {
            integer(LAST_STATIC + table.len() - place, 7, 0x80, &mut first);
        } else {
            // A literal with incremental indexing and a new name; no Huffman coding.
            first.push(0x40);
            for text in [&field.0, &field.1] {
                integer(text.len(), 7, 0, &mut first);
                first.extend(text);
            }
            size += field.0.len() + field.1.len() + 32;
            table.push(field);
        }
    }
    for field in fields {
        let place = match (is_static(field), table.iter().rposition(|known| *known == field)) {
            (Some(place), _) => place,
            (None, place) => LAST_STATIC + table.len() - place?,
        };
        integer(place, 7, 0x80, &mut again);
    }
    (size <= TABLE).then_some((first, again))
}

fn integer(value: usize, prefix: u8, bits: u8, to: &mut Vec<u8>) {
    encode_integer_into(value, prefix, bits, to).expect("a vector takes all");
}

/// A connection that repeats one request.
#[derive(Debug)]
pub struct Attacker {
    stream: TcpStream,
    first: Option<Vec<u8>>,
    again: Vec<u8>,
    inbox: Vec<u8>,
    next: u32,
    open: usize,
    /// The number of requests sent.
    pub sent: usize,
    heard: Instant,
}

impl Attacker {
    /// Connects.
    ///
    /// # Errors
    /// If a socket call fails, or the table cannot hold the request.
    pub fn connect(to: SocketAddr, fields: &[Pair]) -> io::Result<Self> {
        let (first, again) = blocks(fields).ok_or_else(|| io::Error::other("the table cannot hold this request"))?;
        let stream = TcpStream::connect(to)?;
        stream.set_nodelay(true)?;
        let mut attacker = Self {
            stream,
            first: Some(first),
            again,
            inbox: Vec::new(),
            next: 1,
            open: 0,
            sent: 0,
            heard: Instant::now(),
        };
        attacker.stream.write_all(PREFACE)?;
        // No table for replies, and more room than their bodies need.
        attacker.write(SETTINGS, 0, 0, &[0, 1, 0, 0, 0, 0])?;
        attacker.write(WINDOW_UPDATE, 0, 0, &0x7000_0000_u32.to_be_bytes())?;
        Ok(attacker)
    }

    /// The bytes of a request on the wire.
    pub fn wire(&self) -> usize {
        9 + self.again.len()
    }

    /// Sends requests at this number of bytes per second while `goes_on`, and reads the replies.
    ///
    /// # Errors
    /// If a connection ends or stays silent.
    pub fn attack(&mut self, rate: usize, mut goes_on: impl FnMut() -> bool) -> io::Result<()> {
        self.ask()?;
        let (begin, before) = (Instant::now(), self.sent);
        self.stream.set_read_timeout(Some(Duration::from_millis(1)))?;
        while goes_on() {
            let budget = begin.elapsed().as_secs_f64() * rate as f64;
            while ((self.sent - before) * self.wire()) as f64 <= budget && self.open < OPEN {
                self.ask()?;
            }
            self.hear()?;
        }
        Ok(())
    }

    /// Sends this number of requests, a few at a time, and waits for all replies.
    ///
    /// # Errors
    /// If a connection ends or stays silent.
    pub fn run(&mut self, requests: usize) -> io::Result<()> {
        self.stream.set_read_timeout(Some(SILENCE))?;
        let end = self.sent + requests;
        while self.sent < end || self.open > 0 {
            while self.sent < end && self.open < OPEN / 4 {
                self.ask()?;
            }
            self.hear()?;
        }
        Ok(())
    }

    fn ask(&mut self) -> io::Result<()> {
        let block = self.first.take().unwrap_or_else(|| self.again.clone());
        let stream = self.next;
        self.next += 2;
        self.open += 1;
        self.sent += 1;
        self.write(HEADERS, END_STREAM | END_HEADERS, stream, &block)
    }

    /// Reads the available data, or waits for some until the read timeout.
    fn hear(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                self.heard = Instant::now();
                self.inbox.extend(&buffer[..read]);
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                if self.open > 0 && self.heard.elapsed() > SILENCE {
                    return Err(ErrorKind::TimedOut.into());
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        let mut at = 0;
        while let Some(head) = self.inbox.get(at..at + 9) {
            let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
            let (kind, flags) = (head[3], head[4]);
            let Some(payload) = self.inbox.get(at + 9..at + 9 + length).map(<[u8]>::to_vec) else { break };
            at += 9 + length;
            match kind {
                SETTINGS if flags & ACK == 0 => self.write(SETTINGS, ACK, 0, &[])?,
                PING if flags & ACK == 0 => self.write(PING, ACK, 0, &payload)?,
                GOAWAY => return Err(io::Error::other(format!("GOAWAY: {}", payload.escape_ascii()))),
                RST_STREAM => return Err(io::Error::other(format!("RST_STREAM: {}", payload.escape_ascii()))),
                // DATA or HEADERS.
                0 | HEADERS if flags & END_STREAM != 0 => self.open -= 1,
                _ => {}
            }
        }
        self.inbox.drain(..at);
        Ok(())
    }

    fn write(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> io::Result<()> {
        let length = u32::try_from(payload.len()).map_err(io::Error::other)?.to_be_bytes();
        let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
        self.stream.write_all(&[&head, payload].concat())
    }
}

#[cfg(test)]
mod tests {
    use loona_hpack::Decoder;
    use portcullis_tests::message::pairs;

    use super::blocks;

    #[test]
    fn a_request_that_was_sent_once_costs_a_byte_for_each_field() {
        let path = format!("/{}", "a".repeat(3_900));
        let fields =
            [(":method", "GET"), (":scheme", "http"), (":authority", "h"), (":path", &path), ("a", "b"), ("a", "b")];
        let (first, again) = blocks(&pairs(&fields)).expect("it fits");
        let mut decoder = Decoder::new();
        for block in [&first, &again, &again] {
            assert_eq!(decoder.decode(block).expect("well-formed"), pairs(&fields));
        }
        assert_eq!(again.len(), fields.len());
        assert_eq!(blocks(&pairs(&[(":path", &path), ("b", &path)])), None, "more than the table holds");
    }
}
