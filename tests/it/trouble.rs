//! The path around trouble: a provider that fails, hangs, refuses our credentials or is new costs no message.

use std::sync::Arc;
use std::time::Duration;

use fanfare::config;
use fanfare::domain::{
    Address, Channel, Event, EventKind, NotificationId, NotificationRequest, Outcome, Priority, Routing, TaskState,
    Whose,
};
use fanfare::store::WriteBatch;

use crate::world::{Place, Script, TestProvider, World, mail, on_both};

on_both! {
    what_a_provider_cannot_be_reached_for_goes_through_the_other_and_comes_back_when_it_does
    a_provider_that_only_fails_is_left_alone_until_it_is_well
    a_provider_that_hangs_is_left_alone_and_the_others_go_on
    what_is_critical_and_in_doubt_goes_through_the_other_within_seconds
    wrong_credentials_move_the_message_over_and_burn_no_attempt
    wrong_credentials_of_the_only_provider_keep_the_message_until_they_are_right
    a_message_that_the_provider_finds_wrong_again_and_again_stops_no_other
    wrong_credentials_give_the_next_channel_of_a_fallback_its_turn
    an_endpoint_that_refuses_us_keeps_only_its_own_waiting
    a_recipient_that_gets_too_many_waits_alone
    a_canary_gets_its_share_and_nothing_critical
    what_no_provider_takes_any_more_fails_at_once_and_keeps_nothing_waiting
    what_goes_to_one_room_does_not_wait_behind_another
    a_provider_whose_receipts_stay_away_gets_a_trickle
    two_accounts_of_one_kind_are_two_providers
}

const MAIL: &[Channel] = &[Channel::Email];

async fn world(place: Place, providers: &[Arc<TestProvider>]) -> World {
    let mut config = config::defaults();
    config.log.partitions = 1;
    config.retry.jitter = 0.0;
    config.dispatch.breaker_failures = 3;
    config.dispatch.breaker_pause = Duration::from_secs(5);
    World::start_with(place, config, providers.to_vec()).await
}

fn unreachable() -> Script {
    Script::Answer(Outcome::Transient { reason: "refused".into(), retry_after: None, unreachable: true })
}

fn misconfigured() -> Script {
    Script::Answer(Outcome::Config { reason: "401".into() })
}

async fn send_all(world: &World, count: usize, request: impl Fn() -> NotificationRequest) -> Vec<NotificationId> {
    let accepted = world.acceptor.accept((0..count).map(|_| request()).collect()).await.expect("accepted");
    accepted.into_iter().map(|accepted| accepted.id).collect()
}

async fn all_are_sent(world: &World, ids: &[NotificationId]) {
    for id in ids {
        world.expect_states(*id, &["sent"]).await;
    }
}

/// The attempt of each event that says it was sent.
async fn attempts(world: &World, id: NotificationId) -> Vec<u8> {
    let story = world.until(async || world.story(id).await).await;
    story.events.iter().filter(|event| event.kind == EventKind::Sent).map(|event| event.attempt).collect()
}

async fn what_a_provider_cannot_be_reached_for_goes_through_the_other_and_comes_back_when_it_does(place: Place) {
    let (ill, well) = (TestProvider::new("ill", MAIL), TestProvider::new("well", MAIL));
    ill.script((0..1000).map(|_| unreachable()));
    let world = world(place, &[ill.clone(), well.clone()]).await;
    for _ in 0..6 {
        all_are_sent(&world, &send_all(&world, 10, mail).await).await;
        world.advance(Duration::from_secs(5)).await;
    }
    assert_eq!(well.taken().len(), 60, "every message went, at once, through the other");
    ill.forget_script();
    let before = ill.taken().len();
    assert!(before < 30, "{before} were tried with it while it was out");
    world
        .until(async || {
            all_are_sent(&world, &send_all(&world, 10, mail).await).await;
            world.advance(Duration::from_secs(5)).await;
            (ill.taken().len() >= before + 20).then_some(())
        })
        .await;
    world.balances().await;
}

