//! The followers of a subject: a page of them for a list, and all of them where they are few.

use futures_util::{StreamExt, TryStreamExt, stream};

use super::rows::text;
use super::{SPREADS, Subscriptions, read_subscription, spread_of, subscriber_part};
use crate::domain::Subscription;
use crate::store::StoreError;

/// Followers that are told at once; more are a campaign.
pub const FOLLOWERS_AT_ONCE: usize = 500;

/// Rows of one part that are read to see whether a subject has few followers: 500 are 8 in each, and hardly ever 30.
const FEW_OF_A_PART: usize = 64;

/// Parts that are read at once: half a list's places for reads in a database stay free for others.
const ABREAST: usize = 16;

/// Somebody who follows a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Follower {
    pub user_id: Box<str>,
    pub subscription: Subscription,
}

/// Those of the followers that are told something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Followers {
    /// All of them, at most [`FOLLOWERS_AT_ONCE`], in an order that stays while they do.
    All(Vec<Follower>),
    /// More than should be told at once, or more rows than should be read to know it.
    Many,
}

impl Subscriptions {
    /// Those that are told of an event, if they are few: at most some four thousand rows are read to say so. A CQL database passes over the
    /// empty rows of those who follow no more besides, as long as it keeps them.
    pub async fn told(&self, tenant: &str, subject: &str) -> Result<Followers, StoreError> {
        let parts = (0..SPREADS).map(|spread| async move {
            let part = subscriber_part(tenant, subject, spread);
            self.store.keyed_between(&part, None, None, FEW_OF_A_PART + 1).await
        });
        let mut parts = stream::iter(parts).buffered(ABREAST);
        let mut told = Vec::new();
        while let Some(rows) = parts.try_next().await? {
            if rows.len() > FEW_OF_A_PART {
                return Ok(Followers::Many);
            }
            for (name, body) in rows {
                let follower = Follower { user_id: text(&name)?, subscription: read_subscription(&body)? };
                told.extend((!follower.subscription.told_on().is_empty()).then_some(follower));
            }
            if told.len() > FOLLOWERS_AT_ONCE {
                return Ok(Followers::Many);
            }
        }
        Ok(Followers::All(told))
    }

    /// A page of all followers in an order that says nothing and never changes, after the user `after` (exclusive), at most `limit`:
    /// fewer only if there are no more.
    pub async fn of_subject(
        &self,
        tenant: &str,
        subject: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Follower>, StoreError> {
        let first = after.map_or(0, spread_of);
        let parts = (first..SPREADS).map(|spread| async move {
            let part = subscriber_part(tenant, subject, spread);
            let after = after.filter(|_| spread == first).map(str::as_bytes);
            self.store.keyed_between(&part, after, None, limit).await
        });
        let mut parts = stream::iter(parts).buffered(ABREAST);
        let mut page = Vec::new();
        while page.len() < limit
            && let Some(rows) = parts.try_next().await?
        {
            for (name, body) in rows.into_iter().take(limit - page.len()) {
                page.push(Follower { user_id: text(&name)?, subscription: read_subscription(&body)? });
            }
        }
        Ok(page)
    }
}
