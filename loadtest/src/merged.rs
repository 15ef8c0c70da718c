//! What merged messages stood for, for the reports of `crash` and `cluster`.

use std::fmt;

use serde::Serialize;

use crate::mock::Stats;

/// What the mock counted, with `--merge`.
#[derive(Debug, Serialize)]
pub(crate) struct Merged {
    /// By their ids.
    messages: u64,
    /// What they stood for, each id counted once.
    items: u64,
    /// What the messages stood for that came again with the same id: their first send was in doubt.
    items_repeated: u64,
}

impl Merged {
    pub(crate) fn of(stats: &Stats) -> Self {
        let items = stats.items.unwrap_or_default();
        Self { messages: stats.total().distinct, items, items_repeated: stats.items_repeated }
    }

    /// How many notifications more were told of than there were: so many were merged twice.
    pub(crate) fn told_twice(&self, accepted: u64) -> u64 {
        self.items.saturating_sub(accepted)
    }
}

impl fmt::Display for Merged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { messages, items, items_repeated } = self;
        write!(f, "{items} into {messages} messages; {items_repeated} in messages that came again")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_came_again_tells_of_nobody_twice() {
        let stats = |items| Stats { items: Some(items), items_repeated: 3, ..Stats::default() };
        assert_eq!(Merged::of(&stats(5)).told_twice(5), 0);
        assert_eq!(Merged::of(&stats(6)).told_twice(5), 1);
    }
}
