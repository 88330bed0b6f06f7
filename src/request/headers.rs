//! Header pairs in the serialized form of the proxy-wasm ABI: one block of bytes, read in place.
//!
//! A block contains, in this order:
//!
//! * the number of pairs
//! * for each pair, the lengths of its name and of its value
//! * for each pair, its name and its value, with a zero byte after each
//!
//! Numbers are 32-bit, little-endian. Source: proxy-wasm ABI 0.2.1, "Serialization" of maps.

use core::fmt;

/// The pairs of a block.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Headers<'a> {
    lengths: &'a [[u8; 8]],
    texts: &'a [u8],
}

impl<'a> Headers<'a> {
    /// No pairs.
    pub const NONE: Self = Self { lengths: &[], texts: &[] };

    /// Parses a block; `None` if its length is not exactly that of its pairs. An empty block has no pairs: Envoy sends it
    /// for an empty map.
    pub fn read(block: &'a [u8]) -> Option<Self> {
        let Some((count, rest)) = block.split_first_chunk() else { return block.is_empty().then_some(Self::NONE) };
        let size = number(*count).checked_mul(8)?;
        let (lengths, texts) = rest.split_at_checked(size)?;
        let (lengths, _) = lengths.as_chunks();
        let length = lengths.iter().try_fold(0_usize, |sum, lengths| {
            let (name, value) = parts(*lengths);
            sum.checked_add(name)?.checked_add(value)?.checked_add(2)
        });
        (length? == texts.len()).then_some(Self { lengths, texts })
    }

    /// Returns name and value of each pair, in order.
    pub fn iter(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let mut rest = self.texts;
        self.lengths.iter().map_while(move |lengths| {
            let (name, value) = parts(*lengths);
            Some((text(&mut rest, name)?, text(&mut rest, value)?))
        })
    }
}

/// Shows names only: values may be credentials.
impl fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| String::from_utf8_lossy(name))).finish()
    }
}

/// Splits off the next text, and the zero byte after it.
fn text<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (text, after) = rest.split_at_checked(length)?;
    *rest = after.get(1..)?;
    Some(text)
}

fn parts(lengths: [u8; 8]) -> (usize, usize) {
    // Reads both lengths with one load.
    let both = u64::from_le_bytes(lengths);
    (both as u32 as usize, (both >> 32) as usize)
}

fn number(bytes: [u8; 4]) -> usize {
    usize::try_from(u32::from_le_bytes(bytes)).unwrap_or(usize::MAX)
}

/// Removes spaces and tabs at both ends.
pub(crate) fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// An owned block.
#[derive(Clone, PartialEq, Eq)]
pub struct HeaderBlock(Vec<u8>);

impl HeaderBlock {
    /// Serializes pairs of names and values.
    pub fn new<N: AsRef<[u8]>, V: AsRef<[u8]>>(pairs: &[(N, V)]) -> Self {
        let mut block = Vec::new();
        // A length that does not fit in 32 bits makes a block that cannot be parsed.
        let mut length = |bytes: usize| block.extend(u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes());
        length(pairs.len());
        for (name, value) in pairs {
            length(name.as_ref().len());
            length(value.as_ref().len());
        }
        for (name, value) in pairs {
            for text in [name.as_ref(), value.as_ref()] {
                block.extend_from_slice(text);
                block.push(0);
            }
        }
        Self(block)
    }

    /// Returns the pairs.
    pub fn headers(&self) -> Headers<'_> {
        Headers::read(&self.0).unwrap_or_default()
    }

    /// Returns the bytes for the host.
    pub fn as_bytes(&self) -> &[u8] {
        if self.0.is_empty() { &[0; 4] } else { &self.0 }
    }
}

pub(crate) static NO_HEADERS: HeaderBlock = HeaderBlock(Vec::new());

impl fmt::Debug for HeaderBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.headers().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_read_as_it_was_written() {
        for pairs in [&[][..], &[("a", "1")], &[(":path", "/"), ("", ""), ("x", "\u{ff}\0,"), ("x", "")]] {
            let block = HeaderBlock::new(pairs);
            let bytes = |(name, value): &(&'static str, &'static str)| (name.as_bytes(), value.as_bytes());
            assert!(block.headers().iter().eq(pairs.iter().map(bytes)), "{pairs:?}");
        }
        assert!(NO_HEADERS.headers().iter().next().is_none());
        assert_eq!(NO_HEADERS.as_bytes(), HeaderBlock::new::<&str, &str>(&[]).as_bytes());
        assert_eq!(HeaderBlock::new(&[("ab", "c")]).as_bytes(), b"\x01\0\0\0\x02\0\0\0\x01\0\0\0ab\0c\0");
    }

    #[test]
    fn a_block_of_another_length_is_refused() {
        let block = HeaderBlock::new(&[("ab", "c"), ("d", "")]);
        assert!(Headers::read(&[]).is_some());
        for length in 1..block.0.len() {
            assert!(Headers::read(&block.0[..length]).is_none(), "{length}");
        }
        assert!(Headers::read(&[&block.0[..], b"x"].concat()).is_none());
        for at in 0..20 {
            for by in [1, 0x80, 0xFF] {
                let mut other = block.0.clone();
                other[at] ^= by;
                assert!(Headers::read(&other).is_none(), "{at} {by}");
            }
        }
    }
}
