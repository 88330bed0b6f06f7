//! Values that are written as text, or as text for short.

use core::fmt;
use core::marker::PhantomData;
use core::str::FromStr;
use std::borrow::Cow;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, Expected, MapAccess, Unexpected, Visitor};

/// Why a value cannot be, and how to mend it. Holds no part of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// Reads on after the value: `is ...`.
    pub why: Cow<'static, str>,
    /// What to do.
    pub fix: Cow<'static, str>,
}

impl Invalid {
    /// An explanation and its mend.
    pub fn new(why: impl Into<Cow<'static, str>>, fix: impl Into<Cow<'static, str>>) -> Self {
        Self { why: why.into(), fix: fix.into() }
    }

    /// From the text in which it goes through serde: a line each.
    pub(crate) fn from_parts(text: &str) -> Self {
        let (why, fix) = text.split_once('\n').unwrap_or((text, ""));
        Self::new(why.to_owned(), fix.to_owned())
    }
}

/// As it goes through serde.
impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.why, self.fix)
    }
}

impl Expected for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Begins what is expected where text may stand: then quotes would mend a number.
pub(crate) const QUOTABLE: &str = "text: ";

/// A value that is written as text.
pub(crate) trait Text: FromStr<Err = Invalid> {
    /// What belongs here, for the message.
    const EXPECTED: &'static str;
    /// How it looks, as a regular expression (ECMA-262, and whatever reads it alike). It may take more than the gate does.
    #[cfg(feature = "schema")]
    const PATTERN: &'static str = "";
    /// What there is to choose from, in the place of a regular expression.
    #[cfg(feature = "schema")]
    const CHOICES: &'static [&'static str] = &[];
}

/// The JSON Schema of a [`Text`].
#[cfg(feature = "schema")]
pub(crate) fn schema<T: Text>() -> schemars::Schema {
    if T::CHOICES.is_empty() {
        schemars::json_schema!({"type": "string", "title": T::EXPECTED, "pattern": T::PATTERN})
    } else {
        schemars::json_schema!({"type": "string", "title": T::EXPECTED, "enum": T::CHOICES})
    }
}

/// Makes a [`Text`] what can be read.
macro_rules! read_text {
    ($($type:ty),+ $(,)?) => {$(
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                $crate::value::text::read(from)
            }
        }

        #[cfg(feature = "schema")]
        impl schemars::JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

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

/// Reads a [`Text`].
#[inline(never)]
pub(crate) fn read<'de, T: Text, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    let text = from.deserialize_str(AnyText { expected: T::EXPECTED })?;
    text.parse().map_err(|invalid| D::Error::invalid_value(Unexpected::Str(&text), &invalid))
}

/// Any text: one type for all, so that what reads it is in the filter once.
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

/// An object that may be written as a text, for short.
pub(crate) trait Short: Sized {
    /// What belongs here, for the message.
    const EXPECTED: &'static str;
    /// Reads the text.
    fn short(text: &str) -> Result<Self, Invalid>;
    /// The JSON Schema of the text.
    #[cfg(feature = "schema")]
    fn short_schema() -> schemars::Schema;
}

/// A value in either form.
pub(crate) struct Either<T>(T);

/// Reads a value in either form.
pub(crate) fn either<'de, T: Short + Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    Either::deserialize(from).map(|Either(value)| value)
}

/// Reads a list of values in either form.
pub(crate) fn list<'de, T: Short + Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    Ok(Vec::<Either<T>>::deserialize(from)?.into_iter().map(|Either(value)| value).collect())
}

/// As [`list`], of what need not be there.
pub(crate) fn list_if_any<'de, T, D>(from: D) -> Result<Option<Vec<T>>, D::Error>
where
    T: Short + Deserialize<'de>,
    D: Deserializer<'de>,
{
    list(from).map(Some)
}

impl<'de, T: Short + Deserialize<'de>> Deserialize<'de> for Either<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(EitherVisitor(PhantomData))
    }
}

struct EitherVisitor<T>(PhantomData<T>);

impl<'de, T: Short + Deserialize<'de>> Visitor<'de> for EitherVisitor<T> {
    type Value = Either<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{QUOTABLE}{}", T::EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Either<T>, E> {
        T::short(text).map(Either).map_err(|invalid| E::invalid_value(Unexpected::Str(text), &invalid))
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Either<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(members)).map(Either)
    }
}

#[cfg(feature = "schema")]
impl<T: Short + schemars::JsonSchema> schemars::JsonSchema for Either<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"anyOf": [T::short_schema(), generator.subschema_for::<T>()]})
    }
}
