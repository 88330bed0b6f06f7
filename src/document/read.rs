//! Reads a document in one streaming pass into typed values, with the path of the field in every refusal.
//!
//! The messages of a general reader show values, keys among them, and do not say where. And it would be in the filter once for
//! each type that it reads: here the tokens come from one concrete [source](super::source).
//!
//! A type says what it can be read from by implementing [`Read`], one method a JSON type; the rest is refused for it. A value
//! that is written as text implements [`Text`] and is listed in `read_text!`; an object is declared by its members, in
//! [`object`](super::object).

use std::io;

use serde_json::{Value, json};

use super::consumer::Taker;
use super::refusal::{Invalid, Problem, Refusal};
use super::source::{Broken, Kind, Source};

/// Where the reader stands, the refusal once there is one, and who takes consumers and keys.
pub(crate) struct Reader<'t> {
    source: Source<'t>,
    path: Vec<Step>,
    refusal: Option<Refusal>,
    taker: &'t mut dyn Taker,
}

#[derive(Debug)]
enum Step {
    Member(&'static str),
    Index(usize),
}

/// A value, or how it begins.
enum Token {
    Boolean(bool),
    Whole(i64),
    Text(String),
    List,
    Object,
}

/// The document is refused: the reader holds the refusal.
#[derive(Debug)]
pub(crate) struct Refused;

/// A value that can be read from a document. Each method is one JSON type; what a type does not override is refused.
pub(crate) trait Read: Sized {
    /// What belongs here, for the message.
    const EXPECTED: &'static str;
    /// Whether text may stand here.
    const QUOTABLE: bool = false;

    /// What can be read, as JSON Schema. It may take more than [`Read`] does, and never less.
    fn schema() -> Value;
    /// From text.
    fn text(reader: &mut Reader<'_>, text: &str) -> Result<Self, Refused> {
        Err(reader.not_text(text, Self::EXPECTED, Self::QUOTABLE))
    }
    /// From a whole number.
    fn whole(reader: &mut Reader<'_>, number: i64) -> Result<Self, Refused> {
        Err(reader.not_a_number(number, Self::EXPECTED, Self::QUOTABLE))
    }
    /// From `true` or `false`.
    fn boolean(reader: &mut Reader<'_>, value: bool) -> Result<Self, Refused> {
        let shown = if value { "true" } else { "false" };
        Err(reader.wrong_type("a boolean", shown, Self::EXPECTED, Self::QUOTABLE))
    }
    /// From a list, whose items come next.
    fn list(reader: &mut Reader<'_>) -> Result<Self, Refused> {
        Err(reader.wrong_type("a list", "this", Self::EXPECTED, Self::QUOTABLE))
    }
    /// From an object, whose members come next.
    fn object(reader: &mut Reader<'_>) -> Result<Self, Refused> {
        Err(reader.wrong_type("an object", "this", Self::EXPECTED, Self::QUOTABLE))
    }
    /// What stays in a list of these: another may have taken it.
    fn keep(self, _: &mut Reader<'_>) -> Option<Self> {
        Some(self)
    }
}

impl<'t> Reader<'t> {
    /// Reads a whole document. Nothing at all is the document `{}`.
    pub(crate) fn document<T: Read>(
        configuration: &'t mut dyn io::Read,
        taker: &'t mut dyn Taker,
    ) -> Result<T, Refusal> {
        let mut nothing: &[u8] = b"{}";
        let source = match Source::open(configuration) {
            Some(source) => source,
            None => return Reader::of(Source::json(&mut nothing), taker).whole_document(),
        };
        Reader::of(source, taker).whole_document()
    }

    fn of(source: Source<'t>, taker: &'t mut dyn Taker) -> Self {
        Self { source, path: Vec::new(), refusal: None, taker }
    }

    fn whole_document<T: Read>(mut self) -> Result<T, Refusal> {
        let read = self.value().and_then(|value| {
            let end = self.source.end();
            self.sound(end).map(|()| value)
        });
        let lost = || Refusal { path: String::new(), problem: Problem::Syntax { message: "not valid JSON".into() } };
        read.map_err(|Refused| self.refusal.unwrap_or_else(lost))
    }

    /// Reads a value.
    fn value<T: Read>(&mut self) -> Result<T, Refused> {
        match self.token(T::EXPECTED, T::QUOTABLE)? {
            Token::Boolean(value) => T::boolean(self, value),
            Token::List => T::list(self),
            Token::Object => T::object(self),
            Token::Whole(number) => T::whole(self, number),
            Token::Text(text) => {
                let read = T::text(self, &text);
                self.source.give_back(text);
                read
            }
        }
    }

