//! The walk through a user's history that cancels what is open, newest first, a page at a time.

use std::time::Duration;

use futures_util::{StreamExt, stream};

use super::{Privacy, metrics};
use crate::domain::{Erasure, NotificationId, Position, Priority, ShardId, Story, TaskState};
use crate::store::{HistoryEntry, StoreError};

/// Entries of the history that are looked at together.
const PAGE: usize = 200;
/// Cancellations at once: each is a write of its own, and may be another node's.
const ABREAST: usize = 8;

/// Before every other of the same time.
const FIRST: NotificationId =
    NotificationId(Position { shard: ShardId { generation: 0, lane: Priority::Critical, partition: 0 }, offset: 0 });

/// How far a walk came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Walked {
    /// Tasks that were stopped.
    pub(super) cancelled: usize,
    /// Of the part that was walked through, tasks that could not be; there may be more behind it.
    pub(super) pending: usize,
    pub(super) is_over: bool,
}

impl Privacy {
    /// Walks on for about so long, a page at least. Where it is to go on is in `erasure`: not behind a task that could not be cancelled.
    pub(super) async fn walk(&self, erasure: &mut Erasure, time: Duration) -> Result<Walked, StoreError> {
        let clock = &self.parts.clock;
        let began = clock.moment();
        let mut walked = Walked::default();
        let mut place = erasure.clone();
        loop {
            let entries = self.page(&place).await?;
            let open = self.open(&entries).await?;
            walked.pending += self.cancel(open, &mut walked).await;
            if let Some(last) = entries.last() {
                place.after = Some((last.accepted_at, last.notification));
            }
            if walked.pending == 0 {
                erasure.after = place.after;
            }
            if entries.len() < PAGE {
                walked.is_over = walked.pending == 0;
                return Ok(walked);
            }
            if clock.moment().since(began) >= time {
                return Ok(walked);
            }
        }
    }

    async fn page(&self, erasure: &Erasure) -> Result<Vec<HistoryEntry>, StoreError> {
        // What was accepted later is somebody new's.
        let (accepted_at, notification) = erasure.after.unwrap_or((erasure.at + Duration::from_millis(1), FIRST));
        let before = Some(HistoryEntry { accepted_at, notification });
        self.parts.store.history(&erasure.user.tenant, &erasure.user.user_id, before, PAGE).await
    }

    /// Those with open tasks, and how many.
    async fn open(&self, entries: &[HistoryEntry]) -> Result<Vec<(NotificationId, usize)>, StoreError> {
        let positions: Vec<_> = entries.iter().map(|entry| entry.notification.0).collect();
        if positions.is_empty() {
            return Ok(Vec::new());
        }
        let stories = self.parts.store.bare_stories(&positions).await?;
        let count =
            |story: &Story| story.booked_states().into_iter().filter(|state: &TaskState| state.is_open()).count();
        let open = stories.iter().flatten().map(|story| (story.plan.id(), count(story)));
        Ok(open.filter(|(_, tasks)| *tasks > 0).collect())
    }

    /// How many tasks could not be cancelled.
    async fn cancel(&self, open: Vec<(NotificationId, usize)>, walked: &mut Walked) -> usize {
        let cancels = &self.parts.cancels;
        let outcomes: Vec<_> = stream::iter(open)
            .map(|(id, tasks)| async move { (tasks, cancels.cancel(id).await) })
            .buffer_unordered(ABREAST)
            .collect()
            .await;
        let (mut stopped, mut failed) = (0, 0);
        for (tasks, outcome) in outcomes {
            match outcome {
                Ok(count) => stopped += count,
                Err(error) => {
                    tracing::debug!(%error, "a task of who was erased could not be cancelled yet");
                    failed += tasks;
                }
            }
        }
        walked.cancelled += stopped;
        metrics::cancelled(stopped);
        failed
    }
}
