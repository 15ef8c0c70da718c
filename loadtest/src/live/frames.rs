//! What the engine says over a connection, as far as it is looked at, and what is said to it. Pure.

use serde::Deserialize;
use serde_json::json;

use crate::ids::ShortId;

/// A frame of the engine's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Frame {
    Hello,
    /// `number` is what the sender wrote into `data`.
    Notification {
        id: ShortId,
        number: u64,
    },
    Resync,
    Error,
    /// One that does not matter here.
    Other,
    /// None that can be read.
    Illegible,
}

#[derive(Deserialize)]
struct Wire<'a> {
    r#type: &'a str,
    #[serde(borrow)]
    notification: Option<Entry<'a>>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    id: &'a str,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    n: u64,
}

pub(super) fn read(text: &str) -> Frame {
    let Ok(wire) = serde_json::from_str::<Wire<'_>>(text) else { return Frame::Illegible };
    match (wire.r#type, wire.notification) {
        ("hello", _) => Frame::Hello,
        ("resync", _) => Frame::Resync,
        ("error", _) => Frame::Error,
        ("notification", Some(entry)) => match ShortId::new(entry.id.as_bytes()) {
            Some(id) => Frame::Notification { id, number: entry.data.n },
            None => Frame::Illegible,
        },
        ("notification", None) => Frame::Illegible,
        _ => Frame::Other,
    }
}

/// These have come.
pub(super) fn ack(ids: &[ShortId]) -> String {
    json!({"type": "ack", "ids": printed(ids)}).to_string()
}

/// These were read.
pub(super) fn seen(ids: &[ShortId]) -> String {
    json!({"type": "notification:read", "ids": printed(ids)}).to_string()
}

fn printed(ids: &[ShortId]) -> Vec<String> {
    ids.iter().map(ShortId::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notification_is_known_by_its_id_and_its_number() {
        let text = r#"{"type":"notification","notification":{"id":"ntf_a","title":"A \"title\"","data":{"n":7,"run":"x"},"read":false}}"#;
        assert_eq!(read(text), Frame::Notification { id: ShortId::new(b"ntf_a").expect("short"), number: 7 });
    }

    #[test]
    fn frames_are_told_apart_by_their_type() {
        let cases = [
            (r#"{"type":"hello","connection_id":"1"}"#, Frame::Hello),
            (r#"{"type":"unread_count","unread_count":1}"#, Frame::Other),
            (r#"{"type":"resync","reason":"too much"}"#, Frame::Resync),
            (r#"{"type":"error","code":"x"}"#, Frame::Error),
            (r#"{"type":"notification"}"#, Frame::Illegible),
            ("{", Frame::Illegible),
        ];
        for (text, expected) in cases {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn what_came_is_acknowledged_by_its_ids() {
        let ids = [ShortId::new(b"ntf_a").expect("short"), ShortId::new(b"ntf_b").expect("short")];
        assert_eq!(ack(&ids), r#"{"ids":["ntf_a","ntf_b"],"type":"ack"}"#);
    }
}
