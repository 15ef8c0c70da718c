//! Tasks that wait for a time, and need not any more because of a receipt.

use crate::domain::{Channel, Story, TaskId, TaskState};

/// A task to be looked at before its time. Nothing of it is stored: if nobody does, its timer comes at its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Early {
    pub task: TaskId,
    pub channel: Channel,
    /// As in [`crate::domain::TaskSpec::endpoint`].
    pub endpoint: u32,
    /// The attempt that waits.
    pub attempt: u8,
}

impl Early {
    /// Those of a notification after something was told of the task `ordinal`: the task itself, which was in doubt and is not to be
    /// sent again, and the channel after it in a fallback, which waited for an answer.
    pub(super) fn of(story: &Story, ordinal: usize) -> Vec<Self> {
        let tasks = story.plan.tasks();
        let needs_not_wait =
            |at: &usize| if *at == ordinal { story.is_taken_after_all(*at) } else { story.is_answered(*at) };
        let early = (ordinal..tasks.len()).filter(needs_not_wait).filter_map(|at| {
            let (Some(TaskState::Scheduled { attempt, .. }), spec) = (story.booked(at), &tasks[at]) else {
                return None;
            };
            Some(Self { task: story.plan.task_id(at), channel: spec.channel, endpoint: spec.endpoint, attempt })
        });
        early.collect()
    }
}
