//! Lists and texts in blocks. What is in them never moves: to grow needs no second copy, which would stay behind as room
//! that a VM can never give back.

/// How many items a block has.
const ITEMS: usize = 1 << ITEM_BITS;
const ITEM_BITS: u32 = 10;
/// How many bytes a block of texts has.
const BYTES: usize = 1 << BYTE_BITS;
const BYTE_BITS: u32 = 16;

/// A list.
pub(super) struct Blocks<T>(Vec<Vec<T>>);

impl<T> Default for Blocks<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Blocks<T> {
    /// How many items there are.
    pub(super) fn len(&self) -> u32 {
        let full = self.0.len().saturating_sub(1).saturating_mul(ITEMS);
        let len = full.saturating_add(self.0.last().map_or(0, Vec::len));
        u32::try_from(len).unwrap_or(u32::MAX)
    }

    /// Adds an item, and returns its place; `None` if there is no place left.
    pub(super) fn push(&mut self, item: T) -> Option<u32> {
        let place = Some(self.len()).filter(|place| *place < u32::MAX)?;
        block(&mut self.0, ITEMS, 1)?.push(item);
        Some(place)
    }

    /// The item at a place.
    pub(super) fn get(&self, place: u32) -> Option<&T> {
        let (block, item) = split(place, ITEM_BITS)?;
        self.0.get(block)?.get(item)
    }

    /// Puts the items into another order, in place: `order` has the place of each one once.
    pub(super) fn arrange(&mut self, mut order: Vec<u32>)
    where
        T: Copy,
    {
        for start in 0..self.len() {
            let mut place = start;
            while let Some(from) = usize::try_from(place).ok().and_then(|at| order.get_mut(at)) {
                let from = core::mem::replace(from, place);
                // The end of the cycle, or where the order is none, of what was done before.
                if from == start || from == place {
                    break;
                }
                self.swap(place, from);
                place = from;
            }
        }
    }

    fn swap(&mut self, one: u32, other: u32)
    where
        T: Copy,
    {
        if let (Some(first), Some(second)) = (self.get(one).copied(), self.get(other).copied()) {
            for (place, item) in [(one, second), (other, first)] {
                if let Some(slot) = self.get_mut(place) {
                    *slot = item;
                }
            }
        }
    }

    /// The item at a place.
    pub(super) fn get_mut(&mut self, place: u32) -> Option<&mut T> {
        let (block, item) = split(place, ITEM_BITS)?;
        self.0.get_mut(block)?.get_mut(item)
    }
}

/// Short texts, each behind its length.
#[derive(Default)]
pub(super) struct Texts(Vec<Vec<u8>>);

impl Texts {
    /// Adds a text, and returns its place; `None` if it is longer than 255 bytes, or there is no place left.
    pub(super) fn push(&mut self, text: &str) -> Option<u32> {
        let length = u8::try_from(text.len()).ok()?;
        let block = block(&mut self.0, BYTES, usize::from(length).saturating_add(1))?;
        let start = u32::try_from(block.len()).ok()?;
        block.push(length);
        block.extend_from_slice(text.as_bytes());
        let number = u32::try_from(self.0.len()).ok()?.checked_sub(1)?;
        number.checked_mul(1 << BYTE_BITS)?.checked_add(start)
    }

    /// The text at a place.
    pub(super) fn get(&self, place: u32) -> Option<&str> {
        core::str::from_utf8(self.bytes(place)?).ok()
    }

    /// The text at a place, as bytes.
    pub(super) fn bytes(&self, place: u32) -> Option<&[u8]> {
        let (block, start) = split(place, BYTE_BITS)?;
        let (length, rest) = self.0.get(block)?.get(start..)?.split_first()?;
        rest.get(..usize::from(*length))
    }
}

/// The last block, if it has room for `more`, or else a new one. The first doubles as it is needed, the others are whole.
fn block<T>(blocks: &mut Vec<Vec<T>>, size: usize, more: usize) -> Option<&mut Vec<T>> {
    if blocks.last().is_none_or(|last| last.len().saturating_add(more) > size) {
        let capacity = if blocks.is_empty() { size >> 6 } else { size };
        blocks.push(Vec::with_capacity(capacity));
    }
    blocks.last_mut()
}

/// The number of the block, and the place in it.
fn split(place: u32, bits: u32) -> Option<(usize, usize)> {
    let block = usize::try_from(place.checked_shr(bits)?).ok()?;
    let mask = 1_u32.checked_shl(bits)?.checked_sub(1)?;
    Some((block, usize::try_from(place & mask).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_pushed_is_there() {
        let (mut list, mut texts) = (Blocks::default(), Texts::default());
        let text = |number: usize| "x".repeat(number % 256);
        let places: Vec<u32> = (0..5000)
            .map(|number| {
                assert_eq!(list.push(number), u32::try_from(number).ok());
                texts.push(&text(number)).unwrap()
            })
            .collect();
        assert_eq!(list.len(), 5000);
        for (number, place) in places.into_iter().enumerate() {
            assert_eq!(list.get(u32::try_from(number).unwrap()), Some(&number));
            assert_eq!(texts.get(place), Some(text(number).as_str()));
        }
        assert_eq!((list.get(5000), list.get(u32::MAX), texts.get(u32::MAX)), (None, None, None));
        assert_eq!(texts.push(&"x".repeat(256)), None);
    }

    #[test]
    fn items_are_put_into_any_order() {
        for step in [1, 7, 2999] {
            let mut list = Blocks::default();
            (0..3000_u32).for_each(|number| assert_eq!(list.push(number), Some(number)));
            let order: Vec<u32> = (0..3000).map(|number| (number * step + 5) % 3000).collect();
            list.arrange(order.clone());
            assert!((0..).zip(&order).all(|(place, number)| list.get(place) == Some(number)), "{step}");
        }
        let mut list = Blocks::default();
        (0..4_u32).for_each(|number| assert_eq!(list.push(number), Some(number)));
        for no_order in [vec![], vec![1], vec![1, 1, 1, 1], vec![9; 4], vec![3, 3, 0, 1]] {
            list.arrange(no_order);
        }
        assert_eq!(list.len(), 4);
    }

    #[test]
    fn a_block_never_grows_beyond_its_size() {
        let (mut list, mut texts) = (Blocks::default(), Texts::default());
        for _ in 0..2000 {
            list.push(0_u64).unwrap();
            texts.push(&"x".repeat(200)).unwrap();
        }
        assert!(list.0.iter().all(|block| block.capacity() == ITEMS));
        assert!(texts.0.iter().all(|block| block.capacity() <= BYTES));
    }
}
