//! What keeps the message of a group from being sent, for a while or for ever, and what becomes of those who are in it.

use std::sync::Arc;
use std::time::Duration;

use fanfare::config::Config;
use fanfare::domain::{BrakeEffect, BrakeKind, BrakeScope, NotificationId, NotificationRequest, TaskState};
use fanfare::ownership::Shard;
use fanfare::store::{BookColumn, GroupEntry, GroupRow, WriteBatch};

use crate::groups::{LEFT, WINDOW, bodies, cancel, like, likes, world_with};
use crate::world::{NOON, Place, TestProvider, World, mail, on_both};

on_both! {
    a_group_that_begins_under_a_pause_waits_for_its_window_though_the_pause_ends
    who_is_in_a_message_that_a_pause_holds_can_still_leave_it
    a_message_that_a_pause_holds_is_cancelled_by_the_last_who_leaves_it
    what_is_recalled_before_its_window_ends_takes_nobody_with_it_who_comes_later
    a_group_that_everybody_left_ends_its_message_after_a_crash_as_well
    what_a_leader_said_that_was_cancelled_is_told_to_nobody
    a_partition_that_stalls_keeps_no_other_waiting
    a_partition_that_stalls_costs_others_their_time_once_and_not_with_each_of_its_leaders
}

/// A world whose brakes are its own: all tests of a process share the table of brakes.
struct Braked {
    world: World,
    provider: Arc<TestProvider>,
    tenant: Box<str>,
}

impl Braked {
    async fn start(place: Place) -> Self {
        let tenant = place.own("tenant").into();
        let (world, provider) = world_with(place, |_| ()).await;
        Self { world, provider, tenant }
    }

    fn like(&self, actor: &str) -> NotificationRequest {
        NotificationRequest { tenant: self.tenant.clone(), ..like(&self.world, "alice", "post", actor) }
    }

    /// Sends likes one after the other, and waits until each is planned.
    async fn likes(&self, actors: &[&str]) -> Vec<NotificationId> {
        let mut ids = Vec::new();
        for actor in actors {
            let id = self.world.send(self.like(actor)).await;
            self.world.until(async || self.world.story(id).await).await;
            ids.push(id);
        }
        ids
    }

    async fn change(&self, effect: BrakeEffect, is_on: bool) {
        let scope = BrakeScope { tenant: self.tenant.clone(), kind: BrakeKind::Category, name: "social".into() };
        let changed = self.world.brakes.change(scope, effect, is_on, self.world.now(), None).await;
        changed.expect("the store writes");
    }

    async fn until_held(&self, id: NotificationId) {
        let held = self.world.until(async || self.world.story(id).await?.is_held(0).then_some(()));
        held.await;
    }
}

async fn a_group_that_begins_under_a_pause_waits_for_its_window_though_the_pause_ends(place: Place) {
    let braked = Braked::start(place).await;
    let world = &braked.world;
    braked.change(BrakeEffect::Pause, true).await;
    let ids = braked.likes(&["Ann"]).await;
    world.expect_states(ids[0], &["scheduled"]).await;
    braked.change(BrakeEffect::Pause, false).await;
    // Whoever looks for what was held has looked by the time at which this one was found and sent.
    braked.change(BrakeEffect::Pause, true).await;
    let alone = NotificationRequest { aggregate: None, content: mail().content, ..braked.like("Zoe") };
    let alone = world.send(alone).await;
    braked.until_held(alone).await;
    braked.change(BrakeEffect::Pause, false).await;
    world.expect_states(alone, &["sent"]).await;
    let later = braked.likes(&["Bob"]).await;
    assert_eq!(world.story(ids[0]).await.expect("planned").states(), [scheduled()]);
    assert!(!world.story(later[0]).await.expect("planned").plan.is_leader(), "its group is open");
    world.advance(WINDOW).await;
    world.expect_states(ids[0], &["sent"]).await;
    assert_eq!(bodies(world, &braked.provider, 2).await[1], "Ann and 1 others: Ann Bob ");
    world.balances().await;
}

fn scheduled() -> TaskState {
    TaskState::Scheduled { attempt: 1, due: NOON + WINDOW }
}

async fn who_is_in_a_message_that_a_pause_holds_can_still_leave_it(place: Place) {
    let braked = Braked::start(place).await;
    let world = &braked.world;
    let ids = braked.likes(&["Ann", "Bob", "Cy"]).await;
    braked.change(BrakeEffect::Pause, true).await;
    world.advance(WINDOW).await;
    braked.until_held(ids[0]).await;
    assert_eq!(cancel(world, ids[1]).await, LEFT);
    world.balances().await;
    braked.change(BrakeEffect::Pause, false).await;
    world.expect_states(ids[0], &["sent"]).await;
    assert_eq!(bodies(world, &braked.provider, 1).await, ["Ann and 1 others: Ann Cy "]);
    world.balances().await;
}

async fn a_message_that_a_pause_holds_is_cancelled_by_the_last_who_leaves_it(place: Place) {
    let braked = Braked::start(place).await;
    let world = &braked.world;
    let ids = braked.likes(&["Ann", "Bob"]).await;
    braked.change(BrakeEffect::Pause, true).await;
    world.advance(WINDOW).await;
    braked.until_held(ids[0]).await;
    for id in &ids {
        assert_eq!(cancel(world, *id).await, LEFT);
    }
    world.expect_states(ids[0], &["cancelled"]).await;
    braked.change(BrakeEffect::Pause, false).await;
    let next = braked.likes(&["Dan"]).await;
    world.advance(WINDOW).await;
    world.expect_states(next[0], &["sent"]).await;
    assert_eq!(bodies(world, &braked.provider, 1).await, ["Dan and 0 others: Dan "]);
    world.balances().await;
    assert_eq!(world.column(BookColumn::Scheduled).await, 0);
}

