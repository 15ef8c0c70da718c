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

/// Memory for the contents of ready tasks. As with the backlog, lower lanes may use less of it.
#[derive(Debug)]
pub struct PayloadBudget {
    used: AtomicUsize,
    max: usize,
    waiting: AtomicUsize,
    /// Told when some memory is free again and somebody waits for it.
    freed: Notify,
}

/// Held while a content is in memory.
#[derive(Debug)]
pub(super) struct PayloadPermit {
    budget: Arc<PayloadBudget>,
    bytes: usize,
}

impl PayloadBudget {
    pub fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self { used: AtomicUsize::new(0), max: bytes, waiting: AtomicUsize::new(0), freed: Notify::new() })
    }

    pub(super) fn hold(self: &Arc<Self>, lane: Priority, bytes: usize) -> Option<PayloadPermit> {
        let limit = self.limit(lane);
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| (used + bytes <= limit).then_some(used + bytes))
            .ok()
            .map(|_| PayloadPermit { budget: self.clone(), bytes })
    }

    /// Waits until contents of the lane are held again. Whoever waits here must not wait forever: a provider that takes nothing
    /// frees nothing, and then tasks go on without their contents.
    pub async fn room(&self, lane: Priority) {
        let limit = self.limit(lane);
        self.waiting.fetch_add(1, Ordering::AcqRel);
        // Counted down also if the waiting is given up.
        let _waiting = Waiting(&self.waiting);
        loop {
            let freed = self.freed.notified();
            if self.used.load(Ordering::Acquire) < limit {
                return;
            }
            freed.await;
        }
    }

    fn limit(&self, lane: Priority) -> usize {
        self.max - self.max / 6 * lane.index()
    }
}

struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Drop for PayloadPermit {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::AcqRel);
        if self.budget.waiting.load(Ordering::Acquire) > 0 {
            self.budget.freed.notify_waiters();
        }
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
        let first = budget.hold(Priority::Critical, 600);
        assert!(first.is_some());
        assert!(budget.hold(Priority::Critical, 600).is_none());
        drop(first);
        assert!(budget.hold(Priority::Critical, 600).is_some());
        assert!(budget.hold(Priority::Low, 600).is_none(), "a lower lane may use less");
    }

    #[tokio::test]
    async fn who_waits_for_memory_is_woken_when_a_content_goes() {
        let budget = PayloadBudget::new(1000);
        let held = budget.hold(Priority::Critical, 1000);
        let waiting = tokio::spawn({
            let budget = budget.clone();
            async move { budget.room(Priority::Normal).await }
        });
        tokio::task::yield_now().await;
        drop(held);
        waiting.await.expect("the waiter ends");
    }
}