async fn a_provider_that_only_fails_is_left_alone_until_it_is_well(place: Place) {
    let (ill, well) = (TestProvider::new("ill", MAIL), TestProvider::new("well", MAIL));
    let failing = || Script::Answer(Outcome::Transient { reason: "503".into(), retry_after: None, unreachable: false });
    ill.script((0..1000).map(|_| failing()));
    let world = world(place, &[ill.clone(), well.clone()]).await;
    for _ in 0..10 {
        all_are_sent(&world, &send_all(&world, 10, mail).await).await;
    }
    assert_eq!(well.taken().len(), 100, "every message went, at once, through the other");
    let asked = ill.taken().len();
    assert!((3..=15).contains(&asked), "{asked} were tried with it before it was left");
    ill.forget_script();
    world
        .until(async || {
            all_are_sent(&world, &send_all(&world, 10, mail).await).await;
            world.advance(Duration::from_secs(5)).await;
            (ill.taken().len() >= asked + 20).then_some(())
        })
        .await;
    world.balances().await;
}

async fn what_is_critical_and_in_doubt_goes_through_the_other_within_seconds(place: Place) {
    let hanging = TestProvider::with_settings("hanging", MAIL, "timeout = \"200ms\"");
    let well = TestProvider::new("well", MAIL);
    hanging.script((0..1000).map(|_| Script::Hang));
    let world = world(place, &[hanging.clone(), well.clone()]).await;
    let critical = || NotificationRequest { priority: Priority::Critical, ..mail() };
    let ids = send_all(&world, 20, critical).await;
    for id in &ids {
        world.states_when(*id, |states| states != ["pending"]).await;
    }
    assert!(!hanging.taken().is_empty());
    world.advance(Duration::from_secs(2)).await;
    all_are_sent(&world, &ids).await;
    world.balances().await;
}

async fn a_provider_that_hangs_is_left_alone_and_the_others_go_on(place: Place) {
    let hanging = TestProvider::with_settings("hanging", MAIL, "timeout = \"200ms\"");
    let well = TestProvider::new("well", MAIL);
    hanging.script((0..1000).map(|_| Script::Hang));
    let world = world(place, &[hanging.clone(), well.clone()]).await;
    let first = send_all(&world, 20, mail).await;
    for id in &first {
        world.states_when(*id, |states| states != ["pending"]).await;
    }
    let asked = hanging.taken().len();
    all_are_sent(&world, &send_all(&world, 50, mail).await).await;
    assert_eq!(hanging.taken().len(), asked, "its breaker is open: nothing waits for it");
    hanging.forget_script();
    world.advance(Duration::from_secs(120)).await;
    for id in &first {
        world.expect_states(*id, &["sent"]).await;
    }
    world.balances().await;
}

async fn wrong_credentials_move_the_message_over_and_burn_no_attempt(place: Place) {
    let (wrong, well) = (TestProvider::new("wrong", MAIL), TestProvider::new("well", MAIL));
    wrong.script((0..1000).map(|_| misconfigured()));
    let world = world(place, &[wrong.clone(), well.clone()]).await;
    let mut ids = send_all(&world, 1, mail).await;
    ids.extend(send_all(&world, 1, mail).await);
    all_are_sent(&world, &ids).await;
    ids.extend(send_all(&world, 20, mail).await);
    all_are_sent(&world, &ids).await;
    for id in ids {
        assert_eq!(attempts(&world, id).await, [1]);
    }
    let asked = wrong.taken().len();
    assert!((3..=12).contains(&asked), "{asked}: those that were on their way when it refused a third one");
    all_are_sent(&world, &send_all(&world, 20, mail).await).await;
    assert_eq!(wrong.taken().len(), asked, "it is left alone");
    world.balances().await;
}

async fn wrong_credentials_of_the_only_provider_keep_the_message_until_they_are_right(place: Place) {
    let only = TestProvider::new("only", MAIL);
    only.script((0..1000).map(|_| misconfigured()));
    let world = world(place, std::slice::from_ref(&only)).await;
    let ids = send_all(&world, 1, mail).await;
    // More often than there are attempts.
    for _ in 0..6 {
        world.expect_states(ids[0], &["scheduled"]).await;
        world.advance(Duration::from_secs(60)).await;
    }
    only.forget_script();
    world
        .until(async || {
            world.advance(Duration::from_secs(60)).await;
            let story = world.story(ids[0]).await?;
            (story.states() == [TaskState::Sent]).then_some(())
        })
        .await;
    assert_eq!(attempts(&world, ids[0]).await, [1]);
    world.balances().await;
}

