//! The chunks of a campaign that were handed on and are not over: what became of their messages is read from the rows of those, again
//! and again until all are over. What is counted is therefore what is, whoever asks and however often a node dies.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::outcome::{self, Outcome, Regrets};
use crate::campaigns::rows::{self, ChunkKind};
use crate::clock::{Clock, Moment};
use crate::codec;
use crate::domain::{
    CampaignId, ChunkResult, Disposition, Missed, NotificationId, Position, ShardId, SkipReason, Story, Timestamp,
};
use crate::store::{SharedStore, StoreError};

/// Between two looks at a chunk with messages under way; it doubles up to the other.
const LOOK_FIRST: Duration = Duration::from_millis(100);
const LOOK_MAX: Duration = Duration::from_secs(5);

/// Between two looks at a chunk whose messages all wait for a time: what somebody lets go or takes back meanwhile is seen then.
const LOOK_WAITING_MAX: Duration = Duration::from_secs(600);

/// So long what came after a message must have been planned, and it not, before it is taken for dead.
const DIED_AFTER: Duration = Duration::from_secs(600);

/// Why it failed.
const DIED: &str = "it could not be planned: see the dead letters";

/// The members of a chunk, each with its notification.
pub(super) type Members = Vec<(Box<str>, NotificationId)>;

#[derive(Debug)]
struct Open {
    /// `None`: they are read again when they are looked at, as they are where they wait for long.
    members: Option<Members>,
    /// Under way when it was last looked at.
    under_way: usize,
    /// What is over of it.
    result: ChunkResult,
    next_look: Moment,
    pause: Duration,
    /// Messages that are not planned while what came after them in their shard is, and since when that is seen.
    passed: BTreeMap<Position, Moment>,
}

/// What looking at chunks came to.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// Chunks that are over, with what came of them and who got nothing.
    pub(super) closed: Vec<(u32, ChunkResult, Vec<Missed>)>,
    /// So many messages fewer are under way.
    pub(super) ended: usize,
}

/// The chunks of one campaign.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    open: BTreeMap<u32, Open>,
    /// Of all chunks that are over.
    closed: ChunkResult,
}

impl Chunks {
    /// As the rows have them, of `count` chunks.
    pub(super) async fn load(store: &SharedStore, id: CampaignId, count: u32, now: Moment) -> Result<Self, StoreError> {
        let mut chunks = Self::default();
        let mut open: BTreeSet<u32> = (0..count).collect();
        let mut first = 0;
        while first < count {
            let part = rows::chunk_part(id, first);
            let start = rows::chunk_name(ChunkKind::Result, 0);
            let end = rows::chunk_name(ChunkKind::Missed, 0);
            for (name, body) in store.keyed_between(&part, Some(&start[..1]), Some(&end[..1]), usize::MAX).await? {
                let number = rows::read_chunk_name(&name);
                let number = number.ok_or_else(|| StoreError::Unreadable("the key of a chunk".to_owned()))?;
                open.remove(&number);
                chunks.closed.add(&codec::decode_chunk_result(&body)?);
            }
            first = rows::next_chunk_part(first);
        }
        for number in open {
            chunks.open.insert(number, Open::new(None, 0, now));
        }
        Ok(chunks)
    }

    /// One that was handed on.
    pub(super) fn insert(&mut self, number: u32, members: Members, now: Moment) {
        let under_way = members.len();
        self.open.insert(number, Open::new(Some(members), under_way, now + LOOK_FIRST));
    }

