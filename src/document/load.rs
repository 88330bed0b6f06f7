//! Reads a whole document.

use std::io::Read;

use super::consumers::{Collected, ConsumerSink, Consumers};
use super::read::read;
use super::refusal::Refusal;
use super::root::Document;

impl Document {
    /// Reads a document from the filter's configuration: JSON text, or a serialized `google.protobuf.Struct`. An empty
    /// configuration is the document `{}`.
    ///
    /// # Errors
    /// The first error in the document, with the path of the field.
    pub fn read(mut configuration: &[u8]) -> Result<Self, Refusal> {
        let mut all = Collected::default();
        let document = Self::stream(&mut configuration, &mut all)?;
        Ok(Self { consumers: all.consumers, ..document })
    }

    /// Reads a document in pieces. Its consumers are passed to `sink`; the returned document has none.
    pub(crate) fn stream(configuration: &mut dyn Read, sink: &mut dyn ConsumerSink) -> Result<Self, Refusal> {
        read(configuration, Consumers(sink))
    }
}
