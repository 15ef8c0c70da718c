//! Closes the groups of messages that are about to be sent, and adds up what they say.
//!
//! The order is the guarantee: nobody joins from the next batch on, the batch under way is waited for, and what is then read is
//! written down as the group's end. Only that is rendered, by whoever sends it and however often.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Either, join_all, select};

use super::ready::{DispatchHandle, Ready};
use super::sender::SenderContext;
use crate::domain::{Gathered, OpenGroup, Plan, Position, ShardId, Told};
use crate::ownership::{Shard, WRITE_WAIT_MAX};
use crate::store::{GroupEntry, GroupRow, WriteBatch, closed, members};
use crate::telemetry::HistogramMetric;

/// Worry when it stays at 1 where bursts are expected: the window is too short, or the keys differ.
const ITEMS: HistogramMetric<0> =
    HistogramMetric::new("fanfare_merged_items", "Notifications in a merged message, when its group was closed.", []);

/// The pause before the store is asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// So long those that are loaded together wait for groups to be closed. That takes as long as the batch under way, mostly some
/// tens of milliseconds; what takes longer keeps only its own shard waiting.
const CLOSE_WAIT_MAX: Duration = Duration::from_millis(250);

/// What a leader's message says.
struct Said {
    gathered: Gathered,
    /// The leader was cancelled: its tasks tell of the others alone.
    has_left: bool,
}

/// The groups of a shard that could not be closed in time. They go on being closed, or wait until others of the shard are.
pub(super) struct Closing {
    pub(super) shard: ShardId,
    /// Ends when they are closed, or the shard is let go; none: others of the shard are being closed, and keep it busy.
    end: Option<BoxFuture<'static, Option<Vec<Said>>>>,
}

impl Closing {
    /// Hands the leaders on again when their groups are closed, or those are that they wait for. They stay tracked meanwhile, so
    /// that no cursor passes them, and are taken up from there if this is lost.
    pub(super) fn hand_on(self, context: &SenderContext, leaders: Vec<Ready>) {
        let dispatch = context.dispatch.clone();
        let Some(end) = self.end else {
            if let Err(leaders) = dispatch.stalled().wait(self.shard, leaders) {
                dispatch.hand_over(leaders);
            }
            return;
        };
        let stall = Stall::begin(&dispatch, self.shard);
        tokio::spawn(async move {
            end.await;
            dispatch.hand_over(leaders);
            drop(stall);
        });
    }
}

/// Shards whose groups take long to close, each with the leaders that wait for the end of it. Those are handles only, which the
/// backlog bounds: what is being closed is in memory with its content, and there is no more of it than one page of each lane.
#[derive(Debug, Default)]
pub(super) struct Stalled(Mutex<BTreeMap<ShardId, Vec<Ready>>>);

impl Stalled {
    pub(super) fn has(&self, shard: ShardId) -> bool {
        self.shards().contains_key(&shard)
    }

    /// The leaders wait; or they are given back, if the shard is not stalled any more.
    fn wait(&self, shard: ShardId, leaders: Vec<Ready>) -> Result<(), Vec<Ready>> {
        match self.shards().get_mut(&shard) {
            Some(waiting) => {
                waiting.extend(leaders);
                Ok(())
            }
            None => Err(leaders),
        }
    }

