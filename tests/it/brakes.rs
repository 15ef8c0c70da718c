//! What is stopped by hand waits or is taken back, and everything else goes on.

use std::sync::Arc;
use std::time::Duration;

use fanfare::config;
use fanfare::domain::{
    BrakeEffect, BrakeKind, BrakeScope, Channel, NotificationId, NotificationRequest, Outcome, Priority, Routing,
};
use fanfare::outcomes::Cancellation;
use fanfare::store::BookColumn;

use crate::world::{Place, Script, TestProvider, World, mail, on_both};

on_both! {
    what_is_paused_waits_while_others_go_on_and_each_is_sent_once_after_a_resume
    what_waits_in_the_lanes_when_it_is_paused_makes_room_for_what_is_behind_it
    what_is_held_is_held_after_a_restart_and_sent_by_a_resume_after_it
    what_was_resumed_while_nobody_worked_is_sent_after_the_start
    what_expires_while_it_is_held_expires
    what_is_recalled_is_cancelled_and_what_comes_later_is_sent
    what_waits_for_its_time_is_recalled_at_once_and_not_only_then
    what_is_held_may_be_recalled_or_cancelled
    a_paused_provider_leaves_its_share_to_the_others_and_without_others_all_waits
    what_one_provider_refuses_is_tried_again_where_the_others_are_paused
    what_waits_for_another_provider_that_is_paused_then_is_tried_again
    a_provider_that_one_tenant_paused_keeps_no_other_tenant_waiting
    a_paused_channel_of_a_fallback_waits_and_goes_on_when_it_is_resumed
    a_recalled_channel_of_a_fallback_leaves_the_turn_to_the_next
    what_has_a_time_of_its_own_is_held_when_that_comes
}

/// Each test has a tenant of its own: all tests of a process share the table of brakes.
struct Braked {
    world: World,
    tenant: Box<str>,
}

impl Braked {
    async fn start(place: Place, providers: Vec<Arc<TestProvider>>) -> Self {
        Self::start_with(1, place, providers).await
    }

    async fn start_with(partitions: u16, place: Place, providers: Vec<Arc<TestProvider>>) -> Self {
        let tenant = place.own("tenant").into();
        let mut config = config::defaults();
        config.log.partitions = partitions;
        config.retry.jitter = 0.0;
        Self { world: World::start_with(place, config, providers).await, tenant }
    }

    fn mail(&self, category: &str) -> NotificationRequest {
        let accepted_at = self.world.now();
        let category = Some(category.into());
        // Nobody sleeps at noon.
        NotificationRequest {
            tenant: self.tenant.clone(),
            category,
            accepted_at,
            dedup_window_seconds: Some(0),
            ..mail()
        }
    }

    async fn send(&self, category: &str) -> NotificationId {
        self.world.send(self.mail(category)).await
    }

    async fn change(&self, kind: BrakeKind, name: &str, effect: BrakeEffect, is_on: bool) {
        let scope = BrakeScope { tenant: self.tenant.clone(), kind, name: name.into() };
        let changed = self.world.brakes.change(scope, effect, is_on, self.world.now(), None).await;
        changed.expect("the store writes");
    }

    async fn pause(&self, kind: BrakeKind, name: &str) {
        self.change(kind, name, BrakeEffect::Pause, true).await;
    }

    async fn resume(&self, kind: BrakeKind, name: &str) {
        self.change(kind, name, BrakeEffect::Pause, false).await;
    }

    async fn recall(&self, kind: BrakeKind, name: &str) {
        self.change(kind, name, BrakeEffect::Recall, true).await;
    }

    async fn restart(self) -> Self {
        Self { world: self.world.restart().await, tenant: self.tenant }
    }
}

fn mails() -> Arc<TestProvider> {
    TestProvider::new("mails", &[Channel::Email])
}

#[track_caller]
fn assert_given_once(provider: &TestProvider, ids: &[NotificationId]) {
    for id in ids {
        let times = provider.taken().iter().filter(|message| message.task.notification() == *id).count();
        assert_eq!(times, 1, "{id:?}");
    }
}

