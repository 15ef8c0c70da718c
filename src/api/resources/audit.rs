//! `GET /v1/audit`: who did what, the latest first.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};

use super::answer::{json, query};
use crate::api::audit::pseudonym;
use crate::api::auth::Caller;
use crate::api::paging::{self, Page};
use crate::api::problem::{Kind, Problem};
use crate::api::routes::Answer;
use crate::api::state::Api;
use crate::domain::{AUDIT_KEPT, AuditRecord, Timestamp};
use crate::privacy::{AuditName, AuditQuery};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct ListQuery {
    from: Option<String>,
    to: Option<String>,
    user_id: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

#[derive(Debug, Serialize)]
struct LineView {
    at: String,
    /// The name of the key.
    by: Box<str>,
    method: Box<str>,
    route: Box<str>,
    /// Users and addresses stand there as hashes.
    object: Box<str>,
    /// What was answered; null: it broke off, or has not ended.
    status: Option<u16>,
}

impl LineView {
    fn new(record: AuditRecord) -> Self {
        let AuditRecord { at, tenant: _, by, method, route, object, user: _, status } = record;
        Self { at: at.to_string(), by, method, route, object, status }
    }
}

pub(in crate::api) async fn list(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    parameters: Result<Query<ListQuery>, QueryRejection>,
) -> Answer {
    let ListQuery { from, to, user_id, limit, cursor } = query(parameters)?;
    let now = api.parts.clock.now();
    let user = match user_id {
        None => None,
        Some(id) => Some(pseudonym(&api, &caller.tenant, &id).ok_or_else(|| {
            let detail = "users cannot be found in the log without `security.link_secret`: leave `user_id` out";
            Problem::new(Kind::State, detail)
        })?),
    };
    let wanted = AuditQuery {
        from: time("from", from.as_deref())?.unwrap_or(now - AUDIT_KEPT),
        to: time("to", to.as_deref())?.unwrap_or(now),
        user: user.map(Into::into),
        after: paging::read_cursor(cursor.as_deref(), read_name)?,
        limit: paging::limit(limit)?,
    };
    let page = api.parts.audit.page(&caller.tenant, &wanted).await?;
    let next_cursor = page.next.map(|name| paging::cursor(&write_name(&name)));
    json(&Page { data: page.lines.into_iter().map(|(_, record)| LineView::new(record)).collect(), next_cursor })
}

/// A time of a query.
pub(super) fn time(name: &str, text: Option<&str>) -> Result<Option<Timestamp>, Problem> {
    let wrong = || Problem::new(Kind::BadRequest, format!("`{name}` is no time: write it as 2026-01-31T12:00:00Z"));
    text.map(|text| Timestamp::parse(text).ok_or_else(wrong)).transpose()
}

fn write_name(name: &[u8]) -> String {
    name.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Sixteen bytes: a time, and what tells rows of one time apart.
fn read_name(text: &str) -> Option<AuditName> {
    let bytes = u128::from_str_radix(text, 16).ok().filter(|_| text.len() == 32)?;
    Some(bytes.to_be_bytes().into())
}
