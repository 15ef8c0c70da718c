//! Two processes over one log, one store and one coordination.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::*;
use crate::clock::{Clock, ManualClock};
use crate::coordination::{
    Claims, Coordination, Fanout, Lease, LocalCoordination, Presence, PresentNodes, Rate, Subscription, TokenLeases,
    UserKey,
};
use crate::domain::{Idempotency, NotificationRequest, Source, Timestamp};
use crate::intake::fakes::{FakeLog, FakeStore};
use crate::intake::patience::SILENCE;
use crate::intake::{AcceptError, Accepted, Acceptor, Envelope, read_request};

struct Cluster {
    log: Arc<FakeLog>,
    store: Arc<FakeStore>,
    clock: Arc<ManualClock>,
    processes: [Process; 2],
}

struct Process {
    acceptor: Arc<Acceptor>,
    memory: Arc<AcceptedKeys>,
}

type Answer = Result<Accepted, AcceptError>;

impl Cluster {
    fn over(log: Arc<FakeLog>) -> Self {
        let clock = ManualClock::starting_at(Timestamp::parse("2026-11-21T12:00:00Z").expect("a time"));
        let store = Arc::new(FakeStore::default());
        let coordination: SharedCoordination = Arc::new(LocalCoordination::new(clock.clone()));
        let processes = [1, 2].map(|number| {
            let memory = Arc::<AcceptedKeys>::default();
            let window = Duration::from_secs(86_400);
            let keys = ClusterKeys::new(coordination.clone(), store.clone(), clock.clone(), window, number);
            let acceptor = Acceptor::new(log.clone(), store.clone(), clock.clone(), memory.clone()).among(keys);
            Process { acceptor: Arc::new(acceptor), memory }
        });
        Self { log, store, clock, processes }
    }

    fn begin(&self, process: usize, key: u128, body_hash: u64) -> JoinHandle<Answer> {
        let (acceptor, request) = (self.processes[process].acceptor.clone(), self.request(key, body_hash));
        tokio::spawn(async move { acceptor.accept(vec![request]).await.map(|answers| answers[0]) })
    }

    /// Lets time pass until the call has ended.
    async fn end(&self, call: JoinHandle<Answer>) -> Answer {
        while !call.is_finished() {
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            self.clock.advance(Duration::from_millis(10));
        }
        call.await.expect("it does not panic")
    }

    async fn accept(&self, process: usize, key: u128, body_hash: u64) -> Answer {
        self.end(self.begin(process, key, body_hash)).await
    }

