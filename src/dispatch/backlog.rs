//! The two bounds on what waits in memory: how many tasks, and how much content.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use crate::domain::Priority;

/// Counts the ready tasks in memory. Lower lanes are told to wait before higher ones, so a backlog of marketing can never
/// take the room of what is urgent.
#[derive(Debug)]
pub struct Backlog {
    ready: AtomicUsize,
    max: usize,
    /// Told when there may be room again.
    freed: Notify,
}

/// One counted task.
#[derive(Debug)]
pub(super) struct BacklogPermit(Arc<Backlog>);

impl Backlog {
    pub fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { ready: AtomicUsize::new(0), max, freed: Notify::new() })
    }

    /// How many tasks are ready.
    pub fn ready(&self) -> usize {
        self.ready.load(Ordering::Relaxed)
    }

    /// Waits until the lane may bring more. A batch that was begun is not cut: the bound is passed by at most one batch a shard.
    pub async fn room(&self, lane: Priority) {
        let limit = self.limit(lane);
        loop {
            let freed = self.freed.notified();
            if self.ready() < limit {
                return;
            }
            freed.await;
        }
    }

    /// Critical may use all of it, each lane below a tenth less.
    fn limit(&self, lane: Priority) -> usize {
        self.max - self.max / 10 * lane.index()
    }

    pub(super) fn permit(self: &Arc<Self>) -> BacklogPermit {
        self.ready.fetch_add(1, Ordering::Relaxed);
        BacklogPermit(self.clone())
    }
}

impl Drop for BacklogPermit {
    fn drop(&mut self) {
        let before = self.0.ready.fetch_sub(1, Ordering::Relaxed);
        // Only around the limits can somebody be waiting.
        if before >= self.0.limit(Priority::Low) {
            self.0.freed.notify_waiters();
        }
    }
}

/// Memory for the contents of ready tasks.
#[derive(Debug)]
pub struct PayloadBudget {
    free: AtomicUsize,
}

/// Held while a content is in memory.
#[derive(Debug)]
pub(super) struct PayloadPermit {
    budget: Arc<PayloadBudget>,
    bytes: usize,
}

impl PayloadBudget {
    pub fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self { free: AtomicUsize::new(bytes) })
    }

    pub(super) fn hold(self: &Arc<Self>, bytes: usize) -> Option<PayloadPermit> {
        self.free
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |free| free.checked_sub(bytes))
            .ok()
            .map(|_| PayloadPermit { budget: self.clone(), bytes })
    }
}

impl Drop for PayloadPermit {
    fn drop(&mut self) {
        self.budget.free.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn a_full_backlog_holds_the_low_lane_before_the_critical_one() {
        let backlog = Backlog::new(100);
        let mut permits: Vec<_> = (0..75).map(|_| backlog.permit()).collect();
        assert!(backlog.room(Priority::Low).now_or_never().is_none());
        assert!(backlog.room(Priority::Critical).now_or_never().is_some());
        permits.truncate(60);
        assert!(backlog.room(Priority::Low).now_or_never().is_some());
    }

    #[tokio::test]
    async fn who_waits_for_room_is_woken_when_a_task_leaves() {
        let backlog = Backlog::new(10);
        let mut permits: Vec<_> = (0..7).map(|_| backlog.permit()).collect();
        let waiting = tokio::spawn({
            let backlog = backlog.clone();
            async move { backlog.room(Priority::Low).await }
        });
        tokio::task::yield_now().await;
        permits.pop();
        waiting.await.expect("the waiter ends");
    }

    #[test]
    fn contents_above_the_budget_are_not_held_and_come_back_when_dropped() {
        let budget = PayloadBudget::new(1000);
        let first = budget.hold(600);
        assert!(first.is_some());
        assert!(budget.hold(600).is_none());
        drop(first);
        assert!(budget.hold(600).is_some());
    }
}
