//! What a document is read from: JSON text, or a serialized `google.protobuf.Struct`. One concrete type, whatever the
//! configuration is and wherever it comes from: so that what reads it is in the filter once.

use super::json::Json;
use super::protobuf::{self, Struct};
use super::window::{Pieces, Window};

/// The tokens of a document.
pub(super) enum Source<'s> {
    Json(Json<'s>),
    Struct(Struct<'s>),
}

/// A value, or how one begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Boolean(bool),
    /// Its text is taken with [`Source::take_text`].
    Number,
    /// It is taken with [`Source::take_text`].
    Text,
    List,
    Object,
}

/// What is neither JSON text nor a `Struct`.
#[derive(Debug)]
pub(super) struct Broken;

/// Calls the method of what it is.
macro_rules! either {
    ($source:expr, $one:ident => $do:expr) => {
        match $source {
            Self::Json($one) => $do,
            Self::Struct($one) => $do,
        }
    };
}

impl<'s> Source<'s> {
    /// Looks at how a configuration begins. `None` where there is none.
    pub(super) fn open(configuration: &'s mut Pieces<'s>) -> Option<Self> {
        let mut window = Window::new(configuration);
        if window.peek().is_none() && !window.has_failed() {
            return None;
        }
        let is_struct = protobuf::is_struct(&mut window);
        Some(if is_struct { Self::Struct(Struct::new(window)) } else { Self::Json(Json::new(window)) })
    }

    /// JSON text.
    pub(super) fn json(text: &'s mut Pieces<'s>) -> Self {
        Self::Json(Json::new(Window::new(text)))
    }

    pub(super) fn value(&mut self) -> Result<Kind, Broken> {
        either!(self, one => one.value())
    }

    pub(super) fn item(&mut self) -> Result<bool, Broken> {
        either!(self, one => one.item())
    }

    pub(super) fn member(&mut self) -> Result<bool, Broken> {
        either!(self, one => one.member())
    }

    pub(super) fn colon(&mut self) -> Result<(), Broken> {
        either!(self, one => one.colon())
    }

    pub(super) fn end(&mut self) -> Result<(), Broken> {
        either!(self, one => one.end())
    }

    /// The last text or number. [`give_back`](Self::give_back) it, so that the next one needs no allocation.
    pub(super) fn take_text(&mut self) -> Result<String, Broken> {
        let bytes = either!(self, one => core::mem::take(&mut one.text));
        String::from_utf8(bytes).map_err(|_| Broken)
    }

    pub(super) fn give_back(&mut self, text: String) {
        either!(self, one => one.text = text.into_bytes());
    }