async fn what_is_paused_waits_while_others_go_on_and_each_is_sent_once_after_a_resume(place: Place) {
    let mails = mails();
    let braked = Braked::start(place, vec![mails.clone()]).await;
    braked.pause(BrakeKind::Category, "marketing").await;
    let mut held = Vec::new();
    for _ in 0..5 {
        held.push(braked.send("marketing").await);
    }
    let free = braked.send("social").await;
    braked.world.expect_states(free, &["sent"]).await;
    for id in &held {
        braked.world.expect_states(*id, &["scheduled"]).await;
    }
    let story = braked.world.story(held[0]).await.expect("it is planned");
    assert!(story.is_held(0) && story.events.is_empty(), "it was planned as held: {story:?}");
    braked.world.balances().await;
    assert_eq!(mails.taken().len(), 1);
    braked.resume(BrakeKind::Category, "marketing").await;
    for id in &held {
        braked.world.expect_states(*id, &["sent"]).await;
    }
    braked.world.balances().await;
    assert_eq!(braked.world.column(BookColumn::Scheduled).await, 0);
    assert_given_once(&mails, &held);
}

async fn what_waits_in_the_lanes_when_it_is_paused_makes_room_for_what_is_behind_it(place: Place) {
    let mails = TestProvider::with_slots("mails", &[Channel::Email], 4);
    mails.script(std::iter::repeat_n(Script::Hang, 4));
    let braked = Braked::start(place, vec![mails.clone()]).await;
    let mut first = Vec::new();
    for _ in 0..2 {
        first.push(braked.send("social").await);
    }
    braked.world.until(async || (!mails.taken().is_empty()).then_some(())).await;
    let mut paused = Vec::new();
    for _ in 0..20 {
        paused.push(braked.send("marketing").await);
    }
    let behind = braked.send("social").await;
    let story = |id| braked.world.story(id);
    braked.world.until(async || story(behind).await.map(|_| ())).await;
    braked.pause(BrakeKind::Category, "marketing").await;
    let sent_before = async || {
        let mut taken = 0;
        for id in &paused {
            taken += usize::from(mails.taken().iter().any(|message| message.task.notification() == *id));
        }
        taken
    };
    let in_hand = sent_before().await;
    let releasing = braked.world.until(async || {
        mails.release();
        (braked.world.story(behind).await?.states()[0].name() == "sent").then_some(())
    });
    releasing.await;
    braked.world.balances().await;
    assert_eq!(sent_before().await, in_hand, "only what the provider had already");
    assert_eq!(braked.world.column(BookColumn::Scheduled).await, (20 - in_hand) as i64);
    braked.resume(BrakeKind::Category, "marketing").await;
    for id in &paused {
        braked.world.expect_states(*id, &["sent"]).await;
    }
    assert_given_once(&mails, &paused);
    braked.world.balances().await;
}

async fn what_is_held_is_held_after_a_restart_and_sent_by_a_resume_after_it(place: Place) {
    let mails = mails();
    let braked = Braked::start(place, vec![mails.clone()]).await;
    braked.pause(BrakeKind::Channel, "email").await;
    let id = braked.send("social").await;
    braked.world.expect_states(id, &["scheduled"]).await;
    let braked = braked.restart().await;
    let later = braked.send("social").await;
    braked.world.expect_states(later, &["scheduled"]).await;
    braked.world.advance(Duration::from_secs(10)).await;
    assert_eq!(mails.taken().len(), 0);
    braked.resume(BrakeKind::Channel, "email").await;
    braked.world.expect_states(id, &["sent"]).await;
    braked.world.expect_states(later, &["sent"]).await;
    assert_given_once(&mails, &[id, later]);
    braked.world.balances().await;
}

async fn what_was_resumed_while_nobody_worked_is_sent_after_the_start(place: Place) {
    let mails = mails();
    let braked = Braked::start(place, vec![mails.clone()]).await;
    braked.pause(BrakeKind::Category, "social").await;
    let id = braked.send("social").await;
    braked.world.expect_states(id, &["scheduled"]).await;
    // The engine ends before it hears of it.
    braked.world.engine.drain().await;
    braked.resume(BrakeKind::Category, "social").await;
    let braked = braked.restart().await;
    // Shards that were taken over are looked through within a second.
    let sent = braked.world.until(async || {
        braked.world.advance(Duration::from_millis(100)).await;
        (braked.world.story(id).await?.states()[0].name() == "sent").then_some(())
    });
    sent.await;
    assert_given_once(&mails, &[id]);
    braked.world.balances().await;
}

async fn what_expires_while_it_is_held_expires(place: Place) {
    let mails = mails();
    let braked = Braked::start(place, vec![mails.clone()]).await;
    braked.pause(BrakeKind::Category, "social").await;
    let mut request = braked.mail("social");
    request.expires_at = Some(braked.world.now() + Duration::from_secs(60));
    let id = braked.world.send(request).await;
    braked.world.expect_states(id, &["scheduled"]).await;
    braked.world.advance(Duration::from_secs(61)).await;
    braked.world.expect_states(id, &["expired"]).await;
    braked.world.balances().await;
    assert_eq!(mails.taken().len(), 0);
}

