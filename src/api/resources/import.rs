//! `POST /v1/users/import`: users and suppressions, one a line (NDJSON), as many as there are. Followers of a subject come the same
//! way.
//!
//! The answer is lines of JSON too, and comes while the body is still being sent: a line for each that was refused, one
//! for every ten thousand lines, and one at the end, which says `done` or has an `error`. Without the end the import broke off;
//! lines that were taken stay, and sending all of them again changes nothing about those.
//!
//! A user's line is taken as PATCH takes a body: what it does not say stays; one with `suppression` as POST /v1/suppressions takes
//! its body. Lines of one user, and of one address, count in their order. What is read and
//! not written yet is bounded by [`CHUNK_LINES`] and [`CHUNK_BYTES`]; while a chunk is written nothing more is read, and so the
//! sender waits.

mod followers;
pub(super) mod lines;
mod report;
mod suppressions;

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, BodyDataStream};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::sync::OwnedSemaphorePermit;
use xxhash_rust::xxh3::Xxh3;

use crate::api::auth::Caller;
use crate::api::body;
use crate::api::problem::{Kind, Problem};
use crate::api::profile::{ImportLine, SuppressionSaid, UserLine};
use crate::api::retry_key::RetryKey;
use crate::api::routes::Answer;
use crate::api::state::Api;
use crate::domain::{User, UserKey};
use crate::intake::FieldProblem;
use crate::users::KnownChange;
use lines::{Line, Lines};
use report::Report;

/// Lines that are read and written together: enough to share an fsync, or to keep a database busy.
const CHUNK_LINES: usize = 512;
/// Of lines that wait to be written.
const CHUNK_BYTES: usize = 1 << 20;
/// Lines that are read before others get their turn: below half a millisecond.
const LINES_PER_TURN: usize = 32;

/// For so long more lines are waited for while some are there.
const GATHER_WAIT: Duration = Duration::from_millis(20);

const CALL: &str = "POST /v1/users/import";

