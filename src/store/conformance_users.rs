//! What every backend of users and suppressions must do; run against each of them by [`user_conformance`].

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::conformance::NOON;
use super::{SharedStore, SuppressionPlace, UserChange};
use crate::clock::{ManualClock, SharedClock};
use crate::domain::{
    AddressKind, Channel, Device, Platform, QuietChoice, QuietHours, SuppressedAddress, Suppression, SuppressionCause,
    TimeOfDay, User, UserEntry, UserKey,
};

/// A place where users are kept; each test has its own.
#[async_trait]
pub(crate) trait UserBackend: Send + Sync {
    /// Opens the store over what is there. The one before must have been dropped.
    async fn open(&self) -> SharedStore;

    /// The same with a clock of the test's.
    async fn open_at(&self, clock: SharedClock) -> SharedStore;
}

/// Makes a test of each promise; `$backend` is an expression that makes a fresh [`UserBackend`].
macro_rules! user_conformance {
    ($backend:expr) => {
        $crate::store::conformance_users::user_conformance! { $backend =>
            users_come_in_the_order_asked_for_and_unknown_ones_as_none
            of_two_writes_of_one_thing_the_later_counts
            the_later_write_counts_though_the_clock_was_set_back
            writers_of_different_things_do_not_undo_each_other
            ten_thousand_users_are_read_in_one_call
            a_user_of_many_things_is_read_whole
            what_is_taken_back_is_gone_and_may_come_again
            names_of_any_characters_are_kept_apart
            tenants_do_not_see_each_others_users
            suppressions_come_in_the_order_asked_for
            suppressions_are_listed_page_by_page_while_others_are_written
            users_and_suppressions_are_there_after_opening_again
        }
    };
    ($backend:expr => $($name:ident)*) => {
        $(#[tokio::test]
        async fn $name() {
            $crate::store::conformance_users::$name(&$backend).await;
        })*
    };
}
pub(crate) use user_conformance;

fn key(tenant: &str, user_id: &str) -> UserKey {
    UserKey { tenant: tenant.into(), user_id: user_id.into() }
}

fn change(user_id: &str, entries: impl IntoIterator<Item = UserEntry>) -> UserChange {
    UserChange { key: key("acme", user_id), entries: entries.into_iter().collect() }
}

fn email(address: &str) -> UserEntry {
    UserEntry::Email(Some(address.into()))
}

fn attribute(name: &str, value: Option<&str>) -> UserEntry {
    UserEntry::Attribute { name: name.into(), value: value.map(Into::into) }
}

fn device(id: &str, token: &str) -> UserEntry {
    let device =
        Device { platform: Platform::Ios, token: token.into(), registered_at: NOON, seen_at: NOON, dead_since: None };
    UserEntry::Device { id: id.into(), device: Some(device) }
}

fn preference(category: &str, channel: Channel, enabled: Option<bool>) -> UserEntry {
    UserEntry::Preference { category: category.into(), channel, enabled }
}

async fn write(store: &SharedStore, changes: impl IntoIterator<Item = UserChange>) {
    store.write_users(changes.into_iter().collect()).await.expect("written");
}

async fn read(store: &SharedStore, user_id: &str) -> Option<User> {
    let mut users = store.users(&[key("acme", user_id)]).await.expect("read");
    assert_eq!(users.len(), 1);
    users.pop().flatten()
}

fn email_of(user: Option<&User>) -> Option<&str> {
    user.and_then(|user| user.email.as_deref())
}

pub(crate) async fn users_come_in_the_order_asked_for_and_unknown_ones_as_none(backend: &dyn UserBackend) {
    let store = backend.open().await;
    write(&store, [change("alice", [email("a@example.com")]), change("bob", [email("b@example.com")])]).await;
    let asked = ["bob", "nobody", "alice", "bob"].map(|user_id| key("acme", user_id));
    let users = store.users(&asked).await.expect("read");
    let emails: Vec<_> = users.iter().map(|user| email_of(user.as_ref())).collect();
    assert_eq!(emails, [Some("b@example.com"), None, Some("a@example.com"), Some("b@example.com")]);
    assert!(store.users(&[]).await.expect("read").is_empty());
    write(&store, []).await;
}