async fn what_is_recalled_before_its_window_ends_takes_nobody_with_it_who_comes_later(place: Place) {
    let braked = Braked::start(place).await;
    let world = &braked.world;
    let ids = braked.likes(&["Ann", "Bob"]).await;
    braked.change(BrakeEffect::Recall, true).await;
    world.expect_states(ids[0], &["cancelled"]).await;
    world.advance(Duration::from_secs(1)).await;
    let later = braked.likes(&["Cy"]).await;
    assert!(world.story(later[0]).await.expect("planned").plan.is_leader());
    world.advance(WINDOW).await;
    world.expect_states(later[0], &["sent"]).await;
    assert_eq!(bodies(world, &braked.provider, 1).await, ["Cy and 0 others: Cy "]);
    world.balances().await;
}

async fn a_group_that_everybody_left_ends_its_message_after_a_crash_as_well(place: Place) {
    let (world, provider) = world_with(place, |_| ()).await;
    let ids = likes(&world, "alice", "post", &["Ann"]).await;
    // What is there if the last one to leave crashes between its two writes.
    let entry = GroupEntry::Left(ids[0].0.offset);
    let row = GroupRow { leader: ids[0].0, until: NOON + WINDOW, owner: None, entry };
    let batch = WriteBatch { groups: vec![row], ..WriteBatch::default() };
    world.store.write(ids[0].0.shard, batch).await.expect("the store writes");
    world.advance(WINDOW).await;
    world.expect_states(ids[0], &["cancelled"]).await;
    world.balances().await;
    assert_eq!((world.column(BookColumn::Scheduled).await, world.column(BookColumn::Cancelled).await), (0, 1));
    assert!(provider.taken().is_empty());
}

async fn what_a_leader_said_that_was_cancelled_is_told_to_nobody(place: Place) {
    let (world, provider) = world_with(place, |_| ()).await;
    let ids = likes(&world, "alice", "post", &["Ann", "Bob"]).await;
    assert_eq!(cancel(&world, ids[0]).await, LEFT);
    world.advance(WINDOW).await;
    world.expect_states(ids[0], &["sent"]).await;
    let data = &provider.taken()[0].data;
    assert!(data.contains(r#""who":"Bob""#) && !data.contains("Ann"), "{data}");
    world.balances().await;
}

/// Two partitions, each with the leader of a group.
async fn two_partitions(place: Place) -> (World, Arc<TestProvider>, [NotificationId; 2]) {
    let (world, provider) = world_with(place, |config: &mut Config| config.log.partitions = 2).await;
    let mut leaders = [None; 2];
    for number in 0.. {
        let user = format!("user {number}");
        let id = likes(&world, &user, "post", &["Ann"]).await[0];
        leaders[usize::from(id.0.shard.partition)].get_or_insert(id);
        if let [Some(first), Some(second)] = leaders {
            return (world, provider, [first, second]);
        }
    }
    unreachable!("there is no end of users")
}

/// Begins a batch whose planning does not end until it is said to, in the partition of a notification.
async fn begin_endless_batch(world: &World, one: NotificationId) -> (Arc<Shard>, u64) {
    let shard = world.engine.ownership.shard(one.0.shard).expect("this node owns every shard");
    // What is planned can be read a moment before its batch has ended.
    let end = world.log.end(one.0.shard);
    world.until(async || (shard.planned() >= end).then_some(())).await;
    shard.begin_planning(end, end + 1);
    (shard, end)
}

async fn a_partition_that_stalls_costs_others_their_time_once_and_not_with_each_of_its_leaders(place: Place) {
    let (world, _, [first_stalled, first]) = two_partitions(place).await;
    let in_partition = async |word: &str, like: NotificationId| {
        for number in 0.. {
            let id = likes(&world, &format!("{word} {number}"), "post", &["Ann"]).await[0];
            if id.0.shard == like.0.shard {
                return id;
            }
        }
        unreachable!("there is no end of users")
    };
    // Less than what a group is waited for at the most.
    let tick = Duration::from_millis(100);
    world.advance(Duration::from_secs(60)).await;
    let stalled = in_partition("stalled", first_stalled).await;
    let due = world.now() + WINDOW;
    world.advance(tick).await;
    let other = in_partition("other", first).await;
    let (shard, next) = begin_endless_batch(&world, stalled).await;
    world.advance(WINDOW - Duration::from_secs(60)).await;
    let sent = world.until(async || {
        world.advance(Duration::from_millis(50)).await;
        let is_stalled = world.engine.dispatch.is_stalled(stalled.0.shard);
        (is_stalled && world.story(first).await?.states() == [TaskState::Sent]).then_some(())
    });
    sent.await;
    world.advance(due.since(world.now())).await;
    world.advance(tick).await;
    world.expect_states(other, &["sent"]).await;
    world.expect_states(stalled, &["scheduled"]).await;
    shard.set_planned(next + 1);
    world.expect_states(first_stalled, &["sent"]).await;
    world.expect_states(stalled, &["sent"]).await;
    world.balances().await;
}

async fn a_partition_that_stalls_keeps_no_other_waiting(place: Place) {
    let (world, _, [stalled, other]) = two_partitions(place).await;
    let (shard, next) = begin_endless_batch(&world, stalled).await;
    world.advance(WINDOW).await;
    let sent = world.until(async || {
        world.advance(Duration::from_millis(50)).await;
        (world.story(other).await?.states() == [TaskState::Sent]).then_some(())
    });
    sent.await;
    world.expect_states(stalled, &["scheduled"]).await;
    shard.set_planned(next + 1);
    world.expect_states(stalled, &["sent"]).await;
    world.balances().await;
}
