use std::sync::atomic::Ordering;
use std::time::Duration;

use super::fakes::FakeCompiled;
use super::*;
use crate::clock::ManualClock;
use crate::codec;
use crate::domain::{TemplateAction, TemplateChange, TemplateSource, Timestamp};
use crate::intake::fakes::FakeStore;
use crate::store::{TemplateBodyPlace, TemplateRows};

const NOW: Timestamp = Timestamp(1_800_000_000_000);

/// A node over a store, with what it would render from.
struct Node {
    templates: Arc<Templates>,
    compiled: Arc<FakeCompiled>,
    clock: Arc<ManualClock>,
}

impl Node {
    async fn over(store: &Arc<FakeStore>) -> Self {
        let compiled = FakeCompiled::with_built_in(source("shipped", "shipped"));
        let clock = ManualClock::starting_at(NOW);
        let templates = Templates::open(store.clone(), compiled.clone(), clock.clone()).await.expect("opened");
        Self { templates, compiled, clock }
    }

    async fn order_if(&self, code: &str, condition: Condition, order: Order) -> Result<Changed, TemplateError> {
        let wish = Wish { tenant: "acme", code, by: "key 1", condition: &condition };
        self.templates.change(wish, &order).await
    }

    async fn order(&self, code: &str, order: Order) -> Result<Changed, TemplateError> {
        self.order_if(code, Condition::Any, order).await
    }

    async fn put(&self, code: &str, body: &str) -> Result<Changed, TemplateError> {
        self.order(code, put(code, body)).await
    }

    async fn problem(&self, entry: Entry) -> Option<String> {
        self.templates.problems("acme", &[entry]).await.expect("judged").remove(0)
    }

    /// Version and body of what messages are made of.
    fn in_force(&self, code: &str) -> Option<(u32, String)> {
        match self.compiled.saved("acme", code)? {
            SavedTemplate::Current(current) => {
                Some((current.version, current.source.locales["en"].body.clone().expect("a body").into()))
            }
            SavedTemplate::Unreadable(reason) => Some((0, reason.into())),
            SavedTemplate::Nothing => None,
        }
    }
}

fn source(code: &str, body: &str) -> TemplateSource {
    let text = serde_json::json!({"code": code, "locales": {"en": {"title": "t", "body": body}}});
    serde_json::from_value(text).expect("a template")
}

fn put(code: &str, body: &str) -> Order {
    Order::Put { source: Arc::new(source(code, body)), comment: None }
}

fn assert_error<T: std::fmt::Debug>(result: Result<T, TemplateError>, expected: &str) {
    let error = result.expect_err("refused").to_string();
    assert!(error.contains(expected), "{error}");
}

#[tokio::test]
async fn what_one_node_saved_the_other_knows_after_the_next_reading_and_not_again() {
    let store = Arc::new(FakeStore::default());
    let (one, other) = (Node::over(&store).await, Node::over(&store).await);
    let changed = one.put("welcome", "Hello").await.expect("saved");
    assert!(changed.is_new && !changed.is_as_before);
    assert_eq!(one.in_force("welcome"), Some((1, "Hello".into())));
    assert_eq!(other.in_force("welcome"), None);
    let following = tokio::spawn(other.templates.clone().follow());
    for _ in 0..3 {
        tokio::task::yield_now().await;
        other.clock.advance(INTERVAL);
    }
    let known = async {
        while other.templates.entry("acme", "welcome").is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), known).await.expect("in time");
    assert_eq!(other.in_force("welcome"), Some((1, "Hello".into())));
    following.abort();
    other.templates.refresh().await.expect("read");
    other.templates.refresh().await.expect("read");
    assert_eq!(other.compiled.steps().len(), 1, "nothing changed since");
}

