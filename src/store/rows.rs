//! The words of the store's rows.

use std::time::Duration;

use bytes::Bytes;

use crate::domain::{Channel, ClaimKey, NotificationId, Position, Source, TaskId, Timestamp};

/// The width of a timer bucket, the unit in which the timers' cursor moves.
pub const TIMER_BUCKET: Duration = Duration::from_secs(300);

/// The bucket a due time falls into.
pub fn timer_bucket(due: Timestamp) -> u64 {
    due.millis() / TIMER_BUCKET.as_millis() as u64
}

/// Orders the timers of a shard: by due time, then by task. The first of all is `TimerKey::default()`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct TimerKey {
    pub due: Timestamp,
    pub offset: u64,
    pub ordinal: u8,
    /// The attempt to come, or [`TimerKey::TURN`], or [`TimerKey::HELD`].
    pub attempt: u8,
}

impl TimerKey {
    /// In the place of the attempt, for the task of a fallback whose turn has come: it waits for no time, and has the row so
    /// that it is found again where its block is done with.
    pub const TURN: u8 = 0;

    /// In the place of the attempt, for a task that a brake holds: due when the hold ends by itself, and looked for when the brake is
    /// taken off. No task has so many attempts.
    pub const HELD: u8 = u8::MAX;

    pub fn is_held(&self) -> bool {
        self.attempt == Self::HELD
    }

    pub fn is_turn(&self) -> bool {
        self.attempt == Self::TURN
    }
}

/// A task that waits for a time. Never deleted when it fires: it is ignored once the task has moved on, and leaves with
/// its bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimerRow {
    pub key: TimerKey,
    pub channel: Channel,
    /// As in [`crate::domain::TaskSpec::endpoint`].
    pub endpoint: u32,
}

/// A claim and its holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimRow {
    pub key: ClaimKey,
    pub owner: Position,
    /// For a retry key: the hash of the body it came with; 0 elsewhere.
    pub body_hash: u64,
    pub expires_at: Timestamp,
}

/// Up to where a shard's work is known to be done. Only ever moves forward; a cursor that lags costs a scan, no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cursors {
    /// No block below has a task that is open and not waiting for a timer.
    pub task_block: u64,
    /// No timer bucket below has a timer whose task has not moved on.
    pub timer_bucket: u64,
}

/// The columns of the books. Every accepted item is in exactly one; a notification without tasks counts as one item.
/// The numbers are those of the rows and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BookColumn {
    /// Everything that was planned.
    In = 0,
    Sent = 1,
    SkippedDuplicate = 2,
    SkippedNoAddress = 3,
    SkippedNoProvider = 4,
    SkippedDeliveredElsewhere = 5,
    Merged = 6,
    Failed = 7,
    Expired = 8,
    Cancelled = 9,
    Unknown = 10,
    /// Open, and waiting for a timer.
    Scheduled = 11,
    /// Open, and waiting for the channels before it.
    Waiting = 12,
    /// Records that could not be decoded or used.
    Rejected = 13,
    SkippedNoConsent = 14,
    SkippedSuppressed = 15,
    SkippedFatigue = 16,
    SkippedDailyCap = 17,
    SkippedErased = 18,
    SkippedBudget = 19,
    SkippedHeldBack = 20,
}

impl BookColumn {
    pub const COUNT: usize = 21;

    pub const ALL: [BookColumn; BookColumn::COUNT] = [
        BookColumn::In,
        BookColumn::Sent,
        BookColumn::SkippedDuplicate,
        BookColumn::SkippedNoAddress,
        BookColumn::SkippedNoProvider,
        BookColumn::SkippedDeliveredElsewhere,
        BookColumn::Merged,
        BookColumn::Failed,
        BookColumn::Expired,
        BookColumn::Cancelled,
        BookColumn::Unknown,
        BookColumn::Scheduled,
        BookColumn::Waiting,
        BookColumn::Rejected,
        BookColumn::SkippedNoConsent,
        BookColumn::SkippedSuppressed,
        BookColumn::SkippedFatigue,
        BookColumn::SkippedDailyCap,
        BookColumn::SkippedErased,
        BookColumn::SkippedBudget,
        BookColumn::SkippedHeldBack,
    ];
}