    pub(super) fn under_way(&self) -> usize {
        self.open.values().map(|open| open.under_way).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// What is over, of all of them.
    pub(super) fn result(&self) -> ChunkResult {
        let mut all = self.closed.clone();
        self.open.values().for_each(|open| all.add(&open.result));
        all
    }

    /// When the next is to be looked at.
    pub(super) fn next_look(&self) -> Option<Moment> {
        self.open.values().map(|open| open.next_look).min()
    }

    /// It is every chunk's turn to be looked at.
    pub(super) fn look_at_all(&mut self, now: Moment) {
        for open in self.open.values_mut() {
            (open.next_look, open.pause) = (now, LOOK_FIRST);
        }
    }

    /// They are over, and that is durable.
    pub(super) fn close(&mut self, closed: &[(u32, ChunkResult, Vec<Missed>)]) {
        for (number, result, _) in closed {
            self.open.remove(number);
            self.closed.add(result);
        }
    }

    /// Looks at those whose turn it is, at most `limit` of them, the oldest first.
    pub(super) async fn look(
        &mut self,
        store: &SharedStore,
        id: CampaignId,
        clock: &dyn Clock,
        limit: usize,
    ) -> Result<Looked, StoreError> {
        let moment = clock.moment();
        let is_due = |open: &Open| open.next_look <= moment;
        let due: Vec<u32> =
            self.open.iter().filter(|(_, open)| is_due(open)).map(|(number, _)| *number).take(limit).collect();
        let mut looked = Looked::default();
        for number in due {
            let Some(open) = self.open.get_mut(&number) else { continue };
            let mut members = match open.members.take() {
                Some(members) => members,
                None => members_of(store, id, number).await?,
            };
            let stories = stories_of(store, id, &mut members, open.pause < LOOK_MAX).await?;
            let positions: Vec<Position> = members.iter().map(|(_, id)| id.0).collect();
            let died = match open.pause >= LOOK_MAX && stories.iter().any(Option::is_none) {
                true => open.died(store, &positions, &stories, moment).await?,
                false => BTreeSet::new(),
            };
            let seen = Seen::of(&members, &stories, &died, clock.now());
            looked.ended += open.under_way.saturating_sub(seen.under_way);
            open.under_way = seen.under_way;
            open.result = seen.result.clone();
            if seen.under_way == 0 && seen.waits_until.is_none() {
                looked.closed.push((number, seen.result, seen.missed));
                open.members = Some(members);
                continue;
            }
            open.pause = match seen.waits_until.filter(|_| seen.under_way == 0) {
                // Nothing changes before that, but what somebody lets go or takes back.
                Some(until) => (until.since(clock.now()) + LOOK_FIRST).min((open.pause * 2).min(LOOK_WAITING_MAX)),
                None => {
                    open.members = Some(members);
                    (open.pause * 2).min(LOOK_MAX)
                }
            };
            open.next_look = moment + open.pause;
        }
        Ok(looked)
    }

    /// What became of the messages of the first chunks.
    pub(super) async fn regrets(
        store: &SharedStore,
        id: CampaignId,
        count: u32,
        now: Timestamp,
    ) -> Result<Regrets, StoreError> {
        let mut regrets = Regrets::default();
        for number in 0..count {
            let mut members = members_of(store, id, number).await?;
            let stories = stories_of(store, id, &mut members, false).await?;
            stories.iter().flatten().for_each(|story| regrets.add(story, now));
        }
        Ok(regrets)
    }
}

impl Open {
    fn new(members: Option<Members>, under_way: usize, next_look: Moment) -> Self {
        let (result, passed) = (ChunkResult::default(), BTreeMap::new());
        Self { members, under_way, result, next_look, pause: LOOK_FIRST, passed }
    }

