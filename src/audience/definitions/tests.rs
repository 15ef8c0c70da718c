use std::sync::atomic::Ordering;
use std::time::Duration;

use super::follow::{INTERVAL, REREAD};
use super::*;
use crate::clock::ManualClock;
use crate::disk::testing;
use crate::domain::Timestamp;
use crate::intake::fakes::FakeStore;
use crate::store::conformance::StoreBackend;
use crate::store::{CqlPlace, EmbeddedStore};

mod judged;

const NOW: Timestamp = Timestamp(1_800_000_000_000);
const EVENT_TYPE: DefinitionKind = DefinitionKind::EventType;
const RULE: DefinitionKind = DefinitionKind::Rule;

fn shipped(kind: DefinitionKind, name: &str, body: &str) -> Definition {
    // Whatever version a file would say.
    Definition { kind, name: name.into(), version: 9, body: Some(body.into()), changed_at: Timestamp(0) }
}

/// A node over a store.
struct Node {
    definitions: Arc<Definitions>,
    clock: Arc<ManualClock>,
}

impl Node {
    async fn over(store: SharedStore) -> Self {
        let ships = vec![
            shipped(EVENT_TYPE, "user.registered", r#"{"description":"shipped"}"#),
            shipped(EVENT_TYPE, "media.ready", "{}"),
        ];
        Self::with(store, ships, Arc::new(())).await
    }

    async fn with(store: SharedStore, ships: Vec<Definition>, contents: Arc<dyn ContentCheck>) -> Self {
        let clock = ManualClock::starting_at(NOW);
        let definitions = Definitions::open(store, ships, contents, clock.clone()).await.expect("opened");
        Self { definitions, clock }
    }

    async fn put(&self, name: &str, body: &str, expected: Option<u64>) -> Result<Saved, DefinitionError> {
        self.definitions.put("acme", EVENT_TYPE, name, body, expected).await
    }

    async fn delete(&self, name: &str, expected: Option<u64>) -> Result<(), DefinitionError> {
        self.definitions.delete("acme", EVENT_TYPE, name, expected).await
    }

    /// Names, versions, and where they come from.
    fn listed(&self, tenant: &str) -> Vec<(String, u64, Origin)> {
        let listed = self.definitions.list(tenant, EVENT_TYPE).into_iter();
        listed.map(|known| (known.definition.name.into(), known.definition.version, known.origin)).collect()
    }

    fn body(&self, name: &str) -> Option<String> {
        let known = self.definitions.get("acme", EVENT_TYPE, name)?;
        Some(known.definition.body.expect("there").into())
    }
}

fn fake() -> Arc<FakeStore> {
    Arc::default()
}

fn assert_changed<T: std::fmt::Debug>(result: Result<T, DefinitionError>, version: u64) {
    assert!(matches!(&result, Err(DefinitionError::Changed(at)) if *at == version), "{result:?}");
}

#[tokio::test]
async fn what_is_saved_stands_over_what_ships_and_stays_after_opening_again() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let open = || EmbeddedStore::open(testing::disk(dir.path())).expect("the store opens");
    let node = Node::over(open()).await;
    let before = node.definitions.book("acme");
    let saved = node.put("user.registered", r#"{"description":"ours"}"#, None).await.expect("saved");
    assert!(!saved.created, "one shipped");
    assert_eq!((saved.known.origin, saved.known.definition.version), (Origin::Saved, 1));
    assert_eq!(saved.known.definition.changed_at, NOW);
    assert!(!Arc::ptr_eq(&before, &node.definitions.book("acme")), "another book is in force");
    assert!(node.put("wallet.recharged", "{}", None).await.expect("saved").created);
    node.delete("media.ready", None).await.expect("deleted");
    let expected =
        [("user.registered".to_owned(), 1, Origin::Saved), ("wallet.recharged".to_owned(), 1, Origin::Saved)];
    assert_eq!(node.listed("acme"), expected);
    drop(node);
    let next = Node::over(open()).await;
    assert_eq!(next.listed("acme"), expected);
    assert_eq!(next.body("user.registered").as_deref(), Some(r#"{"description":"ours"}"#));
    assert_eq!(next.body("media.ready"), None, "what ships does not come back");
    let of_others =
        [("media.ready".to_owned(), 0, Origin::Shipped), ("user.registered".to_owned(), 0, Origin::Shipped)];
    assert_eq!(next.listed("other"), of_others);
}

#[tokio::test]
async fn versions_go_on_counting_over_a_deletion_and_the_expected_one_is_held_to() {
    let node = Node::over(fake()).await;
    assert_changed(node.put("a", "{}", Some(1)).await, 0);
    assert!(node.put("a", "{}", Some(0)).await.expect("there is none").created);
    assert_changed(node.put("a", r#"{"description":"x"}"#, Some(0)).await, 1);
    assert_changed(node.delete("a", Some(2)).await, 1);
    node.delete("a", Some(1)).await.expect("deleted");
    assert!(matches!(node.delete("a", None).await, Err(DefinitionError::Unknown)));
    assert_changed(node.put("a", "{}", Some(2)).await, 0);
    let again = node.put("a", "{}", Some(0)).await.expect("there is none any more");
    assert_eq!((again.created, again.known.definition.version), (true, 3));
    // What ships is at version 0.
    assert_changed(node.delete("media.ready", Some(1)).await, 0);
    node.delete("media.ready", Some(0)).await.expect("deleted");
    assert!(matches!(node.delete("media.ready", None).await, Err(DefinitionError::Unknown)));
    assert_eq!(node.put("media.ready", "{}", None).await.expect("saved").known.definition.version, 2);
}

#[tokio::test]
async fn what_says_the_same_makes_no_version_but_keeps_what_ships() {
    let node = Node::over(fake()).await;
    let first = node.put("a", r#"{"description":"x","silent_after":"24h"}"#, None).await.expect("saved");
    let again = node.put("a", r#"{ "silent_after": "24h", "description": "x" }"#, Some(1)).await.expect("answered");
    assert_eq!((again.known, again.created), (first.known, false));
    let kept = node.put("media.ready", "{}", None).await.expect("saved");
    assert_eq!((kept.known.origin, kept.known.definition.version), (Origin::Saved, 1));
}

#[tokio::test]
async fn of_two_edits_at_once_one_is_made_or_both_one_after_the_other() {
    let store = fake();
    let (one, other) = (Node::over(store.clone()).await, Node::over(store).await);
    one.put("a", "{}", None).await.expect("saved");
    let (a, b) = tokio::join!(
        one.put("a", r#"{"description":"one"}"#, Some(1)),
        other.put("a", r#"{"description":"other"}"#, Some(1))
    );
    let (won, lost) = if a.is_ok() { (a, b) } else { (b, a) };
    assert_eq!(won.expect("one was made").known.definition.version, 2);
    assert_changed(lost, 2);
    let (a, b) =
        tokio::join!(one.put("a", r#"{"description":"x"}"#, None), other.put("a", r#"{"description":"y"}"#, None));
    let mut versions = [a, b].map(|saved| saved.expect("made").known.definition.version);
    versions.sort_unstable();
    assert_eq!(versions, [3, 4]);
}

#[tokio::test]
async fn what_is_none_of_the_name_or_too_many_is_refused() {
    let node = Node::over(fake()).await;
    for (name, body) in [("User", "{}"), ("a", "[]"), ("fanfare.sent", "{}")] {
        let refused = node.put(name, body, None).await;
        let Err(DefinitionError::Invalid(problems)) = refused else { panic!("{refused:?}") };
        assert_eq!(problems, node.definitions.judge("acme", EVENT_TYPE, name, body));
    }
    assert_eq!(node.listed("acme").len(), 2, "nothing was saved");
    let store = fake();
    for number in 0..998 {
        store.put_definition_uncounted(
            "acme",
            Definition { version: 1, ..shipped(EVENT_TYPE, &format!("a{number}"), "{}") },
        );
    }
    let node = Node::over(store).await;
    node.put("b.first", "{}", None).await.expect_err("with those that ship there are a thousand");
    node.put("a1", r#"{"description":"x"}"#, None).await.expect("changed");
    node.delete("a2", None).await.expect("deleted");
    node.put("b.first", "{}", None).await.expect("saved");
    let refused = node.put("b.second", "{}", None).await;
    assert!(matches!(refused, Err(DefinitionError::TooMany(1000))), "{refused:?}");
    let rule = r#"{"event":"b.first","send":{"user_id":"x","content":{"title":"t","body":"b"}}}"#;
    let rule = node.definitions.put("acme", RULE, "r", rule, None).await;
    assert!(!matches!(rule, Err(DefinitionError::TooMany(_))), "rules are counted for themselves: {rule:?}");
}

/// Lets a node that follows have its readings.
async fn pass(node: &Node, time: Duration) {
    let mut passed = Duration::ZERO;
    while passed < time {
        node.clock.advance(INTERVAL);
        passed += INTERVAL;
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }
}

async fn known_in_time(node: &Node, name: &str) {
    let known = async {
        while node.body(name).is_none() {
            pass(node, INTERVAL).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), known).await.expect("in time");
}

#[tokio::test]
async fn what_one_node_saved_the_other_knows_after_the_next_reading_and_does_not_read_again() {
    let store = fake();
    let (one, other) = (Node::over(store.clone()).await, Node::over(store.clone()).await);
    let following = tokio::spawn(other.definitions.clone().follow());
    tokio::task::yield_now().await;
    one.put("a", "{}", None).await.expect("saved");
    assert_eq!(other.body("a"), None);
    known_in_time(&other, "a").await;
    // One that had begun may see the rows before the number, and reads once more.
    pass(&other, INTERVAL * 2).await;
    let (readings, book) = (store.definition_readings("acme"), other.definitions.book("acme"));
    pass(&other, INTERVAL * 10).await;
    assert_eq!(store.definition_readings("acme"), readings, "the number is the same");
    assert!(Arc::ptr_eq(&book, &other.definitions.book("acme")));
    following.abort();
}

#[tokio::test]
async fn two_nodes_on_one_database_see_each_others_changes_and_do_not_undo_them() {
    let Some(place) = CqlPlace::new().await else { return };
    let (one, other) =
        (Node::over(StoreBackend::open(&place).await).await, Node::over(StoreBackend::open(&place).await).await);
    one.put("a", r#"{"description":"1"}"#, None).await.expect("saved");
    other.definitions.refresh().await.expect("read");
    assert_eq!(other.body("a").as_deref(), Some(r#"{"description":"1"}"#));
    other.put("a", r#"{"description":"2"}"#, Some(1)).await.expect("saved");
    assert_changed(one.put("a", r#"{"description":"3"}"#, Some(1)).await, 2);
    assert_eq!(one.body("a").as_deref(), Some(r#"{"description":"2"}"#), "it read before it judged");
    let (a, b) =
        tokio::join!(one.put("b", r#"{"description":"x"}"#, None), other.put("b", r#"{"description":"y"}"#, None));
    let mut versions = [a, b].map(|saved| saved.expect("made").known.definition.version);
    versions.sort_unstable();
    assert_eq!(versions, [1, 2]);
    other.delete("a", None).await.expect("deleted");
    for node in [&one, &other] {
        node.definitions.refresh().await.expect("read");
        assert_eq!(node.body("a"), None);
    }
    assert_eq!(one.body("b"), other.body("b"));
    let next = Node::over(StoreBackend::open(&place).await).await;
    assert_eq!(next.listed("acme"), one.listed("acme"));
}

#[tokio::test]
async fn a_change_whose_node_died_before_it_was_counted_is_known_after_a_while() {
    let store = fake();
    let (one, other) = (Node::over(store.clone()).await, Node::over(store.clone()).await);
    one.put("a", "{}", None).await.expect("saved");
    other.definitions.refresh().await.expect("read");
    store.put_definition_uncounted("acme", Definition { version: 1, ..shipped(EVENT_TYPE, "b", "{}") });
    other.definitions.refresh().await.expect("read");
    assert_eq!(other.body("b"), None);
    other.clock.advance(REREAD);
    other.definitions.refresh().await.expect("read");
    assert!(other.body("b").is_some());
}

#[tokio::test]
async fn an_older_reading_takes_nothing_back() {
    let store = fake();
    let node = Node::over(store.clone()).await;
    node.put("a", r#"{"description":"1"}"#, None).await.expect("saved");
    node.put("a", r#"{"description":"2"}"#, None).await.expect("saved");
    // As a replica that lags would answer.
    store.put_definition_uncounted("acme", Definition { version: 1, ..shipped(EVENT_TYPE, "a", "{}") });
    node.clock.advance(REREAD);
    node.definitions.refresh().await.expect("read");
    assert_eq!(node.body("a").as_deref(), Some(r#"{"description":"2"}"#));
}

#[tokio::test]
async fn neither_an_error_nor_a_panic_ends_the_following_and_what_was_known_stays() {
    let store = fake();
    let (one, other) = (Node::over(store.clone()).await, Node::over(store.clone()).await);
    one.put("a", "{}", None).await.expect("saved");
    let following = tokio::spawn(other.definitions.clone().follow());
    tokio::task::yield_now().await;
    known_in_time(&other, "a").await;
    store.is_down.store(true, Ordering::SeqCst);
    pass(&other, INTERVAL * 3).await;
    assert!(matches!(other.put("b", "{}", None).await, Err(DefinitionError::Store(_))));
    assert!(other.body("a").is_some());
    store.is_down.store(false, Ordering::SeqCst);
    store.spoil_definitions("acme");
    pass(&other, INTERVAL * 3).await;
    one.put("b", "{}", None).await.expect("saved");
    known_in_time(&other, "b").await;
    assert!(!following.is_finished());
    following.abort();
    store.is_down.store(true, Ordering::SeqCst);
    let clock = ManualClock::starting_at(NOW);
    let opened = Definitions::open(store, Vec::new(), Arc::new(()), clock).await;
    assert!(opened.is_err(), "no node starts without knowing what is in force");
}

#[tokio::test]
async fn books_of_tenants_that_saved_nothing_are_kept_to_a_number() {
    let node = Node::over(fake()).await;
    node.put("a", "{}", None).await.expect("saved");
    for number in 0..UNSAVED_MAX * 2 {
        node.definitions.book(&format!("tenant {number}"));
    }
    let held = node.definitions.tenants.read().expect("not poisoned").len();
    assert_eq!(held, UNSAVED_MAX + 1);
    assert_eq!(node.body("a").as_deref(), Some("{}"), "what was saved is always known");
}
