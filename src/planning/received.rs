//! What counts for whom: which caps look at a notification, and how many one window of time holds. Pure.

use std::time::Duration;

use super::{Policy, claim_keys};
use crate::domain::{Category, Plan, Timestamp, UserKey};
use crate::store::{ReceivedEntry, ReceivedRow};

/// In which the caps of categories and of all count. It moves with the notification: no day of a user, wherever it begins, has more.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// What is counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Scope {
    Type(u64),
    Category(u64),
    All,
}

impl Scope {
    pub(super) fn holds(self, entry: &ReceivedEntry) -> bool {
        match self {
            Scope::Type(message_type) => entry.message_type == message_type,
            Scope::Category(category) => entry.category == category,
            Scope::All => true,
        }
    }

    /// As part of a key.
    pub(super) fn numbers(self) -> (u8, u64) {
        match self {
            Scope::Type(message_type) => (0, message_type),
            Scope::Category(category) => (1, category),
            Scope::All => (2, 0),
        }
    }
}

/// The most that a window may hold of a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bound {
    pub(super) scope: Scope,
    pub(super) max: u32,
    pub(super) window: Duration,
}

/// Every bound on messages of a category and type; none: nothing counts them.
pub(super) fn bounds(category: &Category, message_type: u64, policy: &Policy) -> Vec<Bound> {
    let capped = |scope, max: Option<u32>| {
        let max = max.filter(|_| !category.ignores_caps)?;
        Some(Bound { scope, max, window: DAY })
    };
    let fatigue = Bound { scope: Scope::Type(message_type), max: policy.reminders_max, window: policy.fatigue_window };
    let of_category = capped(Scope::Category(claim_keys::category(&category.name)), category.daily_cap);
    let in_all = capped(Scope::All, policy.daily_cap);
    category.is_reminder.then_some(fatigue).into_iter().chain(of_category).chain(in_all).collect()
}

/// Whether anything counts messages of a category.
pub(super) fn is_counted(category: &Category, policy: &Policy) -> bool {
    let has_cap = category.daily_cap.is_some() || policy.daily_cap.is_some();
    category.is_reminder || has_cap && !category.ignores_caps
}

/// What is to be kept of a plan for those that come after it; `None`: nothing counts it, or nothing is sent.
pub fn received_row(plan: &Plan, policy: &Policy) -> Option<ReceivedRow> {
    let category = policy.categories.of(plan.category.as_deref());
    if !is_counted(category, policy) {
        return None;
    }
    let first = plan.tasks().first()?;
    let user = UserKey { tenant: plan.tenant.clone(), user_id: plan.user_id.clone()? };
    // What a brake holds goes out when it is taken off, which nobody knows.
    let at = sent_at(first.due.filter(|_| !plan.is_held(0)), plan.accepted_at);
    let message_type = claim_keys::message_type(&plan.content, &mut Vec::new());
    let category = claim_keys::category(&category.name);
    let entry = ReceivedEntry { position: plan.position, at, message_type, category };
    Some(ReceivedRow { user, entry, expires_at: at + policy.fatigue_window.max(DAY) })
}

/// When a notification counts: when it goes out, or would without a backlog, so that a replay counts the same.
pub(super) fn sent_at(due: Option<Timestamp>, accepted_at: Timestamp) -> Timestamp {
    due.unwrap_or(accepted_at).max(accepted_at)
}

/// The most of `times` that a window of this length with `at` in it holds, wherever it begins. What is planned for later counts as
/// much as what was sent: the one must not make the other too much.
pub(super) fn most_in_a_window(times: impl Iterator<Item = Timestamp>, at: Timestamp, window: Duration) -> u32 {
    // Exactly a window apart is far enough.
    let mut near: Vec<Timestamp> = times.filter(|time| time.since(at) < window && at.since(*time) < window).collect();
    near.sort_unstable();
    let starts = near.iter().copied().filter(|time| *time <= at).chain([at]);
    let held = |start: Timestamp| {
        let end = start + window;
        near.partition_point(|time| *time < end) - near.partition_point(|time| *time < start)
    };
    starts.map(held).max().unwrap_or(0) as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn most(times: &[u64], at: u64) -> u32 {
        most_in_a_window(times.iter().copied().map(Timestamp), Timestamp(at), Duration::from_millis(10))
    }

    #[test]
    fn a_window_holds_what_is_less_than_its_length_apart() {
        assert_eq!(most(&[], 100), 0);
        assert_eq!(most(&[91, 109], 100), 1, "no window of ten has both");
        assert_eq!(most(&[95, 104], 100), 2);
        assert_eq!(most(&[90, 110], 100), 0);
        assert_eq!(most(&[100, 100, 109], 100), 3);
    }

    proptest! {
        #[test]
        fn what_is_let_in_one_after_the_other_never_makes_a_window_too_full(
            wanted in prop::collection::vec(0u64..60, 0..60),
            max in 1u32..5,
        ) {
            let mut sent: Vec<u64> = Vec::new();
            for at in wanted {
                if most(&sent, at) < max {
                    sent.push(at);
                }
            }
            for start in 0..60 {
                let held = sent.iter().filter(|at| (start..start + 10).contains(*at)).count();
                prop_assert!(held as u32 <= max, "{held} from {start} on: {sent:?}");
            }
        }
    }
}
