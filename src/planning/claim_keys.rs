//! What makes two notifications the same message.

use ring::digest;

use super::{Policy, canonical};
use crate::domain::{Category, ClaimKey, Content, NotificationRequest, ShardId, UserKey};

/// The business key of a notification: of its own `dedup_key`, or else of who gets what; `None` where neither is given or
/// the window is zero. `scratch` is reused from call to call.
///
/// The hash is a cryptographic one: with any other a tenant could make keys that silence another tenant's messages.
pub(super) fn business_key(request: &NotificationRequest, policy: &Policy, scratch: &mut Vec<u8>) -> Option<ClaimKey> {
    if policy.business_window(request).is_zero() {
        return None;
    }
    scratch.clear();
    if let Some(key) = &request.dedup_key {
        put(scratch, b"dedup key");
        put(scratch, request.tenant.as_bytes());
        put(scratch, key.as_bytes());
    } else {
        put(scratch, b"message");
        put(scratch, request.tenant.as_bytes());
        put(scratch, request.user_id.as_ref()?.as_bytes());
        put_content(scratch, &request.content);
        scratch.extend_from_slice(&canonical::hash(&request.data).to_le_bytes());
        // Of those that are merged each actor counts: what Alice and Bob did are two things.
        if let Some(aggregate) = &request.aggregate {
            put(scratch, aggregate.key.as_bytes());
            put(scratch, aggregate.actor.as_deref().unwrap_or_default().as_bytes());
        }
    }
    Some(ClaimKey(half(scratch)))
}

/// What kind of message it is, whatever its data: its template, or its own content.
pub(super) fn message_type(content: &Content, scratch: &mut Vec<u8>) -> u64 {
    scratch.clear();
    put_content(scratch, content);
    short(scratch)
}

pub(super) fn category(name: &str) -> u64 {
    short(name.as_bytes())
}

/// What of a user is counted together, as so many keys as notifications may be on the way to the disk at once: each of them holds
/// some. `scratch` is reused from call to call.
pub(super) fn received_key(user: &UserKey, scope: (u8, u64), slot: u32, scratch: &mut Vec<u8>) -> ClaimKey {
    scratch.clear();
    put(scratch, b"received");
    put(scratch, user.tenant.as_bytes());
    put(scratch, user.user_id.as_bytes());
    scratch.push(scope.0);
    scratch.extend_from_slice(&scope.1.to_le_bytes());
    scratch.extend_from_slice(&slot.to_le_bytes());
    ClaimKey(half(scratch))
}

fn half(bytes: &[u8]) -> u128 {
    let hash = digest::digest(&digest::SHA256, bytes);
    u128::from_be_bytes(*hash.as_ref().first_chunk().expect("a SHA-256 hash has 32 bytes"))
}

/// Enough to tell a tenant's own messages apart: they are compared for one user only.
fn short(bytes: &[u8]) -> u64 {
    (half(bytes) >> 64) as u64
}

/// The key of the group that a notification belongs to: of a user, the addresses and the channels that are asked for, and of a
/// shard, since only its one owner knows what is open. A digest is one for all of its category; what else is merged has one template, so
/// that a brake on it stops all of a message.
pub(super) fn group_key(request: &NotificationRequest, category: &Category, shard: ShardId) -> Option<ClaimKey> {
    if request.aggregate.is_none() && !category.is_digest {
        return None;
    }
    let mut bytes = Vec::with_capacity(128);
    put(&mut bytes, b"group");
    bytes.extend_from_slice(&shard.to_u32().to_le_bytes());
    put(&mut bytes, request.tenant.as_bytes());
    let to = &request.to;
    for part in [&request.user_id, &to.email, &to.phone, &to.push_token, &to.url] {
        bytes.push(u8::from(part.is_some()));
        put(&mut bytes, part.as_deref().unwrap_or_default().as_bytes());
    }
    // What asks for other channels is not told by those of the first.
    bytes.push(request.routing as u8);
    put(&mut bytes, &request.channels.iter().map(|channel| channel.index() as u8).collect::<Vec<_>>());
    put(&mut bytes, category.name.as_bytes());
    if let Some(aggregate) = request.aggregate.as_ref().filter(|_| !category.is_digest) {
        put(&mut bytes, aggregate.key.as_bytes());
        if let Content::Template { code } = &request.content {
            put(&mut bytes, code.as_bytes());
        }
    }
    Some(ClaimKey(half(&bytes)))
}

fn put_content(scratch: &mut Vec<u8>, content: &Content) {
    match content {
        Content::Template { code } => {
            put(scratch, b"template");
            put(scratch, code.as_bytes());
        }
        Content::Inline { title, body, html, sms } => {
            put(scratch, b"inline");
            for part in [Some(title), Some(body), html.as_ref(), sms.as_ref()] {
                scratch.push(u8::from(part.is_some()));
                put(scratch, part.map_or(&[], |part| part.as_bytes()));
            }
        }
    }
}

/// With its length, so that no two lists of fields have the same bytes.
fn put(scratch: &mut Vec<u8>, field: &[u8]) {
    scratch.extend_from_slice(&(field.len() as u64).to_le_bytes());
    scratch.extend_from_slice(field);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planning::testing::{policy, request};

    fn key(change: impl FnOnce(&mut NotificationRequest)) -> Option<ClaimKey> {
        let mut request = request();
        request.user_id = Some("alice".into());
        change(&mut request);
        business_key(&request, &policy(), &mut Vec::new())
    }

    #[test]
    fn the_same_message_to_the_same_user_has_the_same_key() {
        let one = key(|request| request.data = r#"{"a":1,"b":2}"#.into());
        assert!(one.is_some());
        assert_eq!(key(|request| request.data = r#"{ "b": 2, "a": 1 }"#.into()), one);
    }

    #[test]
    fn another_user_tenant_content_or_datum_has_another_key() {
        let one = key(|_| ());
        let inline = |title: &str, html: Option<&str>| Content::Inline {
            title: title.into(),
            body: "body".into(),
            html: html.map(Into::into),
            sms: None,
        };
        let others = [
            key(|request| request.user_id = Some("bob".into())),
            key(|request| request.tenant = "another".into()),
            key(|request| request.data = r#"{"a":2}"#.into()),
            key(|request| request.content = Content::Template { code: "another".into() }),
            key(|request| request.content = inline("title", None)),
            key(|request| request.content = inline("title", Some(""))),
            key(|request| request.content = inline("titlebody", None)),
            key(|request| request.dedup_key = Some("alice".into())),
        ];
        for (index, other) in others.iter().enumerate() {
            assert_ne!(*other, one);
            assert!(!others[..index].contains(other));
        }
    }

    #[test]
    fn a_dedup_key_stands_for_the_whole_message() {
        let one = key(|request| request.dedup_key = Some("order 1".into()));
        let other = key(|request| {
            request.dedup_key = Some("order 1".into());
            request.user_id = None;
            request.data = r#"{"a":2}"#.into();
        });
        assert_eq!(one, other);
        assert_ne!(key(|request| request.dedup_key = Some("order 2".into())), one);
    }

    #[test]
    fn without_a_dedup_key_a_user_or_a_window_there_is_no_key() {
        assert_eq!(key(|request| request.user_id = None), None);
        assert_eq!(key(|request| request.dedup_window_seconds = Some(0)), None);
    }
}
