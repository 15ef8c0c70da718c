//! What the users of a batch got before, as far as a cap looks at it: read for all of them at once, and only for those of whom
//! something is counted.
//!
//! Three things count: what stands in the store, what is on its way there from another shard, and what comes before in the same
//! batch. What is on its way is found as with claims: each batch claims keys of the user and the scope, owned by its items, before
//! it reads, and whoever holds one of them counts. There are as many keys as fit into a cap, up to [`SLOTS_MAX`], and the first
//! batch takes all of them, so that the second sees how many items the first has. Where three shards have messages to one user
//! under way at once, the second and the third do not see each other: a cap may be exceeded by what they have.
//!
//! Only where a cap is reached it is looked up what became of what counts: what ended without having been sent is left out.
//!
//! What joins others costs its user nothing more, and neither asks nor counts. Of what would join a leader of its own batch that is
//! known at the end only, so it asks as well, without claiming anything.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{CandidateFacts, Facts, Received, Shelves};
use crate::coordination::{Claims, Wanted};
use crate::domain::{NotificationRequest, Position, Story, TaskState, Timestamp, UserKey};
use crate::planning::aggregation::{self, Place};
use crate::planning::gates::{self, Case};
use crate::planning::received::{Bound, Scope, bounds, is_counted, most_in_a_window, sent_at};
use crate::planning::{Policy, claim_keys, routing};
use crate::store::{ReceivedEntry, StoreError};

/// Keys of one user and scope that a batch claims: what is under way from another shard counts up to this.
const SLOTS_MAX: u32 = 8;

/// What counts of the users of a batch.
#[derive(Default)]
pub(super) struct Counts {
    /// By their places in the batch.
    asking: BTreeMap<usize, Asking>,
    users: Vec<Counted>,
}

/// An item that something counts.
struct Asking {
    user: usize,
    entry: ReceivedEntry,
    bounds: Vec<Bound>,
    /// It would join a leader of its batch, if that one is let in.
    would_join: bool,
}

/// A user with all that counts.
struct Counted {
    key: UserKey,
    entries: Vec<ReceivedEntry>,
    /// On the way to the store from other shards.
    under_way: HashSet<(Scope, Position)>,
}

/// The items that ask for places under one bound of a user.
struct Contest {
    bound: Bound,
    owners: Vec<Position>,
}

type Item<'a> = (Position, &'a NotificationRequest);