    fn request(&self, key: u128, body_hash: u64) -> NotificationRequest {
        let categories = crate::config::defaults().categories().expect("the default is there");
        let envelope = Envelope {
            categories: &categories,
            contents: &(),
            tenant: "default",
            source: Source::Http,
            idempotency: Some(Idempotency { key: ClaimKey(key), body_hash, batch: None }),
            now: self.clock.now(),
        };
        read_request(r#"{"user_id":"u","template":"t"}"#, &envelope).expect("valid")
    }
}

#[tokio::test]
async fn one_key_at_two_processes_at_once_is_one_record_and_both_answer_its_id() {
    let cluster = Cluster::over(FakeLog::held_up());
    let one = cluster.begin(0, 1, 7);
    while cluster.log.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    let other = cluster.begin(1, 1, 7);
    for _ in 0..20 {
        tokio::task::yield_now().await;
        cluster.clock.advance(Duration::from_millis(10));
    }
    assert!(!other.is_finished(), "it waits for the one that is appending");
    cluster.log.gate.add_permits(10);
    let (one, other) = (cluster.end(one).await, cluster.end(other).await);
    let (one, other) = (one.expect("accepted"), other.expect("accepted"));
    assert_eq!(other, Accepted { repeated: true, ..one });
    assert_eq!(cluster.log.len(), 1);
}

#[tokio::test]
async fn what_one_process_accepted_the_other_answers_and_neither_remembers() {
    let cluster = Cluster::over(FakeLog::open());
    let first = cluster.accept(0, 1, 7).await.expect("accepted");
    assert!(!first.repeated);
    assert_eq!(cluster.accept(1, 1, 7).await.expect("accepted"), Accepted { repeated: true, ..first });
    assert_eq!(cluster.accept(0, 1, 7).await.expect("accepted"), Accepted { repeated: true, ..first });
    assert!(cluster.processes.iter().all(|process| process.memory.is_empty()));
    let conflict = cluster.accept(1, 1, 8).await;
    assert!(matches!(conflict, Err(AcceptError::Conflict { index: 0 })), "{conflict:?}");
    assert_eq!(cluster.log.len(), 1);
}

#[tokio::test]
async fn a_process_that_never_ends_its_append_makes_the_other_refuse_after_a_while() {
    let cluster = Cluster::over(FakeLog::held_up());
    let stuck = cluster.begin(0, 1, 7);
    while cluster.log.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    let refused = cluster.accept(1, 1, 7).await;
    assert!(matches!(refused, Err(AcceptError::Unavailable { .. })), "{refused:?}");
    stuck.abort();
}

/// The store is out: it says so, or says nothing.
async fn accepts_without_the_store(cluster: Cluster) {
    let began = cluster.clock.moment();
    let first = cluster.accept(0, 1, 7).await.expect("accepted");
    assert!(cluster.clock.moment().since(began) < Duration::from_secs(2), "it does not wait long");
    assert_eq!(cluster.accept(0, 1, 7).await.expect("accepted"), Accepted { repeated: true, ..first });
    assert_eq!(cluster.processes[0].memory.len(), 1);
    // The other one cannot know the answer: better none than another one.
    let elsewhere = cluster.accept(1, 1, 7).await;
    assert!(matches!(elsewhere, Err(AcceptError::Unavailable { .. })), "{elsewhere:?}");
    assert_eq!(cluster.log.len(), 1);

    cluster.store.is_down.store(false, Ordering::SeqCst);
    cluster.store.is_silent.store(false, Ordering::SeqCst);
    cluster.clock.advance(SILENCE);
    cluster.accept(0, 2, 7).await.expect("accepted");
    assert!(cluster.processes[0].memory.is_empty(), "the row that was late is written with the next");
    assert_eq!(cluster.accept(1, 1, 7).await.expect("accepted"), Accepted { repeated: true, ..first });
}

#[tokio::test]
async fn a_store_that_fails_stops_no_request_and_learns_the_keys_later() {
    let cluster = Cluster::over(FakeLog::open());
    cluster.store.is_down.store(true, Ordering::SeqCst);
    accepts_without_the_store(cluster).await;
}

#[tokio::test]
async fn a_store_that_is_silent_stops_no_request_and_learns_the_keys_later() {
    let cluster = Cluster::over(FakeLog::open());
    cluster.store.is_silent.store(true, Ordering::SeqCst);
    accepts_without_the_store(cluster).await;
}

/// Coordination whose answers are on their way until a test lets them come.
struct OnTheWay {
    inner: Arc<LocalCoordination>,
    answers: Semaphore,
}

#[async_trait]
impl Claims for OnTheWay {
    async fn claim_for(&self, wanted: &[Wanted], held_for: Duration) -> Vec<Position> {
        let holders = self.inner.claim_for(wanted, held_for).await;
        self.answers.acquire().await.expect("never closed").forget();
        holders
    }

    async fn release(&self, held: &[Wanted]) {
        self.inner.release(held).await;
    }
}

#[async_trait]
impl TokenLeases for OnTheWay {
    async fn lease(&self, name: &str, rate: Rate, wanted: u32, critical: bool) -> Lease {
        self.inner.lease(name, rate, wanted, critical).await
    }
}

#[async_trait]
impl Presence for OnTheWay {
    async fn set_present(&self, node: &str, users: &[(UserKey, u32)]) {
        self.inner.set_present(node, users).await;
    }

    async fn present_on(&self, users: &[UserKey]) -> PresentNodes {
        self.inner.present_on(users).await
    }
}

#[async_trait]
impl Fanout for OnTheWay {
    async fn publish(&self, node: &str, message: Bytes) -> bool {
        self.inner.publish(node, message).await
    }

    async fn subscribe(&self, node: &str) -> Subscription {
        self.inner.subscribe(node).await
    }
}

impl Coordination for OnTheWay {}

/// Else its retry would be refused until the claim ends by itself.
#[tokio::test]
async fn a_caller_that_goes_away_while_its_claims_are_answered_leaves_none() {
    let clock = ManualClock::starting_at(Timestamp::parse("2026-11-21T12:00:00Z").expect("a time"));
    let inner = Arc::new(LocalCoordination::new(clock.clone()));
    let slow = Arc::new(OnTheWay { inner: inner.clone(), answers: Semaphore::new(0) });
    let keys = ClusterKeys::new(slow, Arc::<FakeStore>::default(), clock, Duration::from_secs(86_400), 1);
    let asking =
        tokio::spawn(async move { keys.reserve(vec![ClaimKey(1)], Duration::from_secs(10), APPEND_HOLD).await });
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    asking.abort();
    assert!(asking.await.is_err());
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    let shard = ShardId { generation: PROCESS_GENERATION, lane: Priority::Critical, partition: 2 };
    let other = Wanted { key: ClaimKey(1 ^ DOOR), owner: Position::new(shard, 0) };
    assert_eq!(inner.claim(&[other]).await, [other.owner]);
}
