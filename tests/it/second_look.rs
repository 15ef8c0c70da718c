//! What waited is looked at again before it is sent, and what is learnt of addresses that are gone counts for the next message.

use std::sync::Arc;
use std::time::Duration;

use fanfare::domain::{
    AddressKind, Channel, Device, Disposition, NotificationId, NotificationRequest, Outcome, Platform, QuietChoice,
    QuietHours, Recipient, Routing, SkipReason, TimeOfDay, UserEntry,
};
use fanfare::store::BookColumn;

use crate::world::{NOON, Place, Script, TestProvider, World, mail, on_both};

on_both! {
    what_was_switched_off_suppressed_or_erased_while_it_waited_is_not_sent
    what_comes_due_in_quiet_hours_that_are_new_waits_for_their_end
    the_next_channel_has_its_turn_where_the_first_was_switched_off
    the_next_channel_is_looked_at_as_well_where_the_first_was_switched_off
    what_a_second_look_stops_takes_nothing_of_the_providers_rate
    what_waits_for_a_slot_for_long_is_looked_at_again
    what_was_accepted_before_its_user_was_erased_is_not_planned
    a_dead_token_and_a_hard_bounce_are_remembered
}

const HOUR: Duration = Duration::from_secs(3600);

async fn world(place: Place) -> (World, [Arc<TestProvider>; 3]) {
    let providers = [
        TestProvider::new("mails", &[Channel::Email]),
        TestProvider::new("texts", &[Channel::Sms]),
        TestProvider::new("pushes", &[Channel::Push]),
    ];
    (World::start(place, providers.to_vec()).await, providers)
}

fn to(world: &World, user_id: &str, category: &str) -> NotificationRequest {
    NotificationRequest {
        to: Recipient::default(),
        user_id: Some(world.place.own(user_id).into()),
        category: Some(category.into()),
        channels: Vec::new(),
        dedup_window_seconds: Some(0),
        accepted_at: world.now(),
        ..mail()
    }
}

/// In two hours.
async fn later(world: &World, mut request: NotificationRequest) -> NotificationId {
    request.deliver_at = Some(world.now() + 2 * HOUR);
    let id = world.send(request).await;
    world.states_when(id, |states| states.first() == Some(&"scheduled")).await;
    id
}

fn email(text: &str) -> UserEntry {
    UserEntry::Email(Some(text.into()))
}

fn off(category: &str, channel: Channel) -> UserEntry {
    UserEntry::Preference { category: category.into(), channel, enabled: Some(false) }
}

/// The reason that the events of the first task give.
async fn reason(world: &World, id: NotificationId) -> String {
    let story = world.story(id).await.expect("planned");
    let events = story.history(0);
    events.last().and_then(|event| event.reason.clone()).unwrap_or_default().into()
}

async fn what_was_switched_off_suppressed_or_erased_while_it_waited_is_not_sent(place: Place) {
    let (world, [mails, ..]) = world(place).await;
    for user in ["off", "gone", "erased", "stays"] {
        world.know(user, [email(&format!("{}@example.com", world.place.own(user).to_lowercase()))]).await;
    }
    let mut waiting = Vec::new();
    for user in ["off", "gone", "erased", "stays"] {
        waiting.push(later(&world, to(&world, user, "social")).await);
    }
    world.know("off", [off("social", Channel::Email)]).await;
    let gone = format!("{}@example.com", world.place.own("gone").to_lowercase());
    world.suppress(AddressKind::Email, &gone).await;
    world.know("erased", [UserEntry::Email(None), UserEntry::Erased(Some(world.now()))]).await;
    world.advance(2 * HOUR).await;
    let [off, gone, erased, stays] = [0, 1, 2, 3].map(|index| waiting[index]);
    for (id, expected) in [(off, "no_consent"), (gone, "suppressed"), (erased, "erased")] {
        world.expect_states(id, &["skipped"]).await;
        assert_eq!(reason(&world, id).await, expected);
    }
    world.expect_states(stays, &["sent"]).await;
    assert_eq!(mails.taken().len(), 1);
    let columns = [BookColumn::SkippedNoConsent, BookColumn::SkippedSuppressed, BookColumn::SkippedErased];
    for column in columns {
        assert_eq!(world.column(column).await, 1, "{column:?}");
    }
    assert_eq!(world.column(BookColumn::Scheduled).await, 0);
    world.balances().await;
}

