//! Tasks that only some of the channel's providers take, set aside while none of those has room: what goes to one platform or room
//! does not wait behind what goes to another.

use std::collections::BTreeMap;

use super::lanes::{Lanes, Sharing};
use super::ready::Ready;
use super::sharing::{Standing, room};
use super::slots::ProviderSlots;
use crate::clock::Moment;
use crate::domain::{Address, Priority, Timestamp};

/// Which providers of a channel take a task, by their index. Those beyond the last bit share it: their tasks wait together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Takers(u128);

const BITS: usize = 128;

impl Takers {
    pub(super) fn of(providers: &[ProviderSlots], address: &Address) -> Self {
        Self::those(providers, |provider| provider.provider.takes(address))
    }

    pub(super) fn those(providers: &[ProviderSlots], is_one: impl Fn(&ProviderSlots) -> bool) -> Self {
        let mut bits = 0;
        for (index, provider) in providers.iter().enumerate() {
            if is_one(provider) {
                bits |= 1 << index.min(BITS - 1);
            }
        }
        Self(bits)
    }

    pub(super) fn is_nobody(self) -> bool {
        self.0 == 0
    }

    fn has(self, index: usize) -> bool {
        self.0 & (1 << index.min(BITS - 1)) != 0
    }
}

/// Contents that are kept of the tasks that wait together; those of the rest are read again, so that they hold little memory.
const CONTENTS_MAX: usize = 512;

/// What waits, by who takes it. Its number is bounded by the backlog, from which each holds a permit.
#[derive(Debug, Default)]
pub(super) struct Aside(BTreeMap<Takers, Lanes>);

impl Aside {
    pub(super) fn push(&mut self, takers: Takers, mut ready: Ready) {
        let lanes = self.0.entry(takers).or_default();
        if Priority::ALL.into_iter().map(|priority| lanes.depth(priority)).sum::<usize>() >= CONTENTS_MAX {
            ready.payload = None;
        }
        lanes.push(ready);
    }

    /// Puts as many back to where they came from as those who take them have room for now.
    pub(super) fn bring_back(
        &mut self,
        lanes: &mut Lanes,
        sharing: &Sharing,
        (moment, now): (Moment, Timestamp),
        providers: &[ProviderSlots],
    ) {
        self.0.retain(|takers, waiting| {
            let standing = |index: usize, _: &ProviderSlots| match takers.has(index) {
                true => Standing::May,
                false => Standing::TakesNot,
            };
            // By the same rule as they will be given one: a canary whose turn it is not has no room.
            let room = room(providers, moment, standing);
            let mut back = Vec::new();
            while back.len() < room
                && let Some(ready) = waiting.pop(now, sharing)
            {
                back.push(ready);
            }
            back.into_iter().rev().for_each(|ready| lanes.push_front(ready));
            waiting.has_queued()
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn depth(&self, priority: Priority) -> usize {
        self.0.values().map(|lanes| lanes.depth(priority)).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::dispatch::ready::Class;
    use crate::dispatch::sharing::tests::provider;
    use crate::dispatch::{Backlog, PayloadBudget, Room};
    use crate::domain::{Channel, Position, ShardId, TaskId};

    #[test]
    fn what_waits_for_a_canary_is_brought_back_when_its_turn_comes_and_no_more_than_one() {
        let sharing = Sharing { weights: [8, 4, 1], ageing: Duration::from_secs(60) };
        let backlog = Room { backlog: Backlog::new(100), payloads: PayloadBudget::new(0) };
        let shard = ShardId { generation: 0, lane: Priority::Normal, partition: 0 };
        let mut providers = [provider("old", 1, None, Class::Bulk), provider("new", 1, Some(0.1), Class::Bulk)];
        providers[0].in_flight = 4;
        let (mut aside, mut lanes) = (Aside::default(), Lanes::default());
        for offset in 0..10 {
            let task = TaskId { position: Position::new(shard, offset), ordinal: 0 };
            let ready = Ready::bare(task, 1, Channel::Chat, 0, Timestamp(0), &backlog);
            aside.push(Takers::those(&providers, |_| true), ready);
        }
        let mut check = |providers: &[ProviderSlots], expected: usize| {
            aside.bring_back(&mut lanes, &sharing, (Moment::default(), Timestamp(0)), providers);
            assert_eq!(lanes.depth(Priority::Normal), expected);
        };
        check(&providers, 0);
        providers[1].small_credit = 900_000;
        check(&providers, 1);
        providers[1].small_credit = 0;
        providers[0].in_flight = 2;
        check(&providers, 3);
    }
}
