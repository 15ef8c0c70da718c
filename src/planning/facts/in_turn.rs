//! What the items of a batch leave each other, in their order: who is sent counts for those after it, pays before them, and opens a
//! group for them to join.

use std::collections::HashMap;

use super::received::Counts;
use super::{BudgetFact, Budgets, CandidateFacts, Facts};
use crate::domain::{NotificationRequest, Position, Timestamp};
use crate::planning::aggregation::{self, Place};
use crate::planning::gates::{self, Case};
use crate::planning::{OpenGroups, Policy, routing};
use crate::store::StoreError;

/// Tells each item what its user got and whether it is paid for. What joins others is asked for neither: its message was let in, and
/// paid for, with its leader. An item that is not sent holds no business key: the next one that asked for it does. `budgets`: not
/// asked by what is only tried.
pub(super) async fn tell(
    batch: &[(Position, &NotificationRequest)],
    policy: &Policy,
    now: Timestamp,
    counts: &mut Counts,
    budgets: Option<&Budgets>,
    facts: &mut Facts,
) -> Result<(), StoreError> {
    let mut groups = facts.groups.clone();
    let mut heirs = Heirs::default();
    for (index, (position, request)) in batch.iter().enumerate() {
        let candidate = &mut facts.candidates[index];
        candidate.received = None;
        candidate.business_holder = candidate.business_holder.and_then(|holder| heirs.inherit(holder, *position));
        let has_budget = policy.category(request).budget_per_day.is_some();
        if candidate.group_key.is_none() && !has_budget && !counts.asks(index) {
            continue;
        }
        let place = place(*position, request, candidate, policy, now, &groups);
        let Some(mut place) = place else {
            groups.lose(position.offset);
            continue;
        };
        if !matches!(place, Place::Joins(..)) {
            if let Some(due) = place.due() {
                counts.move_to(index, due);
            }
            // One that leads already was let in before, and others stand under it.
            if !candidate.leads {
                candidate.received = counts.of_item(index);
                let case = Case::new(request, candidate, policy, now);
                let is_let_in = gates::pass_counts(&case);
                if is_let_in && let Some(budgets) = budgets {
                    candidate.budget = budgets.pay(&case, place.due().or(case.times.due)).await?;
                }
                if !is_let_in || candidate.budget == Some(BudgetFact::Spent) {
                    heirs.leave(*position, candidate);
                    continue;
                }
            }
            counts.let_in(index);
        }
        if candidate.budget.is_some() {
            // It may have to wait for another day.
            let case = Case::new(request, candidate, policy, now);
            place = aggregation::place(&case, *position, &groups);
        }
        let case = Case::new(request, candidate, policy, now);
        groups.follow_place(&place, &case, *position);
    }
    Ok(())
}

/// Where an item comes among those before it; `None`: it is not sent.
fn place(
    position: Position,
    request: &NotificationRequest,
    candidate: &CandidateFacts,
    policy: &Policy,
    now: Timestamp,
    groups: &OpenGroups,
) -> Option<Place> {
    let case = Case::new(request, candidate, policy, now);
    let is_sent = gates::pass_all(&case) && routing::has_way(&case);
    is_sent.then(|| aggregation::place(&case, position, groups))
}

/// Who holds a business key in the place of an item that is not sent; `None`: nobody yet.
#[derive(Default)]
struct Heirs(HashMap<Position, Option<Position>>);

impl Heirs {
    /// An item is not sent: its key is the next one's.
    fn leave(&mut self, position: Position, candidate: &CandidateFacts) {
        if candidate.business_key.is_some() {
            self.0.insert(position, None);
        }
    }

    /// Who really holds the key that is said to be `holder`'s, as far as `who` is concerned, which takes it if nobody does.
    fn inherit(&mut self, mut holder: Position, who: Position) -> Option<Position> {
        while let Some(heir) = self.0.get_mut(&holder) {
            match heir {
                Some(heir) => holder = *heir,
                None => {
                    *heir = Some(who);
                    return None;
                }
            }
        }
        Some(holder)
    }
}
