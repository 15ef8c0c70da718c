//! What planning must know of a batch, read all at once: the one place here that waits for anything.
//!
//! A claim is asked for in two places, in this order: in coordination, where it is held while its batch is on the way to
//! the disk, and in the store, where it is a row. Whoever is let in by the first can trust the second, since a row is
//! written before its claim is released. Windows are measured between the times at which the notifications were
//! accepted, so that neither a backlog nor a replay changes what is a duplicate.
//!
//! What is read says what came before the batch. What comes before within it is known at the end, when it is gone through in its
//! order (`in_turn`).

mod budgets;
mod experiments;
mod groups;
mod in_turn;
mod people;
mod received;
mod second_look;

use std::collections::HashMap;
use std::sync::Arc;

pub use budgets::Budgets;
pub use experiments::Experiments;
pub use groups::ShardGroups;
pub use people::People;
pub use second_look::{SecondLook, look_again};

use super::gates::{self, Case};
use super::{OpenGroups, Policy, claim_keys, routing};
use crate::coordination::{Claims, Wanted};
use crate::domain::{Assignment, BrakeSet, ClaimKey, NotificationRequest, Position, ShardId, Timestamp, User};
use crate::store::{ClaimRows, Groups, ReceivedRows, StoreError, TaskLog};
use received::Counts;

/// What is known of a batch, in its order.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    pub candidates: Vec<CandidateFacts>,
    /// To be released, all of them, once the batch's plans are durable.
    pub claimed: Vec<Wanted>,
    /// The groups that it may join.
    pub groups: OpenGroups,
    /// Leaders that the claims of doubtful ones lead to: somebody after this batch may stand under one whose claim another leader has by
    /// then.
    pub doubtful: Vec<(ClaimKey, Position)>,
}

/// What is known of one request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CandidateFacts {
    pub cancelled: bool,
    /// Nothing is known of it but whose it was: that one was erased.
    pub is_unreadable: bool,
    /// Another notification that holds the retry key.
    pub retry_holder: Option<Position>,
    /// The key under which no second one is sent; `None`: there is none, or nothing would be sent anyway.
    pub business_key: Option<ClaimKey>,
    /// Another notification that holds the business key.
    pub business_holder: Option<Position>,
    /// What is known of its user; `None`: nothing, or it has none.
    pub user: Option<Arc<User>>,
    /// Whether the user is connected. Not known yet of anybody.
    pub is_online: bool,
    /// By [`crate::domain::AddressKind`]: whether nothing is sent to the address that it would use.
    pub suppressed: [bool; 2],
    /// What its user got before; `None`: nothing counts it, or it has no user, or is not sent anyway, or joins others.
    pub received: Option<Received>,
    /// What was stopped by hand; `None`: nothing.
    pub brakes: Option<Arc<BrakeSet>>,
    /// Whether its cost was paid; `None`: its category has no budget, or it costs nothing, or is not sent anyway, or joins others.
    pub budget: Option<BudgetFact>,
    /// The group that it belongs to; `None`: it is merged with nothing.
    pub group_key: Option<ClaimKey>,
    /// The leader under which it stands already: it was about to be planned before, and its plan was not written.
    pub joined: Option<Position>,
    /// What the experiment of its template has for its user; `None`: there is none.
    pub assigned: Option<Assignment>,
    /// Others stand under it already, for the same reason: it led a group before, and leads it again.
    pub leads: bool,
}

/// What the budget of its category says of a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BudgetFact {
    /// There was enough for it on the day on which it goes out.
    Paid,
    /// There was enough for it on another day, which begins then.
    From(Timestamp),
    /// There is not enough for it before it expires.
    Spent,
}

/// What a user was sent, or is about to be: what ended otherwise does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Received {
    /// Of the request's type (its template) within the window of fatigue.
    pub of_type: u32,
    /// Of its category within any 24 hours around it.
    pub of_category: u32,
    /// Of all categories that do not ignore caps, within any 24 hours around it.
    pub in_all: u32,
}

/// Where facts come from.
pub struct Sources<'a> {
    pub claims: &'a dyn Claims,
    pub shelves: Shelves<'a>,
    pub budgets: &'a Budgets,
    /// What the batch's shard knows of its groups.
    pub groups: ShardGroups<'a>,
    /// Whether the notification was cancelled before it was planned.
    pub is_cancelled: &'a (dyn Fn(Position) -> bool + Sync),
    /// Whether its contents cannot be read any more, since whose it is was erased.
    pub is_unreadable: &'a (dyn Fn(Position) -> bool + Sync),
}