#[tokio::test]
async fn what_was_saved_is_in_force_at_the_next_start_in_one_step() {
    let store = Arc::new(FakeStore::default());
    let node = Node::over(&store).await;
    for code in ["a", "b", "c"] {
        node.put(code, "1").await.expect("saved");
        node.put(code, "2").await.expect("saved");
    }
    node.order("a", Order::RollBack { version: 1 }).await.expect("rolled back");
    node.order("b", Order::Delete).await.expect("deleted");
    let next = Node::over(&store).await;
    assert_eq!(next.in_force("a"), Some((1, "1".into())));
    assert_eq!(next.in_force("b"), None);
    assert_eq!(next.in_force("c"), Some((2, "2".into())));
    assert_eq!(next.compiled.steps().len(), 1, "nobody sees some of them without the others");
    assert_eq!(next.templates.codes("acme"), ["a", "c", "shipped"].map(Box::from));
    assert_eq!(next.templates.codes("other"), ["shipped"].map(Box::from));
}

#[tokio::test]
async fn of_two_edits_at_once_each_is_judged_by_what_the_other_made() {
    let store = Arc::new(FakeStore::default());
    let (one, other) = (Node::over(&store).await, Node::over(&store).await);
    let first = one.put("welcome", "first").await.expect("saved").history.last_change();
    let at_first = Condition::IsAt(vec![first]);
    // Both have read the same state, and say so: one of them comes second.
    let (a, b) = tokio::join!(
        one.order_if("welcome", at_first.clone(), put("welcome", "a")),
        other.order_if("welcome", at_first, put("welcome", "b"))
    );
    let (won, lost) = if a.is_ok() { (a, b) } else { (b, a) };
    assert_eq!(won.expect("one was made").history.current, Some(2));
    assert_error(lost, "not in the state");
    // Without a condition both are made, one after the other.
    let (a, b) = tokio::join!(one.put("welcome", "x"), other.put("welcome", "y"));
    let mut versions = [a, b].map(|changed| changed.expect("made").history.current);
    versions.sort();
    assert_eq!(versions, [Some(3), Some(4)]);
}

#[tokio::test]
async fn a_partial_that_others_include_cannot_go_and_one_that_is_not_there_cannot_be_included() {
    let store = Arc::new(FakeStore::default());
    let (one, other) = (Node::over(&store).await, Node::over(&store).await);
    assert!(matches!(other.put("mail", "Hi {{> footer}}").await, Err(TemplateError::Invalid(_))));
    one.put("footer", "Bye").await.expect("saved");
    other.put("mail", "Hi {{> footer}}").await.expect("the other node has read it before it judged");
    assert_error(one.order("footer", Order::Delete).await, "mail");
    assert_error(one.order("footer", Order::SetActive(false)).await, "mail");
    other.put("mail", "Hi").await.expect("saved");
    assert_error(other.order("footer", Order::DeleteVersion { version: 1 }).await, "in force");
    one.order("footer", Order::Delete).await.expect("nobody needs it");
    // Its first version needs what is gone.
    assert!(matches!(one.order("mail", Order::RollBack { version: 1 }).await, Err(TemplateError::Invalid(_))));
}

#[tokio::test]
async fn what_changes_nothing_makes_no_version() {
    let store = Arc::new(FakeStore::default());
    let node = Node::over(&store).await;
    let first = node.put("welcome", "Hello").await.expect("saved");
    for order in [put("welcome", "Hello"), Order::SetActive(true), Order::RollBack { version: 1 }] {
        let again = node.order("welcome", order).await.expect("answered");
        assert!(again.is_as_before);
        assert_eq!(again.history, first.history);
    }
    assert_eq!(store.template_changes("acme", 0, 9).await.expect("read").len(), 1);
}

#[tokio::test]
async fn versions_go_on_counting_after_a_deletion_and_what_was_covered_comes_back() {
    let store = Arc::new(FakeStore::default());
    let node = Node::over(&store).await;
    assert_error(node.order("shipped", Order::Delete).await, "built-in");
    assert_error(node.order("none", Order::Delete).await, "no such template");
    node.put("shipped", "ours").await.expect("saved");
    assert_eq!(node.templates.entry("acme", "shipped").expect("there").origin, TemplateOrigin::Saved);
    node.order("shipped", Order::Delete).await.expect("deleted");
    let entry = node.templates.entry("acme", "shipped").expect("there");
    assert_eq!((entry.origin, entry.version(), entry.last_change()), (TemplateOrigin::Shipped, 0, 2));
    let source = node.templates.source("acme", "shipped", None).await.expect("read");
    assert_eq!(source.locales["en"].body.as_deref(), Some("shipped"));
    assert_error(node.order("shipped", Order::Delete).await, "built-in");
    let again =
        node.order("shipped", Order::Create { source: Arc::new(self::source("shipped", "ours")), comment: None });
    assert_eq!(again.await.expect("saved").history.current, Some(2));
    assert_error(
        node.order("shipped", Order::Create { source: Arc::new(self::source("shipped", "ours")), comment: None }).await,
        "already",
    );
}

