//! A cancellation stops what has not been sent, and says truly what it did.

use std::time::Duration;

use fanfare::config;
use fanfare::domain::{Channel, NotificationId, NotificationRequest, Outcome, Routing};
use fanfare::outcomes::Cancellation;

use crate::world::{Place, Script, TestProvider, World, mail, on_both};

on_both! {
    what_waits_for_its_time_is_cancelled_and_never_sent
    what_was_sent_is_too_late_to_cancel
    a_send_under_way_is_waited_for_and_then_too_late
    the_channels_still_to_come_of_a_fallback_are_cancelled_too
    a_cancellation_whose_caller_goes_away_is_carried_out_all_the_same
    a_fallback_whose_send_takes_too_long_to_wait_for_ends_when_it_was_sent
    a_fallback_whose_send_takes_too_long_to_wait_for_goes_on_when_it_failed
    a_cancellation_that_waits_for_a_send_holds_no_other_up
}

async fn what_waits_for_its_time_is_cancelled_and_never_sent(place: Place) {
    let provider = TestProvider::new("mail", &[Channel::Email]);
    let world = World::start(place, vec![provider.clone()]).await;
    let mut request = mail();
    request.deliver_at = Some(world.now() + Duration::from_secs(3600));
    let id = world.send(request).await;
    world.expect_states(id, &["scheduled"]).await;
    let cancelled = world.engine.cancellations.cancel(id).await.expect("the store writes");
    assert_eq!(cancelled, Cancellation::Cancelled { stopped: 1, too_late: 0 });
    world.expect_states(id, &["cancelled"]).await;
    world.advance(Duration::from_secs(3601)).await;
    let after = world.send(mail()).await;
    world.expect_states(after, &["sent"]).await;
    assert_eq!(provider.taken().len(), 1, "only the one that was not cancelled");
    world.balances().await;
}

async fn what_was_sent_is_too_late_to_cancel(place: Place) {
    let provider = TestProvider::new("mail", &[Channel::Email]);
    let world = World::start(place, vec![provider]).await;
    let id = world.send(mail()).await;
    world.expect_states(id, &["sent"]).await;
    let cancelled = world.engine.cancellations.cancel(id).await.expect("the store reads");
    assert_eq!(cancelled, Cancellation::TooLate { too_late: 1 });
    world.expect_states(id, &["sent"]).await;
}

async fn a_send_under_way_is_waited_for_and_then_too_late(place: Place) {
    let provider = TestProvider::new("mail", &[Channel::Email]);
    provider.script([Script::Hang]);
    let world = World::start(place, vec![provider.clone()]).await;
    let id = world.send(mail()).await;
    world.until(async || (provider.taken().len() == 1).then_some(())).await;
    let cancelling = world.engine.cancellations.cancel(id);
    let releasing = async {
        tokio::task::yield_now().await;
        provider.release();
    };
    let (cancelled, ()) = tokio::join!(cancelling, releasing);
    assert_eq!(cancelled.expect("the store reads"), Cancellation::TooLate { too_late: 1 });
}

async fn the_channels_still_to_come_of_a_fallback_are_cancelled_too(place: Place) {
    let provider = TestProvider::new("all", &[Channel::Email, Channel::Sms]);
    let world = World::start(place, vec![provider]).await;
    let mut request = mail();
    request.to.phone = Some("+491701234567".into());
    request.channels = vec![Channel::Email, Channel::Sms];
    request.routing = Routing::Fallback;
    request.deliver_at = Some(world.now() + Duration::from_secs(60));
    let id = world.send(request).await;
    world.expect_states(id, &["scheduled", "pending"]).await;
    let cancelled = world.engine.cancellations.cancel(id).await.expect("the store writes");
    assert_eq!(cancelled, Cancellation::Cancelled { stopped: 2, too_late: 0 });
    world.expect_states(id, &["cancelled", "cancelled"]).await;
    world.balances().await;
}

