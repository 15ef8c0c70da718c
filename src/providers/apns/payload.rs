//! The message as APNs takes it.

use bytes::Bytes;
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::domain::Message;
use crate::providers::push;

/// `{"aps": {…}, "name": "value"}`: what is the application's own stands beside what is Apple's.
struct Payload<'a> {
    message: &'a Message,
    task: &'a str,
    sound: &'a str,
}

#[derive(serde::Serialize)]
struct Aps<'a> {
    alert: Alert<'a>,
    #[serde(skip_serializing_if = "str::is_empty")]
    sound: &'a str,
}

#[derive(serde::Serialize)]
struct Alert<'a> {
    title: &'a str,
    body: &'a str,
}

const APS: &str = "aps";

impl Serialize for Payload<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let parts = &self.message.parts;
        let alert = Alert { title: parts.push_title(), body: parts.push_body() };
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(APS, &Aps { alert, sound: self.sound })?;
        push::write_data(&mut map, self.message, self.task, |name| name != APS)?;
        map.end()
    }
}

/// `sound`: empty for none.
pub(super) fn write(message: &Message, sound: &str) -> Bytes {
    let parts = &message.parts;
    let task = message.task.to_string();
    let mut body = Vec::with_capacity(256 + parts.push_title().len() + parts.push_body().len());
    let payload = Payload { message, task: &task, sound };
    serde_json::to_writer(&mut body, &payload).expect("texts are JSON, and a vector takes all bytes");
    body.into()
}