pub(crate) async fn of_two_writes_of_one_thing_the_later_counts(backend: &dyn UserBackend) {
    let store = backend.open().await;
    // Two of one call, in one change and in two; the later has the smaller bytes, or ties would hide.
    write(&store, [change("alice", [email("z@example.com"), email("y@example.com")])]).await;
    assert_eq!(email_of(read(&store, "alice").await.as_ref()), Some("y@example.com"));
    write(&store, [change("alice", [email("x@example.com")]), change("alice", [email("w@example.com")])]).await;
    assert_eq!(email_of(read(&store, "alice").await.as_ref()), Some("w@example.com"));
    for letter in ["v", "u", "t", "s"] {
        write(&store, [change("alice", [email(letter)])]).await;
        assert_eq!(email_of(read(&store, "alice").await.as_ref()), Some(letter));
    }
    write(&store, [change("alice", [UserEntry::Email(None), email("r"), UserEntry::Email(None)])]).await;
    assert_eq!(read(&store, "alice").await, None);
    // The same written again, as after an error, is as if it were written once.
    for _ in 0..2 {
        write(&store, [change("alice", [email("q")])]).await;
    }
    assert_eq!(email_of(read(&store, "alice").await.as_ref()), Some("q"));
}

pub(crate) async fn the_later_write_counts_though_the_clock_was_set_back(backend: &dyn UserBackend) {
    let clock = ManualClock::starting_at(NOON + Duration::from_secs(3600));
    let store = backend.open_at(clock.clone()).await;
    write(&store, [change("alice", [email("first"), attribute("tier", Some("1"))])]).await;
    clock.set_back(Duration::from_secs(1800));
    write(&store, [change("alice", [email("a second"), attribute("tier", None)])]).await;
    let user = read(&store, "alice").await.expect("known");
    assert_eq!((user.email.as_deref(), user.attributes.len()), (Some("a second"), 0));
    let address = SuppressedAddress::new("acme", AddressKind::Email, "a@example.com");
    let write = async |suppression| store.write_suppressions(vec![(address.clone(), suppression)]).await;
    write(Some(suppression("a@example.com"))).await.expect("written");
    clock.set_back(Duration::from_secs(600));
    write(None).await.expect("written");
    assert_eq!(store.suppressions(std::slice::from_ref(&address)).await.expect("read"), [None]);
}

pub(crate) async fn writers_of_different_things_do_not_undo_each_other(backend: &dyn UserBackend) {
    let store = backend.open().await;
    let mut writers = Vec::new();
    for number in 0..20 {
        let store = store.clone();
        let entries = [
            attribute(&format!("attribute{number}"), Some("1")),
            device(&format!("device{number}"), "token"),
            preference(&format!("category{number}"), Channel::Email, Some(number % 2 == 0)),
        ];
        writers.push(tokio::spawn(async move { write(&store, [change("alice", entries)]).await }));
    }
    for writer in writers {
        writer.await.expect("it ends");
    }
    let user = read(&store, "alice").await.expect("known");
    assert_eq!((user.attributes.len(), user.devices.len(), user.preferences.len()), (20, 20, 20));
    assert_eq!(user.preference("category3", Channel::Email), Some(false));
}

pub(crate) async fn ten_thousand_users_are_read_in_one_call(backend: &dyn UserBackend) {
    let store = backend.open().await;
    let name = |number: usize| format!("user{number}");
    let changes = (0..10_000).map(|number| change(&name(number), [attribute("number", Some(&number.to_string()))]));
    write(&store, changes).await;
    // Every second of them is known.
    let asked: Vec<UserKey> = (0..10_000).rev().map(|number| key("acme", &name(number * 2))).collect();
    let users = store.users(&asked).await.expect("read");
    assert_eq!(users.len(), asked.len());
    for (place, user) in users.iter().enumerate() {
        let number = (9_999 - place) * 2;
        let found = user.as_ref().map(|user| user.attributes["number"].to_string());
        assert_eq!(found, (number < 10_000).then(|| number.to_string()));
    }
}

pub(crate) async fn a_user_of_many_things_is_read_whole(backend: &dyn UserBackend) {
    let store = backend.open().await;
    let quiet = |from, to| {
        let time = |hour| TimeOfDay::new(hour, 30).expect("a time");
        QuietChoice::Own(QuietHours::new(time(from), time(to)).expect("a window"))
    };
    let mut entries = vec![
        UserEntry::Created(Some(NOON)),
        email("a@example.com"),
        UserEntry::Phone(Some("+4930123456".into())),
        UserEntry::Locale(Some("de-DE".into())),
        UserEntry::Timezone(Some("Europe/Berlin".into())),
        UserEntry::QuietHours(quiet(22, 6)),
        UserEntry::DigestHour(Some(8)),
        UserEntry::PreferredChannel(Some(Channel::Push)),
    ];
    // More than a batch of the database's holds, in rows and in bytes.
    for number in 0..300 {
        entries.push(device(&format!("device{number}"), &"t".repeat(500)));
        entries.push(preference(&format!("category{number}"), Channel::Sms, Some(true)));
    }
    write(&store, [change("alice", entries.clone())]).await;
    assert_eq!(read(&store, "alice").await, User::from_entries(entries));
}

