//! What the brakes and the second look say of a task whose turn has come.

use std::sync::Arc;

use super::ready::{Payload, Ready};
use super::sender::SenderContext;
use crate::domain::{BrakeSet, BrakeVerdict, Channel, Plan, SkipReason, Timestamp, held_until};
use crate::outcomes::{Answer, AnswerKind};
use crate::ownership::Begin;

/// What ends the turn of a task, with a provider or with whichever the channel has; `None`: it goes on. What is worth nothing any
/// more is not held once more. Of what cannot be read any more nothing is sent, whatever is known of its user.
pub(super) fn stops(
    brakes: &BrakeSet,
    plan: &Plan,
    channel: Channel,
    provider: Option<&str>,
    now: Timestamp,
) -> Option<AnswerKind> {
    if plan.is_erased() {
        return Some(AnswerKind::Skipped(SkipReason::Erased));
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance::{plan, shard};

    #[test]
    fn what_cannot_be_read_any_more_is_skipped_as_erased_whatever_the_brakes_say() {
        let mut plan = plan(crate::domain::Position::new(shard(0), 1));
        let brakes = BrakeSet::new(Vec::new(), 0, Arc::default());
        let stops = |plan: &Plan| stops(&brakes, plan, Channel::Email, None, Timestamp(1));
        assert!(stops(&plan).is_none());
        plan.erase();
        assert!(matches!(stops(&plan), Some(AnswerKind::Skipped(SkipReason::Erased))));
    }
}