async fn a_message_that_the_provider_finds_wrong_again_and_again_stops_no_other(place: Place) {
    let only = TestProvider::new("only", MAIL);
    let world = world(place, std::slice::from_ref(&only)).await;
    only.script([misconfigured()]);
    let poison = send_all(&world, 1, mail).await;
    for round in 1..=5 {
        world.expect_states(poison[0], &["scheduled"]).await;
        all_are_sent(&world, &send_all(&world, 5, mail).await).await;
        only.script([misconfigured()]);
        world.advance(Duration::from_secs(60)).await;
        world.until(async || (only.taken().len() == round * 6 + 1).then_some(())).await;
    }
    world.expect_states(poison[0], &["scheduled"]).await;
    world.balances().await;
}

async fn wrong_credentials_give_the_next_channel_of_a_fallback_its_turn(place: Place) {
    let (wrong, well) = (TestProvider::new("wrong", MAIL), TestProvider::new("well", &[Channel::Sms]));
    wrong.script((0..1000).map(|_| misconfigured()));
    let world = world(place, &[wrong.clone(), well.clone()]).await;
    let mut request = mail();
    request.to.phone = Some("+491701234567".into());
    request.channels = vec![Channel::Email, Channel::Sms];
    request.routing = Routing::Fallback;
    let id = world.send(request).await;
    for _ in 0..4 {
        world.expect_states(id, &["scheduled", "pending"]).await;
        world.advance(Duration::from_secs(60)).await;
    }
    assert_eq!(well.taken().len(), 0, "the settings may be put right within five minutes");
    world
        .until(async || {
            world.advance(Duration::from_secs(60)).await;
            (!well.taken().is_empty()).then_some(())
        })
        .await;
    world.expect_states(id, &["failed", "sent"]).await;
    world.balances().await;
}

async fn an_endpoint_that_refuses_us_keeps_only_its_own_waiting(place: Place) {
    let only = TestProvider::new("only", &[Channel::Webhook]);
    only.script((0..20).map(|_| misconfigured()));
    let world = world(place, std::slice::from_ref(&only)).await;
    let hook = |url: &str| {
        let mut request = mail();
        request.to.url = Some(url.into());
        request.channels = vec![Channel::Webhook];
        request
    };
    let refused = send_all(&world, 20, || hook("https://a.example.com/")).await;
    for id in &refused[..3] {
        world.expect_states(*id, &["scheduled"]).await;
    }
    only.forget_script();
    all_are_sent(&world, &send_all(&world, 20, || hook("https://b.example.com/")).await).await;
    world
        .until(async || {
            world.advance(Duration::from_secs(20)).await;
            for id in &refused {
                if world.story(*id).await?.states() != [TaskState::Sent] {
                    return None;
                }
            }
            Some(())
        })
        .await;
    world.balances().await;
}

async fn a_recipient_that_gets_too_many_waits_alone(place: Place) {
    let only = TestProvider::new("only", MAIL);
    let reason = "too many for one number".into();
    let throttled = Outcome::Throttled { reason, retry_after: None, whose: Whose::Recipient };
    only.script([Script::Answer(throttled)]);
    let world = world(place, std::slice::from_ref(&only)).await;
    let first = send_all(&world, 1, mail).await;
    world.expect_states(first[0], &["scheduled"]).await;
    all_are_sent(&world, &send_all(&world, 20, mail).await).await;
    world.advance(Duration::from_secs(59)).await;
    world.expect_states(first[0], &["scheduled"]).await;
    world.advance(Duration::from_secs(2)).await;
    all_are_sent(&world, &first).await;
    assert_eq!(attempts(&world, first[0]).await, [1]);
    world.balances().await;
}

async fn a_canary_gets_its_share_and_nothing_critical(place: Place) {
    let old = TestProvider::new("old", MAIL);
    let new = TestProvider::with_settings("new", MAIL, "canary = 0.1\nweight = 50");
    let world = world(place, &[old.clone(), new.clone()]).await;
    all_are_sent(&world, &send_all(&world, 200, mail).await).await;
    assert_eq!((old.taken().len(), new.taken().len()), (180, 20));
    let critical = || NotificationRequest { priority: Priority::Critical, ..mail() };
    all_are_sent(&world, &send_all(&world, 50, critical).await).await;
    assert_eq!((old.taken().len(), new.taken().len()), (230, 20));
    world.balances().await;
}

fn chat(name: &str) -> NotificationRequest {
    let mut request = mail();
    request.to.email = None;
    request.to.chat = Some(name.into());
    request.channels = vec![Channel::Chat];
    request
}

fn is_room(address: &Address, name: &str) -> bool {
    matches!(address, Address::Chat(chat) if **chat == *name)
}

