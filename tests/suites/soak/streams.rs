//! Streams that stay open: WebSocket and server-sent events, over HTTP/1 and HTTP/2.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};

use portcullis_tests::envoy::V4;
use portcullis_tests::http2::{Client, Event, What};
use portcullis_tests::message::{Inbox, Pair, pairs};
use portcullis_tests::net::connect;
use portcullis_tests::streaming::{BEGIN, EVENTS, Streaming, event};
use portcullis_tests::{http1, websocket};

/// The path of the WebSockets.
const SOCKETS: &str = "/sockets";
/// The number of streams on one HTTP/2 connection.
const MULTIPLEXED: usize = 100;

/// Connections with open streams.
pub(crate) struct Open {
    sockets: Vec<Inbox<TcpStream>>,
    events: Vec<Inbox<TcpStream>>,
    shared: Vec<Connection>,
    opened: usize,
}

impl Open {
    /// Opens `count` streams with that key, of four kinds.
    pub(crate) fn begin(address: SocketAddr, key: &str, count: usize) -> Self {
        let over_http1 = count / 5;
        let sockets = (0..over_http1).map(|_| socket(address, key)).collect();
        let events = (0..over_http1).map(|_| events(address, key)).collect();
        let mut shared = Vec::new();
        for number in 2 * over_http1..count {
            if (number - 2 * over_http1).is_multiple_of(MULTIPLEXED) {
                shared.push(Connection::open(address));
            }
            let connection = shared.last_mut().expect("one was just opened");
            if number % 2 == 0 { connection.open_socket(key) } else { connection.open_events(key) }
        }
        Self { sockets, events, shared, opened: count }
    }

    /// The number of open streams.
    pub(crate) fn count(&self) -> usize {
        let shared = self.shared.iter().map(|connection| connection.sockets.len() + connection.events.len());
        self.sockets.len() + self.events.len() + shared.sum::<usize>()
    }

    /// Sends `word` through each, there and back or from the server, and checks that it arrives, and nothing else.
    ///
    /// # Panics
    /// If a stream has ended, or delivers something else.
    pub(crate) fn check(&mut self, word: &str, upstream: &Streaming) {
        assert_eq!(self.count(), self.opened);
        for socket in &mut self.sockets {
            socket.stream().write_all(&websocket::from_client(word)).expect("a WebSocket is open");
        }
        self.shared.iter_mut().for_each(|connection| connection.say(word));
        let on_shared: usize = self.shared.iter().map(|connection| connection.events.len()).sum();
        assert_eq!(upstream.announce(word), self.events.len() + on_shared, "streams of events that are open upstream");
        for socket in &mut self.sockets {
            let echo = websocket::from_server(word);
            assert_eq!(socket.exactly(echo.len()).expect("a WebSocket echoes"), echo);
        }
        self.events.iter_mut().for_each(|stream| hear(stream, word));
        for connection in &mut self.shared {
            let (sockets, events) = (connection.sockets.clone(), connection.events.clone());
            let echo = sockets.into_iter().map(|stream| (stream, websocket::from_server(word)));
            connection
                .expect(echo.chain(events.into_iter().map(|stream| (stream, event(word).into_bytes()))).collect());
        }
    }
}

/// A WebSocket over HTTP/1.
fn socket(address: SocketAddr, key: &str) -> Inbox<TcpStream> {
    let headers = [
        ("x-api-key", key),
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "c29hay1zb2FrLXNvYWstcw=="),
    ];
    ask(address, SOCKETS, &headers, "101")
}

/// Server-sent events over HTTP/1.
fn events(address: SocketAddr, key: &str) -> Inbox<TcpStream> {
    let mut stream = ask(address, EVENTS, &[("x-api-key", key)], "200");
    hear(&mut stream, BEGIN);
    stream
}

