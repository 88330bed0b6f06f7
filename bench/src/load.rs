//! Load on one listener: some connections; on each, the next request is sent when the reply to the last one has
//! arrived.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

/// The timeout without any data.
const SILENCE: Duration = Duration::from_secs(20);
const BUFFER: usize = 16 * 1024;

/// Connections to one listener, kept open between measurements.
#[derive(Debug)]
pub struct Load {
    poll: Poll,
    events: Events,
    connections: Vec<Connection>,
    requests: Vec<Vec<u8>>,
    next: usize,
    status: u16,
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    inbox: Vec<u8>,
    filled: usize,
    asked: Instant,
}

impl Load {
    /// Connects. The requests alternate; each reply must have this status.
    ///
    /// # Errors
    /// If a socket call fails.
    pub fn connect(to: SocketAddr, connections: usize, requests: Vec<Vec<u8>>, status: u16) -> io::Result<Self> {
        let poll = Poll::new()?;
        let connect = |place: usize| {
            let stream = std::net::TcpStream::connect(to)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            poll.registry().register(&mut stream, Token(place), Interest::READABLE)?;
            Ok(Connection { stream, inbox: vec![0; BUFFER], filled: 0, asked: Instant::now() })
        };
        let connections = (0..connections).map(connect).collect::<io::Result<Vec<_>>>()?;
        Ok(Self { poll, events: Events::with_capacity(64), connections, requests, next: 0, status })
    }

    /// Changes the requests and their expected status. No reply may be outstanding.
    pub fn turn_to(&mut self, requests: Vec<Vec<u8>>, status: u16) {
        (self.requests, self.next, self.status) = (requests, 0, status);
    }

    /// The number of alternating requests.
    pub fn requests(&self) -> usize {
        self.requests.len()
    }

    /// Sends `requests` requests over all connections, or over the first `only`, and waits for every reply. Adds the
    /// latencies, in nanoseconds, to `latencies`.
    ///
    /// # Errors
    /// If a connection ends or stays silent, or a status differs.
    pub fn run(&mut self, requests: usize, only: usize, latencies: &mut Histogram<u64>) -> io::Result<Duration> {
        let begin = Instant::now();
        let mut left = requests;
        let mut open = 0_usize;
        for connection in self.connections.iter_mut().take(only.min(requests)) {
            connection.ask(turn(&self.requests, &mut self.next))?;
            left -= 1;
            open += 1;
        }
        while open > 0 {
            self.poll.poll(&mut self.events, Some(SILENCE))?;
            if self.events.is_empty() {
                return Err(ErrorKind::TimedOut.into());
            }
            for event in &self.events {
                let connection = &mut self.connections[event.token().0];
                while let Some(status) = connection.reply()? {
                    if status != self.status {
                        return Err(io::Error::other(format!("status {status} instead of {}", self.status)));
                    }
                    let took = connection.asked.elapsed().as_nanos();
                    latencies.saturating_record(u64::try_from(took).unwrap_or(u64::MAX));
                    open -= 1;
                    if left > 0 {
                        connection.ask(turn(&self.requests, &mut self.next))?;
                        left -= 1;
                        open += 1;
                    }
                }
            }
        }
        Ok(begin.elapsed())
    }
}

fn turn<'a>(requests: &'a [Vec<u8>], next: &mut usize) -> &'a [u8] {
    *next = (*next + 1) % requests.len();
    &requests[*next]
}

impl Connection {
    /// A request fits into the socket's buffer: the reply to the one before has been read.
    fn ask(&mut self, request: &[u8]) -> io::Result<()> {
        self.asked = Instant::now();
        self.stream.write_all(request)
    }

    /// The status of the next reply; `None` if it is incomplete.
    fn reply(&mut self) -> io::Result<Option<u16>> {
        loop {
            if let Some((status, length)) = whole(&self.inbox[..self.filled])? {
                self.inbox.copy_within(length..self.filled, 0);
                self.filled -= length;
                return Ok(Some(status));
            }
            match self.stream.read(&mut self.inbox[self.filled..]) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => self.filled += read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// The status and the length of the reply at the beginning of these bytes, if it is complete. Envoy writes header names
/// in lower case; replies here have a `content-length`.
fn whole(bytes: &[u8]) -> io::Result<Option<(u16, usize)>> {
    let Some(head) = find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let number = |digits: &[u8]| std::str::from_utf8(digits).ok()?.trim().parse::<usize>().ok();
    let status = bytes.get(9..12).and_then(number).and_then(|status| u16::try_from(status).ok());
    let status = status.ok_or_else(|| io::Error::other("no status line"))?;
    let length = find(&bytes[..head], b"\r\ncontent-length:").and_then(|at| {
        let value = &bytes[at + 17..head];
        number(&value[..find(value, b"\r\n").unwrap_or(value.len())])
    });
    let length = length.ok_or_else(|| io::Error::other("a reply without a content-length"))?;
    let all = head + 4 + length;
    Ok((bytes.len() >= all).then_some((status, all)))
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::whole;

    #[test]
    fn a_reply_ends_where_its_content_length_says() {
        let reply = b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 3\r\ndate: x\r\n\r\nno!".to_vec();
        let both = [reply.as_slice(), b"HTTP/1.1 200 OK\r\n"].concat();
        assert_eq!(whole(&both).expect("well-formed"), Some((401, reply.len())));
        assert_eq!(whole(&reply[..reply.len() - 1]).expect("well-formed"), None);
        assert_eq!(whole(&reply[..20]).expect("well-formed"), None);
        assert!(whole(b"HTTP/1.1 200 OK\r\ndate: x\r\n\r\n").is_err());
    }
}
