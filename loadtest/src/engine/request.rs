//! Request bodies, written by hand into a buffer: the harness shares two cores with the engine, and what it spends on
//! JSON the engine lacks.

use std::fmt::Write;

use bytes::{Bytes, BytesMut};
use serde_json::json;

use crate::channel::Channel;
use crate::clock::write_rfc3339;
use crate::mock::{ITEMS, STAMP};

pub(crate) const SINGLE_PATH: &str = "/v1/notifications";
pub(crate) const BATCH_PATH: &str = "/v1/notifications/batch";

/// What all notifications of a run have in common.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) channel: Channel,
    /// Where webhooks go.
    pub(crate) target: String,
    pub(crate) priority: String,
    /// How many users take turns; `None`: everybody gets one notification.
    pub(crate) users: Option<u64>,
    /// The code of a template; `None`: content of the request's own, with two variables.
    pub(crate) template: Option<String>,
    /// A webhook carries `data` and the stamp in it; a mail carries only what is written into its text.
    pub(crate) stamp_in_text: bool,
    /// What each user's notifications are merged by.
    pub(crate) merge: Option<Merge>,
    /// Different in each run, so that no notification repeats one of an earlier run.
    pub(crate) run: u64,
}

/// How notifications are to be merged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Merge {
    /// How many keys take turns.
    pub(crate) keys: u64,
    pub(crate) window_seconds: u64,
}

/// The options, as far written as they can be.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    common: String,
    /// The same address for all webhooks; a mail goes to an address of its own.
    to_url: Option<String>,
    users: Option<u64>,
    merge: Option<Merge>,
    run: u64,
}

/// One notification of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Item {
    pub(crate) number: u64,
    /// When it should have been sent, or is due; in microseconds since 1970. Goes into `data`.
    pub(crate) stamp_us: u64,
    pub(crate) due: Due,
}

/// When a notification is to be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    Now,
    /// At its stamp.
    AtStamp,
}

impl Shape {
    pub(crate) fn new(options: &Options) -> Self {
        let mut text = "Hello {{name}}, your order {{order_id}} has left our house.".to_owned();
        if options.stamp_in_text {
            text += &format!(" {STAMP}:{{{{{STAMP}}}}}");
        }
        if options.merge.is_some() {
            text += &format!(" {ITEMS}{{{{count}}}} ({{{{actors.[0]}}}} and {{{{others}}}} others)");
        }
        let message = match &options.template {
            None => json!({"content": {"title": "Order {{order_id}} is on its way", "body": text}}),
            Some(code) => json!({ "template": code }),
        };
        let message = message.to_string();
        let common = format!(
            r#""channels":["{}"],"priority":{},{}"#,
            options.channel.name(),
            json!(options.priority),
            // Its members, without the braces.
            &message[1..message.len() - 1],
        );
        let to_url = match options.channel {
            Channel::Webhook => Some(json!({ "url": options.target }).to_string()),
            Channel::Email => None,
        };
        Self { common, to_url, users: options.users, merge: options.merge, run: options.run }
    }

    /// The body of [`SINGLE_PATH`].
    pub(crate) fn single(&self, item: &Item) -> Bytes {
        let mut body = BytesMut::with_capacity(512);
        put(&mut body, format_args!("{{{},", self.common));
        self.write_own(item, &mut body);
        body.extend_from_slice(b"}");
        body.freeze()
    }

