//! `/v1/suppressions`: addresses that nothing is sent to, whoever asks.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::answer::{answer_once, json, named_wrongly, names, put_json, query, written};
use crate::api::auth::Caller;
use crate::api::body;
use crate::api::paging::{self, Page};
use crate::api::problem::{Kind, Problem};
use crate::api::profile::{self, Fields, Problems, SuppressionSaid, SuppressionTerms};
use crate::api::retry_key::RetryKey;
use crate::api::routes::Answer;
use crate::api::state::Api;
use crate::domain::{AddressKind, SuppressedAddress, Suppression, Timestamp};
use crate::store::SuppressionPlace;

#[derive(Debug, Serialize)]
struct SuppressionView {
    kind: &'static str,
    /// Null once the person was erased whose it was.
    address: Option<Box<str>>,
    reason: &'static str,
    since: String,
    /// Null: it never ends.
    until: Option<String>,
    /// Whether it holds now.
    active: bool,
}

impl SuppressionView {
    fn new(kind: AddressKind, suppression: Suppression, now: Timestamp) -> Self {
        Self {
            kind: kind.name(),
            active: suppression.holds(now),
            address: suppression.address,
            reason: suppression.cause.name(),
            since: suppression.since.to_string(),
            until: suppression.until.map(|until| until.to_string()),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct ListQuery {
    limit: Option<usize>,
    cursor: Option<String>,
}

/// In an order that never changes, and says nothing.
pub(in crate::api) async fn list(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    parameters: Result<Query<ListQuery>, QueryRejection>,
) -> Answer {
    let ListQuery { limit, cursor } = query(parameters)?;
    let limit = paging::limit(limit)?;
    let after = paging::read_cursor(cursor.as_deref(), |text| {
        SuppressionPlace::from_bytes(&URL_SAFE_NO_PAD.decode(text).ok()?)
    })?;
    let mut listed = api.parts.users.all_suppressions(&caller.tenant, after, limit + 1).await?;
    let has_more = listed.len() > limit;
    listed.truncate(limit);
    let last = listed.last().filter(|_| has_more);
    let next_cursor = last.map(|last| paging::cursor(&URL_SAFE_NO_PAD.encode(last.place.as_bytes())));
    let now = api.parts.clock.now();
    let views = listed.into_iter().map(|one| SuppressionView::new(one.place.kind(), one.suppression, now));
    json(&Page { data: views.collect(), next_cursor })
}

/// `POST /v1/suppressions`: the address stands in the body, and so in no log of addresses that were called.
pub(in crate::api) async fn create(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Answer {
    let (head, body) = body::read(&api, request, api.parts.http.max_body.as_usize()).await?;
    let key = RetryKey::read(&head.headers, &caller.tenant, "POST /v1/suppressions", &body.bytes)?;
    answer_once(&api, key, async || {
        let mut problems = Problems::default();
        let fields = Fields::read(body.text()?, "").map_err(|problem| Problem::fields(vec![problem]))?;
        let said = SuppressionSaid::read(fields, api.parts.clock.now(), &mut problems);
        let said = problems.or(said).map_err(Problem::fields)?.ok_or_else(Problem::not_found)?;
        let (_, view) = suppress(&api, &caller, said).await?;
        written(&view)
    })
    .await
}

/// The address of a path, and in the form in which it is shown.
fn read_path(
    caller: &Caller,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<(SuppressedAddress, Box<str>), Problem> {
    let (kind, address) = names(path)?;
    let kind = AddressKind::parse(&kind).ok_or_else(|| {
        let names = AddressKind::ALL.map(AddressKind::name).join(" or ");
        Problem::new(Kind::BadRequest, format!("the kind in the address must be {names}"))
    })?;
    let text = match kind {
        AddressKind::Email => profile::email(&address),
        AddressKind::Phone => profile::phone(&address),
    };
    let text = text.map_err(|detail| named_wrongly(kind.name(), detail))?;
    Ok((SuppressedAddress::new(&caller.tenant, kind, &text), text))
}

pub(in crate::api) async fn show(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Answer {
    let (address, _) = read_path(&caller, path)?;
    let held = held(&api, &address).await?.ok_or_else(Problem::not_found)?;
    json(&SuppressionView::new(address.kind, held, api.parts.clock.now()))
}

/// PUT: the body may be empty.
pub(in crate::api) async fn put(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<(String, String)>, PathRejection>,
    request: Request,
) -> Answer {
    let (address, text) = read_path(&caller, path)?;
    let (_, body) = body::read(&api, request, api.parts.http.max_body.as_usize()).await?;
    let mut problems = Problems::default();
    let object = if body.bytes.trim_ascii().is_empty() { "{}" } else { body.text()? };
    let mut fields = Fields::read(object, "").map_err(|problem| Problem::fields(vec![problem]))?;
    let terms = SuppressionTerms::read(&mut fields, api.parts.clock.now(), &mut problems);
    fields.end(&mut problems);
    let terms = problems.or(terms).map_err(Problem::fields)?;
    let said = SuppressionSaid { kind: address.kind, text, terms };
    let (is_new, view) = suppress(&api, &caller, said).await?;
    put_json(is_new, &view)
}

pub(in crate::api) async fn lift(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Answer {
    #[derive(Serialize)]
    struct LiftedView {
        kind: &'static str,
        address: Box<str>,
        status: &'static str,
    }
    let (address, text) = read_path(&caller, path)?;
    held(&api, &address).await?.ok_or_else(Problem::not_found)?;
    let kind = address.kind.name();
    api.parts.users.write_suppressions(vec![(address, None)]).await?;
    json(&LiftedView { kind, address: text, status: "lifted" })
}

async fn held(api: &Api, address: &SuppressedAddress) -> Result<Option<Suppression>, Problem> {
    Ok(api.parts.users.suppressions(std::slice::from_ref(address)).await?.pop().flatten())
}

/// Writes it; whether there was none before.
async fn suppress(api: &Api, caller: &Caller, said: SuppressionSaid) -> Result<(bool, SuppressionView), Problem> {
    let (address, kind) = (said.address(&caller.tenant), said.kind);
    let now = api.parts.clock.now();
    let before = held(api, &address).await?;
    let suppression = said.suppression(before.as_ref(), now);
    api.parts.users.write_suppressions(vec![(address, Some(suppression.clone()))]).await?;
    Ok((before.is_none(), SuppressionView::new(kind, suppression, now)))
}
