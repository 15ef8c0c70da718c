//! One partition of the topic of events, batch by batch.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;

use super::{EventTopicParts, FIRST_PAUSE, PAUSE_MAX, count_restart, read_record, wait};
use crate::audience::{Applied, Refusal, RuleOutcome, Taken};
use crate::domain::{DomainEvent, ShardId, Timestamp, cut};
use crate::intake::{AcceptError, Reject, bury, events_lag, reason_of};
use crate::log::{LogError, PartitionReader, ReadLimit, Record};
use crate::store::StoreError;
use crate::telemetry::Gauge;

/// One batch.
const LIMIT: ReadLimit = ReadLimit { records: 500, bytes: 1 << 20 };
/// After a failure inside, until the record that is to blame is found.
const ONE: ReadLimit = ReadLimit { records: 1, bytes: 1 };

/// How often the door may fail at a record before it is put aside, so that it does not hold the others up for ever.
const TRIES_MAX: u32 = 3;

/// The longest pause before the door is tried again: whatever it advises, nobody waits longer than this for it to be open.
const DOOR_PAUSE_MAX: Duration = Duration::from_secs(10);

/// Bytes of a reason: it stands in a list, and in a header.
const REASON_BYTES_MAX: usize = 1024;

/// A partition that this node works on.
pub(super) struct Partition {
    parts: EventTopicParts,
    reader: Box<dyn PartitionReader>,
    /// Told when the partition goes or the node stops: the batch in hand is finished, and no other begun.
    stop: CancellationToken,
    topic: String,
    /// The first offset that is not done.
    next: u64,
    /// Records below were there when the partition came: they may have been put aside before.
    known_below: u64,
    /// Records below are handed in one by one.
    careful_below: u64,
    /// How often the door failed at the record at `next`.
    failures: u32,
    pause: Duration,
    lag: Gauge,
}

/// Why a batch was not handed in.
#[derive(Debug)]
enum Failure {
    /// The node stops, or the partition goes.
    Stopped,
    /// The door cannot do with something in it.
    Inside(&'static str),
}

/// Why a turn did not come to its end.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Partition {
    pub(super) fn new(parts: EventTopicParts, reader: Box<dyn PartitionReader>, stop: CancellationToken) -> Self {
        let topic = parts.log.events_topic();
        let lag = events_lag(&topic, reader.shard().partition);
        let next = reader.committed();
        let failures = 0;
        Self {
            parts,
            reader,
            stop,
            topic,
            next,
            known_below: u64::MAX,
            careful_below: 0,
            failures,
            pause: FIRST_PAUSE,
            lag,
        }
    }

    pub(super) fn shard(&self) -> ShardId {
        self.reader.shard()
    }

    /// Works until it is told to stop. Whatever fails is tried again: what is not committed is not lost.
    pub(super) async fn run(mut self) {
        while !self.stop.is_cancelled() {
            self.show_lag();
            let turn = AssertUnwindSafe(self.turn()).catch_unwind().await;
            match turn {
                Ok(Ok(())) => {
                    self.pause = FIRST_PAUSE;
                    continue;
                }
                Ok(Err(Trouble::Log(LogError::Lost(_)))) => {
                    tracing::info!(shard = %self.shard(), "another node has the partition: it waits to be let go");
                }
                Ok(Err(error)) => tracing::error!(%error, shard = %self.shard(), "the partition of events waits"),
                Err(_) => {
                    count_restart();
                    tracing::error!(shard = %self.shard(), "the reading of events failed inside: please report this");
                }
            }
            wait(&self.parts.clock, self.pause, &self.stop).await;
            self.pause = (self.pause * 2).min(PAUSE_MAX);
        }
        // Whoever works on it now shows its own.
        self.lag.set(0.0);
    }

    fn show_lag(&self) {
        self.lag.set(self.reader.end().saturating_sub(self.next) as f64);
    }

    /// One batch, from reading it to its commit.
    async fn turn(&mut self) -> Result<(), Trouble> {
        if self.known_below == u64::MAX {
            self.known_below = self.reader.latest_end().await?;
        }
        let limit = if self.next < self.careful_below { ONE } else { LIMIT };
        let read = tokio::select! {
            biased;
            () = self.stop.cancelled() => return Ok(()),
            read = self.reader.read(self.next, limit) => read?,
        };
        let Some(last) = read.last() else { return Ok(()) };
        let end = last.position.offset + 1;
        let taken = AssertUnwindSafe(self.hand_in(&read)).catch_unwind().await;
        let rejects = match taken.unwrap_or(Err(Failure::Inside("it ended with a panic"))) {
            Ok(rejects) => rejects,
            Err(Failure::Stopped) => return Ok(()),
            Err(Failure::Inside(what)) => match self.failed_inside(what, &read, end).await {
                Some(reject) => vec![reject],
                None => return Ok(()),
            },
        };
        let EventTopicParts { log, store, clock, .. } = &self.parts;
        if !bury(rejects, self.known_below, log, store, clock, &self.stop).await? {
            return Ok(());
        }
        (self.next, self.failures) = (end, 0);
        self.reader.commit(end).await?;
        Ok(())
    }

