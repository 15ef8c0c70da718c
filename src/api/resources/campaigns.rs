//! `/v1/campaigns`: one message to many people, begun, looked at, held and ended.

mod body;
mod control;
mod missed;
mod view;

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};

pub(in crate::api) use control::{cancel, pause, resume};
pub(in crate::api) use missed::missed;

use super::answer::{held_key, id, json, query};
use super::batch::{INLINE_BYTES_MAX, beside};
use crate::api::auth::Caller;
use crate::api::fresh::fresh_number;
use crate::api::paging::{self, Page};
use crate::api::problem::{Kind, Problem};
use crate::api::retry_key::RetryKey;
use crate::api::routes::Answer;
use crate::api::state::Api;
use crate::campaigns::{Begun, Known, ListMember, OPEN_MAX, SavedList, Upload, list_id};
use crate::domain::{Audience, Campaign, CampaignId, CampaignKind, Categories, Timestamp};
use crate::intake::{ContentCheck, FieldProblem};
use body::{Reading, Said};
use view::{CampaignView, status};

/// Members that are written together.
const CHUNK_MEMBERS: usize = 1000;
/// Campaigns that one call for a list looks at.
const LOOKED_AT_MAX: usize = 2000;

#[derive(Debug, Serialize)]
struct BegunView {
    id: String,
    /// Null: it is counted first.
    total: Option<u64>,
    status: &'static str,
    created_at: String,
}

