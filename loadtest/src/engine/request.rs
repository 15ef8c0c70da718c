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
    /// Where webhooks go; the subscription that pushes go to, else each goes to a token of its own, with this before its number if it ends in a
    /// colon; the chat.
    pub(crate) target: String,
    pub(crate) priority: String,
    /// How many users take turns; `None`: everybody gets one notification.
    pub(crate) users: Option<u64>,
    /// The code of a template; `None`: content of the request's own, with two variables.
    pub(crate) template: Option<String>,
    pub(crate) stamp: Stamp,
    /// What each user's notifications are merged by.
    pub(crate) merge: Option<Merge>,
    /// Different in each run, so that no notification repeats one of an earlier run.
    pub(crate) run: u64,
}

/// Where a notification has its stamp. A webhook carries `data`, and some pushes do; a mail carries only what is written into its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stamp {
    /// Nowhere: what arrives is not timed.
    Nowhere,
    /// In `data`.
    InData,
    /// In `data`, and from there in the text.
    InText,
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
    to: To,
    users: Option<u64>,
    merge: Option<Merge>,
    is_stamped: bool,
    run: u64,
}

/// Whom notifications are for, as JSON.
#[derive(Debug, Clone)]
enum To {
    /// All the same.
    Same(String),
    /// An address of its own: what stands before and after its number.
    Own(String, &'static str),
    /// A token of its own, 64 digits long as those of APNs.
    Token,
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
        if options.stamp == Stamp::InText {
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
        let to = match options.channel {
            Channel::Webhook => To::Same(json!({ "url": options.target }).to_string()),
            Channel::Email => To::Own(r#"{"email":"u"#.to_owned(), r#"@load.example"}"#),
            Channel::Sms | Channel::Voice => To::Own(r#"{"phone":"+1555"#.to_owned(), r#""}"#),
            Channel::Push if options.target.is_empty() => To::Token,
            Channel::Push if options.target.ends_with(':') => {
                To::Own(format!(r#"{{"push_token":"{}"#, options.target), r#""}"#)
            }
            Channel::Push => To::Same(json!({ "push_token": options.target }).to_string()),
            Channel::Chat => To::Same(json!({ "chat": options.target }).to_string()),
        };
        let is_stamped = options.stamp != Stamp::Nowhere;
        Self { common, to, users: options.users, merge: options.merge, is_stamped, run: options.run }
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
        match &self.to {
            To::Same(to) => put(body, format_args!(r#""to":{to},"#)),
            To::Own(before, after) => put(body, format_args!(r#""to":{before}{number:010}{after},"#)),
            To::Token => put(body, format_args!(r#""to":{{"push_token":"{number:064}"}},"#)),
        }
        let stamp_us = item.stamp_us;
        put(body, format_args!(r#""data":{{"order_id":"{run:x}-{number:010}","name":"Customer {number:010}""#));
        if self.is_stamped {
            put(body, format_args!(r#","{STAMP}":{stamp_us}"#));
        }
        body.extend_from_slice(b"}");
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

/// The subscription of a browser to a push service at the mock, as JSON. The keys are those of RFC 8291 section 5.
pub(crate) fn subscription(mock: &str) -> String {
    let keys = json!({
        "p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
        "auth": "BTBZMqHH6r4Tts7J_aSIgg",
    });
    json!({"endpoint": format!("http://{mock}/wp/load"), "keys": keys}).to_string()
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
            stamp: if channel == Channel::Email { Stamp::InText } else { Stamp::InData },
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
    fn each_channel_has_addresses_of_its_own_form() {
        let to = |channel, target: &str| {
            let options = Options { target: target.into(), ..options(channel) };
            parsed(&Shape::new(&options).single(&Item { number: 12, stamp_us: 1, due: Due::Now }))["to"].clone()
        };
        assert_eq!(to(Channel::Sms, ""), json!({"phone": "+15550000000012"}));
        assert_eq!(to(Channel::Push, "")["push_token"].as_str().map(str::len), Some(64));
        assert_eq!(to(Channel::Push, "load:"), json!({"push_token": "load:0000000012"}));
        assert_eq!(to(Channel::Push, "{\"a\":1}"), json!({"push_token": "{\"a\":1}"}));
        assert_eq!(to(Channel::Chat, "load"), json!({"chat": "load"}));
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
    fn what_is_not_to_be_timed_has_no_stamp() {
        let options = Options { stamp: Stamp::Nowhere, ..options(Channel::Push) };
        let body = Shape::new(&options).single(&Item { number: 0, stamp_us: 1, due: Due::Now });
        assert_eq!(parsed(&body)["data"].as_object().map(|data| data.contains_key(STAMP)), Some(false));
    }

    #[test]
    fn a_target_is_quoted() {
        let options = Options { target: "http://x/\"a\"".into(), ..options(Channel::Webhook) };
        let body = parsed(&Shape::new(&options).single(&Item { number: 0, stamp_us: 1, due: Due::Now }));
        assert_eq!(body["to"]["url"], json!("http://x/\"a\""));
    }
}