impl Counts {
    /// Finds the items that something counts, of those that would be sent.
    pub(super) fn of(batch: &[Item<'_>], policy: &Policy, now: Timestamp, facts: &Facts) -> Self {
        let mut counts = Self::default();
        let mut groups = facts.groups.clone();
        let first = batch.first().map(|(position, _)| position.offset);
        let mut places: HashMap<UserKey, usize> = HashMap::new();
        let mut scratch = Vec::new();
        for (index, ((position, request), facts)) in batch.iter().zip(&facts.candidates).enumerate() {
            let category = policy.category(request);
            if !is_counted(category, policy) || facts.retry_holder.is_some() {
                continue;
            }
            let Some(user_id) = request.user_id.clone() else { continue };
            let case = Case::new(request, facts, policy, now);
            if !gates::pass_without_claims(&case) || !routing::has_way(&case) {
                continue;
            }
            let place = aggregation::place(&case, *position, &groups);
            groups.follow_place(&place, &case, *position);
            let would_join = match &place {
                Place::Joins(leader, _) if Some(leader.offset) < first => continue,
                Place::Joins(..) => true,
                Place::Leads(_) | Place::Alone(_) => false,
            };
            let key = UserKey { tenant: request.tenant.clone(), user_id };
            let user = *places.entry(key.clone()).or_insert_with(|| {
                counts.users.push(Counted { key, entries: Vec::new(), under_way: HashSet::new() });
                counts.users.len() - 1
            });
            let message_type = claim_keys::message_type(&request.content, &mut scratch);
            let at = sent_at(place.due().or(case.times.due), request.accepted_at);
            let category_hash = claim_keys::category(&category.name);
            let entry = ReceivedEntry { position: *position, at, message_type, category: category_hash };
            let bounds = bounds(category, message_type, policy);
            counts.asking.insert(index, Asking { user, entry, bounds, would_join });
        }
        counts
    }

    /// Claims what is to be claimed; what was is added to `claimed`.
    pub(super) async fn claim(&mut self, claims: &dyn Claims, claimed: &mut Vec<Wanted>) {
        let wishes = self.wishes();
        if wishes.is_empty() {
            return;
        }
        let wanted: Vec<Wanted> = wishes.iter().map(|(_, _, wanted)| *wanted).collect();
        let holders = claims.claim(&wanted).await;
        for ((user, scope, wanted), holder) in wishes.into_iter().zip(holders) {
            if holder.shard == wanted.owner.shard {
                // A shard plans one batch at a time: what an earlier one left behind is this one's to let go.
                claimed.push(Wanted { key: wanted.key, owner: holder });
            } else {
                self.users[user].under_way.insert((scope, holder));
            }
        }
    }

    /// The keys to claim, owned in turns by the items that ask.
    fn wishes(&self) -> Vec<(usize, Scope, Wanted)> {
        // By the numbers of the scopes, so that a run can be repeated.
        let mut contests: BTreeMap<(usize, (u8, u64)), Contest> = BTreeMap::new();
        for asking in self.asking.values().filter(|asking| !asking.would_join) {
            for bound in &asking.bounds {
                let contest = contests.entry((asking.user, bound.scope.numbers()));
                let contest = contest.or_insert_with(|| Contest { bound: *bound, owners: Vec::new() });
                contest.owners.push(asking.entry.position);
            }
        }
        let mut wishes = Vec::new();
        let mut scratch = Vec::new();
        for ((user, numbers), Contest { bound, owners }) in contests {
            for (slot, owner) in (0..bound.max.min(SLOTS_MAX)).zip(owners.into_iter().cycle()) {
                let key = claim_keys::received_key(&self.users[user].key, numbers, slot, &mut scratch);
                wishes.push((user, bound.scope, Wanted { key, owner }));
            }
        }
        wishes
    }

    /// Reads what is in the store, and where that reaches a cap, what became of it.
    pub(super) async fn read(&mut self, shelves: &Shelves<'_>) -> Result<(), StoreError> {
        if self.users.is_empty() {
            return Ok(());
        }
        let keys: Vec<UserKey> = self.users.iter().map(|user| user.key.clone()).collect();
        let all = shelves.received.received(&keys).await?;
        if all.len() != keys.len() {
            return Err(StoreError::Failed("it answered another number of users than were asked for".to_owned()));
        }
        for (user, entries) in self.users.iter_mut().zip(all) {
            user.entries = entries;
        }
        // Planned again after a crash: what was written of this very batch does not count against it.
        for asking in self.asking.values() {
            self.users[asking.user].entries.retain(|entry| entry.position != asking.entry.position);
        }
        let doubted: Vec<Position> = self.doubted().into_iter().collect();
        if doubted.is_empty() {
            return Ok(());
        }
        let stories = shelves.stories.stories(&doubted).await?;
        let ended = doubted.iter().zip(stories).filter(|(_, story)| story.as_ref().is_some_and(was_not_sent));
        let ended: HashSet<Position> = ended.map(|(position, _)| *position).collect();
        for user in &mut self.users {
            user.entries.retain(|entry| !ended.contains(&entry.position));
            user.under_way.retain(|(_, position)| !ended.contains(position));
        }
        Ok(())
    }

    /// What counts where a cap may be reached, with what comes before in the batch.
    fn doubted(&self) -> HashSet<Position> {
        let mut before: HashMap<(usize, Scope), u32> = HashMap::new();
        let mut doubted = HashSet::new();
        for asking in self.asking.values() {
            let user = &self.users[asking.user];
            for bound in &asking.bounds {
                let before = before.entry((asking.user, bound.scope)).or_default();
                if user.count(bound, asking.entry.at) + *before >= bound.max {
                    let counted = user.entries.iter().filter(|entry| bound.scope.holds(entry));
                    let under_way = user.under_way.iter().filter(|(scope, _)| *scope == bound.scope);
                    doubted.extend(counted.map(|entry| entry.position));
                    doubted.extend(under_way.map(|(_, position)| *position));
                }
                *before += u32::from(!asking.would_join);
            }
        }
        doubted
    }

    /// Says of every item what its user got, without what comes before in the batch.
    pub(super) fn tell(&self, candidates: &mut [CandidateFacts]) {
        for (index, asking) in &self.asking {
            candidates[*index].received = Some(self.received(asking));
        }
    }

    /// Whether something counts the item.
    pub(super) fn asks(&self, index: usize) -> bool {
        self.asking.contains_key(&index)
    }

    /// Says of an item what its user got, with those before it in the batch that were let in.
    pub(super) fn of_item(&self, index: usize) -> Option<Received> {
        self.asking.get(&index).map(|asking| self.received(asking))
    }

    /// An item goes out at another time than was thought.
    pub(super) fn move_to(&mut self, index: usize, at: Timestamp) {
        if let Some(asking) = self.asking.get_mut(&index) {
            asking.entry.at = at;
        }
    }

    /// From now on an item counts for those after it.
    pub(super) fn let_in(&mut self, index: usize) {
        if let Some(asking) = self.asking.get(&index) {
            let (user, entry) = (asking.user, asking.entry);
            self.users[user].entries.push(entry);
        }
    }

    fn received(&self, asking: &Asking) -> Received {
        let mut received = Received::default();
        for bound in &asking.bounds {
            let count = match bound.scope {
                Scope::Type(_) => &mut received.of_type,
                Scope::Category(_) => &mut received.of_category,
                Scope::All => &mut received.in_all,
            };
            *count = self.users[asking.user].count(bound, asking.entry.at);
        }
        received
    }
}

impl Counted {
    fn count(&self, bound: &Bound, at: Timestamp) -> u32 {
        let counted = self.entries.iter().filter(|entry| bound.scope.holds(entry));
        // In both places where its row was written between the claim and the reading.
        let is_read = |position: &Position| self.entries.iter().any(|entry| entry.position == *position);
        let under_way =
            self.under_way.iter().filter(|(scope, position)| *scope == bound.scope && !is_read(position)).count();
        most_in_a_window(counted.map(|entry| entry.at), at, bound.window) + under_way as u32
    }
}

/// Whether a notification has ended, and nothing of it was sent or may have been.
fn was_not_sent(story: &Story) -> bool {
    let may_count =
        |state: TaskState| state.is_open() || state.is_taken() || matches!(state, TaskState::Unknown { .. });
    !story.states().into_iter().any(may_count)
}
