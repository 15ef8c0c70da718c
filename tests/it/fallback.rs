//! The next channel of a fallback has its turn, whatever happens meanwhile.

use std::sync::Arc;
use std::time::Duration;

use fanfare::config;
use fanfare::domain::{Channel, Event, EventKind, NotificationId, NotificationRequest, Outcome, Routing};
use fanfare::outcomes::Cancellation;
use fanfare::store::{BookColumn, WriteBatch};

use crate::world::{Place, Script, TestProvider, World, mail, on_both};

on_both! {
    the_next_channel_is_found_after_a_restart_though_its_block_was_done_with
    the_next_channel_of_what_waited_for_its_time_is_found_after_a_restart
    the_books_balance_while_the_next_channel_waits_for_its_turn_before_and_after_a_restart
    a_next_channel_that_is_cancelled_while_it_waits_for_its_turn_leaves_the_books_balanced
    what_is_not_confirmed_in_time_goes_through_the_next_channel_after_a_restart_as_well
    what_is_confirmed_in_time_goes_through_no_other_channel
    what_waits_for_its_confirmation_can_be_cancelled
}

fn gone() -> Script {
    Script::Answer(Outcome::BadRequest { reason: "wrong".into() })
}

/// First a mail, and if that fails a text message.
fn fallback() -> NotificationRequest {
    let mut request = mail();
    request.to.phone = Some("+491701234567".into());
    request.channels = vec![Channel::Email, Channel::Sms];
    request.routing = Routing::Fallback;
    request
}

/// A world with one partition, in which the provider of text messages has just asked for a pause of an hour: one text message
/// waits for its end, and others stay in their lane.
async fn with_text_messages_paused(place: Place) -> (World, Arc<TestProvider>, Arc<TestProvider>) {
    let mut config = config::defaults();
    config.log.partitions = 1;
    config.retry.jitter = 0.0;
    let (mails, texts) = (TestProvider::new("mails", &[Channel::Email]), TestProvider::new("texts", &[Channel::Sms]));
    let pause = Some(Duration::from_secs(3600));
    texts.script([Script::Answer(Outcome::throttled("quota", pause))]);
    let world = World::start_with(place, config, vec![mails.clone(), texts.clone()]).await;
    let mut request = fallback();
    request.channels = vec![Channel::Sms];
    let first = world.send(request).await;
    world.expect_states(first, &["scheduled"]).await;
    (world, mails, texts)
}

/// A fallback that waited for its time, and whose first channel then failed; the next one waits for its turn.
async fn first_channel_failed_when_due(place: Place) -> (World, Arc<TestProvider>, NotificationId) {
    let (world, mails, texts) = with_text_messages_paused(place).await;
    mails.script([gone()]);
    let mut request = fallback();
    request.deliver_at = Some(world.now() + Duration::from_secs(60));
    let id = world.send(request).await;
    world.expect_states(id, &["scheduled", "pending"]).await;
    world.advance(Duration::from_secs(60)).await;
    world.expect_states(id, &["failed", "pending"]).await;
    (world, texts, id)
}

async fn the_next_channel_is_found_after_a_restart_though_its_block_was_done_with(place: Place) {
    let (world, mails, _) = with_text_messages_paused(place).await;
    mails.script([Script::transient()]);
    let id = world.send(fallback()).await;
    world.expect_states(id, &["scheduled", "pending"]).await;
    world.acceptor.accept((0..1100).map(|_| mail()).collect()).await.expect("accepted");
    world.until(async || (mails.taken().len() == 1101).then_some(())).await;
    world.balances().await;
    let done_with = world.until(async || {
        world.advance(Duration::from_millis(100)).await;
        (world.cursors(id).task_block == 1).then_some(())
    });
    done_with.await;
    mails.script([Script::transient(), Script::transient(), Script::transient()]);
    for (tries, minutes) in [(1102, 1), (1103, 2), (1104, 4)] {
        world.expect_states(id, &["scheduled", "pending"]).await;
        world.balances().await;
        world.advance(Duration::from_secs(minutes * 60)).await;
        world.until(async || (mails.taken().len() == tries).then_some(())).await;
    }
    world.expect_states(id, &["failed", "pending"]).await;
    world.balances().await;
    let world = world.restart().await;
    world.expect_states(id, &["failed", "sent"]).await;
    world.balances().await;
}

async fn the_next_channel_of_what_waited_for_its_time_is_found_after_a_restart(place: Place) {
    let (world, _, id) = first_channel_failed_when_due(place).await;
    let world = world.restart().await;
    world.expect_states(id, &["failed", "sent"]).await;
    world.balances().await;
}

