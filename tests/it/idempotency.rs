//! The same twice is once.

use fanfare::domain::{Channel, ClaimKey, Idempotency};
use fanfare::intake::AcceptError;

use crate::world::{TestProvider, World, mail};

fn retry(key: u128, body_hash: u64) -> Option<Idempotency> {
    Some(Idempotency { key: ClaimKey(key), body_hash })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retried_call_answers_the_same_and_sends_once_even_after_a_restart() {
    let provider = TestProvider::new("mail", &[Channel::Email]);
    let world = World::start(vec![provider.clone()]).await;
    let mut request = mail();
    request.idempotency = retry(1, 7);
    let first = world.send(request.clone()).await;
    assert_eq!(world.send(request.clone()).await, first);
    world.expect_states(first, &["sent"]).await;
    assert_eq!(world.send(request.clone()).await, first);
    let world = world.restart().await;
    assert_eq!(world.send(request).await, first);
    assert_eq!(provider.taken().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_key_with_another_body_is_a_conflict() {
    let provider = TestProvider::new("mail", &[Channel::Email]);
    let world = World::start(vec![provider]).await;
    let mut request = mail();
    request.idempotency = retry(1, 7);
    world.send(request.clone()).await;
    request.idempotency = retry(1, 8);
    let again = world.acceptor.accept(vec![request]).await;
    assert!(matches!(again, Err(AcceptError::Conflict { index: 0 })), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_business_key_makes_the_second_notification_a_skipped_one() {
    let provider = TestProvider::new("mail", &[Channel::Email]);
    let world = World::start(vec![provider.clone()]).await;
    let mut request = mail();
    request.dedup_key = Some("order-1".into());
    let first = world.send(request.clone()).await;
    world.expect_states(first, &["sent"]).await;
    let second = world.send(request).await;
    assert_ne!(first, second);
    let story = world.until(async || world.story(second).await).await;
    assert!(story.plan.tasks().is_empty());
    assert_eq!(provider.taken().len(), 1);
    world.balances().await;
}
