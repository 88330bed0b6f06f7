//! Finds equal things among many, in a time that grows with n log n at worst, whatever they are.
//!
//! Each thing has a hash, whose first bits tell its bucket; there is a bucket for some sixteen things. Within a bucket the
//! things themselves are in order. So no choice of things makes a long search, the hash needs no secret, and the two lists are
//! allocated once, at their size. Things that are then put into this order are found without the second list.

use core::cmp::Ordering;

/// Places of things, in buckets.
#[derive(Default)]
pub(super) struct Index {
    /// Where each bucket ends in `order`. The next begins there.
    ends: Vec<u32>,
    /// The places, in the order of their buckets, and in a bucket in that of the things.
    order: Vec<u32>,
    /// How many bits of a hash tell the bucket.
    bits: u32,
}

impl Index {
    /// An index of those of the first `count` places that have a hash. Equal things must have equal hashes.
    pub(super) fn new(count: u32, hash: &dyn Fn(u32) -> Option<u32>, compare: &dyn Fn(u32, u32) -> Ordering) -> Self {
        // A search within a bucket stays in one or two pages of memory, and the ends of few buckets in those that are in use:
        // with a bucket for each thing, a request with one of 100,000 keys missed one page more.
        let bits = (count >> 4).checked_ilog2().unwrap_or_default();
        let mut index = Self { ends: Vec::new(), order: Vec::new(), bits };
        index.ends.resize(1_usize.checked_shl(bits).unwrap_or(1), 0);
        let mut total = 0_u32;
        for hash in (0..count).filter_map(hash) {
            if let Some(size) = bucket(hash, bits).and_then(|bucket| index.ends.get_mut(bucket)) {
                *size = size.saturating_add(1);
                total = total.saturating_add(1);
            }
        }
        let mut start = 0_u32;
        for size in &mut index.ends {
            // From its size to its start; and as things come in, that moves on to the end.
            start = start.saturating_add(core::mem::replace(size, start));
        }
        index.order.resize(usize::try_from(total).unwrap_or_default(), 0);
        for place in 0..count {
            if let Some(end) = hash(place).and_then(|hash| index.ends.get_mut(bucket(hash, bits)?))
                && let Some(slot) = usize::try_from(*end).ok().and_then(|end| index.order.get_mut(end))
            {
                *slot = place;
                *end = end.saturating_add(1);
            }
        }
        let mut start = 0;
        for end in index.ends.iter().filter_map(|end| usize::try_from(*end).ok()) {
            if end.saturating_sub(start) > 1
                && let Some(bucket) = index.order.get_mut(start..end)
            {
                sort(bucket, compare);
            }
            start = end;
        }
        index
    }

    /// How many things there are.
    pub(super) fn len(&self) -> usize {
        self.ends.last().and_then(|end| usize::try_from(*end).ok()).unwrap_or_default()
    }

    /// The places of the things in its order, which the index then knows no more.
    pub(super) fn take_order(&mut self) -> Vec<u32> {
        core::mem::take(&mut self.order)
    }

    /// Where a thing with this hash is in the order, by what `compare` says of the one that is there.
    pub(super) fn find(&self, hash: u32, compare: impl Fn(u32) -> Option<Ordering>) -> Option<u32> {
        let bucket = bucket(hash, self.bits)?;
        let mut end = *self.ends.get(bucket)?;
        let mut start = bucket.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).copied())?;
        while start < end {
            let middle = start.midpoint(end);
            match compare(middle)? {
                Ordering::Less => start = middle.saturating_add(1),
                Ordering::Equal => return Some(middle),
                Ordering::Greater => end = middle,
            }
        }
        None
    }

    /// The pairs of places that hold equal things: each but the first of its kind, with the one before it.
    pub(super) fn pairs(&self, compare: &dyn Fn(u32, u32) -> Ordering) -> Vec<(u32, u32)> {
        let (mut pairs, mut start) = (Vec::new(), 0);
        for end in self.ends.iter().filter_map(|end| usize::try_from(*end).ok()) {
            for pair in self.order.get(start..end).unwrap_or_default().windows(2) {
                if let [one, other] = *pair
                    && compare(one, other).is_eq()
                {
                    pairs.push((one, other));
                }
            }
            start = end;
        }
        pairs
    }
}

