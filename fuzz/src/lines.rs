//! Readable text as input: one `name: value` on each line, bytes unchanged.
//!
//! Names that begin with `@` are attributes of the host (`@source`, `@state`, `@identity`, `@now`) or parts of the
//! policy; all others are headers of the request, including `:method`, `:path` and `:authority`.

/// The lines of an input.
#[derive(Debug, Default)]
pub struct Lines {
    /// The header pairs.
    pub headers: Vec<(String, Vec<u8>)>,
    told: Vec<(String, Vec<u8>)>,
}

impl Lines {
    /// Parses an input. A line without a colon is a header without a value.
    #[must_use]
    pub fn read(input: &[u8]) -> Self {
        let mut lines = Self::default();
        for line in input.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            // A pseudo-header's own colon is not a separator.
            let colon = line.iter().skip(1).position(|byte| *byte == b':').map_or(line.len(), |at| at + 1);
            let name: String = line[..colon].iter().map(|byte| name_letter(*byte)).collect();
            let value = line.get(colon + 1..).unwrap_or_default();
            let value = value.strip_prefix(b" ").unwrap_or(value).to_vec();
            if name.starts_with(':') {
                // A repeated pseudo-header is dropped: Envoy would reject the request.
                lines.headers.retain(|(other, _)| *other != name);
            }
            if name.starts_with('@') { lines.told.push((name, value)) } else { lines.headers.push((name, value)) }
        }
        lines
    }

    /// Sets the default value of a name that the input does not set: otherwise most inputs would be uninteresting.
    pub fn assume(&mut self, name: &str, value: &str) {
        let lines = if name.starts_with('@') { &mut self.told } else { &mut self.headers };
        if !lines.iter().any(|(one, _)| one == name) {
            lines.push((name.to_owned(), value.as_bytes().to_vec()));
        }
    }

    /// The value of an attribute of the host or the policy.
    #[must_use]
    pub fn told(&self, name: &str) -> Option<&[u8]> {
        self.told.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_slice())
    }

    /// The same as text, if it is text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.told(name).and_then(|value| std::str::from_utf8(value).ok())
    }
}

/// A header's name is a token in lower case: Envoy's codecs ensure that.
fn name_letter(byte: u8) -> char {
    if byte.is_ascii_graphic() { char::from(byte).to_ascii_lowercase() } else { '~' }
}