/// Where facts are read without claiming anything.
#[derive(Clone, Copy)]
pub struct Shelves<'a> {
    pub rows: &'a dyn ClaimRows,
    /// What users got before ...
    pub received: &'a dyn ReceivedRows,
    /// ... and what became of it.
    pub stories: &'a dyn TaskLog,
    pub groups: &'a dyn Groups,
    pub people: &'a People,
    pub experiments: &'a dyn Experiments,
    pub brakes: &'a Arc<BrakeSet>,
}

/// What is known of a request that is only tried.
#[derive(Debug, Clone, Default)]
pub struct Peeked {
    pub candidate: CandidateFacts,
    /// The group that it would join, with its shard.
    pub found: Option<(ShardId, OpenGroups)>,
}

/// Reads the facts of a batch and claims its keys. On an error nothing is left claimed.
pub async fn gather(
    batch: &[(Position, NotificationRequest)],
    policy: &Policy,
    sources: &Sources<'_>,
    now: Timestamp,
) -> Result<Facts, StoreError> {
    let is_cancelled = |(position, _): &(Position, _)| (sources.is_cancelled)(*position);
    let brakes = on(sources.shelves.brakes);
    let of_one = |item: &(Position, _)| CandidateFacts {
        cancelled: is_cancelled(item),
        is_unreadable: (sources.is_unreadable)(item.0),
        brakes: brakes.clone(),
        ..CandidateFacts::default()
    };
    let mut facts = Facts { candidates: batch.iter().map(of_one).collect(), ..Facts::default() };
    let requests: Vec<&NotificationRequest> = batch.iter().map(|(_, request)| request).collect();
    experiments::assign(sources.shelves.experiments, &requests, &mut facts.candidates);
    people::read(sources.shelves.people, &requests, policy, now, &mut facts.candidates).await?;
    groups::read(batch, policy, sources, &mut facts).await?;
    match claim_all(batch, policy, sources, now, &mut facts).await {
        Ok(()) => Ok(facts),
        Err(error) => {
            sources.claims.release(&facts.claimed).await;
            Err(error)
        }
    }
}

/// The facts of a request that is only tried: claims are looked at, not made. Its retry key does not count. `shards`: those that it
/// may come into, in which the group is looked for that it would join.
pub async fn peek(
    request: &NotificationRequest,
    shards: &[ShardId],
    policy: &Policy,
    shelves: &Shelves<'_>,
) -> Result<Peeked, StoreError> {
    let mut facts = CandidateFacts { brakes: on(shelves.brakes), ..CandidateFacts::default() };
    experiments::assign(shelves.experiments, &[request], std::slice::from_mut(&mut facts));
    people::read(shelves.people, &[request], policy, request.accepted_at, std::slice::from_mut(&mut facts)).await?;
    if let Some(key) = claim_keys::business_key(request, policy, &mut Vec::new()) {
        let row = shelves.rows.claims(&[key]).await?.pop().flatten();
        facts.business_key = Some(key);
        facts.business_holder = row.filter(|row| row.expires_at > request.accepted_at).map(|row| row.owner);
    }
    let (key, found) = groups::peek(request, shards, policy, shelves).await?;
    facts.group_key = key;
    // No position is looked at: nothing is claimed or kept.
    let nowhere = Position::new(ShardId { generation: 0, lane: request.priority, partition: 0 }, u64::MAX);
    let items = [(nowhere, request)];
    let groups = found.as_ref().map(|(_, groups)| groups.clone()).unwrap_or_default();
    let mut peeked = Facts { candidates: vec![facts], groups, ..Facts::default() };
    let mut counts = Counts::of(&items, policy, request.accepted_at, &peeked);
    counts.read(shelves).await?;
    in_turn::tell(&items, policy, request.accepted_at, &mut counts, None, &mut peeked).await?;
    Ok(Peeked { candidate: peeked.candidates.pop().unwrap_or_default(), found })
}

/// The brakes, if any is on.
fn on(brakes: &Arc<BrakeSet>) -> Option<Arc<BrakeSet>> {
    Some(brakes.clone()).filter(|brakes| !brakes.is_empty())
}

