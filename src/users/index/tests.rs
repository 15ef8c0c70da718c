use std::sync::Arc;

use super::*;
use crate::domain::Consent;
use crate::intake::fakes::FakeStore;
use crate::log::LogError;
use crate::store::KeyedRows;
use crate::users::{ChangeKey, Changes, Directory, Listener, LocalChanges};

const MEMBER: &str = "membership_expires_at";

fn key(user_id: &str) -> UserKey {
    UserKey { tenant: "acme".into(), user_id: user_id.into() }
}

fn attribute(name: &str, value: Option<&str>) -> UserEntry {
    UserEntry::Attribute { name: name.into(), value: value.map(Box::from) }
}

fn world() -> (Directory, Arc<FakeStore>) {
    let store = Arc::new(FakeStore::default());
    let days = DayAttributes::new(&["*_expires_at".to_owned(), "due_*".to_owned(), "birthday".to_owned()]);
    (Directory::new(store.clone(), Arc::new(LocalChanges::default())).with_days(days), store)
}

async fn on_day(store: &FakeStore, name: &str, day: i32) -> Vec<String> {
    let mut users = Vec::new();
    for spread in 0..DAY_SPREADS {
        let rows = store.keyed_between(&day_part("acme", name, day, spread), None, None, 100).await.expect("read");
        users.extend(rows.into_iter().map(|(name, _)| String::from_utf8_lossy(&name).into_owned()));
    }
    users
}

async fn users(store: &FakeStore) -> usize {
    let mut count = 0;
    for spread in 0..USER_SPREADS {
        count += store.keyed_between(&user_part("acme", spread), None, None, 100).await.expect("read").len();
    }
    count
}

