//! Parses JSON text and Envoy's `Struct` with serde. Every refusal has the path of the field, and none contains a secret.
//!
//! serde's own messages show values, which may be keys, and contain no path. So this module uses its own error type:
//!
//! * [`Problem`] is the error type. It is built from the parts of a message.
//! * [`Checked`] wraps `serde_json` to use this error type, and records the path.
//! * Of the errors of `serde_json` itself, only line and column are used.

use core::cell::{Cell, RefCell};
use std::io::{BufReader, Chain, Cursor, Read};

use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqDeserializer};
use serde::de::{
    self, DeserializeSeed, Deserializer, Error as _, IntoDeserializer as _, MapAccess, SeqAccess, Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;

use super::protobuf;
use super::refusal::{Problem, Refusal, Step};

/// The number of bytes that are read at once, and inspected to distinguish JSON from a `Struct`.
const PIECE: usize = 64 * 1024;

/// The source of JSON text. It is one type for all sources, since `serde_json` is compiled once for each type.
type Source<'s> = BufReader<&'s mut dyn Read>;

/// Reads an object from JSON text or a serialized `google.protobuf.Struct`. The items of one of its lists are streamed; in
/// the object, this list is empty. An empty configuration is the object `{}`.
pub(super) fn read<L: StreamedList>(configuration: &mut dyn Read, list: L) -> Result<L::Owner, Refusal> {
    let unreadable = |_| Refusal::syntax("cannot be read to its end");
    let mut start = Vec::new();
    configuration.take(PIECE as u64).read_to_end(&mut start).map_err(unreadable)?;
    if start.is_empty() {
        start.extend_from_slice(b"{}");
    }
    let is_struct = protobuf::is_struct(&start);
    let mut all: Chain<Cursor<Vec<u8>>, &mut dyn Read> = Cursor::new(start).chain(configuration);
    if !is_struct {
        return json(BufReader::with_capacity(PIECE, &mut all), list);
    }
    let mut bytes = Vec::new();
    all.read_to_end(&mut bytes).map_err(unreadable)?;
    let text = protobuf::to_json(&bytes).ok_or_else(|| Refusal::syntax("not a valid google.protobuf.Struct"))?;
    drop((bytes, all));
    json(BufReader::with_capacity(PIECE, &mut text.as_bytes()), list)
}

fn json<L: StreamedList>(text: Source<'_>, list: L) -> Result<L::Owner, Refusal> {
    let (progress, at) = (Progress::default(), Cell::new((0, 0)));
    let mut text = serde_json::Deserializer::from_reader(text);
    let read = ListOwner(list).deserialize(Checked::new(Json { text: &mut text, at: &at }, &progress));
    let invalid = |(line, column)| Refusal::syntax(format!("not valid JSON (line {line}, column {column})"));
    match read {
        Ok(document) => text.end().map(|()| document).map_err(|error| invalid((error.line(), error.column()))),
        Err(Problem::Syntax(_)) => Err(invalid(at.get())),
        Err(problem) => Err(Refusal::new(progress.path.take(), problem)),
    }
}

/// A JSON deserializer that records line and column of errors.
struct Json<'j, 's> {
    text: &'j mut serde_json::Deserializer<serde_json::de::IoRead<Source<'s>>>,
    at: &'j Cell<(usize, usize)>,
}

impl<'de> Deserializer<'de> for Json<'_, '_> {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, serde_json::Error> {
        self.text.deserialize_any(visitor).inspect_err(|error| self.at.set((error.line(), error.column())))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map
        struct enum identifier ignored_any option newtype_struct
    }
}

#[derive(Default)]
struct Progress {
    path: RefCell<Vec<Step>>,
    /// The problem, while an error of another type is returned instead of it.
    problem: RefCell<Option<Problem>>,
}

impl Progress {
    fn enter(&self, step: Step) {
        self.path.borrow_mut().push(step);
    }

    fn leave(&self) {
        self.path.borrow_mut().pop();
    }

    /// Stores a problem, and returns an error of another type instead of it.
    fn hide<E: de::Error>(&self, problem: Problem) -> E {
        self.problem.borrow_mut().get_or_insert(problem);
        E::custom("")
    }

    /// Returns the stored problem. If there is none, the error is from `serde_json`; its text is dropped, since it may
    /// contain a secret.
    fn reveal<E>(&self, _: E) -> Problem {
        self.problem.borrow_mut().take().unwrap_or(Problem::Syntax(String::new()))
    }
}

/// Wraps each of serde's parts. The value that is parsed uses [`Problem`] as its error type, while `serde_json` uses its
/// own. JSON is self-describing, so every call becomes [`deserialize_any`](Deserializer::deserialize_any).
struct Checked<'r, T> {
    inner: T,
    progress: &'r Progress,
    /// Whether this parses the name of a member.
    is_name: bool,
    /// Whether this visits a struct.
    is_struct: bool,
    /// The index of the next item of a list.
    next: usize,
}

