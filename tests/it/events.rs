//! Events that other programs write into their topic: read as a group, made notifications of once, and put aside with their reason.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use fanfare::audience::{Applied, EventDoor, EventReplays, EventTopic, EventTopicParts, Refusal, RuleOutcome, Taken};
use fanfare::domain::{Channel, ClaimKey, DomainEvent, Idempotency, NotificationRequest};
use fanfare::intake::{AcceptError, Acceptor, hashed_key};
use fanfare::store::{DeadLetter, DeadLetterCause};

use crate::world::{Place, Producer, Spot, TestProvider, World, mail};

const TYPE: &str = "user.registered";

/// One mail for each event of a type it knows, under a key of the event's id: what rules do, without rules.
struct MailDoor {
    acceptor: Arc<Acceptor>,
    /// Whether `user.forgotten` is declared.
    knows_all: AtomicBool,
    /// After this it takes what it is given, and does not come back: the node dies before it can commit.
    dies: AtomicBool,
    /// The ids of what was handed in, and whether it had been before.
    taken: Mutex<Vec<(String, bool)>>,
}

impl MailDoor {
    fn over(world: &World) -> Arc<Self> {
        let acceptor = world.acceptor.clone();
        Arc::new(Self { acceptor, knows_all: false.into(), dies: false.into(), taken: Mutex::default() })
    }

    fn taken(&self) -> Vec<(String, bool)> {
        self.taken.lock().expect("not poisoned").clone()
    }

    async fn take_one(&self, event: DomainEvent) -> Result<Taken, AcceptError> {
        if &*event.event_type != TYPE && !self.knows_all.load(Ordering::SeqCst) {
            let near = Some(TYPE.into());
            return Ok(Taken::Refused(Refusal::UnknownType { event_type: event.event_type, near }));
        }
        let key = ClaimKey(hashed_key(&event.tenant, "test", event.id.as_bytes()));
        let request = NotificationRequest {
            user_id: event.user_id,
            idempotency: Some(Idempotency { key, body_hash: 0, batch: None }),
            source: event.told_by,
            accepted_at: event.accepted_at,
            // All say the same.
            dedup_window_seconds: Some(0),
            ..mail()
        };
        let accepted = self.acceptor.accept(vec![request]).await?[0];
        self.taken.lock().expect("not poisoned").push((event.id.into(), accepted.repeated));
        let outcome = RuleOutcome::Made { id: accepted.id, repeated: accepted.repeated };
        Ok(Taken::Used(vec![Applied { rule: "mail".into(), outcome }]))
    }
}

#[async_trait]
impl EventDoor for MailDoor {
    async fn take(&self, events: Vec<DomainEvent>) -> Result<Vec<Taken>, AcceptError> {
        let mut taken = Vec::new();
        for event in events {
            taken.push(self.take_one(event).await?);
        }
        if self.dies.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        Ok(taken)
    }
}

fn parts(world: &World, door: &Arc<MailDoor>) -> EventTopicParts {
    EventTopicParts {
        log: world.log.clone(),
        store: world.store.clone(),
        door: door.clone(),
        clock: world.clock.clone(),
        body_max: 1 << 20,
    }
}

async fn on_services() -> Option<(Place, Arc<Spot>)> {
    let place = Place::on_services().await?;
    let Place::Services(spot) = &place else { unreachable!("it was asked for") };
    let spot = spot.clone();
    Some((place, spot))
}

