//! Memory for what the host hands over. The host asks for it during a hostcall (`proxy_on_memory_allocate`), fills it, and
//! returns its address and the length. Buffers are used again, so that a request takes no memory for them.

/// How many buffers are kept: a request holds two at once, its headers and an attribute.
const SPARES: usize = 4;
/// The size of the smallest.
const SMALLEST: usize = 4096;

/// The buffers of a VM.
#[derive(Debug)]
pub(crate) struct Buffers {
    /// The one that the host has now.
    lent: Option<Vec<u8>>,
    /// The last one used is the first to be used again.
    spare: Vec<Vec<u8>>,
}

impl Buffers {
    pub(crate) const fn new() -> Self {
        Self { lent: None, spare: Vec::new() }
    }

    /// Lends at least `size` bytes. All of them have a value, whatever the host then writes.
    pub(crate) fn lend(&mut self, size: usize) -> *mut u8 {
        let mut buffer = self.spare.pop().unwrap_or_default();
        if buffer.len() < size.max(1) {
            buffer = vec![0; size.max(SMALLEST).checked_next_power_of_two().unwrap_or(size)];
        }
        self.lent.insert(buffer).as_mut_ptr()
    }

    /// Takes back what was lent; `None` if the host returns anything else.
    pub(crate) fn take_back(&mut self, address: *const u8, length: usize) -> Option<Vec<u8>> {
        self.lent.take().filter(|buffer| buffer.as_ptr() == address && length <= buffer.len())
    }

    /// Keeps a buffer for the next time. One without room is what stands for no bytes at all.
    pub(crate) fn keep(&mut self, buffer: Vec<u8>) {
        if !buffer.is_empty() && self.spare.len() < SPARES {
            self.spare.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_lent_comes_back_once() {
        let mut buffers = Buffers::new();
        let address = buffers.lend(10);
        assert!(buffers.take_back(address, 10).is_some_and(|buffer| buffer.len() == SMALLEST));
        assert!(buffers.take_back(address, 10).is_none());
    }

    #[test]
    fn what_was_not_lent_is_not_taken() {
        for (ahead, length) in [(1, 10), (0, SMALLEST + 1), (0, usize::MAX)] {
            let mut buffers = Buffers::new();
            let address = buffers.lend(10).wrapping_add(ahead);
            assert!(buffers.take_back(address, length).is_none(), "{ahead} {length}");
        }
    }

    #[test]
    fn a_buffer_is_used_again_if_it_is_large_enough() {
        let mut buffers = Buffers::new();
        let mut take = |size| {
            let address = buffers.lend(size);
            let buffer = buffers.take_back(address, size).expect("it is the one");
            let length = buffer.len();
            buffers.keep(buffer);
            (address, length)
        };
        let (first, _) = take(10);
        assert_eq!(take(SMALLEST), (first, SMALLEST));
        assert_eq!(take(5000).1, 8192);
        assert_eq!(take(0).1, 8192);
    }

    #[test]
    fn few_are_kept() {
        let mut buffers = Buffers::new();
        buffers.keep(Vec::new());
        assert!(buffers.spare.is_empty());
        (0..10).for_each(|_| buffers.keep(vec![0; SMALLEST]));
        assert_eq!(buffers.spare.len(), SPARES);
    }
}
