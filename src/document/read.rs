//! Reads a JSON document in one streaming pass into typed values, with the path of the field in every refusal.
//!
//! serde's own messages show values, keys among them, and do not say where: so nothing here lets serde explain.
//!
//! A type says what it can be read from by implementing [`Read`], one method a JSON type; the rest is refused for it. A value
//! that is written as text implements [`Text`] and is listed in `read_text!`; an object is declared by its members, in
//! [`object`](super::object).

use core::fmt;
use core::marker::PhantomData;
use std::io::{self, BufReader};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use serde_json::{Value, json};

use super::consumer::Taker;
use super::refusal::{Invalid, Problem, Refusal};

/// Where the reader stands, the refusal once there is one, and who takes consumers and keys.
pub(crate) struct Reader<'t> {
    path: Vec<Step>,
    refusal: Option<Refusal>,
    taker: &'t mut dyn Taker,
}

/// From where a document is read: always the same type, so that what reads it is in the filter once.
type Source<'s> = BufReader<&'s mut dyn io::Read>;

#[derive(Debug)]
enum Step {
    Member(&'static str),
    Index(usize),
}

/// A value that can be read from a document. Each method is one JSON type; what a type does not override is refused.
pub(crate) trait Read: Sized {
    /// What belongs here, for the message.
    const EXPECTED: &'static str;
    /// Whether text may stand here.
    const QUOTABLE: bool = false;

    /// What can be read, as JSON Schema. It may take more than [`Read`] does, and never less.
    fn schema() -> Value;
    /// From text.
    fn text<E: Error>(reader: &mut Reader, text: &str) -> Result<Self, E> {
        Err(reader.wrong_type::<Self, E>("text", || format!("\"{}\"", text.escape_debug())))
    }
    /// From a whole number.
    fn whole<E: Error>(reader: &mut Reader, number: i64) -> Result<Self, E> {
        Err(reader.wrong_type::<Self, E>("a number", || number.to_string()))
    }
    /// From `true` or `false`.
    fn boolean<E: Error>(reader: &mut Reader, value: bool) -> Result<Self, E> {
        Err(reader.wrong_type::<Self, E>("a boolean", || value.to_string()))
    }
    /// From a list.
    fn list<'de, A: SeqAccess<'de>>(reader: &mut Reader, _: A) -> Result<Self, A::Error> {
        Err(reader.wrong_type::<Self, A::Error>("a list", || "this".into()))
    }
    /// What stays in a list of these: another may have taken it.
    fn keep(self, _: &mut Reader) -> Option<Self> {
        Some(self)
    }
    /// From an object.
    fn object<'de, A: MapAccess<'de>>(reader: &mut Reader, _: A) -> Result<Self, A::Error> {
        Err(reader.wrong_type::<Self, A::Error>("an object", || "this".into()))
    }
}

impl<'t> Reader<'t> {
    /// Reads a whole document from JSON text.
    pub(crate) fn document<T: Read>(json: Source<'_>, taker: &'t mut dyn Taker) -> Result<T, Refusal> {
        let mut reader = Self { path: Vec::new(), refusal: None, taker };
        let mut source = serde_json::Deserializer::from_reader(json);
        let read = reader.seed::<T>().deserialize(&mut source).and_then(|value| source.end().map(|()| value));
        read.map_err(|error| {
            // Errors of serde_json's own are of the syntax: a position and no content.
            let message = format!("not valid JSON (line {}, column {})", error.line(), error.column());
            reader.refusal.take().unwrap_or(Refusal { path: reader.place(), problem: Problem::Syntax { message } })
        })
    }

    /// Refuses the document for what stands at the current place.
    pub(crate) fn refuse<E: Error>(&mut self, problem: Problem) -> E {
        let path = self.place();
        self.refusal.get_or_insert(Refusal { path, problem });
        E::custom("refused")
    }

    /// Refuses a value of the right type.
    pub(crate) fn invalid<E: Error>(&mut self, text: &str, mut invalid: Invalid) -> E {
        let shown = self.may_show(text).then(|| text.to_owned());
        if shown.is_none() {
            invalid.why = format!("the value (not shown: it may be a key) {}", invalid.why).into();
        }
        self.refuse(Problem::Invalid { shown, invalid })
    }

    fn wrong_type<T: Read, E: Error>(&mut self, found: &'static str, shown: impl Fn() -> String) -> E {
        let shown = Some(shown()).filter(|shown| self.may_show(shown));
        self.refuse(Problem::WrongType { found, shown, expected: T::EXPECTED, quotable: T::QUOTABLE })
    }

    /// Whether a message may show a value that stands here: none where somebody may have put a key. That is anywhere in a
    /// key entry, but for what begins as a date where one belongs; where a list of consumers or a consumer should be; among
    /// the sources of keys; and in the place of the whole document.
    fn may_show(&self, text: &str) -> bool {
        match self.path.as_slice() {
            [] | [Step::Member("consumers")] | [Step::Member("consumers"), Step::Index(_)] => false,
            [Step::Member("key_sources"), ..] => is_header_like(text),
            [.., Step::Member("not_before" | "expires")] => is_date_like(text),
            _ => !self.is_in_keys(),
        }
    }

    fn is_in_keys(&self) -> bool {
        matches!(self.path.as_slice(), [Step::Member("consumers"), Step::Index(_), Step::Member("keys"), ..])
    }

