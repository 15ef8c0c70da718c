use std::sync::Arc;

use futures_util::FutureExt;

use super::*;
use crate::domain::{Channel, ClaimKey, OpenGroup, Priority, Timestamp};
use crate::store::{TIMER_BUCKET, TimerKey};
use proptest::prelude::*;

fn shard() -> Shard {
    Shard::new(ShardId { generation: 0, lane: Priority::Normal, partition: 0 }, 0, Cursors::default())
}

fn task(shard: &Shard, offset: u64, ordinal: u8) -> TaskId {
    TaskId { position: Position::new(shard.id(), offset), ordinal }
}

fn row(bucket: u64, task: TaskId) -> TimerRow {
    let due = Timestamp(bucket * TIMER_BUCKET.as_millis() as u64);
    let key = TimerKey { due, offset: task.position.offset, ordinal: task.ordinal, attempt: 1 };
    TimerRow { key, channel: Channel::Email, endpoint: 0 }
}

#[test]
fn a_send_starts_once_for_a_tracked_task_and_not_after_its_end() {
    let shard = shard();
    let task = task(&shard, 7, 0);
    assert_eq!(shard.begin(task), Begin::NotTracked);
    assert_eq!(shard.track([task, task].into_iter(), None), [true, false]);
    assert_eq!(shard.begin(task), Begin::Yes);
    assert_eq!(shard.begin(task), Begin::InHand);
    shard.put_back(task);
    assert_eq!(shard.begin(task), Begin::Yes);
    shard.release(task);
    assert_eq!(shard.begin(task), Begin::NotTracked);
    assert_eq!(shard.tracked(), 0);
}

#[test]
fn a_shard_is_not_let_go_while_rows_are_written_for_a_caller_and_none_are_begun_after() {
    let shard = shard();
    let writing = shard.writing().expect("it is open");
    shard.close();
    assert!(shard.until_idle().now_or_never().is_none());
    assert!(shard.writing().is_none());
    drop(writing);
    assert!(shard.until_idle().now_or_never().is_some());
}

#[test]
fn the_cursor_stops_at_the_first_block_with_an_open_task() {
    let shard = shard();
    let early = task(&shard, 5, 0);
    let late = task(&shard, 5000, 0);
    shard.track([early, late].into_iter(), None);
    shard.set_planned(6000);
    assert_eq!(shard.advance(), None);
    shard.release(early);
    assert_eq!(shard.advance().map(|cursors| cursors.task_block), Some(5000 / BLOCK_OFFSETS));
    shard.release(late);
    assert_eq!(shard.advance().map(|cursors| cursors.task_block), Some(6000 / BLOCK_OFFSETS));
}

#[test]
fn the_timer_cursor_waits_for_the_tasks_of_the_timers_that_fired() {
    let shard = shard();
    let due = task(&shard, 5, 0);
    shard.track([due].into_iter(), Some(90));
    shard.set_timer_floor(100);
    assert_eq!(shard.advance().map(|cursors| cursors.timer_bucket), Some(90));
    shard.release(due);
    assert_eq!(shard.advance().map(|cursors| cursors.timer_bucket), Some(100));
}

#[test]
fn a_timer_that_is_to_fire_again_holds_the_cursor_and_may_be_tracked_anew() {
    let shard = shard();
    let due = task(&shard, 5, 0);
    shard.track([due].into_iter(), Some(90));
    shard.set_timer_floor(100);
    shard.return_to_timer(row(95, due));
    assert_eq!(shard.tracked(), 0);
    assert_eq!(shard.advance().map(|cursors| cursors.timer_bucket), Some(95));
    assert_eq!(shard.take_arriving(), [row(95, due)]);
    shard.set_timer_floor(95);
    assert_eq!(shard.advance(), None, "it is for the timers to fire now");
    assert_eq!(shard.track([due].into_iter(), Some(95)), [true]);
}

#[test]
fn no_cursor_passes_a_timer_that_is_being_written() {
    let shard = Arc::new(shard());
    let due = task(&shard, 5, 0);
    shard.set_timer_floor(90);
    let mut rows = [row(90, due)];
    let expected = shard.expect_timers(&mut rows);
    // The write takes longer than the bucket lasts.
    shard.set_timer_floor(100);
    assert_eq!(shard.timer_floor(), 90);
    assert_eq!(shard.advance().map(|cursors| cursors.timer_bucket), Some(90));
    shard.add_timers(rows.to_vec());
    drop(expected);
    assert_eq!(shard.advance(), None, "it has not reached the wheel yet");
    assert_eq!(shard.take_arriving(), rows);
    assert_eq!(shard.fire(&rows), [true]);
    assert_eq!(shard.advance(), None, "its task is open");
    shard.release(due);
    assert_eq!(shard.advance().map(|cursors| cursors.timer_bucket), Some(100));
}

