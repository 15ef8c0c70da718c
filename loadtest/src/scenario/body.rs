//! What is sent: written by hand into a buffer, for the harness shares the machine with the engine.

use std::fmt::Write;

use bytes::Bytes;
use serde_json::json;

use super::file::Stream;
use super::zipf::Zipf;
use crate::channel::Channel;
use crate::clock::write_rfc3339;
use crate::engine::{Body, target};
use crate::mock::{ITEMS, STAMP};
use crate::random::Dice;

/// The notifications of a stream.
pub(super) struct Letters {
    /// All that every one of them has in common: members of a JSON object.
    common: String,
    to: To,
    users: Option<Zipf>,
    dice: Dice,
    merge_seconds: Option<u64>,
    run: u64,
    /// Different for each stream, so that two of them never mean the same person.
    stream: usize,
}

enum To {
    Webhook(String),
    Mail,
    Phone,
    /// FCM takes no token of digits alone.
    Token,
}

/// One notification.
#[derive(Debug, Clone, Copy)]
pub(super) struct Letter {
    pub(super) number: u64,
    /// When it should have been sent, or is due; in microseconds since 1970.
    pub(super) stamp_us: u64,
    pub(super) is_scheduled: bool,
}

impl Letters {
    /// `mock`: where the mock's HTTP listens. `run` differs from run to run, so that nothing repeats an earlier one.
    pub(super) fn new(stream: &Stream, number: usize, mock: &str, run: u64, seed: u64) -> Self {
        let mut common = format!(r#""channels":["{}"],"priority":{}"#, stream.channel().name(), json!(stream.priority));
        put(&mut common, format_args!(",{}", message(stream)));
        if let Some(category) = &stream.category {
            put(&mut common, format_args!(r#","category":{}"#, json!(category)));
        }
        let to = match stream.channel() {
            Channel::Email => To::Mail,
            Channel::Sms | Channel::Voice => To::Phone,
            Channel::Push => To::Token,
            Channel::Webhook | Channel::Chat => To::Webhook(json!(target(None, mock)).to_string()),
        };
        Self {
            common,
            to,
            users: stream.users.map(|users| Zipf::new(users, stream.zipf)),
            dice: Dice::new(seed.wrapping_add(number as u64)),
            merge_seconds: stream.merge_window.map(|window| window.as_secs().max(1)),
            run,
            stream: number,
        }
    }

    /// A request with these.
    pub(super) fn body(&self, letters: impl ExactSizeIterator<Item = Letter>) -> Body {
        let items = letters.len();
        let mut body = String::with_capacity(512 + 256 * items);
        if items == 1 {
            put(&mut body, format_args!("{{{},", self.common));
            letters.for_each(|letter| self.write_own(&letter, &mut body));
            body.push('}');
            return Body::Single(Bytes::from(body));
        }
        put(&mut body, format_args!(r#"{{"defaults":{{{}}},"items":["#, self.common));
        for (index, letter) in letters.enumerate() {
            body.push_str(if index == 0 { "{" } else { ",{" });
            self.write_own(&letter, &mut body);
            body.push('}');
        }
        body.push_str("]}");
        Body::Batch { body: Bytes::from(body), items }
    }

    fn write_own(&self, letter: &Letter, body: &mut String) {
        let (run, stream, number) = (self.run, self.stream, letter.number);
        let person = self.users.as_ref().map_or(number, |users| users.draw(&self.dice));
        match self.users {
            None => put(body, format_args!(r#""user_id":"u{run:x}-{stream}-{number:010}","#)),
            Some(_) => put(body, format_args!(r#""user_id":"u{stream}-{person:010}","#)),
        }
        match &self.to {
            To::Webhook(url) => put(body, format_args!(r#""to":{{"url":{url}}},"#)),
            To::Mail => put(body, format_args!(r#""to":{{"email":"u{stream}.{person:010}@load.example"}},"#)),
            To::Phone => put(body, format_args!(r#""to":{{"phone":"+15{stream:02}{person:010}"}},"#)),
            To::Token => put(body, format_args!(r#""to":{{"push_token":"load:{stream}:{person:010}"}},"#)),
        }
        put(
            body,
            format_args!(r#""data":{{"order_id":"{run:x}-{stream}-{number:010}","name":"Customer {person:010}""#),
        );
        put(body, format_args!(r#","{STAMP}":{}}}"#, letter.stamp_us));
        if let Some(window) = self.merge_seconds {
            put(body, format_args!(r#","aggregate":{{"key":"{run:x}:{person}","actor":"Customer {number}","#));
            put(body, format_args!(r#""window_seconds":{window}}}"#));
        }
        if letter.is_scheduled {
            body.push_str(r#","deliver_at":""#);
            // The buffer grows: nothing to fail.
            let _ = write_rfc3339(letter.stamp_us, body);
            body.push('"');
        }
    }
}

/// Its template, or content about as long as the stream says: members of a JSON object.
fn message(stream: &Stream) -> String {
    if let Some(code) = &stream.template {
        return format!(r#""template":{}"#, json!(code));
    }
    let mut text = "Hello {{name}}, your order {{order_id}} has left our house.".to_owned();
    while text.len() < stream.text_bytes {
        text.push_str(" It is on its way.");
    }
    if stream.merge_window.is_some() {
        text.push_str(&format!(" {ITEMS}{{{{count}}}}"));
    } else if stream.channel() != Channel::Webhook {
        // Webhooks carry the stamp in their data.
        text.push_str(&format!(" {STAMP}:{{{{{STAMP}}}}}"));
    }
    format!(r#""content":{}"#, json!({"title": "Order {{order_id}}", "body": text}))
}

fn put(body: &mut String, text: std::fmt::Arguments<'_>) {
    // The buffer grows: nothing to fail.
    let _ = body.write_fmt(text);
}
