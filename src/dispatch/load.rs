//! Reads the contents of handles that came without, many at a time: a read costs as much for one as for a hundred.

use std::sync::Arc;
use std::time::Duration;

use super::ready::{Payload, Ready};
use super::sender::SenderContext;
use crate::domain::{Position, TaskState};
use crate::ownership::Begin;

/// Handles that are read together.
pub(super) const LOAD_MAX: usize = 512;

/// Gives each handle its content, and leaves out those whose tasks have moved on: whoever moved them on has them.
pub(super) async fn load(context: &SenderContext, handles: Vec<Ready>) -> Vec<Ready> {
    let positions: Vec<Position> = handles.iter().map(|ready| ready.task.position).collect();
    let stories = loop {
        match context.store.stories(&positions).await {
            Ok(stories) => break stories,
            Err(error) => {
                tracing::error!(%error, "cannot read tasks that are to be sent: trying again");
                context.clock.sleep(Duration::from_secs(1)).await;
            }
        }
    };
    let now = context.clock.now();
    let mut loaded = Vec::with_capacity(handles.len());
    for (mut ready, story) in handles.into_iter().zip(stories) {
        let state = story.as_ref().and_then(|story| story.state(usize::from(ready.task.ordinal)));
        ready.scheduled = matches!(state, Some(TaskState::Scheduled { .. }));
        match story.filter(|_| state.is_some_and(|state| ready.matches(state, now))) {
            Some(story) => {
                ready.payload = Some(Box::new(Payload { plan: Arc::new(story.plan), _held: None }));
                loaded.push(ready);
            }
            None => {
                if context.ownership.begin(ready.task) == Begin::Yes {
                    context.ownership.release(ready.task);
                }
            }
        }
    }
    loaded
}
