//! What others are still to be told of a shard's work, on a log that others read: no cursor is written past it.
//!
//! Whoever has events to tell takes a ticket before the tasks are let go, and gives it back once the events were told. The
//! cursors that are derived at some moment may be written when every ticket taken before that moment is back.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Shard;

/// The tickets of a shard.
#[derive(Debug, Default)]
pub(super) struct Untold(Mutex<Tickets>);

#[derive(Debug, Default)]
struct Tickets {
    next: u64,
    out: BTreeSet<u64>,
}

/// Stands for events that are to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

/// A moment between two tickets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Barrier(u64);

impl Untold {
    fn tickets(&self) -> MutexGuard<'_, Tickets> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shard {
    /// To be called once the events are durable, and before their tasks are let go.
    pub fn take_ticket(&self) -> Ticket {
        let mut tickets = self.untold.tickets();
        let ticket = tickets.next;
        tickets.next += 1;
        tickets.out.insert(ticket);
        Ticket(ticket)
    }

    /// The events were told.
    pub fn give_back(&self, ticket: Ticket) {
        self.untold.tickets().out.remove(&ticket.0);
    }

    /// This moment: to be asked for after the cursors were derived.
    pub fn barrier(&self) -> Barrier {
        Barrier(self.untold.tickets().next)
    }

    /// Whether everything from before that moment was told.
    pub fn is_told(&self, barrier: Barrier) -> bool {
        self.untold.tickets().out.first().is_none_or(|ticket| *ticket >= barrier.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Priority, ShardId};
    use crate::store::Cursors;

    #[test]
    fn a_moment_is_told_when_every_ticket_from_before_it_is_back_in_whatever_order() {
        let shard = Shard::new(ShardId { generation: 0, lane: Priority::Normal, partition: 0 }, 0, Cursors::default());
        assert!(shard.is_told(shard.barrier()));
        let [first, second] = [shard.take_ticket(), shard.take_ticket()];
        let barrier = shard.barrier();
        let third = shard.take_ticket();
        shard.give_back(second);
        assert!(!shard.is_told(barrier));
        shard.give_back(first);
        assert!(shard.is_told(barrier) && !shard.is_told(shard.barrier()));
        shard.give_back(third);
        assert!(shard.is_told(shard.barrier()));
    }
}
