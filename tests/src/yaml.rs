//! Values of the table of cases with a special notation.

use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::bytes;
use crate::expect::{SeenExpectation, UpstreamExpectation};
use crate::message::Pair;

/// Text with escapes, as bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

/// Header lines: a list of `[name, value]`, or a map.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields(pub Vec<Pair>);

/// The values of a header: one text or a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Values(pub Vec<Vec<u8>>);

/// `1`, `2` or `both`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Protocols {
    /// HTTP/1.1.
    #[serde(rename = "1")]
    Http1,
    /// HTTP/2 with prior knowledge.
    #[serde(rename = "2")]
    Http2,
    /// One after the other.
    #[serde(rename = "both")]
    Both,
}

impl Protocols {
    /// Whether HTTP/1.1 is meant.
    pub fn http1(self) -> bool {
        self != Self::Http2
    }

    /// Whether HTTP/2 is meant.
    pub fn http2(self) -> bool {
        self != Self::Http1
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        bytes::parse(&text).map(Self).map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Notation;
        impl<'de> Visitor<'de> for Notation {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("header lines: a list of [name, value], or a map")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some((name, value)) = items.next_element::<(Bytes, Bytes)>()? {
                    fields.push((name.0, value.0));
                }
                Ok(Fields(fields))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some((name, value)) = members.next_entry::<Bytes, Bytes>()? {
                    fields.push((name.0, value.0));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_any(Notation)
    }
}

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Notation;
        impl<'de> Visitor<'de> for Notation {
            type Value = Values;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the value of a header (quote numbers), or a list of its values")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Values, E> {
                bytes::parse(text).map(|value| Values(vec![value])).map_err(E::custom)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Values, A::Error> {
                let mut values = Vec::new();
                while let Some(value) = items.next_element::<Bytes>()? {
                    values.push(value.0);
                }
                Ok(Values(values))
            }
        }
        deserializer.deserialize_any(Notation)
    }
}

impl<'de> Deserialize<'de> for UpstreamExpectation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Notation;
        impl<'de> Visitor<'de> for Notation {
            type Value = UpstreamExpectation;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`none`, or a map of what the upstream saw")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<UpstreamExpectation, E> {
                match text {
                    "none" => Ok(UpstreamExpectation::NotReached),
                    _ => Err(E::custom("an upstream is `none`, or a map of what it saw")),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<UpstreamExpectation, A::Error> {
                SeenExpectation::deserialize(MapAccessDeserializer::new(members)).map(UpstreamExpectation::Saw)
            }
        }
        deserializer.deserialize_any(Notation)
    }
}
