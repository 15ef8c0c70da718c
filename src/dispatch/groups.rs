//! Closes the groups of messages that are about to be sent, and adds up what they say.
//!
//! The order is the guarantee: nobody joins from the next batch on, the batch under way is waited for, and what is then read is
//! written down as the group's end. Only that is rendered, by whoever sends it and however often.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::sender::SenderContext;
use crate::domain::{Gathered, OpenGroup, Plan, Position, ShardId};
use crate::ownership::{Shard, WRITE_WAIT_MAX};
use crate::store::{GroupEntry, GroupRow, WriteBatch, closed, members};
use crate::telemetry::HistogramMetric;

/// Worry when it stays at 1 where bursts are expected: the window is too short, or the keys differ.
const ITEMS: HistogramMetric<0> =
    HistogramMetric::new("fanfare_merged_items", "Notifications in a merged message, when its group was closed.", []);

/// The pause before the store is asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// Puts to each leader's plan what its message says. Those of a shard that was let go meanwhile are left without it.
pub(super) async fn gather(context: &SenderContext, leaders: Vec<&mut Plan>) {
    let mut by_shard: BTreeMap<ShardId, Vec<&mut Plan>> = BTreeMap::new();
    for plan in leaders {
        by_shard.entry(plan.position.shard).or_default().push(plan);
    }
    for (id, mut plans) in by_shard {
        let Some(shard) = context.ownership.shard(id) else { continue };
        let Some(all) = close(context, &shard, &plans).await else { continue };
        for (plan, gathered) in plans.iter_mut().zip(all) {
            if let Some(group) = &mut plan.group {
                group.gathered = Some(gathered);
            }
        }
    }
}

/// Whether a plan's message can be made: it is in no group, or its group is closed and somebody is left in it.
pub(super) fn is_whole(plan: &Plan) -> bool {
    let gathered = plan.group.as_ref().and_then(|group| group.gathered.as_ref());
    !plan.is_leader() || gathered.is_some_and(|gathered| gathered.count > 0)
}

/// What each of the leaders' messages says; `None`: the shard is not ours any more.
async fn close(context: &SenderContext, shard: &Arc<Shard>, plans: &[&mut Plan]) -> Option<Vec<Gathered>> {
    let _alone = shard.changing_groups().await;
    let is_kept_shut = !super::broken::leaves_groups_open();
    for plan in plans.iter().filter(|_| is_kept_shut) {
        if let Some(group) = &plan.group {
            let (leader, until) = (plan.position.offset, group.until);
            let open = OpenGroup { leader, until, count: 1, is_first: false, is_closed: true };
            shard.close_group(group.key, open);
        }
    }
    if is_kept_shut {
        shard.until_batch_planned().await;
    }
    let leaders: Vec<Position> = plans.iter().map(|plan| plan.position).collect();
    loop {
        if shard.is_closed() {
            return None;
        }
        match context.store.groups(&leaders).await {
            Ok(entries) => return write(context, shard, plans, entries).await,
            Err(error) => {
                tracing::error!(%error, "cannot read groups that are to be sent: trying again");
                context.clock.sleep(PAUSE).await;
            }
        }
    }
}

/// Writes the end of those that are not closed yet.
async fn write(
    context: &SenderContext,
    shard: &Arc<Shard>,
    plans: &[&mut Plan],
    entries: Vec<Vec<GroupEntry>>,
) -> Option<Vec<Gathered>> {
    let mut all = Vec::with_capacity(plans.len());
    let mut batch = WriteBatch::default();
    for (plan, entries) in plans.iter().zip(&entries) {
        if let Some(gathered) = closed(entries) {
            all.push(gathered.clone());
            continue;
        }
        let gathered = Gathered::of(&members(plan, entries), context.shown_items);
        let until = plan.group.as_ref().map_or(plan.accepted_at, |group| group.until);
        let entry = GroupEntry::Closed(gathered.clone());
        batch.groups.push(GroupRow { leader: plan.position, until, entry });
        all.push(gathered);
    }
    let histogram = ITEMS.with([]);
    let ends: Vec<u32> = batch
        .groups
        .iter()
        .filter_map(|row| closed(std::slice::from_ref(&row.entry)))
        .map(|gathered| gathered.count)
        .collect();
    while !batch.is_empty() {
        // Who is not sure to have the shard waits until it is, or is not any more: its next owner may be closing the same groups.
        let standing = context.ownership.standing();
        tokio::select! {
            () = standing.until_holds(&*context.clock, WRITE_WAIT_MAX) => {}
            () = shard.until_closed() => return None,
        }
        let Some(writing) = context.ownership.may_write(shard, &*context.clock) else {
            if shard.is_closed() || !context.ownership.is_still(shard) {
                return None;
            }
            continue;
        };
        let Err(error) = context.store.write(shard.id(), batch.clone()).await else { break };
        drop(writing);
        tracing::error!(%error, "cannot close groups that are to be sent: trying again");
        context.clock.sleep(PAUSE).await;
    }
    ends.into_iter().for_each(|count| histogram.record(f64::from(count)));
    for plan in plans {
        if let Some(group) = &plan.group {
            shard.end_group(group.key, plan.position.offset);
        }
    }
    Some(all)
}
