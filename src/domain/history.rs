//! All that happened to a notification, in the order in which it did. Rows hold what came after planning; what planning did
//! the plan itself says.

use super::{Disposition, Event, EventKind, NotificationId, Plan, Routing, SkipReason, Story, TaskId};

/// In the place of a task's ordinal, for an event about a notification that has no tasks.
pub const WHOLE: u8 = u8::MAX;

impl Plan {
    /// What planning did, as events about no attempt (0): each of its tasks was accepted, and some of them wait for a time; or
    /// the notification as a whole was skipped, has expired or was cancelled.
    pub fn first_events(&self) -> Vec<Event> {
        match &self.disposition {
            Disposition::Tasks(tasks) => (0..tasks.len()).flat_map(|ordinal| self.first_events_of(ordinal)).collect(),
            Disposition::Skipped(reason) => vec![self.skipped(reason)],
            Disposition::Merged { into } => vec![self.merged(NotificationId(*into))],
        }
    }

    fn skipped(&self, reason: &SkipReason) -> Event {
        let kind = match reason {
            SkipReason::Expired => EventKind::Expired,
            SkipReason::Cancelled => EventKind::Cancelled,
            _ => EventKind::Skipped,
        };
        let task = TaskId { position: self.position, ordinal: WHOLE };
        Event { reason: Some(reason.name().into()), ..Event::new(task, 0, kind, self.accepted_at) }
    }

    fn merged(&self, into: NotificationId) -> Event {
        let task = TaskId { position: self.position, ordinal: WHOLE };
        Event { reason: Some(into.to_string().into()), ..Event::new(task, 0, EventKind::Merged, self.accepted_at) }
    }

    fn first_events_of(&self, ordinal: usize) -> Vec<Event> {
        let Some(spec) = self.tasks().get(ordinal) else { return Vec::new() };
        let event = |kind| Event {
            channel: Some(spec.channel),
            ..Event::new(self.task_id(ordinal), 0, kind, self.accepted_at)
        };
        // Of a fallback only the first task heeds its time.
        let due = spec.due.filter(|_| self.routing != Routing::Fallback || ordinal == 0);
        let scheduled = due.map(|due| Event { due: Some(due), ..event(EventKind::Scheduled) });
        [event(EventKind::Accepted)].into_iter().chain(scheduled).collect()
    }
}

impl Story {
    /// Everything that happened to one task.
    pub fn history(&self, ordinal: usize) -> Vec<Event> {
        let own = self.events.iter().filter(|event| usize::from(event.task.ordinal) == ordinal);
        let mut later: Vec<Event> = own.cloned().collect();
        later.sort_by_key(|event| (event.at, event.sequence(), event.occasion));
        let mut events = self.plan.first_events_of(ordinal);
        events.append(&mut later);
        events
    }

    /// Everything that happened, task by task.
    pub fn histories(&self) -> Vec<Event> {
        match &self.plan.disposition {
            Disposition::Tasks(tasks) => (0..tasks.len()).flat_map(|ordinal| self.history(ordinal)).collect(),
            Disposition::Skipped(_) => self.plan.first_events(),
            Disposition::Merged { .. } => self.plan.first_events().into_iter().chain(self.events.clone()).collect(),
        }
    }
}
