//! The lanes of one channel: strict for critical, shared by weight among the rest, and nobody waits forever.

use std::collections::VecDeque;
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::ready::Ready;
use crate::domain::{Priority, Timestamp};

/// How the lanes share.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sharing {
    /// Turns of high, normal and low for each other.
    pub(super) weights: [u32; 3],
    /// A task that has waited this long counts as one lane higher; twice this, two.
    pub(super) ageing: Duration,
}

/// Four queues, and the tasks set aside because their endpoint takes nothing now. The number of tasks in here is bounded by
/// the backlog, from which each holds a permit.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    queues: [VecDeque<Ready>; 4],
    /// Smooth weighted round robin: who has the most credit goes, and pays all that was given.
    credits: [i64; 4],
    parked: FxHashMap<u32, VecDeque<Ready>>,
    parked_count: [usize; 4],
    /// Lanes whose head is being read from the store, each with the number of tasks that came before it meanwhile.
    loading: [Option<usize>; 4],
}

impl Lanes {
    pub(super) fn push(&mut self, ready: Ready) {
        self.queues[ready.priority().index()].push_back(ready);
    }

    /// Puts a task back to where it came from: it keeps its turn.
    pub(super) fn push_front(&mut self, ready: Ready) {
        let lane = ready.priority().index();
        self.queues[lane].push_front(ready);
        self.loading[lane] = self.loading[lane].map(|before| before + 1);
    }

    /// Takes the next task whose turn it is, passing over the lanes whose head is being read from the store.
    pub(super) fn pop(&mut self, now: Timestamp, sharing: &Sharing) -> Option<Ready> {
        if self.loading[0].is_none()
            && let Some(ready) = self.queues[Priority::Critical.index()].pop_front()
        {
            return Some(ready);
        }
        let mut total = 0;
        let mut chosen = None;
        for lane in 1..4 {
            let Some(head) = self.queues[lane].front().filter(|_| self.loading[lane].is_none()) else {
                self.credits[lane] = 0;
                continue;
            };
            let waited = now.since(head.since).as_millis();
            let risen = waited.checked_div(sharing.ageing.as_millis()).unwrap_or(0).min(2) as usize;
            let weight = i64::from(sharing.weights[lane.saturating_sub(1 + risen)].max(1));
            self.credits[lane] += weight;
            total += weight;
            if chosen.is_none_or(|best: usize| self.credits[lane] > self.credits[best]) {
                chosen = Some(lane);
            }
        }
        let lane = chosen?;
        self.credits[lane] -= total;
        self.queues[lane].pop_front()
    }

    /// Takes the handles whose rows are to be read from the head of a lane, to be read together. The lane waits until they are back.
    pub(super) fn begin_loading(&mut self, lane: Priority, limit: usize, now: Timestamp) -> Vec<Ready> {
        self.loading[lane.index()] = Some(0);
        let queue = &mut self.queues[lane.index()];
        take_bare(queue, limit, now)
    }

    /// They are back, and go to where they came from.
    pub(super) fn end_loading(&mut self, lane: Priority, loaded: Vec<Ready>) {
        let before = self.loading[lane.index()].take().unwrap_or(0);
        let queue = &mut self.queues[lane.index()];
        let before: Vec<Ready> = queue.drain(..before.min(queue.len())).collect();
        for ready in before.into_iter().chain(loaded).rev() {
            queue.push_front(ready);
        }
    }

    /// Sets a task aside until its endpoint takes something again.
    pub(super) fn park(&mut self, ready: Ready) {
        self.parked_count[ready.priority().index()] += 1;
        self.parked.entry(ready.endpoint).or_default().push_back(ready);
    }

    /// Brings up to `count` tasks of an endpoint back, the oldest first, to the head of their lanes. If their rows are to be read,
    /// up to `limit` of them are returned instead, to be read together and given to [`Lanes::park_again`].
    pub(super) fn unpark(&mut self, endpoint: u32, count: usize, limit: usize, now: Timestamp) -> Vec<Ready> {
        let Some(waiting) = self.parked.get_mut(&endpoint) else { return Vec::new() };
        if count > 0 && waiting.front().is_some_and(|ready| ready.is_to_be_read(now)) {
            // The endpoint keeps its place, empty if need be, until they are back.
            return take_bare(waiting, limit, now);
        }
        let mut back = Vec::with_capacity(count.min(waiting.len()));
        while back.len() < count
            && let Some(ready) = waiting.pop_front()
        {
            self.parked_count[ready.priority().index()] -= 1;
            back.push(ready);
        }
        if waiting.is_empty() {
            self.parked.remove(&endpoint);
        }
        for ready in back.into_iter().rev() {
            self.push_front(ready);
        }
        Vec::new()
    }

