//! A batch of requests becomes plans.
//!
//! In: a batch as read from the log, and the [`Facts`] that [`gather`] read for it all at once. Out: one [`Plan`] per
//! request: tasks, or the one reason why there are none, with every verdict on the way. Promise: planning is a pure
//! function of batch, facts, policy and time, so that a replay with the same facts decides the same; only `facts.rs` and what is
//! below it wait for anything.

mod policy;
mod gates;
mod routing;
mod send_time;
mod endpoint;
mod facts;
mod aggregation;
mod claim_keys;
mod canonical;
mod received;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use aggregation::OpenGroups;
pub use facts::{
    BudgetFact, Budgets, CandidateFacts, Experiments, Facts, Peeked, People, Received, SecondLook, ShardGroups,
    Shelves, Sources, gather, look_again, peek,
};
pub use policy::{Policy, RoutingPolicy, Takers};
pub use received::received_row;

use crate::domain::{
    AddressKind, Assignment, Decision, Delivery, Disposition, NotificationRequest, Owner, Personal, Plan, PlanClaim,
    Position, Presentation, ShardId, SkipReason, SuppressedAddress, TaskSpec, Timestamp, Verdict,
};
use gates::{Case, GATES};

/// Plans a batch. `facts` were gathered for exactly this batch; `now` is the one that they were gathered with.
pub fn plan_batch(
    batch: Vec<(Position, NotificationRequest)>,
    facts: &Facts,
    policy: &Policy,
    now: Timestamp,
) -> Vec<Arc<Plan>> {
    assert_eq!(batch.len(), facts.candidates.len(), "facts belong to the batch they were gathered for");
    let mut groups = facts.groups.clone();
    batch
        .into_iter()
        .zip(&facts.candidates)
        .map(|((position, request), facts)| {
            let plan = plan(position, request, facts, &groups, policy, now);
            groups.follow(&plan, policy.items_max);
            if facts.leads && !plan.is_leader() {
                groups.lose(plan.position.offset);
            }
            Arc::new(plan)
        })
        .collect()
}

/// What would become of a request now. Nothing is claimed and nothing is kept: the position is a stand-in in the
/// request's lane, and neither it nor the ids made of it mean anything.
pub fn dry_run(request: NotificationRequest, peeked: Peeked, policy: &Policy, now: Timestamp) -> Plan {
    let nowhere = ShardId { generation: 0, lane: request.priority, partition: 0 };
    let (shard, groups) = peeked.found.unwrap_or_else(|| (nowhere, OpenGroups::default()));
    plan(Position::new(shard, 0), request, &peeked.candidate, &groups, policy, now)
}

fn plan(
    position: Position,
    request: NotificationRequest,
    facts: &CandidateFacts,
    groups: &OpenGroups,
    policy: &Policy,
    now: Timestamp,
) -> Plan {
    // Five gates, four for each of two channels, and three for the time of sending.
    let mut decisions = Vec::with_capacity(16);
    let case = Case::new(&request, facts, policy, now);
    let (disposition, group) = match decide(&case, &mut decisions) {
        Ok(tasks) => aggregation::settle(aggregation::place(&case, position, groups), tasks, &mut decisions),
        Err(reason) => (Disposition::Skipped(reason), None),
    };
    let leads = group.as_ref().filter(|group| !group.is_first).map(|group| group.until);
    let expires_at = Some(case.expires_at(leads));
    let presentation = presentation(&case);
    let is_erased = disposition == Disposition::Skipped(SkipReason::Erased);
    let mut claims = held_claims(&request, facts, policy, !matches!(disposition, Disposition::Skipped(_)));
    if let (Some(group), Disposition::Tasks(_)) = (&group, &disposition) {
        // By which the group is found again.
        claims.push(PlanClaim { key: group.key, expires_at: group.until, body_hash: 0 });
    }
    let personal = Personal::Here { of: addressee(&request) };
    let delivery = Delivery { attachments: request.attachments, collapse_key: request.collapse_key };
    let mut plan = Plan {
        position,
        tenant: request.tenant,
        user_id: request.user_id,
        category: request.category,
        source: request.source,
        routing: request.routing,
        accepted_at: request.accepted_at,
        expires_at,
        content: request.content,
        data: request.data,
        metadata: request.metadata,
        decisions,
        disposition,
        claims,
        group,
        presentation,
        delivery,
        campaign: request.campaign,
        personal,
    };
    if is_erased {
        plan.erase();
    }
    plan
}

/// Whose a notification is that names no user: it may come to no task that has the address.
fn addressee(request: &NotificationRequest) -> Option<Box<Owner>> {
    if request.user_id.is_some() {
        return None;
    }
    let by = |kind, text: &str| Box::new(Owner::Address(Box::new(SuppressedAddress::new(&request.tenant, kind, text))));
    let email = request.to.email.as_deref().map(|text| by(AddressKind::Email, text));
    email.or_else(|| request.to.phone.as_deref().map(|text| by(AddressKind::Phone, text)))
}

/// What the message's text depends on besides template and data: as the request says, or as the user is known now.
fn presentation(case: &Case<'_>) -> Presentation {
    let user = case.user();
    let variant = match &case.facts.assigned {
        Some(Assignment::Variant(name)) => Some(name.clone()),
        Some(Assignment::HeldBack) | None => None,
    };
    Presentation {
        locale: case.request.locale.clone().or_else(|| user.and_then(|user| user.locale.clone())),
        zone: user.and_then(|user| user.timezone.clone()),
        variant,
    }
}

/// Asks the gates in their order, then finds the ways and the time. Each verdict is noted; the first skip ends it.
fn decide(case: &Case<'_>, decisions: &mut Vec<Decision>) -> Result<Vec<TaskSpec>, SkipReason> {
    let mut held = None;
    for gate in GATES.iter().filter(|gate| (gate.is_asked)(case)) {
        let verdict = (gate.judge)(case);
        decisions.push(Decision { step: gate.step, channel: None, verdict: verdict.clone() });
        if let Verdict::Skip(reason) = verdict {
            if reason == SkipReason::Expired && case.times.is_held() {
                // What it would have waited for.
                case.times.note_holds(decisions);
            }
            return Err(reason);
        }
        if let Verdict::Hold { until } = verdict {
            held = Some(until);
        }
    }
    let mut ways = routing::route(case, decisions)?;
    let held_ways = gates::stop_ways(case, &mut ways, decisions)?;
    case.times.note(decisions);
    let spec = |((channel, address), held_way): ((_, _), Option<Timestamp>)| TaskSpec {
        channel,
        due: case.times.due.or(held).or(held_way),
        endpoint: endpoint::of(&address),
        address,
    };
    Ok(ways.into_iter().zip(held_ways).map(spec).collect())
}

/// A retry key is held by whoever used it first, whatever became of it, so that a retry is answered the same; a business
/// key only by what is really sent, or the next try would be taken for a duplicate of nothing.
fn held_claims(
    request: &NotificationRequest,
    facts: &CandidateFacts,
    policy: &Policy,
    is_sent: bool,
) -> Vec<PlanClaim> {
    let mut claims = Vec::new();
    if let Some(retry) = request.idempotency
        && facts.retry_holder.is_none()
    {
        let expires_at = request.accepted_at + policy.retry_window;
        claims.extend(retry.keys().map(|key| PlanClaim { key, expires_at, body_hash: retry.body_hash }));
    }
    if let Some(key) = facts.business_key
        && facts.business_holder.is_none()
        && is_sent
    {
        let expires_at = request.accepted_at + policy.business_window(request);
        claims.push(PlanClaim { key, expires_at, body_hash: 0 });
    }
    claims
}
