//! Topics that are written outside as well.

use super::*;
use crate::log::{OutsideError, OutsideRecord, OutsideTopics};

/// What other programs find outside.
#[derive(Default)]
struct Outside {
    written: Mutex<Vec<OutsideRecord>>,
    created: Mutex<Vec<String>>,
    is_down: AtomicBool,
}

#[async_trait]
impl OutsideTopics for Outside {
    fn name(&self, tenant: &str, topic: &str) -> Result<String, OutsideError> {
        match topic {
            "never" => Err(OutsideError::Refused("cannot be".to_owned())),
            topic => Ok(format!("o.{tenant}.{topic}")),
        }
    }

    async fn create(&self, topic: &str) -> Result<(), OutsideError> {
        if self.is_down.load(Ordering::SeqCst) {
            return Err(OutsideError::Failed("nobody answers".to_owned()));
        }
        self.created.lock().expect("not poisoned").push(topic.to_owned());
        Ok(())
    }

    async fn write(&self, topic: &str, records: Vec<OutsideRecord>) -> Result<(), OutsideError> {
        assert_eq!(topic, "o.default.orders");
        if self.is_down.load(Ordering::SeqCst) {
            return Err(OutsideError::Failed("nobody answers".to_owned()));
        }
        self.written.lock().expect("not poisoned").extend(records);
        Ok(())
    }
}

impl Outside {
    fn bodies(&self) -> Vec<String> {
        let written = self.written.lock().expect("not poisoned");
        written.iter().map(|record| String::from_utf8_lossy(&record.body).into_owned()).collect()
    }
}

/// A world whose topic is written outside, too.
async fn copied(settings: TopicSettings) -> (World, Arc<Outside>) {
    let World { clock, rows, topics, .. } = World::bare();
    topics.end().await;
    let outside = Arc::<Outside>::default();
    let world =
        again(World { clock: clock.clone(), rows: rows.clone(), topics: bare(&rows, &clock), seed: 1 }, &outside).await;
    world.topics.create(&name(), TopicSettings { kafka: true, ..settings }).await.expect("created");
    (world, outside)
}

fn bare(rows: &Arc<Rows>, clock: &Arc<ManualClock>) -> Topics {
    Topics::start(rows.clone(), clock.clone(), 99)
}

/// Another process over the same rows.
async fn again(world: World, outside: &Arc<Outside>) -> World {
    let World { clock, rows, topics, seed } = world;
    topics.end().await;
    let topics = Topics::start_with(rows.clone(), clock.clone(), Some(outside.clone()), seed + 1);
    World { clock, rows, topics, seed: seed + 1 }
}

fn behind(state: &TopicState) -> u64 {
    state.copy.as_ref().expect("it is written outside").behind
}

#[tokio::test]
async fn what_comes_into_a_topic_is_written_outside_in_its_order_with_what_is_said_of_it() {
    let (world, outside) = copied(TopicSettings::default()).await;
    assert_eq!(*outside.created.lock().expect("not poisoned"), ["o.default.orders"]);
    let keyed = NewMessage {
        key: Some("a".to_owned()),
        attributes: [("kind".to_owned(), "test".to_owned())].into(),
        ..NewMessage::of("1")
    };
    let first = world.topics.publish(&name(), vec![keyed]).await.expect("published")[0];
    let second = world.publish(&["2"]).await[0];
    world.later("later", 60).await;
    world.advance(SECOND).await;
    assert_eq!(outside.bodies(), ["1", "2"]);
    world.advance(SECOND * 59).await;
    world.advance(SECOND).await;
    assert_eq!(outside.bodies(), ["1", "2", "\"later\""], "what is delayed comes when it is due");
    let written = outside.written.lock().expect("not poisoned").clone();
    let header = |record: &OutsideRecord, name: &str| {
        let found = record.headers.iter().find(|(header, _)| &**header == name);
        found.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
    };
    assert_eq!((&written[0].key[..], written[1].key.clone()), (&b"a"[..], Bytes::from(second.id.to_string())));
    let said = ["id", "number", "content-type", "published-at", "attribute-kind"].map(|name| header(&written[0], name));
    assert_eq!(said, [&*first.id.to_string(), "0", "application/json", &NOON.to_string(), "test"]);
    assert_eq!(
        world.show().await.copy.expect("outside"),
        CopyState { topic: "o.default.orders".into(), behind: 0, trouble: None }
    );
}

