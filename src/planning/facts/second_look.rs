//! What waited for a time is looked at again before it is sent: its user may have been erased, may want it no longer, or may be
//! asleep now. What is known of users is mostly remembered, so that this asks the store for nothing; what is not is read for all
//! at once.

use super::{CandidateFacts, People, people};
use crate::domain::{
    Address, Channel, Content, NotificationRequest, Plan, Recipient, Routing, SkipReason, TaskSpec, Timestamp, Verdict,
};
use crate::planning::Policy;
use crate::planning::gates::{self, Case};
use crate::store::StoreError;

/// What is to be done with a task whose time has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecondLook {
    Send,
    /// It is not sent on this channel, and why.
    Skip(SkipReason),
    /// Not now, but then.
    Wait(Timestamp),
    /// It would have to wait longer than it is worth sending.
    Expire,
}

/// Looks at tasks (each a plan and the task's place in it) again, in their order. A plan without such a task is sent.
pub async fn look_again(
    tasks: &[(&Plan, usize)],
    policy: &Policy,
    people: &People,
    now: Timestamp,
) -> Result<Vec<SecondLook>, StoreError> {
    let requests: Vec<NotificationRequest> =
        tasks.iter().map(|(plan, ordinal)| request_of(plan, plan.tasks().get(*ordinal))).collect();
    let borrowed: Vec<&NotificationRequest> = requests.iter().collect();
    let mut facts = vec![CandidateFacts::default(); requests.len()];
    people::read(people, &borrowed, policy, now, &mut facts).await?;
    let judged = tasks.iter().zip(requests.iter().zip(&facts)).map(|((plan, ordinal), (request, facts))| {
        let spec = plan.tasks().get(*ordinal);
        spec.map_or(SecondLook::Send, |spec| judge(plan, spec, &Case::new(request, facts, policy, now)))
    });
    Ok(judged.collect())
}

fn judge(plan: &Plan, spec: &TaskSpec, case: &Case<'_>) -> SecondLook {
    if plan.is_erased() {
        return SecondLook::Skip(SkipReason::Erased);
    }
    if let Verdict::Skip(reason) = gates::judge_again(case, spec.channel) {
        return SecondLook::Skip(reason);
    }
    if is_dead(case, &spec.address) {
        return SecondLook::Skip(SkipReason::NoAddress);
    }
    match case.times.due {
        None => SecondLook::Send,
        Some(until) if plan.expires_at.is_some_and(|expires_at| expires_at <= until) => SecondLook::Expire,
        Some(until) => SecondLook::Wait(until),
    }
}

/// A token of one of the user's devices that was called dead since. One that no device has came with the request.
fn is_dead(case: &Case<'_>, address: &Address) -> bool {
    let (Address::PushToken(token), Some(user)) = (address, case.user()) else { return false };
    let mut own = user.devices.values().filter(|device| device.token == *token).peekable();
    own.peek().is_some() && !own.any(|device| device.is_active(case.now))
}

/// As much of a request as the gates look at, to the task's own address. Its time has come: it asks for none.
fn request_of(plan: &Plan, spec: Option<&TaskSpec>) -> NotificationRequest {
    let mut to = Recipient::default();
    match spec.map(|spec| spec.address.clone()) {
        Some(Address::Email(text)) => to.email = Some(text),
        Some(Address::Phone(text)) => to.phone = Some(text),
        Some(Address::PushToken(text) | Address::Device(_, text)) => to.push_token = Some(text),
        Some(Address::Url(text)) => to.url = Some(text),
        Some(Address::Chat(text)) => to.chat = Some(text),
        Some(Address::User(_) | Address::Provider) | None => {}
    }
    NotificationRequest {
        tenant: plan.tenant.clone(),
        user_id: plan.user_id.clone(),
        to,
        content: Content::Template { code: "".into() },
        data: "".into(),
        category: plan.category.clone(),
        locale: None,
        priority: plan.priority(),
        channels: vec![spec.map_or(Channel::Email, |spec| spec.channel)],
        routing: Routing::All,
        deliver_at: None,
        local_time: None,
        expires_at: plan.expires_at,
        dedup_key: None,
        dedup_window_seconds: None,
        attachments: Vec::new(),
        collapse_key: None,
        campaign: plan.campaign,
        idempotency: None,
        aggregate: None,
        metadata: "".into(),
        source: plan.source,
        accepted_at: plan.accepted_at,
    }
}
