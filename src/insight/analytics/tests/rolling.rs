//! Roll-ups: exact whatever comes twice, late or not to its end.

use super::*;
use crate::disk;
use crate::store::{Drops, EmbeddedStore, SharedStore, WriteBatch};

/// Stories of several blocks and days, with receipts; those of one call continue those of the one before.
fn stories(rounds: u64) -> Vec<Story> {
    let story = |offset: u64| {
        let at = NOON + SECOND * (offset as u32 % 7200);
        let plan = planned(offset, |plan| {
            plan.accepted_at = at;
            plan.content = Content::Template { code: format!("t{}", offset % 3).into() };
        });
        let mut events = vec![Event { cost: 100, ..happened(offset, EventKind::Sent, at) }];
        for round in 0..rounds {
            let later = at + HOUR * (round as u32 * 7 + offset as u32 % 5);
            events.push(Event { occasion: round + 1, ..happened(offset, EventKind::Opened, later) });
        }
        Story { plan, events }
    };
    (0..40).map(|number| story(number * 97)).collect()
}

async fn tell(bench: &Bench, stories: &[Story]) {
    for story in stories {
        bench.tell_of(story.plan.clone(), story.events.clone()).await;
    }
}

#[tokio::test]
async fn what_was_sent_is_counted_in_seconds_and_what_comes_later_too() {
    let mut bench = Bench::new();
    // Who is the first to follow marks looks a day back.
    bench.run(SECOND * 20).await;
    bench.tell(0, vec![happened(0, EventKind::Sent, NOON)]).await;
    bench.run(SECOND * 10).await;
    assert_eq!(bench.totals().await.get(Count::Sent), 1);
    let opened = happened(0, EventKind::Opened, bench.clock.now());
    bench.tell(0, vec![happened(0, EventKind::Sent, NOON), opened]).await;
    bench.run(SECOND * 10).await;
    assert_eq!(bench.totals().await.get(Count::Opened), 1);
    // As of a time before both: what a minute holds is only known when it is closed.
    let as_of = bench.report(&[]).await.as_of;
    assert!(as_of.is_none_or(|at| at <= NOON), "{as_of:?}");
    bench.run(SECOND * 200).await;
    assert!(bench.report(&[]).await.as_of.is_some_and(|at| at > NOON));
}

#[tokio::test]
async fn roll_ups_are_exact_after_each_write_that_fails_wherever_the_homes_are() {
    for is_written in [false, true] {
        let mut fails_in = 0;
        loop {
            fails_in += 1;
            let mut bench = Bench::failing(fails_in, is_written);
            tell(&bench, &stories(0)).await;
            bench.run(SECOND * 20).await;
            bench.restart();
            tell(&bench, &stories(2)).await;
            bench.run(SECOND * 60).await;
            assert_exact(&bench, &stories(2)).await;
            if bench.faulty.fails_in.load(Ordering::SeqCst) < NEVER {
                // There were no more writes than those.
                break;
            }
        }
        assert!(fails_in > 8, "{fails_in} writes");
    }
}

#[tokio::test]
async fn a_write_that_comes_after_its_block_was_read_is_counted_when_its_minute_is_closed() {
    let mut bench = Bench::new();
    bench.tell(0, Vec::new()).await;
    bench.run(SECOND * 20).await;
    // It was marked before, and took its time.
    bench.store.tell(planned(0, |_| {}), vec![happened(0, EventKind::Sent, NOON)]);
    bench.run(SECOND * 20).await;
    assert_eq!(bench.totals().await.get(Count::Sent), 0);
    bench.run(SECOND * 180).await;
    assert_eq!(bench.totals().await.get(Count::Sent), 1);
}

#[tokio::test]
async fn who_takes_over_counts_what_was_written_while_nobody_did() {
    let mut bench = Bench::new();
    bench.run(SECOND * 10).await;
    bench.restart();
    tell(&bench, &stories(1)).await;
    bench.clock.advance(HOUR * 30);
    bench.run(SECOND * 60).await;
    assert_exact(&bench, &stories(1)).await;
    let as_of = bench.report(&[]).await.as_of.expect("all were begun");
    assert!(as_of + SECOND * 200 > bench.clock.now(), "{as_of}");
}

