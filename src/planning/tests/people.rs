//! Batches to users of whom something is known.

use super::*;
use crate::domain::{
    Address, AddressKind, Calendar, Device, Platform, SpecialDay, SuppressedAddress, Suppression, SuppressionCause,
    User, UserEntry, UserKey,
};
use crate::users::{ChangeKey, Changes};

impl World {
    pub(super) fn knows(self, user_id: &str, entries: impl IntoIterator<Item = UserEntry>) -> Self {
        let user = User::from_entries(entries).expect("something is known");
        self.store.users.lock().expect("not poisoned").insert(key_of(user_id), user);
        self
    }

    fn suppresses(self, kind: AddressKind, address: &str) -> Self {
        let suppression = Suppression {
            address: None,
            sealed_address: None,
            cause: SuppressionCause::HardBounce,
            since: Timestamp(0),
            until: None,
        };
        let address = SuppressedAddress::new("default", kind, address);
        self.store.suppressed.lock().expect("not poisoned").insert(address, suppression);
        self
    }

    /// How many were asked for by each call to the store since the last look.
    fn asked(&self) -> Vec<usize> {
        std::mem::take(&mut self.store.asked.lock().expect("not poisoned"))
    }
}

fn key_of(user_id: &str) -> UserKey {
    UserKey { tenant: "default".into(), user_id: user_id.into() }
}

/// To a user by id alone, on the channels of the engine's choice.
pub(super) fn to_user(user_id: &str, category: &str) -> NotificationRequest {
    with(|request| {
        request.to = Recipient::default();
        request.user_id = Some(user_id.into());
        request.category = Some(category.into());
        request.dedup_window_seconds = Some(0);
    })
}

pub(super) fn addresses() -> [UserEntry; 2] {
    [UserEntry::Email(Some("a@example.com".into())), UserEntry::Phone(Some("+15550100".into()))]
}

fn ways(plan: &Plan) -> Vec<(Channel, &str)> {
    plan.tasks().iter().map(|task| (task.channel, task.address.as_str())).collect()
}

#[test]
fn a_cold_batch_asks_once_for_all_users_and_once_for_all_addresses_and_a_warm_one_for_nothing() {
    let world = World::default().knows("a", addresses()).knows("b", [UserEntry::Email(Some("b@example.com".into()))]);
    let requests = || ["a", "b", "nobody", "a"].map(|user_id| to_user(user_id, "social"));
    let cold = world.run(batch(requests()));
    assert_eq!(fates(&cold), ["sent", "sent", "sent", "sent"]);
    assert_eq!(ways(&cold[0]), [(Channel::Email, "a@example.com")]);
    assert_eq!(ways(&cold[1]), [(Channel::Email, "b@example.com")]);
    assert_eq!(ways(&cold[2]), [(Channel::InApp, "nobody")]);
    assert_eq!(world.asked(), [3, 3]);
    assert_eq!(world.run(batch(requests())), cold);
    assert_eq!(world.asked(), [0; 0]);
    block_on(world.changes.announce(&[ChangeKey::of_user(&key_of("b"))])).expect("told");
    world.run(batch(requests()));
    assert_eq!(world.asked(), [1]);
}

#[test]
fn a_batch_without_users_and_addresses_asks_for_nothing() {
    let world = World::default();
    let hook = with(|request| {
        request.to = Recipient { url: Some("https://hooks.example.com".into()), ..Recipient::default() };
    });
    assert_eq!(fates(&world.run(batch([hook]))), ["sent"]);
    assert_eq!(world.asked(), [0; 0]);
}

#[test]
fn a_store_of_users_that_cannot_be_read_leaves_nothing_claimed() {
    let world = World::of(FakePeople { fails: true, ..FakePeople::default() });
    assert!(block_on(gather(&batch([to_user("a", "social")]), &policy(), &world.sources(), NOW)).is_err());
    assert!(world.claims.held.lock().expect("not poisoned").is_empty());
}