async fn what_is_recalled_is_cancelled_and_what_comes_later_is_sent(place: Place) {
    let mails = mails();
    let pause = Outcome::throttled("quota", Some(Duration::from_secs(30)));
    mails.script([Script::Answer(pause)]);
    let braked = Braked::start(place, vec![mails.clone()]).await;
    let first = braked.send("social").await;
    braked.world.expect_states(first, &["scheduled"]).await;
    let waiting = braked.send("social").await;
    let other = braked.send("transactional").await;
    braked.world.expect_states(waiting, &["pending"]).await;
    braked.recall(BrakeKind::Category, "social").await;
    braked.world.advance(Duration::from_secs(1)).await;
    let after = braked.send("social").await;
    braked.world.advance(Duration::from_secs(31)).await;
    braked.world.expect_states(waiting, &["cancelled"]).await;
    braked.world.expect_states(first, &["cancelled"]).await;
    braked.world.expect_states(other, &["sent"]).await;
    braked.world.expect_states(after, &["sent"]).await;
    braked.world.balances().await;
    assert_eq!(braked.world.column(BookColumn::Cancelled).await, 2);
    assert_eq!(braked.world.column(BookColumn::Scheduled).await, 0);
}

async fn what_waits_for_its_time_is_recalled_at_once_and_not_only_then(place: Place) {
    let mails = mails();
    let braked = Braked::start(place, vec![mails.clone()]).await;
    let mut request = braked.mail("social");
    request.deliver_at = Some(braked.world.now() + Duration::from_secs(7200));
    let id = braked.world.send(request.clone()).await;
    request.category = Some("transactional".into());
    let other = braked.world.send(request).await;
    braked.world.expect_states(id, &["scheduled"]).await;
    braked.world.expect_states(other, &["scheduled"]).await;
    braked.recall(BrakeKind::Category, "social").await;
    braked.world.expect_states(id, &["cancelled"]).await;
    braked.world.expect_states(other, &["scheduled"]).await;
    braked.world.balances().await;
    braked.world.advance(Duration::from_secs(7201)).await;
    braked.world.expect_states(other, &["sent"]).await;
    assert_eq!(mails.taken().len(), 1);
}

async fn what_is_held_may_be_recalled_or_cancelled(place: Place) {
    let mails = mails();
    let braked = Braked::start(place, vec![mails.clone()]).await;
    braked.pause(BrakeKind::Category, "social").await;
    let [cancelled, recalled] = [braked.send("social").await, braked.send("social").await];
    braked.world.expect_states(cancelled, &["scheduled"]).await;
    braked.world.expect_states(recalled, &["scheduled"]).await;
    let answer = braked.world.engine.cancellations.cancel(cancelled).await.expect("the store writes");
    assert_eq!(answer, Cancellation::Cancelled { stopped: 1, too_late: 0 });
    braked.recall(BrakeKind::Category, "social").await;
    braked.world.expect_states(recalled, &["cancelled"]).await;
    braked.world.balances().await;
    braked.resume(BrakeKind::Category, "social").await;
    braked.world.advance(Duration::from_secs(1)).await;
    let after = braked.send("social").await;
    braked.world.expect_states(after, &["sent"]).await;
    assert_eq!(mails.taken().len(), 1);
    assert_eq!(braked.world.column(BookColumn::Cancelled).await, 2);
}

async fn a_paused_provider_leaves_its_share_to_the_others_and_without_others_all_waits(place: Place) {
    let (one, two) = (TestProvider::new("one", &[Channel::Email]), TestProvider::new("two", &[Channel::Email]));
    let braked = Braked::start(place, vec![one.clone(), two.clone()]).await;
    braked.pause(BrakeKind::Provider, "one").await;
    let mut sent = Vec::new();
    for _ in 0..6 {
        sent.push(braked.send("social").await);
    }
    for id in &sent {
        braked.world.expect_states(*id, &["sent"]).await;
    }
    assert_eq!((one.taken().len(), two.taken().len()), (0, 6));
    braked.pause(BrakeKind::Provider, "two").await;
    let id = braked.send("social").await;
    braked.world.expect_states(id, &["scheduled"]).await;
    braked.resume(BrakeKind::Provider, "one").await;
    braked.world.expect_states(id, &["sent"]).await;
    assert_eq!((one.taken().len(), two.taken().len()), (1, 6));
    braked.world.balances().await;
}