#[tokio::test]
async fn what_is_archived_stays_counted_and_its_neighbours_go_on() {
    for is_counted_before in [true, false] {
        let mut bench = Bench::new();
        tell(&bench, &stories(1)).await;
        if is_counted_before {
            bench.run(SECOND * 20).await;
        }
        let gone: Vec<u64> = stories(1).iter().map(|story| story.plan.position.offset).filter(|o| o % 2 == 0).collect();
        for block in 0..4 {
            let own: Vec<u64> = gone.iter().copied().filter(|offset| offset / 1024 == block).collect();
            // Twice, as after a crash in between; and once more when they are gone.
            for is_dropped in [false, true, true] {
                bench.analytics.freeze(shard(0), block, &own).await.expect("kept");
                if is_dropped {
                    bench.store.drop_offsets(shard(0), block, &own).await.expect("dropped");
                }
            }
        }
        // Those that stay are opened once more.
        let all: Vec<Story> = stories(1)
            .into_iter()
            .zip(stories(2))
            .map(|(before, after)| if gone.contains(&before.plan.position.offset) { before } else { after })
            .collect();
        for story in all.iter().filter(|story| !gone.contains(&story.plan.position.offset)) {
            bench.tell_of(story.plan.clone(), story.events.clone()).await;
        }
        bench.run(SECOND * 60).await;
        assert_exact(&bench, &all).await;
    }
}

#[tokio::test]
async fn a_block_whose_rows_have_expired_stays_as_it_was_counted() {
    let mut bench = Bench::new();
    tell(&bench, &stories(1)).await;
    bench.run(SECOND * 20).await;
    bench.store.drop_offsets(shard(0), 0, &[0, 97]).await.expect("dropped");
    let mark = touched_row(shard(0), 0, bench.clock.now());
    bench.store.put_keyed(vec![mark]).await.expect("written");
    bench.run(SECOND * 300).await;
    assert_exact(&bench, &stories(1)).await;
}

#[tokio::test]
async fn a_home_that_is_another_nodes_writes_nothing_more() {
    let mut bench = Bench::new();
    tell(&bench, &stories(1)).await;
    let ended = CancellationToken::new();
    let work = AnalyticsWork::new(bench.analytics.clone());
    let mut turns = Vec::new();
    for home in 0..HOMES {
        let tenure = Tenure::new(home, ended.clone(), Arc::new(Standing::for_ever()), bench.clock.clone());
        turns.push(work.begin(tenure).await.expect("begun"));
    }
    ended.cancel();
    for _ in 0..10 {
        bench.clock.advance(SECOND * 3);
        for turns in &mut turns {
            turns.turn().await.expect("nothing is done");
        }
    }
    assert!(bench.totals().await.is_zero());
    bench.run(SECOND * 20).await;
    assert_exact(&bench, &stories(1)).await;
}

/// On the embedded store every write of events leaves its marks by itself.
#[tokio::test]
async fn what_the_embedded_store_writes_is_counted() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let clock = ManualClock::starting_at(NOON);
    let disk = disk::testing::disk_with(directory.path(), |settings| settings.clock = clock.clone());
    let store: SharedStore = EmbeddedStore::open(disk).expect("the store opens");
    let mut bench = Bench::new();
    bench.clock = clock.clone();
    bench.analytics = Analytics::new(AnalyticsParts {
        log: store.clone(),
        rows: store.clone(),
        categories: categories(),
        clock: clock.clone(),
    });
    let all = stories(2);
    for part in all.chunks(7) {
        let plans = part.iter().map(|story| Arc::new(story.plan.clone())).collect();
        let batch = WriteBatch { plans, ..WriteBatch::default() };
        store.write(shard(0), batch).await.expect("written");
        let batch = WriteBatch {
            // Twice, backwards.
            events: part.iter().chain(part).flat_map(|story| story.events.iter().rev().cloned()).collect(),
            ..WriteBatch::default()
        };
        store.write(shard(0), batch).await.expect("written");
        bench.run(SECOND * 14).await;
    }
    bench.run(SECOND * 100).await;
    assert_exact(&bench, &all).await;
}
