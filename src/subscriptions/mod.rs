//! Who follows what: a user follows a subject (a series, a team, a product), and is told of what happens to it on a channel of their
//! choice.
//!
//! In: what a caller says of followers, one or many at a time. Out: rows under each subject, in [`SPREADS`] parts that whoever tells the
//! followers walks one by one; and under each user, for their list and their erasure. Promise: what is answered is durable; the row under
//! the subject is what counts; whoever has one is found through their user as well, because that row is there before and gone after. What
//! breaks off between the two is mended by saying the same again.

mod followers;
mod rows;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

pub use followers::{FOLLOWERS_AT_ONCE, Follower, Followers};
pub use rows::{SPREADS, read_subscription, spread_of, subscriber_part, subscriptions_part};

use crate::clock::SharedClock;
use crate::domain::{Subscription, SubscriptionChannel, UserKey};
use crate::store::{KeyedRow, SharedStore, StoreError};
use rows::{Place, row, text};

/// Rows that are read at once where all of a user's are wanted.
const PAGE: usize = 500;

/// What somebody says of a follower.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    pub user_id: Box<str>,
    pub channel: SubscriptionChannel,
    pub is_active: bool,
}

/// The subscriptions of all tenants.
pub struct Subscriptions {
    store: SharedStore,
    clock: SharedClock,
}

impl Subscriptions {
    pub fn new(store: SharedStore, clock: SharedClock) -> Arc<Self> {
        Arc::new(Self { store, clock })
    }

    /// What there is now; `None`: the user does not follow.
    pub async fn get(&self, subject: &str, user: &UserKey) -> Result<Option<Subscription>, StoreError> {
        Ok(self.held(&user.tenant, subject, std::slice::from_ref(&user.user_id)).await?.pop().flatten())
    }

    /// Durable on return; what there is then, and whether there was nothing before. Saying the same again changes nothing.
    pub async fn put(&self, tenant: &str, subject: &str, wish: Wish) -> Result<(Subscription, bool), StoreError> {
        let put = self.put_many(tenant, subject, vec![wish]).await?.pop();
        put.ok_or_else(|| StoreError::Failed("one wish has one outcome".to_owned()))
    }

    /// The same for many followers of one subject, in their order; of wishes of one user the last counts.
    pub async fn put_many(
        &self,
        tenant: &str,
        subject: &str,
        wishes: Vec<Wish>,
    ) -> Result<Vec<(Subscription, bool)>, StoreError> {
        let ids: Vec<Box<str>> = wishes.iter().map(|wish| wish.user_id.clone()).collect();
        let held = self.held(tenant, subject, &ids).await?;
        let now = self.clock.now();
        let mut current: HashMap<Box<str>, Subscription> = HashMap::with_capacity(wishes.len());
        let mut outcomes = Vec::with_capacity(wishes.len());
        for (wish, held) in wishes.into_iter().zip(held) {
            let Wish { user_id, channel, is_active } = wish;
            let before = current.get(&user_id).copied().or(held);
            let subscription = match before {
                Some(before) if before.channel == channel && before.is_active == is_active => before,
                _ => Subscription { channel, is_active, since: before.map_or(now, |one| one.since), changed_at: now },
            };
            current.insert(user_id, subscription);
            outcomes.push((subscription, before.is_none()));
        }
        // Also what stays as it is: one of the two rows may be missing.
        let rows = |part: fn(&str, &str, &str) -> Place| {
            let rows = current.iter().map(|(user, subscription)| row(part(tenant, subject, user), Some(subscription)));
            rows.collect::<Vec<KeyedRow>>()
        };
        // First under the user: whoever follows can be erased.
        self.store.put_keyed(rows(rows::of_user)).await?;
        self.store.put_keyed(rows(rows::of_subject)).await?;
        Ok(outcomes)
    }

    /// Durable on return; whether there was something to take away.
    pub async fn remove(&self, subject: &str, user: &UserKey) -> Result<bool, StoreError> {
        let was_there = self.get(subject, user).await?.is_some();
        self.take_away(user, &[subject.into()]).await?;
        Ok(was_there)
    }

    /// Takes away all that a user follows: how many subjects.
    pub async fn remove_all(&self, user: &UserKey) -> Result<usize, StoreError> {
        let (mut count, mut after) = (0, None::<Box<str>>);
        loop {
            // What was read is gone then, but a database would pass over it again.
            let page = self.of_user(user, after.as_deref(), PAGE).await?;
            let mut subjects: Vec<Box<str>> = page.into_iter().map(|(subject, _)| subject).collect();
            if subjects.is_empty() {
                return Ok(count);
            }
            count += subjects.len();
            self.take_away(user, &subjects).await?;
            after = subjects.pop();
        }
    }

    /// What a user follows, in the order of the subjects, after `after` (exclusive), at most `limit`: fewer only if there are no more.
    pub async fn of_user(
        &self,
        user: &UserKey,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(Box<str>, Subscription)>, StoreError> {
        let part = subscriptions_part(&user.tenant, &user.user_id);
        let rows = self.store.keyed_between(&part, after.map(str::as_bytes), None, limit).await?;
        rows.into_iter().map(|(name, body)| Ok((text(&name)?, read_subscription(&body)?))).collect()
    }

    /// In the order asked for.
    async fn held(
        &self,
        tenant: &str,
        subject: &str,
        users: &[Box<str>],
    ) -> Result<Vec<Option<Subscription>>, StoreError> {
        let names: Vec<_> = users.iter().map(|user| rows::of_subject(tenant, subject, user)).collect();
        let bodies = self.store.keyed(&names).await?;
        bodies.into_iter().map(|body| body.map(|body| read_subscription(&body)).transpose()).collect()
    }

    async fn take_away(&self, user: &UserKey, subjects: &[Box<str>]) -> Result<(), StoreError> {
        let rows = |part: fn(&str, &str, &str) -> Place| {
            let rows = subjects.iter().map(|subject| row(part(&user.tenant, subject, &user.user_id), None));
            rows.collect::<Vec<KeyedRow>>()
        };
        // Last under the user: what broke off is found there again.
        self.store.put_keyed(rows(rows::of_subject)).await?;
        self.store.put_keyed(rows(rows::of_user)).await
    }
}
