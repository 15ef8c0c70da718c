use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::testing::{FakeDoor, FakeReader, Whim, record};
use super::*;
use crate::domain::{DomainEvent, Timestamp};
use crate::intake::fakes::{FakeLog, FakeStore, InstantClock};
use crate::log::{Foreign, Outlet, Record};
use crate::store::{DeadLetter, DeadLetterCause, DeadLetters};

const TYPE: &str = "wallet.recharged";
const BODY_MAX: usize = 4096;

/// A partition with these records, being worked on.
struct Working {
    door: Arc<FakeDoor>,
    log: Arc<FakeLog>,
    store: Arc<FakeStore>,
    committed: Arc<AtomicU64>,
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl Working {
    fn on(door: Arc<FakeDoor>, records: Vec<Record>) -> Self {
        Self::over(FakeLog::shared(), Arc::default(), door, records)
    }

    /// Nothing of it is committed.
    fn over(log: Arc<FakeLog>, store: Arc<FakeStore>, door: Arc<FakeDoor>, records: Vec<Record>) -> Self {
        let committed = Arc::<AtomicU64>::default();
        let parts = EventTopicParts {
            log: log.clone(),
            store: store.clone(),
            door: door.clone(),
            clock: Arc::new(InstantClock),
            body_max: BODY_MAX,
        };
        let stop = CancellationToken::new();
        let reader = FakeReader { records, committed: committed.clone() };
        let running = tokio::spawn(Partition::new(parts, Box::new(reader), stop.clone()).run());
        Self { door, log, store, committed, stop, running }
    }

    /// Waits until all below `offset` is done, and stops.
    async fn until(self, offset: u64) -> Self {
        for _ in 0..100_000 {
            if self.committed.load(Ordering::SeqCst) >= offset {
                self.stop.cancel();
                return self;
            }
            tokio::task::yield_now().await;
        }
        panic!("{} of {offset} records were done", self.committed.load(Ordering::SeqCst));
    }

    async fn letters(&self) -> Vec<DeadLetter> {
        self.store.dead_letters("", None, 100).await.expect("listed")
    }

    fn reasons(&self) -> Vec<String> {
        let told = self.log.told();
        let error = |told: &crate::log::Told| {
            let found = told.headers.iter().find(|(name, _)| *name == "error").expect("a reason");
            String::from_utf8(found.1.to_vec()).expect("text")
        };
        told.iter().map(error).collect()
    }
}

fn plain(id: &str) -> String {
    format!(r#"{{"type": "{TYPE}", "id": "{id}", "data": {{}}}}"#)
}

fn numbered(count: u64) -> Vec<Record> {
    (0..count).map(|offset| record(offset, &plain(&offset.to_string()), Foreign::default())).collect()
}

fn read(record: &Record) -> Result<DomainEvent, String> {
    read_record(record, "fanfare.events", BODY_MAX, Timestamp(5000))
}

#[tokio::test]
async fn events_are_handed_in_by_the_batch_and_committed_after() {
    let working = Working::on(FakeDoor::declaring(&[TYPE]), numbered(1200)).until(1200).await;
    let sizes: Vec<usize> = working.door.batches().iter().map(Vec::len).collect();
    assert_eq!(sizes, [500, 500, 200]);
    working.running.await.expect("it ends");
    assert!(working.log.told().is_empty());
}

#[tokio::test]
async fn what_cannot_be_used_is_put_aside_with_its_reason_and_the_rest_goes_on() {
    let records = vec![
        record(0, "rubbish", Foreign::default()),
        record(1, &plain("1"), Foreign::default()),
        record(2, r#"{"type": "wallet.rechargd", "id": "2"}"#, Foreign::default()),
        record(3, &format!(r#"{{"type": "{TYPE}", "id": "3", "data": {{"bad": 1}}}}"#), Foreign::default()),
        record(4, &"x".repeat(BODY_MAX + 1), Foreign::default()),
        record(5, &plain("5"), Foreign::default()),
    ];
    let working = Working::on(FakeDoor::declaring(&[TYPE]), records).until(6).await;
    let reasons = working.reasons();
    let expected = ["JSON", "has the type `wallet.rechargd`", "/data/bad is no field", "is too large"];
    assert_eq!(reasons.len(), expected.len(), "{reasons:?}");
    for (reason, expected) in reasons.iter().zip(expected) {
        assert!(reason.contains(expected), "{reason} has no `{expected}`");
    }
    let told = &working.log.told()[0];
    assert_eq!((told.outlet, &told.body[..]), (Outlet::DeadLetters, &b"rubbish"[..]));
    let named = |name: &str| told.headers.iter().find(|(header, _)| *header == name).map(|(_, value)| &value[..]);
    assert_eq!(named("source-topic"), Some(&b"fanfare.events"[..]));
    assert_eq!((named("source-partition"), named("source-offset")), (Some(&b"3"[..]), Some(&b"0"[..])));
    let letters = working.letters().await;
    assert_eq!(letters.len(), 4);
    assert!(letters.iter().all(|letter| matches!(&letter.cause, DeadLetterCause::Foreign(kept) if kept.is_whole)));
}

#[tokio::test]
async fn a_door_that_is_shut_is_tried_again_and_nothing_is_committed_meanwhile() {
    let door = FakeDoor::declaring(&[TYPE]);
    door.then(&[Whim::Unavailable; 5]);
    let working = Working::on(door, numbered(3)).until(3).await;
    assert_eq!(working.door.ids(), ["0", "1", "2"]);
    assert!(working.reasons().is_empty());
}

#[tokio::test]
async fn a_node_that_stops_at_a_shut_door_commits_nothing() {
    let door = FakeDoor::declaring(&[TYPE]);
    door.then(&[Whim::Unavailable; 1_000]);
    let working = Working::on(door, numbered(3));
    tokio::task::yield_now().await;
    working.stop.cancel();
    working.running.await.expect("it ends");
    assert_eq!(working.committed.load(Ordering::SeqCst), 0);
    assert!(working.door.ids().is_empty());
}

#[tokio::test]
async fn a_door_that_fails_once_loses_nothing() {
    for whim in [Whim::Panic, Whim::Conflict, Whim::NoAnswers] {
        let door = FakeDoor::declaring(&[TYPE]);
        door.then(&[whim]);
        let working = Working::on(door, numbered(3)).until(3).await;
        assert_eq!(working.door.ids(), ["0", "1", "2"], "{whim:?}");
        assert!(working.reasons().is_empty(), "{whim:?}");
    }
}

#[tokio::test]
async fn an_event_that_the_door_always_fails_at_is_put_aside_alone() {
    let door = FakeDoor::declaring(&[TYPE]);
    *door.poison.lock().expect("not poisoned") = Some("1");
    let working = Working::on(door, numbered(4)).until(4).await;
    assert_eq!(working.door.ids(), ["0", "2", "3"]);
    let reasons = working.reasons();
    assert!(reasons.len() == 1 && reasons[0].contains("the engine fails at it"), "{reasons:?}");
}

#[test]
fn an_event_without_an_id_has_that_of_its_place_whenever_it_is_read() {
    let at = |appended_at| Foreign { appended_at: Timestamp(appended_at), ..Foreign::default() };
    let body = format!(r#"{{"type": "{TYPE}"}}"#);
    let event = read(&record(7, &body, at(1000))).expect("read");
    assert_eq!((&*event.id, event.accepted_at), ("fanfare.events-3-7-1000", Timestamp(1000)));
    assert_eq!(event, read(&record(7, &body, at(1000))).expect("read"));
    // The same place in a topic that was made anew.
    assert_ne!(event.id, read(&record(7, &body, at(1001))).expect("read").id);
    assert_eq!(read(&record(7, &body, at(9000))).expect("read").accepted_at, Timestamp(5000), "the future is now");
    let idempotency_key = Some(Bytes::from_static(b"once"));
    assert_eq!(&*read(&record(7, &body, Foreign { idempotency_key, ..at(1) })).expect("read").id, "once");
    assert_eq!(&*read(&record(7, &plain("own"), at(1))).expect("read").id, "own");
}

#[test]
fn the_headers_of_a_cloud_event_and_the_tenant_are_read() {
    let header = |name, value: &'static [u8]| (name, Bytes::from_static(value));
    let foreign = Foreign {
        tenant: Some(Bytes::from_static(b"acme")),
        cloud_event: vec![
            header("ce_specversion", b"1.0"),
            header("ce_id", b"e1"),
            header("ce_type", TYPE.as_bytes()),
            header("ce_source", b"/wallet"),
            header("ce_userid", b"alice"),
        ],
        ..Foreign::default()
    };
    let event = read(&record(0, r#"{"amount": 5}"#, foreign.clone())).expect("read");
    assert_eq!((&*event.tenant, &*event.id, &*event.event_type), ("acme", "e1", TYPE));
    assert_eq!((event.user_id.as_deref(), event.source.as_deref()), (Some("alice"), Some("/wallet")));
    let mut spoilt = foreign;
    spoilt.cloud_event[1] = header("ce_id", b"\xff");
    assert!(read(&record(0, "{}", spoilt)).expect_err("no text").contains("ce_id"));
}

#[test]
fn a_content_type_or_tenant_that_is_none_is_refused_in_words() {
    for (content_type, expected) in [
        ("text/plain", "has the content type `text/plain`"),
        ("application/cloudevents-batch+json", "a record of its own"),
        ("application/x-bincode", "use application/json"),
    ] {
        let foreign = Foreign { content_type: Some(content_type.into()), ..Foreign::default() };
        let reason = read(&record(0, &plain("1"), foreign)).expect_err("refused");
        assert!(reason.contains(expected), "{reason}");
    }
    let foreign = Foreign { tenant: Some(Bytes::from_static(b"")), ..Foreign::default() };
    assert!(read(&record(0, &plain("1"), foreign)).expect_err("refused").contains("`tenant`"));
    let own = Record { foreign: None, ..record(0, &plain("1"), Foreign::default()) };
    assert!(read(&own).expect_err("refused").contains("own encoding"));
}

#[tokio::test]
async fn what_was_put_aside_before_the_commit_is_not_told_again() {
    let records = || vec![record(0, "rubbish", Foreign::default())];
    let first = Working::on(FakeDoor::declaring(&[TYPE]), records()).until(1).await;
    assert_eq!(first.log.told().len(), 1);
    // The commit was lost.
    let (log, store) = (first.log.clone(), first.store.clone());
    let again = Working::over(log, store, first.door.clone(), records()).until(1).await;
    assert_eq!((again.log.told().len(), again.letters().await.len()), (1, 1));
}