    /// The body of [`BATCH_PATH`].
    pub(crate) fn batch(&self, items: impl ExactSizeIterator<Item = Item>) -> Bytes {
        let mut body = BytesMut::with_capacity(512 + 256 * items.len());
        put(&mut body, format_args!(r#"{{"defaults":{{{}}},"items":["#, self.common));
        for (index, item) in items.enumerate() {
            body.extend_from_slice(if index == 0 { b"{" } else { b",{" });
            self.write_own(&item, &mut body);
            body.extend_from_slice(b"}");
        }
        body.extend_from_slice(b"]}");
        body.freeze()
    }

    fn write_own(&self, item: &Item, body: &mut BytesMut) {
        let (run, number) = (self.run, item.number);
        match self.users {
            None => put(body, format_args!(r#""user_id":"u{run:x}-{number:010}","#)),
            Some(users) => put(body, format_args!(r#""user_id":"u{:010}","#, number % users)),
        }
        match &self.to_url {
            Some(to) => put(body, format_args!(r#""to":{to},"#)),
            None => put(body, format_args!(r#""to":{{"email":"u{number:010}@load.example"}},"#)),
        }
        let stamp_us = item.stamp_us;
        put(body, format_args!(r#""data":{{"order_id":"{run:x}-{number:010}","name":"Customer {number:010}","#));
        put(body, format_args!(r#""{STAMP}":{stamp_us}}}"#));
        if let Some(Merge { keys, window_seconds }) = self.merge {
            let key = number % keys;
            put(body, format_args!(r#","aggregate":{{"key":"{run:x}:{key}","actor":"Customer {number}","#));
            put(body, format_args!(r#""window_seconds":{window_seconds}}}"#));
        }
        if item.due == Due::AtStamp {
            body.extend_from_slice(br#","deliver_at":""#);
            // The buffer grows: nothing to fail.
            let _ = write_rfc3339(stamp_us, body);
            body.extend_from_slice(b"\"");
        }
    }
}

fn put(body: &mut BytesMut, text: std::fmt::Arguments<'_>) {
    // The buffer grows: nothing to fail.
    let _ = body.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn options(channel: Channel) -> Options {
        Options {
            channel,
            target: "http://127.0.0.1:9090/hook".into(),
            priority: "high".into(),
            users: None,
            merge: None,
            template: None,
            stamp_in_text: channel == Channel::Email,
            run: 0xabc,
        }
    }

    fn parsed(body: &Bytes) -> Value {
        serde_json::from_slice(body).expect("legal JSON")
    }

    #[test]
    fn a_single_notification_is_as_the_contract_has_it() {
        let item = Item { number: 7, stamp_us: 1_700_000_000_123_456, due: Due::Now };
        let expected = json!({
            "user_id": "uabc-0000000007",
            "to": {"url": "http://127.0.0.1:9090/hook"},
            "channels": ["webhook"],
            "priority": "high",
            "content": {
                "title": "Order {{order_id}} is on its way",
                "body": "Hello {{name}}, your order {{order_id}} has left our house.",
            },
            "data": {
                "order_id": "abc-0000000007",
                "name": "Customer 0000000007",
                "sent_at_us": 1_700_000_000_123_456u64,
            },
        });
        assert_eq!(parsed(&Shape::new(&options(Channel::Webhook)).single(&item)), expected);
    }

    #[test]
    fn a_batch_keeps_what_is_common_in_its_defaults() {
        let items = (0..3).map(|number| Item { number, stamp_us: 1_700_000_000_000_000, due: Due::AtStamp });
        let body = parsed(&Shape::new(&options(Channel::Email)).batch(items.collect::<Vec<_>>().into_iter()));
        assert_eq!(body["defaults"]["channels"], json!(["email"]));
        let text = body["defaults"]["content"]["body"].as_str().expect("a text");
        assert!(text.ends_with("sent_at_us:{{sent_at_us}}"), "{text}");
        let items = body["items"].as_array().expect("a list");
        assert_eq!(items.len(), 3);
        assert_eq!(items[2]["to"], json!({"email": "u0000000002@load.example"}));
        assert_eq!(items[2]["deliver_at"], json!("2023-11-14T22:13:20.000Z"));
    }

    #[test]
    fn users_take_turns_and_a_template_replaces_the_content() {
        let options = Options { users: Some(5), template: Some("order".into()), ..options(Channel::Webhook) };
        let body = parsed(&Shape::new(&options).single(&Item { number: 12, stamp_us: 1, due: Due::Now }));
        assert_eq!(body["user_id"], json!("u0000000002"));
        assert_eq!(body["template"], json!("order"));
        assert_eq!(body.get("content"), None);
    }

    #[test]
    fn keys_take_turns_where_notifications_are_merged() {
        let merge = Some(Merge { keys: 4, window_seconds: 90 });
        let options = Options { merge, users: Some(8), ..options(Channel::Webhook) };
        let body = parsed(&Shape::new(&options).single(&Item { number: 13, stamp_us: 1, due: Due::Now }));
        let expected = json!({"key": "abc:1", "actor": "Customer 13", "window_seconds": 90});
        assert_eq!((&body["user_id"], &body["aggregate"]), (&json!("u0000000005"), &expected));
        let text = body["content"]["body"].as_str().expect("a text");
        assert!(text.contains("merged_items:{{count}}"), "{text}");
    }

    #[test]
    fn a_target_is_quoted() {
        let options = Options { target: "http://x/\"a\"".into(), ..options(Channel::Webhook) };
        let body = parsed(&Shape::new(&options).single(&Item { number: 0, stamp_us: 1, due: Due::Now }));
        assert_eq!(body["to"]["url"], json!("http://x/\"a\""));
    }
}
