//! Parsing of values that are written as text, or that have a short form as text.

use core::fmt;
use core::marker::PhantomData;
use std::borrow::Cow;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, Expected, MapAccess, Unexpected, Visitor};

/// An error in a value, and what to write instead. Contains no part of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// The error, such as `invalid mode`. In messages, the value follows it.
    pub what: Cow<'static, str>,
    /// The expected form of the value.
    pub help: Cow<'static, str>,
}

impl Invalid {
    /// Creates an error from what is wrong and what is expected.
    pub fn new(what: impl Into<Cow<'static, str>>, help: impl Into<Cow<'static, str>>) -> Self {
        Self { what: what.into(), help: help.into() }
    }

    /// Parses the text form in which the error passes through serde: one line for each field.
    pub(crate) fn from_lines(text: &str) -> Self {
        let (what, help) = text.split_once('\n').unwrap_or((text, ""));
        Self::new(what.to_owned(), help.to_owned())
    }
}

/// The text form in which the error passes through serde.
impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.what, self.help)
    }
}

impl Expected for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Prefix of an expectation if text is expected, so that quoting a number fixes the error.
pub(crate) const QUOTABLE: &str = "text: ";

/// A value that is written as text, or an object that has a short form as text.
#[cfg_attr(not(feature = "schema"), expect(dead_code, reason = "only the schema has patterns and choices"))]
pub(crate) trait Text: Sized {
    /// The expected form, for messages.
    const EXPECTED: &'static str;
    /// A regular expression (ECMA-262) that matches every valid text, and may match more.
    const PATTERN: &'static str = "";
    /// The choices, instead of a regular expression.
    const CHOICES: &'static [&'static str] = &[];

    fn from_text(text: &str) -> Result<Self, Invalid>;
}

#[cfg(feature = "schema")]
pub(crate) fn schema<T: Text>() -> schemars::Schema {
    if T::CHOICES.is_empty() {
        schemars::json_schema!({"type": "string", "title": T::EXPECTED, "pattern": T::PATTERN})
    } else {
        schemars::json_schema!({"type": "string", "title": T::EXPECTED, "enum": T::CHOICES})
    }
}

/// Implements `FromStr` and `Deserialize` for a [`Text`].
macro_rules! read_text {
    ($($type:ty),+ $(,)?) => {$(
        impl core::str::FromStr for $type {
            type Err = $crate::value::text::Invalid;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $crate::value::text::Text::from_text(text)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                $crate::value::text::read(from)
            }
        }

        #[cfg(feature = "schema")]
        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                $crate::value::text::schema::<Self>()
            }
        }
    )+};
}
pub(crate) use read_text;

#[inline(never)]
pub(crate) fn read<'de, T: Text, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    let text = from.deserialize_str(AnyText { expected: T::EXPECTED })?;
    T::from_text(&text).map_err(|invalid| D::Error::invalid_value(Unexpected::Str(&text), &invalid))
}

/// Reads any text. One type for all values, so that its code is in the filter only once.
struct AnyText {
    expected: &'static str,
}

impl Visitor<'_> for AnyText {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{QUOTABLE}{}", self.expected)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }
}

/// A value in its full or its short form.
pub(crate) struct Either<T>(T);

pub(crate) fn either<'de, T: Text + Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    Either::deserialize(from).map(|Either(value)| value)
}

pub(crate) fn list<'de, T: Text + Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    Ok(Vec::<Either<T>>::deserialize(from)?.into_iter().map(|Either(value)| value).collect())
}

pub(crate) fn list_if_any<'de, T, D>(from: D) -> Result<Option<Vec<T>>, D::Error>
where
    T: Text + Deserialize<'de>,
    D: Deserializer<'de>,
{
    list(from).map(Some)
}

impl<'de, T: Text + Deserialize<'de>> Deserialize<'de> for Either<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(EitherVisitor(PhantomData))
    }
}

struct EitherVisitor<T>(PhantomData<T>);

impl<'de, T: Text + Deserialize<'de>> Visitor<'de> for EitherVisitor<T> {
    type Value = Either<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{QUOTABLE}{}", T::EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Either<T>, E> {
        T::from_text(text).map(Either).map_err(|invalid| E::invalid_value(Unexpected::Str(text), &invalid))
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Either<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(members)).map(Either)
    }
}

#[cfg(feature = "schema")]
impl<T: Text + schemars::JsonSchema> schemars::JsonSchema for Either<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"anyOf": [schema::<T>(), generator.subschema_for::<T>()]})
    }
}
