//! The books: every accepted item is in exactly one place.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::{Priority, Source};
use crate::log::SharedLog;
use crate::ownership::Ownership;
use crate::store::{BookColumn, Books, SharedStore, StoreError};

/// in = sent + skipped + merged + failed + expired + cancelled + unknown + open.
#[derive(Debug, Clone, Default)]
pub struct Accounting {
    pub lines: Vec<AccountingLine>,
    /// By how much the books do not balance against what is really in hand; 0 when all is well.
    pub unaccounted: i64,
    /// Nodes whose shards are missing here: they do not answer, and others are taking their shards over.
    pub unreachable_nodes: usize,
}

/// Why items are skipped, each with its column.
pub const SKIP_REASONS: [(&str, BookColumn); 11] = [
    ("duplicate", BookColumn::SkippedDuplicate),
    ("no_address", BookColumn::SkippedNoAddress),
    ("no_provider", BookColumn::SkippedNoProvider),
    ("delivered_elsewhere", BookColumn::SkippedDeliveredElsewhere),
    ("no_consent", BookColumn::SkippedNoConsent),
    ("suppressed", BookColumn::SkippedSuppressed),
    ("fatigue", BookColumn::SkippedFatigue),
    ("daily_cap", BookColumn::SkippedDailyCap),
    ("erased", BookColumn::SkippedErased),
    ("budget", BookColumn::SkippedBudget),
    ("held_back", BookColumn::SkippedHeldBack),
];

impl Accounting {
    /// Adds the books of other shards.
    pub fn merge(&mut self, other: Accounting) {
        for line in other.lines {
            add(&mut self.lines, line);
        }
        self.unaccounted += other.unaccounted;
        self.unreachable_nodes += other.unreachable_nodes;
    }
}

/// The books of one source and lane. One item is one task, or one notification without tasks.
#[derive(Debug, Clone)]
pub struct AccountingLine {
    pub source: Source,
    pub lane: Priority,
    pub accepted: i64,
    pub sent: i64,
    pub skipped: BTreeMap<&'static str, i64>,
    pub merged: i64,
    pub failed: i64,
    pub expired: i64,
    pub cancelled: i64,
    pub unknown: i64,
    pub open: i64,
    /// Of the open ones, those that wait for a time.
    pub scheduled: i64,
    /// Records that could not be used: not counted as accepted.
    pub rejected: i64,
}

/// Adds the books of all owned shards up, and compares them with what is really in hand.
pub async fn accounting(
    store: &SharedStore,
    log: &SharedLog,
    ownership: &Arc<Ownership>,
) -> Result<Accounting, StoreError> {
    let mut accounting = Accounting::default();
    for shard in ownership.shards() {
        let in_hand = shard.in_hand();
        let books = store.books(shard.id()).await?;
        // What the log holds and nobody planned yet is open. Its source is not known before it is decoded.
        let unplanned = log.end(shard.id()).saturating_sub(shard.planned()) as i64;
        let mut booked_open = 0;
        for source in Source::ALL {
            let mut line = line(&books, source, shard.id().lane);
            booked_open += line.open - line.scheduled - books.get(source, BookColumn::Waiting);
            if source == Source::Http {
                line.accepted += unplanned;
                line.open += unplanned;
            }
            add(&mut accounting.lines, line);
        }
        accounting.unaccounted += booked_open - in_hand as i64;
    }
    accounting.lines.retain(|line| line.accepted != 0 || line.rejected != 0);
    Ok(accounting)
}

fn line(books: &Books, source: Source, lane: Priority) -> AccountingLine {
    let get = |column| books.get(source, column);
    let skipped = SKIP_REASONS.map(|(name, column)| (name, get(column)));
    let mut line = AccountingLine {
        source,
        lane,
        accepted: get(BookColumn::In),
        sent: get(BookColumn::Sent),
        skipped: skipped.into_iter().collect(),
        merged: get(BookColumn::Merged),
        failed: get(BookColumn::Failed),
        expired: get(BookColumn::Expired),
        cancelled: get(BookColumn::Cancelled),
        unknown: get(BookColumn::Unknown),
        open: 0,
        scheduled: get(BookColumn::Scheduled),
        rejected: get(BookColumn::Rejected),
    };
    let ended = line.sent
        + line.skipped.values().sum::<i64>()
        + line.merged
        + line.failed
        + line.expired
        + line.cancelled
        + line.unknown;
    line.open = line.accepted - ended;
    line
}

fn add(lines: &mut Vec<AccountingLine>, line: AccountingLine) {
    let same = |other: &&mut AccountingLine| other.source == line.source && other.lane == line.lane;
    let Some(total) = lines.iter_mut().find(same) else {
        lines.push(line);
        return;
    };
    total.accepted += line.accepted;
    total.sent += line.sent;
    for (reason, count) in line.skipped {
        *total.skipped.entry(reason).or_default() += count;
    }
    total.merged += line.merged;
    total.failed += line.failed;
    total.expired += line.expired;
    total.cancelled += line.cancelled;
    total.unknown += line.unknown;
    total.open += line.open;
    total.scheduled += line.scheduled;
    total.rejected += line.rejected;
}