async fn what_one_provider_refuses_is_tried_again_where_the_others_are_paused(place: Place) {
    let (one, two) = (TestProvider::new("one", &[Channel::Email]), TestProvider::new("two", &[Channel::Email]));
    one.script([Script::transient()]);
    let braked = Braked::start(place, vec![one.clone(), two.clone()]).await;
    braked.pause(BrakeKind::Provider, "two").await;
    let id = braked.send("social").await;
    braked.world.expect_states(id, &["scheduled"]).await;
    braked.world.advance(Duration::from_secs(60)).await;
    braked.world.expect_states(id, &["sent"]).await;
    assert_eq!((one.taken().len(), two.taken().len()), (2, 0));
    braked.world.balances().await;
}

async fn what_waits_for_another_provider_that_is_paused_then_is_tried_again(place: Place) {
    // One slot each for what is not critical.
    let one = TestProvider::with_slots("one", &[Channel::Email], 2);
    let two = TestProvider::with_slots("two", &[Channel::Email], 2);
    one.script([Script::transient(), Script::transient()]);
    two.script([Script::Hang]);
    let braked = Braked::start(place, vec![one.clone(), two.clone()]).await;
    let first = braked.send("social").await;
    braked.world.until(async || (two.taken().len() == 1).then_some(())).await;
    let waiting = braked.send("social").await;
    let refused = |id| one.taken().iter().any(|message| message.task.notification() == id);
    braked.world.until(async || refused(waiting).then_some(())).await;
    braked.pause(BrakeKind::Provider, "two").await;
    two.release();
    braked.world.expect_states(first, &["sent"]).await;
    braked.world.expect_states(waiting, &["scheduled"]).await;
    braked.world.advance(Duration::from_secs(60)).await;
    braked.world.expect_states(waiting, &["sent"]).await;
    assert_eq!((one.taken().len(), two.taken().len()), (3, 1));
    braked.world.balances().await;
}

async fn a_provider_that_one_tenant_paused_keeps_no_other_tenant_waiting(place: Place) {
    let (one, two) =
        (TestProvider::new("one", &[Channel::Email]), TestProvider::with_slots("two", &[Channel::Email], 1));
    two.script(std::iter::repeat_n(Script::Hang, 3));
    let braked = Braked::start(place, vec![one.clone(), two.clone()]).await;
    braked.pause(BrakeKind::Provider, "one").await;
    // The first takes the only slot of the provider that is left; the others wait for it.
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.push(braked.send("social").await);
        braked.world.until(async || (two.taken().len() == 1).then_some(())).await;
    }
    let others = (0..3).map(|_| NotificationRequest { tenant: "default".into(), ..braked.mail("social") }).collect();
    let others = braked.world.acceptor.accept(others).await.expect("accepted");
    for other in &others {
        braked.world.expect_states(other.id, &["sent"]).await;
    }
    assert_eq!((one.taken().len(), two.taken().len()), (3, 1));
    let released = braked.world.until(async || {
        two.release();
        (two.taken().len() == 3).then_some(())
    });
    released.await;
    two.release();
    for id in &waiting {
        braked
            .world
            .until(async || {
                two.release();
                (braked.world.story(*id).await?.states()[0].name() == "sent").then_some(())
            })
            .await;
    }
    let given: Vec<NotificationId> = two.taken().iter().map(|message| message.task.notification()).collect();
    assert_eq!(given, waiting, "in their order");
    braked.world.balances().await;
}

async fn a_paused_channel_of_a_fallback_waits_and_goes_on_when_it_is_resumed(place: Place) {
    let (mails, texts) = (mails(), TestProvider::new("texts", &[Channel::Sms]));
    mails.script([Script::Answer(Outcome::dead("gone"))]);
    let braked = Braked::start(place, vec![mails, texts.clone()]).await;
    braked.pause(BrakeKind::Channel, "sms").await;
    let mut request = braked.mail("transactional");
    request.to.phone = Some("+491701234567".into());
    request.channels = vec![Channel::Email, Channel::Sms];
    request.routing = Routing::Fallback;
    request.priority = Priority::Critical;
    let id = braked.world.send(request).await;
    braked.world.expect_states(id, &["failed", "scheduled"]).await;
    braked.world.balances().await;
    let braked = braked.restart().await;
    braked.world.expect_states(id, &["failed", "scheduled"]).await;
    braked.resume(BrakeKind::Channel, "sms").await;
    braked.world.expect_states(id, &["failed", "sent"]).await;
    braked.world.balances().await;
    assert_eq!(texts.taken().len(), 1);
}