#[test]
fn a_suppressed_address_gives_way_to_the_next_channel_however_it_is_written() {
    let world = World::default().knows("a", addresses()).suppresses(AddressKind::Email, "A@Example.com");
    let plans = world.run(batch([to_user("a", "social"), with(|request| request.channels = vec![Channel::Email])]));
    assert_eq!(ways(&plans[0]), [(Channel::Sms, "+15550100")]);
    assert_eq!(fates(&plans[1..]), ["sent"], "another address is not suppressed");
}

#[test]
fn what_nobody_may_be_sent_holds_no_business_key_and_is_in_nobodys_way() {
    let off = UserEntry::Preference { category: "social".into(), channel: Channel::Email, enabled: Some(false) };
    let world = World::default()
        .knows("off", [UserEntry::Email(Some("off@example.com".into())), off])
        .suppresses(AddressKind::Email, "gone@example.com");
    let on_mail = |user_id: &str| NotificationRequest {
        channels: vec![Channel::Email],
        dedup_key: Some("one".into()),
        dedup_window_seconds: None,
        aggregate: None,
        ..to_user(user_id, "social")
    };
    let gone = NotificationRequest {
        to: Recipient { email: Some("gone@example.com".into()), ..Recipient::default() },
        ..on_mail("b")
    };
    let held = NotificationRequest {
        category: Some("marketing".into()),
        expires_at: Some(NOW + Duration::from_secs(3600)),
        local_time: TimeOfDay::new(12, 0),
        ..gone.clone()
    };
    let good = NotificationRequest { to: request().to, ..on_mail("b") };
    let plans = world.run(batch([on_mail("off"), gone, held, good.clone(), good]));
    assert_eq!(fates(&plans), ["no_consent", "suppressed", "expired", "sent", "duplicate of 3"]);
}

#[test]
fn what_is_held_over_several_days_does_not_expire_meanwhile() {
    let mut policy = policy();
    let days = (10..=30).filter_map(|day| SpecialDay::parse(&format!("01-{day}"))).collect();
    policy.calendars = vec![Calendar { locales: vec!["*".into()], days }];
    let request = with(|request| request.category = Some("marketing".into()));
    let plan = dry_run(request, Peeked::default(), &policy, NOW);
    let due = Timestamp::parse("2027-01-31T08:00:00Z").expect("a time");
    assert_eq!(plan.tasks()[0].due, Some(due));
    assert_eq!(plan.expires_at, Some(due + crate::planning::gates::LIFETIME));
}

#[test]
fn what_expires_while_it_would_be_held_says_by_what() {
    let night = Timestamp::parse("2027-01-15T23:00:00Z").expect("a time");
    let request = with(|request| {
        request.category = Some("marketing".into());
        request.expires_at = Some(night + Duration::from_secs(3600));
    });
    let plan = dry_run(request, Peeked::default(), &policy(), night);
    assert_eq!(plan.disposition, Disposition::Skipped(SkipReason::Expired));
    let until = Timestamp::parse("2027-01-16T08:00:00Z").expect("a time");
    let held = Decision { step: Step::QuietHours, channel: None, verdict: Verdict::Hold { until } };
    assert!(plan.decisions.contains(&held), "{:?}", plan.decisions);
}

#[test]
fn a_user_with_two_devices_gets_a_task_for_each() {
    let device = |id: &str| UserEntry::Device {
        id: id.into(),
        device: Some(Device {
            platform: Platform::Ios,
            token: id.into(),
            registered_at: NOW,
            seen_at: NOW,
            dead_since: None,
        }),
    };
    let world = World::default().knows("a", [device("phone"), device("tablet")]);
    let plans = world.run(batch([to_user("a", "social")]));
    assert_eq!(ways(&plans[0]), [(Channel::Push, "phone"), (Channel::Push, "tablet")]);
    assert!(plans[0].tasks().iter().all(|task| matches!(task.address, Address::Device(Platform::Ios, _))));
}