/// Sorts places by their things, and equal things by their places. A heap sort, for the few of a bucket: the standard
/// library's sort is 9 KB of code.
pub(super) fn sort(places: &mut [u32], compare: &dyn Fn(u32, u32) -> Ordering) {
    let compare = |one: u32, other: u32| compare(one, other).then(one.cmp(&other));
    for root in (0..places.len() / 2).rev() {
        sift(places, root, &compare);
    }
    for last in (1..places.len()).rev() {
        if let Some([first, .., greatest]) = places.get_mut(..=last) {
            core::mem::swap(first, greatest);
        }
        sift(places.get_mut(..last).unwrap_or_default(), 0, &compare);
    }
}

/// Lets a place sink until nothing below it is greater.
fn sift(heap: &mut [u32], mut at: usize, compare: &dyn Fn(u32, u32) -> Ordering) {
    loop {
        let left = at.saturating_mul(2).saturating_add(1);
        let children = heap.iter().copied().enumerate().skip(left).take(2);
        let Some((child, greatest)) = children.max_by(|(_, one), (_, other)| compare(*one, *other)) else { return };
        if heap.get(at).is_none_or(|place| compare(*place, greatest).is_ge()) {
            return;
        }
        if let Ok([above, below]) = heap.get_disjoint_mut([at, child]) {
            core::mem::swap(above, below);
        }
        at = child;
    }
}

/// The bucket that the first bits of a hash tell.
fn bucket(hash: u32, bits: u32) -> Option<usize> {
    usize::try_from(u64::from(hash).checked_shl(bits)?.checked_shr(32)?).ok()
}

/// A hash of a text, whose first bits are the well mixed ones.
pub(super) fn hash(text: &[u8]) -> u32 {
    let mix = |hash: u32, word: u32| (hash.rotate_left(5) ^ word).wrapping_mul(0x9E37_79B1);
    let (words, rest) = text.as_chunks::<4>();
    let hash = words.iter().fold(0, |hash, word| mix(hash, u32::from_le_bytes(*word)));
    rest.iter().fold(hash, |hash, byte| mix(hash, u32::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(things: &[u32], hash: fn(u32) -> u32) -> Index {
        let at = |place: u32| things[place as usize];
        let count = u32::try_from(things.len()).unwrap();
        Index::new(count, &|place| (at(place) != 0).then(|| hash(at(place))), &|one, other| at(one).cmp(&at(other)))
    }

    #[test]
    fn a_thing_is_found_where_it_is_whatever_the_hashes() {
        let things: Vec<u32> = (0..3000_u32).map(|number| number.wrapping_mul(0x9E37_79B1) % 5000).collect();
        for hash in [|thing| thing, |thing: u32| thing.wrapping_mul(0x9E37_79B1), |_| 7, |_| u32::MAX] {
            let mut index = index(&things, hash);
            assert_eq!(index.len(), things.iter().filter(|thing| **thing != 0).count());
            let ordered: Vec<u32> = index.take_order().into_iter().map(|place| things[place as usize]).collect();
            for thing in 0..5000 {
                let found = index.find(hash(thing), |place| Some(ordered[place as usize].cmp(&thing)));
                assert_eq!(
                    found.map(|place| ordered[place as usize]),
                    things.contains(&thing).then_some(thing).filter(|thing| *thing != 0)
                );
            }
        }
    }

    #[test]
    fn equal_things_are_pairs_in_their_order() {
        for (things, expected) in [
            (&[][..], &[][..]),
            (&[5], &[]),
            (&[5, 6, 7], &[]),
            (&[5, 6, 5], &[(0, 2)]),
            (&[0, 5, 0, 5, 6, 5], &[(1, 3), (3, 5)]),
        ] {
            for hash in [|thing: u32| thing.wrapping_mul(0x9E37_79B1), |_| 7] {
                let compare = |one: u32, other: u32| things[one as usize].cmp(&things[other as usize]);
                assert_eq!(index(things, hash).pairs(&compare), expected);
            }
        }
    }

    #[test]
    fn names_with_numbers_are_spread() {
        let names: Vec<String> = (0..4096).map(|number| format!("consumer-{number:06}")).collect();
        let mut sizes = [0_u32; 4096];
        names.iter().for_each(|name| sizes[bucket(hash(name.as_bytes()), 12).unwrap()] += 1);
        assert!(sizes.iter().all(|size| *size < 16), "{:?}", sizes.iter().max());
    }
}