/// To an address for mail and a number for text messages.
fn mail_and_text(routing: Routing) -> NotificationRequest {
    let mut request = mail();
    request.to.phone = Some("+491701234567".into());
    request.channels = vec![Channel::Email, Channel::Sms];
    request.routing = routing;
    request
}

fn busy() -> Script {
    Script::Answer(Outcome::Transient { reason: "busy".into(), retry_after: None, unreachable: false })
}

/// A mail that hangs with its provider, and a text message that is to be tried again in five seconds.
async fn half_sent(place: Place) -> (World, [std::sync::Arc<TestProvider>; 2], NotificationId) {
    let mails = TestProvider::new("mail", &[Channel::Email]);
    let texts = TestProvider::new("text", &[Channel::Sms]);
    mails.script([Script::Hang]);
    texts.script([busy()]);
    let mut config = config::defaults();
    config.log.partitions = 1;
    config.retry = config::Retry { delays: vec![Duration::from_secs(5); 3], jitter: 0.0 };
    let world = World::start_with(place, config, vec![mails.clone(), texts.clone()]).await;
    let id = world.send(mail_and_text(Routing::All)).await;
    world.expect_states(id, &["pending", "scheduled"]).await;
    world.until(async || (mails.taken().len() == 1).then_some(())).await;
    (world, [mails, texts], id)
}

async fn a_cancellation_whose_caller_goes_away_is_carried_out_all_the_same(place: Place) {
    let (world, [mails, texts], id) = half_sent(place).await;
    let given_up = tokio::time::timeout(Duration::from_millis(20), world.engine.cancellations.cancel(id)).await;
    assert!(given_up.is_err(), "it waits for the mail");
    mails.release();
    world.expect_states(id, &["sent", "cancelled"]).await;
    world.advance(Duration::from_secs(6)).await;
    world.balances().await;
    assert_eq!(texts.taken().len(), 1, "nothing was sent after the cancellation");
    world
        .until(async || (world.engine.ownership.shards().iter().all(|shard| shard.tracked() == 0)).then_some(()))
        .await;
}

/// On the embedded backends: only there can a test take the room to write away.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_cancellation_could_not_write_off_goes_on_to_be_sent() {
    let (world, [mails, texts], id) = half_sent(Place::embedded()).await;
    let mut marker = mail();
    marker.deliver_at = Some(world.now() + Duration::from_secs(5));
    let marker = world.send(marker).await;
    world.expect_states(marker, &["scheduled"]).await;
    let cancellations = world.engine.cancellations.clone();
    let cancelling = tokio::spawn(async move { cancellations.cancel(id).await });
    let shard = world.engine.ownership.shard(id.0.shard).expect("it is ours");
    world.until(async || shard.is_cancelled(id.0.offset).then_some(())).await;
    // The text message is due while it is being cancelled: its timer is used up.
    world.advance(Duration::from_secs(5)).await;
    world.expect_states(marker, &["sent"]).await;
    world.space.fill(true);
    world.advance(Duration::from_secs(11)).await;
    let failed = cancelling.await.expect("it ends");
    assert!(failed.is_err(), "nothing could be written: {failed:?}");
    world.space.fill(false);
    world.advance(Duration::from_secs(1)).await;
    mails.release();
    world.expect_states(id, &["sent", "sent"]).await;
    assert_eq!(texts.taken().len(), 2);
    world.balances().await;
}

async fn a_fallback_whose_send_takes_too_long_to_wait_for_ends_when_it_was_sent(place: Place) {
    check_slow_fallback(place, Outcome::Accepted { message_id: None }, ["sent", "skipped"]).await;
}

async fn a_fallback_whose_send_takes_too_long_to_wait_for_goes_on_when_it_failed(place: Place) {
    check_slow_fallback(place, Outcome::BadRequest { reason: "wrong".into() }, ["failed", "sent"]).await;
}