/// POST: 202 once it is durable.
pub(in crate::api) async fn create(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Answer {
    // Ids by the thousand are as large as a batch.
    let limit = api.parts.http.max_batch_body.as_usize();
    let (head, body) = crate::api::body::read(&api, request, limit).await?;
    let key = RetryKey::read(&head.headers, &caller.tenant, "POST /v1/campaigns", &body.bytes)?;
    let id = CampaignId(key.map_or_else(fresh_number, |key| Ok(key.number()))?);
    let body_hash = key.map_or(0, RetryKey::body_hash);
    let _held = held_key(&api, key).await?;
    if key.is_some()
        && let Some(known) = api.parts.campaigns.get(&caller.tenant, id).await?
    {
        return again(&api, known.campaign, body_hash).await;
    }
    let (reader, tenant) = (api.clone(), caller.tenant.clone());
    let takes_long = body.bytes.len() > INLINE_BYTES_MAX;
    let said = beside(takes_long, move || {
        let parts = &reader.parts;
        let (contents, categories) = (&*parts.contents, &*parts.categories);
        Said::read(Reading { tenant: &tenant, now: parts.clock.now(), contents, categories }, body.text()?)
    });
    let said = said.await?;
    let (campaign, users) = said.into_campaign(&caller.tenant, id, body_hash, api.parts.clock.now());
    if !api.parts.campaigns.has_room(&caller.tenant).await? {
        let detail = format!("{OPEN_MAX} campaigns are not over yet: wait for one to end, or cancel one");
        return Err(Problem::new(Kind::TooMany, detail));
    }
    let (total, upload) = audience(&api, &campaign, &users).await?;
    let _place = api.event_place()?;
    let outcome = api.parts.campaigns.begin(&campaign).await?;
    if let Some(upload) = upload {
        api.parts.lists.ended(&upload).await?;
    }
    match outcome {
        Begun::New => begun(&api, &campaign, total).await,
        Begun::Known(known) => again(&api, *known, body_hash).await,
    }
}

/// A campaign as a schedule asks for it: the body of the call, under an id that is given. Its users are a list.
pub fn read_campaign(
    text: &str,
    (tenant, id): (&str, CampaignId),
    now: Timestamp,
    contents: &dyn ContentCheck,
    categories: &Categories,
) -> Result<Campaign, Vec<FieldProblem>> {
    let said = Said::read(Reading { tenant, now, contents, categories }, text).map_err(Problem::into_fields)?;
    let (campaign, users) = said.into_campaign(tenant, id, 0, now);
    if users.is_empty() {
        return Ok(campaign);
    }
    let detail = "come again with each run: upload them once with POST /v1/lists, and give `audience.list`";
    Err(vec![FieldProblem::new("/user_ids", detail)])
}

/// What was answered before.
async fn again(api: &Api, campaign: Campaign, body_hash: u64) -> Answer {
    if campaign.body_hash != body_hash {
        let detail = "this `Idempotency-Key` was used before with another body: use a new key";
        return Err(Problem::new(Kind::Conflict, detail));
    }
    let total = match &campaign.audience {
        Audience::List { list } => api.parts.lists.find(&campaign.tenant, list).await?.map(|list| list.members),
        _ => None,
    };
    begun(api, &campaign, total).await
}

async fn begun(api: &Api, campaign: &Campaign, total: Option<u64>) -> Answer {
    let known = api.parts.campaigns.get(&campaign.tenant, campaign.id).await?.ok_or_else(Problem::not_found)?;
    let view = BegunView {
        id: campaign.id.to_string(),
        total: known.progress.total.or(total),
        status: status(&known),
        created_at: campaign.made_at.to_string(),
    };
    let mut response: Response = json(&view)?;
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}

/// How many there are, if it is known before they are counted; ids that came with the campaign are a list afterwards.
async fn audience(
    api: &Api,
    campaign: &Campaign,
    users: &[Box<str>],
) -> Result<(Option<u64>, Option<Upload>), Problem> {
    let Audience::List { list } = &campaign.audience else { return Ok((None, None)) };
    let wrong = |pointer: &'static str, detail: String| Problem::unusable(vec![FieldProblem::new(pointer, detail)]);
    let (members, upload) = match users {
        [] => {
            let known = api.parts.lists.get(&campaign.tenant, list).await?;
            let none = || wrong("/audience/list", "is no list that is here: POST /v1/lists makes one".to_owned());
            (known.ok_or_else(none)?.members, None)
        }
        users => write_users(api, campaign, list, users).await?,
    };
    if members == 0 {
        return Err(wrong("/audience/list", "has no members: nobody would be told".to_owned()));
    }
    if let Some(ceiling) = campaign.ceiling.filter(|ceiling| members > *ceiling) {
        return Err(beyond(ceiling, members));
    }
    Ok((Some(members), upload))
}

fn beyond(ceiling: u64, members: u64) -> Problem {
    let detail = format!("is {ceiling}, and the audience has {members} members");
    Problem::unusable(vec![FieldProblem::new("/ceiling", detail)])
}

/// The members, and the note that they are written for a campaign that is not there yet.
async fn write_users(
    api: &Api,
    campaign: &Campaign,
    list: &str,
    users: &[Box<str>],
) -> Result<(u64, Option<Upload>), Problem> {
    let mut distinct: Vec<&str> = users.iter().map(|user| &**user).collect();
    distinct.sort_unstable();
    distinct.dedup();
    if let Some(ceiling) = campaign.ceiling.filter(|ceiling| distinct.len() as u64 > *ceiling) {
        return Err(beyond(ceiling, distinct.len() as u64));
    }
    let upload = api.parts.lists.begin(&campaign.tenant, list, Some(campaign.id)).await?;
    for chunk in distinct.chunks(CHUNK_MEMBERS) {
        let member = |user: &&str| ListMember { user_id: Some((*user).into()), ..ListMember::default() };
        let members: Vec<ListMember> = chunk.iter().map(member).collect();
        api.parts.lists.put(&campaign.tenant, list, &members).await?;
    }
    let saved = SavedList {
        id: list.into(),
        name: None,
        members: distinct.len() as u64,
        bytes: distinct.iter().map(|user| user.len() as u64).sum(),
        created_at: campaign.made_at,
        body_hash: campaign.body_hash,
    };
    api.parts.lists.complete_of_campaign(&campaign.tenant, &saved).await?;
    Ok((saved.members, Some(upload)))
}

/// The list that ids become which come with a campaign. Other ids under the same retry key are another list: what a call that was refused
/// left behind is nobody's.
fn list_of(id: CampaignId, body_hash: u64) -> Box<str> {
    list_id(id.0 ^ u128::from(body_hash))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct ListQuery {
    kind: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

/// Newest first.
pub(in crate::api) async fn list(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    parameters: Result<Query<ListQuery>, QueryRejection>,
) -> Answer {
    let ListQuery { kind, limit, cursor } = query(parameters)?;
    let limit = paging::limit(limit)?;
    let kind = kind.as_deref().map(read_kind).transpose()?;
    let mut after: Option<Box<[u8]>> = paging::read_cursor(cursor.as_deref(), read_place)?;
    let (mut data, mut looked_at, mut has_more) = (Vec::new(), 0, true);
    while has_more && data.len() < limit && looked_at < LOOKED_AT_MAX {
        // One more than is shown, to see whether there is another page.
        let wanted = limit - data.len() + 1;
        let mut found = api.parts.campaigns.list(&caller.tenant, after.as_deref(), wanted).await?;
        has_more = found.len() == wanted;
        found.truncate(wanted - 1);
        looked_at += found.len();
        after = found.last().map(|(place, _)| place.clone()).or(after);
        let is_wanted = |known: &Known| kind.is_none_or(|kind| known.campaign.kind == kind);
        data.extend(found.into_iter().map(|(_, known)| known).filter(is_wanted));
    }
    let next_cursor = after.filter(|_| has_more).map(|place| paging::cursor(&write_place(&place)));
    json(&Page { data: data.iter().map(CampaignView::new).collect(), next_cursor })
}

fn read_kind(name: &str) -> Result<CampaignKind, Problem> {
    let names = CampaignKind::ALL.map(CampaignKind::name).join(", ");
    let found = CampaignKind::ALL.into_iter().find(|kind| kind.name() == name);
    found.ok_or_else(|| Problem::new(Kind::BadRequest, format!("`kind` must be one of: {names}")))
}

fn write_place(place: &[u8]) -> String {
    place.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read_place(text: &str) -> Option<Box<[u8]>> {
    if text.is_empty() || !text.len().is_multiple_of(2) || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

pub(in crate::api) async fn show(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<String>, PathRejection>,
) -> Answer {
    json(&CampaignView::new(&held(&api, &caller, id(path)?).await?))
}

async fn held(api: &Api, caller: &Caller, id: CampaignId) -> Result<Known, Problem> {
    api.parts.campaigns.get(&caller.tenant, id).await?.ok_or_else(Problem::not_found)
}
