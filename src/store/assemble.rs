//! Stories from the plans and events that a backend read. Pure.

use std::collections::BTreeMap;

use crate::domain::{Disposition, Event, Story, TASKS_MAX};

/// Which offsets of a block are asked for.
pub(super) enum Offsets {
    All,
    /// In order.
    These(Vec<u64>),
}

impl Offsets {
    pub(super) fn contains(&self, offset: u64) -> bool {
        match self {
            Offsets::All => true,
            Offsets::These(offsets) => offsets.binary_search(&offset).is_ok(),
        }
    }

    /// Whether there may be one from `first` to `last`.
    pub(super) fn touch(&self, first: u64, last: u64) -> bool {
        match self {
            Offsets::All => true,
            Offsets::These(offsets) => {
                offsets.get(offsets.partition_point(|one| *one < first)).is_some_and(|one| *one <= last)
            }
        }
    }
}

/// Puts the events of a block to its stories. They come in the order in which they were written: of two that say something else
/// of the same thing the later one counts.
pub(super) fn add_events(stories: &mut BTreeMap<u64, Story>, events: Vec<Event>) {
    for event in events {
        if let Some(story) = stories.get_mut(&event.task.position.offset) {
            story.events.push(event);
        }
    }
    for story in stories.values_mut() {
        // One that was merged has no tasks; what happened to it since is about it as a whole.
        if !matches!(story.plan.disposition, Disposition::Merged { .. }) {
            story.events.retain(|event| !is_loose(event));
        }
        // The sort keeps the order of the writes within a key.
        story.events.sort_by_key(Event::fact);
        // The same fact written twice, by a replay, is one row: the later one.
        story.events.dedup_by(|later, earlier| {
            let is_same = later.fact() == earlier.fact();
            if is_same {
                std::mem::swap(later, earlier);
            }
            is_same
        });
    }
}

/// Whether an event belongs to a notification and to none of its tasks.
pub(super) fn is_loose(event: &Event) -> bool {
    usize::from(event.task.ordinal) >= TASKS_MAX
}
