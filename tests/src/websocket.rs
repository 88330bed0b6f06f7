//! WebSocket frames (RFC 6455, section 5): short ones, each a whole text message.

use std::io::{self, Read};

use crate::message::Inbox;

/// The final frame of a text message.
const TEXT: u8 = 0x81;
const MASKED: u8 = 0x80;
/// Longer messages have their length in additional bytes.
const MAX_LENGTH: u8 = 125;
/// A client masks its messages with any four bytes.
const MASK: [u8; 4] = *b"mask";

/// A message as a client sends it.
///
/// # Panics
/// If it is longer than a short frame.
pub fn from_client(message: &str) -> Vec<u8> {
    [&[TEXT, length(message) | MASKED], MASK.as_slice(), &masked(message.as_bytes(), MASK)].concat()
}

/// A message as a server sends it.
///
/// # Panics
/// If it is longer than a short frame.
pub fn from_server(message: &str) -> Vec<u8> {
    [&[TEXT, length(message)], message.as_bytes()].concat()
}

/// The next message of a client, or `None` if the stream ends before it.
///
/// # Errors
/// If a read fails, or a frame is of another kind.
pub fn read<R: Read>(inbox: &mut Inbox<R>) -> io::Result<Option<String>> {
    let Ok(head) = inbox.exactly(2) else { return Ok(None) };
    let size = head[1] & !MASKED;
    if head[0] != TEXT || head[1] & MASKED == 0 || size > MAX_LENGTH {
        return Err(io::Error::other(format!("no short text of a client: {head:?}")));
    }
    let mask = inbox.exactly(4)?;
    let text = masked(&inbox.exactly(size.into())?, [mask[0], mask[1], mask[2], mask[3]]);
    String::from_utf8(text).map(Some).map_err(io::Error::other)
}

fn length(message: &str) -> u8 {
    let length = u8::try_from(message.len()).ok().filter(|length| *length <= MAX_LENGTH);
    length.unwrap_or_else(|| panic!("too long for a short frame: {message}"))
}

fn masked(bytes: &[u8], mask: [u8; 4]) -> Vec<u8> {
    bytes.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect()
}

#[cfg(test)]
mod tests {
    use super::{from_client, from_server, read};
    use crate::message::Inbox;

    #[test]
    fn frames_are_those_of_the_specification() {
        // RFC 6455, section 5.7; the mask there differs.
        assert_eq!(from_server("Hello"), [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
        let masked = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        assert_eq!(read(&mut Inbox::new(masked.as_slice())).expect("a frame").as_deref(), Some("Hello"));
        assert_eq!(read(&mut Inbox::new(from_client("two").as_slice())).expect("a frame").as_deref(), Some("two"));
        assert_eq!(read(&mut Inbox::new([].as_slice())).expect("an end"), None);
        assert!(read(&mut Inbox::new(from_server("not masked").as_slice())).is_err());
    }
}