/// Retry keys first, then what is counted of the users, then the business keys of what would really be sent: a notification that
/// is skipped for another reason must not look, even for a moment, as if it held the key.
async fn claim_all(
    batch: &[(Position, NotificationRequest)],
    policy: &Policy,
    sources: &Sources<'_>,
    now: Timestamp,
    facts: &mut Facts,
) -> Result<(), StoreError> {
    let wishes = retry_wishes(batch, policy);
    let holders = claim(sources, &wishes, &mut facts.claimed).await?;
    for (wish, holder) in wishes.iter().zip(holders) {
        facts.candidates[wish.index].retry_holder = holder;
    }
    let items: Vec<(Position, &NotificationRequest)> = batch.iter().map(|(position, one)| (*position, one)).collect();
    let mut counts = Counts::of(&items, policy, now, facts);
    counts.claim(sources.claims, &mut facts.claimed).await;
    counts.read(&sources.shelves).await?;
    counts.tell(&mut facts.candidates);
    let wishes = business_wishes(batch, policy, &facts.candidates, now);
    let holders = claim(sources, &wishes, &mut facts.claimed).await?;
    for (wish, holder) in wishes.iter().zip(holders) {
        facts.candidates[wish.index].business_key = Some(wish.wanted.key);
        facts.candidates[wish.index].business_holder = holder;
    }
    in_turn::tell(&items, policy, now, &mut counts, Some(sources.budgets), facts).await
}

/// A key that an item of the batch asks for.
struct Wish {
    index: usize,
    wanted: Wanted,
    accepted_at: Timestamp,
    expires_at: Timestamp,
}

fn retry_wishes(batch: &[(Position, NotificationRequest)], policy: &Policy) -> Vec<Wish> {
    let wish = |(index, (owner, request)): (usize, &(Position, NotificationRequest))| {
        let wanted = Wanted { key: request.idempotency?.key, owner: *owner };
        let accepted_at = request.accepted_at;
        Some(Wish { index, wanted, accepted_at, expires_at: accepted_at + policy.retry_window })
    };
    batch.iter().enumerate().filter_map(wish).collect()
}

fn business_wishes(
    batch: &[(Position, NotificationRequest)],
    policy: &Policy,
    candidates: &[CandidateFacts],
    now: Timestamp,
) -> Vec<Wish> {
    let mut wishes = Vec::new();
    let mut scratch = Vec::new();
    for (index, ((owner, request), facts)) in batch.iter().zip(candidates).enumerate() {
        let case = Case::new(request, facts, policy, now);
        let may_be_sent = facts.retry_holder.is_none() && gates::pass_without_claims(&case) && routing::has_way(&case);
        if may_be_sent && let Some(key) = claim_keys::business_key(request, policy, &mut scratch) {
            let accepted_at = request.accepted_at;
            let expires_at = accepted_at + policy.business_window(request);
            wishes.push(Wish { index, wanted: Wanted { key, owner: *owner }, accepted_at, expires_at });
        }
    }
    wishes
}

/// Claims what is wished for; for each wish who else holds the key, or `None` where it is granted. What was claimed is
/// added to `claimed` even if the reading then fails.
async fn claim(
    sources: &Sources<'_>,
    wishes: &[Wish],
    claimed: &mut Vec<Wanted>,
) -> Result<Vec<Option<Position>>, StoreError> {
    if wishes.is_empty() {
        return Ok(Vec::new());
    }
    let wanted: Vec<Wanted> = wishes.iter().map(|wish| wish.wanted).collect();
    let in_flight = sources.claims.claim(&wanted).await;
    let is_let_in = |(wanted, holder): (&Wanted, &Position)| (wanted.owner == *holder).then_some(*wanted);
    let let_in: Vec<Wanted> = wanted.iter().zip(&in_flight).filter_map(is_let_in).collect();
    claimed.extend_from_slice(&let_in);
    let keys: Vec<ClaimKey> = let_in.iter().map(|wanted| wanted.key).collect();
    let mut rows = sources.shelves.rows.claims(&keys).await?.into_iter();

    // Per key who holds it, as far as this batch knows, and until when.
    let mut known: HashMap<ClaimKey, (Position, Timestamp)> = HashMap::with_capacity(let_in.len());
    let mut holders = Vec::with_capacity(wishes.len());
    for (wish, in_flight) in wishes.iter().zip(in_flight) {
        let Wanted { key, owner } = wish.wanted;
        if in_flight == owner
            && let Some(row) = rows.next().flatten()
            && row.owner != owner
        {
            known.insert(key, (row.owner, row.expires_at));
        }
        let holder = match known.get(&key) {
            Some((holder, expires_at)) => (*expires_at > wish.accepted_at).then_some(*holder),
            None => (in_flight != owner).then_some(in_flight),
        };
        if holder.is_none() {
            known.insert(key, (owner, wish.expires_at));
        }
        holders.push(holder);
    }
    Ok(holders)
}
