//! A wall clock that is set back loses nothing and makes no pause longer.

use std::sync::Arc;
use std::time::Duration;

use fanfare::config;
use fanfare::domain::{Channel, NotificationId, Outcome};
use fanfare::store::timer_bucket;

use crate::world::{NOON, Place, Script, TestProvider, World, mail, on_both};

on_both! {
    a_retry_that_waits_in_its_lane_is_sent_when_its_time_has_come_again
    a_pause_that_a_provider_asked_for_ends_when_it_should
    what_is_due_after_the_clock_was_set_back_is_found_after_a_restart
}

const HOUR: Duration = Duration::from_secs(3600);

/// A world whose provider asked for a pause of so many seconds a moment ago; a retry has come due since, and waits in its lane.
async fn with_a_retry_behind_a_pause(place: Place, seconds: u64) -> (World, Arc<TestProvider>, NotificationId) {
    let provider = TestProvider::new("mail", &[Channel::Email]);
    let retry_after = Some(Duration::from_secs(seconds));
    provider.script([
        Script::Answer(Outcome::Transient { reason: "busy".into(), retry_after: None, unreachable: false }),
        Script::Answer(Outcome::throttled("quota", retry_after)),
    ]);
    let world = World::start(place, vec![provider.clone()]).await;
    let retry = world.send(mail()).await;
    world.expect_states(retry, &["scheduled"]).await;
    world.advance(Duration::from_secs(59)).await;
    let throttled = world.send(mail()).await;
    world.expect_states(throttled, &["scheduled"]).await;
    world.until(async || (world.engine.dispatch.room.backlog.ready() == 0).then_some(())).await;
    world.advance(Duration::from_secs(1)).await;
    world.until(async || (world.engine.dispatch.room.backlog.ready() == 1).then_some(())).await;
    (world, provider, retry)
}

async fn a_retry_that_waits_in_its_lane_is_sent_when_its_time_has_come_again(place: Place) {
    let (world, provider, retry) = with_a_retry_behind_a_pause(place, 5).await;
    world.clock.set_back(HOUR);
    // The pause ends, and the handle is looked at.
    for _ in 0..5 {
        world.advance(Duration::from_secs(1)).await;
    }
    world.until(async || (world.engine.dispatch.room.backlog.ready() == 0).then_some(())).await;
    assert_eq!(provider.taken().len(), 2);
    world.expect_states(retry, &["scheduled"]).await;
    world.balances().await;
    world.advance(HOUR).await;
    world.expect_states(retry, &["sent"]).await;
    world.until(async || (provider.taken().len() == 4).then_some(())).await;
    world.balances().await;
}

async fn a_pause_that_a_provider_asked_for_ends_when_it_should(place: Place) {
    let (world, _, _) = with_a_retry_behind_a_pause(place, 5).await;
    world.clock.set_back(HOUR);
    let other = world.send(mail()).await;
    world.advance(Duration::from_secs(5)).await;
    world.expect_states(other, &["sent"]).await;
}

async fn what_is_due_after_the_clock_was_set_back_is_found_after_a_restart(place: Place) {
    let provider = TestProvider::new("mail", &[Channel::Email]);
    let mut config = config::defaults();
    config.log.partitions = 1;
    // The audit must not be needed.
    config.compensation.interval = HOUR * 100;
    let world = World::start_with(place, config, vec![provider.clone()]).await;
    let first = world.send(mail()).await;
    world.expect_states(first, &["sent"]).await;
    world.advance(HOUR).await;
    world
        .until(async || {
            world.advance(Duration::from_millis(100)).await;
            (world.cursors(first).timer_bucket >= timer_bucket(NOON + HOUR)).then_some(())
        })
        .await;
    world.clock.set_back(HOUR);
    let mut request = mail();
    request.accepted_at = world.now();
    request.deliver_at = Some(world.now() + Duration::from_secs(600));
    let id = world.send(request).await;
    world.expect_states(id, &["scheduled"]).await;
    let world = world.restart().await;
    world.advance(HOUR * 2).await;
    world.expect_states(id, &["sent"]).await;
    world.balances().await;
}
