//! Who gets what, through which channel, when, and why not: what is known of a user decides, and every decision is told.

use std::sync::Arc;
use std::time::Duration;

use fanfare::domain::{
    AddressKind, Channel, Device, NotificationRequest, Platform, Priority, QuietChoice, Recipient, SkipReason, Step,
    Story, TimeOfDay, Timestamp, UserEntry, Verdict,
};
use fanfare::store::BookColumn;

use crate::world::{NOON, Place, TestProvider, World, mail, on_both};

on_both! {
    what_is_known_of_a_user_decides_which_channels_are_used
    a_marketing_mail_at_eleven_in_the_evening_in_tokyo_is_held_until_eight
    what_is_held_at_night_is_sent_in_the_morning_and_what_expires_until_then_is_not
    a_local_time_is_that_of_the_users_zone
    a_change_is_honoured_at_once
}

const HOUR: Duration = Duration::from_secs(3600);

/// A provider for each channel that messages may go through here.
async fn world(place: Place) -> (World, [Arc<TestProvider>; 3]) {
    let providers = [
        TestProvider::new("mails", &[Channel::Email]),
        TestProvider::new("texts", &[Channel::Sms]),
        TestProvider::new("pushes", &[Channel::Push]),
    ];
    (World::start(place, providers.to_vec()).await, providers)
}

/// To a user by id alone, on the channels of the engine's choice.
fn to(user_id: &str, category: &str) -> NotificationRequest {
    NotificationRequest {
        to: Recipient::default(),
        user_id: Some(user_id.into()),
        category: Some(category.into()),
        channels: Vec::new(),
        dedup_window_seconds: Some(0),
        aggregate: None,
        ..mail()
    }
}

fn email(text: &str) -> UserEntry {
    UserEntry::Email(Some(text.into()))
}

fn phone() -> UserEntry {
    UserEntry::Phone(Some("+4930123456".into()))
}

fn zone(name: &str) -> UserEntry {
    UserEntry::Timezone(Some(name.into()))
}

fn off(category: &str, channel: Channel) -> UserEntry {
    UserEntry::Preference { category: category.into(), channel, enabled: Some(false) }
}

fn device(id: &str, dead_since: Option<Timestamp>) -> UserEntry {
    let device =
        Device { platform: Platform::Android, token: id.into(), registered_at: NOON, seen_at: NOON, dead_since };
    UserEntry::Device { id: id.into(), device: Some(device) }
}

async fn planned(world: &World, mut request: NotificationRequest) -> Story {
    request.user_id = request.user_id.map(|user_id| world.place.own(&user_id).into());
    let id = world.send(request).await;
    world.until(async || world.story(id).await).await
}

/// The addresses that a plan goes to, or why it goes nowhere.
fn fate(story: &Story) -> Vec<String> {
    match &story.plan.disposition {
        fanfare::domain::Disposition::Skipped(reason) => vec![reason.name().to_owned()],
        fanfare::domain::Disposition::Merged { .. } => vec!["merged".to_owned()],
        fanfare::domain::Disposition::Tasks(tasks) => {
            tasks.iter().map(|task| format!("{} {}", task.channel, task.address.as_str())).collect()
        }
    }
}

fn verdicts(story: &Story, step: Step) -> Vec<(Option<Channel>, Verdict)> {
    let of_step = story.plan.decisions.iter().filter(|decision| decision.step == step);
    of_step.map(|decision| (decision.channel, decision.verdict.clone())).collect()
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).expect("a time")
}

async fn what_is_known_of_a_user_decides_which_channels_are_used(place: Place) {
    let (world, _) = world(place).await;
    world.know("mail", [email("m@example.com")]).await;
    world.know("both", [email("b@example.com"), phone()]).await;
    world
        .know("off", [email("o@example.com"), phone(), off("social", Channel::Email), off("security", Channel::Email)])
        .await;
    world.know("gone", [email("gone@example.com"), phone()]).await;
    world.suppress(AddressKind::Email, "Gone@example.com").await;
    world
        .know("two", [email("t@example.com"), device("one", None), device("two", None), device("dead", Some(NOON))])
        .await;
    world.know("likes", [email("l@example.com"), phone(), UserEntry::PreferredChannel(Some(Channel::Sms))]).await;
    let social = |user_id| to(user_id, "social");
    let text = "sms +4930123456";
    let cases = [
        ("the cheapest that reaches them", social("both"), vec!["email b@example.com"]),
        ("what they prefer", social("likes"), vec![text]),
        ("every device that is not dead", social("two"), vec!["push one", "push two"]),
        ("switched off", social("off"), vec![text]),
        ("may not be switched off", to("off", "security"), vec!["email o@example.com"]),
        ("suppressed", social("gone"), vec![text]),
        ("suppressed and named", on(social("gone"), &[Channel::Email]), vec!["suppressed"]),
        ("switched off and named", on(social("off"), &[Channel::Email]), vec!["no_consent"]),
        ("named, as far as it goes", on(social("gone"), &[Channel::Email, Channel::Sms]), vec![text]),
        ("no address", social("nobody"), vec!["no_address"]),
        ("no address, then the next", on(social("mail"), &[Channel::Sms, Channel::Email]), vec!["email m@example.com"]),
        ("critical", critical(social("both")), vec![text]),
        ("critical without a telephone", critical(social("mail")), vec!["email m@example.com"]),
        ("the request's own address", with_own_address(social("both")), vec!["email own@example.com"]),
    ];
    let mut skipped = 0;
    for (case, request, expected) in cases {
        let story = planned(&world, request).await;
        assert_eq!(fate(&story), expected, "{case}: {:?}", story.plan.decisions);
        skipped += i64::from(story.plan.tasks().is_empty());
    }
    world.balances().await;
    let mut booked = 0;
    for column in [BookColumn::SkippedNoConsent, BookColumn::SkippedSuppressed, BookColumn::SkippedNoAddress] {
        booked += world.column(column).await;
    }
    assert_eq!((booked, skipped), (3, 3));
}

