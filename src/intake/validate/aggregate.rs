//! What a request says about being merged with others.

use super::wire::{Object, WireAggregate};
use super::{Problems, limits};
use crate::domain::Aggregate;

pub(super) fn read(wire: Option<Object<WireAggregate>>, problems: &mut Problems) -> Option<Aggregate> {
    let Object(WireAggregate { key, actor, window_seconds }) = wire?;
    problems.line("/aggregate/key", &key, limits::AGGREGATE_KEY_BYTES_MAX);
    if let Some(actor) = &actor {
        problems.line("/aggregate/actor", actor, limits::ACTOR_BYTES_MAX);
    }
    let max = limits::AGGREGATE_WINDOW_SECONDS_MAX;
    if window_seconds.is_some_and(|seconds| !(1..=max).contains(&seconds)) {
        problems.add("/aggregate/window_seconds", format!("must be 1 to {max} seconds"));
    }
    let window_seconds = window_seconds.and_then(|seconds| u32::try_from(seconds).ok());
    Some(Aggregate { key, actor, window_seconds })
}

/// Of a request that says nothing, in a category that is collected.
pub(super) fn of_digest() -> Aggregate {
    Aggregate { key: "digest".into(), actor: None, window_seconds: None }
}
