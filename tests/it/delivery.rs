//! From accepted to the provider.

use std::time::Duration;

use fanfare::domain::{Channel, Outcome, Routing};

use crate::world::{Place, Script, TestProvider, World, mail, on_both};

on_both! {
    what_is_accepted_reaches_the_provider_once
    a_send_that_failed_is_tried_again_after_one_two_and_four_minutes
    a_fallback_goes_to_the_next_channel_when_one_refuses
    a_provider_that_panics_leaves_its_task_in_doubt_and_not_lost
    a_task_that_waits_for_its_time_is_sent_then_even_after_a_restart
    tasks_of_a_channel_that_no_provider_serves_any_more_fail_or_go_to_the_next
    a_refused_task_waits_for_the_other_provider_and_asks_the_first_one_once
}

async fn what_is_accepted_reaches_the_provider_once(place: Place) {
    let provider = TestProvider::new("mail", &[Channel::Email]);
    let world = World::start(place, vec![provider.clone()]).await;
    let id = world.send(mail()).await;
    world.expect_states(id, &["sent"]).await;
    let taken = provider.taken();
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].parts.title, "Hello");
    assert_eq!(taken[0].task.notification(), id);
}

async fn a_send_that_failed_is_tried_again_after_one_two_and_four_minutes(place: Place) {
    let provider = TestProvider::new("mail", &[Channel::Email]);
    provider.script([Script::transient(), Script::transient(), Script::transient(), Script::transient()]);
    let world = World::start(place, vec![provider.clone()]).await;
    let id = world.send(mail()).await;
    for (tries, minutes) in [(1, 1), (2, 2), (3, 4)] {
        world.expect_states(id, &["scheduled"]).await;
        world.until(async || (provider.taken().len() == tries).then_some(())).await;
        world.advance(Duration::from_secs(minutes * 60 - 1)).await;
        assert_eq!(provider.taken().len(), tries, "not before its time");
        world.advance(Duration::from_secs(1)).await;
        world.until(async || (provider.taken().len() == tries + 1).then_some(())).await;
    }
    world.expect_states(id, &["failed"]).await;
    let letters = world.some_dead_letters("default").await;
    assert_eq!(letters.len(), 1);
}

async fn a_fallback_goes_to_the_next_channel_when_one_refuses(place: Place) {
    let provider = TestProvider::new("all", &[Channel::Email, Channel::Sms]);
    provider.script([Script::Answer(Outcome::BadRequest { reason: "wrong".into() })]);
    let world = World::start(place, vec![provider.clone()]).await;
    let mut request = mail();
    request.to.phone = Some("+491701234567".into());
    request.channels = vec![Channel::Email, Channel::Sms];
    request.routing = Routing::Fallback;
    let id = world.send(request).await;
    world.expect_states(id, &["failed", "sent"]).await;
    let channels: Vec<_> = provider.taken().iter().map(|message| message.channel).collect();
    assert_eq!(channels, [Channel::Email, Channel::Sms]);
}

async fn a_provider_that_panics_leaves_its_task_in_doubt_and_not_lost(place: Place) {
    let provider = TestProvider::new("mail", &[Channel::Email]);
    provider.script([Script::Panic]);
    let world = World::start(place, vec![provider.clone()]).await;
    let id = world.send(mail()).await;
    world.expect_states(id, &["scheduled"]).await;
    world.advance(Duration::from_secs(60)).await;
    world.expect_states(id, &["sent"]).await;
}

async fn a_task_that_waits_for_its_time_is_sent_then_even_after_a_restart(place: Place) {
    let provider = TestProvider::new("mail", &[Channel::Email]);
    let world = World::start(place, vec![provider.clone()]).await;
    let mut request = mail();
    request.deliver_at = Some(world.now() + Duration::from_secs(3600));
    let id = world.send(request).await;
    world.expect_states(id, &["scheduled"]).await;
    let world = world.restart().await;
    world.advance(Duration::from_secs(3599)).await;
    assert!(provider.taken().is_empty());
    world.advance(Duration::from_secs(1)).await;
    world.expect_states(id, &["sent"]).await;
    assert_eq!(provider.taken().len(), 1);
}

async fn tasks_of_a_channel_that_no_provider_serves_any_more_fail_or_go_to_the_next(place: Place) {
    let mails = TestProvider::new("mail", &[Channel::Email]);
    let texts = TestProvider::new("text", &[Channel::Sms]);
    let world = World::start(place, vec![mails.clone(), texts]).await;
    let later = Some(world.now() + Duration::from_secs(60));
    let mut request = mail();
    request.to.phone = Some("+491701234567".into());
    request.deliver_at = later;
    request.channels = vec![Channel::Sms, Channel::Email];
    request.routing = Routing::Fallback;
    let fallback = world.send(request.clone()).await;
    request.channels = vec![Channel::Sms];
    request.routing = Routing::All;
    let alone = world.send(request).await;
    world.expect_states(fallback, &["scheduled", "pending"]).await;
    world.expect_states(alone, &["scheduled"]).await;
    let world = world.restart_with_providers(vec![mails]).await;
    world.advance(Duration::from_secs(61)).await;
    world.expect_states(fallback, &["failed", "sent"]).await;
    world.expect_states(alone, &["failed"]).await;
    let letters = world.some_dead_letters("default").await;
    assert_eq!(letters.iter().map(|letter| letter.key.task.position).collect::<Vec<_>>(), [alone.0]);
    world.balances().await;
    world.until(async || world.engine.ownership.shards().iter().all(|shard| shard.tracked() == 0).then_some(())).await;
}

async fn a_refused_task_waits_for_the_other_provider_and_asks_the_first_one_once(place: Place) {
    // One slot each for what is not critical; the second provider's is taken by the first message.
    let refusing = TestProvider::with_slots("first", &[Channel::Email], 2);
    let busy = TestProvider::with_slots("second", &[Channel::Email], 2);
    refusing.script((0..1000).map(|_| Script::transient()));
    busy.script([Script::Hang]);
    let world = World::start(place, vec![refusing.clone(), busy.clone()]).await;
    let first = world.send(mail()).await;
    world.until(async || (busy.taken().len() == 1).then_some(())).await;
    let mut waiting = Vec::new();
    for count in 2..=3 {
        waiting.push(world.send(mail()).await);
        world.until(async || (refusing.taken().len() >= count).then_some(())).await;
    }
    // As many wait as there are slots; with one more, the answer stands.
    let scheduled = world.send(mail()).await;
    world.expect_states(scheduled, &["scheduled"]).await;
    busy.release();
    for id in waiting.into_iter().chain([first]) {
        world.expect_states(id, &["sent"]).await;
    }
    assert_eq!((refusing.taken().len(), busy.taken().len()), (4, 3));
    world.balances().await;
}
