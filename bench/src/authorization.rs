//! The server for `ext_authz`: looks a key up in a map, over HTTP/1 with persistent connections. It is as small as such
//! a server can be; a real one costs more.

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use portcullis_tests::message::{Inbox, values};

use crate::contenders::{IDENTITY, KEY};

const DENIED: &str = concat!(
    "{\"type\":\"about:blank\",\"title\":\"Unauthorized\",\"status\":401,",
    "\"detail\":\"Invalid or missing API key. Please provide a valid X-API-Key header.\"}"
);

/// Starts the server; it ends with this process.
///
/// If no port is free.
/// No port.
pub fn start() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr()?;
    let keys = Arc::new(HashMap::from([(KEY.as_bytes().to_vec(), IDENTITY)]));
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let keys = Arc::clone(&keys);
            // A closed connection is not an error here.
            thread::spawn(move || serve(stream, &keys));
        }
    });
    Ok(address)
}

fn serve(stream: TcpStream, keys: &HashMap<Vec<u8>, [(&str, &str); 3]>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut replies = stream.try_clone()?;
    let mut inbox = Inbox::new(stream);
    while let Some(head) = inbox.head()? {
        inbox.body(&head.headers, false)?;
        let bearer = values(&head.headers, "authorization").first().and_then(|value| value.strip_prefix(b"Bearer "));
        let key = bearer.or_else(|| values(&head.headers, "x-api-key").first().copied());
        let reply = match key.and_then(|key| keys.get(key)) {
            Some(identity) => {
                let identity = identity.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
                format!("HTTP/1.1 200 OK\r\n{}content-length: 0\r\n\r\n", identity.collect::<String>())
            }
            None => format!(
                "HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Bearer realm=\"portcullis\"\r\ncache-control: no-store\r\n\
                 content-type: application/problem+json\r\ncontent-length: {}\r\n\r\n{DENIED}",
                DENIED.len()
            ),
        };
        replies.write_all(reply.as_bytes())?;
    }
    Ok(())
}
