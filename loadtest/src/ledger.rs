//! What an engine accepted, and which of it never arrived.

use std::collections::HashSet;

use crate::ids::ShortId;

/// The ids of accepted notifications. 32 bytes each.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger {
    ids: Vec<ShortId>,
}

/// What was accepted but did not arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Missing {
    /// These notifications.
    Named(Vec<ShortId>),
    /// So many; which ones cannot be told, because tasks are not named after their notifications.
    Counted(u64),
}

impl Missing {
    pub(crate) fn count(&self) -> u64 {
        match self {
            Self::Named(ids) => ids.len() as u64,
            Self::Counted(count) => *count,
        }
    }

    /// The first few by name.
    pub(crate) fn names(&self) -> Vec<String> {
        const NAMES_MAX: usize = 20;
        match self {
            Self::Named(ids) => ids.iter().take(NAMES_MAX).map(ShortId::to_string).collect(),
            Self::Counted(_) => Vec::new(),
        }
    }
}

impl Ledger {
    pub(crate) fn add(&mut self, ids: impl IntoIterator<Item = ShortId>) {
        self.ids.extend(ids);
    }

    pub(crate) fn len(&self) -> u64 {
        self.ids.len() as u64
    }

    pub(crate) fn ids(&self) -> &[ShortId] {
        &self.ids
    }

    /// Compares with what a mock has seen, given as its `id count` lines.
    ///
    /// Both ids are positions, so a task's id begins as its notification's does, after the prefix. Counting alone would
    /// let a delivery that nobody was promised (its request broke off) stand in for one that is lost. Where nothing
    /// at all matches, the rule does not hold, and counting is what is left.
    ///
    /// An id that was given twice is missing once: two requests were promised one delivery.
    pub(crate) fn missing(&self, seen: &[u8]) -> Missing {
        let mut missing = HashSet::with_capacity(self.ids.len());
        let mut named = Vec::new();
        for id in &self.ids {
            match stem(id) {
                Some(stem) if missing.insert(stem) => {}
                _ => named.push(*id),
            }
        }
        let all = missing.len();
        let mut lengths: Vec<usize> = missing.iter().map(|stem| stem.as_bytes().len()).collect();
        lengths.sort_unstable();
        lengths.dedup();
        let mut distinct = 0u64;
        for line in seen.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            distinct += 1;
            let task = line.strip_prefix(b"tsk_").unwrap_or(line);
            for length in &lengths {
                if let Some(stem) = task.get(..*length).and_then(ShortId::new) {
                    missing.remove(&stem);
                }
            }
        }
        if missing.len() == all && distinct > 0 {
            return Missing::Counted(self.len().saturating_sub(distinct));
        }
        named.extend(self.ids.iter().filter(|id| stem(id).is_some_and(|stem| missing.contains(&stem))));
        Missing::Named(named)
    }
}

/// How many deliveries were taken of an id that had been taken before, by `id count` lines of one mock or of several together: an
/// id that two of them took is repeated too.
pub(crate) fn repeated(seen: &[u8]) -> u64 {
    let mut known = HashSet::new();
    let mut repeated = 0;
    for line in seen.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let at = line.iter().rposition(|byte| *byte == b' ').unwrap_or(line.len());
        let count = line.get(at + 1..).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok()).unwrap_or(1);
        let is_new = known.insert(&line[..at]);
        repeated += count - u64::from(is_new && count > 0);
    }
    repeated
}

/// What a notification's id has in common with the ids of its tasks.
fn stem(id: &ShortId) -> Option<ShortId> {
    ShortId::new(id.as_bytes().strip_prefix(b"ntf_")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(ids: &[&str]) -> Ledger {
        let mut ledger = Ledger::default();
        ledger.add(ids.iter().map(|id| ShortId::new(id.as_bytes()).expect("short")));
        ledger
    }

    fn names(missing: &Missing) -> Vec<String> {
        assert!(matches!(missing, Missing::Named(_)), "{missing:?}");
        missing.names()
    }

    #[test]
    fn a_notification_has_arrived_with_its_task() {
        let ledger = ledger(&["ntf_04g0", "ntf_04g1", "ntf_04g2"]);
        assert_eq!(names(&ledger.missing(b"tsk_04g000 1\ntsk_04g100 2\ntsk_04g200 1\n")), [""; 0]);
        assert_eq!(names(&ledger.missing(b"tsk_04g000 1\ntsk_04g200 1\n")), ["ntf_04g1"]);
        assert_eq!(names(&ledger.missing(b"")), ["ntf_04g0", "ntf_04g1", "ntf_04g2"]);
    }

    #[test]
    fn a_delivery_that_was_not_promised_does_not_hide_a_loss() {
        let ledger = ledger(&["ntf_04g0", "ntf_04g1"]);
        assert_eq!(names(&ledger.missing(b"tsk_04g000 1\ntsk_04g900 1\n")), ["ntf_04g1"]);
    }

    #[test]
    fn an_id_that_was_given_twice_is_missing_once() {
        let ledger = ledger(&["ntf_04g0", "ntf_04g1", "ntf_04g0"]);
        assert_eq!(names(&ledger.missing(b"tsk_04g000 2\ntsk_04g100 1\n")), ["ntf_04g0"]);
    }

    #[test]
    fn what_two_mocks_took_is_repeated() {
        assert_eq!(repeated(b""), 0);
        assert_eq!(repeated(b"tsk_a 1\ntsk_b 1\n"), 0);
        assert_eq!(repeated(b"tsk_a 3\ntsk_b 1\ntsk_a 1\n"), 3);
    }

    #[test]
    fn ids_without_anything_in_common_are_counted() {
        let ledger = ledger(&["ntf_a", "ntf_b", "ntf_c"]);
        assert_eq!(ledger.missing(b"tsk_x 1\ntsk_y 3\n"), Missing::Counted(1));
    }
}
