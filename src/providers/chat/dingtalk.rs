//! The provider `dingtalk`: the robot of a room (<https://open.dingtalk.com/document/robots/custom-robot-access>).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde::{Deserialize, Serialize};
use url::form_urlencoded::Serializer;

use super::robot::{Dialect, Verdict};
use super::text::{Format, cut, in_json, joined};
use super::{Message, Timestamp, config, needs};

pub(in crate::providers) struct DingTalk {
    /// The secret token is in it.
    path: String,
    /// `SEC…`; none: the robot checks words or addresses instead.
    secret: Option<config::Secret>,
    format: Format,
}

/// "20,000 bytes" for the whole body, with the rest of it.
const TEXT_MAX: usize = 19_000;
/// The title of a markdown message stands a second time, in the list of rooms.
const TITLE_MAX: usize = 300;

#[derive(Serialize)]
#[serde(tag = "msgtype", rename_all = "lowercase")]
enum Body<'a> {
    Text { text: Content<'a> },
    Markdown { markdown: Markdown<'a> },
}

#[derive(Serialize)]
struct Content<'a> {
    content: &'a str,
}

#[derive(Serialize)]
struct Markdown<'a> {
    title: &'a str,
    text: &'a str,
}

/// `{"errcode":0}`, or `{"status":1111,"wait":5,"punish":"deny"}` from the gate before it.
#[derive(Deserialize)]
struct Said {
    errcode: Option<i64>,
    errmsg: Option<String>,
    status: Option<i64>,
    wait: Option<u64>,
}

impl Dialect for DingTalk {
    const KIND: &'static str = "dingtalk";
    const URL: &'static str = "https://oapi.dingtalk.com";

    fn read(settings: &config::Provider) -> Result<Self, String> {
        let what = "what stands behind `access_token=` in the robot's address";
        let token = needs::secret(settings.token.as_ref(), "token", what)?;
        let query = Serializer::new(String::new()).append_pair("access_token", token).finish();
        let path = format!("/robot/send?{query}");
        Ok(Self { path, secret: settings.signing_secret.clone(), format: Format::read(settings)? })
    }

    fn request(&self, message: &Message, now: Timestamp) -> serde_json::Result<(String, Vec<u8>)> {
        let mut path = self.path.clone();
        if let Some(secret) = &self.secret {
            let timestamp = now.millis().to_string();
            let signature = sign(&timestamp, secret.expose().trim());
            let mut query = Serializer::new(String::with_capacity(96));
            path.push('&');
            path.push_str(&query.append_pair("timestamp", &timestamp).append_pair("sign", &signature).finish());
        }
        let body = match self.format {
            Format::Text => {
                let text = cut(joined(&message.parts, "", "\n"), TEXT_MAX, in_json);
                serde_json::to_vec(&Body::Text { text: Content { content: &text } })?
            }
            Format::Markdown => {
                let text = cut(joined(&message.parts, "### ", "\n\n"), TEXT_MAX - TITLE_MAX, in_json);
                let first = if message.parts.title.is_empty() { &message.parts.body } else { &message.parts.title };
                let title = cut(first.as_str().into(), TITLE_MAX, in_json);
                serde_json::to_vec(&Body::Markdown { markdown: Markdown { title: &title, text: &text } })?
            }
        };
        Ok((path, body))
    }

    fn verdict(body: &[u8]) -> Option<Verdict> {
        let said: Said = serde_json::from_slice(body).ok()?;
        let mut code = said.errcode.or(said.status)?.to_string();
        // One code for several refusals: that of a word is about this message, the others are about our settings.
        if said.errmsg.is_some_and(|text| text.to_lowercase().contains("keyword") || text.contains("关键词")) {
            code.push_str(" keyword");
        }
        Some(Verdict { code, wait_seconds: said.wait })
    }
}

/// Base64 of HMAC-SHA256 with the secret over `{timestamp}\n{secret}`; the query encodes it, once.
fn sign(timestamp: &str, secret: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    STANDARD.encode(hmac::sign(&key, format!("{timestamp}\n{secret}").as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::sign;

    #[test]
    fn the_signature_is_that_of_the_example() {
        assert_eq!(sign("1700000000000", "SECtest0123456789"), "yBKp5IlG6qCzcQWmgyRK/ziJBdVNJmHfFE2ST/CzT/g=");
    }
}