pub(in crate::api) async fn create(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Answer {
    begin(api, caller, request, CALL, Taker::Users).await
}

/// What the lines are of.
pub(super) enum Taker {
    Users,
    Followers { subject: Box<str> },
}

/// Answers line by line; `call` is what a retry key is for.
pub(super) async fn begin(api: Arc<Api>, caller: Caller, request: Request, call: &str, taker: Taker) -> Answer {
    let (head, body) = request.into_parts();
    body::check_lines(&head.headers)?;
    let key = RetryKey::read(&head.headers, &caller.tenant, call, b"")?;
    let busy = |_| Problem::unavailable("other imports are under way: wait for one to end", Duration::from_secs(5));
    let place = api.imports.clone().try_acquire_owned().map_err(busy)?;
    let wait = api.parts.http.request_timeout;
    let mut import = Import {
        is_repeated: key.is_some_and(|key| api.answers.is_known(key)),
        taker,
        tenant: caller.tenant,
        key,
        body: body.into_data_stream(),
        is_read: false,
        hash: Xxh3::new(),
        lines: Lines::new(api.parts.http.max_body.as_usize()),
        waiting: Vec::new(),
        report: Report::default(),
        api,
        _place: place,
    };
    // Before the head of the answer: who waits to be told to go on (`Expect: 100-continue`) is told by this.
    if matches!(import.read(wait).await?, Came::Nothing) {
        return Err(too_slow());
    }
    let answer = stream::unfold(Some(import), |import| async move {
        let (said, rest) = import?.go_on().await;
        Some((Ok::<Bytes, Infallible>(said), rest))
    });
    let mut response = Response::new(Body::from_stream(answer));
    *response.status_mut() = StatusCode::OK;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    Ok(response)
}

/// What came of waiting for more of a body: its end is something, too.
enum Came {
    Something,
    Nothing,
}

/// An import under way.
struct Import {
    api: Arc<Api>,
    taker: Taker,
    tenant: Arc<str>,
    key: Option<RetryKey>,
    /// The same key was answered before: nothing is written, only whether it is the same body is looked at.
    is_repeated: bool,
    body: BodyDataStream,
    /// The body has ended.
    is_read: bool,
    hash: Xxh3,
    lines: Lines,
    waiting: Vec<Line>,
    report: Report,
    _place: OwnedSemaphorePermit,
}

impl Import {
    /// Works until there is something to say; with it what is left to do.
    async fn go_on(mut self) -> (Bytes, Option<Self>) {
        loop {
            let outcome = self.step().await;
            let is_over = outcome.is_err() || (self.is_read && self.waiting.is_empty());
            match outcome {
                Err(problem) => self.report.fail(&problem),
                Ok(()) if is_over => self.end(),
                Ok(()) => {}
            }
            if let Some(said) = self.report.take() {
                return (said, (!is_over).then_some(self));
            }
        }
    }

    /// A chunk: read and written.
    async fn step(&mut self) -> Result<(), Problem> {
        self.fill().await?;
        let lines = std::mem::take(&mut self.waiting);
        if self.is_repeated {
            return Ok(());
        }
        match &self.taker {
            Taker::Users => self.take(lines).await,
            Taker::Followers { subject } => {
                followers::take(&self.api, &self.tenant, subject, &lines, &mut self.report).await
            }
        }
    }

    /// Reads until a chunk waits, nothing more comes at once, or the body ends.
    async fn fill(&mut self) -> Result<(), Problem> {
        let mut bytes: usize = self.waiting.iter().map(Line::bytes).sum();
        while !self.is_read && self.waiting.len() < CHUNK_LINES && bytes < CHUNK_BYTES {
            let before = self.waiting.len();
            let wait = if before == 0 { self.api.parts.http.request_timeout } else { GATHER_WAIT };
            match self.read(wait).await? {
                Came::Something => {}
                // What is there is written; the next call waits for more.
                Came::Nothing if before > 0 => break,
                Came::Nothing => return Err(too_slow()),
            }
            bytes += self.waiting[before..].iter().map(Line::bytes).sum::<usize>();
        }
        Ok(())
    }

    /// Reads what comes next of the body, waiting so long at most.
    async fn read(&mut self, wait: Duration) -> Result<Came, Problem> {
        match tokio::time::timeout(wait, self.body.next()).await {
            Err(_) => return Ok(Came::Nothing),
            Ok(Some(Err(error))) => {
                tracing::debug!(%error, "the body of an import broke off");
                return Err(Problem::new(Kind::BadRequest, "the body broke off"));
            }
            Ok(Some(Ok(part))) => {
                self.hash.update(&part);
                self.lines.push(&part, &mut self.waiting);
            }
            Ok(None) => {
                self.is_read = true;
                self.waiting.extend(self.lines.end());
            }
        }
        Ok(Came::Something)
    }

    /// Writes what the lines change, and notes down those that are refused.
    async fn take(&mut self, lines: Vec<Line>) -> Result<(), Problem> {
        let now = self.api.parts.clock.now();
        let mut read: Vec<(u64, UserLine<'_>)> = Vec::with_capacity(lines.len());
        let mut suppressions: Vec<SuppressionSaid> = Vec::new();
        for (place, line) in lines.iter().enumerate() {
            if place > 0 && place.is_multiple_of(LINES_PER_TURN) {
                tokio::task::yield_now().await;
            }
            match line.text().and_then(|text| ImportLine::read(text, &self.api.parts.categories, now)) {
                Ok(ImportLine::User(user)) => read.push((line.number, *user)),
                Ok(ImportLine::Suppression(said)) => suppressions.push(said),
                Err(problems) => self.report.refuse(line.number, &problems),
            }
        }
        let mut users = users_of(&self.api, &self.tenant, &read).await?;
        let mut changes: Vec<KnownChange> = Vec::with_capacity(read.len());
        let mut taken = 0;
        for (number, line) in &read {
            let (key, user) = users.get_mut(&line.id).expect("all were asked for");
            match line.entries(user, now) {
                Ok(entries) => {
                    taken += 1;
                    // Also where nothing changes: the user may come from before there were indexes.
                    changes.push(KnownChange::of(key.clone(), entries, user));
                    let written = changes.last().into_iter().flat_map(|change| change.entries.iter().cloned());
                    written.for_each(|entry| user.apply(entry));
                }
                Err(problems) => self.report.refuse(*number, &problems),
            }
        }
        self.api.parts.users.write_known(changes).await?;
        let suppressed = suppressions.len() as u64;
        suppressions::write(&self.api, &self.tenant, suppressions, now).await?;
        self.report.take_up_to(lines.last().map_or(0, |line| line.number), taken, suppressed);
        Ok(())
    }

    /// All is read and written.
    fn end(&mut self) {
        let key = self.key.map(|key| key.with_body(self.hash.digest()));
        match key.filter(|_| self.is_repeated).map(|key| self.api.answers.find(key)) {
            Some(Err(problem)) => self.report.fail(&problem),
            Some(Ok(Some(answer))) => self.report.repeat(&answer),
            // Forgotten meanwhile; nothing was written, and the caller must know.
            Some(Ok(None)) => {
                let detail = "what this `Idempotency-Key` was answered is no longer known: send it again";
                self.report.fail(&Problem::unavailable(detail, Duration::from_secs(1)));
            }
            None => {
                let answer = self.report.done();
                if let Some(key) = key {
                    self.api.answers.keep(key, answer);
                }
            }
        }
    }
}

/// What is known of all users of a chunk, asked for at once.
async fn users_of(
    api: &Api,
    tenant: &str,
    read: &[(u64, UserLine<'_>)],
) -> Result<HashMap<Box<str>, (UserKey, User)>, Problem> {
    let mut users: HashMap<Box<str>, (UserKey, User)> = HashMap::with_capacity(read.len());
    for (_, line) in read {
        let key = || UserKey { tenant: tenant.into(), user_id: line.id.clone() };
        users.entry(line.id.clone()).or_insert_with(|| (key(), User::default()));
    }
    let keys: Vec<UserKey> = users.values().map(|(key, _)| key.clone()).collect();
    let found = api.parts.users.users(&keys).await?;
    for (key, user) in keys.into_iter().zip(found) {
        if let (Some(user), Some(entry)) = (user, users.get_mut(&key.user_id)) {
            entry.1 = user;
        }
    }
    Ok(users)
}

fn too_slow() -> Problem {
    Problem::new(Kind::Timeout, "nothing more came of the body, and it has not ended")
}

/// A line that could not even be looked at.
fn refused(detail: String) -> Vec<FieldProblem> {
    vec![FieldProblem::new("", detail)]
}
