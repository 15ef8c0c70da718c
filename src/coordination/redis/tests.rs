//! Redis itself, and above all its loss: behind a relay that can be cut, silenced and opened again.

mod relay;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;

use self::relay::Relay;
use super::RedisCoordination;
use crate::clock::{Clock, SharedClock};
use crate::config::{self, Secret};
use crate::coordination::conformance::coordination_conformance;
use crate::coordination::{Claims, Coordination, Fanout, Heard, Presence, Rate, TokenLeases, UserKey, Wanted};
use crate::domain::{ClaimKey, Position, Priority, ShardId};
use crate::runtime::SystemClock;
use crate::testing::service;

const REDIS: &str = "FANFARE_TEST_REDIS";

const RATE: Rate = Rate { per_second: 1000.0, burst: 1000.0 };

/// The address of a Redis with the keys of this test apart; a limit that a busy machine keeps.
fn settings(address: &str) -> config::Redis {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let started = SystemClock.now().0;
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    config::Redis {
        url: Secret::new(format!("redis://{address}")),
        prefix: format!("fanfare-test:{}:{started}:{number}", std::process::id()),
        timeout: Duration::from_millis(500),
    }
}

fn clock() -> SharedClock {
    Arc::new(SystemClock)
}

async fn started(settings: &config::Redis) -> RedisCoordination {
    RedisCoordination::start(settings, clock()).await.expect("the address is one")
}

coordination_conformance!(|clock: Arc<crate::clock::ManualClock>| async {
    let settings = settings(&service(REDIS)?);
    let started = RedisCoordination::start_by(&settings, clock.clone(), Some(clock)).await.expect("the address is one");
    assert!(!started.link.is_lost(), "Redis is said to be there, and is not");
    Some(Arc::new(started))
});

fn owner(offset: u64) -> Position {
    Position::new(ShardId { generation: 3, lane: Priority::Critical, partition: 700 }, offset)
}

fn wanted(key: u128, offset: u64) -> Wanted {
    Wanted { key: ClaimKey(key), owner: owner(offset) }
}

/// Asks until the answer is as wanted; a test that waits longer than ten seconds has failed.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}

async fn until_lost(node: &RedisCoordination) {
    until("lost", async || {
        node.lease("probe", RATE, 0, true).await;
        node.link.is_lost()
    })
    .await;
}

#[tokio::test]
async fn two_nodes_share_a_rate_and_claims() {
    let Some(address) = service(REDIS) else { return };
    let settings = settings(&address);
    let (a, b) = (started(&settings).await, started(&settings).await);
    let begun = SystemClock.moment();
    let mut granted = 0;
    for _ in 0..100 {
        granted += a.lease("mail", RATE, 50, true).await.granted;
        granted += b.lease("mail", RATE, 50, true).await.granted;
    }
    let seconds = SystemClock.moment().since(begun).as_secs_f64();
    let most = RATE.per_second * seconds + 50.0 + 1.0;
    assert!(f64::from(granted) <= most, "{granted} tokens in {seconds} s, at most {most}");
    assert!(f64::from(granted) >= RATE.per_second * seconds * 0.8, "{granted} tokens in {seconds} s");

    assert_eq!(a.claim(&[wanted(1, 10)]).await, [owner(10)]);
    assert_eq!(b.claim(&[wanted(2, 11), wanted(1, 11), wanted(2, 12)]).await, [owner(11), owner(10), owner(11)]);
    assert_eq!(a.claim(&[wanted(2, 13)]).await, [owner(11)]);
    b.release(&[wanted(1, 11), wanted(2, 11)]).await;
    assert_eq!(a.claim(&[wanted(1, 14), wanted(2, 14)]).await, [owner(10), owner(14)]);
    let many: Vec<Wanted> = (100..2600).map(|key| wanted(key, 20)).collect();
    assert!(b.claim(&many).await.iter().all(|holder| *holder == owner(20)));
    assert_eq!(a.claim(&[wanted(100, 21), wanted(2599, 21)]).await, [owner(20), owner(20)]);
}

