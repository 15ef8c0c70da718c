//! The access token: fetched by one send for all, kept in this process, and fetched anew before it ends. Every process has its own
//! copy: while a token lasts, the company's id and secret get the same one.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use hyper::{HeaderMap, Method};
use serde::Deserialize;
use url::form_urlencoded::Serializer;

use crate::clock::Clock;
use crate::domain::{Outcome, Timestamp};
use crate::providers::http::{Answer, Api, HttpFailure};
use crate::providers::outcome::{self, Said, Table};

pub(super) struct Access {
    /// The secret is in it.
    path: String,
    /// Read by every send, written by the one that holds `fetching`.
    token: ArcSwapOption<Token>,
    fetching: tokio::sync::Mutex<()>,
}

/// An access token, which nobody is to see.
pub(super) struct Token {
    text: String,
    /// It is not used from here on, though it lasts a little longer.
    until: Timestamp,
}

impl Token {
    pub(super) fn expose(&self) -> &str {
        &self.text
    }
}

/// How long before its end it is fetched anew; a short-lived one at half its time.
const EARLY: Duration = Duration::from_secs(300);

#[derive(Deserialize)]
struct Answered {
    #[serde(default)]
    errcode: i64,
    #[serde(default)]
    access_token: String,
    /// Seconds.
    #[serde(default)]
    expires_in: u64,
}

impl Access {
    pub(super) fn new(corp: &str, secret: &str) -> Self {
        let query =
            Serializer::new(String::new()).append_pair("corpid", corp).append_pair("corpsecret", secret).finish();
        Self {
            path: format!("/cgi-bin/gettoken?{query}"),
            token: ArcSwapOption::empty(),
            fetching: tokio::sync::Mutex::default(),
        }
    }

    /// A token that is not the one that was `refused`. Whoever comes while it is fetched waits for that; the caller bounds the time.
    pub(super) async fn token(
        &self,
        api: &Api,
        table: &Table,
        clock: &dyn Clock,
        refused: Option<&Token>,
    ) -> Result<Arc<Token>, Outcome> {
        if let Some(token) = self.kept(clock.now(), refused) {
            return Ok(token);
        }
        let _fetching = self.fetching.lock().await;
        // Another send may have fetched it meanwhile.
        if let Some(token) = self.kept(clock.now(), refused) {
            return Ok(token);
        }
        let answer = api.send(Method::GET, &self.path, HeaderMap::new(), "").await.map_err(nothing_sent)?;
        let token = Arc::new(read(&answer, table, clock.now())?);
        self.token.store(Some(token.clone()));
        Ok(token)
    }

    fn kept(&self, now: Timestamp, refused: Option<&Token>) -> Option<Arc<Token>> {
        let is_good =
            |token: &Arc<Token>| now < token.until && refused.is_none_or(|refused| refused.text != token.text);
        self.token.load_full().filter(is_good)
    }
}

fn read(answer: &Answer, table: &Table, now: Timestamp) -> Result<Token, Outcome> {
    let retry_after = outcome::retry_after(&answer.headers, now);
    let answered: Option<Answered> = serde_json::from_slice(&answer.body).ok();
    match answered {
        Some(Answered { errcode: 0, access_token, expires_in }) if !access_token.is_empty() => {
            let lasts = Duration::from_secs(expires_in);
            Ok(Token { text: access_token, until: now + lasts.saturating_sub(EARLY).max(lasts / 2) })
        }
        Some(Answered { errcode, .. }) if errcode != 0 => {
            let code = errcode.to_string();
            let outcome = table.judge(&Said { codes: &[&code], status: answer.status, retry_after, message_id: None });
            Err(outcome)
        }
        // No message was sent: it may be tried again.
        _ => Err(Outcome::Transient {
            reason: "the provider gave no access token".into(),
            retry_after,
            unreachable: false,
        }),
    }
}

/// What broke was the question for the token: no message is in doubt.
fn nothing_sent(failure: HttpFailure) -> Outcome {
    match failure {
        HttpFailure::InDoubt(reason) => {
            Outcome::Transient { reason: reason.into(), retry_after: None, unreachable: false }
        }
        failure => outcome::no_answer(failure),
    }
}
