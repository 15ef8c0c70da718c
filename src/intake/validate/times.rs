//! When a notification is to go out, and until when it makes sense.

use std::time::Duration;

use super::wire::{Named, WireRequest};
use super::{Problems, limits};
use crate::domain::{TimeOfDay, Timestamp};

/// `delay_seconds` and `deliver_at` made one; `None`: at once. A time that has passed means at once as well, because
/// callers' clocks differ.
pub(super) fn deliver_at(
    at: Option<Named<Timestamp>>,
    delay_seconds: Option<u64>,
    now: Timestamp,
    problems: &mut Problems,
) -> Option<Timestamp> {
    let latest = now + Duration::from_secs(limits::AHEAD_SECONDS_MAX);
    match (at, delay_seconds.filter(|seconds| *seconds > 0)) {
        (None, None) => None,
        (Some(_), Some(_)) => {
            problems.add("/delay_seconds", "`delay_seconds` and `deliver_at` exclude each other: give one of them");
            None
        }
        (None, Some(seconds)) => {
            if seconds > limits::AHEAD_SECONDS_MAX {
                problems.add("/delay_seconds", format!("must be at most {} (365 days)", limits::AHEAD_SECONDS_MAX));
                return None;
            }
            Some(now + Duration::from_secs(seconds))
        }
        (Some(Named(at)), None) => {
            if at > latest {
                problems.add("/deliver_at", "must be at most 365 days ahead");
            }
            Some(at).filter(|at| *at > now)
        }
    }
}

/// The time on the clock of the user's zone, which is known only once it is planned.
pub(super) fn local_time(wire: &WireRequest<'_>, problems: &mut Problems) -> Option<TimeOfDay> {
    let Named(time) = wire.local_time?;
    if wire.deliver_at.is_some() || wire.delay_seconds.is_some_and(|seconds| seconds > 0) {
        problems.add("/local_time", "excludes `deliver_at` and `delay_seconds`: give one of them");
    }
    Some(time)
}

pub(super) fn expiry(
    expires_at: Option<Timestamp>,
    deliver_at: Option<Timestamp>,
    now: Timestamp,
    problems: &mut Problems,
) {
    let Some(expires_at) = expires_at else { return };
    if expires_at <= now {
        problems.add("/expires_at", "has passed: the notification would never be sent");
    } else if deliver_at.is_some_and(|deliver_at| expires_at <= deliver_at) {
        problems.add("/expires_at", "must be after the time of delivery: the notification would never be sent");
    }
}
