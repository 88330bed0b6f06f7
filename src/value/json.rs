//! JSON values. A value is read as a whole, and a type is then made of it, with the path of each error.
//!
//! serde_json's own messages show values, which may be secrets, and have no path: only their lines and columns are used. That a
//! member stands twice is not lost: derived code refuses it.

use core::cell::RefCell;
use core::fmt;
use std::io::{BufReader, Read};

use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;

use super::problem::Problem;

/// A JSON value.
pub(crate) enum Json {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(String),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
}

/// One step to a place in a value.
#[derive(Debug)]
pub(crate) enum Step {
    Member(String),
    Index(usize),
}

impl Step {
    pub(crate) fn is(&self, member: &str) -> bool {
        matches!(self, Self::Member(name) if name == member)
    }
}

impl Json {
    /// Reads JSON text, in pieces of `capacity` bytes.
    ///
    /// # Errors
    /// Line and column at which it is not JSON, or at which the function of `reader` stopped.
    pub(crate) fn read(from: &mut dyn Read, capacity: usize, reader: Reader<'_>) -> Result<Self, (usize, usize)> {
        // One type for all sources, since serde_json is compiled once for each.
        let mut text = serde_json::Deserializer::from_reader(BufReader::with_capacity(capacity, from));
        let value = reader.deserialize(&mut text).and_then(|value| text.end().map(|()| value));
        value.map_err(|error| (error.line(), error.column()))
    }

    /// Makes a type of the value, which stands at `path`.
    ///
    /// # Errors
    /// The first error, with its path.
    pub(crate) fn to<T: for<'de> serde::Deserialize<'de>>(self, path: Vec<Step>) -> Result<T, (Vec<Step>, Problem)> {
        let path = RefCell::new(path);
        T::deserialize(Typed { value: self, path: &path }).map_err(|problem| (path.take(), problem))
    }

    /// Streams lists of the value, as [`Reader::Object`] does. Returns whether to go on.
    pub(crate) fn stream(&mut self, lists: &[&str], sink: &mut dyn FnMut(usize, Self) -> bool) -> bool {
        let ([list, lists @ ..], Self::Object(members)) = (lists, self) else { return true };
        let items = members.iter_mut().filter(|(name, _)| name == list).filter_map(|(_, value)| match value {
            Self::List(items) => Some(core::mem::take(items)),
            _ => None,
        });
        items.flatten().all(|mut item| item.stream(lists, sink) && sink(lists.len(), item))
    }
}

/// Reads a value.
pub(crate) enum Reader<'s> {
    /// All of it.
    Whole,
    /// An object, in which the items of a list are not kept: they are streamed.
    Object(Streamed<'s>),
    /// That list.
    List(Streamed<'s>),
}

/// Lists whose items go to a function one by one, so that they are never in memory together.
pub(crate) struct Streamed<'s> {
    /// The name of the list in the object, then that of the list in each of its items, and so on.
    pub(crate) lists: &'static [&'static str],
    /// Receives an item, after those of the list in it, and the number of lists in it. Returns whether to go on.
    pub(crate) sink: &'s mut dyn FnMut(usize, Json) -> bool,
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Json, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Json, E> {
        Ok(Json::Unsigned(number))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Json, E> {
        Ok(Json::Signed(number))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Json, E> {
        Ok(Json::Float(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        let Self::List(Streamed { lists, sink }) = self else {
            while let Some(item) = items.next_element_seed(Reader::Whole)? {
                list.push(item);
            }
            return Ok(Json::List(list));
        };
        loop {
            let streamed = Streamed { lists, sink: &mut *sink };
            let reader = if lists.is_empty() { Reader::Whole } else { Reader::Object(streamed) };
            let Some(item) = items.next_element_seed(reader)? else { return Ok(Json::List(list)) };
            if !sink(lists.len(), item) {
                return Err(A::Error::custom(""));
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<Json, A::Error> {
        let mut object = Vec::new();
        while let Some(name) = members.next_key::<String>()? {
            let reader = match &mut self {
                Self::Object(Streamed { lists: [list, lists @ ..], sink }) if *list == name => {
                    Reader::List(Streamed { lists, sink })
                }
                _ => Reader::Whole,
            };
            object.push((name, members.next_value_seed(reader)?));
        }
        Ok(Json::Object(object))
    }
}

/// A value of which a type is made. JSON is self-describing, so almost every call becomes
/// [`deserialize_any`](Deserializer::deserialize_any).
struct Typed<'p> {
    value: Json,
    path: &'p RefCell<Vec<Step>>,
}

impl<'de> Deserializer<'de> for Typed<'_> {
    type Error = Problem;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let path = self.path;
        match self.value {
            Json::Null => visitor.visit_unit(),
            Json::Bool(value) => visitor.visit_bool(value),
            Json::Unsigned(number) => visitor.visit_u64(number),
            Json::Signed(number) => visitor.visit_i64(number),
            Json::Float(number) => visitor.visit_f64(number),
            Json::Text(text) => visitor.visit_string(text),
            Json::List(items) => visitor.visit_seq(Items { rest: items.into_iter().enumerate(), path }),
            Json::Object(members) => visitor.visit_map(Members { rest: members.into_iter(), value: Json::Null, path }),
        }
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
        if let Json::List(_) = self.value {
            return Err(Problem::invalid_type(Unexpected::Seq, &visitor));
        }
        self.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map
        enum identifier ignored_any
    }
}

struct Items<'p> {
    rest: core::iter::Enumerate<std::vec::IntoIter<Json>>,
    path: &'p RefCell<Vec<Step>>,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Problem;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Problem> {
        let Some((index, value)) = self.rest.next() else { return Ok(None) };
        self.path.borrow_mut().push(Step::Index(index));
        let item = seed.deserialize(Typed { value, path: self.path })?;
        self.path.borrow_mut().pop();
        Ok(Some(item))
    }
}

struct Members<'p> {
    rest: std::vec::IntoIter<(String, Json)>,
    /// That of the member whose name was read last.
    value: Json,
    path: &'p RefCell<Vec<Step>>,
}

impl<'de> MapAccess<'de> for Members<'_> {
    type Error = Problem;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Problem> {
        let Some((name, value)) = self.rest.next() else { return Ok(None) };
        self.value = value;
        self.path.borrow_mut().push(Step::Member(name.clone()));
        seed.deserialize(IntoDeserializer::<Problem>::into_deserializer(name)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Problem> {
        let value = core::mem::replace(&mut self.value, Json::Null);
        let value = seed.deserialize(Typed { value, path: self.path })?;
        self.path.borrow_mut().pop();
        Ok(value)
    }
}
