//! Streams the consumers of a document one by one, so that a large document is never in memory as a whole.

use serde::de::SeqAccess;

use super::read::{ListOwner, StreamedList};
use super::root::Document;
use crate::keys::entry::{ConsumerEntry, KeyEntry};

/// Receives consumers and keys as they are parsed. The document itself then has none.
pub(crate) trait ConsumerSink {
    /// Receives a key of the next consumer.
    fn key(&mut self, key: KeyEntry);
    /// Receives a consumer. Its keys were received before.
    fn consumer(&mut self, consumer: ConsumerEntry);
}

pub(super) struct Consumers<'s>(pub(super) &'s mut dyn ConsumerSink);

impl StreamedList for Consumers<'_> {
    type Owner = Document;
    const EXPECTED: &'static str = "a policy document (an object)";
    const MEMBER: &'static str = "consumers";

    fn next<'de, A: SeqAccess<'de>>(&mut self, items: &mut A) -> Result<bool, A::Error> {
        let consumer = items.next_element_seed(ListOwner(Keys(self.0)))?;
        Ok(consumer.map(|consumer| self.0.consumer(consumer)).is_some())
    }
}

struct Keys<'s>(&'s mut dyn ConsumerSink);

impl StreamedList for Keys<'_> {
    type Owner = ConsumerEntry;
    const EXPECTED: &'static str = "a consumer: {name, roles, keys}";
    const MEMBER: &'static str = "keys";

    fn next<'de, A: SeqAccess<'de>>(&mut self, items: &mut A) -> Result<bool, A::Error> {
        let key = items.next_element()?;
        Ok(key.map(|key| self.0.key(key)).is_some())
    }
}

/// Collects every consumer and key, for callers that need the whole document.
#[derive(Default)]
pub(super) struct Collected {
    pub(super) consumers: Vec<ConsumerEntry>,
    keys: Vec<KeyEntry>,
}

impl ConsumerSink for Collected {
    fn key(&mut self, key: KeyEntry) {
        self.keys.push(key);
    }

    fn consumer(&mut self, consumer: ConsumerEntry) {
        let keys = core::mem::take(&mut self.keys);
        self.consumers.push(ConsumerEntry { keys, ..consumer });
    }
}
