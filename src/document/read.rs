//! Reads a document from JSON text or from Envoy's `Struct`.

use std::io::{Chain, Cursor, Read};

use serde::de::DeserializeOwned;

use super::protobuf;
use super::refusal::Refusal;
use super::root::Document;
use crate::keys::entry::{ConsumerEntry, KeyEntry};
use crate::value::json::{Json, Reader, Step, Streamed};

/// The number of bytes that are read at once, and inspected to distinguish JSON from a `Struct`.
const PIECE: usize = 64 * 1024;

/// The lists that are streamed: the consumers, and the keys of each.
const STREAMED: &[&str] = &["consumers", "keys"];

/// A part of a document that is streamed.
pub(crate) enum Part {
    /// A key of the next consumer.
    Key(KeyEntry),
    /// A consumer without its keys.
    Consumer(ConsumerEntry),
}

impl Document {
    /// Reads a document from the filter's configuration: JSON text, or a serialized `google.protobuf.Struct`. An empty
    /// configuration is the document `{}`.
    ///
    /// # Errors
    /// The first error, with the path of the field: keys and consumers come before the rest.
    pub fn read(mut configuration: &[u8]) -> Result<Self, Refusal> {
        let (mut consumers, mut keys) = (Vec::new(), Vec::new());
        let document = Self::stream(&mut configuration, &mut |part| match part {
            Part::Key(key) => keys.push(key),
            Part::Consumer(one) => consumers.push(ConsumerEntry { keys: core::mem::take(&mut keys), ..one }),
        })?;
        Ok(Self { consumers, ..document })
    }

    /// Reads a document in pieces. Keys and consumers are passed to `sink` one by one, so that a large document is never in
    /// memory as a whole; the returned document has none.
    pub(crate) fn stream(configuration: &mut dyn Read, sink: &mut dyn FnMut(Part)) -> Result<Self, Refusal> {
        let unreadable = |_| Refusal::syntax("cannot be read to its end");
        let mut start = Vec::new();
        configuration.take(PIECE as u64).read_to_end(&mut start).map_err(unreadable)?;
        if start.is_empty() {
            start.extend_from_slice(b"{}");
        }
        let is_struct = protobuf::is_struct(&start);
        let mut all: Chain<Cursor<Vec<u8>>, &mut dyn Read> = Cursor::new(start).chain(configuration);
        let mut parts = Parts { sink, consumer: 0, key: 0 };
        let mut refused = None;
        let mut add = |lists, value| match parts.add(lists, value) {
            Ok(()) => true,
            Err(refusal) => {
                refused = Some(refusal);
                false
            }
        };
        let value = if is_struct {
            let mut bytes = Vec::new();
            all.read_to_end(&mut bytes).map_err(unreadable)?;
            let value = protobuf::read(&bytes).ok_or_else(|| Refusal::syntax("not a valid google.protobuf.Struct"));
            value.map(|mut value| {
                value.stream(STREAMED, &mut add);
                value
            })
        } else {
            let value = Json::read(&mut all, PIECE, Reader::Object(Streamed { lists: STREAMED, sink: &mut add }));
            value.map_err(|(line, column)| Refusal::syntax(format!("not valid JSON (line {line}, column {column})")))
        };
        match refused {
            Some(refusal) => Err(refusal),
            None => typed(value?, Vec::new()),
        }
    }
}

/// Receives keys and consumers, and counts them.
struct Parts<'s> {
    sink: &'s mut dyn FnMut(Part),
    consumer: usize,
    key: usize,
}

impl Parts<'_> {
    /// Adds a consumer, which has one list in it, or a key, which has none.
    fn add(&mut self, lists: usize, value: Json) -> Result<(), Refusal> {
        let member = |name: &str| Step::Member(name.to_owned());
        let mut path = vec![member("consumers"), Step::Index(self.consumer)];
        if lists == 0 {
            path.extend([member("keys"), Step::Index(self.key)]);
            (self.sink)(Part::Key(typed(value, path)?));
            self.key = self.key.saturating_add(1);
        } else {
            (self.sink)(Part::Consumer(typed(value, path)?));
            (self.consumer, self.key) = (self.consumer.saturating_add(1), 0);
        }
        Ok(())
    }
}

