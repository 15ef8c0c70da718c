//! A cancellation stops what has not been sent, and says truly what it did.

use std::time::Duration;

use fanfare::domain::{Channel, Routing};
use fanfare::outcomes::Cancellation;

use crate::world::{Script, TestProvider, World, mail};

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_its_time_is_cancelled_and_never_sent() {
    let provider = TestProvider::new("mail", &[Channel::Email]);
    let world = World::start(vec![provider.clone()]).await;
    let mut request = mail();
    request.deliver_at = Some(world.now() + Duration::from_secs(3600));
    let id = world.send(request).await;
    world.expect_states(id, &["scheduled"]).await;
    let cancelled = world.engine.cancellations.cancel(id).await.expect("the store writes");
    assert_eq!(cancelled, Cancellation::Cancelled { stopped: 1 });
    world.expect_states(id, &["cancelled"]).await;
    world.advance(Duration::from_secs(3601)).await;
    let after = world.send(mail()).await;
    world.expect_states(after, &["sent"]).await;
    assert_eq!(provider.taken().len(), 1, "only the one that was not cancelled");
    world.balances().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_is_too_late_to_cancel() {
    let provider = TestProvider::new("mail", &[Channel::Email]);
    let world = World::start(vec![provider]).await;
    let id = world.send(mail()).await;
    world.expect_states(id, &["sent"]).await;
    assert_eq!(world.engine.cancellations.cancel(id).await.expect("the store reads"), Cancellation::TooLate);
    world.expect_states(id, &["sent"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_send_under_way_is_waited_for_and_then_too_late() {
    let provider = TestProvider::new("mail", &[Channel::Email]);
    provider.script([Script::Hang]);
    let world = World::start(vec![provider.clone()]).await;
    let id = world.send(mail()).await;
    world.until(async || (provider.taken().len() == 1).then_some(())).await;
    let cancelling = world.engine.cancellations.cancel(id);
    let releasing = async {
        tokio::task::yield_now().await;
        provider.release();
    };
    let (cancelled, ()) = tokio::join!(cancelling, releasing);
    assert_eq!(cancelled.expect("the store reads"), Cancellation::TooLate);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_channels_still_to_come_of_a_fallback_are_cancelled_too() {
    let provider = TestProvider::new("all", &[Channel::Email, Channel::Sms]);
    let world = World::start(vec![provider]).await;
    let mut request = mail();
    request.to.phone = Some("+491701234567".into());
    request.channels = vec![Channel::Email, Channel::Sms];
    request.routing = Routing::Fallback;
    request.deliver_at = Some(world.now() + Duration::from_secs(60));
    let id = world.send(request).await;
    world.expect_states(id, &["scheduled", "pending"]).await;
    let cancelled = world.engine.cancellations.cancel(id).await.expect("the store writes");
    assert_eq!(cancelled, Cancellation::Cancelled { stopped: 2 });
    world.expect_states(id, &["cancelled", "cancelled"]).await;
    world.balances().await;
}