async fn what_no_provider_takes_any_more_fails_at_once_and_keeps_nothing_waiting(place: Place) {
    let rooms = || {
        let a = TestProvider::that_takes("room-a", &[Channel::Chat], |address| is_room(address, "room-a"));
        let b = TestProvider::that_takes("room-b", &[Channel::Chat], |address| is_room(address, "room-b"));
        [a, b]
    };
    let world = world(place, &rooms()).await;
    let deliver_at = Some(world.now() + Duration::from_secs(60));
    let later = |name: &str| NotificationRequest { deliver_at, ..chat(name) };
    let (gone, there) = (world.send(later("room-a")).await, world.send(later("room-b")).await);
    world.expect_states(gone, &["scheduled"]).await;
    world.expect_states(there, &["scheduled"]).await;
    let [_, b] = rooms();
    let world = world.restart_with_providers(vec![b.clone()]).await;
    world.advance(Duration::from_secs(60)).await;
    world.expect_states(gone, &["failed"]).await;
    world.expect_states(there, &["sent"]).await;
    let unknown = world.send(NotificationRequest { accepted_at: world.now(), ..chat("room-a") }).await;
    let story = world.until(async || world.story(unknown).await).await;
    assert!(story.plan.tasks().is_empty(), "it is not even planned");
    world.balances().await;
}

async fn what_goes_to_one_room_does_not_wait_behind_another(place: Place) {
    let a = TestProvider::that_takes("room-a", &[Channel::Chat], |address| is_room(address, "room-a"));
    let b = TestProvider::that_takes("room-b", &[Channel::Chat], |address| is_room(address, "room-b"));
    a.script([Script::Answer(Outcome::throttled("20 a minute", Some(Duration::from_secs(1000))))]);
    let world = world(place, &[a.clone(), b.clone()]).await;
    let first = world.send(chat("room-a")).await;
    world.expect_states(first, &["scheduled"]).await;
    let waiting = send_all(&world, 1500, || chat("room-a")).await;
    let others = send_all(&world, 20, || chat("room-b")).await;
    all_are_sent(&world, &others).await;
    assert_eq!(a.taken().len(), 1);
    world.advance(Duration::from_secs(1000)).await;
    world.until(async || (a.taken().len() == 1502).then_some(())).await;
    all_are_sent(&world, &waiting[1480..]).await;
    all_are_sent(&world, &[first]).await;
    world.balances().await;
}

async fn a_provider_whose_receipts_stay_away_gets_a_trickle(place: Place) {
    let settings = "late_receipts = { within = \"60s\", share = 0.5 }";
    let late = TestProvider::with_settings("late", MAIL, settings).sending_receipts();
    let well = TestProvider::with_settings("well", MAIL, settings).sending_receipts();
    let world = world(place, &[late.clone(), well.clone()]).await;
    // Of those that `well` took a receipt comes, of the others none.
    let tick = async || {
        let before = (late.taken().len(), well.taken().len());
        let ids = send_all(&world, 10, mail).await;
        all_are_sent(&world, &ids).await;
        for id in ids {
            let story = world.until(async || world.story(id).await).await;
            if story.events.iter().any(|event| event.provider.as_deref() == Some("well")) {
                let delivered = Event::new(story.plan.task_id(0), 1, EventKind::Delivered, world.now());
                let batch = WriteBatch { events: vec![delivered], ..WriteBatch::default() };
                world.store.write(id.0.shard, batch).await.expect("the store writes");
            }
        }
        world.advance(Duration::from_secs(2)).await;
        (late.taken().len() - before.0, well.taken().len() - before.1)
    };
    assert_eq!(tick().await, (5, 5));
    world.until(async || (tick().await == (0, 10)).then_some(())).await;
}

async fn two_accounts_of_one_kind_are_two_providers(place: Place) {
    let (first, second) = (TestProvider::new("account-1", MAIL), TestProvider::new("account-2", MAIL));
    let world = world(place, &[first.clone(), second.clone()]).await;
    all_are_sent(&world, &send_all(&world, 40, mail).await).await;
    assert_eq!((first.taken().len(), second.taken().len()), (20, 20));
    first.script((0..40).map(|_| Script::Answer(Outcome::throttled("one account's", Some(Duration::from_secs(3600))))));
    all_are_sent(&world, &send_all(&world, 40, mail).await).await;
    assert_eq!(second.taken().len(), 60, "all of the second half");
    world.balances().await;
}
