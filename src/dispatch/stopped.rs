//! What the brakes and the second look say of a task whose turn has come.

use std::sync::Arc;

use super::ready::{Payload, Ready};
use super::sender::SenderContext;
use crate::domain::{BrakeSet, BrakeVerdict, Channel, Plan, Timestamp, held_until};
use crate::outcomes::{Answer, AnswerKind};
use crate::ownership::Begin;

/// What ends the turn of a task, with a provider or with whichever the channel has; `None`: it goes on. What is worth nothing any
/// more is not held once more.
pub(super) fn stops(
    brakes: &BrakeSet,
    plan: &Plan,
    channel: Channel,
    provider: Option<&str>,
    now: Timestamp,
) -> Option<AnswerKind> {
    if brakes.is_empty() {
        return None;
    }
    let verdict = brakes.judge(plan, channel, provider);
    let has_expired = plan.expires_at.is_some_and(|expires_at| expires_at <= now);
    match verdict {
        BrakeVerdict::Go => None,
        BrakeVerdict::Recalled(by) => Some(AnswerKind::Recalled { by }),
        BrakeVerdict::Held(_) if has_expired => Some(AnswerKind::Expired),
        BrakeVerdict::Held(by) => {
            Some(AnswerKind::Held { by, until: held_until(plan.expires_at, now), seen: brakes.number() })
        }
    }
}

/// The answer for a task that has no provider yet, or the task. It holds no slot and spends no token, so what is stopped keeps
/// nothing that is behind it waiting. Nothing at all: somebody else has it.
pub(super) fn sort(context: &SenderContext, brakes: &BrakeSet, mut ready: Ready) -> Result<Ready, Option<Answer>> {
    let now = context.clock.now();
    let Some(payload) = &mut ready.payload else { return Ok(ready) };
    let stopped = stops(brakes, &payload.plan, ready.channel, None, now);
    let Some(kind) = stopped.or_else(|| objects(payload, now)) else { return Ok(ready) };
    let plan = payload.plan.clone();
    Err(unasked(context, &ready, plan, kind))
}

/// What a second look said against sending it; what is worth nothing any more needs no other reason.
fn objects(payload: &mut Payload, now: Timestamp) -> Option<AnswerKind> {
    let objection = payload.objection.take()?;
    let has_expired = payload.plan.expires_at.is_some_and(|expires_at| expires_at <= now);
    Some(if has_expired { AnswerKind::Expired } else { objection })
}

/// The answer for a task that no provider is asked for, if nobody else has it.
pub(super) fn unasked(context: &SenderContext, ready: &Ready, plan: Arc<Plan>, kind: AnswerKind) -> Option<Answer> {
    let now = context.clock.now();
    (context.ownership.begin(ready.task) == Begin::Yes).then(|| Answer {
        task: ready.task,
        attempt: ready.attempt,
        plan,
        was_scheduled: ready.scheduled,
        provider: "none".into(),
        asked_at: now,
        at: now,
        kind,
    })
}
