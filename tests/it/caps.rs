//! How much a user gets: reminders of one type, messages of a category, and all together; only what was sent counts.

use std::sync::Arc;
use std::time::Duration;

use fanfare::config::{self, Config};
use fanfare::domain::{
    Channel, Content, Disposition, NotificationId, NotificationRequest, Outcome, Priority, SkipReason,
};
use fanfare::store::BookColumn;

use crate::world::{Place, Script, TestProvider, World, mail, on_both};

on_both! {
    the_second_reminder_within_a_day_is_skipped
    a_reminder_that_was_cancelled_or_failed_makes_room_for_another
    a_daily_cap_is_exact_however_many_come_at_once
    what_a_user_got_is_remembered_over_a_restart
    what_a_day_cannot_pay_for_waits_for_the_next_or_is_skipped
}

const HOUR: Duration = Duration::from_secs(3600);

async fn world(place: Place, change: impl FnOnce(&mut Config)) -> (World, Arc<TestProvider>) {
    let provider = TestProvider::new("mail", &[Channel::Email]);
    let mut config = config::defaults();
    config.log.partitions = 1;
    config.retry.jitter = 0.0;
    change(&mut config);
    (World::start_with(place, config, vec![provider.clone()]).await, provider)
}

fn to(world: &World, user_id: &str, category: &str) -> NotificationRequest {
    NotificationRequest {
        user_id: Some(world.place.own(user_id).into()),
        category: Some(category.into()),
        dedup_window_seconds: Some(0),
        accepted_at: world.now(),
        ..mail()
    }
}

/// What became of a notification: `sent`, or why it was not.
async fn fate(world: &World, id: NotificationId) -> &'static str {
    let story = world.until(async || world.story(id).await).await;
    match &story.plan.disposition {
        Disposition::Skipped(SkipReason::Fatigue) => "fatigue",
        Disposition::Skipped(SkipReason::DailyCap) => "daily_cap",
        Disposition::Skipped(reason) => panic!("skipped: {reason:?}"),
        Disposition::Merged { into } => panic!("merged into {into:?}"),
        Disposition::Tasks(_) => world.states_when(id, |states| states != ["pending"]).await[0],
    }
}

async fn the_second_reminder_within_a_day_is_skipped(place: Place) {
    let (world, provider) = world(place, |_| ()).await;
    let reminder = || to(&world, "alice", "reminder");
    let first = world.send(reminder()).await;
    assert_eq!(fate(&world, first).await, "sent");
    let second = world.send(reminder()).await;
    let inline = Content::Inline { title: "t".into(), body: "b".into(), html: None, sms: None };
    let other = world.send(NotificationRequest { content: inline, ..reminder() }).await;
    let anybody = world.send(to(&world, "bob", "reminder")).await;
    assert_eq!(fate(&world, second).await, "fatigue");
    assert_eq!(fate(&world, other).await, "sent", "it is of another type");
    assert_eq!(fate(&world, anybody).await, "sent", "it is somebody else's");
    world.advance(24 * HOUR).await;
    let next_day = world.send(reminder()).await;
    assert_eq!(fate(&world, next_day).await, "sent");
    assert_eq!(provider.taken().len(), 4);
    assert_eq!(world.column(BookColumn::SkippedFatigue).await, 1);
    world.balances().await;
}

async fn a_reminder_that_was_cancelled_or_failed_makes_room_for_another(place: Place) {
    let (world, provider) = world(place, |_| ()).await;
    let mut later = to(&world, "alice", "reminder");
    later.deliver_at = Some(world.now() + 2 * HOUR);
    let scheduled = world.send(later).await;
    world.expect_states(scheduled, &["scheduled"]).await;
    let meanwhile = world.send(to(&world, "alice", "reminder")).await;
    assert_eq!(fate(&world, meanwhile).await, "fatigue", "what is still to be sent counts");
    world.engine.cancellations.cancel(scheduled).await.expect("the store writes");
    provider.script([Script::Answer(Outcome::BadRequest { reason: "no".into() })]);
    let failing = world.send(to(&world, "alice", "reminder")).await;
    assert_eq!(fate(&world, failing).await, "failed", "the one that was cancelled does not count");
    let last = world.send(to(&world, "alice", "reminder")).await;
    assert_eq!(fate(&world, last).await, "sent", "nor does the one that failed");
    let too_many = world.send(to(&world, "alice", "reminder")).await;
    assert_eq!(fate(&world, too_many).await, "fatigue");
    world.balances().await;
}