#[tokio::test]
async fn a_version_that_was_deleted_is_gone_and_one_with_the_same_words_is_not() {
    let store = Arc::new(FakeStore::default());
    let node = Node::over(&store).await;
    for body in ["same", "other", "same", "last"] {
        node.put("welcome", body).await.expect("saved");
    }
    node.order("welcome", Order::DeleteVersion { version: 1 }).await.expect("deleted");
    assert_error(node.templates.source("acme", "welcome", Some(1)).await, "no such");
    let third = node.templates.source("acme", "welcome", Some(3)).await.expect("another body");
    assert_eq!(third.locales["en"].body.as_deref(), Some("same"));
    node.order("welcome", Order::RollBack { version: 3 }).await.expect("rolled back");
    assert_eq!(node.in_force("welcome"), Some((3, "same".into())));
    let changes = node.templates.changes("acme", "welcome", None, 3).await.expect("read");
    let told: Vec<(u64, &str)> = changes.iter().map(|change| (change.number, change.action.name())).collect();
    assert_eq!(told, [(6, "rolled_back"), (5, "version_deleted"), (4, "saved")]);
    let changes = node.templates.changes("acme", "welcome", Some(4), 9).await.expect("read");
    assert_eq!(changes.iter().map(|change| change.number).collect::<Vec<_>>(), [3, 2, 1]);
}

#[tokio::test]
async fn a_store_that_does_not_answer_leaves_what_was_known_in_force() {
    let store = Arc::new(FakeStore::default());
    let node = Node::over(&store).await;
    node.put("welcome", "Hello").await.expect("saved");
    store.is_down.store(true, Ordering::SeqCst);
    assert!(node.templates.refresh().await.is_err());
    assert!(matches!(node.put("welcome", "Bye").await, Err(TemplateError::Store(_))));
    assert_eq!(node.in_force("welcome"), Some((1, "Hello".into())));
    let opened = Templates::open(store.clone(), node.compiled.clone(), node.clock.clone()).await;
    assert!(opened.is_err(), "nobody starts without knowing what to send");
    store.is_down.store(false, Ordering::SeqCst);
    node.put("welcome", "Bye").await.expect("saved");
    assert_eq!(node.in_force("welcome"), Some((2, "Bye".into())));
}

#[tokio::test]
async fn a_template_that_this_binary_cannot_read_fails_alone_and_is_mended_by_saving_it() {
    let store = Arc::new(FakeStore::default());
    let node = Node::over(&store).await;
    node.put("good", "Hello").await.expect("saved");
    // As a newer binary would.
    let action = TemplateAction::Saved { version: 1, body: 7, comment: None };
    let change = TemplateChange { number: 2, code: "newer".into(), action, by: "key 1".into(), at: NOW };
    let place = TemplateBodyPlace { code: "newer".into(), body: 7 };
    store.put_template_body("acme", &place, b"\x02what nobody knows").await.expect("kept");
    assert!(store.append_template_change("acme", &change).await.expect("appended"));
    let next = Node::over(&store).await;
    assert_eq!(next.in_force("good"), Some((1, "Hello".into())));
    let entry = next.templates.entry("acme", "newer").expect("there");
    let problem = next.problem(entry).await.expect("a problem");
    assert!(problem.contains("version 1 cannot be read: its version 2 is not known"), "{problem}");
    assert_error(next.templates.source("acme", "newer", None).await, "cannot be read");
    next.put("newer", "Hello").await.expect("saved");
    assert_eq!(next.in_force("newer"), Some((2, "Hello".into())));
    assert_eq!(next.problem(next.templates.entry("acme", "newer").expect("there")).await, None);
}

