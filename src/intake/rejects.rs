//! Records that could not be used: their rows, and the telling of them.
//!
//! Those of a lane are written with the plans of their batch. Those of the topic of events are put aside by [`bury`].

use std::time::Duration;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::metrics::REJECTED;
use crate::clock::SharedClock;
use crate::domain::{NotificationId, Position, TaskId, Timestamp};
use crate::log::{Foreign, Outlet, Record, SharedLog, Told};
use crate::store::{
    DeadLetter, DeadLetterCause, DeadLetterKey, DeadLetters, ForeignLetter, SharedStore, StoreError, WriteBatch,
};

/// The ordinal of a dead letter about a record that was never planned.
const RECORD: u8 = u8::MAX;

const DAY: Duration = Duration::from_secs(86_400);

/// Tries with the whole record before a shorter one is told instead: it may be larger than what the log takes.
const WHOLE_TRIES: u32 = 5;
/// Tries, in all about a minute, after which a record is left untold where the log works but for the topic: that was deleted,
/// or this program may not write to it.
const TRIES_MAX: u32 = 20;
/// The pause after the first failure; it doubles up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// A record that could not be used.
#[derive(Debug)]
pub struct Reject {
    pub(super) letter: DeadLetter,
    record: Record,
}

impl Reject {
    /// Read again, a record of another program gives the same row. `reason` is for people.
    pub fn new(record: &Record, mut reason: String, now: Timestamp) -> Self {
        let task = TaskId { position: record.position, ordinal: RECORD };
        let (at, cause) = match &record.foreign {
            None => (now, DeadLetterCause::Record { body: record.body.clone() }),
            Some(foreign) => {
                let letter = foreign_letter(&record.body, foreign);
                if letter.body.len() < record.body.len() {
                    reason.push_str(" (only the first 256 KiB are kept here)");
                }
                (listed_at(foreign.appended_at, now), DeadLetterCause::Foreign(Box::new(letter)))
            }
        };
        let letter = DeadLetter { key: DeadLetterKey { tenant: "".into(), at, task }, reason: reason.into(), cause };
        Self { letter, record: record.clone() }
    }

    /// Where the record stands.
    pub fn position(&self) -> Position {
        self.record.position
    }

    pub(super) fn is_foreign(&self) -> bool {
        self.record.foreign.is_some()
    }

    /// The record byte for byte, with the reason and where it stands.
    fn told(&self, log: &SharedLog) -> Told {
        let position = self.record.position;
        let text = |text: String| Bytes::from(text);
        let topic = if position.shard.is_events() { log.events_topic() } else { log.topic(position.shard.lane) };
        let mut headers = vec![
            ("error", text(self.letter.reason.to_string())),
            ("source-topic", text(topic)),
            ("source-partition", text(position.shard.partition.to_string())),
            ("source-offset", text(position.offset.to_string())),
        ];
        // Half of such an event stands in its headers.
        headers.extend(self.record.foreign.iter().flat_map(|foreign| foreign.cloud_event.iter().cloned()));
        Told {
            outlet: Outlet::DeadLetters,
            key: text(NotificationId(position).to_string()),
            body: self.record.body.clone(),
            headers,
        }
    }
}

/// Puts records of the topic of events aside: told to others, then durable in the list of dead letters, then counted. Those below
/// `known_below` may have been before. `false`: the node stops, and it is not done; they may be put aside again.
pub async fn bury(
    mut rejects: Vec<Reject>,
    known_below: u64,
    log: &SharedLog,
    store: &SharedStore,
    clock: &SharedClock,
    stop: &CancellationToken,
) -> Result<bool, StoreError> {
    leave_known(&mut rejects, known_below, &**store).await?;
    let Some(shard) = rejects.first().map(|reject| reject.record.position.shard) else { return Ok(true) };
    if !tell(&rejects, log, clock, stop).await {
        return Ok(false);
    }
    let count = rejects.len() as u64;
    let letters = rejects.into_iter().map(|reject| reject.letter).collect();
    store.write(shard, WriteBatch { dead_letters: letters, ..WriteBatch::default() }).await?;
    REJECTED.with(["none"]).increment(count);
    Ok(true)
}

