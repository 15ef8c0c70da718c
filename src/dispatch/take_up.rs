//! Finds again what an actor that is gone had in hand.

use super::ready::{Class, Ready};
use super::sender::SenderContext;
use crate::domain::{Channel, TaskState};
use crate::store::StoreError;

/// Notifications read together.
const READ_MAX: usize = 1024;

/// The tracked tasks of a channel and class, from the store. What was answered before is settled first, so that it is not sent
/// again.
pub(super) async fn take_up(context: &SenderContext, channel: Channel, class: Class) -> Result<Vec<Ready>, StoreError> {
    context.settler.flush().await;
    let now = context.clock.now();
    let mut open = Vec::new();
    for shard in context.ownership.shards() {
        if Class::of(shard.id().lane) != class {
            continue;
        }
        let tasks = shard.tracked_tasks();
        for tasks in tasks.chunks(READ_MAX) {
            let mut positions: Vec<_> = tasks.iter().map(|task| task.position).collect();
            positions.dedup();
            let stories = context.store.stories(&positions).await?;
            for task in tasks {
                let found = positions.binary_search(&task.position).ok().and_then(|at| stories[at].as_ref());
                let Some(story) = found else { continue };
                let Some(spec) = story.plan.tasks().get(usize::from(task.ordinal)) else { continue };
                if spec.channel != channel {
                    continue;
                }
                shard.put_back(*task);
                match story.booked(usize::from(task.ordinal)) {
                    Some(TaskState::Pending { attempt } | TaskState::Scheduled { attempt, .. }) => {
                        let room = &context.dispatch.room;
                        open.push(Ready::bare(*task, attempt, spec.channel, spec.endpoint, now, room));
                    }
                    _ => shard.release(*task),
                }
            }
        }
    }
    Ok(open)
}
