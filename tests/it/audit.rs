//! The audit finds what memory lost, wherever it stands.

use std::sync::Arc;
use std::time::Duration;

use fanfare::config;
use fanfare::domain::{Channel, Event, EventKind, NotificationId, Outcome, Source, TaskId, Timestamp};
use fanfare::store::{BookColumn, WriteBatch};

use crate::world::{Place, Script, TestProvider, World, mail, on_both};

on_both! {
    a_task_that_was_lost_before_a_restart_below_the_cursor_is_found
    a_task_that_is_lost_when_its_block_was_audited_already_is_found_once_it_is_due
}

/// A world with one partition, in which a mail was refused whose block is long done with.
async fn with_a_refused_mail_in_a_block_done_with(place: Place) -> (World, Arc<TestProvider>, NotificationId) {
    let mut config = config::defaults();
    config.log.partitions = 1;
    let provider = TestProvider::new("mail", &[Channel::Email]);
    provider.script([Script::Answer(Outcome::BadRequest { reason: "wrong".into() })]);
    let world = World::start_with(place, config, vec![provider.clone()]).await;
    let id = world.send(mail()).await;
    world.expect_states(id, &["failed"]).await;
    world.acceptor.accept((0..1100).map(|_| mail()).collect()).await.expect("accepted");
    advance_until(&world, async || (world.cursors(id).task_block == 1).then_some(())).await;
    (world, provider, id)
}

async fn advance_until(world: &World, mut ask: impl AsyncFnMut() -> Option<()>) {
    let asking = world.until(async || {
        world.advance(Duration::from_secs(5)).await;
        ask().await
    });
    asking.await;
}

/// What a fault leaves behind: the row says that a retry is to come, and no timer and no memory knows of it.
async fn lose(world: &World, id: NotificationId, due: Timestamp) {
    let task = TaskId { position: id.0, ordinal: 0 };
    let mut event = Event::new(task, 2, EventKind::Scheduled, world.now());
    event.due = Some(due);
    let mut batch = WriteBatch { events: vec![event], ..WriteBatch::default() };
    batch.books.shift(Source::Http, Some(BookColumn::Failed), Some(BookColumn::Scheduled), 1);
    world.store.write(id.0.shard, batch).await.expect("written");
    world.expect_states(id, &["scheduled"]).await;
}

async fn is_sent(world: &World, id: NotificationId) -> Option<()> {
    let story = world.story(id).await?;
    story.states().iter().all(|state| state.is_taken()).then_some(())
}

async fn a_task_that_was_lost_before_a_restart_below_the_cursor_is_found(place: Place) {
    let (world, _, id) = with_a_refused_mail_in_a_block_done_with(place).await;
    lose(&world, id, world.now()).await;
    let world = world.restart().await;
    advance_until(&world, async || is_sent(&world, id).await).await;
    world.balances().await;
}

async fn a_task_that_is_lost_when_its_block_was_audited_already_is_found_once_it_is_due(place: Place) {
    let (world, provider, id) = with_a_refused_mail_in_a_block_done_with(place).await;
    // Time enough for the block to be looked at.
    for _ in 0..5 {
        world.advance(Duration::from_secs(60)).await;
        world.store.books(id.0.shard).await.expect("the store reads");
    }
    let due = world.now() + Duration::from_secs(1200);
    lose(&world, id, due).await;
    advance_until(&world, async || is_sent(&world, id).await).await;
    assert_eq!(provider.taken().len(), 1102);
    assert!(world.now() >= due, "not before its time");
    world.balances().await;
}
