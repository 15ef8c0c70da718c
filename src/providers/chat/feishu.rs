//! The provider `feishu`: the robot of a room
//! (<https://open.feishu.cn/document/client-docs/bot-v3/add-custom-bot>). Lark is the same at another address (`url`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde::{Deserialize, Serialize};

use super::robot::{Dialect, Verdict};
use super::text::{Format, cut, in_json, joined};
use super::{Message, Timestamp, config, needs};

pub(in crate::providers) struct Feishu {
    /// The secret is in it.
    path: String,
    secret: Option<config::Secret>,
    format: Format,
}

/// "20 KB" for the whole body, with the rest of it.
const TEXT_MAX: usize = 19_000;
const TITLE_MAX: usize = 300;

#[derive(Serialize)]
struct Body<'a> {
    /// A text of digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sign: Option<&'a str>,
    #[serde(flatten)]
    content: Content<'a>,
}

#[derive(Serialize)]
#[serde(tag = "msg_type", rename_all = "lowercase")]
enum Content<'a> {
    Text {
        content: Text<'a>,
    },
    /// Markdown stands in cards only.
    Interactive {
        card: Card<'a>,
    },
}

#[derive(Serialize)]
struct Text<'a> {
    text: &'a str,
}

#[derive(Serialize)]
struct Card<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<Header<'a>>,
    elements: [Element<'a>; 1],
}

#[derive(Serialize)]
struct Header<'a> {
    title: Element<'a>,
}

#[derive(Serialize)]
struct Element<'a> {
    tag: &'static str,
    content: &'a str,
}

/// `{"code":0}`, `{"StatusCode":0}` of older robots, or both.
#[derive(Deserialize)]
struct Said {
    code: Option<i64>,
    #[serde(rename = "StatusCode")]
    status_code: Option<i64>,
}

impl Dialect for Feishu {
    const KIND: &'static str = "feishu";
    const URL: &'static str = "https://open.feishu.cn";

    fn read(settings: &config::Provider) -> Result<Self, String> {
        let token =
            needs::secret(settings.token.as_ref(), "token", "what stands behind `/hook/` in the robot's address")?;
        if !token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
            return Err("`token` is no token: write only what stands behind `/hook/` in the robot's address".into());
        }
        let path = format!("/open-apis/bot/v2/hook/{token}");
        Ok(Self { path, secret: settings.signing_secret.clone(), format: Format::read(settings)? })
    }

    fn request(&self, message: &Message, now: Timestamp) -> serde_json::Result<(String, Vec<u8>)> {
        let timestamp = (now.millis() / 1000).to_string();
        let sign = self.secret.as_ref().map(|secret| sign(&timestamp, secret.expose().trim()));
        let timestamp = sign.as_ref().map(|_| timestamp.as_str());
        let parts = &message.parts;
        let (text, title);
        let content = match self.format {
            Format::Text => {
                text = cut(joined(parts, "", "\n"), TEXT_MAX, in_json);
                Content::Text { content: Text { text: &text } }
            }
            Format::Markdown => {
                text = cut(parts.body.as_str().into(), TEXT_MAX - TITLE_MAX, in_json);
                title = cut(parts.title.as_str().into(), TITLE_MAX, in_json);
                let header = Header { title: Element { tag: "plain_text", content: &title } };
                let header = Some(header).filter(|_| !title.is_empty());
                Content::Interactive { card: Card { header, elements: [Element { tag: "markdown", content: &text }] } }
            }
        };
        let body = serde_json::to_vec(&Body { timestamp, sign: sign.as_deref(), content })?;
        Ok((self.path.clone(), body))
    }

    fn verdict(body: &[u8]) -> Option<Verdict> {
        let said: Said = serde_json::from_slice(body).ok()?;
        Some(Verdict { code: said.code.or(said.status_code)?.to_string(), wait_seconds: None })
    }
}

/// Base64 of HMAC-SHA256 with the **key** `{timestamp}\n{secret}` over nothing.
fn sign(timestamp: &str, secret: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, format!("{timestamp}\n{secret}").as_bytes());
    STANDARD.encode(hmac::sign(&key, b""))
}

#[cfg(test)]
mod tests {
    use super::sign;

    #[test]
    fn the_signature_is_that_of_the_example() {
        assert_eq!(sign("1700000000", "SECtest0123456789"), "xqhKocb0RcGBDr30iFkLPByPLrRBM9Oy/dgBx968k0U=");
    }
}