    fn place(&self) -> String {
        let mut place = String::new();
        for step in &self.path {
            match step {
                Step::Member(name) if place.is_empty() => place.push_str(name),
                Step::Member(name) => place.extend([".", name]),
                Step::Index(index) => place.push_str(&format!("[{index}]")),
            }
        }
        place
    }

    /// Who takes consumers and keys.
    pub(super) fn taker(&mut self) -> &mut dyn Taker {
        self.taker
    }

    fn seed<T>(&mut self) -> Seed<'_, 't, T> {
        Seed(self, PhantomData)
    }

    /// The next member's name of an object that knows `known`; refuses any other name.
    pub(crate) fn name<'de, A: MapAccess<'de>>(
        &mut self,
        members: &mut A,
        known: &'static [&'static str],
    ) -> Result<Option<&'static str>, A::Error> {
        match members.next_key_seed(Name(known))? {
            None => Ok(None),
            Some(Ok(name)) => Ok(Some(name)),
            Some(Err(name)) => {
                let name = (!self.is_in_keys() && is_word(&name)).then_some(name);
                Err(self.refuse(Problem::UnknownField { name, known }))
            }
        }
    }

    /// Reads the value of the member `name` into `slot`, which must be free.
    pub(crate) fn member<'de, T: Read, A: MapAccess<'de>>(
        &mut self,
        members: &mut A,
        name: &'static str,
        slot: &mut Option<T>,
    ) -> Result<(), A::Error> {
        if slot.is_some() {
            return Err(self.refuse(Problem::DuplicateField { name }));
        }
        self.path.push(Step::Member(name));
        *slot = Some(members.next_value_seed(self.seed())?);
        self.path.pop();
        Ok(())
    }
}

/// Whether a member's name is a word and no key: somebody may have written a map of keys.
fn is_word(name: &str) -> bool {
    name.len() <= 24 && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

/// Whether a text looks like the name of a header, or of a kind of source, and not like a key.
fn is_header_like(text: &str) -> bool {
    text.len() <= 24 && text.bytes().all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'-' | b'_'))
}

/// Whether a text looks like a date, with or without a time, and not like a key.
fn is_date_like(text: &str) -> bool {
    let sign = |byte: u8| byte.is_ascii_digit() || b"-+:. TtZz".contains(&byte);
    text.len() <= 35 && text.bytes().all(sign) && text.as_bytes().get(4) == Some(&b'-')
}

struct Seed<'r, 't, T>(&'r mut Reader<'t>, PhantomData<T>);

impl<'de, T: Read> DeserializeSeed<'de> for Seed<'_, '_, T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Read> Visitor<'de> for Seed<'_, '_, T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        T::text(self.0, text)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        T::whole(self.0, number)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        match i64::try_from(number) {
            Ok(number) => T::whole(self.0, number),
            Err(_) => Err(self.0.wrong_type::<T, E>("a number", || number.to_string())),
        }
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
        Err(self.0.wrong_type::<T, E>("a number", || number.to_string()))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<T, E> {
        T::boolean(self.0, value)
    }

    fn visit_unit<E: Error>(self) -> Result<T, E> {
        Err(self.0.wrong_type::<T, E>("nothing (null)", || "null".into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<T, A::Error> {
        T::list(self.0, items)
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
        T::object(self.0, members)
    }
}

/// Reads a member's name: the known one, or what stands there.
struct Name(&'static [&'static str]);

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Result<&'static str, String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Result<&'static str, String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().find(|known| **known == text).copied().ok_or_else(|| text.to_owned()))
    }
}

impl<T: Read> Read for Vec<T> {
    const EXPECTED: &'static str = "a list";

    fn schema() -> Value {
        json!({"type": "array", "items": T::schema()})
    }

    fn list<'de, A: SeqAccess<'de>>(reader: &mut Reader, mut items: A) -> Result<Self, A::Error> {
        let mut list = Self::new();
        for index in 0.. {
            reader.path.push(Step::Index(index));
            let item = items.next_element_seed(reader.seed())?;
            reader.path.pop();
            let Some(item) = item else { break };
            list.extend(T::keep(item, reader));
        }
        Ok(list)
    }
}

impl Read for bool {
    const EXPECTED: &'static str = "true or false";

    fn schema() -> Value {
        json!({"type": "boolean"})
    }

    fn boolean<E: Error>(_: &mut Reader, value: bool) -> Result<Self, E> {
        Ok(value)
    }
}

/// A value that is written as text.
pub(crate) trait Text: Sized {
    /// What belongs here, for the message.
    const EXPECTED: &'static str;

    /// How it looks, as JSON Schema of a text.
    fn schema() -> Value;

    /// Reads it.
    fn read(text: &str) -> Result<Self, Invalid>;
}

/// Makes a [`Text`] a [`Read`].
macro_rules! read_text {
    ($($type:ty),+ $(,)?) => {$(
        impl $crate::document::read::Read for $type {
            const EXPECTED: &'static str = <$type as $crate::document::read::Text>::EXPECTED;
            const QUOTABLE: bool = true;

            fn schema() -> serde_json::Value {
                let text = serde_json::json!({"type": "string", "title": <$type as $crate::document::read::Text>::EXPECTED});
                $crate::document::schema::with(text, <$type as $crate::document::read::Text>::schema())
            }

            fn text<E: serde::de::Error>(
                reader: &mut $crate::document::read::Reader,
                text: &str,
            ) -> Result<Self, E> {
                <$type as $crate::document::read::Text>::read(text)
                    .map_err(|invalid| reader.invalid::<E>(text, invalid))
            }
        }
    )+};
}
pub(crate) use read_text;
