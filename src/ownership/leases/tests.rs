//! Leases over rows in memory and a clock that is moved: who has a shard, from when on, and who learns that it has it no more.

use std::pin::pin;

use async_trait::async_trait;
use tokio::sync::Notify;

use super::*;
use crate::clock::ManualClock;
use crate::domain::{Priority, Timestamp};

const LENGTH: Duration = Duration::from_secs(20);
const SECOND: Duration = Duration::from_secs(1);
const SHARD: ShardId = ShardId { generation: 0, lane: Priority::Normal, partition: 0 };

/// Rows that do as they are told.
#[derive(Default)]
struct Rows {
    leases: Mutex<BTreeMap<ShardId, LeaseRow>>,
    beats: Mutex<BTreeMap<NodeName, Beat>>,
    /// So many of the next replacements take effect, and their answers are lost.
    answers_lost: Mutex<usize>,
    /// So many of the next replacements fail and change nothing.
    refused: Mutex<usize>,
    /// A beat waits until it is let go.
    held_back: Mutex<Option<Arc<Notify>>>,
}

#[async_trait]
impl LeaseRows for Rows {
    async fn lease(&self, shard: ShardId) -> Result<Option<LeaseRow>, StoreError> {
        Ok(self.leases.lock().expect("not poisoned").get(&shard).cloned())
    }

    async fn replace_lease(
        &self,
        shard: ShardId,
        seen: Option<&LeaseRow>,
        next: &LeaseRow,
    ) -> Result<bool, StoreError> {
        let mut refused = self.refused.lock().expect("not poisoned");
        if *refused > 0 {
            *refused -= 1;
            return Err(StoreError::Failed("out of reach".into()));
        }
        let mut leases = self.leases.lock().expect("not poisoned");
        let is_seen = leases.get(&shard) == seen;
        if is_seen {
            leases.insert(shard, next.clone());
        }
        let mut answers_lost = self.answers_lost.lock().expect("not poisoned");
        if *answers_lost > 0 {
            *answers_lost -= 1;
            return Err(StoreError::Failed("no answer".into()));
        }
        Ok(is_seen)
    }

    async fn beat(&self, beat: &Beat) -> Result<(), StoreError> {
        let held_back = self.held_back.lock().expect("not poisoned").clone();
        if let Some(let_go) = held_back {
            let_go.notified().await;
        }
        self.beats.lock().expect("not poisoned").insert(beat.node.clone(), beat.clone());
        Ok(())
    }

    async fn beats(&self) -> Result<Vec<Beat>, StoreError> {
        Ok(self.beats.lock().expect("not poisoned").values().cloned().collect())
    }
}

struct World {
    rows: Arc<Rows>,
    clock: Arc<ManualClock>,
}

impl World {
    fn new() -> Self {
        Self { rows: Arc::default(), clock: ManualClock::starting_at(Timestamp(0)) }
    }

    /// A node that was heard of.
    async fn node(&self, name: &str) -> LeaseKeeper {
        let node = NodeName(name.into());
        let keeper = LeaseKeeper::new(self.rows.clone(), self.clock.clone(), node, "host:80".into(), LENGTH);
        keeper.beat().await.expect("the rows answer");
        keeper
    }

    fn row(&self) -> LeaseRow {
        self.rows.leases.lock().expect("not poisoned").get(&SHARD).cloned().expect("somebody had it")
    }

    fn owner(&self) -> String {
        self.row().owner.to_string()
    }
}

#[tokio::test]
async fn a_silent_node_keeps_its_lease_for_its_length_and_a_write_and_no_longer() {
    let world = World::new();
    let (silent, other) = (world.node("silent").await, world.node("other").await);
    silent.acquire(SHARD).await;
    let mut acquiring = pin!(other.acquire(SHARD));
    for second in 0..LENGTH.as_secs() + WRITE_WAIT_MAX.as_secs() {
        assert!((&mut acquiring).now_or_never().is_none(), "taken after {second} s");
        world.clock.advance(SECOND);
        other.beat().await.expect("the rows answer");
    }
    assert!((&mut acquiring).now_or_never().is_some());
    assert_eq!((world.owner().as_str(), world.row().epoch), ("other", 2));
}

