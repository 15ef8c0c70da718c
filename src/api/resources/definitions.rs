//! What people define by hand, event types, rules and schedules alike: listed, shown, saved and deleted. Whoever changes one says in `If-Match` in
//! which state they saw it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::answer::{json, names, once, query, raw_json, written};
use crate::api::auth::Caller;
use crate::api::body;
use crate::api::paging::{self, Page};
use crate::api::precondition::{condition, etag};
use crate::api::problem::{FieldView, Kind, Problem};
use crate::api::retry_key::RetryKey;
use crate::api::routes::Answer;
use crate::api::state::Api;
use crate::audience::{DefinitionError, Definitions, Known, Origin, Saved};
use crate::domain::{Definition, DefinitionKind};
use crate::intake::{FieldProblem, json_fields_once};
use crate::templates::Condition;

/// Definitions of one kind, and where they stand.
pub(in crate::api) trait Shelf: Send + Sync + 'static {
    const KIND: DefinitionKind;
    const PATH: &'static str;
    /// Names that are addresses of other calls.
    const RESERVED: &'static [&'static str];

    /// What is wrong with a definition that only its own stage can see; empty: nothing.
    fn judge(api: &Api, tenant: &str, name: &str, body: &str) -> impl Future<Output = Vec<FieldProblem>> + Send {
        let _ = (api, tenant, name, body);
        async { Vec::new() }
    }

    /// What is shown of one besides.
    fn besides(api: &Api, known: &Known) -> Map<String, Value> {
        let _ = (api, known);
        Map::new()
    }
}

async fn judged<S: Shelf>(api: &Api, caller: &Caller, name: &str, body: &str) -> Result<(), Problem> {
    // First what costs little: the rest may be work in proportion to the text.
    let mut problems = Definitions::judge_form(S::KIND, name, body);
    if problems.is_empty() {
        problems = S::judge(api, &caller.tenant, name, body).await;
    }
    if problems.is_empty() { Ok(()) } else { Err(Problem::fields(problems)) }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct ListQuery {
    origin: Option<String>,
    active: Option<bool>,
    limit: Option<usize>,
    cursor: Option<String>,
}

/// By name.
pub(in crate::api) async fn list<S: Shelf>(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    parameters: Result<Query<ListQuery>, QueryRejection>,
) -> Answer {
    let ListQuery { origin, active, limit, cursor } = query(parameters)?;
    let limit = paging::limit(limit)?;
    let after = paging::read_cursor(cursor.as_deref(), |name| Some(name.to_owned()))?;
    let origin = origin.as_deref().map(read_origin).transpose()?;
    let known = api.parts.definitions.list(&caller.tenant, S::KIND);
    let wanted = known.iter().filter(|known| {
        after.as_ref().is_none_or(|after| *known.definition.name > **after)
            && origin.is_none_or(|origin| known.origin == origin)
    });
    let views = wanted.map(DefinitionView::new).filter(|view| active.is_none_or(|active| view.active == active));
    json(&Page::of(views, limit, |last| last.name.to_owned()))
}

fn read_origin(name: &str) -> Result<Origin, Problem> {
    let found = [Origin::Shipped, Origin::Saved].into_iter().find(|origin| origin_name(*origin) == name);
    found.ok_or_else(|| Problem::new(Kind::BadRequest, "`origin` must be one of: shipped, saved"))
}

fn origin_name(origin: Origin) -> &'static str {
    match origin {
        Origin::Shipped => "shipped",
        Origin::Saved => "saved",
    }
}

/// What a list says of a definition.
#[derive(Debug, Serialize)]
struct DefinitionView<'a> {
    name: &'a str,
    /// 0: it ships.
    version: u64,
    origin: &'static str,
    /// Whether it is in force: nothing is wrong with it, and it is not switched off.
    active: bool,
    problems: Vec<FieldView<'a>>,
    description: Option<String>,
    /// Of a rule: the event type that it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<String>,
    /// Null: it ships.
    changed_at: Option<String>,
    /// As the header `ETag`.
    etag: String,
}

