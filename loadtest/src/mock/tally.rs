//! The counters of one kind of provider, and of the lateness of what it got.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use hdrhistogram::Histogram;
use memchr::memmem::Finder;

use super::ids::IdTable;
use super::stats::{ChannelStats, LatencyStats};
use crate::clock::now_us;

/// Counters of one kind. All are written by the deliveries and read by `GET /stats`.
pub(super) struct Tally {
    pub(super) ids: IdTable,
    pub(super) connections: AtomicU64,
    pub(super) requests: AtomicU64,
    accepted: AtomicU64,
    duplicates: AtomicU64,
    deduplicated: AtomicU64,
    without_id: AtomicU64,
    pub(super) errors_injected: AtomicU64,
    pub(super) throttled: AtomicU64,
    pub(super) rejected: AtomicU64,
    pub(super) hung: AtomicU64,
    pub(super) resets: AtomicU64,
    first_at_ms: AtomicU64,
    last_at_ms: AtomicU64,
}

/// What became of an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    Counted,
    /// Seen before, and counted once more.
    Repeated,
    /// Seen before, and repeats are honoured.
    Deduplicated,
    /// The table of ids is full: refuse the delivery.
    Full,
}

impl Tally {
    pub(super) fn new() -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            ids: IdTable::new(),
            connections: zero(),
            requests: zero(),
            accepted: zero(),
            duplicates: zero(),
            deduplicated: zero(),
            without_id: zero(),
            errors_injected: zero(),
            throttled: zero(),
            rejected: zero(),
            hung: zero(),
            resets: zero(),
            first_at_ms: AtomicU64::new(u64::MAX),
            last_at_ms: zero(),
        }
    }

    /// Counts a delivery that is taken.
    pub(super) fn take(&self, id: Option<&[u8]>, honour_ids: bool) -> Taken {
        let mut taken = Taken::Counted;
        match id.map(|id| self.ids.add(id)) {
            Some(None) => return Taken::Full,
            Some(Some(1)) => {}
            Some(Some(_)) if honour_ids => {
                self.deduplicated.fetch_add(1, Relaxed);
                return Taken::Deduplicated;
            }
            Some(Some(_)) => {
                self.duplicates.fetch_add(1, Relaxed);
                taken = Taken::Repeated;
            }
            None => {
                self.without_id.fetch_add(1, Relaxed);
            }
        }
        let now_ms = now_us() / 1000;
        self.first_at_ms.fetch_min(now_ms, Relaxed);
        self.last_at_ms.fetch_max(now_ms, Relaxed);
        self.accepted.fetch_add(1, Relaxed);
        taken
    }

    pub(super) fn stats(&self) -> ChannelStats {
        let first_at_ms = self.first_at_ms.load(Relaxed);
        ChannelStats {
            connections: self.connections.load(Relaxed),
            requests: self.requests.load(Relaxed),
            accepted: self.accepted.load(Relaxed),
            distinct: self.ids.distinct(),
            duplicates: self.duplicates.load(Relaxed),
            deduplicated: self.deduplicated.load(Relaxed),
            without_id: self.without_id.load(Relaxed),
            errors_injected: self.errors_injected.load(Relaxed),
            throttled: self.throttled.load(Relaxed),
            rejected: self.rejected.load(Relaxed),
            hung: self.hung.load(Relaxed),
            resets: self.resets.load(Relaxed),
            first_at_ms: if first_at_ms == u64::MAX { 0 } else { first_at_ms },
            last_at_ms: self.last_at_ms.load(Relaxed),
        }
    }

    pub(super) fn clear(&self) {
        self.ids.clear();
        let counters = [
            &self.connections,
            &self.requests,
            &self.accepted,
            &self.duplicates,
            &self.deduplicated,
            &self.without_id,
            &self.errors_injected,
            &self.throttled,
            &self.rejected,
            &self.hung,
            &self.resets,
            &self.last_at_ms,
        ];
        for counter in counters {
            counter.store(0, Relaxed);
        }
        self.first_at_ms.store(u64::MAX, Relaxed);
    }
}

/// How long messages took from the time stamped into them.
pub(super) struct Lateness {
    finder: Finder<'static>,
    figures: Mutex<Figures>,
}

struct Figures {
    histogram: Histogram<u64>,
    /// Each message's own stamp and lateness, in microseconds; none where nobody wants them.
    list: Option<Vec<(u64, u64)>>,
    early: u64,
    early_max_us: u64,
}

/// The key in `data` that holds the stamp, and how it is written into a mail: `sent_at_us:123`.
pub(crate) const STAMP: &str = "sent_at_us";

/// The most messages that are listed one by one, 16 bytes each; the histogram has all.
const LISTED_MAX: usize = 1 << 20;

/// Between the key and its digits there may stand a quote, a colon and blanks; no more than this.
const STAMP_GAP_MAX: usize = 6;

impl Lateness {
    /// `is_listed`: keeps the time of each message too.
    pub(super) fn new(is_listed: bool) -> anyhow::Result<Self> {
        // Up to an hour, to three digits: 200 kB whatever is recorded.
        let histogram = Histogram::new_with_max(3_600_000_000, 3)?;
        let figures = Figures { histogram, list: is_listed.then(Vec::new), early: 0, early_max_us: 0 };
        Ok(Self { finder: Finder::new(STAMP), figures: Mutex::new(figures) })
    }

