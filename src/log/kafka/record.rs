//! A record as Kafka gives it.

use bytes::Bytes;
use rdkafka::Message;
use rdkafka::message::{BorrowedMessage, Headers};

use super::producer::OWN_CONTENT_TYPE;
use crate::domain::{Position, ShardId, Timestamp};
use crate::log::{CLOUD_EVENT_HEADERS, Foreign, Record};

/// Takes a record out of the memory of librdkafka. Only what says of itself that an acceptor of ours wrote it, and nothing else,
/// is ours. Names are compared as those of HTTP, by which some clients write them: one that is not known would mean another
/// tenant, or a notification sent twice.
pub(super) fn take(message: &BorrowedMessage<'_>, shard: ShardId) -> Record {
    let offset = u64::try_from(message.offset()).unwrap_or(0);
    let body = Bytes::copy_from_slice(message.payload().unwrap_or_default());
    let (mut foreign, mut is_own) = (Foreign::default(), false);
    for header in message.headers().into_iter().flat_map(Headers::iter) {
        let value = header.value.unwrap_or_default();
        let is_named = |name: &str| header.key.eq_ignore_ascii_case(name);
        if is_named("content-type") {
            match value == OWN_CONTENT_TYPE.as_bytes() {
                true => is_own = true,
                false => foreign.content_type = Some(String::from_utf8_lossy(value).into()),
            }
        } else if is_named("idempotency-key") {
            foreign.idempotency_key = Some(Bytes::copy_from_slice(value));
        } else if is_named("tenant") {
            foreign.tenant = Some(Bytes::copy_from_slice(value));
        } else if shard.is_events()
            && let Some(name) = CLOUD_EVENT_HEADERS.into_iter().find(|name| is_named(name))
        {
            foreign.cloud_event.push((name, Bytes::copy_from_slice(value)));
        }
    }
    let position = Position::new(shard, offset);
    if is_own && foreign == Foreign::default() {
        return Record { position, body, foreign: None };
    }
    if is_own && foreign.content_type.is_none() {
        foreign.content_type = Some(OWN_CONTENT_TYPE.into());
    }
    let millis = message.timestamp().to_millis().and_then(|millis| u64::try_from(millis).ok());
    foreign.appended_at = Timestamp(millis.unwrap_or(0));
    Record { position, body, foreign: Some(Box::new(foreign)) }
}