fn ask(address: SocketAddr, path: &str, headers: &[(&str, &str)], status: &str) -> Inbox<TcpStream> {
    let mut inbox = Inbox::new(connect(V4, address).expect("Envoy listens"));
    inbox.stream().write_all(&http1::get(path, headers)).expect("Envoy reads");
    let head = inbox.head().expect("Envoy replies").expect("a head");
    let first = String::from_utf8_lossy(&head.first).into_owned();
    assert!(first.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {first}");
    inbox
}

/// Waits for an event.
fn hear(stream: &mut Inbox<TcpStream>, word: &str) {
    let (expected, mut heard) = (event(word).into_bytes(), Vec::new());
    while heard.len() < expected.len() {
        heard.extend(stream.chunk().expect("a stream of events is open").expect("it has no end"));
    }
    assert_eq!(heard, expected);
}

/// An HTTP/2 connection with streams of both kinds.
struct Connection {
    client: Client<TcpStream>,
    sockets: Vec<u32>,
    events: Vec<u32>,
}

impl Connection {
    fn open(address: SocketAddr) -> Self {
        let client = Client::new(connect(V4, address).expect("Envoy listens")).expect("Envoy speaks HTTP/2");
        Self { client, sockets: Vec::new(), events: Vec::new() }
    }

    /// Opens a WebSocket (RFC 8441).
    fn open_socket(&mut self, key: &str) {
        let stream = self.ask("CONNECT", SOCKETS, &[(":protocol", "websocket"), ("x-api-key", key)], false);
        self.sockets.push(stream);
    }

    fn open_events(&mut self, key: &str) {
        let stream = self.ask("GET", EVENTS, &[("x-api-key", key)], true);
        self.expect([(stream, event(BEGIN).into_bytes())].into());
        self.events.push(stream);
    }

    fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)], end: bool) -> u32 {
        let usual = [(":method", method), (":path", path), (":scheme", "http"), (":authority", "gate.test")];
        let fields: Vec<Pair> = pairs(&[&usual, headers].concat());
        let stream = self.client.open(&fields, end).expect("Envoy reads");
        let event = self.client.event().expect("Envoy replies");
        let opened = matches!(&event.what, What::Fields(reply) if reply.status == 200);
        assert!(opened && event.stream == stream && !event.ended, "{path}: {event:?}");
        stream
    }

    /// Sends `word` on every WebSocket.
    fn say(&mut self, word: &str) {
        for stream in &self.sockets {
            self.client.data(*stream, &websocket::from_client(word), false).expect("a WebSocket is open");
        }
    }

    /// Waits until each of these streams has delivered this.
    fn expect(&mut self, mut expected: BTreeMap<u32, Vec<u8>>) {
        while !expected.is_empty() {
            let Event { stream, what, ended } = self.client.event().expect("the streams are open");
            let What::Data(bytes) = what else { panic!("stream {stream}: {what:?}") };
            let rest = expected.get_mut(&stream).filter(|rest| rest.starts_with(&bytes));
            let rest = rest.unwrap_or_else(|| panic!("stream {stream} brings {}", String::from_utf8_lossy(&bytes)));
            rest.drain(..bytes.len());
            if rest.is_empty() {
                expected.remove(&stream);
            }
            assert!(!ended, "stream {stream} has ended");
        }
    }
}

/// WebSockets that are replaced, one after the other, on one connection: each is opened under another policy than the
/// one before it, and continues when its key is revoked.
pub(crate) struct Turning {
    connection: Connection,
    most: usize,
}

impl Turning {
    /// Begins without a stream; later there are at most `most`.
    pub(crate) fn begin(address: SocketAddr, most: usize) -> Self {
        Self { connection: Connection::open(address), most }
    }

    /// Opens one with that key. All of them echo; then the oldest is reset, if there is one too many.
    ///
    /// # Panics
    /// If one has ended.
    pub(crate) fn turn(&mut self, key: &str, word: &str) {
        let connection = &mut self.connection;
        connection.open_socket(key);
        connection.say(word);
        let echo = connection.sockets.iter().map(|stream| (*stream, websocket::from_server(word)));
        connection.expect(echo.collect());
        if connection.sockets.len() > self.most {
            connection.client.reset(connection.sockets.remove(0)).expect("Envoy reads");
        }
    }
}