fn on(mut request: NotificationRequest, channels: &[Channel]) -> NotificationRequest {
    request.channels = channels.to_vec();
    request
}

fn critical(mut request: NotificationRequest) -> NotificationRequest {
    request.priority = Priority::Critical;
    request
}

fn with_own_address(mut request: NotificationRequest) -> NotificationRequest {
    request.to.email = Some("own@example.com".into());
    request
}

async fn a_marketing_mail_at_eleven_in_the_evening_in_tokyo_is_held_until_eight(place: Place) {
    let (world, [mails, ..]) = world(place).await;
    world.know("yuki", [email("y@example.com"), zone("Asia/Tokyo")]).await;
    world.advance(2 * HOUR).await;
    let marketing = planned(&world, to("yuki", "marketing")).await;
    let until = at("2026-11-21T23:00:00Z");
    assert_eq!(verdicts(&marketing, Step::QuietHours), [(None, Verdict::Hold { until })]);
    assert_eq!(marketing.plan.tasks()[0].due, Some(until));
    let reset = planned(&world, to("yuki", "security")).await;
    assert_eq!(verdicts(&reset, Step::QuietHours), [(None, Verdict::Pass)]);
    world.expect_states(reset.plan.id(), &["sent"]).await;
    assert_eq!(mails.taken().len(), 1, "the other waits");
    world.advance(9 * HOUR).await;
    world.expect_states(marketing.plan.id(), &["sent"]).await;
    world.balances().await;
}

async fn what_is_held_at_night_is_sent_in_the_morning_and_what_expires_until_then_is_not(place: Place) {
    let (world, _) = world(place).await;
    // It is three in the morning there.
    let gambier = || [email("g@example.com"), zone("Pacific/Gambier")];
    world.know("ana", gambier()).await;
    world.know("owl", gambier().into_iter().chain([UserEntry::QuietHours(QuietChoice::Never)])).await;
    let held = planned(&world, to("ana", "social")).await;
    assert_eq!(held.plan.tasks()[0].due, Some(NOON + 5 * HOUR));
    let stale = planned(&world, NotificationRequest { expires_at: Some(NOON + HOUR), ..to("ana", "social") }).await;
    assert_eq!(fate(&stale), [SkipReason::Expired.name()]);
    assert_eq!(verdicts(&stale, Step::QuietHours), [(None, Verdict::Hold { until: NOON + 5 * HOUR })]);
    for awake in [to("owl", "social"), to("ana", "security"), to("ana", "transactional")] {
        let story = planned(&world, awake).await;
        world.expect_states(story.plan.id(), &["sent"]).await;
    }
    world.advance(5 * HOUR).await;
    world.expect_states(held.plan.id(), &["sent"]).await;
    world.balances().await;
}

async fn a_local_time_is_that_of_the_users_zone(place: Place) {
    let (world, _) = world(place).await;
    world.know("yuki", [email("y@example.com"), zone("Asia/Tokyo")]).await;
    world.know("alice", [email("a@example.com"), zone("America/New_York")]).await;
    let at_nine = |user_id| NotificationRequest { local_time: TimeOfDay::new(9, 0), ..to(user_id, "social") };
    for (user_id, expected) in [("yuki", "2026-11-22T00:00:00Z"), ("alice", "2026-11-21T14:00:00Z")] {
        let story = planned(&world, at_nine(user_id)).await;
        assert_eq!(story.plan.tasks()[0].due, Some(at(expected)), "{user_id}");
        world.expect_states(story.plan.id(), &["scheduled"]).await;
    }
}

async fn a_change_is_honoured_at_once(place: Place) {
    let (world, _) = world(place).await;
    world.know("alice", [email("a@example.com"), phone()]).await;
    assert_eq!(fate(&planned(&world, to("alice", "social")).await), ["email a@example.com"]);
    world.know("alice", [off("social", Channel::Email)]).await;
    assert_eq!(fate(&planned(&world, to("alice", "social")).await), ["sms +4930123456"]);
}
