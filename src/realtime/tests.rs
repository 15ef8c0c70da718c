//! Sessions over a store in memory and a clock that is moved.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{Closing, Hub, Live, LiveParts, OpenError, Session};
use crate::clock::{Clock, ManualClock};
use crate::config;
use crate::coordination::{
    Claims, Coordination, Fanout, Lease, LocalCoordination, Presence, PresentNodes, Rate, Subscription, TokenLeases,
    UserKey as CoordinationKey, Wanted,
};
use crate::domain::{Position, Timestamp, UserKey};
use crate::inbox::tests::entry;
use crate::inbox::{Inbox, Sighting, Sightings};
use crate::intake::fakes::FakeStore;
use crate::links::{MaySee, Pass};
use crate::store::StoreError;

const NOW: Timestamp = Timestamp(1_800_000_000_000);

struct Unseen;

#[async_trait]
impl Sightings for Unseen {
    async fn note(&self, _: Vec<Sighting>) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Coordination that can be lost: then it knows nothing of other nodes.
struct Losable {
    inner: LocalCoordination,
    is_lost: AtomicBool,
}

#[async_trait]
impl Claims for Losable {
    async fn claim_for(&self, wanted: &[Wanted], held_for: Duration) -> Vec<Position> {
        self.inner.claim_for(wanted, held_for).await
    }

    async fn release(&self, held: &[Wanted]) {
        self.inner.release(held).await;
    }
}

#[async_trait]
impl TokenLeases for Losable {
    async fn lease(&self, name: &str, rate: Rate, wanted: u32, critical: bool) -> Lease {
        self.inner.lease(name, rate, wanted, critical).await
    }
}

#[async_trait]
impl Presence for Losable {
    async fn set_present(&self, node: &str, users: &[(CoordinationKey, u32)]) {
        self.inner.set_present(node, users).await;
    }

    async fn present_on(&self, users: &[CoordinationKey]) -> PresentNodes {
        if self.is_lost.load(Ordering::SeqCst) {
            return PresentNodes { nodes: vec![Vec::new(); users.len()], is_all: false };
        }
        self.inner.present_on(users).await
    }
}

#[async_trait]
impl Fanout for Losable {
    async fn publish(&self, node: &str, message: Bytes) -> bool {
        self.inner.publish(node, message).await
    }

    async fn subscribe(&self, node: &str) -> Subscription {
        self.inner.subscribe(node).await
    }
}

impl Coordination for Losable {}

struct World {
    live: Arc<Live>,
    clock: Arc<ManualClock>,
    coordination: Arc<Losable>,
}

impl World {
    fn new() -> Self {
        let clock = ManualClock::starting_at(NOW);
        let settings =
            config::Realtime { max_connections: 3, max_connections_per_user: 2, ..config::defaults().realtime };
        let hub = Hub::new(settings.clone(), false);
        let inner = LocalCoordination::new(clock.clone());
        let coordination = Arc::new(Losable { inner, is_lost: AtomicBool::new(false) });
        let live = Live::new(LiveParts {
            inbox: Inbox::new(Arc::new(FakeStore::default()), clock.clone(), Arc::new(Unseen), hub.clone()),
            hub,
            coordination: coordination.clone(),
            clock: clock.clone(),
            settings,
            node: "node".to_owned(),
            own_origin: "https://live.example.com".to_owned(),
        });
        Self { live, clock, coordination }
    }

    async fn open(&self, user: &str) -> Result<Session, OpenError> {
        Session::open(self.live.clone(), pass(user, &self.clock)).await
    }

    async fn connect(&self, user: &str) -> Session {
        self.open(user).await.expect("there is room")
    }