async fn a_recalled_channel_of_a_fallback_leaves_the_turn_to_the_next(place: Place) {
    let (mails, texts) = (mails(), TestProvider::new("texts", &[Channel::Sms]));
    let pause = Outcome::throttled("quota", Some(Duration::from_secs(30)));
    mails.script([Script::Answer(pause)]);
    let braked = Braked::start(place, vec![mails.clone(), texts.clone()]).await;
    let mut request = braked.mail("transactional");
    request.to.phone = Some("+491701234567".into());
    request.channels = vec![Channel::Email, Channel::Sms];
    request.routing = Routing::Fallback;
    let waiting = braked.world.send(request.clone()).await;
    braked.world.expect_states(waiting, &["scheduled", "pending"]).await;
    braked.pause(BrakeKind::Category, "social").await;
    request.category = Some("social".into());
    let held = braked.world.send(request).await;
    braked.world.expect_states(held, &["scheduled", "pending"]).await;
    braked.recall(BrakeKind::Channel, "email").await;
    braked.resume(BrakeKind::Category, "social").await;
    // Lanes are looked at again when their provider has paused enough.
    braked.world.advance(Duration::from_secs(31)).await;
    braked.world.expect_states(held, &["cancelled", "sent"]).await;
    braked.world.expect_states(waiting, &["cancelled", "sent"]).await;
    assert_eq!((mails.taken().len(), texts.taken().len()), (1, 2));
    braked.world.balances().await;
    assert_eq!(braked.world.column(BookColumn::Cancelled).await, 2);
    assert_eq!(braked.world.column(BookColumn::Waiting).await, 0);
}

async fn what_has_a_time_of_its_own_is_held_when_that_comes(place: Place) {
    let mails = mails();
    let braked = Braked::start(place, vec![mails.clone()]).await;
    braked.pause(BrakeKind::Category, "social").await;
    let mut request = braked.mail("social");
    let due = braked.world.now() + Duration::from_secs(60);
    request.deliver_at = Some(due);
    let id = braked.world.send(request).await;
    braked.world.expect_states(id, &["scheduled"]).await;
    braked.world.advance(Duration::from_secs(61)).await;
    let held = braked.world.until(async || {
        let story = braked.world.story(id).await?;
        story.is_held(0).then_some(())
    });
    held.await;
    assert_eq!(mails.taken().len(), 0);
    braked.resume(BrakeKind::Category, "social").await;
    braked.world.expect_states(id, &["sent"]).await;
    braked.world.balances().await;
    assert_eq!(braked.world.column(BookColumn::Scheduled).await, 0);
}

/// What one node is told, another goes by.
#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_go_by_a_brake_that_one_of_them_was_told_of() {
    let Some(place) = Place::on_services().await else { return };
    let provider = mails();
    let first = Braked::start_with(2, place, vec![provider.clone()]).await;
    let second = Braked { world: first.world.another().await, tenant: first.tenant.clone() };
    let shards = |braked: &Braked| braked.world.engine.ownership.shards().len();
    let both = [&first.world, &second.world];
    let shared_out = first.world.until(async || {
        for node in both {
            node.advance(Duration::from_millis(50)).await;
        }
        (shards(&first) > 0 && shards(&second) > 0 && shards(&first) + shards(&second) == 8).then_some(())
    });
    shared_out.await;
    first.pause(BrakeKind::Category, "social").await;
    first.world.advance(Duration::from_secs(2)).await;
    let known = first.world.until(async || {
        first.world.advance(Duration::from_millis(100)).await;
        second.world.brakes.set().concerns(&second.tenant).then_some(())
    });
    known.await;
    let mut ids = Vec::new();
    for priority in Priority::ALL {
        let request = NotificationRequest { priority, ..first.mail("social") };
        ids.push(first.world.send(request).await);
    }
    for id in &ids {
        first.world.expect_states(*id, &["scheduled"]).await;
    }
    assert_eq!(provider.taken().len(), 0);
    second.resume(BrakeKind::Category, "social").await;
    for id in &ids {
        let sent = first.world.until(async || {
            first.world.advance(Duration::from_millis(100)).await;
            (first.world.story(*id).await?.states()[0].name() == "sent").then_some(())
        });
        sent.await;
    }
    assert_given_once(&provider, &ids);
}