    /// Records the message if it bears a stamp.
    pub(super) fn record(&self, message: &[u8]) {
        let Some(stamp_us) = self.stamp(message) else { return };
        let now_us = now_us();
        let mut figures = self.figures.lock().unwrap_or_else(PoisonError::into_inner);
        let late_us = now_us.saturating_sub(stamp_us);
        figures.histogram.saturating_record(late_us);
        if let Some(list) = figures.list.as_mut().filter(|list| list.len() < LISTED_MAX) {
            list.push((stamp_us, late_us));
        }
        if now_us < stamp_us {
            figures.early += 1;
            figures.early_max_us = figures.early_max_us.max(stamp_us - now_us);
        }
    }

    fn stamp(&self, message: &[u8]) -> Option<u64> {
        for at in self.finder.find_iter(message) {
            let rest = &message[at + STAMP.len()..];
            // A form writes the colon so; its digit is not one of the stamp.
            let rest = rest.strip_prefix(b"%3A").unwrap_or(rest);
            let gap = rest.iter().take(STAMP_GAP_MAX).take_while(|byte| !byte.is_ascii_digit()).count();
            let digits = rest[gap..].iter().take_while(|byte| byte.is_ascii_digit());
            let stamp = digits.take(19).fold(0u64, |number, digit| number * 10 + u64::from(digit - b'0'));
            // The bare word may also stand in a template; go on to the one with a number.
            if stamp > 0 {
                return Some(stamp);
            }
        }
        None
    }

    pub(super) fn stats(&self) -> LatencyStats {
        let figures = self.figures.lock().unwrap_or_else(PoisonError::into_inner);
        let quantile = |share| figures.histogram.value_at_quantile(share);
        LatencyStats {
            count: figures.histogram.len(),
            p50_us: quantile(0.5),
            p90_us: quantile(0.9),
            p99_us: quantile(0.99),
            p999_us: quantile(0.999),
            max_us: figures.histogram.max(),
            early: figures.early,
            early_max_us: figures.early_max_us,
        }
    }

    /// One `stamp lateness` a line, in the order of arrival; empty where they are not listed.
    pub(super) fn lines(&self) -> String {
        let figures = self.figures.lock().unwrap_or_else(PoisonError::into_inner);
        figures.list.iter().flatten().map(|(stamp_us, late_us)| format!("{stamp_us} {late_us}\n")).collect()
    }

    pub(super) fn clear(&self) {
        let mut figures = self.figures.lock().unwrap_or_else(PoisonError::into_inner);
        figures.histogram.reset();
        figures.list.iter_mut().for_each(Vec::clear);
        (figures.early, figures.early_max_us) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_id_is_a_duplicate_unless_ids_are_honoured() {
        let tally = Tally::new();
        assert_eq!(tally.take(Some(b"tsk_a"), false), Taken::Counted);
        assert_eq!(tally.take(Some(b"tsk_a"), false), Taken::Repeated);
        assert_eq!(tally.take(Some(b"tsk_a"), true), Taken::Deduplicated);
        assert_eq!(tally.take(None, true), Taken::Counted);
        let stats = tally.stats();
        assert_eq!((stats.accepted, stats.distinct, stats.duplicates), (3, 1, 1));
        assert_eq!((stats.deduplicated, stats.without_id), (1, 1));
        assert!(stats.first_at_ms > 0 && stats.first_at_ms <= stats.last_at_ms);
        tally.clear();
        assert_eq!(tally.stats(), ChannelStats::default());
    }

    #[test]
    fn a_stamp_is_found_in_json_in_a_mail_and_in_a_form() {
        let lateness = Lateness::new(false).expect("constant bounds");
        let cases = [
            (r#"{"data":{"sent_at_us":1700000000000000}}"#, Some(1_700_000_000_000_000)),
            (r#"{"sent_at_us" : "17","x":1}"#, Some(17)),
            ("Subject: x\r\n\r\nsent_at_us:42\r\n", Some(42)),
            ("{{sent_at_us}} then sent_at_us:7", Some(7)),
            ("sent_at_us", None),
            ("To=%2B1555&Body=Hello+sent_at_us%3A42&From=x", Some(42)),
            ("nothing", None),
        ];
        for (message, expected) in cases {
            assert_eq!(lateness.stamp(message.as_bytes()), expected, "{message}");
        }
    }

    #[test]
    fn the_time_of_each_message_is_listed_only_where_it_is_wanted() {
        for (is_listed, lines) in [(true, 2), (false, 0)] {
            let lateness = Lateness::new(is_listed).expect("constant bounds");
            lateness.record(b"sent_at_us:1");
            lateness.record(b"nothing");
            lateness.record(b"sent_at_us:17");
            assert_eq!(lateness.lines().lines().count(), lines);
            assert!(!is_listed || lateness.lines().starts_with("1 "));
            lateness.clear();
            assert_eq!(lateness.lines(), "");
        }
    }

    #[test]
    fn what_arrives_before_its_time_is_early() {
        let lateness = Lateness::new(false).expect("constant bounds");
        lateness.record(format!("sent_at_us:{}", now_us() + 5_000_000).as_bytes());
        lateness.record(format!("sent_at_us:{}", now_us() - 5_000_000).as_bytes());
        let stats = lateness.stats();
        assert_eq!((stats.count, stats.early), (2, 1));
        assert!(stats.early_max_us > 4_000_000 && stats.max_us >= 5_000_000);
    }
}
