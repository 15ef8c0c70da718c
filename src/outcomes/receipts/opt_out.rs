//! Users who want no more of a category on a channel.

use std::sync::Arc;

use crate::domain::{Categories, Channel, Consent, Plan, Timestamp, User, UserEntry, UserKey};
use crate::store::{SharedStore, UserChange};
use crate::users::Directory;

use super::ReceiptsError;

/// Where it was said, in records of consent.
const SOURCE: &str = "unsubscribe link";

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
    categories: &Categories,
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
        if user.was_erased_since(out.accepted_at) {
            return None;
        }
        let withdrawn = withdrawal(&user, categories, &out.category, now);
        let is_off = user.preference(&out.category, out.channel) == Some(false);
        let off = UserEntry::Preference { category: out.category, channel: out.channel, enabled: Some(false) };
        let mut entries: Vec<UserEntry> = (!is_off).then_some(off).into_iter().chain(withdrawn).collect();
        if entries.is_empty() {
            return None;
        }
        entries.extend(user.created_at.is_none().then_some(UserEntry::Created(Some(now))));
        Some(UserChange { key, entries })
    });
    let changes: Vec<UserChange> = changes.collect();
    users.write_users(changes).await?;
    Ok(())
}

/// Who leaves what requires consent takes that back, for every channel.
fn withdrawal(user: &User, categories: &Categories, category: &str, now: Timestamp) -> Option<UserEntry> {
    let purpose = categories.get(category)?.requires_consent.clone()?;
    let held = user.consents.get(&purpose).filter(|held| held.granted)?;
    let consent = Some(Consent::withdrawn(Some(held), SOURCE, now));
    Some(UserEntry::Consent { purpose, consent })
}
