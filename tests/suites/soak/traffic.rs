//! Clients that send many concurrent requests over HTTP/2, reset some of them, and check the replies to the others.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use fastrand::Rng;
use portcullis_tests::bytes::show;
use portcullis_tests::envoy::V4;
use portcullis_tests::http2::{Client, Event, What};
use portcullis_tests::message::Reply;
use portcullis_tests::net::connect;
use portcullis_tests::stage::verdict;

use crate::MAX_DURATION;
use crate::requests::{Request, any, endless};

/// The number of concurrent requests of a client.
const WINDOW: usize = 16;
/// One request in so many is reset. Envoy closes a connection on which more than half are reset (CVE-2023-44487).
const RESETS: usize = 10;
/// The number of requests on one connection. nghttp2 closes one with more than 1,000 resets, and 33 a second (GOAWAY,
/// INTERNAL_ERROR).
const REQUESTS: usize = 5_000;
/// The requests whose body begins and does not end.
const UNFINISHED: usize = 3;

/// The state that clients and their observers share.
#[derive(Default)]
pub(crate) struct Board {
    /// The number of finished requests.
    pub(crate) done: AtomicUsize,
    /// The number of the policy that all workers have.
    pub(crate) current: AtomicUsize,
    stop: AtomicBool,
    failure: Mutex<Option<String>>,
}

impl Board {
    /// The error of a client, if one failed.
    pub(crate) fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The outcome of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The upstream has answered.
    Forwarded,
    /// The gate has answered.
    Denied,
    /// The client has reset it; the gate allows it.
    ResetAllowed,
    /// The client has reset it; the gate denies it.
    ResetDenied,
}

/// The observations of a client.
#[derive(Default)]
pub(crate) struct Tally {
    /// The number of requests that the gate had to decide in each way.
    pub(crate) reasons: BTreeMap<&'static str, u64>,
    /// The outcome of each, by its number.
    pub(crate) outcomes: Vec<(usize, Outcome)>,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.outcomes.extend(other.outcomes);
        other.reasons.into_iter().for_each(|(reason, count)| *self.reasons.entry(reason).or_default() += count);
    }
}

/// Clients at work.
pub(crate) struct Traffic {
    /// Their shared state.
    pub(crate) board: Arc<Board>,
    clients: Vec<JoinHandle<Tally>>,
}

impl Traffic {
    /// Starts `clients` clients, which share `requests` requests.
    pub(crate) fn begin(address: SocketAddr, clients: usize, requests: usize) -> Self {
        let board = Arc::new(Board::default());
        let client = |place: usize| {
            let (board, share) = (Arc::clone(&board), requests / clients);
            thread::spawn(move || {
                let mut tally = Tally::default();
                for first in (place * share..(place + 1) * share).step_by(REQUESTS) {
                    let client = connect(V4, address).and_then(Client::new);
                    let sender = client.map(|client| Sender::new(client, first as u64, Arc::clone(&board)));
                    match sender.and_then(|sender| sender.run(first..(first + REQUESTS).min((place + 1) * share))) {
                        Ok(further) => tally.add(further),
                        Err(error) => {
                            board
                                .failure
                                .lock()
                                .unwrap_or_else(PoisonError::into_inner)
                                .get_or_insert(error.to_string());
                            break;
                        }
                    }
                }
                tally
            })
        };
        let clients = (0..clients).map(client).collect();
        Self { board, clients }
    }

    /// Waits for all of them.
    ///
    /// # Panics
    /// If one has seen an unexpected result.
    pub(crate) fn end(mut self) -> Tally {
        let mut all = Tally::default();
        for client in self.clients.drain(..) {
            all.add(client.join().expect("clients do not panic"));
        }
        assert_eq!(self.board.failure(), None);
        all
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.board.stop.store(true, Ordering::Relaxed);
        for client in self.clients.drain(..) {
            let _ = client.join();
        }
    }
}

/// When a request is reset.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Moment {
    Never,
    /// Just after its header fields.
    AtOnce,
    /// After its header fields and a part of its body.
    InBody,
    /// After the reply has begun.
    InReply,
}

struct Pending {
    number: usize,
    request: Request,
    moment: Moment,
    reply: Option<Reply>,
}

struct Sender {
    client: Client<TcpStream>,
    random: Rng,
    open: BTreeMap<u32, Pending>,
    /// Those with a started body, in order.
    unfinished: VecDeque<u32>,
    tally: Tally,
    board: Arc<Board>,
}

impl Sender {
    fn new(client: Client<TcpStream>, seed: u64, board: Arc<Board>) -> Self {
        let (open, unfinished, tally) = (BTreeMap::new(), VecDeque::new(), Tally::default());
        Self { client, random: Rng::with_seed(seed), open, unfinished, tally, board }
    }