impl<'a> DefinitionView<'a> {
    fn new(known: &'a Known) -> Self {
        /// What is looked at here; whoever wants the rest reads the definition.
        #[derive(Default, Deserialize)]
        struct Said {
            description: Option<String>,
            event: Option<String>,
            active: Option<bool>,
        }
        let Known { definition, origin, problems } = known;
        let said: Said = serde_json::from_str(text(definition)).unwrap_or_default();
        Self {
            name: &definition.name,
            version: definition.version,
            origin: origin_name(*origin),
            active: problems.is_empty() && said.active != Some(false),
            problems: FieldView::all(problems),
            description: said.description,
            event: said.event,
            changed_at: (*origin == Origin::Saved).then(|| definition.changed_at.to_string()),
            etag: format!("\"{}\"", definition.version),
        }
    }
}

fn text(definition: &Definition) -> &str {
    definition.body.as_deref().unwrap_or("{}")
}

pub(in crate::api) async fn show<S: Shelf>(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<String>, PathRejection>,
) -> Answer {
    #[derive(Serialize)]
    struct WholeView<'a> {
        #[serde(flatten)]
        view: DefinitionView<'a>,
        #[serde(flatten)]
        besides: Map<String, Value>,
        definition: &'a RawValue,
    }
    let mut known = held::<S>(&api, &caller, &names(path)?).ok_or_else(Problem::not_found)?;
    known.problems.extend(S::judge(&api, &caller.tenant, &known.definition.name, text(&known.definition)).await);
    let unreadable = |_| Problem::new(Kind::Internal, "the definition cannot be read");
    let definition = serde_json::from_str(text(&known.definition)).map_err(unreadable)?;
    let (view, besides) = (DefinitionView::new(&known), S::besides(&api, &known));
    tagged(StatusCode::OK, known.definition.version, &WholeView { view, besides, definition })
}

pub(super) fn held<S: Shelf>(api: &Api, caller: &Caller, name: &str) -> Option<Known> {
    api.parts.definitions.get(&caller.tenant, S::KIND, name)
}

/// What a change came to.
#[derive(Debug, Serialize)]
struct SavedView<'a> {
    name: &'a str,
    version: u64,
    etag: String,
}

impl<'a> SavedView<'a> {
    fn new(saved: &'a Saved) -> Self {
        let Definition { name, version, .. } = &saved.known.definition;
        Self { name, version: *version, etag: format!("\"{version}\"") }
    }
}

/// POST: refused where something is saved under the name.
pub(in crate::api) async fn create<S: Shelf>(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Answer {
    let (head, body) = body::read(&api, request, api.parts.http.max_body.as_usize()).await?;
    let key = RetryKey::read(&head.headers, &caller.tenant, &format!("POST {}", S::PATH), &body.bytes)?;
    let answer = once(&api, key, async || {
        let (name, body) = named(body.text()?)?;
        let name = name.ok_or_else(|| Problem::fields(vec![FieldProblem::new("/name", "is required")]))?;
        if S::RESERVED.contains(&&*name) {
            let detail = format!("cannot be `{name}`, which is another call: take another one");
            return Err(Problem::fields(vec![FieldProblem::new("/name", detail)]));
        }
        if held::<S>(&api, &caller, &name).is_some_and(|known| known.origin == Origin::Saved) {
            return Err(exists::<S>(&name));
        }
        judged::<S>(&api, &caller, &name, &body).await?;
        let saved = api.parts.definitions.put(&caller.tenant, S::KIND, &name, &body, Some(0)).await;
        let saved = saved.map_err(|error| match error {
            DefinitionError::Changed(_) => exists::<S>(&name),
            error => error.into(),
        })?;
        written(&SavedView::new(&saved))
    });
    Ok(dressed::<S>(answer.await?))
}

fn exists<S: Shelf>(name: &str) -> Problem {
    Problem::new(Kind::State, format!("the {} `{name}` is saved already: change it with PUT", S::KIND.name()))
}

/// 201 with the headers that say again what the body says, so that an answer is kept by its body alone.
fn dressed<S: Shelf>(body: bytes::Bytes) -> Response {
    #[derive(Deserialize)]
    struct Said {
        name: String,
        etag: String,
    }
    let said = serde_json::from_slice::<Said>(&body);
    let mut response = raw_json(StatusCode::CREATED, body);
    let Ok(Said { name, etag }) = said else { return response };
    // A name has no character that would have to be escaped.
    for (header, value) in [(header::ETAG, etag), (header::LOCATION, format!("{}/{name}", S::PATH))] {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(header, value);
        }
    }
    response
}