    /// What is heard of others while six seconds pass.
    async fn presence(&self, session: &mut Session) -> Vec<String> {
        let mut heard = Vec::new();
        for _ in 0..60 {
            self.clock.advance(Duration::from_millis(100));
            // Those who say and look have their turn.
            tokio::time::sleep(Duration::from_millis(1)).await;
            if let Ok(stir) = tokio::time::timeout(Duration::from_millis(1), session.wait()).await {
                session.on(stir).await.expect("it goes on");
            }
            let frames = frames(session);
            heard.extend(kinds(&frames).into_iter().filter(|kind| kind.starts_with("user:")).map(str::to_owned));
        }
        heard
    }

    async fn deliver(&self, offset: u64) -> String {
        let entry = entry(offset);
        let id = entry.place.notification().to_string();
        self.live.inbox().deliver(&key("alice"), entry).await.expect("kept");
        id
    }
}

fn key(user: &str) -> UserKey {
    UserKey { tenant: "acme".into(), user_id: user.into() }
}

fn pass(user: &str, clock: &ManualClock) -> Pass {
    let expires_at = clock.now() + Duration::from_secs(3_600);
    Pass { tenant: "acme".into(), user_id: user.into(), expires_at, may_see: MaySee::These(vec!["bob".into()]) }
}

/// What is there to be written.
fn frames(session: &mut Session) -> Vec<Value> {
    std::iter::from_fn(|| session.frame()).map(|frame| serde_json::from_str(&frame.text).expect("JSON")).collect()
}

/// The same after the next thing that happens.
async fn stirred(session: &mut Session) -> Vec<Value> {
    let stir = session.wait().await;
    session.on(stir).await.expect("it goes on");
    frames(session)
}

fn kinds(frames: &[Value]) -> Vec<&str> {
    frames.iter().map(|frame| frame["type"].as_str().expect("a type")).collect()
}

#[tokio::test]
async fn all_connections_of_a_user_are_told_and_hear_when_one_has_read() {
    let world = World::new();
    let (mut phone, mut desk) = (world.connect("alice").await, world.connect("alice").await);
    assert_eq!(kinds(&frames(&mut phone)), ["hello"]);
    frames(&mut desk);
    let id = world.deliver(1).await;
    for session in [&mut phone, &mut desk] {
        let told = stirred(session).await;
        assert_eq!(kinds(&told), ["notification", "unread_count"]);
        assert_eq!((&told[0]["notification"]["id"], &told[1]["unread_count"]), (&id.clone().into(), &1.into()));
    }
    phone.take(&format!(r#"{{"type":"notification:read","ids":["{id}"]}}"#)).await.expect("taken");
    for session in [&mut phone, &mut desk] {
        let told = stirred(session).await;
        assert_eq!(kinds(&told), ["notification:read:ack", "unread_count"]);
        assert_eq!((&told[0]["ids"][0], &told[1]["unread_count"]), (&id.clone().into(), &0.into()));
    }
    desk.take(r#"{"type":"notification:read","all":true}"#).await.expect("taken");
    assert_eq!(kinds(&stirred(&mut phone).await), ["notification:read:ack", "unread_count"]);
}

#[tokio::test]
async fn what_was_not_acknowledged_is_sent_again_at_the_next_connect_and_only_that() {
    let world = World::new();
    let mut session = world.connect("alice").await;
    let (first, second) = (world.deliver(1).await, world.deliver(2).await);
    stirred(&mut session).await;
    session.take(&format!(r#"{{"type":"ack","ids":["{first}"]}}"#)).await.expect("taken");
    drop(session);
    let mut session = world.connect("alice").await;
    let again = frames(&mut session);
    assert_eq!(kinds(&again), ["hello", "notification"]);
    assert_eq!((&again[0]["unread_count"], &again[1]["notification"]["id"]), (&2.into(), &second.into()));
}

#[tokio::test]
async fn who_does_not_listen_is_told_to_look_anew_and_costs_no_memory() {
    let world = World::new();
    let mut session = world.connect("alice").await;
    for offset in 1..=100 {
        world.deliver(offset).await;
    }
    let told = stirred(&mut session).await;
    assert!(kinds(&told).contains(&"resync"), "{:?}", kinds(&told));
    let sent = |frames: &[Value]| kinds(frames).iter().filter(|kind| **kind == "notification").count();
    assert_eq!(sent(&told), 100, "all that is not acknowledged is sent all the same");
    let mut later = 0;
    for _ in 0..63 {
        later += sent(&stirred(&mut session).await);
    }
    assert_eq!(later, 0, "nothing is sent twice on one connection");
}

#[tokio::test]
async fn a_word_that_was_lost_is_found_by_looking() {
    let world = World::new();
    let mut session = world.connect("alice").await;
    frames(&mut session);
    let other = Hub::new(world.live.settings().clone(), false);
    let inbox = world.live.inbox().beside(other);
    inbox.deliver(&key("alice"), entry(7)).await.expect("kept");
    let clock = world.clock.clone();
    let (told, ()) = tokio::join!(stirred(&mut session), async move { clock.advance(Duration::from_secs(1)) });
    assert_eq!(kinds(&told), ["unread_count", "notification"]);
}

#[tokio::test]
async fn a_word_that_was_lost_is_found_also_where_another_program_has_acknowledged_it() {
    let world = World::new();
    let mut session = world.connect("alice").await;
    frames(&mut session);
    let inbox = world.live.inbox().beside(Hub::new(world.live.settings().clone(), false));
    inbox.deliver(&key("alice"), entry(7)).await.expect("kept");
    inbox.ack(&key("alice"), &[entry(7).place]).await.expect("noted");
    let clock = world.clock.clone();
    let (told, ()) = tokio::join!(stirred(&mut session), async move { clock.advance(Duration::from_secs(1)) });
    assert_eq!(kinds(&told), ["unread_count", "notification"]);
}

#[tokio::test]
async fn a_connection_ends_with_its_pass_and_when_too_much_is_said() {
    let world = World::new();
    let mut session = world.connect("alice").await;
    let most = 2 * world.live.settings().messages_per_second;
    for _ in 0..most {
        session.take(r#"{"type":"ping"}"#).await.expect("it may");
    }
    assert_eq!(session.take(r#"{"type":"ping"}"#).await, Err(Closing::TooMuch));
    world.clock.advance(Duration::from_secs(3_600));
    let stir = session.wait().await;
    assert_eq!(session.on(stir).await, Err(Closing::Expired));
}

#[tokio::test]
async fn what_is_no_frame_is_answered_and_too_much_of_it_ends_the_connection() {
    let world = World::new();
    let mut session = world.connect("alice").await;
    frames(&mut session);
    for text in ["", "{}", "[1]", r#"{"type":"<script>"}"#] {
        session.take(text).await.expect("it goes on");
        let told = frames(&mut session);
        assert_eq!(kinds(&told), ["error"], "{text}");
    }
    let mut taken = 0;
    while session.take("x").await.is_ok() {
        taken += 1;
        world.clock.advance(Duration::from_secs(1));
        assert!(taken < 100);
    }
}

#[tokio::test]
async fn places_are_bounded_and_given_back() {
    let world = World::new();
    let first = world.connect("alice").await;
    let _second = world.connect("alice").await;
    assert!(matches!(world.open("alice").await, Err(OpenError::Full(super::Full::User))));
    let _third = world.connect("bob").await;
    assert!(matches!(world.open("cy").await, Err(OpenError::Full(super::Full::Node))));
    drop(first);
    assert_eq!(world.live.hub().count(), 2);
    world.connect("alice").await;
}

#[tokio::test]
async fn one_sees_only_those_whom_the_pass_names() {
    let world = World::new();
    let mut session = world.connect("alice").await;
    frames(&mut session);
    session.take(r#"{"type":"subscribe","users":["bob","eve"]}"#).await.expect("taken");
    let told = frames(&mut session);
    assert_eq!(kinds(&told), ["error", "user:offline"]);
    assert_eq!((&told[0]["code"], &told[1]["user_id"]), (&"forbidden".into(), &"bob".into()));
    let _bob = world.connect("bob").await;
    session.take(r#"{"type":"subscribe","users":["bob"]}"#).await.expect("taken");
    assert_eq!(kinds(&frames(&mut session)), ["user:online"]);
}

#[test]
fn pages_of_our_own_and_of_named_origins_may_connect() {
    let world = World::new();
    let takes = |origin: Option<&str>| world.live.takes_origin(origin, Some("notify.example.com"));
    assert!(takes(None) && takes(Some("https://notify.example.com")));
    assert!(takes(Some("https://live.example.com")));
    assert!(!takes(Some("https://evil.example.com")) && !takes(Some("null")));
}

#[tokio::test]
async fn who_watches_is_told_each_coming_and_going_once() {
    let world = World::new();
    let stop = CancellationToken::new();
    let running = world.live.start(&stop);
    let mut session = world.connect("alice").await;
    session.take(r#"{"type":"subscribe","users":["bob"]}"#).await.expect("taken");
    assert_eq!(kinds(&frames(&mut session)), ["hello", "user:offline"]);
    // Between the answer and the next look.
    let bob = world.connect("bob").await;
    assert_eq!(world.presence(&mut session).await, ["user:online"]);
    drop(bob);
    assert_eq!(world.presence(&mut session).await, ["user:offline"]);
    stop.cancel();
    running.ended().await;
}

#[tokio::test]
async fn nobody_is_said_to_have_gone_while_other_nodes_cannot_be_asked_for() {
    let world = World::new();
    let stop = CancellationToken::new();
    let running = world.live.start(&stop);
    let bob = [(super::coordination_key(&key("bob")), 1)];
    world.coordination.set_present("elsewhere", &bob).await;
    let mut session = world.connect("alice").await;
    session.take(r#"{"type":"subscribe","users":["bob"]}"#).await.expect("taken");
    assert_eq!(kinds(&frames(&mut session)), ["hello", "user:online"]);
    world.coordination.is_lost.store(true, Ordering::SeqCst);
    assert_eq!(world.live.connections(&key("bob")).await, None);
    assert_eq!(world.live.connections(&key("alice")).await, Some(1), "what is here is known");
    for _ in 0..5 {
        assert!(world.presence(&mut session).await.is_empty());
    }
    let mut later = world.connect("alice").await;
    later.take(r#"{"type":"subscribe","users":["bob"]}"#).await.expect("taken");
    assert_eq!(kinds(&frames(&mut later)), ["hello"], "nobody can tell");
    // By now what the other node said has ended: it says it again after a while.
    world.coordination.is_lost.store(false, Ordering::SeqCst);
    assert!(world.presence(&mut session).await.is_empty());
    world.coordination.set_present("elsewhere", &bob).await;
    assert!(world.presence(&mut session).await.is_empty(), "nothing has changed");
    assert_eq!(world.presence(&mut later).await, ["user:online"], "now it is known");
    world.coordination.set_present("elsewhere", &[(bob[0].0, 0)]).await;
    let gone =
        [world.presence(&mut session).await, world.presence(&mut session).await, world.presence(&mut session).await];
    assert_eq!(gone.concat(), ["user:offline"]);
    stop.cancel();
    running.ended().await;
}

#[tokio::test]
async fn a_node_that_stops_says_that_nobody_is_there_any_more() {
    let world = World::new();
    let stop = CancellationToken::new();
    let running = world.live.start(&stop);
    let session = world.connect("alice").await;
    let present = async || {
        let keys = [super::coordination_key(&key("alice"))];
        !world.live.parts.coordination.present_on(&keys).await.nodes[0].is_empty()
    };
    while !present().await {
        world.clock.advance(Duration::from_millis(50));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    drop(session);
    stop.cancel();
    running.ended().await;
    assert!(!present().await);
}
