//! What became of one message of a campaign. Pure.

use crate::domain::{Disposition, EventKind, Story, TaskState, Timestamp};

/// As far as it is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is to be planned or sent as soon as may be.
    UnderWay,
    /// It waits for this time.
    Waits(Timestamp),
    /// A provider took it.
    Succeeded,
    /// It is over, and why.
    Failed(Box<str>),
    /// Nothing was sent, and why.
    Skipped(Box<str>),
}

/// What the rows of a notification say; `None`: it has not been planned.
pub(super) fn of(story: Option<&Story>, now: Timestamp) -> Outcome {
    let Some(story) = story else { return Outcome::UnderWay };
    match &story.plan.disposition {
        Disposition::Skipped(reason) => return Outcome::Skipped(reason.name().into()),
        Disposition::Merged { .. } if story.has_left() => return Outcome::Skipped("cancelled".into()),
        Disposition::Merged { .. } => return Outcome::Skipped("merged".into()),
        Disposition::Tasks(_) => {}
    }
    let states = story.states();
    if states.iter().any(|state| state.is_open()) {
        // What is tried again, or held by a brake, is held up where others would be as well: it waits for no time of its own.
        let due = |(ordinal, state): (usize, &TaskState)| match state {
            TaskState::Scheduled { attempt: 1, due } if !story.is_held(ordinal) => Some(*due),
            // It has its turn when the one before it has had its own.
            TaskState::Waiting => Some(Timestamp(u64::MAX)),
            _ => None,
        };
        let open = states.iter().enumerate().filter(|(_, state)| state.is_open());
        let dues: Option<Vec<Timestamp>> = open.map(due).collect();
        return match dues.and_then(|dues| dues.into_iter().min()) {
            Some(due) if due > now && due.millis() != u64::MAX => Outcome::Waits(due),
            _ => Outcome::UnderWay,
        };
    }
    let is_any = |wanted: fn(&TaskState) -> bool| states.iter().any(wanted);
    let has_arrived = |ordinal: &usize| states[*ordinal].is_taken() && !story.has_bounced(*ordinal);
    if (0..states.len()).any(|ordinal| has_arrived(&ordinal)) {
        return Outcome::Succeeded;
    }
    if is_any(|state| state.is_taken()) {
        return Outcome::Failed("bounced".into());
    }
    if is_any(|state| matches!(state, TaskState::Failed { .. } | TaskState::Unknown { .. })) {
        return Outcome::Failed(reason(story, &[EventKind::Failed, EventKind::Unknown]).unwrap_or("failed").into());
    }
    if is_any(|state| *state == TaskState::Skipped) {
        return Outcome::Skipped(reason(story, &[EventKind::Skipped]).unwrap_or("skipped").into());
    }
    Outcome::Skipped(states.first().map_or("skipped", |state| state.name()).into())
}

/// The reason of the last event of these kinds.
fn reason<'a>(story: &'a Story, kinds: &[EventKind]) -> Option<&'a str> {
    let of_kinds = story.events.iter().filter(|event| kinds.contains(&event.kind));
    of_kinds.max_by_key(|event| event.at).and_then(|event| event.reason.as_deref())
}

/// What became of those told first, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Regrets {
    /// A provider took it, or refused it for good.
    pub(super) tried: u64,
    /// It was refused for good, or came back.
    pub(super) bounced: u64,
    pub(super) complained: u64,
}

impl Regrets {
    pub(super) fn add(&mut self, story: &Story, now: Timestamp) {
        let is_complained = story.events.iter().any(|event| event.kind == EventKind::Complained);
        let outcome = of(Some(story), now);
        let is_bounced = matches!(outcome, Outcome::Failed(_));
        self.tried += u64::from(is_bounced || outcome == Outcome::Succeeded);
        self.bounced += u64::from(is_bounced);
        self.complained += u64::from(is_complained);
    }
}