pub(crate) async fn what_is_taken_back_is_gone_and_may_come_again(backend: &dyn UserBackend) {
    let store = backend.open().await;
    let all = [
        UserEntry::Created(Some(NOON)),
        email("a@example.com"),
        attribute("tier", Some("\"gold\"")),
        attribute("plan", Some("{}")),
        device("phone", "token"),
        preference("social", Channel::Push, Some(false)),
        UserEntry::QuietHours(QuietChoice::Never),
        UserEntry::DigestHour(Some(0)),
        UserEntry::PreferredChannel(Some(Channel::Email)),
    ];
    for _ in 0..2 {
        write(&store, [change("alice", all.clone())]).await;
        let user = read(&store, "alice").await.expect("known");
        assert_eq!(Some(&user), User::from_entries(all.clone()).as_ref());
        write(&store, [change("alice", [attribute("tier", None), UserEntry::QuietHours(QuietChoice::Usual)])]).await;
        let rest = read(&store, "alice").await.expect("known");
        assert!(!rest.attributes.contains_key("tier") && rest.attributes.contains_key("plan"));
        assert_eq!(rest.quiet_hours, QuietChoice::Usual);
        write(&store, [change("alice", user.taken_back())]).await;
        assert_eq!(read(&store, "alice").await, None);
    }
}

pub(crate) async fn names_of_any_characters_are_kept_apart(backend: &dyn UserBackend) {
    let store = backend.open().await;
    let names = ["a", "ab", "a b", "a/b", "a'b\"", "ä", "🦄", "a\0", "a\u{ffff}", "%2F", "A", "-1", "a\nb"];
    let changes = names.map(|name| change(name, [email(name), attribute(name, Some("1")), device(name, name)]));
    write(&store, changes).await;
    for name in names {
        let user = read(&store, name).await.expect("known");
        assert_eq!(user.email.as_deref(), Some(name));
        assert_eq!(user.attributes.keys().map(|name| &**name).collect::<Vec<_>>(), [name]);
        assert_eq!(user.devices.keys().map(|name| &**name).collect::<Vec<_>>(), [name]);
    }
}

pub(crate) async fn tenants_do_not_see_each_others_users(backend: &dyn UserBackend) {
    let store = backend.open().await;
    // The same letters in another division, too.
    let owners = [("ab", "c"), ("a", "bc"), ("acme", "alice"), ("other", "alice")];
    let changes = owners.map(|(tenant, user_id)| UserChange {
        key: key(tenant, user_id),
        entries: vec![email(&format!("{tenant}/{user_id}"))],
    });
    write(&store, changes).await;
    let users = store.users(&owners.map(|(tenant, user_id)| key(tenant, user_id))).await.expect("read");
    for ((tenant, user_id), user) in owners.iter().zip(&users) {
        assert_eq!(email_of(user.as_ref()), Some(&*format!("{tenant}/{user_id}")));
    }
    let mut back = UserChange { key: key("other", "alice"), entries: vec![UserEntry::Email(None)] };
    write(&store, [back.clone()]).await;
    assert_eq!(email_of(read(&store, "alice").await.as_ref()), Some("acme/alice"));
    back.key = key("abc", "");
    assert_eq!(store.users(&[back.key]).await.expect("read"), [None]);
}

fn suppression(address: &str) -> Suppression {
    let cause = SuppressionCause::Complaint;
    Suppression {
        address: Some(address.into()),
        sealed_address: None,
        cause,
        since: NOON,
        until: Some(NOON + Duration::from_secs(9)),
    }
}

fn address(tenant: &str, text: &str) -> SuppressedAddress {
    let kind = if text.starts_with('+') { AddressKind::Phone } else { AddressKind::Email };
    SuppressedAddress::new(tenant, kind, text)
}

async fn suppress(store: &SharedStore, tenant: &str, texts: impl IntoIterator<Item = &str>) {
    let changes = texts.into_iter().map(|text| (address(tenant, text), Some(suppression(text))));
    store.write_suppressions(changes.collect()).await.expect("written");
}

