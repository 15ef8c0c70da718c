//! A batch on its way from records to rows. Pure.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::foreign::Reading;
use super::rejects::Reject;
use super::seals::{Openings, Read};
use crate::domain::{ClaimKey, NotificationRequest, Plan, Position, Routing, Source, Timestamp};
use crate::log::Record;
use crate::planning::{self, Facts, Policy};
use crate::store::{BookColumn, BookDelta, TimerKey, TimerRow, WriteBatch};

/// Records as requests, and those that are none.
#[derive(Debug, Default)]
pub(super) struct Decoded {
    pub(super) requests: Vec<(Position, NotificationRequest)>,
    /// The retry keys of those that our own doors took in.
    pub(super) keys: Vec<ClaimKey>,
    pub(super) rejected: Vec<Reject>,
    /// The offsets of requests whose contents cannot be read any more, in their order.
    pub(super) unreadable: Vec<u64>,
}

/// Decodes each record by itself: one that cannot be read spoils no other, and its bytes are kept as they are.
pub(super) fn decode(records: &[Record], reading: &Reading, openings: &Openings, now: Timestamp) -> Decoded {
    let mut decoded = Decoded { requests: Vec::with_capacity(records.len()), ..Decoded::default() };
    for record in records {
        match request(record, reading, openings, now) {
            Ok(read) => {
                let request = match read {
                    Read::Whole(request) => request,
                    Read::Erased(request) => {
                        decoded.unreadable.push(record.position.offset);
                        request
                    }
                };
                // A key that came with another program's record was never held at a door.
                if let Some(retry) = request.idempotency.filter(|_| record.foreign.is_none()) {
                    decoded.keys.extend(retry.keys());
                }
                decoded.requests.push((record.position, request));
            }
            Err(reason) => decoded.rejected.push(Reject::new(record, reason, now)),
        }
    }
    decoded
}

/// What was accepted at a door was checked there; what another program wrote is checked here.
fn request(record: &Record, reading: &Reading, openings: &Openings, now: Timestamp) -> Result<Read, String> {
    match &record.foreign {
        None => openings.read(record),
        Some(foreign) => {
            let read = || reading.read(&record.body, foreign, record.position.shard.lane, now).map(Read::Whole);
            catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err("reading it failed".to_owned()))
        }
    }
}

/// Plans a batch whose planning panicked, each item by itself: the one that is to blame becomes a dead letter.
pub(super) fn plan_one_by_one(
    records: &[Record],
    facts: &Facts,
    (reading, openings): (&Reading, &Openings),
    rejected: &mut Vec<Reject>,
    now: Timestamp,
    plan: impl Fn((Position, NotificationRequest), &Facts) -> Vec<Arc<Plan>>,
) -> Vec<Arc<Plan>> {
    let mut plans = Vec::with_capacity(records.len());
    let mut candidates = facts.candidates.iter();
    for record in records {
        // Those that cannot be decoded were rejected before, and have no facts.
        let Ok(Read::Whole(request) | Read::Erased(request)) = request(record, reading, openings, now) else {
            continue;
        };
        let candidate = candidates.next().cloned().into_iter().collect();
        let facts = Facts { candidates: candidate, groups: facts.groups.clone(), ..Facts::default() };
        match catch_unwind(AssertUnwindSafe(|| plan((record.position, request), &facts))) {
            Ok(planned) => plans.extend(planned),
            Err(_) => rejected.push(Reject::new(record, "planning failed on it".to_owned(), now)),
        }
    }
    plans
}

/// The rows of a batch, and the timers among them.
pub(super) fn rows(plans: &[Arc<Plan>], rejected: &[Reject], policy: &Policy) -> (WriteBatch, Vec<TimerRow>) {
    let mut timers = Vec::new();
    let mut books = BookDelta::default();
    for plan in plans {
        books.enter_plan(plan);
        let first = if plan.routing == Routing::Fallback { 1 } else { plan.tasks().len() };
        for (ordinal, spec) in plan.tasks().iter().enumerate().take(first) {
            if let Some(due) = spec.due {
                let attempt = if plan.is_held(ordinal) { TimerKey::HELD } else { 1 };
                let key = TimerKey { due, offset: plan.position.offset, ordinal: ordinal as u8, attempt };
                timers.push(TimerRow { key, channel: spec.channel, endpoint: spec.endpoint });
            }
        }
    }
    for reject in rejected {
        let source = if reject.is_foreign() { Source::Kafka } else { Source::Http };
        books.add(source, BookColumn::Rejected, 1);
    }
    let batch = WriteBatch {
        timers: timers.clone(),
        plans: plans.to_vec(),
        received: plans.iter().filter_map(|plan| planning::received_row(plan, policy)).collect(),
        dead_letters: rejected.iter().map(|reject| reject.letter.clone()).collect(),
        books,
        ..WriteBatch::default()
    };
    (batch, timers)
}