    /// The next value, or how it begins. What no type reads is refused here: once, and not for each type.
    #[inline(never)]
    fn token(&mut self, expected: &'static str, quotable: bool) -> Result<Token, Refused> {
        let kind = self.source.value();
        Ok(match self.sound(kind)? {
            Kind::Null => return Err(self.wrong_type("nothing (null)", "null", expected, quotable)),
            Kind::Boolean(value) => Token::Boolean(value),
            Kind::List => Token::List,
            Kind::Object => Token::Object,
            Kind::Number => {
                let text = self.source.take_text();
                let text = self.sound(text)?;
                match text.parse() {
                    Ok(number) => Token::Whole(number),
                    Err(_) => return Err(self.wrong_type("a number", &text, expected, quotable)),
                }
            }
            Kind::Text => {
                let text = self.source.take_text();
                Token::Text(self.sound(text)?)
            }
        })
    }

    /// Refuses what is neither JSON text nor a `Struct`.
    fn sound<T>(&mut self, read: Result<T, Broken>) -> Result<T, Refused> {
        read.map_err(|Broken| {
            let message = self.source.place();
            self.refuse(Problem::Syntax { message })
        })
    }

    /// Refuses the document for what stands at the current place.
    #[cold]
    #[inline(never)]
    pub(crate) fn refuse(&mut self, problem: Problem) -> Refused {
        let path = self.place();
        self.refusal.get_or_insert(Refusal { path, problem });
        Refused
    }

    /// Refuses a value of the right type.
    #[cold]
    #[inline(never)]
    pub(crate) fn invalid(&mut self, text: &str, mut invalid: Invalid) -> Refused {
        let shown = self.may_show(text).then(|| text.to_owned());
        if shown.is_none() {
            invalid.why = format!("the value (not shown: it may be a key) {}", invalid.why).into();
        }
        self.refuse(Problem::Invalid { shown, invalid })
    }

    #[cold]
    #[inline(never)]
    fn not_text(&mut self, text: &str, expected: &'static str, quotable: bool) -> Refused {
        let shown = format!("\"{}\"", text.escape_debug());
        self.wrong_type("text", &shown, expected, quotable)
    }

    #[cold]
    #[inline(never)]
    fn not_a_number(&mut self, number: i64, expected: &'static str, quotable: bool) -> Refused {
        self.wrong_type("a number", &number.to_string(), expected, quotable)
    }

    /// Refuses a value of another type than the one that belongs here.
    #[cold]
    #[inline(never)]
    fn wrong_type(&mut self, found: &'static str, shown: &str, expected: &'static str, quotable: bool) -> Refused {
        let shown = self.may_show(shown).then(|| shown.to_owned());
        self.refuse(Problem::WrongType { found, shown, expected, quotable })
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

    /// The next member's name of an object that knows `known`; refuses any other name.
    pub(crate) fn name(&mut self, known: &'static [&'static str]) -> Result<Option<&'static str>, Refused> {
        let member = self.source.member();
        if !self.sound(member)? {
            return Ok(None);
        }
        let name = self.source.take_text();
        let name = self.sound(name)?;
        match known.iter().find(|known| **known == name) {
            Some(known) => {
                self.source.give_back(name);
                Ok(Some(known))
            }
            None => {
                let name = (!self.is_in_keys() && is_word(&name)).then_some(name);
                Err(self.refuse(Problem::UnknownField { name, known }))
            }
        }
    }

    /// Reads the value of the member `name` into `slot`, which must be free.
    pub(crate) fn member<T: Read>(&mut self, name: &'static str, slot: &mut Option<T>) -> Result<(), Refused> {
        // Seen here, the slot is free below too: nothing to drop there.
        if slot.is_some() {
            return Err(self.refuse(Problem::DuplicateField { name }));
        }
        self.enter(name)?;
        *slot = Some(self.value()?);
        self.path.pop();
        Ok(())
    }

    #[inline(never)]
    fn enter(&mut self, name: &'static str) -> Result<(), Refused> {
        self.path.push(Step::Member(name));
        let colon = self.source.colon();
        self.sound(colon)
    }

    /// Whether a list goes on with an item of this index.
    #[inline(never)]
    fn item(&mut self, index: usize) -> Result<bool, Refused> {
        self.path.push(Step::Index(index));
        let item = self.source.item();
        self.sound(item)
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

impl<T: Read> Read for Vec<T> {
    const EXPECTED: &'static str = "a list";

    fn schema() -> Value {
        json!({"type": "array", "items": T::schema()})
    }

    fn list(reader: &mut Reader<'_>) -> Result<Self, Refused> {
        let mut list = Self::new();
        for index in 0.. {
            if !reader.item(index)? {
                break;
            }
            let item: T = reader.value()?;
            reader.path.pop();
            list.extend(item.keep(reader));
        }
        reader.path.pop();
        Ok(list)
    }
}

impl Read for bool {
    const EXPECTED: &'static str = "true or false";

    fn schema() -> Value {
        json!({"type": "boolean"})
    }

    fn boolean(_: &mut Reader<'_>, value: bool) -> Result<Self, Refused> {
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

            fn text(
                reader: &mut $crate::document::read::Reader<'_>,
                text: &str,
            ) -> Result<Self, $crate::document::read::Refused> {
                <$type as $crate::document::read::Text>::read(text)
                    .map_err(|invalid| reader.invalid(text, invalid))
            }
        }
    )+};
}
pub(crate) use read_text;
