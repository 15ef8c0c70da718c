//! Cancelling: stops what has not been sent, and says truly what it did.

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::select;
use tokio::sync::Notify;

use super::deliveries::Deliveries;
use super::finish::Finisher;
use super::leave::Leaving;
use crate::clock::SharedClock;
use crate::dispatch::{DispatchHandle, Ready};
use crate::domain::{
    Disposition, Event, EventKind, NotificationId, Routing, SkipReason, Story, TaskId, TaskState, WHOLE,
};
use crate::ownership::{Ownership, Shard, Stage};
use crate::store::{BookColumn, SharedStore, StoreError, WriteBatch};

/// What a cancellation did; asked again, it says the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancellation {
    /// So many tasks were stopped, now or before, and will not be sent; so many others had ended or were with the provider.
    /// A notification that was not planned yet has no tasks: all of it is stopped.
    Cancelled { stopped: usize, too_late: usize },
    /// Everything had ended before, or was with the provider.
    TooLate { too_late: usize },
    /// The shard is another node's, or may be by now.
    NotOurs,
}

/// Carries cancellations out, each to its end, and one at a time of each notification: two must not both count.
pub struct Cancellations {
    pub(super) store: SharedStore,
    pub(super) clock: SharedClock,
    pub(super) ownership: Arc<Ownership>,
    dispatch: Arc<DispatchHandle>,
    /// Whom others are told through, if there are any.
    pub(super) deliveries: Option<Arc<Deliveries>>,
    finisher: Finisher,
    under_way: Mutex<HashSet<NotificationId>>,
    /// Told when one ends.
    ended: Notify,
}

/// The longest a cancellation waits for a send, or a batch, that is under way.
pub(super) const SEND_WAIT_MAX: Duration = Duration::from_secs(15);
/// The pause before the store is asked again.
const READ_PAUSE: Duration = Duration::from_secs(1);

impl Cancellations {
    pub fn new(
        store: SharedStore,
        clock: SharedClock,
        ownership: Arc<Ownership>,
        dispatch: Arc<DispatchHandle>,
        deliveries: Option<Arc<Deliveries>>,
    ) -> Arc<Self> {
        let (finisher, under_way, ended) = (Finisher::new(), Mutex::default(), Notify::new());
        Arc::new(Self { store, clock, ownership, dispatch, deliveries, finisher, under_way, ended })
    }

    /// Marks the notification, so that no send of it starts; waits for one that has started; and writes what remains open
    /// off as cancelled. Durable on return, and carried out to its end even if the caller does not wait.
    pub async fn cancel(self: &Arc<Self>, id: NotificationId) -> Result<Cancellation, StoreError> {
        let Some(shard) = self.ownership.shard(id.0.shard) else { return Ok(Cancellation::NotOurs) };
        let all = self.clone();
        self.finisher.run(async move { all.carry_out(id, &shard).await }).await
    }

    async fn carry_out(&self, id: NotificationId, shard: &Arc<Shard>) -> Result<Cancellation, StoreError> {
        let _alone = self.alone(id).await;
        let mark = shard.begin_cancel(id.0.offset);
        let carried_out = AssertUnwindSafe(self.carry_out_marked(id, shard, mark.stage)).catch_unwind().await;
        let result = carried_out.unwrap_or_else(|_| Err(StoreError::Failed("a cancellation panicked".into())));
        if let Ok(None) = result {
            // The mark is planning's now.
            return Ok(Cancellation::Cancelled { stopped: 0, too_late: 0 });
        }
        if !mark.is_new && mark.stage == Stage::ToCome && matches!(result, Err(_) | Ok(Some(Cancellation::NotOurs))) {
            // An earlier call set it, and said that it is cancelled.
            return result.map(|_| Cancellation::NotOurs);
        }
        self.end(id, shard).await;
        result.map(|cancellation| cancellation.unwrap_or(Cancellation::TooLate { too_late: 0 }))
    }

    /// `None`: it is not planned yet, and will be planned as cancelled.
    async fn carry_out_marked(
        &self,
        id: NotificationId,
        shard: &Arc<Shard>,
        stage: Stage,
    ) -> Result<Option<Cancellation>, StoreError> {
        let offset = id.0.offset;
        let quiet = async {
            if stage == Stage::UnderWay {
                shard.until_planned(offset).await;
            }
            shard.until_let_go(offset).await;
        };
        select(std::pin::pin!(quiet), self.clock.sleep(SEND_WAIT_MAX)).await;
        if stage == Stage::UnderWay && shard.planned() <= offset {
            // Its tasks may be handed on any moment now.
            return Err(StoreError::Failed(
                "the notification is being planned and cannot be written: try again".into(),
            ));
        }
        // Before its rows are read: what is let go after that is settled, and the rows do not show it.
        let held = shard.held(offset);
        let Some(story) = self.store.stories(&[id.0]).await?.pop().flatten() else {
            if stage != Stage::ToCome {
                // It could not be planned, and lies among the dead letters.
                return Ok(Some(Cancellation::TooLate { too_late: 0 }));
            }
            let Some(_writing) = self.ownership.may_write(shard, &*self.clock) else {
                return Ok(Some(Cancellation::NotOurs));
            };
            self.cancel_unplanned(id).await?;
            return Ok(None);
        };
        let alone = match self.leave(&story, shard).await? {
            Leaving::Done(cancellation) => return Ok(Some(cancellation)),
            Leaving::Alone(alone) => alone,
        };
        let stopped = self.stop(&story, shard, held).await?;
        if let Some(group) = story.plan.group.as_ref().filter(|_| matches!(stopped, Cancellation::Cancelled { .. })) {
            // Its rows say that it is over.
            shard.end_group(group.key, offset);
        }
        // Until its rows say that it is over nobody may forget that it is closed.
        drop(alone);
        Ok(Some(stopped))
    }

