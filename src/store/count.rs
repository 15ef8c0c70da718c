//! What the rows of a notification are in the books. Pure: the books of a shard are the sum of this over all its rows.

use super::rows::{BookColumn, BookDelta};
use crate::domain::{Disposition, Event, EventKind, Plan, Routing, SkipReason, Story, TaskState};

impl BookDelta {
    /// Enters a plan of which nothing has happened yet: an item for each task, or one where there is none.
    pub fn enter_plan(&mut self, plan: &Plan) {
        let source = plan.source;
        match &plan.disposition {
            Disposition::Skipped(reason) => {
                self.add(source, BookColumn::In, 1);
                self.add(source, BookColumn::of_skip(reason), 1);
            }
            Disposition::Merged { .. } => {
                self.add(source, BookColumn::In, 1);
                self.add(source, BookColumn::Merged, 1);
            }
            Disposition::Tasks(tasks) => {
                let count = tasks.len() as i64;
                self.add(source, BookColumn::In, count);
                let first = if plan.routing == Routing::Fallback { 1 } else { tasks.len() };
                let scheduled = tasks.iter().take(first).filter(|spec| spec.due.is_some()).count() as i64;
                self.add(source, BookColumn::Scheduled, scheduled);
                self.add(source, BookColumn::Waiting, count - first as i64);
            }
        }
    }

    /// Enters a plan and all that happened to it since.
    pub fn enter_story(&mut self, story: &Story) {
        if story.has_left() {
            self.add(story.plan.source, BookColumn::In, 1);
            return self.add(story.plan.source, BookColumn::Cancelled, 1);
        }
        if story.events.is_empty() || story.plan.tasks().is_empty() {
            return self.enter_plan(&story.plan);
        }
        for (ordinal, state) in story.booked_states().into_iter().enumerate() {
            self.shift(story.plan.source, None, Some(BookColumn::In), 1);
            self.shift(story.plan.source, None, of_state(story, ordinal, state), 1);
        }
    }
}

impl BookColumn {
    /// Where what was skipped stands.
    pub fn of_skip(reason: &SkipReason) -> Self {
        match reason {
            SkipReason::Duplicate { .. } => BookColumn::SkippedDuplicate,
            SkipReason::Expired => BookColumn::Expired,
            SkipReason::Cancelled => BookColumn::Cancelled,
            SkipReason::NoAddress => BookColumn::SkippedNoAddress,
            SkipReason::NoProvider => BookColumn::SkippedNoProvider,
            SkipReason::DeliveredElsewhere => BookColumn::SkippedDeliveredElsewhere,
            SkipReason::NoConsent => BookColumn::SkippedNoConsent,
            SkipReason::Suppressed => BookColumn::SkippedSuppressed,
            SkipReason::Fatigue => BookColumn::SkippedFatigue,
            SkipReason::DailyCap => BookColumn::SkippedDailyCap,
            SkipReason::Erased => BookColumn::SkippedErased,
            SkipReason::Budget => BookColumn::SkippedBudget,
            SkipReason::HeldBack => BookColumn::SkippedHeldBack,
        }
    }
}

/// `None`: it is open and waits for nothing.
fn of_state(story: &Story, ordinal: usize, state: TaskState) -> Option<BookColumn> {
    Some(match state {
        TaskState::Pending { .. } => return None,
        TaskState::Scheduled { .. } => BookColumn::Scheduled,
        TaskState::Waiting => BookColumn::Waiting,
        TaskState::Sent | TaskState::Delivered => BookColumn::Sent,
        TaskState::Merged => BookColumn::Merged,
        TaskState::Skipped => of_skipped(story, ordinal),
        TaskState::Cancelled => BookColumn::Cancelled,
        TaskState::Expired => BookColumn::Expired,
        TaskState::Failed { .. } => BookColumn::Failed,
        TaskState::Unknown { .. } => BookColumn::Unknown,
    })
}

/// Why a task that was planned was skipped, its event says.
fn of_skipped(story: &Story, ordinal: usize) -> BookColumn {
    let is_it = |event: &&Event| usize::from(event.task.ordinal) == ordinal && event.kind == EventKind::Skipped;
    let event = story.events.iter().filter(is_it).min_by_key(|event| event.sequence());
    let reason = event.and_then(|event| SkipReason::of_task(event.reason.as_deref()?));
    BookColumn::of_skip(&reason.unwrap_or(SkipReason::DeliveredElsewhere))
}

/// Which rows are in the books, by the numbers of their writes: those up to one, but for some.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    pub up_to: i64,
    /// Whose writes the exceptions are.
    pub process: u32,
    pub but: Vec<Uncounted>,
}

/// A write that was under way or had failed when the books were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uncounted {
    /// The numbers of its rows.
    pub first: i64,
    pub last: i64,
    /// Those of its blocks that nothing else leads to.
    pub blocks: Vec<u64>,
}

impl Counted {
    pub fn has(&self, number: i64, process: u32) -> bool {
        let is_excepted = |but: &Uncounted| (but.first..=but.last).contains(&number);
        number <= self.up_to && !(process == self.process && self.but.iter().any(is_excepted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Event, EventKind, Position, Timestamp};
    use crate::store::conformance;

    #[test]
    fn a_story_that_has_only_begun_is_what_its_plan_is() {
        let mut plan = conformance::plan(Position::new(conformance::shard(0), 1));
        let Disposition::Tasks(tasks) = &mut plan.disposition else { unreachable!("it has tasks") };
        tasks.push(tasks[0].clone());
        for (routing, due) in
            [Routing::All, Routing::Fallback].into_iter().flat_map(|one| [(one, None), (one, Some(9))])
        {
            let mut plan = plan.clone();
            plan.routing = routing;
            let Disposition::Tasks(tasks) = &mut plan.disposition else { unreachable!("it has tasks") };
            tasks.iter_mut().for_each(|task| task.due = due.map(Timestamp));
            let (mut of_plan, mut of_story) = (BookDelta::default(), BookDelta::default());
            of_plan.enter_plan(&plan);
            // Nothing is decided by it.
            let event = Event::new(plan.task_id(0), 1, EventKind::Accepted, Timestamp(1));
            of_story.enter_story(&Story { plan, events: vec![event] });
            assert_eq!(of_story, of_plan, "{routing:?}, {due:?}");
        }
    }
}
