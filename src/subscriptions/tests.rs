use std::time::Duration;

use super::*;
use crate::clock::ManualClock;
use crate::domain::Timestamp;
use crate::intake::fakes::FakeStore;
use crate::store::{KeyedPart, KeyedRows};

const NOON: Timestamp = Timestamp(1_795_348_800_000);

fn world() -> (Arc<Subscriptions>, Arc<FakeStore>, Arc<ManualClock>) {
    let (store, clock) = (Arc::new(FakeStore::default()), ManualClock::starting_at(NOON));
    (Subscriptions::new(store.clone(), clock.clone()), store, clock)
}

fn key(user_id: &str) -> UserKey {
    UserKey { tenant: "acme".into(), user_id: user_id.into() }
}

fn wish(user_id: &str, channel: SubscriptionChannel, is_active: bool) -> Wish {
    Wish { user_id: user_id.into(), channel, is_active }
}

fn by_mail(user_id: &str) -> Wish {
    wish(user_id, SubscriptionChannel::Email, true)
}

async fn rows_of(store: &FakeStore, part: &KeyedPart) -> usize {
    store.keyed_between(part, None, None, 1000).await.expect("read").len()
}

#[tokio::test]
async fn a_subscription_keeps_when_it_began_and_saying_it_again_changes_nothing() {
    let (subscriptions, _, clock) = world();
    let (first, is_new) = subscriptions.put("acme", "s1", by_mail("alice")).await.expect("put");
    assert!(is_new && first.since == NOON && first.changed_at == NOON);
    clock.advance(Duration::from_secs(60));
    assert_eq!(subscriptions.put("acme", "s1", by_mail("alice")).await.expect("put"), (first, false));
    let other = wish("alice", SubscriptionChannel::Sms, false);
    let (changed, is_new) = subscriptions.put("acme", "s1", other).await.expect("put");
    assert!(!is_new && changed.since == NOON && changed.changed_at > NOON);
    assert_eq!(subscriptions.get("s1", &key("alice")).await.expect("read"), Some(changed));
    assert_eq!(subscriptions.get("s2", &key("alice")).await.expect("read"), None);
}

#[tokio::test]
async fn what_broke_off_between_the_rows_is_mended_by_saying_it_again() {
    let (subscriptions, store, _) = world();
    subscriptions.put("acme", "s1", by_mail("alice")).await.expect("put");
    for (part, name) in [rows::of_subject("acme", "s1", "alice"), rows::of_user("acme", "s1", "alice")] {
        let taken_away = KeyedRow { part: part.clone(), name, body: None };
        store.put_keyed(vec![taken_away]).await.expect("written");
        subscriptions.put("acme", "s1", by_mail("alice")).await.expect("put");
        assert_eq!(rows_of(&store, &part).await, 1);
    }
}

#[tokio::test]
async fn a_removal_takes_both_rows_away_and_says_whether_there_was_anything() {
    let (subscriptions, store, _) = world();
    subscriptions.put("acme", "s1", by_mail("alice")).await.expect("put");
    assert!(subscriptions.remove("s1", &key("alice")).await.expect("removed"));
    assert!(!subscriptions.remove("s1", &key("alice")).await.expect("removed"));
    assert_eq!(rows_of(&store, &subscriber_part("acme", "s1", spread_of("alice"))).await, 0);
    assert_eq!(rows_of(&store, &subscriptions_part("acme", "alice")).await, 0);
}

#[tokio::test]
async fn all_that_a_user_follows_is_taken_away_and_nobody_elses() {
    let (subscriptions, _, _) = world();
    for subject in 0..PAGE + 20 {
        subscriptions.put("acme", &format!("s{subject}"), by_mail("alice")).await.expect("put");
    }
    subscriptions.put("acme", "s1", by_mail("bo")).await.expect("put");
    assert_eq!(subscriptions.remove_all(&key("alice")).await.expect("removed"), PAGE + 20);
    assert_eq!(subscriptions.remove_all(&key("alice")).await.expect("removed"), 0);
    let left = subscriptions.of_subject("acme", "s1", None, 10).await.expect("read");
    assert_eq!(left.iter().map(|follower| &*follower.user_id).collect::<Vec<_>>(), ["bo"]);
}

#[tokio::test]
async fn of_wishes_of_one_user_the_last_counts_and_only_the_first_is_new() {
    let (subscriptions, _, _) = world();
    let wishes = vec![by_mail("alice"), by_mail("bo"), wish("alice", SubscriptionChannel::App, true)];
    let put = subscriptions.put_many("acme", "s1", wishes).await.expect("put");
    assert_eq!(put.iter().map(|(_, is_new)| *is_new).collect::<Vec<_>>(), [true, true, false]);
    let held = subscriptions.get("s1", &key("alice")).await.expect("read").expect("follows");
    assert_eq!(held.channel, SubscriptionChannel::App);
}

#[tokio::test]
async fn pages_of_a_subject_have_each_follower_once_and_end() {
    let (subscriptions, _, _) = world();
    let wishes = (0..300).map(|number| by_mail(&format!("user-{number}"))).collect();
    subscriptions.put_many("acme", "s1", wishes).await.expect("put");
    let (mut seen, mut after) = (Vec::new(), None::<Box<str>>);
    loop {
        let page = subscriptions.of_subject("acme", "s1", after.as_deref(), 7).await.expect("read");
        seen.extend(page.iter().map(|follower| follower.user_id.clone()));
        match page.last().filter(|_| page.len() == 7) {
            Some(last) => after = Some(last.user_id.clone()),
            None => break,
        }
    }
    assert_eq!(seen.len(), 300);
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 300);
}

#[tokio::test]
async fn few_followers_are_told_at_once_and_those_who_want_nothing_are_passed_over() {
    let (subscriptions, _, _) = world();
    assert_eq!(subscriptions.told("acme", "s1").await.expect("read"), Followers::All(Vec::new()));
    let mut wishes: Vec<Wish> = (0..FOLLOWERS_AT_ONCE).map(|number| by_mail(&format!("user-{number}"))).collect();
    wishes.push(wish("quiet", SubscriptionChannel::None, true));
    wishes.push(wish("away", SubscriptionChannel::Sms, false));
    subscriptions.put_many("acme", "s1", wishes).await.expect("put");
    let Followers::All(told) = subscriptions.told("acme", "s1").await.expect("read") else { panic!("they are few") };
    assert_eq!(told.len(), FOLLOWERS_AT_ONCE);
    assert!(told.iter().all(|follower| follower.user_id.starts_with("user-")));
    subscriptions.put("acme", "s1", by_mail("one more")).await.expect("put");
    assert_eq!(subscriptions.told("acme", "s1").await.expect("read"), Followers::Many);
    assert_eq!(subscriptions.told("other", "s1").await.expect("read"), Followers::All(Vec::new()));
}

#[tokio::test]
async fn a_subject_with_many_rows_is_not_read_to_its_end() {
    let (subscriptions, _, _) = world();
    let wishes = (0..10_000).map(|number| wish(&format!("user-{number}"), SubscriptionChannel::None, true)).collect();
    subscriptions.put_many("acme", "s1", wishes).await.expect("put");
    assert_eq!(subscriptions.told("acme", "s1").await.expect("read"), Followers::Many);
}
