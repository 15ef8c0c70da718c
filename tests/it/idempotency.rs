//! The same twice is once.

use fanfare::domain::{Channel, ClaimKey, Idempotency, NotificationRequest, Source};
use fanfare::intake::AcceptError;

use crate::world::{Place, TestProvider, World, mail, on_both};

on_both! {
    a_retried_call_answers_the_same_and_sends_once_even_after_a_restart
    a_retry_key_with_another_body_is_a_conflict
    a_batch_holds_its_key_as_long_as_its_items_hold_theirs_even_after_a_restart
    a_business_key_makes_the_second_notification_a_skipped_one
}

/// No two tests have the same: see [`Place`].
fn retry(key: u128, body_hash: u64) -> Option<Idempotency> {
    Some(Idempotency { key: ClaimKey(key), body_hash, batch: None })
}

async fn a_retried_call_answers_the_same_and_sends_once_even_after_a_restart(place: Place) {
    let provider = TestProvider::new("mail", &[Channel::Email]);
    let world = World::start(place, vec![provider.clone()]).await;
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

async fn a_retry_key_with_another_body_is_a_conflict(place: Place) {
    let provider = TestProvider::new("mail", &[Channel::Email]);
    let world = World::start(place, vec![provider]).await;
    let mut request = mail();
    request.idempotency = retry(2, 7);
    world.send(request.clone()).await;
    request.idempotency = retry(2, 8);
    let again = world.acceptor.accept(vec![request]).await;
    assert!(matches!(again, Err(AcceptError::Conflict { index: 0 })), "{again:?}");
}

async fn a_batch_holds_its_key_as_long_as_its_items_hold_theirs_even_after_a_restart(place: Place) {
    let provider = TestProvider::new("mail", &[Channel::Email]);
    let world = World::start(place, vec![provider]).await;
    let accept = async |world: &World, item: u128, body_hash: u64| {
        let request = NotificationRequest { idempotency: retry(100 + item, body_hash), ..mail() };
        world.acceptor.accept_batch(vec![request], retry(99, body_hash)).await
    };
    let first = accept(&world, 0, 7).await.expect("accepted")[0].id;
    let is_conflict = |outcome| matches!(outcome, Err(AcceptError::Conflict { .. }));
    assert!(is_conflict(accept(&world, 1, 8).await), "waiting to be planned");
    world.expect_states(first, &["sent"]).await;
    assert!(is_conflict(accept(&world, 1, 8).await), "planned");
    let world = world.restart().await;
    assert!(is_conflict(accept(&world, 1, 8).await), "after a restart");
    let found = world.acceptor.find(&[retry(100, 7).expect("a key")], Source::Http).await.expect("the store reads");
    assert_eq!(found[0].map(|accepted| accepted.id), Some(first));
    // The rest of a batch that broke off is still taken.
    assert!(!accept(&world, 1, 7).await.expect("accepted")[0].repeated);
}

async fn a_business_key_makes_the_second_notification_a_skipped_one(place: Place) {
    let provider = TestProvider::new("mail", &[Channel::Email]);
    let world = World::start(place, vec![provider.clone()]).await;
    let mut request = mail();
    request.dedup_key = Some(world.place.own("order-1").into());
    let first = world.send(request.clone()).await;
    world.expect_states(first, &["sent"]).await;
    let second = world.send(request).await;
    assert_ne!(first, second);
    let story = world.until(async || world.story(second).await).await;
    assert!(story.plan.tasks().is_empty());
    assert_eq!(provider.taken().len(), 1);
    world.balances().await;
}
