//! The groups that a batch may join. Those that the shard knows cost nothing; of the others the claims tell the leaders, and their
//! rows whether they are open: one read of each kind for the whole batch.

use std::collections::{HashMap, HashSet};

use super::{Facts, Shelves, Sources};
use crate::domain::{ClaimKey, NotificationRequest, OpenGroup, Position, ShardId, Story, TaskState};
use crate::planning::{OpenGroups, Policy, claim_keys};
use crate::store::{GroupEntry, StoreError, closed, members, tells_of};

/// What the shard of a batch knows of its groups.
#[derive(Clone, Copy)]
pub struct ShardGroups<'a> {
    /// `None`: the store is asked.
    pub known: &'a (dyn Fn(ClaimKey) -> Option<OpenGroup> + Sync),
    /// What is below may have been planned before, by who could not write all of it: its rows are asked whether it joined.
    pub doubtful_below: u64,
    /// Leaders among what is doubtful, by the keys of their groups: no claim leads to them, perhaps.
    pub doubtful: Option<&'a HashMap<ClaimKey, Vec<Position>>>,
}

impl Default for ShardGroups<'_> {
    /// Nothing: the store is asked for all.
    fn default() -> Self {
        Self { known: &|_| None, doubtful_below: 0, doubtful: None }
    }
}

/// A leader and what stands under it.
type Found = (Story, Vec<GroupEntry>);

/// Reads the groups of a batch.
pub(super) async fn read(
    batch: &[(Position, NotificationRequest)],
    policy: &Policy,
    sources: &Sources<'_>,
    facts: &mut Facts,
) -> Result<(), StoreError> {
    let mut unknown = HashSet::new();
    let mut replayed = Vec::new();
    for (index, (position, request)) in batch.iter().enumerate() {
        let Some(key) = claim_keys::group_key(request, policy.category(request), position.shard) else { continue };
        facts.candidates[index].group_key = Some(key);
        if let Some(group) = (sources.groups.known)(key) {
            facts.groups.insert(key, group);
        } else {
            unknown.insert(key);
        }
        if position.offset < sources.groups.doubtful_below {
            unknown.insert(key);
            replayed.push((index, key));
        }
    }
    let found = find(unknown.into_iter().collect(), &sources.shelves).await?;
    for (key, (story, entries)) in &found {
        if facts.groups.get(*key).is_none()
            && let Some(group) = open_group(story, entries, policy)
        {
            facts.groups.insert(*key, group);
        }
    }
    join_again(batch, &replayed, &found, sources, facts).await
}

/// Puts those that stand under a leader already where they stand.
async fn join_again(
    batch: &[(Position, NotificationRequest)],
    replayed: &[(usize, ClaimKey)],
    found: &HashMap<ClaimKey, Found>,
    sources: &Sources<'_>,
    facts: &mut Facts,
) -> Result<(), StoreError> {
    let keys: HashSet<ClaimKey> = replayed.iter().map(|(_, key)| *key).collect();
    facts.doubtful = keys.iter().filter_map(|key| Some((*key, found.get(key)?.0.plan.position))).collect();
    let leaders: Vec<Position> =
        keys.iter().filter_map(|key| sources.groups.doubtful?.get(key)).flatten().copied().collect();
    let read = if leaders.is_empty() { Vec::new() } else { sources.shelves.groups.groups(&leaders).await? };
    // The leader of everybody who joined one.
    let mut joined: HashMap<u64, Position> = HashMap::new();
    let claimed = found.values().map(|(story, entries)| (story.plan.position, entries));
    for (leader, entries) in claimed.chain(leaders.iter().copied().zip(&read)) {
        for entry in entries {
            if let GroupEntry::Joined(all) = entry {
                let told = all.iter().filter(|one| tells_of(entries, one.offset));
                joined.extend(told.map(|one| (one.offset, leader)));
            }
        }
    }
    let positions: Vec<Position> = replayed.iter().map(|(index, _)| batch[*index].0).collect();
    let own = if positions.is_empty() { Vec::new() } else { sources.shelves.groups.groups(&positions).await? };
    // Under a leader of this very batch.
    for (position, entries) in positions.iter().zip(&own) {
        for entry in entries {
            if let GroupEntry::Joined(all) = entry {
                joined.extend(all.iter().map(|one| (one.offset, *position)));
            }
        }
    }
    for ((index, _), entries) in replayed.iter().zip(own) {
        let position = batch[*index].0;
        let leader = joined.get(&position.offset).copied();
        facts.candidates[*index].joined = leader.filter(|leader| leader.shard == position.shard);
        facts.candidates[*index].leads = !entries.is_empty();
    }
    Ok(())
}

/// The key of a request that is only tried, and the group that it would join with the one of the shards that has it. Which shard
/// the request would come into is the log's to say, and in the others nobody has its key.
pub(super) async fn peek(
    request: &NotificationRequest,
    shards: &[ShardId],
    policy: &Policy,
    shelves: &Shelves<'_>,
) -> Result<(Option<ClaimKey>, Option<(ShardId, OpenGroups)>), StoreError> {
    let category = policy.category(request);
    let keys: Vec<_> = shards.iter().filter_map(|shard| claim_keys::group_key(request, category, *shard)).collect();
    let any = keys.first().copied();
    for (key, (story, entries)) in find(keys, shelves).await? {
        if let Some(group) = open_group(&story, &entries, policy).filter(|group| group.until > request.accepted_at) {
            let mut groups = OpenGroups::default();
            groups.insert(key, group);
            return Ok((Some(key), Some((story.plan.position.shard, groups))));
        }
    }
    Ok((any, None))
}

async fn find(keys: Vec<ClaimKey>, shelves: &Shelves<'_>) -> Result<HashMap<ClaimKey, Found>, StoreError> {
    let mut found = HashMap::new();
    if keys.is_empty() {
        return Ok(found);
    }
    let rows: Vec<_> = shelves.rows.claims(&keys).await?.into_iter().flatten().collect();
    let leaders: Vec<Position> = rows.iter().map(|row| row.owner).collect();
    if leaders.is_empty() {
        return Ok(found);
    }
    let (stories, entries) =
        futures_util::future::try_join(shelves.stories.stories(&leaders), shelves.groups.groups(&leaders)).await?;
    for ((row, story), entries) in rows.iter().zip(stories).zip(entries) {
        // A claim may be there before its plan, which is then made anew.
        if let Some(story) = story.filter(|story| story.plan.group.as_ref().is_some_and(|group| group.key == row.key)) {
            found.insert(row.key, (story, entries));
        }
    }
    Ok(found)
}

/// `None`: nobody joins it any more.
fn open_group(story: &Story, entries: &[GroupEntry], policy: &Policy) -> Option<OpenGroup> {
    let plan = &story.plan;
    let (_, open) = plan.opens()?;
    if open.is_first {
        return Some(open);
    }
    let count = members(plan, entries).len() as u32;
    let waits = story.states().iter().any(|state| matches!(state, TaskState::Scheduled { attempt: 1, .. }));
    let is_full = policy.items_max.is_some_and(|max| count >= max);
    (waits && !is_full && closed(entries).is_none()).then_some(OpenGroup { count, ..open })
}