async fn the_books_balance_while_the_next_channel_waits_for_its_turn_before_and_after_a_restart(place: Place) {
    let (world, texts, id) = first_channel_failed_when_due(place).await;
    world.balances().await;
    let pause = Some(Duration::from_secs(3600));
    texts.script([Script::Answer(Outcome::throttled("quota", pause))]);
    let world = world.restart().await;
    world.expect_states(id, &["failed", "scheduled"]).await;
    world.balances().await;
    assert_eq!(world.column(BookColumn::Scheduled).await, 2);
    world.advance(Duration::from_secs(3600)).await;
    world.expect_states(id, &["failed", "sent"]).await;
    world.until(async || (world.column(BookColumn::Scheduled).await == 0).then_some(())).await;
    world.balances().await;
}

async fn a_next_channel_that_is_cancelled_while_it_waits_for_its_turn_leaves_the_books_balanced(place: Place) {
    let (world, mails, _) = with_text_messages_paused(place).await;
    mails.script([gone()]);
    let mut request = fallback();
    request.deliver_at = Some(world.now() + Duration::from_secs(60));
    let id = world.send(request).await;
    world.expect_states(id, &["scheduled", "pending"]).await;
    world.advance(Duration::from_secs(60)).await;
    world.until(async || (mails.taken().len() == 1).then_some(())).await;
    world.states_when(id, |states| states[0] == "failed").await;
    let cancelled = world.engine.cancellations.cancel(id).await.expect("the store writes");
    assert_eq!(cancelled, Cancellation::Cancelled { stopped: 1, too_late: 1 });
    world.balances().await;
    assert_eq!(world.column(BookColumn::Scheduled).await, 1, "the one that waits for the end of the pause");
}

/// A world in which messages are to be confirmed within ten minutes, and one that was sent.
async fn sent_and_unconfirmed(place: Place) -> (World, Arc<TestProvider>, NotificationId) {
    let mut config = config::defaults();
    config.log.partitions = 1;
    for category in &mut config.categories {
        category.confirm_within = Some(Duration::from_secs(600));
    }
    let (mails, texts) = (TestProvider::new("mails", &[Channel::Email]), TestProvider::new("texts", &[Channel::Sms]));
    let world = World::start_with(place, config, vec![mails, texts.clone()]).await;
    let id = world.send(fallback()).await;
    world.expect_states(id, &["sent", "scheduled"]).await;
    world.balances().await;
    (world, texts, id)
}

async fn what_is_not_confirmed_in_time_goes_through_the_next_channel_after_a_restart_as_well(place: Place) {
    let (world, texts, id) = sent_and_unconfirmed(place).await;
    let world = world.restart().await;
    world.advance(Duration::from_secs(590)).await;
    let other = world.send(mail()).await;
    world.expect_states(other, &["sent"]).await;
    assert_eq!(texts.taken().len(), 0, "it may still be confirmed");
    world.advance(Duration::from_secs(11)).await;
    world.expect_states(id, &["sent", "sent"]).await;
    world.balances().await;
    assert_eq!(world.column(BookColumn::Scheduled).await, 0);
    assert_eq!(texts.taken().len(), 1);
}

async fn what_is_confirmed_in_time_goes_through_no_other_channel(place: Place) {
    let (world, texts, id) = sent_and_unconfirmed(place).await;
    let read = Event::new(world.story(id).await.expect("planned").plan.task_id(0), 1, EventKind::Read, world.now());
    let batch = WriteBatch { events: vec![read], ..WriteBatch::default() };
    world.store.write(id.0.shard, batch).await.expect("written");
    let world = world.restart().await;
    world.advance(Duration::from_secs(601)).await;
    world.expect_states(id, &["delivered", "skipped"]).await;
    world.balances().await;
    assert_eq!(world.column(BookColumn::SkippedDeliveredElsewhere).await, 1);
    assert_eq!(world.column(BookColumn::Scheduled).await, 0);
    assert_eq!(texts.taken().len(), 0);
}

async fn what_waits_for_its_confirmation_can_be_cancelled(place: Place) {
    let (world, texts, id) = sent_and_unconfirmed(place).await;
    let cancelled = world.engine.cancellations.cancel(id).await.expect("the store writes");
    assert_eq!(cancelled, Cancellation::Cancelled { stopped: 1, too_late: 1 });
    world.advance(Duration::from_secs(601)).await;
    world.expect_states(id, &["sent", "cancelled"]).await;
    world.balances().await;
    assert_eq!(texts.taken().len(), 0);
}
