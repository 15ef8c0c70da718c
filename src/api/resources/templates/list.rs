//! `GET /v1/templates`.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::Deserialize;

use super::super::answer::{json, query};
use super::view::TemplateView;
use crate::api::auth::Caller;
use crate::api::paging::{self, Page};
use crate::api::problem::{Kind, Problem};
use crate::api::routes::Answer;
use crate::api::state::Api;
use crate::templates::{Entry, TemplateOrigin, is_code};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct ListQuery {
    /// Part of the code, the description or the category, in any case.
    search: Option<String>,
    category: Option<String>,
    origin: Option<String>,
    active: Option<bool>,
    limit: Option<usize>,
    cursor: Option<String>,
}

/// Which templates are wanted.
struct Filter {
    /// In small letters.
    search: Option<String>,
    category: Option<String>,
    origin: Option<TemplateOrigin>,
    active: Option<bool>,
}

impl Filter {
    fn fits(&self, entry: &Entry) -> bool {
        let summary = entry.summary.as_ref();
        let category = summary.and_then(|summary| summary.category.as_deref());
        let description = summary.and_then(|summary| summary.description.as_deref());
        let is_found = |wanted: &String| {
            let texts = [Some(&*entry.code), description, category];
            texts.into_iter().flatten().any(|text| text.to_lowercase().contains(wanted))
        };
        self.search.as_ref().is_none_or(is_found)
            && self.category.as_deref().is_none_or(|wanted| category == Some(wanted))
            && self.origin.is_none_or(|wanted| entry.origin == wanted)
            && self.active.is_none_or(|wanted| entry.is_active() == wanted)
    }
}

/// All that are in force, by code.
pub(in crate::api) async fn list(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    parameters: Result<Query<ListQuery>, QueryRejection>,
) -> Answer {
    let ListQuery { search, category, origin, active, limit, cursor } = query(parameters)?;
    let limit = paging::limit(limit)?;
    let after = paging::read_cursor(cursor.as_deref(), |code| is_code(code).then(|| code.to_owned()))?;
    let origin = origin.map(|name| TemplateOrigin::parse(&name).ok_or_else(unknown_origin)).transpose()?;
    let filter = Filter { search: search.map(|text| text.to_lowercase()), category, origin, active };
    let entries = api.parts.templates.entries(&caller.tenant).into_iter();
    let is_after = |entry: &Entry| after.as_ref().is_none_or(|after| *entry.code > **after);
    let fits = entries.filter(|entry| is_after(entry) && filter.fits(entry));
    let Page { data, next_cursor } = Page::of(fits, limit, |last| last.code.to_string());
    json(&Page { data: TemplateView::all(&api, &caller.tenant, data).await?, next_cursor })
}

fn unknown_origin() -> Problem {
    let names = TemplateOrigin::ALL.map(TemplateOrigin::name).join(", ");
    Problem::new(Kind::BadRequest, format!("`origin` must be one of: {names}"))
}
