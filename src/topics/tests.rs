mod copying;

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::rows::{BLOCK, Place, gone_part, topic_row, topics_part};
use super::*;
use crate::clock::{Clock, ManualClock};
use crate::codec::decode_topic;
use crate::domain::Timestamp;
use crate::intake::fakes::FakeStore;
use crate::store::{KeyedKind, KeyedPart, KeyedRow, KeyedRows, NamedRow, StoreError};

const NOON: Timestamp = Timestamp(1_795_262_400_000);

/// Rows that outlive whoever writes them, and a process that dies where a test says so.
struct Rows {
    inner: FakeStore,
    /// What is delayed is not taken away any more.
    keeps_delayed: AtomicBool,
    /// Nothing is written any more.
    fails: AtomicBool,
    puts: Mutex<Vec<usize>>,
}

#[async_trait]
impl KeyedRows for Rows {
    async fn put_keyed(&self, rows: Vec<KeyedRow>) -> Result<(), StoreError> {
        let removes = rows.iter().any(|row| row.part.kind == KeyedKind::TopicDelayed && row.body.is_none());
        if self.fails.load(Ordering::SeqCst) || removes && self.keeps_delayed.load(Ordering::SeqCst) {
            return Err(StoreError::Failed("as the test says".to_owned()));
        }
        self.puts.lock().expect("not poisoned").push(rows.len());
        self.inner.put_keyed(rows).await
    }

    async fn keyed(&self, names: &[(KeyedPart, Box<[u8]>)]) -> Result<Vec<Option<Bytes>>, StoreError> {
        self.inner.keyed(names).await
    }

    async fn keyed_between(
        &self,
        part: &KeyedPart,
        after: Option<&[u8]>,
        before: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<NamedRow>, StoreError> {
        self.inner.keyed_between(part, after, before, limit).await
    }
}

struct World {
    clock: Arc<ManualClock>,
    rows: Arc<Rows>,
    topics: Topics,
    seed: u64,
}

impl World {
    async fn new() -> Self {
        Self::with(TopicSettings::default()).await
    }

    async fn with(settings: TopicSettings) -> Self {
        let world = Self::bare();
        world.topics.create(&name(), settings).await.expect("created");
        world
    }

    /// Without a topic.
    fn bare() -> Self {
        let clock = ManualClock::starting_at(NOON);
        let rows = Arc::new(Rows {
            inner: FakeStore::default(),
            keeps_delayed: AtomicBool::default(),
            fails: AtomicBool::default(),
            puts: Mutex::default(),
        });
        let topics = Topics::start(rows.clone(), clock.clone(), 1);
        Self { clock, rows, topics, seed: 1 }
    }

    /// Another process over the same rows.
    async fn restart(self) -> Self {
        let Self { clock, rows, topics, seed } = self;
        topics.end().await;
        let topics = Topics::start(rows.clone(), clock.clone(), seed + 1);
        Self { clock, rows, topics, seed: seed + 1 }
    }

    async fn publish(&self, data: &[&str]) -> Vec<Published> {
        let messages = data.iter().map(|data| NewMessage::of(*data)).collect();
        self.topics.publish(&name(), messages).await.expect("published")
    }

    async fn later(&self, data: &str, seconds: u64) -> Published {
        let deliver_at = Some(self.clock.now() + Duration::from_secs(seconds));
        let message = NewMessage { deliver_at, ..NewMessage::of(format!("\"{data}\"")) };
        self.topics.publish(&name(), vec![message]).await.expect("published")[0]
    }

    async fn receive(&self, group: &str) -> Vec<Received> {
        self.topics.receive(&name(), Receive::of(group)).await.expect("received")
    }

    async fn data(&self, group: &str) -> Vec<String> {
        self.receive(group).await.into_iter().map(|message| message.data.into()).collect()
    }

    async fn settle(&self, group: &str, settle: Settle, numbers: &[u64]) -> Settled {
        let which = numbers.iter().copied().map(Which::Number).collect();
        self.topics.settle(&name(), group, settle, which).await.expect("settled")
    }

    async fn show(&self) -> TopicState {
        self.topics.show(&name()).await.expect("there")
    }

