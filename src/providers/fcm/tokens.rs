//! Access tokens: one for all sends, fetched by one of them, and anew before the old one ends.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::account::Account;
use crate::clock::{Moment, SharedClock};
use crate::config;
use crate::domain::Outcome;
use crate::providers::BuildContext;
use crate::providers::http::{Answer, Api, HttpFailure};
use crate::providers::outcome::{self, Said, Table};

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct Tokens(Arc<Inner>);

struct Inner {
    account: Account,
    api: Api,
    table: Table,
    clock: SharedClock,
    fetch_max: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    current: Option<Arc<Token>>,
    /// While somebody fetches one.
    fetching: Option<Fetching>,
    /// After a failure: when a token that still holds is to be replaced, not before this.
    pause_until: Moment,
}

/// A token as requests carry it.
pub(super) struct Token {
    /// `Bearer …`
    pub(super) header: HeaderValue,
    /// Whoever sends after this has a new one fetched, and does not wait for it.
    replace_from: Moment,
    /// Nobody sends with it after this.
    ends: Moment,
}

type Fetched = Result<Arc<Token>, Outcome>;
type Fetching = Shared<BoxFuture<'static, Fetched>>;

/// How long before its end a token is replaced; it holds for an hour.
const AHEAD: Duration = Duration::from_secs(300);
/// A token is not used so shortly before its end: the request has a way to go.
const MARGIN: Duration = Duration::from_secs(30);
/// Between tries to replace a token that still holds.
const PAUSE: Duration = Duration::from_secs(10);
/// What a token holds for where the answer does not say, and the longest an assertion may hold.
const HOUR_S: u64 = 3600;
const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");
/// RFC 7523 section 2.1; its colons are escaped in a form.
const GRANT: &str = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=";

impl Tokens {
    pub(super) fn new(
        account: Account,
        settings: &config::Provider,
        context: &BuildContext,
        table: Table,
    ) -> Result<Self, String> {
        // `url` is where messages go; where tokens are had stands in the account.
        let own = config::Provider { url: None, ..settings.clone() };
        let api = Api::new(&own, context, &account.token_uri)
            .map_err(|error| format!("the `token_uri` of the account: {error}"))?;
        let (clock, fetch_max) = (context.clock.clone(), settings.timeout / 2);
        Ok(Self(Arc::new(Inner { account, api, table, clock, fetch_max, state: Mutex::default() })))
    }

    /// The token to send with. Waits only where there is none that holds, and not beyond `until`; otherwise says what that means for
    /// the message.
    pub(super) async fn get(&self, until: Instant) -> Fetched {
        let fetching = {
            let now = self.0.clock.moment();
            let mut state = self.0.state();
            match &state.current {
                Some(token) if now < token.ends => {
                    let token = token.clone();
                    if now >= token.replace_from && now >= state.pause_until {
                        // It goes on without anybody who waits for it.
                        drop(self.fetch(&mut state));
                    }
                    return Ok(token);
                }
                _ => self.fetch(&mut state),
            }
        };
        wait(fetching, until).await
    }

    /// Another token than one that was refused.
    pub(super) async fn replace(&self, refused: &Arc<Token>, until: Instant) -> Fetched {
        let fetching = {
            let mut state = self.0.state();
            match &state.current {
                Some(token) if !Arc::ptr_eq(token, refused) => return Ok(token.clone()),
                _ => self.fetch(&mut state),
            }
        };
        wait(fetching, until).await
    }

    /// Fetches one, unless that is being done: by a task of its own, since whoever asked first may give up waiting.
    fn fetch(&self, state: &mut State) -> Fetching {
        if let Some(fetching) = &state.fetching
            && fetching.peek().is_none()
        {
            return fetching.clone();
        }
        let (fetched, waiting) = oneshot::channel();
        let inner = self.0.clone();
        tokio::spawn(async move {
            let outcome = inner.fetch_once().await;
            let mut state = inner.state();
            match &outcome {
                Ok(token) => state.current = Some(token.clone()),
                Err(_) => state.pause_until = inner.clock.moment() + PAUSE,
            }
            state.fetching = None;
            drop(state);
            // Nobody waits where the old token still holds.
            let _ = fetched.send(outcome);
        });
        let stopped = || Err(not_reached("the fetching of an access token ended".into()));
        let fetching = waiting.map(move |fetched| fetched.unwrap_or_else(|_| stopped())).boxed().shared();
        state.fetching = Some(fetching.clone());
        fetching
    }
}