#[test]
fn a_time_is_the_day_it_is_in_utc_and_a_date_that_day() {
    for (value, day) in [
        (r#""1970-01-01""#, Some(0)),
        (r#""1970-01-02T00:00:00Z""#, Some(1)),
        (r#""2026-11-22""#, Some(20_779)),
        (r#""2026-11-22T23:59:59.999Z""#, Some(20_779)),
        (r#""2026-11-23T00:30:00+01:00""#, Some(20_779)),
        (r#""2026-11-22T23:30:00-01:00""#, Some(20_780)),
        (r#""1969-12-31""#, None),
        (r#""2026-02-30""#, None),
        (r#""2026-11-22 10:00""#, None),
        (r#""soon""#, None),
        ("1795348800", None),
        ("null", None),
        ("\"", None),
    ] {
        assert_eq!(day_of(value), day, "{value}");
    }
}

#[test]
fn patterns_have_a_star_at_either_end_or_none() {
    let days = DayAttributes::new(&["*_at".to_owned(), "due_*".to_owned(), "birthday".to_owned()]);
    for name in ["ends_at", "due_date", "birthday"] {
        assert!(days.has(name), "{name}");
    }
    for name in ["birthdays", "overdue_x", "at"] {
        assert!(!days.has(name), "{name}");
    }
}

#[tokio::test]
async fn moving_the_attribute_moves_the_index_and_an_erasure_takes_all_of_it_away() {
    let (directory, store) = world();
    let entries = vec![
        UserEntry::Created(Some(Timestamp(1))),
        attribute(MEMBER, Some(r#""2026-11-22""#)),
        attribute("tier", Some(r#""2026-11-22""#)),
    ];
    directory.write_known(vec![KnownChange::of(key("alice"), entries, &User::default())]).await.expect("written");
    assert_eq!(on_day(&store, MEMBER, 20_779).await, ["alice"]);
    assert_eq!((on_day(&store, "tier", 20_779).await.len(), users(&store).await), (0, 1));
    let before = directory.user(&key("alice")).await.expect("read").expect("known");
    let moved = vec![attribute(MEMBER, Some(r#""2026-11-23T10:00:00Z""#))];
    directory.write_known(vec![KnownChange::of(key("alice"), moved, &before)]).await.expect("written");
    assert_eq!(on_day(&store, MEMBER, 20_779).await.len(), 0);
    assert_eq!(on_day(&store, MEMBER, 20_780).await, ["alice"]);
    let before = directory.user(&key("alice")).await.expect("read").expect("known");
    let gone = before.taken_back().into_iter().chain([UserEntry::Erased(Some(Timestamp(2)))]).collect();
    directory.write_known(vec![KnownChange::of(key("alice"), gone, &before)]).await.expect("written");
    assert_eq!((on_day(&store, MEMBER, 20_780).await.len(), users(&store).await), (0, 0));
}

#[tokio::test]
async fn of_several_changes_of_one_call_the_last_day_stays_also_where_it_was_the_first() {
    let (directory, store) = world();
    let first = vec![attribute(MEMBER, Some(r#""2026-11-22""#))];
    directory.write_known(vec![KnownChange::of(key("alice"), first, &User::default())]).await.expect("written");
    let mut user = directory.user(&key("alice")).await.expect("read").expect("known");
    let mut changes = Vec::new();
    for value in [r#""2026-11-23""#, r#""2026-11-24""#, r#""2026-11-22""#] {
        let entries = vec![attribute(MEMBER, Some(value))];
        changes.push(KnownChange::of(key("alice"), entries.clone(), &user));
        entries.into_iter().for_each(|entry| user.apply(entry));
    }
    directory.write_known(changes).await.expect("written");
    let found = [20_779, 20_780, 20_781].map(|day| on_day(&store, MEMBER, day));
    let [first, second, third] = found;
    assert_eq!((first.await.len(), second.await.len(), third.await.len()), (1, 0, 0));
}

#[tokio::test]
async fn a_user_that_stays_as_they_are_is_indexed_again() {
    let (directory, store) = world();
    let user = User::from_entries([attribute(MEMBER, Some(r#""2026-11-22""#))]).expect("somebody");
    directory.write_known(vec![KnownChange::of(key("alice"), Vec::new(), &user)]).await.expect("written");
    assert_eq!((on_day(&store, MEMBER, 20_779).await.len(), users(&store).await), (1, 1));
    assert_eq!(directory.user(&key("alice")).await.expect("read"), None);
}

/// Tells nobody of anything.
struct Silent;

#[async_trait::async_trait]
impl Changes for Silent {
    async fn announce(&self, _: &[ChangeKey]) -> Result<(), LogError> {
        Err(LogError::Busy)
    }

    fn listen(&self, _: std::sync::Weak<dyn Listener>) {}

    fn is_current(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn an_erasure_that_breaks_off_before_the_user_is_written_leaves_nothing_in_the_indexes() {
    let (directory, store) = world();
    let entries = vec![UserEntry::Created(Some(Timestamp(1))), attribute(MEMBER, Some(r#""2026-11-22""#))];
    directory.write_known(vec![KnownChange::of(key("alice"), entries, &User::default())]).await.expect("written");
    let days = DayAttributes::new(&["*_expires_at".to_owned()]);
    let broken = Directory::new(store.clone(), Arc::new(Silent)).with_days(days);
    let before = broken.user(&key("alice")).await.expect("read").expect("known");
    let gone = before.taken_back().into_iter().chain([UserEntry::Erased(Some(Timestamp(2)))]).collect();
    assert!(broken.write_known(vec![KnownChange::of(key("alice"), gone, &before)]).await.is_err());
    assert!(broken.user(&key("alice")).await.expect("read").is_some());
    assert_eq!((on_day(&store, MEMBER, 20_779).await.len(), users(&store).await), (0, 0));
}

#[tokio::test]
async fn who_is_erased_while_all_users_are_taken_in_is_taken_out_again() {
    let days = DayAttributes::new(&["*_expires_at".to_owned()]);
    let (directory, store) = world();
    let user = User::from_entries([attribute(MEMBER, Some(r#""2026-11-22""#))]).expect("somebody");
    directory.write_known(vec![KnownChange::of(key("alice"), Vec::new(), &user)]).await.expect("written");
    store.put_keyed(rows_of_nobody(&days, &key("alice"), &user)).await.expect("written");
    assert_eq!((on_day(&store, MEMBER, 20_779).await.len(), users(&store).await), (0, 0));
}

#[tokio::test]
async fn of_two_consents_written_at_the_same_moment_the_later_one_counts_whoever_writes_last() {
    let said = |granted, at| {
        let consent = Consent {
            granted,
            at: Timestamp(at),
            text_version: "1".into(),
            source: "form".into(),
            note: None,
            recorded_at: Timestamp(9),
        };
        UserEntry::Consent { purpose: "newsletter".into(), consent: Some(consent) }
    };
    for order in [[(true, 1), (false, 2)], [(false, 2), (true, 1)]] {
        let (directory, _) = world();
        for (granted, at) in order {
            // Both have read that nothing was said before.
            let change = KnownChange::of(key("alice"), vec![said(granted, at)], &User::default());
            directory.write_known(vec![change]).await.expect("written");
        }
        let user = directory.user(&key("alice")).await.expect("readable").expect("somebody");
        assert!(!user.consents["newsletter"].granted, "{order:?}");
    }
}