    /// What was asked is done, time passes, and whoever slept does what they were to do.
    async fn advance(&self, duration: Duration) {
        rest().await;
        self.clock.advance(duration);
        rest().await;
    }
}

/// Others do what they can without time that passes.
async fn rest() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

fn name() -> TopicName {
    TopicName::new("default", "orders")
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn what_is_published_comes_to_each_group_in_order_and_no_more_once_it_is_acknowledged() {
    let world = World::new().await;
    let published = world.publish(&["1", "2", "3"]).await;
    assert_eq!(published.iter().map(|one| one.number).collect::<Vec<_>>(), [Some(0), Some(1), Some(2)]);
    for group in ["a", "b"] {
        assert_eq!(world.data(group).await, ["1", "2", "3"]);
        assert_eq!(world.data(group).await, [""; 0], "they are in hand");
    }
    let ids = published.iter().map(|one| Which::Id(one.id)).collect();
    assert_eq!(world.topics.settle(&name(), "a", Settle::Ack, ids).await.expect("settled").done, 3);
    let state = world.show().await;
    assert_eq!(state.groups.iter().map(|group| (group.lag, group.in_hand)).collect::<Vec<_>>(), [(0, 0), (3, 3)]);
    let world = world.restart().await;
    assert_eq!(world.data("a").await, [""; 0]);
    assert_eq!(world.data("b").await, ["1", "2", "3"], "what was in hand is forgotten with the process");
}

#[tokio::test]
async fn what_nobody_acknowledges_comes_again_exactly_when_its_time_is_over() {
    let world = World::new().await;
    world.publish(&["1", "2"]).await;
    assert_eq!(world.data("a").await.len(), 2);
    world.settle("a", Settle::Ack, &[1]).await;
    world.advance(SECOND * 20).await;
    world.settle("a", Settle::Extend(SECOND * 30), &[0]).await;
    world.advance(SECOND * 30 - Duration::from_millis(1)).await;
    assert_eq!(world.data("a").await, [""; 0]);
    world.advance(Duration::from_millis(1)).await;
    let again = world.receive("a").await;
    assert_eq!((again.len(), again[0].number, again[0].deliveries), (1, 0, 2));
    world.settle("a", Settle::Nack(SECOND * 5), &[0]).await;
    world.advance(SECOND * 5 - Duration::from_millis(1)).await;
    assert_eq!(world.data("a").await, [""; 0]);
    world.advance(Duration::from_millis(1)).await;
    assert_eq!(world.receive("a").await[0].deliveries, 3);
    assert_eq!(world.settle("a", Settle::Extend(SECOND), &[7]).await.unknown, [Which::Number(7)]);
}

#[tokio::test]
async fn a_reader_waits_for_the_next_message_and_goes_with_nothing_when_it_waited_long_enough() {
    let world = World::new().await;
    let wait = |seconds| Receive { wait: SECOND * seconds, ..Receive::of("a") };
    let topic = name();
    let mut waiting = Box::pin(world.topics.receive(&topic, wait(10)));
    assert!(futures_util::poll!(&mut waiting).is_pending());
    world.advance(SECOND * 9).await;
    assert!(futures_util::poll!(&mut waiting).is_pending());
    world.advance(SECOND).await;
    assert_eq!(waiting.await, Ok(Vec::new()));

    let mut gone = Box::pin(world.topics.receive(&topic, wait(10)));
    assert!(futures_util::poll!(&mut gone).is_pending());
    world.advance(Duration::from_millis(1)).await;
    drop(gone);
    let mut waiting = Box::pin(world.topics.receive(&topic, wait(10)));
    assert!(futures_util::poll!(&mut waiting).is_pending());
    world.advance(Duration::from_millis(1)).await;
    world.publish(&["1"]).await;
    assert_eq!(waiting.await.expect("received")[0].deliveries, 1, "who went away has not got it");
}

#[tokio::test]
async fn a_delayed_message_comes_at_its_time_with_its_id_also_after_a_restart() {
    let world = World::new().await;
    let later = world.later("later", 3600).await;
    let first = world.later("first", 1800).await;
    assert_eq!((later.number, world.show().await.delayed), (None, 2));
    world.advance(SECOND * 1800 - Duration::from_millis(1)).await;
    assert_eq!(world.data("a").await, [""; 0]);
    world.advance(Duration::from_millis(1)).await;
    let received = world.receive("a").await;
    assert_eq!((received.len(), received[0].id, &*received[0].data), (1, first.id, "\"first\""), "{received:?}");
    let world = world.restart().await;
    let state = world.show().await;
    assert_eq!((state.delayed, state.next_due), (1, Some(NOON + SECOND * 3600)));
    world.advance(SECOND * 1800).await;
    let received = world.receive("b").await;
    assert_eq!(received.iter().map(|message| message.id).collect::<Vec<_>>(), [first.id, later.id]);
}

#[tokio::test]
async fn a_delayed_message_is_cancelled_before_its_time_and_it_is_said_when_it_is_too_late() {
    let world = World::new().await;
    let (one, other) = (world.later("one", 10).await, world.later("other", 10).await);
    assert_eq!(world.topics.cancel(&name(), one.id).await, Ok(Cancelled::Cancelled));
    assert_eq!(world.topics.cancel(&name(), one.id).await, Ok(Cancelled::Cancelled), "it is, whoever asks");
    let never = crate::domain::MessageId::new(NOON, 7);
    assert_eq!(world.topics.cancel(&name(), never).await, Err(TopicError::Nothing));
    let world = world.restart().await;
    world.clock.advance(SECOND * 10);
    assert_eq!(world.topics.cancel(&name(), other.id).await, Ok(Cancelled::TooLate), "what is due comes first");
    assert_eq!(world.data("a").await, ["\"other\""]);
}

#[tokio::test]
async fn a_process_that_ends_between_a_message_and_the_removal_of_its_delayed_row_publishes_it_once() {
    let world = World::new().await;
    world.later("once", 10).await;
    world.rows.keeps_delayed.store(true, Ordering::SeqCst);
    world.advance(SECOND * 10).await;
    let world = world.restart().await;
    world.rows.keeps_delayed.store(false, Ordering::SeqCst);
    world.advance(SECOND * 10).await;
    assert_eq!(world.data("a").await, ["\"once\""]);
    assert_eq!(world.show().await.delayed, 0);
    let world = world.restart().await;
    assert_eq!(world.data("b").await, ["\"once\""]);
}

#[tokio::test]
async fn a_message_that_is_published_again_under_its_retry_key_is_the_same_one() {
    let world = World::new().await;
    let message = NewMessage { retry: Some(7), ..NewMessage::of("1") };
    let publish = async |world: &World, message: &NewMessage| {
        world.topics.publish(&name(), vec![message.clone()]).await.map(|published| published[0])
    };
    let first = publish(&world, &message).await.expect("published");
    let again = publish(&world, &message).await.expect("known");
    assert_eq!((again.id, again.number, again.repeated), (first.id, first.number, true));
    let world = world.restart().await;
    assert_eq!(publish(&world, &message).await.expect("known").id, first.id);
    let other = NewMessage { data: "2".to_owned(), ..message };
    assert_eq!(publish(&world, &other).await, Err(TopicError::Conflict));
    assert_eq!(world.show().await.messages, 1);
}

#[tokio::test]
async fn numbers_go_on_over_blocks_and_restarts_and_no_message_is_missed() {
    let mut world = World::new().await;
    let mut published = 0;
    for _ in 0..5 {
        let data: Vec<String> = (0..700).map(|index| (published + index).to_string()).collect();
        let texts: Vec<&str> = data.iter().map(String::as_str).collect();
        let numbers = world.publish(&texts).await;
        assert_eq!(numbers[0].number, Some(published));
        published += 700;
        world = world.restart().await;
    }
    assert!(published > 3 * BLOCK);
    let mut expected = 0;
    while expected < published {
        let received = world.topics.receive(&name(), Receive { max: 100, ..Receive::of("a") }).await.expect("received");
        let numbers: Vec<u64> = received.iter().map(|message| message.number).collect();
        assert_eq!(numbers, (expected..expected + received.len() as u64).collect::<Vec<_>>());
        assert!(received.iter().all(|message| *message.data == *message.number.to_string()));
        expected += numbers.len() as u64;
        world.settle("a", Settle::Ack, &numbers).await;
    }
    assert_eq!(world.show().await.groups[0].lag, 0);
}

#[tokio::test]
async fn publishes_of_one_moment_are_written_together() {
    let world = World::new().await;
    world.show().await;
    world.rows.puts.lock().expect("not poisoned").clear();
    let topic = name();
    let all = (0..50).map(|_| world.topics.publish(&topic, vec![NewMessage::of("1")]));
    for published in futures_util::future::join_all(all).await {
        published.expect("published");
    }
    assert_eq!(*world.rows.puts.lock().expect("not poisoned"), [50]);
}

#[tokio::test]
async fn what_is_too_old_or_too_much_is_removed_and_its_numbers_are_not_given_again() {
    let world = World::with(TopicSettings { retention_seconds: 60, messages_max: 3, kafka: false }).await;
    world.show().await;
    world.publish(&["1", "2", "3", "4", "5"]).await;
    assert_eq!(world.data("slow").await.len(), 5);
    world.advance(SECOND * 10).await;
    assert_eq!(world.show().await.messages, 3);
    assert_eq!(world.data("new").await, ["3", "4", "5"]);
    assert_eq!(world.show().await.groups[1].lag, 3, "what was removed is nobody's business");
    world.advance(SECOND * 70).await;
    assert_eq!(world.show().await.messages, 0);
    let world = world.restart().await;
    assert_eq!(world.publish(&["6"]).await[0].number, Some(5));
    assert_eq!((world.data("slow").await, world.data("new").await), (vec!["6".to_owned()], vec!["6".to_owned()]));
}

#[tokio::test]
async fn more_than_is_removed_at_once_is_removed_in_one_go() {
    let world = World::with(TopicSettings { messages_max: 10, ..TopicSettings::default() }).await;
    world.show().await;
    for _ in 0..5 {
        world.publish(&["1"; 1000]).await;
    }
    assert_eq!(world.show().await.messages, 5000);
    world.advance(SECOND * 10).await;
    assert_eq!(world.show().await.messages, 10);
}

#[tokio::test]
async fn a_topic_whose_row_cannot_be_read_does_not_hold_up_the_others_of_its_home() {
    let world = World::new().await;
    let home = home_of_topic(&name());
    let beside = |index: &u32| home_of_topic(&TopicName::new("default", &format!("a{index}"))) == home;
    let before = TopicName::new("default", &format!("a{}", (0..).find(beside).expect("one of sixteen")));
    let body = Some(Bytes::from_static(b"\xff"));
    let row = KeyedRow { part: topics_part(home), name: topic_row(&before).into(), body };
    world.rows.inner.put_keyed(vec![row]).await.expect("written");
    world.later("once", 30).await;
    let world = world.restart().await;
    world.rows.puts.lock().expect("not poisoned").clear();
    world.advance(SECOND * 30).await;
    assert!(!world.rows.puts.lock().expect("not poisoned").is_empty(), "nobody asked, and it came");
    assert_eq!(world.data("a").await, ["\"once\""]);
}

#[tokio::test]
async fn what_a_deleted_topic_left_is_removed_also_when_a_deletion_broke_off_before() {
    let world = World::new().await;
    world.publish(&["1"; 1000]).await;
    world.publish(&["1"; 1000]).await;
    world.later("2", 3600).await;
    world.data("a").await;
    let (home, row) = (home_of_topic(&name()), Box::from(topic_row(&name())));
    let bodies = world.rows.keyed(&[(topics_part(home), row)]).await.expect("read");
    let topic = decode_topic(bodies[0].as_ref().expect("its row")).expect("readable");
    let place = Place::new(&name(), topic.incarnation);
    let left = async || {
        let mut left = Vec::new();
        for part in [gone_part(home), place.groups(), place.delayed(), place.block(0), place.block(1)] {
            left.push(world.rows.keyed_between(&part, None, None, 2000).await.expect("read").len());
        }
        left
    };
    world.rows.put_keyed(vec![place.gone(home, &topic)]).await.expect("written");
    world.advance(SECOND * 10).await;
    assert_eq!(left().await, [1, 1, 1, 1024, 976], "it was not deleted");
    world.topics.delete(&name()).await.expect("deleted");
    world.advance(SECOND * 10).await;
    assert_eq!(left().await, [0; 5]);
}

#[tokio::test]
async fn who_waits_for_messages_of_a_topic_that_is_deleted_hears_so() {
    let world = World::new().await;
    let topic = name();
    let mut waiting = Box::pin(world.topics.receive(&topic, Receive { wait: SECOND * 10, ..Receive::of("a") }));
    assert!(futures_util::poll!(&mut waiting).is_pending());
    rest().await;
    assert_eq!(world.show().await.groups[0].waiting, 1);
    world.topics.delete(&topic).await.expect("deleted");
    assert_eq!(waiting.await, Err(TopicError::NoTopic));
}

#[tokio::test]
async fn a_topic_that_is_created_again_has_nothing_of_the_one_before() {
    let world = World::new().await;
    world.publish(&["1"]).await;
    world.later("2", 10).await;
    assert_eq!(world.data("a").await.len(), 1);
    assert_eq!(world.topics.create(&name(), TopicSettings::default()).await, Err(TopicError::Exists));
    world.topics.delete(&name()).await.expect("deleted");
    assert_eq!(world.topics.publish(&name(), vec![NewMessage::of("1")]).await, Err(TopicError::NoTopic));
    assert_eq!(world.topics.list("default").await, Ok(Vec::new()));
    world.topics.create(&name(), TopicSettings::default()).await.expect("created");
    world.advance(SECOND * 20).await;
    let state = world.show().await;
    assert_eq!((state.messages, state.delayed, state.groups), (0, 0, Vec::new()));
    assert_eq!(world.topics.list("default").await.expect("listed").len(), 1);
    assert_eq!(world.topics.list("other").await.expect("listed").len(), 0);
}

#[tokio::test]
async fn nothing_is_answered_as_published_or_acknowledged_that_was_not_written() {
    let world = World::new().await;
    world.publish(&["1"]).await;
    assert_eq!(world.data("a").await, ["1"]);
    world.rows.fails.store(true, Ordering::SeqCst);
    world.topics.settle(&name(), "a", Settle::Ack, vec![Which::Number(0)]).await.expect_err("not written");
    world.topics.publish(&name(), vec![NewMessage::of("2")]).await.expect_err("not written");
    world.rows.fails.store(false, Ordering::SeqCst);
    world.advance(SECOND * 2).await;
    assert_eq!(world.data("a").await, ["1"], "it is not acknowledged");
    assert_eq!(world.publish(&["3"]).await[0].number, Some(1));
}

#[tokio::test]
async fn a_group_may_begin_with_what_comes_next_and_bounds_hold() {
    let world = World::new().await;
    world.publish(&["1"]).await;
    let latest = Receive { from: StartAt::Latest, ..Receive::of("a") };
    assert_eq!(world.topics.receive(&name(), latest).await, Ok(Vec::new()));
    let world = world.restart().await;
    world.publish(&["2"]).await;
    assert_eq!(world.data("a").await, ["2"]);
    for (ask, pointer) in [
        (Ask::Receive(Receive { max: 0, ..Receive::of("a") }), "/max"),
        (Ask::Receive(Receive::of("Not a name")), "/group"),
        (Ask::Receive(Receive { visibility: Duration::ZERO, ..Receive::of("a") }), "/visibility_seconds"),
        (Ask::Publish(vec![NewMessage::of("{")]), "/data"),
        (Ask::Publish(vec![NewMessage::of("1"), NewMessage::of("x")]), "/messages/1/data"),
        (Ask::Publish(vec![NewMessage::of(format!("\"{}\"", "x".repeat(DATA_BYTES_MAX)))]), "/data"),
        (Ask::Create(TopicSettings { retention_seconds: 1, ..TopicSettings::default() }), "/retention_seconds"),
    ] {
        match world.topics.ask(&name(), ask).await {
            Err(TopicError::Invalid { pointer: at, .. }) => assert_eq!(&*at, pointer),
            other => panic!("{pointer}: {other:?}"),
        }
    }
}
