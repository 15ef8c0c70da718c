//! `/v1/users/{id}/consents`: what a user consented to, by purpose. Records are added and never changed; the latest counts.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use serde::Serialize;

use super::answer::{json, named_wrongly, names, put_json, user_key};
use super::users::{creation, write};
use crate::api::auth::Caller;
use crate::api::body;
use crate::api::problem::{Kind, Problem};
use crate::api::profile::{Fields, PURPOSES_MAX, Problems, purpose, read_consent};
use crate::api::routes::Answer;
use crate::api::state::Api;
use crate::domain::{Consent, UserEntry, UserKey};
use crate::privacy::consent_history;

/// Records of one purpose that are shown.
const HISTORY_MAX: usize = 200;

#[derive(Debug, Serialize)]
struct RecordView<'a> {
    granted: bool,
    at: String,
    text_version: &'a str,
    source: &'a str,
    note: Option<&'a str>,
    recorded_at: String,
}

/// What counts of a purpose.
#[derive(Debug, Serialize)]
struct ConsentView<'a> {
    purpose: &'a str,
    #[serde(flatten)]
    record: RecordView<'a>,
    /// All records, the latest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<Vec<RecordView<'a>>>,
}

impl<'a> RecordView<'a> {
    fn new(consent: &'a Consent) -> Self {
        Self {
            granted: consent.granted,
            at: consent.at.to_string(),
            text_version: &consent.text_version,
            source: &consent.source,
            note: consent.note.as_deref(),
            recorded_at: consent.recorded_at.to_string(),
        }
    }
}

impl<'a> ConsentView<'a> {
    fn new(purpose: &'a str, consent: &'a Consent) -> Self {
        Self { purpose, record: RecordView::new(consent), history: None }
    }
}

/// What counts, of all purposes.
pub(in crate::api) async fn list(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<String>, PathRejection>,
) -> Answer {
    #[derive(Serialize)]
    struct ListView<'a> {
        data: Vec<ConsentView<'a>>,
    }
    let key = user_key(&caller, &names(path)?)?;
    let user = api.parts.users.user(&key).await?.ok_or_else(Problem::not_found)?;
    json(&ListView {
        data: user.consents.iter().map(|(purpose, consent)| ConsentView::new(purpose, consent)).collect(),
    })
}

/// What counts of one, and how it came to that.
pub(in crate::api) async fn show(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Answer {
    let (key, purpose) = place(&caller, path)?;
    let user = api.parts.users.user(&key).await?.ok_or_else(Problem::not_found)?;
    let consent = user.consents.get(&purpose).ok_or_else(Problem::not_found)?;
    let history = consent_history(&api.parts.store, &key, &purpose, HISTORY_MAX).await?;
    let history = history.iter().map(|(_, record)| RecordView::new(record)).collect();
    json(&ConsentView { history: Some(history), ..ConsentView::new(&purpose, consent) })
}

/// Writes a record down. One of what was said before what counts does not change that.
pub(in crate::api) async fn put(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<(String, String)>, PathRejection>,
    request: Request,
) -> Answer {
    let (key, purpose) = place(&caller, path)?;
    let (_, body) = body::read(&api, request, api.parts.http.max_body.as_usize()).await?;
    let mut problems = Problems::default();
    let mut fields = Fields::read(body.text()?, "").map_err(|problem| Problem::fields(vec![problem]))?;
    let said = read_consent(&mut fields, api.parts.clock.now(), &mut problems);
    fields.end(&mut problems);
    let consent = problems.or(said).map_err(Problem::fields)?.ok_or_else(|| Problem::fields(Vec::new()))?;
    let (is_new, counts) = record(&api, &key, &purpose, consent).await?;
    put_json(is_new, &ConsentView::new(&purpose, &counts))
}

/// Withdraws it: a record like the others.
pub(in crate::api) async fn withdraw(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Answer {
    let (key, purpose) = place(&caller, path)?;
    let user = api.parts.users.user(&key).await?.ok_or_else(Problem::not_found)?;
    let held = user.consents.get(&purpose).ok_or_else(Problem::not_found)?;
    if !held.granted {
        return json(&ConsentView::new(&purpose, held));
    }
    let withdrawn = Consent::withdrawn(Some(held), "api", api.parts.clock.now());
    let (_, counts) = record(&api, &key, &purpose, withdrawn).await?;
    json(&ConsentView::new(&purpose, &counts))
}

/// Whether there was nothing of the purpose before, and what counts then. Durable on return.
async fn record(api: &Api, key: &UserKey, purpose: &str, consent: Consent) -> Result<(bool, Consent), Problem> {
    let mut user = api.parts.users.user(key).await?.unwrap_or_default();
    let held = user.consents.get(purpose).cloned();
    if let Some(held) = held.as_ref().filter(|held| !consent.follows(Some(held))) {
        api.parts.users.record_consent(key, purpose, &consent).await?;
        return Ok((false, held.clone()));
    }
    if held.is_none() && user.consents.len() >= PURPOSES_MAX {
        let detail = format!("a user has at most {PURPOSES_MAX} purposes");
        return Err(Problem::new(Kind::BadRequest, detail));
    }
    let entry = UserEntry::Consent { purpose: purpose.into(), consent: Some(consent.clone()) };
    let entries = [entry].into_iter().chain(creation(&user, api.parts.clock.now())).collect();
    write(api, key, &mut user, entries).await?;
    Ok((held.is_none(), consent))
}

fn place(caller: &Caller, path: Result<Path<(String, String)>, PathRejection>) -> Result<(UserKey, Box<str>), Problem> {
    let (id, name) = names(path)?;
    let purpose = purpose(&name).map_err(|detail| named_wrongly("purpose", &detail))?;
    Ok((user_key(caller, &id)?, purpose))
}