pub(crate) async fn suppressions_come_in_the_order_asked_for(backend: &dyn UserBackend) {
    let store = backend.open().await;
    suppress(&store, "acme", ["a@example.com", "+4930123456", "gone@example.com"]).await;
    suppress(&store, "other", ["b@example.com"]).await;
    let gone = address("acme", "gone@example.com");
    // Of two in one call the later counts.
    let changes = vec![(gone.clone(), Some(suppression("zzz"))), (gone.clone(), None)];
    store.write_suppressions(changes).await.expect("written");
    let asked = [
        address("acme", "+4930123456"),
        address("acme", "b@example.com"),
        gone.clone(),
        address("acme", "A@Example.com"),
        SuppressedAddress::new("acme", AddressKind::Phone, "a@example.com"),
    ];
    let found = store.suppressions(&asked).await.expect("read");
    let (phone, mail) = (suppression("+4930123456"), suppression("a@example.com"));
    assert_eq!(found, [Some(phone), None, None, Some(mail), None]);
    // The address is forgotten, and still nothing is sent to it.
    let erased = Suppression { address: None, ..suppression("a@example.com") };
    let change = (address("acme", "a@example.com"), Some(erased.clone()));
    store.write_suppressions(vec![change]).await.expect("written");
    assert_eq!(store.suppressions(&asked[3..4]).await.expect("read"), [Some(erased)]);
    suppress(&store, "acme", ["gone@example.com"]).await;
    assert!(store.suppressions(&[gone]).await.expect("read")[0].is_some(), "it may come again");
}

pub(crate) async fn suppressions_are_listed_page_by_page_while_others_are_written(backend: &dyn UserBackend) {
    let store = backend.open().await;
    let texts = |range: std::ops::Range<usize>| -> Vec<String> {
        let text =
            |number| if number % 3 == 0 { format!("+49301234{number:03}") } else { format!("{number}@example.com") };
        range.map(text).collect()
    };
    let (there, later) = (texts(0..150), texts(150..300));
    suppress(&store, "acme", there.iter().map(String::as_str)).await;
    suppress(&store, "acm", ["b@example.com"]).await;
    assert_eq!(store.all_suppressions("nobody", None, 10).await.expect("read"), []);
    let mut later_ones = later.chunks(10);
    let (mut found, mut places, mut after) = (BTreeSet::new(), BTreeSet::new(), None);
    loop {
        let page = store.all_suppressions("acme", after, 7).await.expect("read");
        for listed in &page {
            let text = listed.suppression.address.as_deref().expect("an address").to_owned();
            assert!(places.insert(listed.place), "each has a place of its own");
            assert_eq!(SuppressionPlace::from_bytes(listed.place.as_bytes()), Some(listed.place));
            assert_eq!(listed.place.kind(), address("acme", &text).kind);
            assert!(found.insert(text), "none is listed twice");
        }
        if let Some(texts) = later_ones.next() {
            suppress(&store, "acme", texts.iter().map(String::as_str)).await;
        }
        after = page.last().map(|last| last.place);
        if page.len() < 7 {
            break;
        }
    }
    for text in &there {
        assert!(found.contains(text), "{text} was there all the time");
    }
    // What was lifted leaves the list, and no page is short for it.
    let half: Vec<_> = there.iter().step_by(2).map(|text| (address("acme", text), None)).collect();
    store.write_suppressions(half).await.expect("written");
    let all = store.all_suppressions("acme", None, 1000).await.expect("read");
    assert_eq!(all.len(), 225);
    let page = store.all_suppressions("acme", None, 100).await.expect("read");
    assert_eq!(page, all[..100]);
    let rest = store.all_suppressions("acme", Some(page[99].place), 1000).await.expect("read");
    assert_eq!(rest, all[100..]);
}

pub(crate) async fn users_and_suppressions_are_there_after_opening_again(backend: &dyn UserBackend) {
    let store = backend.open().await;
    write(&store, [change("alice", [email("a@example.com"), device("phone", "token")])]).await;
    write(&store, [change("alice", [device("phone", "another token")])]).await;
    suppress(&store, "acme", ["a@example.com"]).await;
    drop(store);
    let store: Arc<_> = backend.open().await;
    let user = read(&store, "alice").await.expect("known");
    assert_eq!((user.email.as_deref(), &*user.devices["phone"].token), (Some("a@example.com"), "another token"));
    assert_eq!(store.all_suppressions("acme", None, 10).await.expect("read").len(), 1);
}