#[tokio::test]
async fn a_word_goes_from_node_to_node() {
    let Some(address) = service(REDIS) else { return };
    let settings = settings(&address);
    let (a, b) = (started(&settings).await, started(&settings).await);
    let mut heard = b.subscribe("b").await;
    let message = Bytes::from_static(b"\x00\xffnot a text");
    assert!(a.publish("b", message.clone()).await);
    assert_eq!(heard.next().await, Some(Heard::Message(message)));
    a.set_present("a", &[(UserKey(1), 2)]).await;
    assert_eq!(b.present_on(&[UserKey(1)]).await.nodes[0].len(), 1);
}

#[tokio::test]
async fn while_redis_is_lost_nobody_says_who_is_elsewhere() {
    let Some(address) = service(REDIS) else { return };
    let relay = Relay::to(&address).await;
    let node = started(&settings(relay.address())).await;
    node.set_present("b", &[(UserKey(1), 1)]).await;
    assert!(node.present_on(&[UserKey(1), UserKey(2)]).await.is_all);
    relay.cut();
    until_lost(&node).await;
    assert!(!node.present_on(&[UserKey(1), UserKey(2)]).await.is_all);
    relay.restore();
    until("back", async || node.present_on(&[UserKey(1)]).await.is_all).await;
}

#[tokio::test]
async fn a_flushed_redis_does_not_give_a_burst() {
    let Some(address) = service(REDIS) else { return };
    let settings = settings(&address);
    let node = started(&settings).await;
    for _ in 0..3 {
        // All keys of this test, as FLUSHALL would.
        let client = redis::Client::open(format!("redis://{address}")).expect("an address");
        let mut connection = client.get_multiplexed_async_connection().await.expect("Redis is there");
        redis::cmd("DEL").arg(node.link.key("rate", "mail")).exec_async(&mut connection).await.expect("deleted");
        assert!(node.lease("mail", RATE, 1000, true).await.granted <= 50, "more than one lease");
    }
}

#[tokio::test]
async fn what_a_dead_process_claimed_for_a_while_is_free_after_it() {
    let Some(address) = service(REDIS) else { return };
    let settings = settings(&address);
    let (dying, other) = (started(&settings).await, started(&settings).await);
    let held_for = Duration::from_millis(300);
    let begun = SystemClock.moment();
    assert_eq!(dying.claim_for(&[wanted(1, 10)], held_for).await, [owner(10)]);
    drop(dying);
    until("the key is free", async || other.claim(&[wanted(1, 11)]).await == [owner(11)]).await;
    assert!(SystemClock.moment().since(begun) >= held_for, "and not before");
}

#[tokio::test]
async fn without_redis_a_node_takes_its_part_and_comes_back_by_itself() {
    let Some(address) = service(REDIS) else { return };
    let relay = Relay::to(&address).await;
    let node = started(&settings(relay.address())).await;
    assert!(!node.link.is_lost());
    node.set_live_nodes(4);
    assert_eq!(node.claim(&[wanted(1, 10)]).await, [owner(10)]);
    let mut heard = node.subscribe("a").await;

    relay.cut();
    until_lost(&node).await;
    // 1,000 a second are 200 for one of four, used at four fifths of that.
    let begun = SystemClock.moment();
    let mut granted = 0;
    until("a quarter of a second of leases", async || {
        granted += node.lease("mail", RATE, 50, true).await.granted;
        SystemClock.moment().since(begun) >= Duration::from_millis(250)
    })
    .await;
    let seconds = SystemClock.moment().since(begun).as_secs_f64();
    assert!(granted > 0, "none at all");
    assert!(f64::from(granted) <= 200.0 * seconds + 11.0, "{granted} in {seconds} s");
    // Claims of before and of now hold on this node.
    assert_eq!(node.claim(&[wanted(1, 11), wanted(2, 11)]).await, [owner(10), owner(11)]);
    assert_eq!(node.claim(&[wanted(2, 12)]).await, [owner(11)]);

    relay.restore();
    until("back", async || !node.link.is_lost()).await;
    assert_eq!(node.claim(&[wanted(1, 12), wanted(2, 12)]).await, [owner(10), owner(11)], "and after it");
    assert_eq!(heard.next().await, Some(Heard::Missed), "who listens is told");
}