    /// Messages that are among the dead letters and have no plan. A shard is planned in order: they are those that the cursor has
    /// passed, or that what came after them has passed for long.
    async fn died(
        &mut self,
        store: &SharedStore,
        positions: &[Position],
        stories: &[Option<Story>],
        now: Moment,
    ) -> Result<BTreeSet<Position>, StoreError> {
        let mut planned: BTreeMap<ShardId, u64> = BTreeMap::new();
        for (position, _) in positions.iter().zip(stories).filter(|(_, story)| story.is_some()) {
            let last = planned.entry(position.shard).or_default();
            *last = position.offset.max(*last);
        }
        let unplanned =
            positions.iter().zip(stories).filter(|(_, story)| story.is_none()).map(|(position, _)| *position);
        let unplanned: Vec<Position> = unplanned.collect();
        let shards: BTreeSet<ShardId> = unplanned.iter().map(|position| position.shard).collect();
        let mut cursors: BTreeMap<ShardId, u64> = BTreeMap::new();
        for shard in shards {
            cursors.insert(shard, store.cursors(shard).await?.task_block);
        }
        // Asked after the cursors: what they have passed is planned by then, if ever.
        let stories = store.bare_stories(&unplanned).await?;
        let unplanned: Vec<Position> = unplanned
            .into_iter()
            .zip(stories)
            .filter(|(_, story)| story.is_none())
            .map(|(position, _)| position)
            .collect();
        let is_passed = |position: &&Position| planned.get(&position.shard).is_some_and(|last| position.offset < *last);
        let passed = unplanned.iter().filter(is_passed);
        let since = |position: &Position| self.passed.get(position).copied().unwrap_or(now);
        self.passed = passed.map(|position| (*position, since(position))).collect();
        let is_dead = |position: &Position| {
            let is_behind = cursors.get(&position.shard).is_some_and(|block| position.block() < *block);
            is_behind || self.passed.get(position).is_some_and(|since| now.since(*since) >= DIED_AFTER)
        };
        Ok(unplanned.into_iter().filter(is_dead).collect())
    }
}

async fn members_of(store: &SharedStore, id: CampaignId, number: u32) -> Result<Members, StoreError> {
    let place = (rows::chunk_part(id, number), rows::chunk_name(ChunkKind::Members, number));
    let body = store.keyed(&[place]).await?.pop().flatten();
    let body = body.ok_or_else(|| StoreError::Unreadable(format!("chunk {number} of {id} is missing")))?;
    Ok(codec::decode_chunk(&body)?)
}

/// What became of each. A chunk that was handed on by a node that died, and again by the next, may have two messages for a member: the
/// second is a duplicate by its retry key, and it is the first that counts, which takes its place. The rows of the first may be
/// written after those of the second: until they are there, `is_new` leaves it open what became of it.
async fn stories_of(
    store: &SharedStore,
    id: CampaignId,
    members: &mut Members,
    is_new: bool,
) -> Result<Vec<Option<Story>>, StoreError> {
    let positions: Vec<Position> = members.iter().map(|(_, id)| id.0).collect();
    let mut stories = store.bare_stories(&positions).await?;
    let first = |(index, story): (usize, &Option<Story>)| match story.as_ref()?.plan.disposition {
        Disposition::Skipped(SkipReason::Duplicate { of }) => Some((index, of)),
        _ => None,
    };
    let firsts: Vec<(usize, NotificationId)> = stories.iter().enumerate().filter_map(first).collect();
    if firsts.is_empty() {
        return Ok(stories);
    }
    let positions: Vec<Position> = firsts.iter().map(|(_, of)| of.0).collect();
    for ((index, of), story) in firsts.into_iter().zip(store.bare_stories(&positions).await?) {
        match story {
            Some(story) if story.plan.campaign == Some(id) => (members[index].1, stories[index]) = (of, Some(story)),
            None if is_new => stories[index] = None,
            _ => {}
        }
    }
    Ok(stories)
}

/// What a look at one chunk shows.
#[derive(Debug, Default)]
struct Seen {
    under_way: usize,
    /// The first time that one of the others waits for.
    waits_until: Option<Timestamp>,
    result: ChunkResult,
    missed: Vec<Missed>,
}

impl Seen {
    fn of(members: &Members, stories: &[Option<Story>], died: &BTreeSet<Position>, now: Timestamp) -> Self {
        let mut seen = Self::default();
        for ((member, id), story) in members.iter().zip(stories) {
            let missed = |status: &str, reason: &str| Missed {
                member: member.clone(),
                notification: id.to_string().into(),
                status: status.into(),
                reason: reason.into(),
            };
            let outcome = match died.contains(&id.0) {
                true => Outcome::Failed(DIED.into()),
                false => outcome::of(story.as_ref(), now),
            };
            match outcome {
                Outcome::UnderWay => seen.under_way += 1,
                Outcome::Waits(until) => {
                    seen.waits_until = Some(seen.waits_until.map_or(until, |before| before.min(until)));
                }
                Outcome::Succeeded => seen.result.succeeded += 1,
                Outcome::Failed(reason) => {
                    seen.result.failed += 1;
                    seen.missed.push(missed("failed", &reason));
                }
                Outcome::Skipped(reason) => {
                    seen.result.add_skipped(&reason, 1);
                    seen.missed.push(missed("skipped", &reason));
                }
            }
        }
        seen
    }
}
