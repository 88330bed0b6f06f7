//! The shapes of hostile requests. They are rows of tables: a text that is repeated up to the requested length, and the
//! texts before and after it. Add a row for a more expensive shape.

use super::Request;
use super::headers::{HEADERS, OTHERS};
use super::paths::{PATHS, QUERIES};
use super::policies::Under;

/// One kind of hostile request.
#[derive(Debug)]
pub struct Shape {
    /// The name.
    pub name: &'static str,
    /// Whether it exists in every length.
    pub has_length: bool,
    /// The policies under which it is measured.
    pub under: &'static [Under],
    /// Its construction.
    make: Make,
}

/// The place of the key, in a request with one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// `Authorization: Bearer`.
    Bearer,
    /// `X-API-Key`.
    Header,
    /// At the end of the query.
    Query,
    /// At the end of the last `Cookie`.
    Cookie,
}

/// The construction of a request with a given length.
#[derive(Debug, Clone, Copy)]
enum Make {
    /// A target.
    Target(Text),
    /// A header of that name, this number of times; together they fit into Envoy's limit.
    Header(&'static str, usize, Text, Place),
    /// Another construction.
    Other(fn(usize) -> Request),
}

/// A text with a given length.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text {
    head: &'static str,
    unit: &'static str,
    tail: &'static str,
    place: Place,
}

/// The size that fits into Envoy's default limit for headers.
const MAX_LENGTH: usize = 58_000;

/// The text before, the repeated text, and the text after; with the key as a bearer token, if there is one.
pub(super) const fn text(head: &'static str, unit: &'static str, tail: &'static str) -> Text {
    Text { head, unit, tail, place: Place::Bearer }
}

impl Text {
    /// With the key in another place.
    pub(super) const fn key_in(self, place: Place) -> Self {
        Self { place, ..self }
    }

    /// Whole units, at most the requested number of bytes; at least one unit.
    pub(super) fn of(self, length: usize) -> String {
        let Self { head, unit, tail, .. } = self;
        let room = length.saturating_sub(head.len() + tail.len());
        format!("{head}{}{tail}", unit.repeat((room / unit.len()).max(1)))
    }
}

/// A shape of a target.
pub(super) const fn target(name: &'static str, under: &'static [Under], text: Text) -> Shape {
    Shape { name, has_length: true, under, make: Make::Target(text) }
}

/// A shape of one header, or of several equal ones.
pub(super) const fn header(
    name: &'static str,
    under: &'static [Under],
    (header, count): (&'static str, usize),
    text: Text,
) -> Shape {
    Shape { name, has_length: true, under, make: Make::Header(header, count, text, text.place) }
}

/// Any other shape.
pub(super) const fn other(
    name: &'static str,
    has_length: bool,
    under: &'static [Under],
    make: fn(usize) -> Request,
) -> Shape {
    Shape { name, has_length, under, make: Make::Other(make) }
}

impl Shape {
    /// The request of that length.
    pub fn request(&self, length: usize) -> Request {
        let mut request = Request::usual();
        match self.make {
            Make::Target(text) => {
                request.target = text.of(length);
                request.place = text.place;
            }
            Make::Header(name, count, text, place) => {
                let value = text.of(length.min(MAX_LENGTH / count));
                request.headers.extend(std::iter::repeat_n((name.to_owned(), value), count));
                request.place = place;
            }
            Make::Other(make) => return make(length),
        }
        request
    }
}

/// The shapes whose name contains one of `only`; all, if that is empty.
pub fn named(only: &[String]) -> Vec<&'static Shape> {
    let all = [PATHS, QUERIES, HEADERS, OTHERS].into_iter().flatten();
    all.filter(|shape| only.is_empty() || only.iter().any(|text| shape.name.contains(text.as_str()))).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::LENGTHS;
    use super::{MAX_LENGTH, named};

    #[test]
    fn each_shape_has_a_name_of_its_own_and_comes_in_its_lengths() {
        let all = named(&[]);
        assert_eq!(all.iter().map(|shape| shape.name).collect::<BTreeSet<_>>().len(), all.len());
        for shape in all.into_iter().filter(|shape| shape.has_length) {
            for length in LENGTHS {
                let usual = super::Request::usual().bytes().len();
                let bytes = shape.request(length).bytes().len();
                let name = shape.name;
                assert!(bytes + 100 > usual + length * 3 / 4, "{name} is too short: {bytes} bytes for {length}");
                assert!(bytes < MAX_LENGTH + 3_000, "{name} is too long for Envoy: {bytes} bytes");
            }
        }
    }
}