#[test]
fn a_timer_that_is_due_below_the_cursor_is_written_at_the_cursor() {
    let shard = Arc::new(shard());
    shard.set_timer_floor(100);
    assert!(shard.advance().is_some());
    let (early, late) = (row(90, task(&shard, 5, 0)), row(101, task(&shard, 6, 0)));
    let mut rows = [late, early];
    let _expected = shard.expect_timers(&mut rows);
    assert_eq!(rows, [late, row(100, task(&shard, 5, 0))]);
}

#[test]
fn what_has_its_turn_in_a_fallback_is_in_hand_and_what_waited_for_a_time_is_not() {
    let shard = Arc::new(shard());
    let (turn, timed) = (task(&shard, 5, 1), task(&shard, 6, 0));
    let mut turn_row = row(90, turn);
    turn_row.key.attempt = TimerKey::TURN;
    assert_eq!(shard.fire(&[turn_row, row(90, timed), turn_row]), [true, true, false]);
    assert_eq!((shard.tracked(), shard.in_hand()), (2, 1));
    shard.release_all([turn, timed].into_iter());
    assert_eq!((shard.tracked(), shard.in_hand()), (0, 0));
}

#[test]
fn a_task_that_is_being_sent_does_not_go_back_to_its_timer() {
    let shard = shard();
    let task = task(&shard, 5, 0);
    shard.track([task].into_iter(), Some(90));
    assert_eq!(shard.begin(task), Begin::Yes);
    shard.return_to_timer(row(95, task));
    assert!(shard.is_tracked(task) && shard.take_arriving().is_empty());
}

fn group(leader: u64, until: u64, is_closed: bool) -> OpenGroup {
    let (since, until) = (Timestamp(0), Timestamp(until));
    OpenGroup { leader, since, until, expires_at: until, count: 1, is_first: false, is_closed }
}

#[test]
fn a_group_that_ended_while_a_batch_was_planned_does_not_come_back() {
    let shard = shard();
    let key = ClaimKey(1);
    let set = |group| shard.set_groups([(key, group)].into_iter(), Timestamp(0));
    set(group(3, 100, false));
    shard.set_planned(10);
    shard.close_group(key, group(3, 100, true));
    let seen = shard.group(key).expect("it is known while it is being closed");
    shard.end_group(key, 3);
    set(seen);
    assert_eq!(shard.group(key), None);
    // One that the batch itself opened and filled was never known before.
    set(group(12, 100, true));
    assert_eq!(shard.group(key), Some(group(12, 100, true)));
}

#[test]
fn groups_that_are_closed_are_forgotten_when_their_windows_are_over_unless_somebody_is_closing_one() {
    let known_at = |now, is_closing: bool| {
        let shard = shard();
        let _alone = is_closing.then(|| shard.changing_groups().now_or_never().expect("nobody else"));
        let all = (0..4096).map(|number| (ClaimKey(number), group(number as u64, 100, number % 2 == 0)));
        shard.set_groups(all, Timestamp(now));
        (0..4096).filter(|number| shard.group(ClaimKey(*number)).is_some()).count()
    };
    assert_eq!(known_at(99, false), 4096);
    assert_eq!(known_at(100, true), 4096);
    assert_eq!(known_at(100, false), 2048, "those that are open wait to be sent");
}

proptest! {
    #[test]
    fn cursors_never_move_back_and_never_pass_an_open_task(
        steps in prop::collection::vec((0u8..3, 0u64..4096), 1..200)
    ) {
        let shard = shard();
        let mut open = std::collections::BTreeSet::new();
        let mut before = Cursors::default();
        for (kind, offset) in steps {
            let task = task(&shard, offset.max(before.task_block * BLOCK_OFFSETS), 0);
            match kind {
                0 => { shard.track([task].into_iter(), None); open.insert(task); }
                1 => { shard.release(task); open.remove(&task); }
                _ => shard.set_planned(offset),
            }
            let after = shard.advance().unwrap_or(before);
            prop_assert!(after.task_block >= before.task_block);
            if let Some(first) = open.first() {
                prop_assert!(after.task_block <= first.position.block());
            }
            prop_assert_eq!(shard.tracked(), open.len());
            before = after;
        }
    }
}

#[test]
fn a_batch_that_was_begun_is_owed_until_it_is_planned() {
    let shard = shard();
    assert!(!shard.owes_batch());
    shard.begin_planning(0, 3);
    assert!(shard.owes_batch(), "who closes a group waits for it");
    shard.set_planned(3);
    assert!(!shard.owes_batch());
}

#[test]
fn of_two_groups_of_a_key_that_are_closed_at_once_the_later_one_stays_closed() {
    for leaders in [[3, 5], [5, 3]] {
        let shard = shard();
        let key = ClaimKey(1);
        leaders.into_iter().for_each(|leader| shard.close_group(key, group(leader, 100, true)));
        // A batch that was begun before went by the store, where the later one was open.
        shard.set_groups([(key, group(5, 100, false))].into_iter(), Timestamp(50));
        assert!(shard.group(key).is_some_and(|known| known.leader == 5 && known.is_closed), "{leaders:?}");
    }
}
