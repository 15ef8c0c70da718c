//! The request for one member of a campaign. Pure.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::Member;
use crate::domain::{Campaign, NotificationRequest, Timestamp};
use crate::intake::{campaign_key, dedup_key_of};

/// What a member is told: the campaign's message, to them, under a retry key of campaign and member.
pub(super) fn request(campaign: &Campaign, member: &Member, now: Timestamp) -> NotificationRequest {
    let message = &campaign.message;
    let channels = if member.channels.is_empty() { message.channels.clone() } else { member.channels.clone() };
    let data = match &member.data {
        Some(own) => merged(&message.data, own),
        None => message.data.clone(),
    };
    // A business key is the tenant's: each member has one of their own.
    let dedup_key = message.dedup_key.as_ref().map(|key| dedup_key_of(key, &member.name));
    NotificationRequest {
        dedup_key,
        user_id: member.user_id.clone(),
        to: member.to.clone(),
        channels,
        data,
        idempotency: Some(campaign_key(&campaign.tenant, campaign.id, &member.name)),
        campaign: Some(campaign.id),
        accepted_at: now,
        ..message.clone()
    }
}

/// The fields of both objects, those of the second in the place of the first's.
fn merged(first: &str, second: &str) -> Box<str> {
    let read = |text| serde_json::from_str::<BTreeMap<String, &RawValue>>(text);
    let (Ok(mut fields), Ok(own)) = (read(first), read(second)) else { return second.into() };
    fields.extend(own);
    serde_json::to_string(&fields).map_or_else(|_| second.into(), Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_member_brings_takes_the_place_of_what_all_are_told() {
        for (first, second, expected) in [
            ("{}", r#"{"name":"Bo"}"#, r#"{"name":"Bo"}"#),
            (r#"{"name":"you","sum":1.50}"#, r#"{"name":"Bo"}"#, r#"{"name":"Bo","sum":1.50}"#),
            (r#"{"a":1}"#, "{}", r#"{"a":1}"#),
        ] {
            assert_eq!(&*merged(first, second), expected);
        }
    }
}
