//! Cancelling: stops what has not been sent, and says truly what it did.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::sync::Mutex;

use crate::clock::SharedClock;
use crate::domain::{Event, EventKind, NotificationId, Story, TaskId, TaskState};
use crate::ownership::{Ownership, Shard};
use crate::store::{BookColumn, SharedStore, StoreError, WriteBatch};

/// What a cancellation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancellation {
    /// Nothing of it will be sent any more; so many tasks were stopped now.
    Cancelled { stopped: usize },
    /// Everything had ended before, or was with the provider.
    TooLate,
    /// The shard is another node's.
    NotOurs,
}

/// Carries cancellations out, one at a time per node: they are rare, and two of one notification must not both count.
pub struct Cancellations {
    pub store: SharedStore,
    pub clock: SharedClock,
    pub ownership: Arc<Ownership>,
    pub one_at_a_time: Mutex<()>,
}

/// The longest a cancellation waits for a send that is under way.
const SEND_WAIT_MAX: Duration = Duration::from_secs(15);

/// The ordinal of an event about a notification that was not planned yet.
pub(crate) const WHOLE: u8 = u8::MAX;

impl Cancellations {
    /// Marks the notification, so that no send of it starts; waits for one that has started; and writes what remains open
    /// off as cancelled. Durable on return.
    pub async fn cancel(&self, id: NotificationId) -> Result<Cancellation, StoreError> {
        let Some(shard) = self.ownership.shard(id.0.shard) else { return Ok(Cancellation::NotOurs) };
        let _one = self.one_at_a_time.lock().await;
        shard.begin_cancel(id.0.offset);
        let result = self.cancel_marked(id, &shard).await;
        // A notification that is still to be planned keeps its mark: its partition takes it off.
        if id.0.offset < shard.planned() {
            shard.end_cancel(id.0.offset);
        }
        result
    }

    async fn cancel_marked(&self, id: NotificationId, shard: &Shard) -> Result<Cancellation, StoreError> {
        let let_go = std::pin::pin!(shard.until_let_go(id.0.offset));
        let too_long = self.clock.sleep(SEND_WAIT_MAX);
        let waited = matches!(select(let_go, too_long).await, Either::Left(_));
        let story = self.store.stories(&[id.0]).await?.pop().flatten();
        let Some(story) = story else { return self.cancel_unplanned(id).await };
        let in_hand = |ordinal: usize| !waited && shard.is_in_hand(story.plan.task_id(ordinal));
        let (batch, stopped) = self.stop(&story, in_hand);
        if stopped.is_empty() {
            let states = story.states();
            let before = states.contains(&TaskState::Cancelled) && !states.iter().any(|state| state.is_taken());
            return Ok(if before { Cancellation::Cancelled { stopped: 0 } } else { Cancellation::TooLate });
        }
        self.store.write(id.0.shard, batch).await?;
        let count = stopped.len();
        shard.release_all(stopped.into_iter());
        Ok(Cancellation::Cancelled { stopped: count })
    }

    /// The rows that stop every open task nobody holds.
    fn stop(&self, story: &Story, in_hand: impl Fn(usize) -> bool) -> (WriteBatch, Vec<TaskId>) {
        let now = self.clock.now();
        let mut batch = WriteBatch::default();
        let mut stopped = Vec::new();
        for (ordinal, state) in story.states().into_iter().enumerate() {
            let (attempt, column) = match state {
                TaskState::Pending { attempt } => (attempt, None),
                TaskState::Scheduled { attempt, .. } => (attempt, Some(BookColumn::Scheduled)),
                TaskState::Waiting => (1, Some(BookColumn::Waiting)),
                _ => continue,
            };
            if in_hand(ordinal) {
                continue;
            }
            let mut event = Event::new(story.plan.task_id(ordinal), attempt, EventKind::Cancelled, now);
            event.channel = story.plan.tasks().get(ordinal).map(|spec| spec.channel);
            stopped.push(event.task);
            batch.events.push(event);
            batch.books.shift(story.plan.source, column, Some(BookColumn::Cancelled), 1);
        }
        (batch, stopped)
    }

    /// The mark keeps the notification from being planned into tasks; the row does so after a restart.
    async fn cancel_unplanned(&self, id: NotificationId) -> Result<Cancellation, StoreError> {
        let task = TaskId { position: id.0, ordinal: WHOLE };
        let mut batch = WriteBatch::default();
        batch.events.push(Event::new(task, 1, EventKind::Cancelled, self.clock.now()));
        self.store.write(id.0.shard, batch).await?;
        Ok(Cancellation::Cancelled { stopped: 1 })
    }
}
