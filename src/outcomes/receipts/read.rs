//! What is held of the notifications that receipts are about.

use std::collections::BTreeMap;

use super::{Early, ReceiptSource};
use crate::domain::{Event, EventKind, Plan, Position, Story, TaskId, Timestamp};
use crate::store::{SharedStore, StoreError};

/// The stories, with what is being added.
pub(super) struct Stories {
    stories: BTreeMap<Position, Story>,
    now: Timestamp,
}

/// Where a receipt belongs.
pub(super) enum Found<'a> {
    /// There is no such task, or it is none of this provider's, or it cannot have gone yet.
    Nowhere,
    /// It was told before, so.
    Known(&'a Event),
    New(&'a Plan),
}

impl Stories {
    pub(super) async fn read(
        store: &SharedStore,
        positions: Vec<Position>,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let stories = store.stories(&positions).await?;
        let found = positions.into_iter().zip(stories).filter_map(|(position, story)| Some((position, story?)));
        Ok(Self { stories: found.collect(), now })
    }

    pub(super) fn plan(&self, position: Position) -> Option<&Plan> {
        self.stories.get(&position).map(|story| &story.plan)
    }

    /// `source`: whose receipt it is; `None`: nobody's, it was said by who got the message.
    pub(super) fn find(&self, event: &Event, source: Option<ReceiptSource<'_>>) -> Found<'_> {
        let Some(story) = self.stories.get(&event.task.position) else { return Found::Nowhere };
        let Some(spec) = story.plan.tasks().get(usize::from(event.task.ordinal)) else { return Found::Nowhere };
        let is_its = |source: ReceiptSource<'_>| {
            source.channels.contains(&spec.channel) && may_have_sent(story, event, source.provider, self.now)
        };
        if !source.is_none_or(is_its) {
            return Found::Nowhere;
        }
        let is_same = |known: &&Event| known.task == event.task && known.fact() == event.fact();
        story.events.iter().find(is_same).map_or(Found::New(&story.plan), Found::Known)
    }

    /// Adds what is to be written.
    pub(super) fn add(&mut self, event: Event) {
        if let Some(story) = self.stories.get_mut(&event.task.position) {
            story.events.push(event);
        }
    }

    /// The tasks that need not wait any more because of what was told of this one.
    pub(super) fn early(&self, task: TaskId) -> Vec<Early> {
        let story = self.stories.get(&task.position);
        story.map_or_else(Vec::new, |story| Early::of(story, usize::from(task.ordinal)))
    }
}

/// Whether a provider may have sent the task that it tells of. Once it is known who took it, others can tell nothing of it, nor can
/// who took it of another message; unless they were asked before and never answered. Before that it counts who was asked, or may
/// be asked right now, since the receipt may be quicker than our own row. What was not to go yet nobody can have sent.
fn may_have_sent(story: &Story, told: &Event, provider: &str, now: Timestamp) -> bool {
    let own = || story.events.iter().filter(|event| event.task.ordinal == told.task.ordinal);
    let of_provider = || own().filter(|event| event.provider.as_deref() == Some(provider));
    if of_provider().any(|event| event.kind == EventKind::Unknown) {
        return true;
    }
    if own().any(|event| event.kind == EventKind::Sent) {
        return of_provider().any(|event| event.kind == EventKind::Sent && is_one_message(event, told));
    }
    // The row of an attempt to come names who was asked before.
    let was_asked = |event: &Event| match event.kind {
        EventKind::Failed => true,
        EventKind::Scheduled => event.attempt > 1,
        _ => false,
    };
    of_provider().any(was_asked) || story.may_be_under_way(usize::from(told.task.ordinal), now)
}

/// Unless both say which message they mean, and mean different ones.
fn is_one_message(sent: &Event, told: &Event) -> bool {
    match (&sent.provider_message_id, &told.provider_message_id) {
        (Some(sent), Some(told)) => sent == told,
        _ => true,
    }
}