    /// Tasks that were set aside and have their contents now: they go to the head of those that wait for the endpoint. `taken`
    /// were taken out; those among them that had moved on do not come back.
    pub(super) fn park_again(&mut self, endpoint: u32, taken: [usize; 4], loaded: Vec<Ready>) {
        for (count, taken) in self.parked_count.iter_mut().zip(taken) {
            *count -= taken;
        }
        let waiting = self.parked.entry(endpoint).or_default();
        for ready in loaded.into_iter().rev() {
            self.parked_count[ready.priority().index()] += 1;
            waiting.push_front(ready);
        }
        if waiting.is_empty() {
            self.parked.remove(&endpoint);
        }
    }

    pub(super) fn has_parked(&self, endpoint: u32) -> bool {
        self.parked.contains_key(&endpoint)
    }

    /// All tasks of the lane, those set aside as well.
    pub(super) fn depth(&self, lane: Priority) -> usize {
        self.queues[lane.index()].len() + self.parked_count[lane.index()]
    }

    /// Whether a task could be popped.
    pub(super) fn has_queued(&self) -> bool {
        self.queues.iter().zip(self.loading).any(|(queue, loading)| loading.is_none() && !queue.is_empty())
    }
}

/// Those at the head of a queue whose rows are to be read, without what they have of them.
fn take_bare(queue: &mut VecDeque<Ready>, limit: usize, now: Timestamp) -> Vec<Ready> {
    let count = queue.iter().take(limit).take_while(|ready| ready.is_to_be_read(now)).count();
    let bare = |mut ready: Ready| {
        ready.payload = None;
        ready
    };
    queue.drain(..count).map(bare).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::{Backlog, PayloadBudget, Room};
    use crate::domain::{Channel, Position, ShardId, TaskId};
    use proptest::prelude::*;

    const SHARING: Sharing = Sharing { weights: [8, 4, 1], ageing: Duration::from_secs(60) };

    fn room() -> Room {
        Room { backlog: Backlog::new(1 << 20), payloads: PayloadBudget::new(0) }
    }

    fn ready(room: &Room, lane: Priority, offset: u64, endpoint: u32, since: u64) -> Ready {
        let shard = ShardId { generation: 0, lane, partition: 0 };
        let task = TaskId { position: Position::new(shard, offset), ordinal: 0 };
        Ready::bare(task, 1, Channel::Webhook, endpoint, Timestamp(since), room)
    }

    fn content() -> Box<crate::dispatch::Payload> {
        let shard = ShardId { generation: 0, lane: Priority::Normal, partition: 0 };
        let plan = crate::domain::Plan {
            position: Position::new(shard, 0),
            tenant: "default".into(),
            user_id: None,
            category: None,
            source: crate::domain::Source::Http,
            routing: crate::domain::Routing::All,
            accepted_at: Timestamp(0),
            expires_at: None,
            content: crate::domain::Content::Template { code: "x".into() },
            data: "{}".into(),
            metadata: "{}".into(),
            decisions: Vec::new(),
            disposition: crate::domain::Disposition::Tasks(Vec::new()),
            claims: Vec::new(),
            group: None,
            presentation: Default::default(),
            delivery: Default::default(),
            campaign: None,
            personal: Default::default(),
        };
        let (plan, looked_at) = (std::sync::Arc::new(plan), Timestamp(0));
        Box::new(crate::dispatch::Payload { plan, looked_at, objection: None, _held: None })
    }

    fn pop_lanes(lanes: &mut Lanes, now: u64, count: usize) -> [usize; 4] {
        let mut taken = [0; 4];
        for _ in 0..count {
            if let Some(ready) = lanes.pop(Timestamp(now), &SHARING) {
                taken[ready.priority().index()] += 1;
            }
        }
        taken
    }

    #[test]
    fn critical_goes_first_and_the_rest_share_by_weight() {
        let room = room();
        let mut lanes = Lanes::default();
        for offset in 0..100 {
            for lane in Priority::ALL {
                lanes.push(ready(&room, lane, offset, 0, 0));
            }
        }
        assert_eq!(pop_lanes(&mut lanes, 0, 100), [100, 0, 0, 0]);
        assert_eq!(pop_lanes(&mut lanes, 0, 39), [0, 24, 12, 3]);
    }

    #[test]
    fn a_task_that_waited_long_counts_as_a_higher_lane() {
        let room = room();
        let mut lanes = Lanes::default();
        for offset in 0..100 {
            lanes.push(ready(&room, Priority::High, offset, 0, 120_000));
            lanes.push(ready(&room, Priority::Low, offset, 0, 0));
        }
        assert_eq!(pop_lanes(&mut lanes, 120_000, 20), [0, 10, 0, 10]);
    }

    #[test]
    fn tasks_set_aside_come_back_in_their_order_and_ahead_of_newer_ones() {
        let room = room();
        let mut lanes = Lanes::default();
        for offset in 0..3 {
            lanes.park(ready(&room, Priority::Normal, offset, 9, 0));
        }
        lanes.push(ready(&room, Priority::Normal, 50, 0, 0));
        assert_eq!(lanes.depth(Priority::Normal), 4);
        let mut bare = lanes.unpark(9, 2, 10, Timestamp(0));
        assert_eq!(bare.len(), 3, "none of them has its content yet");
        for ready in &mut bare {
            ready.payload = Some(content());
        }
        lanes.park_again(9, [0, 0, 3, 0], bare);
        assert!(lanes.unpark(9, 2, 10, Timestamp(0)).is_empty());
        let order: Vec<u64> =
            std::iter::from_fn(|| lanes.pop(Timestamp(0), &SHARING)).map(|ready| ready.task.position.offset).collect();
        assert_eq!(order, [0, 1, 50]);
        assert!(lanes.has_parked(9));
    }

    #[test]
    fn what_was_passed_over_stays_ahead_of_what_is_loaded_meanwhile() {
        let room = room();
        let mut lanes = Lanes::default();
        for offset in 0..4 {
            lanes.push(ready(&room, Priority::Normal, offset, 0, 0));
        }
        let passed: Vec<Ready> = (0..2).filter_map(|_| lanes.pop(Timestamp(0), &SHARING)).collect();
        let loaded = lanes.begin_loading(Priority::Normal, 1, Timestamp(0));
        passed.into_iter().rev().for_each(|ready| lanes.push_front(ready));
        assert!(!lanes.has_queued());
        lanes.end_loading(Priority::Normal, loaded);
        let order: Vec<u64> =
            std::iter::from_fn(|| lanes.pop(Timestamp(0), &SHARING)).map(|ready| ready.task.position.offset).collect();
        assert_eq!(order, [0, 1, 2, 3]);
    }

    #[test]
    fn contents_that_were_not_looked_at_for_a_minute_are_read_again_together() {
        let room = room();
        let mut lanes = Lanes::default();
        for (offset, looked_at) in [(0, 0), (1, 0), (2, 50_000)] {
            let mut ready = ready(&room, Priority::Normal, offset, 0, 0);
            ready.payload = Some(Box::new(crate::dispatch::Payload { looked_at: Timestamp(looked_at), ..*content() }));
            lanes.push(ready);
        }
        assert!(lanes.begin_loading(Priority::Normal, 10, Timestamp(60_000)).is_empty());
        let stale = lanes.begin_loading(Priority::Normal, 10, Timestamp(60_001));
        assert_eq!(stale.iter().map(|ready| ready.task.position.offset).collect::<Vec<_>>(), [0, 1]);
        assert!(stale.iter().all(|ready| ready.payload.is_none()));
    }

    proptest! {
        #[test]
        fn no_lane_starves_and_nothing_is_lost(
            counts in prop::array::uniform4(0usize..200),
        ) {
            let room = room();
            let mut lanes = Lanes::default();
            for lane in Priority::ALL {
                for offset in 0..counts[lane.index()] {
                    lanes.push(ready(&room, lane, offset as u64, 0, 0));
                }
            }
            let total: usize = counts.iter().sum();
            let mut since_low = 0;
            let mut taken = 0;
            while let Some(ready) = lanes.pop(Timestamp(0), &SHARING) {
                taken += 1;
                if ready.priority() == Priority::Low || lanes.depth(Priority::Low) == 0 || ready.priority() == Priority::Critical {
                    since_low = 0;
                } else {
                    since_low += 1;
                    prop_assert!(since_low <= 13);
                }
            }
            prop_assert_eq!(taken, total);
            prop_assert_eq!(room.backlog.ready(), 0);
        }
    }
}
