//! Reads a document in one streaming pass into typed values, with the path of the field in every refusal.
//!
//! The messages of a general reader show values, keys among them, and do not say where. And it would be in the filter once for
//! each type that it reads: here the tokens come from one concrete [source](super::source).
//!
//! A type says what it can be read from by implementing [`Read`]. A value that is written as text implements [`Text`] and is
//! listed in `read_text!`; an object is declared by its members, in [`object`](super::object). What is done for all types
//! alike is no generic code.

use serde_json::{Value, json};

use super::consumer::Taker;
use super::refusal::{Escaped, Invalid, Problem, Refusal};
use super::source::{Broken, Kind, Source};
use super::window::{Pieces, whole};

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
pub(crate) enum Token {
    Boolean(bool),
    /// A whole number.
    Whole(i64),
    /// [Give it back](Reader::give_back).
    Text(String),
    /// The items come next.
    List,
    /// The members come next.
    Object,
}

/// The document is refused: the reader holds the refusal.
#[derive(Debug)]
pub(crate) struct Refused;

/// A value that can be read from a document.
pub(crate) trait Read: Sized {
    /// What belongs here, for the message.
    const EXPECTED: &'static str;
    /// Whether text may stand here.
    const QUOTABLE: bool = false;

    /// What can be read, as JSON Schema. It may take more than [`Read`] does, and never less.
    fn schema() -> Value;
    /// From what begins here; refuses what does not belong here.
    fn read(reader: &mut Reader<'_>, value: Token) -> Result<Self, Refused>;
    /// What stays in a list of these: another may have taken it.
    fn keep(self, _: &mut Reader<'_>) -> Option<Self> {
        Some(self)
    }
}

impl<'t> Reader<'t> {
    /// Reads a whole document. Nothing at all is the document `{}`.
    pub(crate) fn document<T: Read>(configuration: &'t mut Pieces<'t>, taker: &'t mut dyn Taker) -> Result<T, Refusal> {
        let mut nothing = whole(b"{}");
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
        let value = self.token(T::EXPECTED, T::QUOTABLE)?;
        T::read(self, value)
    }

    /// The next value, or how it begins. What no type reads is refused here.
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

    /// The text that belongs here.
    #[inline(never)]
    pub(crate) fn text(&mut self, value: Token, expected: &'static str) -> Result<String, Refused> {
        match value {
            Token::Text(text) => Ok(text),
            other => Err(self.unexpected(other, expected, true)),
        }
    }

    /// A text that was read: the next one needs no allocation.
    #[inline(never)]
    pub(crate) fn give_back(&mut self, text: String) {
        self.source.give_back(text);
    }

    /// Sees to it that an object is here.
    #[inline(never)]
    pub(crate) fn begin_object(&mut self, value: Token, expected: &'static str) -> Result<(), Refused> {
        match value {
            Token::Object => Ok(()),
            other => Err(self.unexpected(other, expected, false)),
        }
    }

    /// Refuses a value of another type than the one that belongs here.
    #[cold]
    #[inline(never)]
    pub(crate) fn unexpected(&mut self, value: Token, expected: &'static str, quotable: bool) -> Refused {
        let (found, shown) = match value {
            Token::Boolean(true) => ("a boolean", "true".into()),
            Token::Boolean(false) => ("a boolean", "false".into()),
            Token::Whole(number) => ("a number", number.to_string()),
            Token::Text(text) => ("text", format!("\"{}\"", Escaped(&text))),
            Token::List => ("a list", "this".into()),
            Token::Object => ("an object", "this".into()),
        };
        self.wrong_type(found, &shown, expected, quotable)
    }

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
        let value = self.enter(name, T::EXPECTED, T::QUOTABLE)?;
        *slot = Some(T::read(self, value)?);
        self.path.pop();
        Ok(())
    }

    /// The value of a member.
    #[inline(never)]
    fn enter(&mut self, name: &'static str, expected: &'static str, quotable: bool) -> Result<Token, Refused> {
        self.path.push(Step::Member(name));
        let colon = self.source.colon();
        self.sound(colon)?;
        self.token(expected, quotable)
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

    fn read(reader: &mut Reader<'_>, value: Token) -> Result<Self, Refused> {
        let Token::List = value else { return Err(reader.unexpected(value, Self::EXPECTED, Self::QUOTABLE)) };
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

    fn read(reader: &mut Reader<'_>, value: Token) -> Result<Self, Refused> {
        match value {
            Token::Boolean(value) => Ok(value),
            other => Err(reader.unexpected(other, Self::EXPECTED, Self::QUOTABLE)),
        }
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

            fn read(
                reader: &mut $crate::document::read::Reader<'_>,
                value: $crate::document::read::Token,
            ) -> Result<Self, $crate::document::read::Refused> {
                let text = reader.text(value, <Self as $crate::document::read::Read>::EXPECTED)?;
                let read = <$type as $crate::document::read::Text>::read(&text)
                    .map_err(|invalid| reader.invalid(&text, invalid));
                reader.give_back(text);
                read
            }
        }
    )+};
}
pub(crate) use read_text;