async fn what_comes_due_in_quiet_hours_that_are_new_waits_for_their_end(place: Place) {
    let (world, [mails, ..]) = world(place).await;
    world.know("alice", [email("a@example.com")]).await;
    let id = later(&world, to(&world, "alice", "social")).await;
    let at = |hour| TimeOfDay::new(hour, 0).expect("a time");
    let quiet = QuietHours::new(at(13), at(16)).expect("a window");
    world.know("alice", [UserEntry::QuietHours(QuietChoice::Own(quiet))]).await;
    world.advance(2 * HOUR).await;
    let four = NOON + 4 * HOUR;
    world
        .until(async || {
            let story = world.story(id).await?;
            story.history(0).iter().any(|event| event.due == Some(four)).then_some(())
        })
        .await;
    assert_eq!((mails.taken().len(), world.column(BookColumn::Scheduled).await), (0, 1));
    world.advance(2 * HOUR).await;
    world.expect_states(id, &["sent"]).await;
    world.balances().await;
}

async fn the_next_channel_has_its_turn_where_the_first_was_switched_off(place: Place) {
    let (world, [mails, texts, _]) = world(place).await;
    world.know("alice", [email("a@example.com"), UserEntry::Phone(Some("+4930123456".into()))]).await;
    let request = NotificationRequest {
        channels: vec![Channel::Email, Channel::Sms],
        routing: Routing::Fallback,
        ..to(&world, "alice", "social")
    };
    let id = later(&world, request).await;
    world.know("alice", [off("social", Channel::Email)]).await;
    world.advance(2 * HOUR).await;
    world.expect_states(id, &["skipped", "sent"]).await;
    assert_eq!((mails.taken().len(), texts.taken().len()), (0, 1));
    assert_eq!(world.dead_letters("default").await.len(), 0, "nothing failed");
    world.balances().await;
}

async fn the_next_channel_is_looked_at_as_well_where_the_first_was_switched_off(place: Place) {
    let (world, [mails, texts, _]) = world(place).await;
    world.know("alice", [email("a@example.com"), UserEntry::Phone(Some("+4930123456".into()))]).await;
    let request = NotificationRequest {
        channels: vec![Channel::Email, Channel::Sms],
        routing: Routing::Fallback,
        ..to(&world, "alice", "social")
    };
    let id = later(&world, request).await;
    world.know("alice", [off("social", Channel::Email), off("social", Channel::Sms)]).await;
    world.advance(2 * HOUR).await;
    world.expect_states(id, &["skipped", "skipped"]).await;
    assert_eq!((mails.taken().len(), texts.taken().len()), (0, 0));
    assert_eq!(world.column(BookColumn::SkippedNoConsent).await, 2);
    world.balances().await;
}

async fn what_a_second_look_stops_takes_nothing_of_the_providers_rate(place: Place) {
    // By the clock of the test, which stands still when they are due, there is one token.
    let mails = TestProvider::with_rate("mails", &[Channel::Email], 1.0);
    let world = World::start(place, vec![mails.clone()]).await;
    for user in ["off", "stays"] {
        world.know(user, [email(&format!("{}@example.com", world.place.own(user).to_lowercase()))]).await;
    }
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.push(later(&world, to(&world, "off", "social")).await);
    }
    let stays = later(&world, to(&world, "stays", "social")).await;
    world.know("off", [off("social", Channel::Email)]).await;
    world.advance(2 * HOUR).await;
    for id in waiting {
        world.expect_states(id, &["skipped"]).await;
    }
    world.expect_states(stays, &["sent"]).await;
    assert_eq!(mails.taken().len(), 1);
    world.balances().await;
}