#[derive(Serialize)]
struct Header<'a> {
    alg: &'a str,
    typ: &'a str,
    kid: &'a str,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    scope: &'a str,
    aud: &'a str,
    iat: u64,
    exp: u64,
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: Option<u64>,
}

#[derive(Deserialize)]
struct Denied {
    error: String,
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn fetch_once(&self) -> Fetched {
        let asked_at = self.clock.moment();
        let body = self.assertion().map_err(|reason| Outcome::Config { reason: reason.into() })?;
        let mut headers = HeaderMap::with_capacity(2);
        headers.insert(CONTENT_TYPE, FORM);
        // The path of the token's address stands in the API already.
        let path = if self.api.path("").is_empty() { "/" } else { "" };
        let asking = self.api.send(Method::POST, path, headers, body);
        match tokio::time::timeout(self.fetch_max, asking).await {
            Ok(Ok(answer)) => self.read(&answer, asked_at),
            Ok(Err(HttpFailure::Refused(reason))) => Err(Outcome::Config { reason: reason.into() }),
            // In doubt is only whether a token was made: the message was not sent.
            Ok(Err(failure)) => Err(not_reached(failure.reason().into())),
            Err(_) => Err(not_reached("no access token in time".into())),
        }
    }

    fn assertion(&self) -> Result<String, String> {
        let now = self.clock.now().millis() / 1000;
        let account = &self.account;
        let header = Header { alg: "RS256", typ: "JWT", kid: &account.key_id };
        let claims = Claims { iss: &account.email, scope: SCOPE, aud: &account.token_uri, iat: now, exp: now + HOUR_S };
        Ok(format!("{GRANT}{}", account.key.sign(&header, &claims)?))
    }

    fn read(&self, answer: &Answer, asked_at: Moment) -> Fetched {
        if answer.status != StatusCode::OK {
            return Err(self.denied(answer));
        }
        let wrong = || Outcome::Config { reason: "the token's address answered no access token".into() };
        let granted: Granted = serde_json::from_slice(&answer.body).map_err(|_| wrong())?;
        let mut header = HeaderValue::from_str(&format!("Bearer {}", granted.access_token)).map_err(|_| wrong())?;
        header.set_sensitive(true);
        let holds = Duration::from_secs(granted.expires_in.unwrap_or(HOUR_S));
        // One that holds for less than twice the lead is replaced at half its time.
        let replace_after = holds.saturating_sub(AHEAD).max(holds / 2);
        Ok(Arc::new(Token {
            header,
            replace_from: asked_at + replace_after,
            ends: asked_at + holds.saturating_sub(MARGIN).max(holds / 2),
        }))
    }

    /// Here a refusal is never about the message, so the table has rows of their own for these answers.
    fn denied(&self, answer: &Answer) -> Outcome {
        let denied: Option<Denied> = serde_json::from_slice(&answer.body).ok();
        let status = answer.status.as_u16();
        let (exact, class) = (format!("token {status}"), format!("token {}xx", status / 100));
        let mut codes = vec![];
        codes.extend(denied.as_ref().map(|denied| &*denied.error));
        codes.extend([&*exact, &*class]);
        let retry_after = outcome::retry_after(&answer.headers, self.clock.now());
        match self.table.judge(&Said { codes: &codes, status: answer.status, retry_after, message_id: None }) {
            Outcome::Accepted { .. } => {
                Outcome::Config { reason: "the token's address answered no access token".into() }
            }
            judged => judged,
        }
    }
}

/// The message was not sent: another provider may have it.
async fn wait(fetching: Fetching, until: Instant) -> Fetched {
    let late = |_| Err(not_reached("none in time".into()));
    tokio::time::timeout_at(until, fetching).await.unwrap_or_else(late)
}

fn not_reached(reason: Box<str>) -> Outcome {
    Outcome::Transient { reason: format!("no access token: {reason}").into(), retry_after: None, unreachable: true }
}
