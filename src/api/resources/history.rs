//! `GET /v1/notifications?user_id=…`: a user's history, newest first; a notification is in it once it is planned.
//!
//! Filters are asked of what is read, so one call reads at most [`READ_MAX`] entries: a page may be short, and has a cursor all the same.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::Deserialize;

use super::answer::{json, query};
use super::audit::time;
use super::story::SummaryView;
use crate::api::auth::Caller;
use crate::api::paging::{self, Page};
use crate::api::problem::{Kind, Problem};
use crate::api::routes::Answer;
use crate::api::state::Api;
use crate::domain::{Channel, Content, Position, Story, Timestamp};
use crate::store::{GroupEntry, HistoryEntry};

/// Entries that are read at once, at least.
const READ_TOGETHER: usize = 100;
/// Entries that one call reads.
const READ_MAX: usize = 1_000;

/// The words of [`SummaryView::status`].
const STATUSES: [&str; 11] = [
    "pending",
    "scheduled",
    "sending",
    "sent",
    "delivered",
    "unknown",
    "failed",
    "expired",
    "cancelled",
    "merged",
    "skipped",
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct ListQuery {
    user_id: String,
    limit: Option<usize>,
    cursor: Option<String>,
    channel: Option<String>,
    category: Option<String>,
    status: Option<String>,
    template: Option<String>,
    from: Option<String>,
    to: Option<String>,
    unread: Option<bool>,
}

/// What is wanted of a history.
struct Filter {
    channel: Option<Channel>,
    category: Option<String>,
    status: Option<String>,
    template: Option<String>,
    unread: Option<bool>,
}

impl Filter {
    fn read(query: &mut ListQuery) -> Result<Self, Problem> {
        let wrong = |detail: String| Problem::new(Kind::BadRequest, detail);
        let channel = query.channel.take().map(|name| {
            let names = || Channel::ALL.map(Channel::name).join(", ");
            Channel::parse(&name).ok_or_else(|| wrong(format!("`channel` must be one of {}", names())))
        });
        let status = query.status.take();
        if status.as_deref().is_some_and(|status| !STATUSES.contains(&status)) {
            return Err(wrong(format!("`status` must be one of {}", STATUSES.join(", "))));
        }
        Ok(Self {
            channel: channel.transpose()?,
            category: query.category.take(),
            status,
            template: query.template.take(),
            unread: query.unread,
        })
    }

    /// By the plan alone, which is known before the rest.
    fn takes(&self, story: &Story, default_category: &str) -> bool {
        let plan = &story.plan;
        let category = plan.category.as_deref().unwrap_or(default_category);
        let template = match &plan.content {
            Content::Template { code } => Some(&**code),
            Content::Inline { .. } => None,
        };
        self.channel.is_none_or(|channel| plan.tasks().iter().any(|task| task.channel == channel))
            && self.category.as_deref().is_none_or(|wanted| wanted == category)
            && self.template.as_deref().is_none_or(|wanted| template == Some(wanted))
            && self.unread.is_none_or(|unread| story.is_in_product() && story.read_at().is_none() == unread)
    }

    fn takes_summary(&self, summary: &SummaryView) -> bool {
        self.status.as_deref().is_none_or(|status| status == summary.status())
    }
}

pub(in crate::api) async fn list(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    parameters: Result<Query<ListQuery>, QueryRejection>,
) -> Answer {
    let mut asked = query(parameters)?;
    let filter = Filter::read(&mut asked)?;
    let ListQuery { user_id, limit, cursor, from, to, .. } = asked;
    let limit = paging::limit(limit)?;
    let from = time("from", from.as_deref())?.unwrap_or(Timestamp(0));
    let before = paging::read_cursor(cursor.as_deref(), |text| {
        let (millis, id) = text.split_once('.')?;
        Some(HistoryEntry { accepted_at: Timestamp(millis.parse().ok()?), notification: id.parse().ok()? })
    })?;
    // A cursor is behind it already.
    let end = time("to", to.as_deref())?.map(first_after);
    let mut before = before.or(end);
    let (mut data, mut read) = (Vec::new(), 0);
    loop {
        // A narrow filter must not make a read of each entry.
        let wanted = (limit + 1 - data.len()).max(READ_TOGETHER);
        let entries = api.parts.store.history(&caller.tenant, &user_id, before, wanted).await?;
        let is_last = entries.len() < wanted;
        read += entries.len();
        before = entries.last().copied().or(before);
        let is_past = entries.last().is_some_and(|entry| entry.accepted_at < from);
        let meant: Vec<HistoryEntry> = entries.into_iter().filter(|entry| entry.accepted_at >= from).collect();
        data.extend(summaries(&api, &meant, &filter).await?);
        let is_over = is_last || is_past;
        if data.len() > limit {
            data.truncate(limit);
            let last = data.last().map(|(entry, _)| *entry);
            return page(data, last);
        }
        if is_over {
            return page(data, None);
        }
        if read >= READ_MAX {
            return page(data, before);
        }
    }
}

/// The place before everything that was accepted up to a time.
fn first_after(to: Timestamp) -> HistoryEntry {
    use crate::domain::{NotificationId, Priority, ShardId};
    let shard = ShardId { generation: 0, lane: Priority::Critical, partition: 0 };
    let accepted_at = to + std::time::Duration::from_millis(1);
    HistoryEntry { accepted_at, notification: NotificationId(Position::new(shard, 0)) }
}

fn page(data: Vec<(HistoryEntry, SummaryView)>, next: Option<HistoryEntry>) -> Answer {
    let next_cursor = next.map(|last| paging::cursor(&format!("{}.{}", last.accepted_at.millis(), last.notification)));
    json(&Page { data: data.into_iter().map(|(_, summary)| summary).collect(), next_cursor })
}

async fn summaries(
    api: &Api,
    entries: &[HistoryEntry],
    filter: &Filter,
) -> Result<Vec<(HistoryEntry, SummaryView)>, Problem> {
    let positions: Vec<_> = entries.iter().map(|entry| entry.notification.0).collect();
    if positions.is_empty() {
        return Ok(Vec::new());
    }
    let stories = api.parts.store.stories(&positions).await?;
    let default_category = &api.parts.categories.of(None).name;
    let found = entries.iter().zip(stories).filter_map(|(entry, story)| Some((*entry, story?)));
    let found: Vec<(HistoryEntry, Story)> = found.filter(|(_, story)| filter.takes(story, default_category)).collect();
    let leaders: Vec<_> =
        found.iter().filter(|(_, story)| story.plan.is_leader()).map(|(_, story)| story.plan.position).collect();
    let groups = if leaders.is_empty() { Vec::new() } else { api.parts.store.groups(&leaders).await? };
    let groups: HashMap<Position, Vec<GroupEntry>> = leaders.into_iter().zip(groups).collect();
    let summary = |(entry, story): (HistoryEntry, Story)| {
        let entries = groups.get(&story.plan.position).map(Vec::as_slice);
        (entry, SummaryView::new(&story, entries, &|task| api.parts.operations.is_sending(task)))
    };
    Ok(found.into_iter().map(summary).filter(|(_, summary)| filter.takes_summary(summary)).collect())
}