async fn what_waits_for_a_slot_for_long_is_looked_at_again(place: Place) {
    // One slot for what is not critical.
    let mails = TestProvider::with_slots("mails", &[Channel::Email], 2);
    mails.script([Script::Hang]);
    let world = World::start(place, vec![mails.clone()]).await;
    for user in ["erased", "stays"] {
        world.know(user, [email(&format!("{}@example.com", world.place.own(user).to_lowercase()))]).await;
    }
    let first = world.send(mail()).await;
    world.until(async || (mails.taken().len() == 1).then_some(())).await;
    let mut waiting = Vec::new();
    for user in ["erased", "stays"] {
        let id = world.send(to(&world, user, "social")).await;
        world.expect_states(id, &["pending"]).await;
        waiting.push(id);
    }
    world.know("erased", [UserEntry::Email(None), UserEntry::Erased(Some(world.now()))]).await;
    world.advance(Duration::from_secs(61)).await;
    mails.release();
    world.expect_states(first, &["sent"]).await;
    world.expect_states(waiting[0], &["skipped"]).await;
    assert_eq!(reason(&world, waiting[0]).await, "erased");
    world.expect_states(waiting[1], &["sent"]).await;
    assert_eq!(mails.taken().len(), 2);
    world.balances().await;
}

async fn what_was_accepted_before_its_user_was_erased_is_not_planned(place: Place) {
    let (world, [mails, ..]) = world(place).await;
    world.know("alice", [email("a@example.com"), UserEntry::Erased(Some(world.now()))]).await;
    let before = world.send(to(&world, "alice", "social")).await;
    let story = world.until(async || world.story(before).await).await;
    assert_eq!(story.plan.disposition, Disposition::Skipped(SkipReason::Erased));
    world.advance(Duration::from_secs(1)).await;
    let after = world.send(to(&world, "alice", "social")).await;
    world.expect_states(after, &["sent"]).await;
    assert_eq!((mails.taken().len(), world.column(BookColumn::SkippedErased).await), (1, 1));
}

async fn a_dead_token_and_a_hard_bounce_are_remembered(place: Place) {
    let (world, [mails, _, pushes]) = world(place).await;
    let device = |token: &str| {
        let (registered_at, dead_since) = (NOON, None);
        let device = Device { platform: Platform::Ios, token: token.into(), registered_at, seen_at: NOON, dead_since };
        UserEntry::Device { id: token.into(), device: Some(device) }
    };
    let address = format!("{}@example.com", world.place.own("bounces").to_lowercase());
    world.know("alice", [device("dead"), email(&address)]).await;
    let dead = || Script::Answer(Outcome::dead("gone"));
    for (channel, provider) in [("push", &pushes), ("email", &mails)] {
        provider.script([dead()]);
        let id = world.send(to(&world, "alice", "social")).await;
        world.expect_states(id, &["failed"]).await;
        // It is noted beside everything else.
        world
            .until(async || {
                let tried = world.send(to(&world, "alice", "social")).await;
                world.states_when(tried, |states| !states.contains(&"pending")).await;
                let story = world.story(tried).await?;
                story.plan.tasks().iter().all(|task| task.channel.name() != channel).then_some(())
            })
            .await;
    }
    let last = world.send(to(&world, "alice", "social")).await;
    let story = world.until(async || world.story(last).await).await;
    assert_eq!(story.plan.disposition, Disposition::Skipped(SkipReason::Suppressed));
    let user = fanfare::domain::UserKey { tenant: "default".into(), user_id: world.place.own("alice").into() };
    let known = world.users.user(&user).await.expect("read").expect("known");
    assert_eq!(known.devices["dead"].dead_since, Some(NOON));
}
