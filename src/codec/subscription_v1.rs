//! Version 1 of subscriptions, frozen: never edit a field here, make a `subscription_v2.rs`. Subject and user are the row's key.

use bincode::{Decode, Encode};

use super::CodecError;
use crate::domain::{Subscription, SubscriptionChannel, Timestamp};

#[derive(Encode, Decode)]
pub(super) struct SubscriptionRow {
    channel: u8,
    is_active: bool,
    since: u64,
    changed_at: u64,
}

impl From<&Subscription> for SubscriptionRow {
    fn from(subscription: &Subscription) -> Self {
        let Subscription { channel, is_active, since, changed_at } = *subscription;
        Self { channel: channel as u8, is_active, since: since.millis(), changed_at: changed_at.millis() }
    }
}

impl SubscriptionRow {
    pub(super) fn into_domain(self) -> Result<Subscription, CodecError> {
        let Self { channel, is_active, since, changed_at } = self;
        let channel = SubscriptionChannel::from_index(usize::from(channel))
            .ok_or_else(|| CodecError::Damaged(format!("a subscription has the channel {channel}")))?;
        Ok(Subscription { channel, is_active, since: Timestamp(since), changed_at: Timestamp(changed_at) })
    }
}
