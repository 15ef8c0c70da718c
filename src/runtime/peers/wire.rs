//! What goes between nodes, as JSON.

use serde::{Deserialize, Serialize};

use crate::domain::{Channel, Priority, Source, Timestamp};
use crate::insight::{Accounting, AccountingLine, SKIP_REASONS};
use crate::outcomes::Early;
use crate::store::DeadLetterKey;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct CancelWire {
    pub(super) id: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub(super) enum CancelledWire {
    Cancelled { stopped: usize, too_late: usize },
    TooLate { too_late: usize },
    NotOurs,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ReplayWire {
    tenant: String,
    at: u64,
    task: String,
    /// In the place of the task's ordinal, for a record that has no task.
    ordinal: u8,
}

impl ReplayWire {
    pub(super) fn new(key: &DeadLetterKey) -> Self {
        let notification = key.task.notification().to_string();
        Self { tenant: key.tenant.to_string(), at: key.at.millis(), task: notification, ordinal: key.task.ordinal }
    }

    pub(super) fn key(&self) -> Option<DeadLetterKey> {
        let notification: crate::domain::NotificationId = self.task.parse().ok()?;
        let task = crate::domain::TaskId { position: notification.0, ordinal: self.ordinal };
        Some(DeadLetterKey { tenant: self.tenant.as_str().into(), at: Timestamp(self.at), task })
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub(super) enum ReplayedWire {
    Requeued,
    NotReplayable,
    NotOurs,
}

/// A task that need not wait for its time.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct EarlyWire {
    task: String,
    channel: String,
    endpoint: u32,
    attempt: u8,
}

impl EarlyWire {
    pub(super) fn new(early: &Early) -> Self {
        let (task, channel) = (early.task.to_string(), early.channel.name().to_owned());
        Self { task, channel, endpoint: early.endpoint, attempt: early.attempt }
    }

    pub(super) fn read(&self) -> Option<Early> {
        let channel = Channel::ALL.into_iter().find(|channel| channel.name() == self.channel)?;
        Some(Early { task: self.task.parse().ok()?, channel, endpoint: self.endpoint, attempt: self.attempt })
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct AccountingWire {
    lines: Vec<LineWire>,
    unaccounted: i64,
}

#[derive(Debug, Serialize, Deserialize)]
struct LineWire {
    source: usize,
    lane: usize,
    accepted: i64,
    sent: i64,
    /// In the order of [`SKIP_REASONS`].
    skipped: Vec<i64>,
    merged: i64,
    failed: i64,
    expired: i64,
    cancelled: i64,
    unknown: i64,
    open: i64,
    scheduled: i64,
    rejected: i64,
}

impl AccountingWire {
    pub(super) fn new(accounting: &Accounting) -> Self {
        let line = |line: &AccountingLine| LineWire {
            source: line.source.index(),
            lane: line.lane.index(),
            accepted: line.accepted,
            sent: line.sent,
            skipped: SKIP_REASONS.iter().map(|(name, _)| line.skipped.get(name).copied().unwrap_or(0)).collect(),
            merged: line.merged,
            failed: line.failed,
            expired: line.expired,
            cancelled: line.cancelled,
            unknown: line.unknown,
            open: line.open,
            scheduled: line.scheduled,
            rejected: line.rejected,
        };
        Self { lines: accounting.lines.iter().map(line).collect(), unaccounted: accounting.unaccounted }
    }

    /// Lines that this node does not know, of a newer one, are left out.
    pub(super) fn into_accounting(self) -> Accounting {
        let line = |line: LineWire| {
            Some(AccountingLine {
                source: Source::ALL.get(line.source).copied()?,
                lane: Priority::from_index(line.lane)?,
                accepted: line.accepted,
                sent: line.sent,
                skipped: SKIP_REASONS.iter().zip(line.skipped).map(|((name, _), count)| (*name, count)).collect(),
                merged: line.merged,
                failed: line.failed,
                expired: line.expired,
                cancelled: line.cancelled,
                unknown: line.unknown,
                open: line.open,
                scheduled: line.scheduled,
                rejected: line.rejected,
            })
        };
        let lines = self.lines.into_iter().filter_map(line).collect();
        Accounting { lines, unaccounted: self.unaccounted, unreachable_nodes: 0 }
    }
}
