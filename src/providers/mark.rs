//! Our id as it goes with a message through a provider, and comes back in its receipts.
//!
//! Several installations may share an account (staging and production), and number their tasks alike; the account's receipts go to
//! all of them. So a mark of the installation goes along: a receipt with another's is none of ours.

use crate::domain::TaskId;

/// Of one installation: a hash of its `http.public_url`, which is where its receipts are posted to.
#[derive(Debug, Clone)]
pub(super) struct Mark(Box<str>);

impl Mark {
    pub(super) fn of(public_url: &str) -> Self {
        let hash = xxhash_rust::xxh3::xxh3_64(public_url.trim_end_matches('/').as_bytes());
        Self(format!("{:08x}", hash as u32).into())
    }

    /// `tsk_…-mark`: letters, digits, a hyphen and an underline, which every provider takes.
    pub(super) fn carry(&self, task: TaskId) -> String {
        format!("{task}-{}", self.0)
    }

    /// The task that [`Mark::carry`] made it of; `None`: it is not ours.
    pub(super) fn task(&self, carried: &str) -> Option<TaskId> {
        let (task, mark) = carried.split_once('-')?;
        (mark == &*self.0).then(|| task.parse().ok()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Address, Channel};
    use crate::providers::testing::message;

    #[test]
    fn a_task_comes_back_to_its_own_installation_alone() {
        let task = message(Channel::Email, Address::Provider).task;
        let (production, staging) = (Mark::of("https://notify.example.com"), Mark::of("https://staging.example.com"));
        assert_eq!(production.task(&production.carry(task)), Some(task));
        assert_eq!(Mark::of("https://notify.example.com/").task(&production.carry(task)), Some(task));
        assert_eq!(staging.task(&production.carry(task)), None);
        assert_eq!(production.task(&task.to_string()), None);
        assert_eq!(production.task("tsk_-x"), None);
    }
}