    fn run(mut self, mut numbers: Range<usize>) -> io::Result<Tally> {
        let begin = Instant::now();
        loop {
            while self.open.len() < WINDOW
                && let Some(number) = numbers.next()
            {
                self.send(number)?;
            }
            // These get no reply: with only them, there would be nothing to wait for.
            while self.unfinished.len() > UNFINISHED || self.unfinished.len() == self.open.len() {
                let Some(stream) = self.unfinished.front().copied() else { break };
                self.reset(stream)?;
            }
            if !self.open.is_empty() {
                self.hear()?;
            } else if numbers.is_empty() {
                return Ok(self.tally);
            }
            if self.board.stop.load(Ordering::Relaxed) || begin.elapsed() > MAX_DURATION {
                return Err(io::Error::other(format!("stopped after {:?}", begin.elapsed())));
            }
        }
    }

    fn send(&mut self, number: usize) -> io::Result<()> {
        let moment = match self.random.usize(..4 * RESETS) {
            0 | 1 => Moment::AtOnce,
            2 => Moment::InBody,
            3 => Moment::InReply,
            _ => Moment::Never,
        };
        let current = self.board.current.load(Ordering::SeqCst);
        let request = match moment {
            Moment::InReply => endless(number),
            _ => any(&mut self.random, number, current),
        };
        let with_body = request.body.is_some() || moment == Moment::InBody;
        let stream = self.client.open(&request.fields, !with_body)?;
        match (moment, request.body) {
            (Moment::InBody, _) => self.client.data(stream, b"a part", false)?,
            (Moment::Never, Some(body)) => self.client.data(stream, body, true)?,
            _ => {}
        }
        self.open.insert(stream, Pending { number, request, moment, reply: None });
        match moment {
            Moment::AtOnce => self.reset(stream)?,
            Moment::InBody => self.unfinished.push_back(stream),
            Moment::InReply | Moment::Never => {}
        }
        Ok(())
    }

    /// Resets a stream; the gate has already decided, because it does so when it has the header fields.
    fn reset(&mut self, stream: u32) -> io::Result<()> {
        self.client.reset(stream)?;
        if let Some(pending) = self.close(stream) {
            let allowed = pending.request.status == 200;
            self.over(&pending, if allowed { Outcome::ResetAllowed } else { Outcome::ResetDenied });
        }
        Ok(())
    }

    fn close(&mut self, stream: u32) -> Option<Pending> {
        self.unfinished.retain(|other| *other != stream);
        self.open.remove(&stream)
    }

    fn over(&mut self, pending: &Pending, outcome: Outcome) {
        *self.tally.reasons.entry(pending.request.reason).or_default() += 1;
        self.tally.outcomes.push((pending.number, outcome));
        self.board.done.fetch_add(1, Ordering::SeqCst);
    }

    /// Waits for an event, and checks a complete reply.
    fn hear(&mut self) -> io::Result<()> {
        let Event { stream, what, ended } = self.client.event()?;
        // An event that was in transit when its stream was reset.
        let Some(pending) = self.open.get_mut(&stream) else { return Ok(()) };
        match (what, &mut pending.reply) {
            (What::Fields(reply), none @ None) => *none = Some(reply),
            (What::Data(bytes), Some(reply)) => reply.body.extend(bytes),
            (what, reply) => {
                let came = format!("{what:?} after {reply:?}");
                return Err(pending.wrong(&came));
            }
        }
        if ended {
            let Some(pending) = self.close(stream) else { return Ok(()) };
            let outcome = pending.judge()?;
            self.over(&pending, outcome);
        } else if pending.moment == Moment::InReply
            && pending.reply.as_ref().is_some_and(|reply| !reply.body.is_empty())
        {
            self.reset(stream)?;
        }
        Ok(())
    }
}

impl Pending {
    /// The outcome of an answered request.
    fn judge(&self) -> io::Result<Outcome> {
        let Request { status, reason, consumer, .. } = &self.request;
        let reply = self.reply.as_ref().ok_or_else(|| self.wrong("an end without a reply"))?;
        let is_right = verdict(reply) == (*status, (*reason).to_owned());
        match status {
            200 if is_right && reply.body == consumer.as_bytes() => Ok(Outcome::Forwarded),
            _ if is_right && *status != 200 => Ok(Outcome::Denied),
            _ => Err(self.wrong(&format!("{reply:?}"))),
        }
    }

    fn wrong(&self, what: &str) -> io::Error {
        let Request { fields, status, reason, .. } = &self.request;
        let shown: Vec<_> = fields.iter().map(|(name, value)| format!("{}: {}", show(name), show(value))).collect();
        io::Error::other(format!("{} wants {status} {reason}, and gets {what}", shown.join(", ")))
    }
}
