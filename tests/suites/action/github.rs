//! GitHub's REST API for the comments of one pull request: a real HTTP server that keeps what it is sent.

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use portcullis_tests::message::{Inbox, values};
use serde_json::{Value, json};

/// The token that the server takes.
pub(crate) const TOKEN: &str = "ghs_action_suite_token";

#[derive(Debug, Default)]
struct State {
    comments: Vec<Value>,
    /// The requests that change something.
    writes: Vec<String>,
    read_only: bool,
    /// The bytes of every answer, if it is broken.
    broken: Option<&'static str>,
}

/// The running server; dropping it ends it.
#[derive(Debug)]
pub(crate) struct GitHub {
    address: SocketAddr,
    host: &'static str,
    state: Arc<Mutex<State>>,
    closing: Arc<AtomicBool>,
}

impl GitHub {
    /// Starts a server with these comments, each with its author and its text.
    pub(crate) fn start(comments: &[(&str, &str)], read_only: bool) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let mut state = State { read_only, ..State::default() };
        for (author, text) in comments {
            add(&mut state.comments, author, text);
        }
        let (state, closing) = (Arc::new(Mutex::new(state)), Arc::new(AtomicBool::new(false)));
        let (shelf, stop) = (Arc::clone(&state), Arc::clone(&closing));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                // A broken connection is not an error here; the client reports it.
                serve(stream, &shelf).ok();
            }
        });
        Self { address, host: "127.0.0.1", state, closing }
    }

    /// Makes the server answer every request with these bytes.
    pub(crate) fn broken(self, answer: &'static str) -> Self {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).broken = Some(answer);
        self
    }

    /// Gives the server another host in its URL.
    pub(crate) const fn at(mut self, host: &'static str) -> Self {
        self.host = host;
        self
    }

    /// The value of `GITHUB_API_URL`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}:{}", self.host, self.address.port())
    }

    /// The comments, each with its author and its text.
    pub(crate) fn comments(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.comments.iter().map(|one| (text(&one["user"]["login"]), text(&one["body"]))).collect()
    }

    /// The requests that changed something, or were refused: method and path.
    pub(crate) fn writes(&self) -> Vec<String> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).writes.clone()
    }
}

impl Drop for GitHub {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::SeqCst);
        // Wakes the accepting thread, which then frees the port.
        let _ = TcpStream::connect(self.address);
    }
}

fn add(comments: &mut Vec<Value>, author: &str, text: &str) {
    let id = 1000 + comments.len();
    // The account of a ghost is deleted.
    let user = if author == "ghost" { Value::Null } else { json!({"login": author}) };
    comments.push(json!({"id": id, "user": user, "body": text}));
}

fn serve(stream: TcpStream, state: &Mutex<State>) -> io::Result<()> {
    let mut inbox = Inbox::new(stream);
    let Some(head) = inbox.head()? else { return Ok(()) };
    let (body, _) = inbox.body(&head.headers, false)?;
    let broken = state.lock().unwrap_or_else(PoisonError::into_inner).broken;
    if let Some(answer) = broken {
        return inbox.stream().write_all(answer.as_bytes());
    }
    let line = String::from_utf8_lossy(&head.first).into_owned();
    let knows = values(&head.headers, "authorization") == [format!("Bearer {TOKEN}").as_bytes()];
    let (status, text) = if knows { answer(&line, &body, state) } else { (401, json!({"message": "Bad credentials"})) };
    let text = text.to_string();
    let length = text.len();
    let reply = format!("HTTP/1.1 {status} Seen\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{text}");
    inbox.stream().write_all(reply.as_bytes())
}

fn answer(line: &str, body: &[u8], state: &Mutex<State>) -> (u16, Value) {
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    let (method, target) = line.split_once(' ').unwrap_or((line, ""));
    let path = target.strip_suffix(" HTTP/1.1").unwrap_or(target);
    let text = serde_json::from_slice::<Value>(body).ok().and_then(|body| Some(body["body"].as_str()?.to_owned()));
    let begin = "/repos/acme/shop/issues/7/comments?per_page=100&page=";
    if method == "GET" {
        let page = path.strip_prefix(begin).and_then(|page| page.parse::<usize>().ok());
        return page.map_or((404, Value::Null), |page| {
            (200, state.comments.iter().skip((page - 1) * 100).take(100).cloned().collect())
        });
    }
    state.writes.push(format!("{method} {path}"));
    if state.read_only {
        return (403, json!({"message": "Resource not accessible by integration"}));
    }
    match (method, path.strip_prefix("/repos/acme/shop/issues/"), text) {
        ("POST", Some("7/comments"), Some(text)) => {
            add(&mut state.comments, "github-actions[bot]", &text);
            (201, json!({}))
        }
        ("PATCH", Some(rest), Some(text)) => {
            let id = rest.strip_prefix("comments/").and_then(|id| id.parse::<u64>().ok());
            let found = state.comments.iter_mut().find(|one| one["id"].as_u64() == id);
            found.map_or((404, Value::Null), |one| {
                one["body"] = json!(text);
                (200, json!({}))
            })
        }
        _ => (404, Value::Null),
    }
}
