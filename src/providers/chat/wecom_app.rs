//! The provider `wecom_app`: messages of a company's application to its people
//! (<https://developer.work.weixin.qq.com/document/path/90236>).

mod access;

use std::sync::Arc;

use async_trait::async_trait;
use hyper::Method;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout_at};
use url::form_urlencoded::Serializer;

use self::access::{Access, Token};
use super::text::{Format, cut, joined, plain};
use super::wecom::{Content, TEXT_MAX};
use super::{
    Address, Answer, Api, BuildContext, Channel, Message, Outcome, Provider, Said, SharedClock, SharedProvider, Table,
    config, json_headers, needs, options, outcome,
};

pub(in crate::providers) struct WeComApp {
    name: String,
    channels: Vec<Channel>,
    api: Api,
    clock: SharedClock,
    table: Table,
    access: Access,
    agent_id: i64,
    format: Format,
    /// 0: it does not look for repeats.
    duplicate_check_seconds: i64,
}

const USUAL_URL: &str = "https://qyapi.weixin.qq.com";
/// `duplicate_check_interval`: "1,800 seconds by default, at most 4 hours".
const DUPLICATE_CHECK_SECONDS: i64 = 1800;
const DUPLICATE_CHECK_SECONDS_MAX: i64 = 14_400;
/// Of a user's id.
const USER_MAX: usize = 64;

#[derive(Serialize)]
struct Body<'a> {
    touser: &'a str,
    agentid: i64,
    enable_duplicate_check: u8,
    #[serde(skip_serializing_if = "is_zero")]
    duplicate_check_interval: i64,
    #[serde(flatten)]
    content: Typed<'a>,
}

