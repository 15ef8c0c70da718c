//! Takes a record of the topic of events in again that was put aside.

use std::sync::Arc;

use super::topic::read_record;
use super::{EventDoor, RuleOutcome, Taken};
use crate::clock::SharedClock;
use crate::intake::AcceptError;
use crate::log::{Foreign, Record, SharedLog};
use crate::store::{DeadLetterCause, DeadLetterKey, ForeignLetter, SharedStore, StoreError, WriteBatch};

/// What taking dead letters of the topic of events in again needs.
pub struct EventReplays {
    pub log: SharedLog,
    pub store: SharedStore,
    pub door: Arc<dyn EventDoor>,
    pub clock: SharedClock,
    /// Bytes of an event, as at the API.
    pub body_max: usize,
}

impl EventReplays {
    /// Takes it in as of now, if it can be used by now: its type may be declared, or its rule mended. Durable on return, and it leaves
    /// the list. `false`: it cannot, or it is not listed any more. Two calls at once make nothing twice: it keeps its id.
    pub async fn replay(&self, key: &DeadLetterKey) -> Result<bool, StoreError> {
        let Some(letter) = self.store.dead_letter(key).await? else { return Ok(false) };
        let DeadLetterCause::Foreign(letter) = letter.cause else { return Ok(false) };
        if !letter.is_whole {
            return Ok(false);
        }
        let now = self.clock.now();
        let ForeignLetter { body, content_type, idempotency_key, tenant, .. } = *letter;
        let foreign = Foreign { content_type, idempotency_key, tenant, cloud_event: Vec::new(), appended_at: key.at };
        let record = Record { position: key.task.position, body, foreign: Some(Box::new(foreign)) };
        let Ok(mut event) = read_record(&record, &self.log.events_topic(), self.body_max, now) else {
            return Ok(false);
        };
        // Or what comes of it could have expired at once.
        event.accepted_at = now;
        let taken = self.door.take(vec![event]).await.map_err(|error| match error {
            AcceptError::Unavailable { reason, .. } => StoreError::Failed(reason),
            conflict => StoreError::Failed(conflict.to_string()),
        })?;
        if !taken.first().is_some_and(is_done) {
            return Ok(false);
        }
        let batch = WriteBatch { revived: vec![key.clone()], ..WriteBatch::default() };
        self.store.write(key.task.position.shard, batch).await?;
        Ok(true)
    }
}

/// Whether something came of it, and nothing that should have is missing.
fn is_done(taken: &Taken) -> bool {
    let Taken::Used(applied) = taken else { return false };
    // Where nobody follows, everybody was told.
    let is_told = |outcome: &RuleOutcome| {
        matches!(outcome, RuleOutcome::Made { .. } | RuleOutcome::FannedOut { .. } | RuleOutcome::NobodyFollows)
    };
    let made = applied.iter().any(|applied| is_told(&applied.outcome));
    made && !applied.iter().any(|applied| matches!(applied.outcome, RuleOutcome::Impossible(_)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audience::{Applied, Refusal};
    use crate::domain::{NotificationId, Position, Priority, ShardId};

    #[test]
    fn a_letter_leaves_the_list_only_when_something_came_of_it_and_nothing_is_missing() {
        let shard = ShardId { generation: 0, lane: Priority::Normal, partition: 0 };
        let made = || RuleOutcome::Made { id: NotificationId(Position::new(shard, 1)), repeated: true };
        let used = |outcomes: Vec<RuleOutcome>| {
            Taken::Used(outcomes.into_iter().map(|outcome| Applied { rule: "welcome".into(), outcome }).collect())
        };
        assert!(is_done(&used(vec![made()])));
        assert!(is_done(&used(vec![RuleOutcome::ConditionFails, made()])));
        assert!(is_done(&used(vec![RuleOutcome::NobodyFollows])));
        for left in [
            used(Vec::new()),
            used(vec![RuleOutcome::ConditionFails]),
            used(vec![made(), RuleOutcome::Impossible(Vec::new())]),
            Taken::Refused(Refusal::Invalid(Vec::new())),
        ] {
            assert!(!is_done(&left), "{left:?}");
        }
    }
}
