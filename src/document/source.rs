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
        let start = window.rest();
        if start.is_empty() && !window.has_failed() {
            return None;
        }
        let is_struct = protobuf::is_struct(window.rest());
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
    use serde_json::{Map, Value};

    use super::super::window::whole;
    use super::*;

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
}
