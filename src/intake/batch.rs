//! A batch on its way from records to rows. Pure.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::codec;
use crate::domain::{Disposition, NotificationRequest, Plan, Position, Routing, SkipReason, TaskId, Timestamp};
use crate::log::Record;
use crate::planning::Facts;
use crate::store::{BookColumn, BookDelta, DeadLetter, DeadLetterCause, DeadLetterKey, TimerKey, TimerRow, WriteBatch};

/// Records as requests, and those that are none.
#[derive(Debug, Default)]
pub(super) struct Decoded {
    pub(super) requests: Vec<(Position, NotificationRequest)>,
    pub(super) rejected: Vec<DeadLetter>,
}

/// The ordinal of a dead letter about a record that was never planned.
const RECORD: u8 = u8::MAX;

/// Decodes each record by itself: one that cannot be read spoils no other, and its bytes are kept as they are.
pub(super) fn decode(records: &[Record], now: Timestamp) -> Decoded {
    let mut decoded = Decoded { requests: Vec::with_capacity(records.len()), rejected: Vec::new() };
    for record in records {
        match codec::decode_request(&record.body) {
            Ok(request) => decoded.requests.push((record.position, request)),
            Err(error) => decoded.rejected.push(reject(record, format!("cannot be decoded: {error}").into(), now)),
        }
    }
    decoded
}

fn reject(record: &Record, reason: Box<str>, at: Timestamp) -> DeadLetter {
    let task = TaskId { position: record.position, ordinal: RECORD };
    let key = DeadLetterKey { tenant: "".into(), at, task };
    DeadLetter { key, reason, cause: DeadLetterCause::Record { body: record.body.clone() } }
}

/// Plans a batch whose planning panicked, each item by itself: the one that is to blame becomes a dead letter.
pub(super) fn plan_one_by_one(
    records: &[Record],
    facts: &Facts,
    rejected: &mut Vec<DeadLetter>,
    now: Timestamp,
    plan: impl Fn((Position, NotificationRequest), &Facts) -> Vec<Arc<Plan>>,
) -> Vec<Arc<Plan>> {
    let mut plans = Vec::with_capacity(records.len());
    let mut candidates = facts.candidates.iter();
    for record in records {
        // Those that cannot be decoded were rejected before, and have no facts.
        let Ok(request) = codec::decode_request(&record.body) else { continue };
        let facts = Facts { candidates: candidates.next().cloned().into_iter().collect(), claimed: Vec::new() };
        match catch_unwind(AssertUnwindSafe(|| plan((record.position, request), &facts))) {
            Ok(planned) => plans.extend(planned),
            Err(_) => rejected.push(reject(record, "planning failed on it".into(), now)),
        }
    }
    plans
}

/// The rows of a batch, and the timers among them.
pub(super) fn rows(plans: &[Arc<Plan>], rejected: Vec<DeadLetter>) -> (WriteBatch, Vec<TimerRow>) {
    let mut timers = Vec::new();
    let mut books = BookDelta::default();
    for plan in plans {
        enter(plan, &mut books);
        let first = if plan.routing == Routing::Fallback { 1 } else { plan.tasks().len() };
        for (ordinal, spec) in plan.tasks().iter().enumerate().take(first) {
            if let Some(due) = spec.due {
                let key = TimerKey { due, offset: plan.position.offset, ordinal: ordinal as u8, attempt: 1 };
                timers.push(TimerRow { key, channel: spec.channel, endpoint: spec.endpoint });
            }
        }
    }
    for _ in &rejected {
        books.add(crate::domain::Source::Http, BookColumn::Rejected, 1);
    }
    let batch = WriteBatch {
        timers: timers.clone(),
        plans: plans.to_vec(),
        dead_letters: rejected,
        books,
        ..WriteBatch::default()
    };
    (batch, timers)
}

/// Enters a plan into the books: an item for each task, or one where there is none.
fn enter(plan: &Plan, books: &mut BookDelta) {
    let source = plan.source;
    match &plan.disposition {
        Disposition::Skipped(reason) => {
            books.add(source, BookColumn::In, 1);
            books.add(source, skipped_column(reason), 1);
        }
        Disposition::Tasks(tasks) => {
            let count = tasks.len() as i64;
            books.add(source, BookColumn::In, count);
            let first = if plan.routing == Routing::Fallback { 1 } else { tasks.len() };
            let scheduled = tasks.iter().take(first).filter(|spec| spec.due.is_some()).count() as i64;
            books.add(source, BookColumn::Scheduled, scheduled);
            books.add(source, BookColumn::Waiting, count - first as i64);
        }
    }
}

fn skipped_column(reason: &SkipReason) -> BookColumn {
    match reason {
        SkipReason::Duplicate { .. } => BookColumn::SkippedDuplicate,
        SkipReason::Expired => BookColumn::Expired,
        SkipReason::Cancelled => BookColumn::Cancelled,
        SkipReason::NoAddress => BookColumn::SkippedNoAddress,
        SkipReason::NoProvider => BookColumn::SkippedNoProvider,
        SkipReason::DeliveredElsewhere => BookColumn::SkippedDeliveredElsewhere,
    }
}