#[tokio::test]
async fn an_older_sign_that_comes_up_again_is_no_sign_of_life() {
    let world = World::new();
    let (silent, other) = (world.node("silent").await, world.node("other").await);
    silent.acquire(SHARD).await;
    let mut acquiring = pin!(other.acquire(SHARD));
    for second in 0..LENGTH.as_secs() + WRITE_WAIT_MAX.as_secs() + 1 {
        assert!((&mut acquiring).now_or_never().is_none(), "taken after {second} s");
        world.clock.advance(SECOND);
        // The last sign is on one replica alone: some reads see it, and some see the one before.
        let beat = Beat { node: silent.node.clone(), count: 1 + (second + 1) % 2, address: "".into() };
        world.rows.beats.lock().expect("not poisoned").insert(beat.node.clone(), beat);
        other.beat().await.expect("the rows answer");
    }
    assert!((&mut acquiring).now_or_never().is_some());
}

#[tokio::test]
async fn a_node_that_gives_signs_keeps_its_lease() {
    let world = World::new();
    let (owner, other) = (world.node("owner").await, world.node("other").await);
    owner.acquire(SHARD).await;
    let mut acquiring = pin!(other.acquire(SHARD));
    for _ in 0..100 {
        world.clock.advance(SECOND);
        owner.beat().await.expect("the rows answer");
        other.beat().await.expect("the rows answer");
        assert!((&mut acquiring).now_or_never().is_none());
    }
    assert_eq!(world.row(), LeaseRow { owner: NodeName("owner".into()), epoch: 1, released: false });
}

#[tokio::test]
async fn a_lease_that_was_let_go_is_taken_at_the_next_look() {
    let world = World::new();
    let (owner, other) = (world.node("owner").await, world.node("other").await);
    owner.acquire(SHARD).await;
    let mut acquiring = pin!(other.acquire(SHARD));
    assert!((&mut acquiring).now_or_never().is_none());
    owner.release(SHARD).await;
    world.clock.advance(LOOK_INTERVAL);
    assert!((&mut acquiring).now_or_never().is_some());
    assert_eq!(world.owner(), "other");
}

#[tokio::test]
async fn a_node_whose_lease_was_taken_while_it_stood_still_learns_of_it() {
    let world = World::new();
    let (paused, other) = (world.node("paused").await, world.node("other").await);
    paused.acquire(SHARD).await;
    let mut acquiring = pin!(other.acquire(SHARD));
    for _ in 0..LENGTH.as_secs() + WRITE_WAIT_MAX.as_secs() {
        assert!((&mut acquiring).now_or_never().is_none());
        world.clock.advance(SECOND);
        other.beat().await.expect("the rows answer");
    }
    acquiring.await;
    assert!(!paused.standing().holds(&*world.clock, Duration::ZERO), "its leases ended before");
    assert!(paused.next_lost().now_or_never().is_none());
    paused.beat().await.expect("the rows answer");
    assert_eq!(paused.next_lost().now_or_never(), Some(SHARD));
    paused.beat().await.expect("the rows answer");
    assert!(paused.next_lost().now_or_never().is_none(), "it is told once");
    paused.release(SHARD).await;
    assert_eq!(world.row(), LeaseRow { owner: NodeName("other".into()), epoch: 2, released: false });
}

#[tokio::test]
async fn a_node_whose_leases_ran_out_and_nobody_took_goes_on_under_a_new_epoch() {
    let world = World::new();
    let node = world.node("node").await;
    node.acquire(SHARD).await;
    world.clock.advance(LENGTH);
    assert!(!node.standing().holds(&*world.clock, Duration::ZERO));
    node.beat().await.expect("the rows answer");
    assert!(node.standing().holds(&*world.clock, LENGTH - SECOND));
    assert!(node.next_lost().now_or_never().is_none());
    assert_eq!(world.row().epoch, 2);
}

#[tokio::test]
async fn a_lease_whose_taking_was_not_answered_is_taken_again() {
    let world = World::new();
    let node = world.node("node").await;
    *world.rows.answers_lost.lock().expect("not poisoned") = 1;
    let mut acquiring = pin!(node.acquire(SHARD));
    assert!((&mut acquiring).now_or_never().is_none(), "it does not know that it has it");
    world.clock.advance(LOOK_INTERVAL);
    assert!((&mut acquiring).now_or_never().is_some());
    assert_eq!((world.owner().as_str(), world.row().epoch), ("node", 2));
}

#[tokio::test]
async fn leases_that_ran_out_hold_again_only_when_it_is_known_that_they_were_taken_anew() {
    let world = World::new();
    let node = world.node("node").await;
    node.acquire(SHARD).await;
    world.clock.advance(LENGTH);
    *world.rows.answers_lost.lock().expect("not poisoned") = 1;
    assert!(node.beat().await.is_err());
    assert!(!node.standing().holds(&*world.clock, Duration::ZERO));
    world.clock.advance(SECOND);
    node.beat().await.expect("the rows answer");
    assert!(node.standing().holds(&*world.clock, Duration::ZERO));
    assert!(node.next_lost().now_or_never().is_none(), "the try that was not answered was its own");
    assert_eq!(world.row(), LeaseRow { owner: NodeName("node".into()), epoch: 2, released: false });
}