fn plain(user: &str, id: &str) -> Vec<u8> {
    format!(r#"{{"type": "{TYPE}", "id": "{id}", "user_id": "{user}"}}"#).into_bytes()
}

/// The dead letters of the topic of events; in this keyspace only one test makes some.
async fn letters(world: &World, count: usize) -> Vec<DeadLetter> {
    world
        .until(async || {
            let all = world.store.dead_letters("", None, 1000).await.expect("the store reads");
            let of_events = |letter: &DeadLetter| letter.key.task.position.shard.is_events();
            let letters: Vec<DeadLetter> = all.into_iter().filter(of_events).collect();
            (letters.len() == count).then_some(letters)
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn events_come_in_as_json_and_as_cloud_events_and_what_is_none_goes_to_the_dead_letters() {
    let Some((place, spot)) = on_services().await else { return };
    let provider = TestProvider::new("mail", &[Channel::Email]);
    let world = World::start(place, vec![provider.clone()]).await;
    let program = Producer::new(&spot);
    let [alice, bob, carol, dave] = ["alice", "bob", "carol", "dave"].map(|user| world.place.own(user));
    let id = |word: &str| world.place.own(word);
    let structured = format!(
        r#"{{"specversion": "1.0", "id": "{}", "source": "/users", "type": "{TYPE}", "userid": "{bob}", "data": {{}}}}"#,
        id("2")
    );
    let binary_id = id("3");
    let binary = [
        ("content-type", &b"application/json"[..]),
        ("ce_specversion", b"1.0"),
        ("ce_id", binary_id.as_bytes()),
        ("ce_source", b"/users"),
        ("ce_type", TYPE.as_bytes()),
        ("ce_userid", carol.as_bytes()),
    ];
    let rubbish = b"\xff\x00 rubbish \x80";
    let forgotten = format!(r#"{{"type": "user.forgotten", "id": "{}", "user_id": "{dave}"}}"#, id("4"));
    program.write_event(&plain(&alice, &id("1")), &[]).await;
    program.write_event(rubbish, &[]).await;
    program.write_event(structured.as_bytes(), &[("content-type", b"application/cloudevents+json")]).await;
    program.write_event(forgotten.as_bytes(), &[]).await;
    program.write_event(b"{}", &binary).await;

    let door = MailDoor::over(&world);
    let topic = EventTopic::start(parts(&world, &door));
    world.until(async || (provider.taken().len() == 3).then_some(())).await;
    let ids: BTreeSet<String> = door.taken().into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, ["1", "2", "3"].map(id).into());

    let letters = letters(&world, 2).await;
    let kept = |letter: &DeadLetter| match &letter.cause {
        DeadLetterCause::Foreign(kept) => kept.body.to_vec(),
        other => panic!("{other:?}"),
    };
    let spoilt = letters.iter().find(|letter| kept(letter) == rubbish).expect("byte for byte");
    let unknown = letters.iter().find(|letter| kept(letter) == forgotten.as_bytes()).expect("byte for byte");
    assert!(spoilt.reason.contains("is no JSON"), "{}", spoilt.reason);
    assert!(unknown.reason.contains("`user.forgotten`") && unknown.reason.contains(TYPE), "{}", unknown.reason);
    topic.drain().await;

    // It is declared by now.
    door.knows_all.store(true, Ordering::SeqCst);
    let EventTopicParts { log, store, door: replay_door, clock, body_max } = parts(&world, &door);
    let replays = EventReplays { log, store, door: replay_door, clock, body_max };
    assert!(replays.replay(&unknown.key).await.expect("the store works"));
    assert!(!replays.replay(&unknown.key).await.expect("the store works"), "it left the list");
    assert!(!replays.replay(&spoilt.key).await.expect("the store works"));
    world.until(async || (provider.taken().len() == 4).then_some(())).await;
    world.balances().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_written_twice_makes_nothing_twice_and_what_was_committed_does_not_come_again() {
    let Some((place, spot)) = on_services().await else { return };
    let provider = TestProvider::new("mail", &[Channel::Email]);
    let world = World::start(place, vec![provider.clone()]).await;
    let program = Producer::new(&spot);
    let user = world.place.own("alice");
    for number in (0..10).chain(0..10) {
        program.write_event(&plain(&user, &world.place.own(&number.to_string())), &[]).await;
    }
    // Without an id of its own it has that of its place.
    program.write_event(format!(r#"{{"type": "{TYPE}", "user_id": "{user}"}}"#).as_bytes(), &[]).await;

    let door = MailDoor::over(&world);
    let first = EventTopic::start(parts(&world, &door));
    world.until(async || (door.taken().len() == 21).then_some(())).await;
    world.until(async || (provider.taken().len() == 11).then_some(())).await;
    first.drain().await;
    assert_eq!(door.taken().iter().filter(|(_, repeated)| *repeated).count(), 10);

    let second = EventTopic::start(parts(&world, &door));
    program.write_event(&plain(&user, &world.place.own("last")), &[]).await;
    world.until(async || (provider.taken().len() == 12).then_some(())).await;
    second.drain().await;
    assert_eq!(door.taken().len(), 22);
    world.balances().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_dies_between_taking_events_in_and_their_commit_makes_nothing_twice() {
    let Some((place, spot)) = on_services().await else { return };
    let provider = TestProvider::new("mail", &[Channel::Email]);
    let world = World::start(place, vec![provider.clone()]).await;
    let program = Producer::new(&spot);
    let user = world.place.own("alice");
    for number in 0..20 {
        program.write_event(&plain(&user, &world.place.own(&number.to_string())), &[]).await;
    }
    // Without an id of its own it has that of its place.
    program.write_event(format!(r#"{{"type": "{TYPE}", "user_id": "{user}"}}"#).as_bytes(), &[]).await;

    let door = MailDoor::over(&world);
    door.dies.store(true, Ordering::SeqCst);
    let dying = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let first_parts = parts(&world, &door);
    let _first = dying.spawn(async move { EventTopic::start(first_parts) }).await.expect("started");
    world.until(async || (!door.taken().is_empty()).then_some(())).await;
    dying.shutdown_background();

    door.dies.store(false, Ordering::SeqCst);
    let second = EventTopic::start(parts(&world, &door));
    let all_again = || {
        let taken = door.taken();
        let ids: BTreeSet<&String> = taken.iter().map(|(id, _)| id).collect();
        let is_repeated = taken.iter().any(|(_, repeated)| *repeated);
        // It may have died within an event, of which it then could not say that it was taken.
        (ids.len() == 21 && taken.len() > 21 && is_repeated).then_some(())
    };
    world.until(async || all_again()).await;
    world.until(async || (provider.taken().len() == 21).then_some(())).await;
    world.balances().await;
    second.drain().await;
    assert_eq!(provider.taken().len(), 21);
}
