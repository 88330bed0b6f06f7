//! Reads JSON text and Envoy's `Struct` with serde. Every refusal has the path of the field, and none has a secret.
//!
//! serde's own messages show values, which may be keys, and name no path. So the error type here is [`Problem`], which is built
//! from the parts of a message; [`Checked`] lends it to `serde_json`, and keeps the path. Of the errors of `serde_json` itself,
//! only line and column are used.

use core::cell::{Cell, RefCell};
use std::io::{BufReader, Chain, Cursor, Read};

use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqDeserializer};
use serde::de::{self, DeserializeSeed, Deserializer, IntoDeserializer as _, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::protobuf;
use super::refusal::{Problem, Refusal, Step};

/// How many bytes are read at once, and looked at to tell JSON from a `Struct`.
const PIECE: usize = 64 * 1024;

/// Where JSON text is read from. One type, whatever the source is, since `serde_json` is compiled once for each.
type Source<'s> = BufReader<&'s mut dyn Read>;

/// Reads an object from JSON text or a serialized `google.protobuf.Struct`. The items of one of its lists are streamed: the
/// object gets an empty list. An empty configuration is the object `{}`.
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
        Err(Problem::Syntax { .. }) => Err(invalid(at.get())),
        Err(problem) => Err(Refusal::new(progress.path.take(), problem)),
    }
}

/// JSON text. Of its errors, only the place is kept.
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

/// How far reading has come.
#[derive(Default)]
struct Progress {
    path: RefCell<Vec<Step>>,
    /// The problem, while an error of another type is returned in its place.
    problem: RefCell<Option<Problem>>,
}

impl Progress {
    fn enter(&self, step: Step) {
        self.path.borrow_mut().push(step);
    }

    fn leave(&self) {
        self.path.borrow_mut().pop();
    }

    /// Keeps a problem, and returns an error of another type in its place.
    fn hide<E: de::Error>(&self, problem: Problem) -> E {
        self.problem.borrow_mut().get_or_insert(problem);
        E::custom("")
    }

    /// The problem that was kept. Without one the error comes from elsewhere, and its text may be a secret.
    fn reveal<E>(&self, _: E) -> Problem {
        self.problem.borrow_mut().take().unwrap_or(Problem::Syntax { message: String::new() })
    }
}

/// Wraps each of serde's parts, so that the value that is read sees a [`Problem`] as the error type, and `serde_json` its own.
/// JSON is self-describing, so every question is [`deserialize_any`](Deserializer::deserialize_any).
struct Checked<'r, T> {
    inner: T,
    progress: &'r Progress,
    /// Whether this reads the name of a member.
    is_name: bool,
    /// The index of the next item of a list.
    next: usize,
}

impl<'r, T> Checked<'r, T> {
    fn new(inner: T, progress: &'r Progress) -> Self {
        Self { inner, progress, is_name: false, next: 0 }
    }

    fn with<U>(&self, inner: U) -> Checked<'r, U> {
        Checked { inner, progress: self.progress, is_name: self.is_name, next: 0 }
    }
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Checked<'_, D> {
    type Error = Problem;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let visitor = self.with(visitor);
        self.inner.deserialize_any(visitor).map_err(|error| self.progress.reveal(error))
    }

    /// A member that is there has a value: `null` is refused.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Problem> {
        visitor.visit_newtype_struct(self)
    }

    /// Refuses a list, which derived code would take for an object, by position.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        self.deserialize_any(Object(visitor))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map
        enum identifier ignored_any
    }
}

/// Reads an object, and nothing else.
struct Object<V>(V);

impl<'de, V: Visitor<'de>> Visitor<'de> for Object<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.expecting(f)
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(members)
    }
}

/// Forwards values of each type.
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

/// Reads the items of a list that is a member of an object, one by one. The object itself gets an empty list.
pub(super) trait StreamedList {
    /// The object that has the list.
    type Owner: for<'de> Deserialize<'de>;
    /// What the object is, for messages.
    const EXPECTED: &'static str;
    /// The name of the member.
    const MEMBER: &'static str;

    /// Reads the next item; whether there was one.
    fn next<'de, A: SeqAccess<'de>>(&mut self, items: &mut A) -> Result<bool, A::Error>;
}

/// Reads the object that has the list.
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

/// The members of the object.
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

/// Each item of the list.
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

    /// Hands over what there is in pieces: the first of `cut` bytes, the others of `piece`; and fails in the end, if it is to.
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

    /// What comes of a policy: its digest and the entries that are refused, or why it is refused as a whole.
    fn outcome(rest: &[u8], cut: usize, piece: usize, fails: bool) -> String {
        match Policy::load_from(&mut Pieces { rest, cut, piece, fails }, &|_| None) {
            Ok(loaded) => format!("{:?} {:?}", loaded.policy.digest(), loaded.refused_entries),
            Err(refusal) => refusal.to_string(),
        }
    }

    /// The seeds of the fuzz target: the policies of the table of cases, as JSON text and as a `Struct`, and broken ones.
    fn corpus() -> Vec<Vec<u8>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/document");
        fs::read_dir(folder).unwrap().map(|file| fs::read(file.unwrap().path()).unwrap()).collect()
    }

    /// A host may hand over as little as it likes at once.
    #[test]
    fn how_a_configuration_is_cut_changes_nothing() {
        let seeds = corpus();
        let packed = seeds.iter().filter(|seed| protobuf::is_struct(seed)).count();
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

    /// What cannot be read on is never taken for its end.
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