async fn a_daily_cap_is_exact_however_many_come_at_once(place: Place) {
    let (world, provider) = world(place, |config| config.fatigue.daily_cap = Some(5)).await;
    let mut requests = Vec::new();
    for number in 0..60 {
        let priority = if number % 2 == 0 { Priority::High } else { Priority::Low };
        let category = if number % 3 == 0 { "marketing" } else { "social" };
        let user_id = if number % 4 == 0 { "alice" } else { "bob" };
        requests.push(NotificationRequest { priority, ..to(&world, user_id, category) });
    }
    let accepted = world.acceptor.accept(requests).await.expect("accepted");
    let mut sent = 0;
    for accepted in accepted {
        sent += usize::from(fate(&world, accepted.id).await == "sent");
    }
    assert_eq!((sent, provider.taken().len()), (10, 10), "five for each of the two");
    assert_eq!(world.column(BookColumn::SkippedDailyCap).await, 50);
    world.balances().await;
}

async fn what_a_user_got_is_remembered_over_a_restart(place: Place) {
    let (world, _) = world(place, |_| ()).await;
    for _ in 0..3 {
        let id = world.send(to(&world, "alice", "marketing")).await;
        assert_eq!(fate(&world, id).await, "sent");
    }
    let world = world.restart_after(HOUR).await;
    let fourth = world.send(to(&world, "alice", "marketing")).await;
    assert_eq!(fate(&world, fourth).await, "daily_cap");
    let world = world.restart_after(23 * HOUR).await;
    let next_day = world.send(to(&world, "alice", "marketing")).await;
    assert_eq!(fate(&world, next_day).await, "sent");
}

/// Four messages a day, which is one of UTC; it is noon.
async fn what_a_day_cannot_pay_for_waits_for_the_next_or_is_skipped(place: Place) {
    let provider = TestProvider::with_cost("mail", &[Channel::Email], 0.25);
    let mut config = config::defaults();
    config.log.partitions = 1;
    let category = place.own("ads").to_lowercase();
    let marketing = config.categories.iter().find(|category| category.name == "marketing").expect("shipped").clone();
    let paid = config::Category {
        name: category.clone(),
        ignores_quiet_hours: true,
        daily_cap: None,
        budget_per_day: Some(1.0),
        ..marketing
    };
    config.categories.push(paid);
    let world = World::start_with(place, config, vec![provider.clone()]).await;
    let ad = |world: &World, user: &str| to(world, user, &category);
    for user in ["a", "b", "c"] {
        let id = world.send(ad(&world, user)).await;
        assert_eq!(fate(&world, id).await, "sent");
    }
    let world = world.restart().await;
    let fourth = world.send(ad(&world, "d")).await;
    assert_eq!(fate(&world, fourth).await, "sent", "what is left of the day's money outlives a restart");
    let fifth = world.send(ad(&world, "e")).await;
    assert_eq!(fate(&world, fifth).await, "scheduled");
    let soon = NotificationRequest { expires_at: Some(world.now() + 6 * HOUR), ..ad(&world, "f") };
    let sixth = world.send(soon).await;
    let story = world.until(async || world.story(sixth).await).await;
    assert_eq!(story.plan.disposition, Disposition::Skipped(SkipReason::Budget));
    let free = world.send(to(&world, "g", "marketing")).await;
    assert_eq!(fate(&world, free).await, "sent", "another category has its own");
    world.advance(12 * HOUR).await;
    world.expect_states(fifth, &["sent"]).await;
    assert_eq!((provider.taken().len(), world.column(BookColumn::SkippedBudget).await), (6, 1));
    world.balances().await;
}