/// The books of one shard: by source and column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Books {
    counts: [[i64; BookColumn::COUNT]; Source::ALL.len()],
}

/// A change of the books.
pub type BookDelta = Books;

impl Books {
    pub fn add(&mut self, source: Source, column: BookColumn, count: i64) {
        self.counts[source.index()][column as usize] += count;
    }

    /// Moves `count` items from one column to another.
    pub fn shift(&mut self, source: Source, from: Option<BookColumn>, to: Option<BookColumn>, count: i64) {
        if let Some(from) = from {
            self.add(source, from, -count);
        }
        if let Some(to) = to {
            self.add(source, to, count);
        }
    }

    pub fn get(&self, source: Source, column: BookColumn) -> i64 {
        self.counts[source.index()][column as usize]
    }

    pub fn merge(&mut self, other: &Books) {
        for (mine, theirs) in self.counts.iter_mut().flatten().zip(other.counts.iter().flatten()) {
            *mine += theirs;
        }
    }

    /// What takes this change back.
    pub fn negated(mut self) -> Self {
        self.counts.iter_mut().flatten().for_each(|count| *count = -*count);
        self
    }

    pub fn is_empty(&self) -> bool {
        self.counts.iter().flatten().all(|count| *count == 0)
    }

    /// All counts, by source and column, in a fixed order: what a backend stores.
    pub fn to_vec(&self) -> Vec<i64> {
        self.counts.iter().flatten().copied().collect()
    }

    /// Reads what [`Books::to_vec`] gave; columns that were added since are zero.
    pub fn from_slice(columns: usize, counts: &[i64]) -> Self {
        let mut books = Self::default();
        for (source, row) in counts.chunks(columns.max(1)).enumerate().take(Source::ALL.len()) {
            for (column, count) in row.iter().enumerate().take(BookColumn::COUNT) {
                books.counts[source][column] = *count;
            }
        }
        books
    }
}

/// One entry of a user's history; ordered by time, then position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HistoryEntry {
    pub accepted_at: Timestamp,
    pub notification: NotificationId,
}

/// Names a dead letter: ordered by time, then by what died.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeadLetterKey {
    pub tenant: Box<str>,
    pub at: Timestamp,
    /// The task, or ordinal 255 for a record that was never planned.
    pub task: TaskId,
}

/// Something that could not be delivered or used, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    pub key: DeadLetterKey,
    /// For people; never an address.
    pub reason: Box<str>,
    pub cause: DeadLetterCause,
}

/// What died.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeadLetterCause {
    /// A task whose attempts are spent or that was refused for good.
    Task { channel: Channel, attempt: u8 },
    /// A record that could not be used: its bytes, untouched.
    Record { body: Bytes },
    /// The same of a record that another program wrote.
    Foreign(Box<ForeignLetter>),
}

/// A record of another program, as far as it is kept; all of it is where the log tells of dead letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignLetter {
    /// The first [`ForeignLetter::BODY_BYTES_MAX`] of its bytes, untouched.
    pub body: Bytes,
    /// How many bytes it has in all.
    pub size: u64,
    /// Its headers, none of them if not all of them could be kept.
    pub content_type: Option<Box<str>>,
    pub idempotency_key: Option<Bytes>,
    pub tenant: Option<Bytes>,
    /// Whether all of it is here: only then it can be read again.
    pub is_whole: bool,
}

impl ForeignLetter {
    /// Bytes kept of a body: a row is read whole, and a list of a hundred of them as well.
    pub const BODY_BYTES_MAX: usize = 256 * 1024;
    /// Bytes kept of each header.
    pub const HEADER_BYTES_MAX: usize = 1024;
}
