//! Users who want no more of a category on a channel.

use std::sync::Arc;

use crate::domain::{Categories, Channel, Plan, Timestamp, UserEntry, UserKey};
use crate::store::{SharedStore, UserChange};
use crate::users::Directory;

use super::ReceiptsError;

/// One of them.
pub(super) struct OptOut {
    pub(super) tenant: Box<str>,
    pub(super) user_id: Box<str>,
    pub(super) category: Box<str>,
    pub(super) channel: Channel,
    /// When the message was accepted that they answered; `None`: nothing is held of it any more.
    pub(super) accepted_at: Option<Timestamp>,
}

impl OptOut {
    /// Who got a task's message; `None`: nobody knows.
    pub(super) fn of(plan: &Plan, ordinal: usize, categories: &Categories) -> Option<Self> {
        Some(Self {
            tenant: plan.tenant.clone(),
            user_id: plan.user_id.clone()?,
            category: categories.of(plan.category.as_deref()).name.clone(),
            channel: plan.tasks().get(ordinal)?.channel,
            accepted_at: Some(plan.accepted_at),
        })
    }
}

/// Notes what they want. Who was erased since gets no entry: there would be something to erase again.
pub(super) async fn opt_outs(
    store: &SharedStore,
    users: &Arc<Directory>,
    outs: Vec<OptOut>,
    now: Timestamp,
) -> Result<(), ReceiptsError> {
    if outs.is_empty() {
        return Ok(());
    }
    let key = |out: &OptOut| UserKey { tenant: out.tenant.clone(), user_id: out.user_id.clone() };
    let keys: Vec<UserKey> = outs.iter().map(key).collect();
    // With those of whom nothing is known but that they were erased.
    let known = store.users(&keys).await?;
    let changes = outs.into_iter().zip(keys).zip(known).filter_map(|((out, key), user)| {
        let user = user.unwrap_or_default();
        if user.was_erased_since(out.accepted_at) || user.preference(&out.category, out.channel) == Some(false) {
            return None;
        }
        let off = UserEntry::Preference { category: out.category, channel: out.channel, enabled: Some(false) };
        let created = user.created_at.is_none().then_some(UserEntry::Created(Some(now)));
        Some(UserChange { key, entries: [off].into_iter().chain(created).collect() })
    });
    let changes: Vec<UserChange> = changes.collect();
    users.write_users(changes).await?;
    Ok(())
}