    /// Hands in what can be read; what has to be put aside.
    async fn hand_in(&self, records: &[Record]) -> Result<Vec<Reject>, Failure> {
        loop {
            let now = self.parts.clock.now();
            let (events, mut places, mut rejects) = self.read(records, now);
            if events.is_empty() {
                return Ok(rejects);
            }
            let count = events.len();
            match self.parts.door.take(events).await {
                Ok(taken) if taken.len() == count => {
                    let refused = taken.iter().zip(places.drain(..)).filter_map(|(taken, place)| match taken {
                        Taken::Refused(refusal) => Some(Reject::new(&records[place], in_words(refusal), now)),
                        // Nobody waits for an answer here, as at the API. What other rules made of it is not made again.
                        Taken::Used(applied) => {
                            impossible(applied).map(|reason| Reject::new(&records[place], reason, now))
                        }
                    });
                    rejects.extend(refused);
                    // Found by their keys, and listed in the order of the topic.
                    rejects.sort_by_key(|reject| reject.position());
                    return Ok(rejects);
                }
                Ok(_) => return Err(Failure::Inside("it did not answer for each event")),
                Err(AcceptError::Conflict { .. }) => {
                    return Err(Failure::Inside("it took the event for another one that came under its id"));
                }
                Err(AcceptError::Unavailable { reason, retry_after }) => {
                    tracing::warn!(reason, shard = %self.shard(), "events cannot be taken in now: the partition waits");
                    let pause = retry_after.clamp(FIRST_PAUSE, DOOR_PAUSE_MAX);
                    wait(&self.parts.clock, pause, &self.stop).await;
                    self.show_lag();
                }
            }
            if self.stop.is_cancelled() {
                return Err(Failure::Stopped);
            }
        }
    }

    /// The events, the places of their records, and the records that hold none.
    fn read(&self, records: &[Record], now: Timestamp) -> (Vec<DomainEvent>, Vec<usize>, Vec<Reject>) {
        let (mut events, mut places, mut rejects) = (Vec::with_capacity(records.len()), Vec::new(), Vec::new());
        for (place, record) in records.iter().enumerate() {
            match read_record(record, &self.topic, self.parts.body_max, now) {
                Ok(event) => {
                    events.push(event);
                    places.push(place);
                }
                Err(reason) => rejects.push(Reject::new(record, reason, now)),
            }
        }
        (events, places, rejects)
    }

    /// The door failed at something in a batch: its records come again one by one, and the one to blame is put aside after a few tries.
    async fn failed_inside(&mut self, what: &'static str, records: &[Record], end: u64) -> Option<Reject> {
        count_restart();
        tracing::error!(shard = %self.shard(), offset = self.next, "the door for events failed: {what}; please report this");
        if let [record] = records {
            self.failures += 1;
            if self.failures >= TRIES_MAX {
                let reason = format!("the engine fails at it: {what}");
                return Some(Reject::new(record, reason, self.parts.clock.now()));
            }
        } else {
            self.careful_below = self.careful_below.max(end);
        }
        wait(&self.parts.clock, FIRST_PAUSE, &self.stop).await;
        None
    }
}

/// A rule that holds and makes nothing, for people. Pointers alone: what stands there may be somebody's.
fn impossible(applied: &[Applied]) -> Option<String> {
    applied.iter().find_map(|Applied { rule, outcome }| {
        let RuleOutcome::Impossible(problems) = outcome else { return None };
        let pointers: Vec<&str> = problems.iter().map(|problem| &*problem.pointer).collect();
        let words = format!("the rule `{rule}` can make nothing of it: see {}", pointers.join(", "));
        Some(cut(&words, REASON_BYTES_MAX).to_owned())
    })
}

/// Why an event cannot be used, for people.
fn in_words(refusal: &Refusal) -> String {
    let words = match refusal {
        Refusal::UnknownType { event_type, near: Some(near) } => {
            format!("has the type `{event_type}`, which is not declared: is `{near}` meant?")
        }
        Refusal::UnknownType { event_type, near: None } => {
            format!("has the type `{event_type}`, which is not declared: declare it with POST /v1/event-types")
        }
        Refusal::Invalid(problems) => reason_of(problems),
    };
    cut(&words, REASON_BYTES_MAX).to_owned()
}
