//! Marks of header names: a small set that says at once of most names that they are not there.

use crate::request::fold;

/// A set of names, each as one of 64 marks. Names that [`same_name`](crate::request::same_name) takes for one have the same
/// mark; others may share it by chance, so a mark only says where a closer look is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Marks(u64);

impl Marks {
    /// Of no name.
    pub(crate) const NONE: Self = Self(0);

    /// Of one name: of its length, its first and its last letter, weighted so that few of the names that requests have share
    /// a mark with those that are looked for.
    pub(crate) const fn of(name: &[u8]) -> Self {
        match (name.first(), name.last()) {
            (Some(first), Some(last)) => {
                let ends = (fold(*first) as u32).wrapping_mul(40).wrapping_add((fold(*last) as u32).wrapping_mul(29));
                Self(1_u64.wrapping_shl((name.len() as u32).wrapping_add(ends)))
            }
            _ => Self::NONE,
        }
    }

    /// Of all `names`.
    pub(crate) const fn of_all(names: &[&str]) -> Self {
        let (mut marks, mut names) = (Self::NONE, names);
        while let [name, rest @ ..] = names {
            (marks, names) = (marks.and(Self::of(name.as_bytes())), rest);
        }
        marks
    }

    /// With those of others.
    pub(crate) const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Whether any of them is among others.
    pub(crate) const fn meet(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::same_name;

    #[test]
    fn every_spelling_of_a_name_has_its_mark() {
        for name in ["connection", "x-portcullis-roles", "x-api-key-", "x1"] {
            let folds = |byte: u8, other: &u8| fold(byte) == fold(*other);
            for (at, byte) in name.bytes().enumerate() {
                for other in (0..=127).filter(|other| folds(byte, other)) {
                    let mut spelling = name.as_bytes().to_vec();
                    spelling[at] = other;
                    assert!(same_name(&spelling, name));
                    assert_eq!(Marks::of(&spelling), Marks::of(name.as_bytes()), "{spelling:?}");
                }
            }
        }
        // A letter of two bytes ends as two marks that are no letters do.
        assert!(same_name(b"x-\xc3\xa9", "x---"));
        assert_eq!(Marks::of(b"x-\xc3\xa9"), Marks::of(b"x---"));
    }

    #[test]
    fn a_name_that_is_not_there_has_mostly_a_mark_of_its_own() {
        let usual = Marks::of_all(&[
            ":authority",
            ":method",
            ":path",
            ":scheme",
            "accept",
            "content-length",
            "content-type",
            "user-agent",
        ]);
        let missed =
            ["authorization", "x-api-key", "x-portcullis-consumer", "x-portcullis-roles", "x-portcullis-key-id"];
        assert_eq!(missed.iter().filter(|name| usual.meet(Marks::of(name.as_bytes()))).count(), 0);
        assert!(!Marks::NONE.meet(usual));
    }
}