    /// Stops every open task that nobody holds; `held` has a bit for each that somebody does.
    async fn stop(&self, story: &Story, shard: &Arc<Shard>, held: u64) -> Result<Cancellation, StoreError> {
        if story.plan.disposition == Disposition::Skipped(SkipReason::Cancelled) {
            return Ok(Cancellation::Cancelled { stopped: 0, too_late: 0 });
        }
        let states = story.booked_states();
        // What a receipt says was taken has been sent, though its rows do not say so yet: its timer settles it.
        let is_held = |ordinal: usize| held >> ordinal & 1 == 1 || story.is_taken_after_all(ordinal);
        // What comes after a send under way in a fallback is that send's to decide, whose end is not known.
        let is_left = story.plan.routing == Routing::Fallback && (0..states.len()).any(is_held);
        let (batch, stopped) = if is_left { Default::default() } else { self.rows(story, &states, is_held) };
        let before = states.iter().filter(|state| **state == TaskState::Cancelled).count();
        if !stopped.is_empty() {
            // Its next owner may be sending them: to say that they were stopped would be untrue.
            let Some(_writing) = self.ownership.may_write(shard, &*self.clock) else {
                return Ok(Cancellation::NotOurs);
            };
            let events = self.deliveries.as_ref().map(|_| batch.events.clone());
            self.store.write(shard.id(), batch).await?;
            if let (Some(deliveries), Some(events)) = (&self.deliveries, &events) {
                deliveries.tell(shard.id(), events.iter().map(|event| (&story.plan, event)));
            }
        }
        let count = before + stopped.len();
        shard.release_all(stopped.into_iter());
        let too_late = states.len() - count;
        Ok(match count {
            0 => Cancellation::TooLate { too_late },
            stopped => Cancellation::Cancelled { stopped, too_late },
        })
    }

