//! The upstream of the suites: it records what it receives, byte for byte, and answers 200 with the record as JSON.
//!
//! The record is also kept here, and the reply names it in `x-test-seen`, so that HEAD requests can be looked up too.
//! CONNECT gets 501: a 2xx would open a tunnel.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use serde_json::json;

use crate::bytes::show;
use crate::message::{Inbox, Pair, Reply};

/// The reply header with the name of the record.
pub const SEEN: &str = "x-test-seen";

/// A request as the upstream received it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The method, any bytes.
    pub method: Vec<u8>,
    /// The request target, any bytes.
    pub path: Vec<u8>,
    /// The header lines in their order, duplicates kept.
    pub headers: Vec<Pair>,
    /// The body without its framing.
    pub body: Vec<u8>,
    /// The trailers after it.
    pub trailers: Vec<Pair>,
}

/// A recording HTTP/1.1 server on a port that the kernel chooses.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    records: Arc<Mutex<Vec<Seen>>>,
    closing: Arc<AtomicBool>,
}

impl Upstream {
    /// Starts the server.
    ///
    /// # Panics
    /// If the loopback interface has no free port.
    pub fn start() -> Self {
        Self::with_replies(usize::MAX)
    }

    /// Starts a server that replies once on each connection, and closes it when a second request arrives: like a server
    /// that closes an idle connection at that moment.
    ///
    /// # Panics
    /// As [`Upstream::start`].
    pub fn impatient() -> Self {
        Self::with_replies(1)
    }

    /// A server with that number of replies on each connection.
    fn with_replies(replies: usize) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let records = Arc::new(Mutex::new(Vec::new()));
        let closing = Arc::new(AtomicBool::new(false));
        let (shelf, stop) = (Arc::clone(&records), Arc::clone(&closing));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let shelf = Arc::clone(&shelf);
                // A broken connection is not an error here; the client reports it.
                thread::spawn(move || serve(stream, replies, &shelf).ok());
            }
        });
        Self { address, records, closing }
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many requests have arrived.
    pub fn count(&self) -> usize {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether no connection is open: then everything that arrived has been recorded.
    pub fn is_alone(&self) -> bool {
        // Counts our own reference, that of the accepting thread, and one for each connection.
        Arc::strong_count(&self.records) == 2
    }

    /// The last request after the first `count` ones, if there is one.
    pub fn since(&self, count: usize) -> Option<Seen> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).get(count..)?.last().cloned()
    }

    /// The request that `reply` answers, if the reply is from the upstream.
    pub fn seen(&self, reply: &Reply) -> Option<Seen> {
        let number: usize = reply.header(SEEN)?.parse().ok()?;
        self.records.lock().unwrap_or_else(PoisonError::into_inner).get(number).cloned()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::SeqCst);
        // Wakes the accepting thread, which then frees the port.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(stream: TcpStream, replies: usize, records: &Mutex<Vec<Seen>>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut inbox = Inbox::new(stream);
    let mut requests = 0;
    while let Some(head) = inbox.head()? {
        requests += 1;
        let (body, trailers) = inbox.body(&head.headers, false)?;
        let mut line = head.first.splitn(2, |&byte| byte == b' ');
        let method = line.next().unwrap_or_default().to_vec();
        let target = line.next().unwrap_or_default();
        let path = target.strip_suffix(b" HTTP/1.1").unwrap_or(target).to_vec();
        let seen = Seen { method, path, headers: head.headers, body, trailers };
        let (status, text) = (if seen.method == b"CONNECT" { 501 } else { 200 }, describe(&seen));
        let head_only = seen.method == b"HEAD";
        let number = {
            let mut records = records.lock().unwrap_or_else(PoisonError::into_inner);
            records.push(seen);
            records.len() - 1
        };
        if requests > replies {
            return Ok(());
        }
        let length = text.len();
        let head = format!(
            "HTTP/1.1 {status} Seen\r\ncontent-type: application/json\r\n{SEEN}: {number}\r\ncontent-length: {length}\r\n\r\n"
        );
        let body = if head_only { "" } else { &text };
        inbox.stream().write_all([head.as_str(), body].concat().as_bytes())?;
    }
    Ok(())
}

fn describe(seen: &Seen) -> String {
    let headers: Vec<_> = seen.headers.iter().map(|(name, value)| json!([show(name), show(value)])).collect();
    let record = json!({
        "method": show(&seen.method), "path": show(&seen.path), "headers": headers, "body": show(&seen.body)
    });
    record.to_string()
}