/// Dead letters are listed by their time, for thirty days. Producers stamp their records as they like, and what is copied from
/// another cluster keeps its old time: such a record stands at the begin of the day, and not where nobody looks.
fn listed_at(appended_at: Timestamp, now: Timestamp) -> Timestamp {
    match now.since(appended_at) < DAY && appended_at <= now + DAY {
        true => appended_at,
        false => Timestamp(now.millis() - now.millis() % DAY.as_millis() as u64),
    }
}

fn foreign_letter(body: &Bytes, foreign: &Foreign) -> ForeignLetter {
    let Foreign { content_type, idempotency_key, tenant, cloud_event, appended_at: _ } = foreign;
    let lengths = [
        content_type.as_ref().map(|text| text.len()),
        idempotency_key.as_ref().map(Bytes::len),
        tenant.as_ref().map(Bytes::len),
    ];
    let keeps_headers = lengths.into_iter().flatten().all(|length| length <= ForeignLetter::HEADER_BYTES_MAX);
    let kept = body.len().min(ForeignLetter::BODY_BYTES_MAX);
    ForeignLetter {
        // Copied: a slice would hold on to all of it.
        body: Bytes::copy_from_slice(&body[..kept]),
        size: body.len() as u64,
        content_type: content_type.clone().filter(|_| keeps_headers),
        idempotency_key: idempotency_key.clone().filter(|_| keeps_headers),
        tenant: tenant.clone().filter(|_| keeps_headers),
        // What the headers of a CloudEvent say is not kept here.
        is_whole: keeps_headers && kept == body.len() && cloud_event.is_empty(),
    }
}

/// Takes out, of those below `below`, what an earlier owner rejected: others were told of it, and it stands in the books.
pub(super) async fn leave_known(
    rejects: &mut Vec<Reject>,
    below: u64,
    letters: &dyn DeadLetters,
) -> Result<(), StoreError> {
    let mut new = Vec::with_capacity(rejects.len());
    for reject in rejects.drain(..) {
        let key = &reject.letter.key;
        if key.task.position.offset >= below || letters.dead_letter(key).await?.is_none() {
            new.push(reject);
        }
    }
    *rejects = new;
    Ok(())
}

/// Tells others of the records, again and again until it is done; `false`: the node stops, and they are not all told.
pub(super) async fn tell(rejects: &[Reject], log: &SharedLog, clock: &SharedClock, stop: &CancellationToken) -> bool {
    if rejects.is_empty() || !log.is_shared() {
        return true;
    }
    let all = rejects.iter().map(|reject| reject.told(log)).collect();
    match log.tell(all).await {
        Ok(()) => return true,
        Err(error) => tracing::warn!(%error, "cannot tell of records that could not be used: one by one"),
    }
    let mut tries_max = TRIES_MAX;
    for reject in rejects {
        match tell_one(reject, log, clock, stop, tries_max).await {
            Telling::Done => {}
            // The topic is as it is for the others as well.
            Telling::GivenUp => tries_max = 1,
            Telling::Stopped => return false,
        }
    }
    true
}

/// How the telling of one record ended.
enum Telling {
    Done,
    GivenUp,
    Stopped,
}

/// A record that cannot be told as it is must not hold its partition for ever: its first bytes are told then, and the rest is
/// where the headers say. One that cannot be told at all is in the list of dead letters.
async fn tell_one(
    reject: &Reject,
    log: &SharedLog,
    clock: &SharedClock,
    stop: &CancellationToken,
    tries_max: u32,
) -> Telling {
    let (mut pause, mut tries) = (PAUSE, 0);
    loop {
        tries += 1;
        let mut told = reject.told(log);
        if tries > WHOLE_TRIES && tries % 2 == 0 && told.body.len() > ForeignLetter::BODY_BYTES_MAX {
            told.headers.push(("truncated-from", Bytes::from(told.body.len().to_string())));
            told.body.truncate(ForeignLetter::BODY_BYTES_MAX);
        }
        let Err(error) = log.tell(vec![told]).await else { return Telling::Done };
        if tries >= tries_max && log.writable().is_ok() && log.degraded().is_none() {
            tracing::error!(%error, shard = %reject.record.position.shard, "cannot tell of a record that could not be used: it is in the list of dead letters alone");
            return Telling::GivenUp;
        }
        tracing::error!(%error, shard = %reject.record.position.shard, "cannot tell of a record that could not be used: the partition waits");
        tokio::select! {
            () = clock.sleep(pause) => {}
            () = stop.cancelled() => return Telling::Stopped,
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

#[cfg(test)]
mod tests;
