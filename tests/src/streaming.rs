//! An upstream for long streams (WebSocket and server-sent events) and for many short requests: unlike
//! [`crate::upstream`], it keeps only one byte for each request.
//!
//! * An upgrade to WebSocket: echoes each message.
//! * [`EVENTS`]: each [`Streaming::announce`] sends an event on all of these streams.
//! * [`ENDLESS`]: a reply that continues until the other side closes.
//! * Any other path: 200, with the consumer that the gate set as the body; `-` for none.

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::message::{Inbox, Pair, values};
use crate::websocket;

/// The path of server-sent events.
pub const EVENTS: &str = "/events";
/// The path of an endless reply.
pub const ENDLESS: &str = "/endless";
/// The text of the first event on each stream.
pub const BEGIN: &str = "begin";
/// The request header with a request's number, from 0.
pub const NUMBER: &str = "x-test-number";

/// The stack of a connection's thread: small, because little is on it.
const STACK: usize = 256 * 1024;

/// A server on a port that the kernel chooses; dropping it frees the port.
#[derive(Debug)]
pub struct Streaming {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    closing: AtomicBool,
    /// The connections that wait for events.
    listening: Mutex<Vec<Arc<TcpStream>>>,
    /// The number of arrivals of each request number.
    arrivals: Vec<AtomicU8>,
    /// The number of requests with a credential.
    credentials: AtomicU64,
}

impl Streaming {
    /// Starts the server, for requests with numbers below `numbers`.
    ///
    /// # Panics
    /// If the loopback interface has no free port.
    pub fn start(numbers: usize) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            closing: AtomicBool::new(false),
            listening: Mutex::default(),
            arrivals: (0..numbers).map(|_| AtomicU8::new(0)).collect(),
            credentials: AtomicU64::new(0),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if accepting.closing.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&accepting);
                // A broken connection is not an error here; the client reports it.
                let serve = move || serve(&Arc::new(stream), &shared).ok();
                thread::Builder::new().stack_size(STACK).spawn(serve).expect("a thread for a connection");
            }
        });
        Self { address, shared }
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends an event with this text to all open streams. Returns their number.
    ///
    /// # Panics
    /// If one of them is closed.
    pub fn announce(&self, text: &str) -> usize {
        let listening = self.shared.listening();
        for stream in listening.iter() {
            stream.as_ref().write_all(&chunk(&event(text))).expect("a stream of events is open");
        }
        listening.len()
    }

    /// How often the request with this number has arrived.
    pub fn arrivals(&self, number: usize) -> u8 {
        self.shared.arrivals.get(number).map_or(0, |count| count.load(Ordering::SeqCst))
    }

    /// How many requests have arrived with a credential.
    pub fn credentials(&self) -> u64 {
        self.shared.credentials.load(Ordering::SeqCst)
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        // Wakes the accepting thread, which then frees the port.
        let _ = TcpStream::connect(self.address);
    }
}

/// An event of that text, as it arrives.
pub fn event(text: &str) -> String {
    format!("data: {text}\n\n")
}

fn chunk(text: &str) -> Vec<u8> {
    format!("{:x}\r\n{text}\r\n", text.len()).into_bytes()
}

fn serve(stream: &Arc<TcpStream>, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut inbox = Inbox::new(stream.as_ref());
    while let Some(head) = inbox.head()? {
        shared.note(&head.headers);
        let target = head.first.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
        if !values(&head.headers, "upgrade").is_empty() {
            // `Sec-WebSocket-Accept` is for the client, which does not check it.
            let switch = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
            inbox.stream().write_all(switch.as_bytes())?;
            while let Some(message) = websocket::read(&mut inbox)? {
                inbox.stream().write_all(&websocket::from_server(&message))?;
            }
            return Ok(());
        }
        if target == EVENTS.as_bytes() || target == ENDLESS.as_bytes() {
            let begin = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
            let begin = [begin.as_bytes(), &chunk(&event(BEGIN))].concat();
            if target == EVENTS.as_bytes() {
                // Written under the lock: so the first event comes before all others, and a client that has it gets
                // those as well.
                let mut listening = shared.listening();
                inbox.stream().write_all(&begin)?;
                listening.push(Arc::clone(stream));
            } else {
                inbox.stream().write_all(&begin)?;
            }
            // Nothing more arrives, except the end of the stream.
            let _ = inbox.head();
            shared.listening().retain(|one| !Arc::ptr_eq(one, stream));
            return Ok(());
        }
        inbox.body(&head.headers, false)?;
        let consumer = values(&head.headers, "x-portcullis-consumer");
        let consumer = consumer.first().map_or("-".into(), |name| String::from_utf8_lossy(name));
        let reply = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{consumer}", consumer.len());
        inbox.stream().write_all(reply.as_bytes())?;
    }
    Ok(())
}

impl Shared {
    fn listening(&self) -> MutexGuard<'_, Vec<Arc<TcpStream>>> {
        self.listening.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, headers: &[Pair]) {
        let number = values(headers, NUMBER).first().and_then(|value| std::str::from_utf8(value).ok()?.parse().ok());
        if let Some(arrivals) = number.and_then(|number: usize| self.arrivals.get(number)) {
            arrivals.fetch_add(1, Ordering::SeqCst);
        }
        if ["authorization", "x-api-key"].iter().any(|name| !values(headers, name).is_empty()) {
            self.credentials.fetch_add(1, Ordering::SeqCst);
        }
    }
}