fn typed<T: DeserializeOwned>(value: Json, path: Vec<Step>) -> Result<T, Refusal> {
    value.to(path).map_err(|(path, problem)| Refusal::new(path, problem))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{self, ErrorKind};
    use std::path::Path;

    use super::*;
    use crate::decision::policy::Policy;

    /// Returns its bytes in pieces: the first of `cut` bytes, the others of `piece` bytes. Fails at the end if `fails` is
    /// set.
    struct Pieces<'b> {
        rest: &'b [u8],
        cut: usize,
        piece: usize,
        fails: bool,
    }

    impl Read for Pieces<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            if self.rest.is_empty() && self.fails {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let most = core::mem::replace(&mut self.cut, self.piece).min(into.len());
            self.rest.read(&mut into[..most])
        }
    }

    /// Returns the result of loading a policy: its digest and the skipped entries, or why it is refused.
    fn outcome(rest: &[u8], cut: usize, piece: usize, fails: bool) -> String {
        match Policy::load_from(&mut Pieces { rest, cut, piece, fails }, &|_| None) {
            Ok(loaded) => format!("{:?} {:?}", loaded.policy.digest(), loaded.refused_entries),
            Err(refusal) => refusal.to_string(),
        }
    }

    /// Returns the seeds of the fuzz target: the policies of the table of cases, as JSON text and as a `Struct`, and
    /// malformed ones.
    fn corpus() -> Vec<Vec<u8>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/document");
        fs::read_dir(folder).unwrap().map(|file| fs::read(file.unwrap().path()).unwrap()).collect()
    }

    /// A host may return as few bytes at once as it chooses.
    #[test]
    fn how_a_configuration_is_cut_changes_nothing() {
        let seeds = corpus();
        let packed = seeds.iter().filter(|seed| protobuf::is_struct(seed)).count();
        assert!(packed > 40 && seeds.len() - packed > 40, "a control: {packed} of {} are a Struct", seeds.len());
        let mut documents = seeds.clone();
        for seed in &seeds {
            // JSON text that begins like a `Struct`, and text that ends too early.
            documents.push([b"\n", seed.as_slice()].concat());
            documents.push([b"\n \n\t", seed.as_slice()].concat());
            documents.push(seed[..seed.len() / 2].to_vec());
        }
        documents.extend([b"\n".to_vec(), b"\n\x12".to_vec(), b"\n{}".to_vec(), b"\n{}\x12".to_vec()]);
        // A byte that is not in JSON text, around the end of the first piece.
        for blanks in (65_530..65_540).chain([200_000]) {
            documents.push([b"\n", vec![b' '; blanks].as_slice(), b"\x12"].concat());
        }
        for document in &documents {
            let expected = outcome(document, usize::MAX, usize::MAX, false);
            for piece in [1, 2, 3, 7] {
                let read = outcome(document, piece, piece, false);
                assert_eq!(read, expected, "in pieces of {piece}: {}", document.escape_ascii());
            }
            for cut in 1..document.len().min(17) {
                let read = outcome(document, cut, usize::MAX, false);
                assert_eq!(read, expected, "cut at {cut}: {}", document.escape_ascii());
            }
        }
    }

    /// A read error is never treated as the end of the configuration.
    #[test]
    fn a_configuration_that_fails_is_refused_wherever_it_does() {
        let large = [b"{", vec![b' '; 2 * PIECE].as_slice(), b"}"].concat();
        for document in corpus().into_iter().chain([large]) {
            for end in (0..document.len().min(17)).chain([document.len()]) {
                let read = outcome(&document[..end], usize::MAX, usize::MAX, true);
                assert!(!read.starts_with("Digest"), "after {end}: {read}: {}", document.escape_ascii());
            }
        }
    }
}
