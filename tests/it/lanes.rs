//! A lower lane cannot delay a higher one, and one endpoint cannot hold the slots of all.

use fanfare::config;
use fanfare::domain::{Channel, NotificationRequest, Priority, Recipient};

use crate::world::{Place, Script, TestProvider, World, mail, on_both};

on_both! {
    critical_tasks_pass_a_backlog_that_a_hanging_provider_holds
    a_full_backlog_stays_in_the_log_and_drains_when_there_is_room
}

fn webhook(url: &str, priority: Priority) -> NotificationRequest {
    let mut request = mail();
    request.to = Recipient { url: Some(url.into()), ..Recipient::default() };
    request.channels = vec![Channel::Webhook];
    request.priority = priority;
    request
}

async fn critical_tasks_pass_a_backlog_that_a_hanging_provider_holds(place: Place) {
    let provider = TestProvider::new("hooks", &[Channel::Webhook]);
    let world = World::start(place, vec![provider.clone()]).await;
    provider.script(std::iter::repeat_n(Script::Hang, 60));
    let backlog = (0..500).map(|_| webhook("http://slow.example/", Priority::Low)).collect();
    world.acceptor.accept(backlog).await.expect("accepted");
    // All slots that low tasks may have of one endpoint are taken, and hang.
    let held = world.endpoint_in_flight();
    world.until(async || (provider.taken().len() >= held).then_some(())).await;
    provider.forget_script();
    let urgent = world.send(webhook("http://other.example/", Priority::Critical)).await;
    world.expect_states(urgent, &["sent"]).await;
    let elsewhere = world.send(webhook("http://third.example/", Priority::Normal)).await;
    world.expect_states(elsewhere, &["sent"]).await;
    assert_eq!(provider.taken().len(), held + 2, "the hanging endpoint was given no more than its share");
}

async fn a_full_backlog_stays_in_the_log_and_drains_when_there_is_room(place: Place) {
    let provider = TestProvider::new("hooks", &[Channel::Webhook]);
    let mut config = config::defaults();
    config.log.partitions = 1;
    config.dispatch.backlog_max = 1000;
    config.intake.batch_records = 100;
    let world = World::start_with(place, config, vec![provider.clone()]).await;
    provider.script(std::iter::repeat_n(Script::Hang, 60));
    let requests = |count: usize| (0..count).map(|_| webhook("http://slow.example/", Priority::Low)).collect();
    for _ in 0..4 {
        world.acceptor.accept(requests(500)).await.expect("accepted");
    }
    world.until(async || (world.engine.dispatch.room.backlog.ready() >= 600).then_some(())).await;
    assert!(world.engine.dispatch.room.backlog.ready() <= 900, "the low lane stops short of the whole");
    provider.forget_script();
    provider.release();
    world.until(async || (provider.taken().len() >= 2000).then_some(())).await;
    world.until(async || (world.engine.dispatch.room.backlog.ready() == 0).then_some(())).await;
    world.balances().await;
}