    pub(super) fn rows(
        &self,
        story: &Story,
        states: &[TaskState],
        is_held: impl Fn(usize) -> bool,
    ) -> (WriteBatch, Vec<TaskId>) {
        let now = self.clock.now();
        let mut batch = WriteBatch::default();
        let mut stopped = Vec::new();
        for (ordinal, state) in states.iter().enumerate() {
            let (attempt, column) = match *state {
                TaskState::Pending { attempt } => (attempt, None),
                TaskState::Scheduled { attempt, .. } => (attempt, Some(BookColumn::Scheduled)),
                TaskState::Waiting => (1, Some(BookColumn::Waiting)),
                _ => continue,
            };
            if is_held(ordinal) {
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
    async fn cancel_unplanned(&self, id: NotificationId) -> Result<(), StoreError> {
        let task = TaskId { position: id.0, ordinal: WHOLE };
        let mut batch = WriteBatch::default();
        batch.events.push(Event::new(task, 1, EventKind::Cancelled, self.clock.now()));
        self.store.write(id.0.shard, batch).await
    }

    /// Takes the mark off. Tasks whose handles were given up under it and that are open all the same go on.
    async fn end(&self, id: NotificationId, shard: &Shard) {
        let left = shard.end_cancel(id.0.offset);
        if left.is_empty() {
            return;
        }
        let story = loop {
            match self.store.stories(&[id.0]).await {
                Ok(mut stories) => break stories.pop().flatten(),
                Err(error) => {
                    tracing::error!(%error, "cannot read what a cancellation left open: trying again");
                    self.clock.sleep(READ_PAUSE).await;
                }
            }
        };
        let ready = left.into_iter().filter_map(|task| {
            let ready = story.as_ref().and_then(|story| self.ready(story, task));
            if ready.is_none() {
                shard.release(task);
            }
            ready
        });
        self.dispatch.hand_over(ready.collect());
    }

    fn ready(&self, story: &Story, task: TaskId) -> Option<Ready> {
        let ordinal = usize::from(task.ordinal);
        let (Some(TaskState::Pending { attempt } | TaskState::Scheduled { attempt, .. }), Some(spec)) =
            (story.booked(ordinal), story.plan.tasks().get(ordinal))
        else {
            return None;
        };
        Some(Ready::bare(task, attempt, spec.channel, spec.endpoint, self.clock.now(), &self.dispatch.room))
    }

    /// Waits until no other cancellation of the notification is under way.
    async fn alone(&self, id: NotificationId) -> Alone<'_> {
        loop {
            let ended = self.ended.notified();
            if self.under_way().insert(id) {
                return Alone { all: self, id };
            }
            ended.await;
        }
    }

    fn under_way(&self) -> MutexGuard<'_, HashSet<NotificationId>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nobody else cancels the notification meanwhile.
struct Alone<'a> {
    all: &'a Cancellations,
    id: NotificationId,
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        self.all.under_way().remove(&self.id);
        self.all.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::disk::testing;
    use crate::dispatch::{Backlog, PayloadBudget, Room};
    use crate::domain::{Position, Timestamp};
    use crate::ownership::Standing;
    use crate::store::conformance::{plans, shard};
    use crate::store::{Cursors, EmbeddedStore};

    struct World {
        standing: Arc<Standing>,
        _dir: tempfile::TempDir,
        store: SharedStore,
        shard: Arc<Shard>,
        cancellations: Arc<Cancellations>,
    }

    fn world() -> World {
        world_with(Standing::for_ever())
    }

    fn world_with(standing: Standing) -> World {
        let standing = Arc::new(standing);
        let dir = tempfile::tempdir().expect("a temporary directory");
        let store: SharedStore = EmbeddedStore::open(testing::disk(dir.path())).expect("the store opens");
        let ownership = Arc::new(Ownership::new(standing.clone()));
        let shard = Arc::new(Shard::new(shard(0), 0, Cursors::default()));
        ownership.insert(shard.clone());
        let room = Room { backlog: Backlog::new(100), payloads: PayloadBudget::new(0) };
        let dispatch = Arc::new(DispatchHandle::new(room));
        let clock = ManualClock::starting_at(Timestamp(1_800_000_000_000));
        let cancellations = Cancellations::new(store.clone(), clock, ownership, dispatch, None);
        World { standing, _dir: dir, store, shard, cancellations }
    }

    #[tokio::test]
    async fn what_is_being_planned_is_cancelled_once_it_is_planned() {
        let World { _dir, store, shard, cancellations, .. } = world();
        let id = NotificationId(Position::new(shard.id(), 0));
        assert!(shard.begin_planning(0, 1).is_empty());
        let mut cancelling = std::pin::pin!(cancellations.cancel(id));
        while !shard.is_cancelled(0) {
            assert!(futures_util::poll!(&mut cancelling).is_pending());
            tokio::task::yield_now().await;
        }
        let batch = plans(shard.id(), [0]);
        let task = batch.plans[0].task_id(0);
        store.write(shard.id(), batch).await.expect("written");
        assert!(futures_util::poll!(&mut cancelling).is_pending(), "its tasks may still be handed on");
        assert_eq!(shard.track([task].into_iter(), None), [false]);
        shard.set_planned(1);
        let cancelled = cancelling.await.expect("the store writes");
        assert_eq!(cancelled, Cancellation::Cancelled { stopped: 1, too_late: 0 });
        let story = store.stories(&[id.0]).await.expect("read").pop().flatten().expect("it is there");
        assert_eq!(story.states(), [TaskState::Cancelled]);
        assert_eq!((shard.tracked(), shard.is_cancelled(0)), (0, false));
    }

    #[tokio::test]
    async fn what_is_to_be_planned_keeps_its_mark_and_says_the_same_when_it_was() {
        let World { _dir, store, shard, cancellations, .. } = world();
        let id = NotificationId(Position::new(shard.id(), 0));
        let expected = Cancellation::Cancelled { stopped: 0, too_late: 0 };
        assert_eq!(cancellations.cancel(id).await.expect("the store writes"), expected);
        assert_eq!(shard.begin_planning(0, 1), [0].into());
        let mut batch = plans(shard.id(), [0]);
        for plan in &mut batch.plans {
            Arc::make_mut(plan).disposition = Disposition::Skipped(SkipReason::Cancelled);
        }
        store.write(shard.id(), batch).await.expect("written");
        shard.set_planned(1);
        shard.end_cancel(0);
        assert_eq!(cancellations.cancel(id).await.expect("the store reads"), expected);
        assert!(!shard.is_cancelled(0));
    }

    #[tokio::test]
    async fn a_node_whose_leases_ran_out_or_were_taken_stops_nothing_and_does_not_say_so() {
        for is_lost in [true, false] {
            let world = if is_lost { world() } else { world_with(Standing::none()) };
            let World { standing, _dir, store, shard, cancellations } = world;
            if is_lost {
                standing.lose(shard.id());
            }
            store.write(shard.id(), plans(shard.id(), [0])).await.expect("written");
            shard.set_planned(1);
            for offset in [0, 1] {
                let id = NotificationId(Position::new(shard.id(), offset));
                assert_eq!(cancellations.cancel(id).await.expect("the store reads"), Cancellation::NotOurs);
                assert!(!shard.is_cancelled(offset));
            }
            assert_eq!(store.block(shard.id(), 0).await.expect("read")[0].states()[0].name(), "pending");
            assert_eq!(store.loose_events(shard.id(), 0).await.expect("read"), []);
        }
    }
}
