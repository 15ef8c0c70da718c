//! Sending dead letters again.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, Either, select};
use tokio::sync::Mutex;

use super::deliveries::Deliveries;
use super::finish::Finisher;
use crate::clock::SharedClock;
use crate::domain::{Event, EventKind, Priority, TaskState, Timestamp};
use crate::log::{NewRecord, SharedLog};
use crate::ownership::Ownership;
use crate::store::{
    BookColumn, DeadLetter, DeadLetterCause, DeadLetterKey, ForeignLetter, SharedStore, StoreError, TimerKey, TimerRow,
    WriteBatch,
};
use crate::timers::TimersHandle;

/// What a replay did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replay {
    /// It will be sent again.
    Requeued,
    /// It is no dead letter (any more).
    NotReplayable,
}

/// Reads the record of another program again; `None`: it still cannot be used. What it gives is sealed as what comes in at the door.
pub type ReadAgain = Arc<dyn Fn(&ForeignLetter, Priority) -> ReadAgainAnswer + Send + Sync>;
pub type ReadAgainAnswer = BoxFuture<'static, Result<Option<NewRecord>, StoreError>>;

/// The longest that a replay waits for a send of its notification that is under way.
const LET_GO_WAIT_MAX: Duration = Duration::from_secs(15);

/// Carries replays out, each to its end, and one at a time per node: two of one dead letter must not both count.
pub struct Replays {
    store: SharedStore,
    log: SharedLog,
    clock: SharedClock,
    ownership: Arc<Ownership>,
    timers: Arc<TimersHandle>,
    /// Whom others are told through, if there are any.
    deliveries: Option<Arc<Deliveries>>,
    read_again: ReadAgain,
    finisher: Finisher,
    one_at_a_time: Mutex<()>,
}