/// PUT: a new version, or the first one.
pub(in crate::api) async fn put<S: Shelf>(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Answer {
    let name = names(path)?;
    let (head, body) = body::read(&api, request, api.parts.http.max_body.as_usize()).await?;
    let (said, body) = named(body.text()?)?;
    if said.is_some_and(|said| *said != *name) {
        let problem = FieldProblem::new("/name", "is another than in the address");
        return Err(Problem::fields(vec![problem]));
    }
    let expected = expected::<S>(&api, &caller, &head.headers, &name)?;
    judged::<S>(&api, &caller, &name, &body).await?;
    let saved = api.parts.definitions.put(&caller.tenant, S::KIND, &name, &body, expected).await?;
    let status = if saved.created { StatusCode::CREATED } else { StatusCode::OK };
    tagged(status, saved.known.definition.version, &SavedView::new(&saved))
}

pub(in crate::api) async fn delete<S: Shelf>(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Answer {
    #[derive(Serialize)]
    struct DeletedView<'a> {
        name: &'a str,
        status: &'static str,
    }
    let name = names(path)?;
    if held::<S>(&api, &caller, &name).is_none() {
        return Err(Problem::not_found());
    }
    let expected = expected::<S>(&api, &caller, &headers, &name)?;
    api.parts.definitions.delete(&caller.tenant, S::KIND, &name, expected).await?;
    json(&DeletedView { name: &name, status: "deleted" })
}

/// The version that a change is to replace, from the headers.
fn expected<S: Shelf>(api: &Api, caller: &Caller, headers: &HeaderMap, name: &str) -> Result<Option<u64>, Problem> {
    let condition = condition(headers)?;
    if condition == Condition::Any {
        return Ok(None);
    }
    let known = held::<S>(api, caller, name).map(|known| (known.definition.version, known.origin));
    match (condition, known) {
        (Condition::IsThere, Some((version, _))) => Ok(Some(version)),
        (Condition::IsAt(versions), Some((version, _))) if versions.contains(&version) => Ok(Some(version)),
        (Condition::NothingSaved, None | Some((_, Origin::Shipped))) => Ok(Some(0)),
        (_, Some((version, _))) => Err(DefinitionError::Changed(version).into()),
        (_, None) => Err(Problem::new(Kind::Precondition, "there is none of this name")),
    }
}

/// The name in a body, if there is one, and the rest of it, which is the definition.
fn named(text: &str) -> Result<(Option<Box<str>>, String), Problem> {
    let wrong = |problem| Problem::fields(vec![problem]);
    let mut fields: BTreeMap<String, &RawValue> = json_fields_once(text).map_err(wrong)?;
    let Some(name) = fields.remove("name") else { return Ok((None, text.to_owned())) };
    let name = serde_json::from_str(name.get());
    let name = name.map_err(|_| wrong(FieldProblem::new("/name", "must be a text")))?;
    let rest = serde_json::to_string(&fields);
    rest.map(|rest| (Some(name), rest)).map_err(|_| Problem::new(Kind::Internal, "the body cannot be written again"))
}

/// JSON with the tag of the definition's state.
fn tagged(status: StatusCode, version: u64, view: &impl Serialize) -> Answer {
    let mut response: Response = json(view)?;
    *response.status_mut() = status;
    response.headers_mut().insert(header::ETAG, etag(version));
    Ok(response)
}
