//! Rows of the task log: plans and events of one write, packed. Pure.

use std::sync::Arc;
use std::time::Duration;

use super::lifetimes;
use crate::codec;
use crate::domain::{BLOCK_OFFSETS, Event, Plan, Timestamp};
use crate::store::PlanRows;
use crate::store::packed::Packer;

/// Offsets whose plans are read together where one of them is asked for.
pub(super) const WINDOW_OFFSETS: u64 = 64;

/// A row takes no more plans or events above this, so that with its last one it is seldom larger than 32 KiB: larger cells cost
/// both databases more than they save.
const ROW_BYTES_FULL: usize = 24 << 10;

pub(super) const PLANS: i8 = 0;
pub(super) const EVENTS: i8 = 1;

/// One row, but for its number.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LogRow {
    pub(super) block: u64,
    pub(super) kind: i8,
    pub(super) window: i16,
    pub(super) lifetime: Duration,
    pub(super) body: Vec<u8>,
}

/// The window of an offset, within its block.
pub(super) fn window(offset: u64) -> i16 {
    (offset % BLOCK_OFFSETS / WINDOW_OFFSETS) as i16
}

/// In the order of blocks and windows.
pub(super) fn of_plans(plans: &[Arc<Plan>], plan_rows: &PlanRows, now: Timestamp) -> Vec<LogRow> {
    let mut sorted: Vec<(usize, &Plan)> = plans.iter().map(|plan| &**plan).enumerate().collect();
    // It keeps the order of two plans of one offset.
    sorted.sort_by_key(|(_, plan)| plan.position.offset);
    let place = |plan: &Plan| (plan.position.block(), PLANS, window(plan.position.offset));
    let mut rows = Rows::default();
    for (index, plan) in sorted {
        let lifetime = lifetimes::of_plan(plan, now);
        rows.add(place(plan), plan.position.offset, lifetime, |bytes| plan_rows.write(index, plan, bytes));
    }
    rows.done()
}

/// In the order of blocks, and within a block in that of the events given.
pub(super) fn of_events(events: &[Event], now: Timestamp) -> Vec<LogRow> {
    let mut sorted: Vec<&Event> = events.iter().collect();
    sorted.sort_by_key(|event| event.task.position.block());
    let mut rows = Rows::default();
    for event in sorted {
        let place = (event.task.position.block(), EVENTS, 0);
        let lifetime = lifetimes::of_event(event, now);
        rows.add(place, event.task.position.offset, lifetime, |bytes| codec::encode_event(event, bytes));
    }
    rows.done()
}

/// Block, kind and window.
type Place = (u64, i8, i16);

/// Rows that are being filled, one after the other.
#[derive(Default)]
struct Rows {
    done: Vec<LogRow>,
    open: Option<(Place, Duration, Packer)>,
}

impl Rows {
    fn add(&mut self, place: Place, offset: u64, lifetime: Duration, write: impl FnOnce(&mut Vec<u8>)) {
        let fits = self.open.as_ref().is_some_and(|(at, _, row)| *at == place && row.bytes() < ROW_BYTES_FULL);
        if !fits {
            self.close();
        }
        let (_, longest, row) = self.open.get_or_insert_with(|| (place, lifetime, Packer::default()));
        *longest = lifetime.max(*longest);
        row.add(offset, write);
    }

    fn close(&mut self) {
        if let Some(((block, kind, window), lifetime, row)) = self.open.take() {
            self.done.push(LogRow { block, kind, window, lifetime, body: row.done() });
        }
    }

    fn done(mut self) -> Vec<LogRow> {
        self.close();
        self.done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{EventKind, Position};
    use crate::store::{conformance, packed};

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn plans(offsets: impl IntoIterator<Item = u64>, data_bytes: usize) -> Vec<Arc<Plan>> {
        let plan = |offset| {
            let mut plan = conformance::plan(Position::new(conformance::shard(0), offset));
            plan.data = "x".repeat(data_bytes).into();
            Arc::new(plan)
        };
        offsets.into_iter().map(plan).collect()
    }

    fn places(rows: &[LogRow]) -> Vec<(u64, i16, usize)> {
        rows.iter().map(|row| (row.block, row.window, packed::unpack(&row.body).count())).collect()
    }

    #[test]
    fn plans_of_a_window_share_a_row_whatever_their_order() {
        let rows = of_plans(&plans([1024, 63, 0, 64, 1023, 2], 10), &PlanRows::default(), NOW);
        assert_eq!(places(&rows), [(0, 0, 3), (0, 1, 1), (0, 15, 1), (1, 0, 1)]);
        assert!(rows.iter().all(|row| row.kind == PLANS));
    }

    #[test]
    fn a_row_is_not_much_larger_than_it_may_be() {
        let rows = of_plans(&plans(0..64, 1024), &PlanRows::default(), NOW);
        assert!(rows.len() >= 3, "{}", rows.len());
        assert!(rows.iter().all(|row| row.body.len() <= 32 << 10));
        assert_eq!(places(&rows).iter().map(|(_, _, count)| count).sum::<usize>(), 64);
        assert_eq!(places(&of_plans(&plans(0..2, 100_000), &PlanRows::default(), NOW)), [(0, 0, 1), (0, 0, 1)]);
    }

    #[test]
    fn a_row_lives_as_long_as_the_longest_of_its_plans() {
        let mut plans = plans(0..3, 10);
        Arc::make_mut(&mut plans[1]).expires_at = Some(NOW + Duration::from_secs(86_400));
        let rows = of_plans(&plans, &PlanRows::default(), NOW);
        assert_eq!(rows.iter().map(|row| row.lifetime.as_secs() / 86_400).collect::<Vec<_>>(), [31]);
    }

    #[test]
    fn events_of_a_block_share_a_row_in_the_order_in_which_they_came() {
        let at = |offset| Position::new(conformance::shard(0), offset);
        let events: Vec<Event> =
            [2000, 5, 3, 5].map(|offset| conformance::event(at(offset), 0, 1, EventKind::Sent)).into();
        let rows = of_events(&events, NOW);
        assert_eq!(
            rows.iter().map(|row| (row.block, row.kind, row.window)).collect::<Vec<_>>(),
            [(0, 1, 0), (1, 1, 0)]
        );
        let offsets: Vec<u64> = packed::unpack(&rows[0].body).map(|(offset, _)| offset).collect();
        assert_eq!(offsets, [5, 3, 5]);
    }
}
