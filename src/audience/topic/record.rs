//! A record of the topic of events as an event. Pure.

use crate::audience::{EventReading, read_event};
use crate::domain::{DomainEvent, Position, Source, Timestamp, cut};
use crate::intake::{reason_of, tenant_of};
use crate::log::{Foreign, Record};

/// The event in a record of `topic`, or why there is none, for people. Read again, it is the same event.
pub(in crate::audience) fn read_record(
    record: &Record,
    topic: &str,
    body_max: usize,
    now: Timestamp,
) -> Result<DomainEvent, String> {
    if record.body.len() > body_max {
        let size = record.body.len();
        return Err(format!("is too large: {size} bytes, at most {body_max} are taken (`http.max_body`)"));
    }
    let Some(foreign) = &record.foreign else {
        return Err("is in the engine's own encoding: use application/json or application/cloudevents+json".to_owned());
    };
    read(&record.body, foreign, record.position, topic, now)
}

/// The same of what a record holds.
fn read(
    body: &[u8],
    foreign: &Foreign,
    position: Position,
    topic: &str,
    now: Timestamp,
) -> Result<DomainEvent, String> {
    let headers = Headers::of(foreign, position, topic)?;
    let tenant = tenant_of(foreign.tenant.as_deref())?;
    let text = std::str::from_utf8(body).map_err(|_| "is no JSON: it is not UTF-8".to_owned())?;
    let reading = EventReading {
        tenant,
        told_by: Source::Kafka,
        // A producer may stamp its records as it likes; what it calls the future is now.
        now: foreign.appended_at.min(now),
        headers: &|name| headers.get(name),
    };
    read_event(text, &reading).map_err(|problems| reason_of(&problems))
}

/// Bytes of a content type that are shown.
const SHOWN_BYTES: usize = 80;

/// The headers by the names that they have over HTTP.
struct Headers<'a> {
    content_type: &'a str,
    own_id: String,
    given_id: Option<&'a str>,
    cloud_event: Vec<(&'a str, &'a str)>,
}

impl<'a> Headers<'a> {
    fn of(foreign: &'a Foreign, position: Position, topic: &str) -> Result<Self, String> {
        let content_type = foreign.content_type.as_deref().unwrap_or("application/json");
        let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match &*essence {
            "application/json" | "application/cloudevents+json" => {}
            "application/cloudevents-batch+json" => {
                return Err("is a batch of events: write each as a record of its own".to_owned());
            }
            other => {
                let shown = cut(other, SHOWN_BYTES);
                return Err(format!(
                    "has the content type `{shown}`: use application/json or application/cloudevents+json"
                ));
            }
        }
        let text = |name: &str, value: &'a [u8]| {
            std::str::from_utf8(value).map_err(|_| format!("has a header `{name}` that is no UTF-8"))
        };
        let given_id = foreign.idempotency_key.as_deref().map(|key| text("idempotency-key", key)).transpose()?;
        let mut cloud_event = Vec::with_capacity(foreign.cloud_event.len());
        for (name, value) in &foreign.cloud_event {
            cloud_event.push((*name, text(name, value)?));
        }
        // With the time: a topic that is deleted and made anew has the same offsets again, and other events at them.
        let Position { shard, offset } = position;
        let own_id = format!("{topic}-{}-{offset}-{}", shard.partition, foreign.appended_at.millis());
        Ok(Self { content_type, own_id, given_id, cloud_event })
    }

    /// `ce-type` of HTTP is `ce_type` of Kafka.
    fn get(&self, name: &str) -> Option<&str> {
        match name {
            "content-type" => Some(self.content_type),
            "idempotency-key" => Some(self.given_id.unwrap_or(&self.own_id)),
            name => {
                let attribute = name.strip_prefix("ce-")?;
                let is_it = |(header, _): &&(&str, &str)| header.strip_prefix("ce_") == Some(attribute);
                self.cloud_event.iter().find(is_it).map(|(_, value)| *value)
            }
        }
    }
}
