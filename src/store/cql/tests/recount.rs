//! What a process wrote and did not count before it died is counted by who takes its shard over.

use std::sync::Arc;

use super::{Place, place};
use crate::domain::{Disposition, EventKind, Position, Source};
use crate::store::conformance::{NOON, event, plans, shard};
use crate::store::{
    BookColumn, CqlStore, Cursors, TIMER_BUCKET, TaskLog, TimerKey, TimerRow, WriteBatch, timer_bucket,
};

/// What a process does that dies before its books are written.
async fn write_and_die(store: &CqlStore, batch: &WriteBatch) {
    let now = store.clock.now();
    store.add_timers(shard(0), &batch.timers, now).await.expect("written");
    let tenure = store.tenure(shard(0)).await.expect("read");
    drop(store.write_log(&tenure, batch, now).await.expect("written"));
}

async fn books(store: &CqlStore, columns: [BookColumn; 4]) -> [i64; 4] {
    let books = store.books(shard(0)).await.expect("read");
    columns.map(|column| books.get(Source::Http, column))
}

const COLUMNS: [BookColumn; 4] = [BookColumn::In, BookColumn::Sent, BookColumn::Scheduled, BookColumn::Cancelled];

/// Plans with their books.
fn planned(offsets: std::ops::Range<u64>) -> WriteBatch {
    let mut batch = plans(shard(0), offsets);
    for plan in &batch.plans {
        batch.books.enter_plan(plan);
    }
    batch
}

fn ended(offsets: impl IntoIterator<Item = u64>, kind: EventKind, from: Option<BookColumn>) -> WriteBatch {
    let mut batch = WriteBatch::default();
    for offset in offsets {
        batch.events.push(event(Position::new(shard(0), offset), 0, 1, kind));
        let to = if kind == EventKind::Sent { BookColumn::Sent } else { BookColumn::Cancelled };
        batch.books.shift(Source::Http, from, Some(to), 1);
    }
    batch
}

fn delayed(offset: u64, due: crate::domain::Timestamp) -> WriteBatch {
    let mut batch = plans(shard(0), [offset]);
    for plan in &mut batch.plans {
        let Disposition::Tasks(tasks) = &mut Arc::make_mut(plan).disposition else { unreachable!("it has tasks") };
        tasks[0].due = Some(due);
        batch.books.enter_plan(plan);
    }
    let key = TimerKey { due, offset, ordinal: 0, attempt: 1 };
    batch.timers = vec![TimerRow { key, channel: crate::domain::Channel::Email, endpoint: 0 }];
    batch
}

fn cursors(task_block: u64, timer_bucket: u64) -> WriteBatch {
    WriteBatch { cursors: Some(Cursors { task_block, timer_bucket }), ..WriteBatch::default() }
}

async fn take_over(place: &Place, end: u64) -> Arc<CqlStore> {
    let store = place.store().await;
    store.take_over(shard(0), end).await.expect("taken over");
    store
}

#[tokio::test]
async fn plans_and_sends_in_flight_are_counted_once_however_often_it_is_taken_over() {
    let place = place!();
    let dead = take_over(&place, 0).await;
    write_and_die(&dead, &planned(0..5)).await;
    let next = take_over(&place, 5).await;
    assert_eq!(books(&next, COLUMNS).await, [5, 0, 0, 0], "of who died before its first books");
    next.write(shard(0), planned(5..2000)).await.expect("written");
    next.write(shard(0), ended(0..3, EventKind::Sent, None)).await.expect("written");
    write_and_die(&next, &ended(2..1900, EventKind::Sent, None)).await;
    write_and_die(&next, &planned(2000..2010)).await;
    for _ in 0..2 {
        let last = take_over(&place, 2010).await;
        assert_eq!(books(&last, COLUMNS).await, [2010, 1900, 0, 0]);
        last.write(shard(0), ended([0, 1950], EventKind::Sent, None)).await.expect("written");
        write_and_die(&last, &ended(0..10, EventKind::Sent, None)).await;
        let same = take_over(&place, 2010).await;
        assert_eq!(books(&same, COLUMNS).await, [2010, 1902, 0, 0], "what was counted stays as it was counted");
        let mut back = WriteBatch::default();
        back.books.add(Source::Http, BookColumn::Sent, -2);
        same.write(shard(0), back).await.expect("written");
    }
}

#[tokio::test]
async fn a_failed_write_that_is_written_again_is_counted_once_and_one_that_is_not_by_the_next_owner() {
    let place = place!();
    let one = take_over(&place, 0).await;
    write_and_die(&one, &planned(0..5)).await;
    one.write(shard(0), planned(0..5)).await.expect("written");
    write_and_die(&one, &planned(5..7)).await;
    one.write(shard(0), ended([0], EventKind::Sent, None)).await.expect("written");
    assert_eq!(books(&one, COLUMNS).await, [5, 1, 0, 0]);
    one.take_over(shard(0), 7).await.expect("by itself, after it was lost");
    assert_eq!(books(&one, COLUMNS).await, [7, 1, 0, 0]);
    let other = take_over(&place, 7).await;
    assert_eq!(books(&other, COLUMNS).await, [7, 1, 0, 0]);
}

#[tokio::test]
async fn what_waited_for_a_time_in_blocks_that_are_done_with_is_counted_too() {
    let place = place!();
    let one = take_over(&place, 0).await;
    let (due, far) = (NOON, NOON + TIMER_BUCKET * 1000);
    one.write(shard(0), delayed(7, due)).await.expect("written");
    one.write(shard(0), delayed(1030, far)).await.expect("written");
    one.write(shard(0), delayed(2060, far)).await.expect("written");
    one.write(shard(0), cursors(5, timer_bucket(due))).await.expect("written");
    assert_eq!(books(&one, COLUMNS).await, [3, 0, 3, 0]);
    write_and_die(&one, &ended([7], EventKind::Sent, Some(BookColumn::Scheduled))).await;
    write_and_die(&one, &ended([1030], EventKind::Cancelled, Some(BookColumn::Scheduled))).await;
    // Another's that had its turn writes along what failed.
    one.write(shard(0), ended([2060], EventKind::Cancelled, Some(BookColumn::Scheduled))).await.expect("written");
    let next = take_over(&place, 5 * 1024).await;
    assert_eq!(books(&next, COLUMNS).await, [3, 1, 0, 2]);
    // A failure is remembered with its blocks, whatever it was about: here one more attempt for what is done with.
    next.write(shard(0), cursors(5, timer_bucket(due) + 100)).await.expect("written");
    let revived = ended([1031], EventKind::Sent, Some(BookColumn::Scheduled));
    next.write(shard(0), delayed(1031, far)).await.expect("written");
    write_and_die(&next, &revived).await;
    next.write(shard(0), planned(6000..6001)).await.expect("written");
    let last = take_over(&place, 6001).await;
    assert_eq!(books(&last, COLUMNS).await, [5, 2, 0, 2]);
}

#[tokio::test]
async fn what_a_node_that_has_the_shard_no_more_wrote_as_sent_is_counted_by_who_finds_it() {
    let place = place!();
    let one = take_over(&place, 0).await;
    one.write(shard(0), planned(0..3)).await.expect("written");
    let sent = WriteBatch { books: Default::default(), ..ended([1], EventKind::Sent, None) };
    one.write(shard(0), sent).await.expect("written");
    one.write(shard(0), ended([2], EventKind::Sent, None)).await.expect("written");
    let next = take_over(&place, 3).await;
    assert_eq!(books(&next, COLUMNS).await, [3, 2, 0, 0]);
}
