//! How many notifications the messages stand for: a message that merged some says so in its text.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use memchr::memmem::Finder;

/// The word before the number, as it stands in a message: `merged_items:42`.
pub(crate) const ITEMS: &str = "merged_items:";

/// The sums over all messages taken.
pub(super) struct Items {
    finder: Finder<'static>,
    sum: AtomicU64,
    repeated: AtomicU64,
}

impl Items {
    pub(super) fn new() -> Self {
        Self { finder: Finder::new(ITEMS), sum: AtomicU64::new(0), repeated: AtomicU64::new(0) }
    }

    /// Adds what the message says; one that says nothing adds nothing. `is_repeated`: its id was taken before.
    pub(super) fn record(&self, message: &[u8], is_repeated: bool) {
        let Some(at) = self.finder.find(message) else { return };
        let digits = message[at + ITEMS.len()..].iter().take_while(|byte| byte.is_ascii_digit()).take(19);
        let count = digits.fold(0u64, |number, digit| number * 10 + u64::from(digit - b'0'));
        let sum = if is_repeated { &self.repeated } else { &self.sum };
        sum.fetch_add(count, Relaxed);
    }

    pub(super) fn sum(&self) -> u64 {
        self.sum.load(Relaxed)
    }

    /// Of messages that came again.
    pub(super) fn repeated(&self) -> u64 {
        self.repeated.load(Relaxed)
    }

    pub(super) fn clear(&self) {
        self.sum.store(0, Relaxed);
        self.repeated.store(0, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_messages_say_is_added_up() {
        let items = Items::new();
        for message in
            [&b"{\"body\":\"merged_items:12\"}"[..], b"merged_items:3 and more", b"merged_items:", b"nothing"]
        {
            items.record(message, false);
        }
        items.record(b"merged_items:7", true);
        assert_eq!((items.sum(), items.repeated()), (15, 7));
        items.clear();
        assert_eq!((items.sum(), items.repeated()), (0, 0));
    }
}