    fn shards(&self) -> MutexGuard<'_, BTreeMap<ShardId, Vec<Ready>>> {
        // Every section leaves the map whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The time in which leaders of a shard wait. Its end, however it comes, hands them on.
struct Stall {
    dispatch: Arc<DispatchHandle>,
    shard: ShardId,
}

impl Stall {
    /// None, if another one is under way.
    fn begin(dispatch: &Arc<DispatchHandle>, shard: ShardId) -> Option<Self> {
        match dispatch.stalled().shards().entry(shard) {
            Entry::Vacant(vacant) => vacant.insert(Vec::new()),
            Entry::Occupied(_) => return None,
        };
        Some(Self { dispatch: dispatch.clone(), shard })
    }
}

impl Drop for Stall {
    fn drop(&mut self) {
        let waiting = self.dispatch.stalled().shards().remove(&self.shard);
        self.dispatch.hand_over(waiting.unwrap_or_default());
    }
}

/// Puts to each leader's plan what its message says. Those of a shard that was let go meanwhile are left without it, and so are
/// those of the shards returned, which take longer.
pub(super) async fn gather(context: &SenderContext, leaders: Vec<&mut Plan>) -> Vec<Closing> {
    let mut by_shard: BTreeMap<ShardId, Vec<&mut Plan>> = BTreeMap::new();
    for plan in leave_closed(context, leaders).await {
        by_shard.entry(plan.position.shard).or_default().push(plan);
    }
    let closing = by_shard.into_iter().filter_map(|(id, plans)| Some((context.ownership.shard(id)?, plans)));
    // Side by side: none is kept waiting by another one's batch.
    let closing = closing.map(|(shard, mut plans)| async move {
        let id = shard.id();
        if context.dispatch.is_stalled(id) {
            return Some(Closing { shard: id, end: None });
        }
        let leaders = plans.iter().map(|plan| Plan::clone(plan)).collect();
        let end = close(context.clone(), shard, leaders).boxed();
        match select(end, context.clock.sleep(CLOSE_WAIT_MAX)).await {
            Either::Left((said, _)) => {
                for (plan, said) in plans.iter_mut().zip(said.unwrap_or_default()) {
                    tell(plan, said);
                }
                None
            }
            Either::Right((_, end)) => Some(Closing { shard: id, end: Some(end) }),
        }
    });
    join_all(closing).await.into_iter().flatten().collect()
}

/// Whether a plan's message can be made: it is in no group, or its group is closed and somebody is left in it.
pub(super) fn is_whole(plan: &Plan) -> bool {
    !plan.is_leader() || gathered(plan).is_some_and(|gathered| gathered.count > 0)
}

/// Whether a plan's group is closed and nobody is left in it.
pub(super) fn is_empty(plan: &Plan) -> bool {
    plan.is_leader() && gathered(plan).is_some_and(|gathered| gathered.count == 0)
}

/// The leader is held, perhaps for long: its group is open all the same, and the store knows it.
pub(super) fn forget(context: &SenderContext, plan: &Plan) {
    if let (Some(shard), Some(group)) = (context.ownership.shard(plan.position.shard), &plan.group) {
        shard.forget_groups(std::iter::once(group.key));
    }
}

fn gathered(plan: &Plan) -> Option<&Gathered> {
    plan.group.as_ref()?.gathered.as_ref()
}

fn tell(plan: &mut Plan, said: Said) {
    if said.has_left {
        // What it said was taken back.
        plan.data = "{}".into();
    }
    if let Some(group) = &mut plan.group {
        group.gathered = Some(said.gathered);
    }
}

/// Tells those whose groups were closed before (it is not their first try), and leaves the others.
async fn leave_closed<'a>(context: &SenderContext, leaders: Vec<&'a mut Plan>) -> Vec<&'a mut Plan> {
    let positions: Vec<Position> = leaders.iter().map(|plan| plan.position).collect();
    let mut open = Vec::new();
    for (plan, entries) in leaders.into_iter().zip(read(context, &positions).await) {
        match closed(&entries) {
            Some(gathered) => tell(plan, Said { gathered: gathered.clone(), has_left: has_left(plan, &entries) }),
            None => open.push(plan),
        }
    }
    open
}

/// What stands under the leaders, when the store can be read.
async fn read(context: &SenderContext, leaders: &[Position]) -> Vec<Vec<GroupEntry>> {
    if leaders.is_empty() {
        return Vec::new();
    }
    loop {
        match context.store.groups(leaders).await {
            Ok(entries) => return entries,
            Err(error) => {
                tracing::error!(%error, "cannot read groups that are to be sent: trying again");
                context.clock.sleep(PAUSE).await;
            }
        }
    }
}

fn has_left(leader: &Plan, entries: &[GroupEntry]) -> bool {
    entries.contains(&GroupEntry::Left(leader.position.offset))
}

/// What each of the leaders' messages says; `None`: the shard is not ours any more.
async fn close(context: SenderContext, shard: Arc<Shard>, leaders: Vec<Plan>) -> Option<Vec<Said>> {
    let _alone = shard.changing_groups().await;
    let is_kept_shut = !super::broken::leaves_groups_open();
    for plan in leaders.iter().filter(|_| is_kept_shut) {
        if let Some((key, open)) = plan.opens() {
            shard.close_group(key, OpenGroup { is_closed: true, ..open });
        }
    }
    if is_kept_shut {
        shard.until_batch_planned().await;
    }
    let positions: Vec<Position> = leaders.iter().map(|plan| plan.position).collect();
    let entries = tokio::select! {
        entries = read(&context, &positions) => entries,
        () = shard.until_closed() => return None,
    };
    write(&context, &shard, &leaders, entries).await
}

/// Writes the end of those that are not closed yet.
async fn write(
    context: &SenderContext,
    shard: &Arc<Shard>,
    leaders: &[Plan],
    entries: Vec<Vec<GroupEntry>>,
) -> Option<Vec<Said>> {
    let mut all = Vec::with_capacity(leaders.len());
    let mut batch = WriteBatch::default();
    let mut ends = Vec::new();
    // What was planned is durable, with the rows of those who joined by it.
    let planned = shard.planned();
    for (plan, entries) in leaders.iter().zip(&entries) {
        let has_left = has_left(plan, entries);
        if let Some(gathered) = closed(entries) {
            all.push(Said { gathered: gathered.clone(), has_left });
            continue;
        }
        let members = members(plan, entries);
        let gathered = Gathered::of(&members, context.shown_items);
        let in_doubt = members.iter().map(|one| one.offset).filter(|offset| *offset >= planned);
        let told = Told { below: planned, also: in_doubt.collect() };
        ends.push(gathered.count);
        let until = plan.group.as_ref().map_or(plan.accepted_at, |group| group.until);
        let entry = GroupEntry::Closed(gathered.clone(), told);
        batch.groups.push(GroupRow { leader: plan.position, until, owner: plan.owner(), entry });
        all.push(Said { gathered, has_left });
    }
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
    let histogram = ITEMS.with([]);
    ends.into_iter().for_each(|count| histogram.record(f64::from(count)));
    for plan in leaders {
        if let Some(group) = &plan.group {
            shard.end_group(group.key, plan.position.offset);
        }
    }
    Some(all)
}