    /// What is broken, and where.
    pub(super) fn place(&mut self) -> String {
        match self {
            Self::Json(json) => json.place(),
            Self::Struct(_) => "not a valid google.protobuf.Struct".into(),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::fs;
    use std::path::Path;

    use serde_json::{Map, Value};

    use super::super::window::whole;
    use super::*;
    use crate::policy::Policy;

    impl<'s> From<Struct<'s>> for Source<'s> {
        fn from(tokens: Struct<'s>) -> Self {
            Self::Struct(tokens)
        }
    }

    /// Gives what it holds in pieces of this size.
    pub(in super::super) fn pieces(bytes: &[u8], piece: usize) -> impl FnMut(&mut [u8]) -> Option<usize> {
        let mut rest = whole(bytes);
        move |into| {
            let most = piece.min(into.len());
            rest(&mut into[..most])
        }
    }

    /// Gives the first `cut` bytes, and then the rest.
    fn cut_at(bytes: &[u8], cut: usize) -> impl FnMut(&mut [u8]) -> Option<usize> {
        let (begin, end) = bytes.split_at(cut);
        let (mut begin, mut end) = (whole(begin), whole(end));
        move |into| begin(into).filter(|read| *read > 0).or_else(|| end(into))
    }

    /// Reads the whole as a tree, in pieces of this size.
    pub(in super::super) fn read_whole(bytes: &[u8], piece: usize) -> Option<Value> {
        read_tokens(Source::open(&mut pieces(bytes, piece))?)
    }

    pub(in super::super) fn read_tokens(mut source: Source<'_>) -> Option<Value> {
        let value = value(&mut source).ok()?;
        source.end().ok().map(|()| value)
    }

    fn value(source: &mut Source<'_>) -> Result<Value, Broken> {
        Ok(match source.value()? {
            Kind::Null => Value::Null,
            Kind::Boolean(value) => value.into(),
            Kind::Text => source.take_text()?.into(),
            Kind::Number => serde_json::from_str(&source.take_text()?).map_err(|_| Broken)?,
            Kind::List => {
                let mut list = Vec::new();
                while source.item()? {
                    list.push(value(source)?);
                }
                list.into()
            }
            Kind::Object => {
                let mut object = Map::new();
                while source.member()? {
                    let name = source.take_text()?;
                    source.colon()?;
                    object.insert(name, value(source)?);
                }
                object.into()
            }
        })
    }

    /// What comes of a policy: its digest and the entries that are refused, or why it is refused as a whole.
    fn outcome(configuration: &mut Pieces<'_>) -> String {
        match Policy::load_from(configuration, &|_| None) {
            Ok(loaded) => format!("{:?} {:?}", loaded.policy.digest(), loaded.refused_entries),
            Err(refusal) => refusal.to_string(),
        }
    }

    /// The seeds of the fuzz target: the policies of the table of cases, as JSON text and as a `Struct`, and broken ones.
    fn corpus() -> Vec<Vec<u8>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/document");
        let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
        files.map(|file| fs::read(file).unwrap()).collect()
    }

    /// A host may hand over as little as it likes at once.
    #[test]
    fn how_a_configuration_is_cut_changes_nothing() {
        let seeds = corpus();
        let is_packed = |seed: &&Vec<u8>| seed.starts_with(b"\n") && seed.contains(&0x12);
        let packed = seeds.iter().filter(is_packed).count();
        assert!(packed > 40 && seeds.len() - packed > 40, "a control: {packed} of {} are a Struct", seeds.len());
        let mut documents = seeds.clone();
        for seed in &seeds {
            // JSON text that begins as a `Struct` does, and what ends too soon.
            documents.push([b"\n", seed.as_slice()].concat());
            documents.push([b"\n \n\t", seed.as_slice()].concat());
            documents.push(seed[..seed.len() / 2].to_vec());
        }
        documents.extend([b"\n".to_vec(), b"\n\x12".to_vec(), b"\n{}".to_vec(), b"\n{}\x12".to_vec()]);
        // A byte that JSON text has not, around where the first piece ends that is read at once.
        for blanks in (65_530..65_540).chain([200_000]) {
            documents.push([b"\n", vec![b' '; blanks].as_slice(), b"\x12"].concat());
        }
        for document in &documents {
            let expected = outcome(&mut whole(document));
            for piece in [1, 2, 3, 7] {
                assert_eq!(
                    outcome(&mut pieces(document, piece)),
                    expected,
                    "in pieces of {piece}: {}",
                    document.escape_ascii()
                );
            }
            for cut in 1..document.len().min(17) {
                assert_eq!(outcome(&mut cut_at(document, cut)), expected, "cut at {cut}: {}", document.escape_ascii());
            }
        }
    }

    /// What cannot be read on is never taken for its end.
    #[test]
    fn a_configuration_that_fails_is_refused_wherever_it_does() {
        for document in corpus() {
            for end in 0..document.len().min(17) {
                let mut begin = whole(&document[..end]);
                let read = outcome(&mut |into| begin(into).filter(|read| *read > 0));
                assert!(!read.starts_with("Digest"), "after {end}: {read}: {}", document.escape_ascii());
            }
        }
    }
}