#[tokio::test]
async fn a_redis_that_is_silent_costs_three_questions_and_no_more() {
    let Some(address) = service(REDIS) else { return };
    let relay = Relay::to(&address).await;
    let limit = Duration::from_millis(50);
    let node = started(&config::Redis { timeout: limit, ..settings(relay.address()) }).await;
    relay.silence();
    let begun = SystemClock.moment();
    for _ in 0..1000 {
        node.lease("mail", RATE, 50, true).await;
    }
    let took = SystemClock.moment().since(begun);
    assert!(node.link.is_lost());
    assert!(took < 3 * limit + Duration::from_millis(500), "{took:?}");
    relay.restore();
    until("back", async || !node.link.is_lost()).await;
}

#[tokio::test]
async fn a_redis_that_comes_and_goes_does_not_give_a_burst_each_time() {
    let Some(address) = service(REDIS) else { return };
    let relay = Relay::to(&address).await;
    let node = started(&settings(relay.address())).await;
    for _ in 0..3 {
        relay.cut();
        until_lost(&node).await;
        // One lease of four fifths of the rate, and what a slow machine lets grow meanwhile.
        let granted = node.lease("mail", RATE, 1000, true).await.granted;
        assert!((1..=60).contains(&granted), "{granted}");
        relay.restore();
        until("back", async || !node.link.is_lost()).await;
    }
}

#[tokio::test]
async fn a_redis_that_comes_and_goes_gives_no_more_than_a_slow_rate() {
    let Some(address) = service(REDIS) else { return };
    let relay = Relay::to(&address).await;
    let node = started(&settings(relay.address())).await;
    let slow = Rate { per_second: 0.01, burst: 1.0 };
    let mut granted = 0;
    for _ in 0..4 {
        relay.cut();
        until_lost(&node).await;
        granted += node.lease("mail", slow, 1, true).await.granted;
        relay.restore();
        until("back", async || !node.link.is_lost()).await;
    }
    assert_eq!(granted, 1, "one token, and not one for each outage");
}

#[tokio::test]
async fn a_redis_that_answers_too_late_is_not_taken_up_again_and_again() {
    let Some(address) = service(REDIS) else { return };
    let relay = Relay::to(&address).await;
    let node = started(&config::Redis { timeout: Duration::from_millis(20), ..settings(relay.address()) }).await;
    relay.cut();
    until_lost(&node).await;
    relay.slow_down(Duration::from_millis(100));
    let before = node.link.connections();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(node.link.connections(), before, "each time it would be lost again after three questions");
    let late = config::Redis { timeout: Duration::from_millis(20), ..settings(relay.address()) };
    let reason = RedisCoordination::check(&late).await.expect_err("it is too slow").to_string();
    assert!(reason.contains("20ms") && reason.contains("coordination.redis.timeout"), "{reason}");
    relay.restore();
    until("back", async || !node.link.is_lost()).await;
}

#[tokio::test]
async fn a_node_starts_without_redis_and_says_why() {
    let nobody = "127.0.0.1:1";
    let node = started(&settings(nobody)).await;
    assert!(node.link.is_lost());
    assert!(node.lease("mail", RATE, 50, true).await.granted > 0);
    assert_eq!(node.claim(&[wanted(1, 1), wanted(1, 2)]).await, [owner(1), owner(1)]);
    let reason = RedisCoordination::check(&settings(nobody)).await.expect_err("nobody is there").to_string();
    assert!(reason.contains("nothing answers at 127.0.0.1:1"), "{reason}");
}

#[tokio::test]
async fn a_wrong_password_is_told_and_not_repeated() {
    let Some(address) = service(REDIS) else { return };
    RedisCoordination::check(&settings(&address)).await.expect("it can be reached");
    for user in ["", "somebody"] {
        let url = Secret::new(format!("redis://{user}:hunter2@{address}"));
        let wrong = config::Redis { url, ..settings(&address) };
        let reason = RedisCoordination::check(&wrong).await.expect_err("a wrong password").to_string();
        assert!(reason.contains("refuses the user or the password"), "{reason}");
        assert!(!reason.contains("hunter2"), "{reason}");
        assert!(started(&wrong).await.link.is_lost(), "it starts, and works alone");
    }
}