#[tokio::test]
async fn an_experiment_ends_with_the_parts_of_its_winner() {
    let store = Arc::new(FakeStore::default());
    let node = Node::over(&store).await;
    let text = serde_json::json!({"code": "welcome", "locales": {"en": {"title": "t", "body": "control"}},
        "experiment": {"variants": [{"name": "b", "weight": 1, "locales": {"en": {"body": "better"}}}]}});
    let source = Arc::new(serde_json::from_value(text).expect("a template"));
    node.order("welcome", Order::Put { source, comment: None }).await.expect("saved");
    assert_error(node.order("welcome", Order::Promote { variant: "c".into() }).await, "no variant");
    node.order("welcome", Order::Promote { variant: "b".into() }).await.expect("promoted");
    assert_eq!(node.in_force("welcome"), Some((2, "better".into())));
    assert_error(node.order("welcome", Order::Promote { variant: "b".into() }).await, "no variant");
}

#[tokio::test]
async fn what_no_file_could_say_is_not_saved() {
    let store = Arc::new(FakeStore::default());
    let node = Node::over(&store).await;
    for example in [serde_json::json!({"a": [null]}), serde_json::json!(u64::MAX)] {
        let mut source = source("welcome", "Hello");
        source.variables =
            vec![serde_json::from_value(serde_json::json!({"name": "x", "example": example})).expect("one")];
        let refused = node.order("welcome", Order::Put { source: Arc::new(source), comment: None }).await;
        let Err(TemplateError::Invalid(problems)) = refused else { panic!("{refused:?}") };
        assert_eq!(&*problems[0].pointer, "/variables/0/example");
    }
}

/// Appends what another node saved whose body has not come here; the place for it.
async fn save_without_body(store: &FakeStore, tenant: &str, number: u64, version: u32) -> TemplateBodyPlace {
    let body = u128::from(number);
    let action = TemplateAction::Saved { version, body, comment: None };
    let change = TemplateChange { number, code: "welcome".into(), action, by: "key 1".into(), at: NOW };
    assert!(store.append_template_change(tenant, &change).await.expect("appended"));
    TemplateBodyPlace { code: "welcome".into(), body }
}

#[tokio::test]
async fn while_a_body_is_missing_what_was_in_force_before_stays_so_until_it_is_there() {
    let store = Arc::new(FakeStore::default());
    let node = Node::over(&store).await;
    node.put("welcome", "one").await.expect("saved");
    let place = save_without_body(&store, "acme", 2, 2).await;
    for _ in 0..2 {
        node.templates.refresh().await.expect("read");
        assert_eq!(node.in_force("welcome"), Some((1, "one".into())));
    }
    assert_error(node.put("other", "not judged by what is in force").await, "`welcome` is not there yet");
    store.put_template_body("acme", &place, &codec::encode_template(&source("welcome", "two"))).await.expect("kept");
    node.templates.refresh().await.expect("read");
    assert_eq!(node.in_force("welcome"), Some((2, "two".into())));
    assert_eq!(node.compiled.steps().len(), 2);
    node.put("other", "Hello").await.expect("saved");
}

#[tokio::test]
async fn a_template_whose_body_stays_away_fails_and_is_there_again_when_the_body_is() {
    let store = Arc::new(FakeStore::default());
    let node = Node::over(&store).await;
    node.put("welcome", "one").await.expect("saved");
    let place = save_without_body(&store, "acme", 2, 2).await;
    node.templates.refresh().await.expect("read");
    node.clock.advance(follow::BODY_WAIT);
    for _ in 0..2 {
        node.templates.refresh().await.expect("read");
        assert!(node.in_force("welcome").expect("something").1.contains("version 2 cannot be read"));
    }
    assert_eq!(node.compiled.steps().len(), 2, "said once");
    // A node that starts has nothing to go on with.
    let next = Node::over(&store).await;
    assert!(next.in_force("welcome").expect("something").1.contains("version 2 cannot be read"));
    store.put_template_body("acme", &place, &codec::encode_template(&source("welcome", "two"))).await.expect("kept");
    for node in [node, next] {
        node.templates.refresh().await.expect("read");
        assert_eq!(node.in_force("welcome"), Some((2, "two".into())));
        assert_eq!(node.problem(node.templates.entry("acme", "welcome").expect("there")).await, None);
    }
}