impl Replays {
    pub fn new(
        store: SharedStore,
        log: SharedLog,
        clock: SharedClock,
        ownership: Arc<Ownership>,
        timers: Arc<TimersHandle>,
        deliveries: Option<Arc<Deliveries>>,
        read_again: ReadAgain,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            log,
            clock,
            ownership,
            timers,
            deliveries,
            read_again,
            finisher: Finisher::new(),
            one_at_a_time: Mutex::new(()),
        })
    }

    /// A task gets one more attempt, at once; a record is appended to the log again, untouched. Durable on return, and
    /// carried out to its end even if the caller does not wait: a row without its timer would be in nobody's hands.
    pub async fn replay(self: &Arc<Self>, key: &DeadLetterKey) -> Result<Replay, StoreError> {
        let (all, key) = (self.clone(), key.clone());
        self.finisher.run(async move { all.carry_out(&key).await }).await
    }

    async fn carry_out(&self, key: &DeadLetterKey) -> Result<Replay, StoreError> {
        let _one = self.one_at_a_time.lock().await;
        let Some(letter) = self.store.dead_letter(key).await? else { return Ok(Replay::NotReplayable) };
        match &letter.cause {
            DeadLetterCause::Task { .. } => self.replay_task(&letter).await,
            DeadLetterCause::Foreign(foreign) => {
                match (self.read_again)(foreign, key.task.position.shard.lane).await? {
                    Some(record) => self.append(key, record).await,
                    None => Ok(Replay::NotReplayable),
                }
            }
            // Where it was sealed it stays so: whether it can still be opened is seen when it is planned.
            DeadLetterCause::Record { body } => {
                let shard = key.task.position.shard;
                let record = NewRecord { lane: shard.lane, key: u64::from(shard.partition), body: body.clone() };
                self.append(key, record).await
            }
        }
    }

    async fn append(&self, key: &DeadLetterKey, record: NewRecord) -> Result<Replay, StoreError> {
        self.log.append(vec![record]).await.map_err(|error| StoreError::Failed(error.to_string()))?;
        let batch = WriteBatch { revived: vec![key.clone()], ..WriteBatch::default() };
        self.store.write(key.task.position.shard, batch).await?;
        Ok(Replay::Requeued)
    }

    async fn replay_task(&self, letter: &DeadLetter) -> Result<Replay, StoreError> {
        let task = letter.key.task;
        let between = || StoreError::Failed("the shard is being taken over by another node: try again shortly".into());
        let shard = self.ownership.shard(task.position.shard).ok_or_else(between)?;
        // Its rows are there a moment before it is let go. A timer that fired meanwhile would find it in hand and leave it.
        let let_go = std::pin::pin!(shard.until_let_go(task.position.offset));
        if let Either::Right(_) = select(let_go, self.clock.sleep(LET_GO_WAIT_MAX)).await {
            return Err(StoreError::Failed("a task of the notification is being sent: try again shortly".into()));
        }
        let Some(story) = self.store.stories(&[task.position]).await?.pop().flatten() else {
            return Ok(Replay::NotReplayable);
        };
        let ordinal = usize::from(task.ordinal);
        let (column, attempt) = match story.state(ordinal) {
            Some(TaskState::Failed { attempt }) => (BookColumn::Failed, attempt),
            Some(TaskState::Unknown { attempt }) => (BookColumn::Unknown, attempt),
            _ => return Ok(Replay::NotReplayable),
        };
        let (Some(spec), Some(attempt)) = (story.plan.tasks().get(ordinal), attempt.checked_add(1)) else {
            return Ok(Replay::NotReplayable);
        };
        let now = self.clock.now();
        // By the clock of whoever saw it fail it may not be so late yet, and what is older than a failure does not count.
        let at = story.events.iter().map(|event| event.at).fold(now, Timestamp::max);
        let mut event = Event::new(task, attempt, EventKind::Scheduled, at);
        event.channel = Some(spec.channel);
        event.due = Some(now);
        event.reason = Some("sent again from the dead letters".into());
        let timer_key = TimerKey { due: now, offset: task.position.offset, ordinal: task.ordinal, attempt };
        let timer = TimerRow { key: timer_key, channel: spec.channel, endpoint: spec.endpoint };
        let mut batch = WriteBatch {
            timers: vec![timer],
            events: vec![event.clone()],
            revived: vec![letter.key.clone()],
            ..WriteBatch::default()
        };
        batch.books.shift(story.plan.source, Some(column), Some(BookColumn::Scheduled), 1);
        let _expected = self.timers.expect(task.position.shard, &mut batch.timers);
        // Two owners must not both count it, and who is none would not have it sent.
        let Some(_writing) = self.ownership.may_write(&shard, &*self.clock) else { return Err(between()) };
        let written = self.store.write(task.position.shard, batch).await;
        if written.is_err() {
            // Its rows may be there all the same. If they are not, the timer finds a task that does not wait for it.
            self.timers.add(task.position.shard, vec![timer]);
            return written.map(|()| Replay::NotReplayable);
        }
        if let Some(deliveries) = &self.deliveries {
            deliveries.tell(task.position.shard, [(&story.plan, &event)]);
        }
        self.timers.add(task.position.shard, vec![timer]);
        Ok(Replay::Requeued)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::poll;

    use super::*;
    use crate::clock::ManualClock;
    use crate::disk::testing;
    use crate::domain::Channel;
    use crate::intake::fakes::FakeLog;
    use crate::ownership::{Begin, Shard, Standing};
    use crate::store::conformance::{NOON, event, plans, shard};
    use crate::store::{Cursors, EmbeddedStore};

    #[tokio::test]
    async fn a_task_is_sent_again_only_once_the_send_that_failed_has_let_it_go() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let store: SharedStore = EmbeddedStore::open(testing::disk(dir.path())).expect("the store opens");
        let ownership = Arc::new(Ownership::new(Arc::new(Standing::for_ever())));
        let shard = Arc::new(Shard::new(shard(0), 1, Cursors::default()));
        ownership.insert(shard.clone());
        let mut batch = plans(shard.id(), [0]);
        let task = batch.plans[0].task_id(0);
        shard.track([task].into_iter(), None);
        assert_eq!(shard.begin(task), Begin::Yes);
        let key = DeadLetterKey { tenant: "acme".into(), at: NOON, task };
        let cause = DeadLetterCause::Task { channel: Channel::Email, attempt: 1 };
        batch.events = vec![event(task.position, 0, 1, EventKind::Failed)];
        batch.dead_letters = vec![DeadLetter { key: key.clone(), reason: "refused".into(), cause }];
        store.write(shard.id(), batch).await.expect("written");
        let clock = ManualClock::starting_at(NOON);
        let read_again: ReadAgain = Arc::new(|_, _| Box::pin(async { Ok(None) }));
        let replays = Replays::new(store, FakeLog::open(), clock, ownership, Arc::default(), None, read_again);
        let mut replaying = std::pin::pin!(replays.replay(&key));
        for _ in 0..50 {
            assert!(poll!(&mut replaying).is_pending(), "its sender still has it in hand");
            tokio::task::yield_now().await;
        }
        shard.release(task);
        assert_eq!(replaying.await.expect("the store writes"), Replay::Requeued);
    }
}