#[tokio::test]
async fn while_nothing_can_be_written_outside_publishing_goes_on_nothing_is_removed_and_it_catches_up() {
    let settings = TopicSettings { retention_seconds: 60, messages_max: 100, kafka: true };
    let (world, outside) = copied(settings).await;
    outside.is_down.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        world.publish(&["1"; 700]).await;
    }
    world.advance(SECOND * 100).await;
    world.advance(SECOND * 10).await;
    let state = world.show().await;
    assert_eq!((state.messages, behind(&state)), (2_100, 2_100), "too old and too many, and none of them is outside");
    assert!(state.troubles.iter().any(|trouble| trouble.contains("nobody answers")), "{:?}", state.troubles);
    let world = again(world, &outside).await;
    world.advance(SECOND).await;
    assert_eq!(behind(&world.show().await), 2_100, "another process knows it as well");
    outside.is_down.store(false, Ordering::SeqCst);
    for _ in 0..20 {
        world.advance(SECOND).await;
    }
    assert_eq!((outside.bodies().len(), world.show().await.messages), (2_100, 0));
    assert_eq!(world.show().await.troubles, Vec::<Box<str>>::new());
}

#[tokio::test]
async fn what_was_written_outside_and_not_noted_is_written_again_and_what_was_noted_is_not() {
    let (world, outside) = copied(TopicSettings::default()).await;
    world.publish(&["1", "2"]).await;
    world.advance(SECOND).await;
    assert_eq!(outside.bodies(), ["1", "2"]);
    let world = again(world, &outside).await;
    world.publish(&["3"]).await;
    world.advance(SECOND).await;
    assert_eq!(outside.bodies(), ["1", "2", "3"]);
    let place = Place::new(&name(), incarnation(&world).await);
    world
        .rows
        .put_keyed(vec![KeyedRow { part: place.groups(), name: place.copied_name().1, body: None }])
        .await
        .expect("written");
    let world = again(world, &outside).await;
    world.advance(SECOND).await;
    assert_eq!(outside.bodies(), ["1", "2", "3", "1", "2", "3"]);
    assert_eq!(world.show().await.groups, [], "it is no group");
}

async fn incarnation(world: &World) -> u64 {
    let (home, row) = (home_of_topic(&name()), Box::from(topic_row(&name())));
    let bodies = world.rows.keyed(&[(topics_part(home), row)]).await.expect("read");
    decode_topic(bodies[0].as_ref().expect("its row")).expect("readable").incarnation
}

#[tokio::test]
async fn a_topic_that_cannot_be_outside_is_refused_in_words_and_is_not_there() {
    let (world, outside) = copied(TopicSettings::default()).await;
    let settings = TopicSettings { kafka: true, ..TopicSettings::default() };
    let create =
        async |topics: &Topics, topic: &str| topics.create(&TopicName::new("default", topic), settings.clone()).await;
    assert_eq!(create(&world.topics, "never").await, Err(TopicError::invalid("/kafka", "cannot be")));
    outside.is_down.store(true, Ordering::SeqCst);
    assert_eq!(create(&world.topics, "now").await, Err(TopicError::Busy("nobody answers".into())));
    assert_eq!(world.topics.list("default").await.expect("listed").len(), 1);
    let without = World::bare();
    assert!(
        matches!(create(&without.topics, "x").await, Err(TopicError::Invalid { pointer, .. }) if &*pointer == "/kafka")
    );
}