#[tokio::test]
async fn a_change_that_cannot_be_read_stops_the_following_of_its_tenant_alone() {
    let store = Arc::new(FakeStore::default());
    let node = Node::over(&store).await;
    for body in ["one", "two", "three"] {
        node.put("welcome", body).await.expect("saved");
    }
    let others = save_without_body(&store, "other", 1, 1).await;
    store
        .put_template_body("other", &others, &codec::encode_template(&source("welcome", "theirs")))
        .await
        .expect("kept");
    store.damage_template_change("acme", 3);
    let next = Node::over(&store).await;
    assert_eq!(next.in_force("welcome"), Some((2, "two".into())), "what comes before it is in force");
    assert!(matches!(next.compiled.saved("other", "welcome"), Some(SavedTemplate::Current(_))));
    assert_error(next.put("welcome", "four").await, "of their change 3: this version of the program cannot read it");
    store.damage_template_change("nobody", 3);
    next.templates.refresh().await.expect("read");
    assert_eq!(next.in_force("welcome"), Some((3, "three".into())));
    next.put("welcome", "four").await.expect("saved");
}

#[tokio::test]
async fn nothing_is_taken_from_behind_a_gap() {
    let store = Arc::new(FakeStore::default());
    let node = Node::over(&store).await;
    node.put("welcome", "one").await.expect("saved");
    save_without_body(&store, "acme", 3, 3).await;
    node.templates.refresh().await.expect("read");
    assert_eq!(node.in_force("welcome"), Some((1, "one".into())));
    assert_error(node.put("welcome", "two").await, "of their change 2: it is missing");
}

#[tokio::test]
async fn a_template_is_not_deleted_where_the_one_that_it_covers_cannot_take_its_place() {
    let store = Arc::new(FakeStore::default());
    let compiled = FakeCompiled::with_built_in(source("shipped", "Hi {{> footer}}"));
    let clock = ManualClock::starting_at(NOW);
    let templates = Templates::open(store, compiled.clone(), clock.clone()).await.expect("opened");
    let node = Node { templates, compiled, clock };
    node.put("shipped", "ours").await.expect("saved");
    assert_error(node.order("shipped", Order::Delete).await, "no partial `footer`");
    node.put("footer", "Bye").await.expect("saved");
    node.order("shipped", Order::Delete).await.expect("deleted");
}

#[tokio::test]
async fn what_was_written_in_a_deleted_template_can_be_deleted_and_again_if_it_failed() {
    let store = Arc::new(FakeStore::default());
    let node = Node::over(&store).await;
    node.put("welcome", "one").await.expect("saved");
    node.order("welcome", Order::Delete).await.expect("deleted");
    let version = node.templates.held("acme", "welcome").expect("known").history.versions[0].clone();
    let place = [TemplateBodyPlace { code: "welcome".into(), body: version.body }];
    assert!(store.template_bodies("acme", &place).await.expect("read")[0].is_some());
    node.order("welcome", Order::DeleteVersion { version: 1 }).await.expect("deleted");
    assert_eq!(store.template_bodies("acme", &place).await.expect("read"), [None]);
    store.put_template_body("acme", &place[0], b"as if it had failed").await.expect("kept");
    let again = node.order("welcome", Order::DeleteVersion { version: 1 }).await.expect("deleted again");
    assert!(again.is_as_before);
    assert_eq!(store.template_bodies("acme", &place).await.expect("read"), [None]);
    assert_error(node.order("welcome", Order::DeleteVersion { version: 2 }).await, "no such");
}

#[tokio::test]
async fn more_judgements_than_there_is_room_for_are_refused() {
    let node = Node::over(&Arc::default()).await;
    let source = Arc::new(source("welcome", "Hello"));
    let places = node.templates.asked.clone().acquire_many_owned(look::ASKED_MAX as u32).await.expect("free");
    assert!(matches!(node.templates.validate("acme", &source).await, Err(TemplateError::Overloaded)));
    drop(places);
    node.templates.validate("acme", &source).await.expect("judged");
}
