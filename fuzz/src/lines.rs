//! Input as text that a person can read and write: one `name: value` a line, bytes as they are.
//!
//! Names that begin with `@` say what the host knows (`@source`, `@state`, `@identity`, `@now`) or what the policy is made of;
//! all others are headers of the request, `:method`, `:path` and `:authority` too.

/// The lines of an input.
#[derive(Debug, Default)]
pub struct Lines {
    /// The header pairs.
    pub headers: Vec<(String, Vec<u8>)>,
    told: Vec<(String, Vec<u8>)>,
}

impl Lines {
    /// Takes an input apart. A line without a colon is a header without a value.
    #[must_use]
    pub fn read(input: &[u8]) -> Self {
        let mut lines = Self::default();
        for line in input.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            // A pseudo-header's own colon parts nothing.
            let colon = line.iter().skip(1).position(|byte| *byte == b':').map_or(line.len(), |at| at + 1);
            let name: String = line[..colon].iter().map(|byte| name_letter(*byte)).collect();
            let value = line.get(colon + 1..).unwrap_or_default();
            let value = value.strip_prefix(b" ").unwrap_or(value).to_vec();
            if name.starts_with(':') {
                // A pseudo-header stands once, or Envoy refuses the request.
                lines.headers.retain(|(other, _)| *other != name);
            }
            if name.starts_with('@') { lines.told.push((name, value)) } else { lines.headers.push((name, value)) }
        }
        lines
    }

    /// Gives a name the value that it has where the input does not say: most inputs would be dull without it.
    pub fn assume(&mut self, name: &str, value: &str) {
        let lines = if name.starts_with('@') { &mut self.told } else { &mut self.headers };
        if !lines.iter().any(|(one, _)| one == name) {
            lines.push((name.to_owned(), value.as_bytes().to_vec()));
        }
    }

    /// What the host or the policy is told.
    #[must_use]
    pub fn told(&self, name: &str) -> Option<&[u8]> {
        self.told.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_slice())
    }

    /// The same as text, where it is.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.told(name).and_then(|value| std::str::from_utf8(value).ok())
    }
}

/// A header's name is a token, in lower case: Envoy's codecs see to that.
fn name_letter(byte: u8) -> char {
    if byte.is_ascii_graphic() { char::from(byte).to_ascii_lowercase() } else { '~' }
}
