//! Bytes that stand for a value, and for no other value of its type: what has a length of its own stands behind it, a choice
//! is its number, and the members of an object need no names, since all of them are there, in the order of the type.
//!
//! As JSON text, the same would bring the writing of JSON and of doubles into the filter.

use core::fmt;

use serde::ser::{self, Impossible, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// How many bytes are hashed at once, or a few more.
const BATCH: usize = 1024;

/// A form, of which only the digest is kept.
#[derive(Default)]
pub(super) struct Form {
    hash: Sha256,
    pending: Vec<u8>,
}

impl Form {
    /// Bytes of which the reader knows how many there are.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= BATCH {
            self.hash.update(&self.pending);
            self.pending.clear();
        }
    }

    pub(super) fn text(&mut self, text: &str) {
        self.number(text.len());
        self.bytes(text.as_bytes());
    }

    /// Seven bits a byte, the last without the high bit: most numbers here are small.
    pub(super) fn number(&mut self, mut number: usize) {
        while number > 0x7F {
            self.bytes(&[u8::try_from(number & 0x7F).unwrap_or_default() | 0x80]);
            number >>= 7;
        }
        self.bytes(&[u8::try_from(number).unwrap_or_default()]);
    }

    pub(super) fn digest(mut self) -> [u8; 32] {
        self.hash.update(&self.pending);
        self.hash.finalize().into()
    }
}

type Done = Result<(), fmt::Error>;
type Never = Impossible<(), fmt::Error>;

/// Of the types of serde those that a document has; the others are errors.
impl Serializer for &mut Form {
    type Ok = ();
    type Error = fmt::Error;
    type SerializeSeq = Self;
    type SerializeStruct = Self;
    type SerializeTuple = Never;
    type SerializeTupleStruct = Never;
    type SerializeTupleVariant = Never;
    type SerializeMap = Never;
    type SerializeStructVariant = Never;

    fn serialize_bool(self, value: bool) -> Done {
        self.serialize_u8(value.into())
    }

    fn serialize_u8(self, value: u8) -> Done {
        self.bytes(&[value]);
        Ok(())
    }

    fn serialize_str(self, text: &str) -> Done {
        self.text(text);
        Ok(())
    }

    fn serialize_none(self) -> Done {
        self.serialize_u8(0)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Done {
        self.bytes(&[1]);
        value.serialize(self)
    }

    fn serialize_unit_variant(self, _: &'static str, number: u32, _: &'static str) -> Done {
        self.bytes(&number.to_le_bytes());
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Done {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        number: u32,
        _: &'static str,
        value: &T,
    ) -> Done {
        self.bytes(&number.to_le_bytes());
        value.serialize(self)
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<Self, fmt::Error> {
        self.number(length.ok_or(fmt::Error)?);
        Ok(self)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, fmt::Error> {
        Ok(self)
    }

    fn serialize_i8(self, _: i8) -> Done {
        Err(fmt::Error)
    }

    fn serialize_i16(self, _: i16) -> Done {
        Err(fmt::Error)
    }

    fn serialize_i32(self, _: i32) -> Done {
        Err(fmt::Error)
    }

    fn serialize_i64(self, _: i64) -> Done {
        Err(fmt::Error)
    }

    fn serialize_u16(self, _: u16) -> Done {
        Err(fmt::Error)
    }

    fn serialize_u32(self, _: u32) -> Done {
        Err(fmt::Error)
    }

    fn serialize_u64(self, _: u64) -> Done {
        Err(fmt::Error)
    }

    fn serialize_f32(self, _: f32) -> Done {
        Err(fmt::Error)
    }

    fn serialize_f64(self, _: f64) -> Done {
        Err(fmt::Error)
    }

    fn serialize_char(self, _: char) -> Done {
        Err(fmt::Error)
    }

    fn serialize_bytes(self, _: &[u8]) -> Done {
        Err(fmt::Error)
    }

    fn serialize_unit(self) -> Done {
        Err(fmt::Error)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Done {
        Err(fmt::Error)
    }

    fn serialize_tuple(self, _: usize) -> Result<Never, fmt::Error> {
        Err(fmt::Error)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Never, fmt::Error> {
        Err(fmt::Error)
    }

    fn serialize_tuple_variant(self, _: &'static str, _: u32, _: &'static str, _: usize) -> Result<Never, fmt::Error> {
        Err(fmt::Error)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Never, fmt::Error> {
        Err(fmt::Error)
    }

    fn serialize_struct_variant(self, _: &'static str, _: u32, _: &'static str, _: usize) -> Result<Never, fmt::Error> {
        Err(fmt::Error)
    }
}

impl ser::SerializeSeq for &mut Form {
    type Ok = ();
    type Error = fmt::Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
        value.serialize(&mut **self)
    }

    fn end(self) -> Done {
        Ok(())
    }
}

impl ser::SerializeStruct for &mut Form {
    type Ok = ();
    type Error = fmt::Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, _: &'static str, value: &T) -> Done {
        value.serialize(&mut **self)
    }

    fn end(self) -> Done {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_differ_have_forms_that_differ() {
        let form = |pieces: &[&str]| {
            let mut form = Form::default();
            pieces.iter().for_each(|piece| form.text(piece));
            form.digest()
        };
        assert_eq!(form(&["ab", "c"]), form(&["ab", "c"]));
        assert_ne!(form(&["ab", "c"]), form(&["a", "bc"]));
        assert_ne!(form(&["ab", ""]), form(&["ab"]));
        let long = "x".repeat(3000);
        assert_ne!(form(&[&long, "a"]), form(&[&long, "b"]), "what comes after the first batch counts");
    }

    #[test]
    fn a_document_has_a_form_to_its_end() {
        let document = br#"{"description": "a", "key_sources": ["bearer", {"cookie": "a"}], "public_paths": [{"path": "/a", "methods": ["GET"]}],
            "protected_paths": ["/b"], "trusted_networks": {"ranges": ["10.0.0.0/8"], "client_address": {"filter_state": "a"}},
            "trusted_identities": ["spiffe://a/ns/b/sa/*"], "rules": [{"path": "/c", "roles": ["a"], "description": "b"}]}"#;
        let document = crate::Document::read(document).unwrap();
        assert!(document.serialize(&mut Form::default()).is_ok());
    }
}
