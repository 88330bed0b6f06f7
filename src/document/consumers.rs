//! Reads a document: its consumers one by one, so that a large document is never in memory as a whole.

use std::io::Read;

use serde::de::SeqAccess;

use super::read::{ListOwner, StreamedList, read};
use super::refusal::Refusal;
use super::root::Document;
use crate::keys::entry::{ConsumerEntry, KeyEntry};

/// A part of a document that is streamed.
pub(crate) enum Part {
    /// A key of the next consumer.
    Key(KeyEntry),
    /// A consumer without its keys.
    Consumer(ConsumerEntry),
}

type Sink<'s> = &'s mut dyn FnMut(Part);

impl Document {
    /// Reads a document from the filter's configuration: JSON text, or a serialized `google.protobuf.Struct`. An empty
    /// configuration is the document `{}`.
    ///
    /// # Errors
    /// The first error in the document, with the path of the field.
    pub fn read(mut configuration: &[u8]) -> Result<Self, Refusal> {
        let (mut consumers, mut keys) = (Vec::new(), Vec::new());
        let document = Self::stream(&mut configuration, &mut |part| match part {
            Part::Key(key) => keys.push(key),
            Part::Consumer(one) => consumers.push(ConsumerEntry { keys: core::mem::take(&mut keys), ..one }),
        })?;
        Ok(Self { consumers, ..document })
    }

    /// Reads a document in pieces. Its consumers are passed to `sink`; the returned document has none.
    pub(crate) fn stream(configuration: &mut dyn Read, sink: Sink<'_>) -> Result<Self, Refusal> {
        read(configuration, Consumers(sink))
    }
}

struct Consumers<'s>(Sink<'s>);

impl StreamedList for Consumers<'_> {
    type Owner = Document;
    const EXPECTED: &'static str = "a policy document (an object)";
    const MEMBER: &'static str = "consumers";

    fn next<'de, A: SeqAccess<'de>>(&mut self, items: &mut A) -> Result<bool, A::Error> {
        let consumer = items.next_element_seed(ListOwner(Keys(self.0)))?;
        Ok(consumer.map(|consumer| (self.0)(Part::Consumer(consumer))).is_some())
    }
}

struct Keys<'s>(Sink<'s>);

impl StreamedList for Keys<'_> {
    type Owner = ConsumerEntry;
    const EXPECTED: &'static str = "a consumer: {name, roles, keys}";
    const MEMBER: &'static str = "keys";

    fn next<'de, A: SeqAccess<'de>>(&mut self, items: &mut A) -> Result<bool, A::Error> {
        let key = items.next_element()?;
        Ok(key.map(|key| (self.0)(Part::Key(key))).is_some())
    }
}
