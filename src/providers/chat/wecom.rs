//! The provider `wecom`: the robot of a room (<https://developer.work.weixin.qq.com/document/path/91770>).

use serde::{Deserialize, Serialize};
use url::form_urlencoded::Serializer;

use super::robot::{Dialect, Verdict};
use super::text::{Format, cut, joined, plain};
use super::{Message, Timestamp, config, needs};

pub(in crate::providers) struct WeCom {
    /// The secret is in it.
    path: String,
    format: Format,
}

/// "at most 2,048 bytes"
pub(super) const TEXT_MAX: usize = 2048;
/// "at most 4,096 bytes"
const MARKDOWN_MAX: usize = 4096;

#[derive(Serialize)]
#[serde(tag = "msgtype", rename_all = "lowercase")]
enum Body<'a> {
    Text { text: Content<'a> },
    Markdown { markdown: Content<'a> },
}

#[derive(Serialize)]
pub(super) struct Content<'a> {
    pub(super) content: &'a str,
}

#[derive(Deserialize)]
struct Said {
    errcode: i64,
}

impl Dialect for WeCom {
    const KIND: &'static str = "wecom";
    const URL: &'static str = "https://qyapi.weixin.qq.com";

    fn read(settings: &config::Provider) -> Result<Self, String> {
        let key = needs::secret(settings.token.as_ref(), "token", "what stands behind `key=` in the robot's address")?;
        let query = Serializer::new(String::new()).append_pair("key", key).finish();
        Ok(Self { path: format!("/cgi-bin/webhook/send?{query}"), format: Format::read(settings)? })
    }

    fn request(&self, message: &Message, _: Timestamp) -> serde_json::Result<(String, Vec<u8>)> {
        let body = match self.format {
            Format::Text => {
                let text = cut(joined(&message.parts, "", "\n"), TEXT_MAX, plain);
                serde_json::to_vec(&Body::Text { text: Content { content: &text } })?
            }
            Format::Markdown => {
                let text = cut(joined(&message.parts, "### ", "\n"), MARKDOWN_MAX, plain);
                serde_json::to_vec(&Body::Markdown { markdown: Content { content: &text } })?
            }
        };
        Ok((self.path.clone(), body))
    }

    fn verdict(body: &[u8]) -> Option<Verdict> {
        let said: Said = serde_json::from_slice(body).ok()?;
        Some(Verdict { code: said.errcode.to_string(), wait_seconds: None })
    }
}