async fn check_slow_fallback(place: Place, answer: Outcome, expected: [&str; 2]) {
    let mails = TestProvider::new("mail", &[Channel::Email]);
    let texts = TestProvider::new("text", &[Channel::Sms]);
    mails.script([Script::HangThen(answer)]);
    let world = World::start(place, vec![mails.clone(), texts]).await;
    let id = world.send(mail_and_text(Routing::Fallback)).await;
    world.until(async || (mails.taken().len() == 1).then_some(())).await;
    let cancellations = world.engine.cancellations.clone();
    let cancelling = tokio::spawn(async move { cancellations.cancel(id).await });
    let shard = world.engine.ownership.shard(id.0.shard).expect("it is ours");
    world.until(async || shard.is_cancelled(id.0.offset).then_some(())).await;
    // It may not have come to wait for the time yet.
    world
        .until(async || {
            world.advance(Duration::from_secs(16)).await;
            cancelling.is_finished().then_some(())
        })
        .await;
    let cancelled = cancelling.await.expect("it ends").expect("the store reads");
    assert_eq!(cancelled, Cancellation::TooLate { too_late: 2 });
    mails.release();
    world.expect_states(id, &expected).await;
    world.balances().await;
}

async fn a_cancellation_that_waits_for_a_send_holds_no_other_up(place: Place) {
    let (world, [mails, _], id) = half_sent(place).await;
    let cancellations = world.engine.cancellations.clone();
    let cancelling = tokio::spawn(async move { cancellations.cancel(id).await });
    let shard = world.engine.ownership.shard(id.0.shard).expect("it is ours");
    world.until(async || shard.is_cancelled(id.0.offset).then_some(())).await;
    let mut request = mail();
    request.deliver_at = Some(world.now() + Duration::from_secs(60));
    let other = world.send(request).await;
    world.expect_states(other, &["scheduled"]).await;
    let cancelled = tokio::time::timeout(Duration::from_secs(5), world.engine.cancellations.cancel(other)).await;
    let cancelled = cancelled.expect("it does not wait for the other one").expect("the store writes");
    assert_eq!(cancelled, Cancellation::Cancelled { stopped: 1, too_late: 0 });
    mails.release();
    let cancelled = cancelling.await.expect("it ends").expect("the store writes");
    assert_eq!(cancelled, Cancellation::Cancelled { stopped: 1, too_late: 1 });
    let again = world.engine.cancellations.cancel(id).await.expect("the store reads");
    assert_eq!(again, cancelled, "asked again, it says the same");
}

/// On the embedded backends: only there can a test take the room to write away.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_that_was_confirmed_stands_though_a_second_one_fails() {
    let mails = TestProvider::new("mail", &[Channel::Email]);
    let mut config = config::defaults();
    config.log.partitions = 1;
    config.dispatch.backlog_max = 100;
    config.intake.batch_records = 100;
    let world = World::start_with(Place::embedded(), config, vec![mails.clone()]).await;
    mails.script(std::iter::repeat_n(Script::Hang, 64));
    // The backlog is full, so what comes then stays in the log.
    world.acceptor.accept((0..300).map(|_| mail()).collect()).await.expect("accepted");
    world.until(async || (world.engine.dispatch.room.backlog.ready() >= 100).then_some(())).await;
    let id = world.send(mail()).await;
    let confirmed = Cancellation::Cancelled { stopped: 0, too_late: 0 };
    assert_eq!(world.engine.cancellations.cancel(id).await.expect("the store writes"), confirmed);
    world.space.fill(true);
    world.advance(Duration::from_secs(1)).await;
    assert!(world.engine.cancellations.cancel(id).await.is_err(), "nothing can be written");
    world.space.fill(false);
    world.advance(Duration::from_secs(1)).await;
    mails.forget_script();
    mails.release();
    world
        .until(async || {
            world.advance(Duration::from_secs(1)).await;
            (mails.taken().len() >= 300).then_some(())
        })
        .await;
    world.until(async || world.story(id).await.map(|_| ())).await;
    world.until(async || (world.engine.dispatch.room.backlog.ready() == 0).then_some(())).await;
    assert!(mails.taken().iter().all(|message| message.task.position != id.0), "it was said to be cancelled");
    world.balances().await;
}