impl<'r, T> Checked<'r, T> {
    fn new(inner: T, progress: &'r Progress) -> Self {
        Self { inner, progress, is_name: false, is_struct: false, next: 0 }
    }

    fn with<U>(&self, inner: U) -> Checked<'r, U> {
        Checked { inner, progress: self.progress, is_name: self.is_name, is_struct: false, next: 0 }
    }
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Checked<'_, D> {
    type Error = Problem;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let visitor = self.with(visitor);
        self.inner.deserialize_any(visitor).map_err(|error| self.progress.reveal(error))
    }

    /// Refuses `null`: a member that is present must have a value.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Problem> {
        visitor.visit_newtype_struct(self)
    }

    /// Refuses a list, which derived code would interpret as an object by position.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        let visitor = Checked { is_struct: true, ..self.with(visitor) };
        self.inner.deserialize_any(visitor).map_err(|error| self.progress.reveal(error))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map
        enum identifier ignored_any
    }
}

macro_rules! forward {
    ($($method:ident: $value:ty),+) => {$(
        fn $method<E: de::Error>(self, value: $value) -> Result<V::Value, E> {
            self.inner.$method(value).map_err(|problem| self.progress.hide(problem))
        }
    )+};
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Checked<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.inner.expecting(f)
    }

    forward!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64);

    fn visit_str<E: de::Error>(self, text: &str) -> Result<V::Value, E> {
        if self.is_name {
            self.progress.enter(Step::Member(text.to_owned()));
        }
        self.inner.visit_str(text).map_err(|problem| self.progress.hide(problem))
    }

    fn visit_unit<E: de::Error>(self) -> Result<V::Value, E> {
        self.inner.visit_unit().map_err(|problem| self.progress.hide(problem))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<V::Value, A::Error> {
        if self.is_struct {
            return Err(self.progress.hide(Problem::invalid_type(Unexpected::Seq, &self.inner)));
        }
        let items = self.with(items);
        self.inner.visit_seq(items).map_err(|problem| self.progress.hide(problem))
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<V::Value, A::Error> {
        let members = self.with(members);
        self.inner.visit_map(members).map_err(|problem| self.progress.hide(problem))
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Checked<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<S::Value, D::Error> {
        let from = self.with(from);
        self.inner.deserialize(from).map_err(|problem| self.progress.hide(problem))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Checked<'_, A> {
    type Error = Problem;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Problem> {
        self.progress.enter(Step::Index(self.next));
        let seed = self.with(seed);
        let item = self.inner.next_element_seed(seed).map_err(|error| self.progress.reveal(error))?;
        self.progress.leave();
        self.next = self.next.saturating_add(1);
        Ok(item)
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Checked<'_, A> {
    type Error = Problem;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Problem> {
        let seed = Checked { is_name: true, ..self.with(seed) };
        self.inner.next_key_seed(seed).map_err(|error| self.progress.reveal(error))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Problem> {
        let seed = self.with(seed);
        let value = self.inner.next_value_seed(seed).map_err(|error| self.progress.reveal(error))?;
        self.progress.leave();
        Ok(value)
    }
}

/// Reads the items of a list that is a member of an object, one by one. In the object itself, the list is empty.
pub(super) trait StreamedList {
    /// The object that contains the list.
    type Owner: for<'de> Deserialize<'de>;
    const EXPECTED: &'static str;
    const MEMBER: &'static str;

    /// Reads the next item. Returns whether there was one.
    fn next<'de, A: SeqAccess<'de>>(&mut self, items: &mut A) -> Result<bool, A::Error>;
}

pub(super) struct ListOwner<T>(pub(super) T);

impl<'de, T: StreamedList> DeserializeSeed<'de> for ListOwner<T> {
    type Value = T::Owner;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<T::Owner, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de, T: StreamedList> Visitor<'de> for ListOwner<T> {
    type Value = T::Owner;

    fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T::Owner, A::Error> {
        let members = Members { members, list: self.0, is_list: false };
        T::Owner::deserialize(MapAccessDeserializer::new(members))
    }
}

/// The members of the object that contains the list.
struct Members<A, T> {
    members: A,
    list: T,
    /// Whether the next value is the list.
    is_list: bool,
}

impl<'de, A: MapAccess<'de>, T: StreamedList> MapAccess<'de> for Members<A, T> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        let Some(name) = self.members.next_key::<String>()? else { return Ok(None) };
        self.is_list = name == T::MEMBER;
        seed.deserialize(name.into_deserializer()).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        if !self.is_list {
            return self.members.next_value_seed(seed);
        }
        self.members.next_value_seed(Each(&mut self.list))?;
        seed.deserialize(SeqDeserializer::new(core::iter::empty::<()>()))
    }
}

/// A visitor that passes each item of the list on.
struct Each<'t, T>(&'t mut T);

impl<'de, T: StreamedList> DeserializeSeed<'de> for Each<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de, T: StreamedList> Visitor<'de> for Each<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while self.0.next(&mut items)? {}
        Ok(())
    }
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
