//! What may be done with a message several times: opened, clicked, converted. Each time is a row of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use super::{Early, ReceiptDesk, ReceiptsError};
use crate::domain::{Event, Plan, Position, Routing, ShardId, User, UserKey};
use crate::outcomes::deliveries::told;
use crate::store::WriteBatch;

/// A time as [`Event::occasion`], of what tells it from others: the same again is the same time.
pub fn occasion(told_apart_by: &[u8]) -> u64 {
    // 0 is the one of what happens once.
    xxh3_64(told_apart_by).max(1)
}

/// One of the times, as somebody who got the message shows it.
#[derive(Debug, Clone)]
pub struct Occasion {
    pub tenant: Box<str>,
    /// Its channel is filled in.
    pub event: Event,
}

/// What became of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OccasionFate {
    Noted,
    /// Nothing is held of the message any more.
    Gone,
    /// Whoever got it was erased since.
    Erased,
}

/// The same, and the tasks that need not wait any more because of it.
#[derive(Debug, Clone)]
pub struct OccasionNoted {
    pub fate: OccasionFate,
    pub early: Vec<Early>,
}

impl ReceiptDesk {
    /// Notes them, each whether there were others or not. Durable on return; in the order asked for. What was done before is not
    /// read: of a message that was opened often that would be much.
    pub async fn occasions(&self, occasions: Vec<Occasion>) -> Result<Vec<OccasionNoted>, ReceiptsError> {
        let positions: BTreeSet<Position> = occasions.iter().map(|one| one.event.task.position).collect();
        let positions: Vec<Position> = positions.into_iter().collect();
        let plans = self.parts.store.plans_at(&positions).await?;
        let plans: BTreeMap<Position, Plan> =
            positions.into_iter().zip(plans).filter_map(|(position, plan)| Some((position, plan?))).collect();
        let users = self.users_of(plans.values()).await?;
        let mut batches: BTreeMap<ShardId, Vec<Event>> = BTreeMap::new();
        let mut noted = Vec::with_capacity(occasions.len());
        for Occasion { tenant, mut event } in occasions {
            let plan = plans.get(&event.task.position).filter(|plan| plan.tenant == tenant);
            let spec = plan.and_then(|plan| plan.tasks().get(usize::from(event.task.ordinal)));
            let fate = match (plan, spec) {
                (Some(plan), Some(_)) if is_erased(plan, &users) => OccasionFate::Erased,
                (Some(_), Some(spec)) => {
                    event.channel = Some(spec.channel);
                    batches.entry(event.task.position.shard).or_default().push(event.clone());
                    OccasionFate::Noted
                }
                _ => OccasionFate::Gone,
            };
            noted.push((fate, event));
        }
        let writes = batches
            .iter()
            .map(|(shard, events)| (*shard, WriteBatch { events: events.clone(), ..WriteBatch::default() }))
            .map(|(shard, batch)| self.parts.store.write(shard, batch));
        futures_util::future::try_join_all(writes).await?;
        let events = batches.values().flatten();
        let with_plans = events.filter_map(|event| Some((plans.get(&event.task.position)?, event)));
        self.tell_all(with_plans.map(|(plan, event)| told(plan, event)).collect()).await?;
        self.with_early(noted, &plans).await
    }

    /// With the tasks that need not wait: of a fallback, whose next channel may have waited for just that. Seldom, so that what
    /// happened to a message is seldom read.
    async fn with_early(
        &self,
        noted: Vec<(OccasionFate, Event)>,
        plans: &BTreeMap<Position, Plan>,
    ) -> Result<Vec<OccasionNoted>, ReceiptsError> {
        let waits = |event: &Event| {
            let plan = plans.get(&event.task.position);
            plan.is_some_and(|plan| plan.routing == Routing::Fallback && plan.tasks().len() > 1)
        };
        let mut positions: Vec<Position> =
            noted.iter().filter(|(_, event)| waits(event)).map(|(_, event)| event.task.position).collect();
        positions.sort_unstable();
        positions.dedup();
        let mut stories = BTreeMap::new();
        if !positions.is_empty() {
            let found = self.parts.store.stories(&positions).await?;
            stories.extend(positions.into_iter().zip(found).filter_map(|(position, story)| Some((position, story?))));
        }
        let early = |event: &Event| {
            let story = stories.get(&event.task.position);
            story.map_or_else(Vec::new, |story| Early::of(story, usize::from(event.task.ordinal)))
        };
        Ok(noted.into_iter().map(|(fate, event)| OccasionNoted { fate, early: early(&event) }).collect())
    }

    /// Those of whom something is known, if only that they were erased.
    async fn users_of(
        &self,
        plans: impl Iterator<Item = &Plan>,
    ) -> Result<BTreeMap<UserKey, Arc<User>>, ReceiptsError> {
        let keys: BTreeSet<UserKey> = plans.filter_map(user_of).collect();
        let keys: Vec<UserKey> = keys.into_iter().collect();
        if keys.is_empty() {
            return Ok(BTreeMap::new());
        }
        let users = self.parts.users.users_lately(&keys).await?;
        Ok(keys.into_iter().zip(users).filter_map(|(key, user)| Some((key, user?))).collect())
    }
}

fn user_of(plan: &Plan) -> Option<UserKey> {
    Some(UserKey { tenant: plan.tenant.clone(), user_id: plan.user_id.clone()? })
}

fn is_erased(plan: &Plan, users: &BTreeMap<UserKey, Arc<User>>) -> bool {
    let user = user_of(plan).and_then(|key| users.get(&key));
    user.is_some_and(|user| user.was_erased_since(Some(plan.accepted_at)))
}