#[derive(Serialize)]
#[serde(tag = "msgtype", rename_all = "lowercase")]
enum Typed<'a> {
    Text { text: Content<'a> },
    Markdown { markdown: Content<'a> },
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

#[derive(Deserialize)]
struct Answered {
    errcode: i64,
    #[serde(default)]
    invaliduser: String,
    #[serde(default)]
    unlicenseduser: String,
    #[serde(default)]
    msgid: Option<String>,
}

impl WeComApp {
    pub(in crate::providers) fn build(
        settings: &config::Provider,
        channels: Vec<Channel>,
        context: &BuildContext,
    ) -> Result<SharedProvider, String> {
        let corp = needs::text(settings.username.as_ref(), "username", "the company's id (corpid)")?;
        let secret = needs::secret(settings.password.as_ref(), "password", "the application's secret (corpsecret)")?;
        let agent_id = options::number(settings, "agent_id", 1..=i64::MAX)?;
        let agent_id =
            agent_id.ok_or_else(|| needs::missing("options.agent_id", "the application's AgentId, a number"))?;
        let interval = options::number(settings, "duplicate_check_seconds", 0..=DUPLICATE_CHECK_SECONDS_MAX)?;
        Ok(Arc::new(Self {
            name: settings.name.clone(),
            channels,
            api: Api::new(settings, context, USUAL_URL)?,
            clock: context.clock.clone(),
            table: Table::new("wecom_app", &settings.outcomes),
            access: Access::new(corp, secret),
            agent_id,
            format: Format::read(settings)?,
            duplicate_check_seconds: interval.unwrap_or(DUPLICATE_CHECK_SECONDS),
        }))
    }

    fn body(&self, message: &Message, user: &str) -> serde_json::Result<Vec<u8>> {
        let before_title = if self.format == Format::Markdown { "### " } else { "" };
        let text = cut(joined(&message.parts, before_title, "\n"), TEXT_MAX, plain);
        let content = Content { content: &text };
        serde_json::to_vec(&Body {
            touser: user,
            agentid: self.agent_id,
            enable_duplicate_check: u8::from(self.duplicate_check_seconds > 0),
            duplicate_check_interval: self.duplicate_check_seconds,
            content: match self.format {
                Format::Text => Typed::Text { text: content },
                Format::Markdown => Typed::Markdown { markdown: content },
            },
        })
    }

    /// The outcome, and whether another token may change it.
    async fn post(&self, token: &Token, body: &[u8], until: Instant) -> (Outcome, bool) {
        let query = Serializer::new(String::with_capacity(256)).append_pair("access_token", token.expose()).finish();
        let path = format!("/cgi-bin/message/send?{query}");
        match self.api.send_until(Method::POST, &path, json_headers(), body.to_vec(), until).await {
            Ok(answer) => self.judge(&answer),
            Err(failure) => (outcome::no_answer(failure), false),
        }
    }

    fn judge(&self, answer: &Answer) -> (Outcome, bool) {
        let answered: Option<Answered> = serde_json::from_slice(&answer.body).ok();
        if answered.is_none() && answer.status.is_success() {
            return (Outcome::Unknown { reason: "the provider's answer has no code".into() }, false);
        }
        let errcode = answered.as_ref().map(|answered| answered.errcode.to_string());
        // 0 says that the request was good; the one it was for may yet be named as not reached.
        let code = match &answered {
            Some(answered) if answered.errcode == 0 && !answered.invaliduser.is_empty() => Some("invaliduser"),
            Some(answered) if answered.errcode == 0 && !answered.unlicenseduser.is_empty() => Some("unlicenseduser"),
            _ => errcode.as_deref(),
        };
        let said = Said {
            codes: code.as_slice(),
            status: answer.status,
            retry_after: outcome::retry_after(&answer.headers, self.clock.now()),
            message_id: answered.as_ref().and_then(|answered| answered.msgid.as_deref()),
        };
        (self.table.judge(&said), self.table.asks_for_new_credentials(&said))
    }

    /// Nothing is sent without one: what is not there by `until` is as good as nobody who answers.
    async fn token(&self, refused: Option<&Token>, until: Instant) -> Result<Arc<Token>, Outcome> {
        let late = |_| {
            let reason = "no access token in time".into();
            Err(Outcome::Transient { reason, retry_after: None, unreachable: true })
        };
        let fetching = self.access.token(&self.api, &self.table, &*self.clock, refused);
        timeout_at(until, fetching).await.unwrap_or_else(late)
    }

    async fn deliver(&self, body: &[u8]) -> Result<Outcome, Outcome> {
        let until = self.api.patience();
        let token = self.token(None, until).await?;
        let (outcome, is_stale) = self.post(&token, body, until).await;
        if !is_stale {
            return Ok(outcome);
        }
        let token = self.token(Some(&token), until).await?;
        Ok(self.post(&token, body, until).await.0)
    }
}

/// "Letters, digits and `_-@.`, and the first is a letter or digit": neither `@all`, which is everybody, nor a list.
fn is_user(id: &str) -> bool {
    id.len() <= USER_MAX
        && id.starts_with(|letter: char| letter.is_ascii_alphanumeric())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-@.".contains(&byte))
}

#[async_trait]
impl Provider for WeComApp {
    fn name(&self) -> &str {
        &self.name
    }

    fn channels(&self) -> &[Channel] {
        &self.channels
    }

    fn takes(&self, address: &Address) -> bool {
        matches!(address.chat(), Some((provider, Some(_))) if provider == self.name)
    }

    async fn send(&self, message: &Message) -> Outcome {
        let user = match message.address.chat() {
            Some((provider, Some(user))) if provider == self.name && is_user(user) => user,
            _ => return Outcome::BadRequest { reason: "the address is not `provider:user` of one user".into() },
        };
        let Ok(body) = self.body(message, user) else {
            return Outcome::BadRequest { reason: "the text cannot be written as JSON".into() };
        };
        self.deliver(&body).await.unwrap_or_else(|failed| failed)
    }

    async fn check(&self) -> Result<(), String> {
        self.token(None, self.api.patience()).await.map(|_| ()).map_err(|failed| failed.reason().to_owned())
    }
}