#[tokio::test]
async fn a_beat_extends_the_leases_from_when_it_began_however_late_it_is_answered() {
    let check = async |late: u64| {
        let world = World::new();
        let node = world.node("node").await;
        let let_go = Arc::new(Notify::new());
        *world.rows.held_back.lock().expect("not poisoned") = Some(let_go.clone());
        let mut beating = pin!(node.beat());
        assert!((&mut beating).now_or_never().is_none());
        // The process stands still: when it goes on, the answer is there as well as the end of its patience.
        let_go.notify_one();
        world.clock.advance(Duration::from_secs(late));
        beating.await.expect("the answer came first");
        let left = LENGTH.saturating_sub(Duration::from_secs(late));
        assert!(!node.standing().holds(&*world.clock, left), "after {late} s");
        assert_eq!(node.standing().holds(&*world.clock, left.saturating_sub(SECOND)), !left.is_zero());
    };
    check(3).await;
    check(19).await;
    check(60).await;
}

#[tokio::test]
async fn a_beat_that_is_not_answered_in_time_extends_nothing() {
    let world = World::new();
    let node = world.node("node").await;
    *world.rows.held_back.lock().expect("not poisoned") = Some(Arc::default());
    world.clock.advance(SECOND);
    let mut beating = pin!(node.beat());
    assert!((&mut beating).now_or_never().is_none());
    world.clock.advance(WRITE_WAIT_MAX);
    assert!(beating.await.is_err());
    assert!(!node.standing().holds(&*world.clock, LENGTH - WRITE_WAIT_MAX - SECOND));
}

#[tokio::test]
async fn a_lease_that_could_not_be_let_go_is_let_go_with_a_later_beat() {
    let world = World::new();
    let (owner, other) = (world.node("owner").await, world.node("other").await);
    owner.acquire(SHARD).await;
    *world.rows.refused.lock().expect("not poisoned") = 1;
    owner.release(SHARD).await;
    assert!(!world.row().released);
    // It lives, so nobody else could have taken the lease, ever.
    owner.beat().await.expect("the rows answer");
    assert!(world.row().released);
    other.acquire(SHARD).await;
    assert_eq!(world.owner(), "other");
}

#[tokio::test]
async fn a_lease_that_was_taken_for_somebody_who_went_away_is_let_go() {
    let world = World::new();
    let node = world.node("node").await;
    *world.rows.answers_lost.lock().expect("not poisoned") = 1;
    {
        let mut acquiring = pin!(node.acquire(SHARD));
        assert!((&mut acquiring).now_or_never().is_none());
    }
    assert!(!world.row().released);
    node.beat().await.expect("the rows answer");
    assert!(world.row().released);
}

#[tokio::test]
async fn a_lease_that_is_wanted_again_meanwhile_is_kept() {
    let world = World::new();
    let node = world.node("node").await;
    node.acquire(SHARD).await;
    *world.rows.refused.lock().expect("not poisoned") = 1;
    node.release(SHARD).await;
    node.acquire(SHARD).await;
    node.beat().await.expect("the rows answer");
    assert_eq!(world.row(), LeaseRow { owner: NodeName("node".into()), epoch: 2, released: false });
}

#[tokio::test]
async fn nodes_that_give_signs_are_counted_and_silent_ones_are_not() {
    let world = World::new();
    let (one, other) = (world.node("one").await, world.node("other").await);
    one.beat().await.expect("the rows answer");
    assert_eq!((one.live_nodes(), other.live_nodes()), (2, 2));
    for _ in 0..LENGTH.as_secs() {
        world.clock.advance(SECOND);
        one.beat().await.expect("the rows answer");
    }
    assert_eq!(one.live_nodes(), 1);
    other.beat().await.expect("the rows answer");
    one.beat().await.expect("the rows answer");
    assert_eq!(one.live_nodes(), 2);
}

#[tokio::test]
async fn a_shards_address_is_that_of_the_node_that_has_its_lease() {
    let world = World::new();
    let (owner, other) = (world.node("owner").await, world.node("other").await);
    assert_eq!(other.address_of(SHARD).await.expect("the rows answer"), None);
    owner.acquire(SHARD).await;
    assert_eq!(other.address_of(SHARD).await.expect("the rows answer").as_deref(), Some("host:80"));
    owner.release(SHARD).await;
    assert_eq!(other.address_of(SHARD).await.expect("the rows answer"), None);
}
