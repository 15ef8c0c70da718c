//! `GET /v1/accounting`: the books of all nodes, over all tenants.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;

use super::answer::json;
use crate::api::routes::Answer;
use crate::api::state::Api;
use crate::insight::AccountingLine;

/// in = sent + skipped + merged + failed + expired + cancelled + unknown + open + unaccounted.
#[derive(Debug, Serialize)]
struct AccountingView {
    total: LineView,
    /// By source and lane.
    lines: Vec<LineView>,
    unaccounted: i64,
    /// Nodes that do not answer, whose shards are missing here until others have taken them over.
    #[serde(skip_serializing_if = "is_zero")]
    unreachable_nodes: usize,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

#[derive(Debug, Default, Serialize)]
struct LineView {
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lane: Option<&'static str>,
    r#in: i64,
    sent: i64,
    skipped: i64,
    skipped_by_reason: BTreeMap<&'static str, i64>,
    merged: i64,
    failed: i64,
    expired: i64,
    cancelled: i64,
    unknown: i64,
    open: i64,
    /// Of the open ones, those that wait for a time.
    scheduled: i64,
    /// Records that could not be used; not counted in.
    rejected: i64,
}

pub(in crate::api) async fn show(State(api): State<Arc<Api>>) -> Answer {
    let accounting = api.parts.operations.accounting().await?;
    let mut total = LineView::default();
    for line in &accounting.lines {
        total.add(line);
    }
    let line = |line: &AccountingLine| {
        let mut view =
            LineView { source: Some(line.source.name()), lane: Some(line.lane.name()), ..LineView::default() };
        view.add(line);
        view
    };
    json(&AccountingView {
        total,
        lines: accounting.lines.iter().map(line).collect(),
        unaccounted: accounting.unaccounted,
        unreachable_nodes: accounting.unreachable_nodes,
    })
}

impl LineView {
    fn add(&mut self, line: &AccountingLine) {
        self.r#in += line.accepted;
        self.sent += line.sent;
        for (reason, count) in &line.skipped {
            self.skipped += count;
            *self.skipped_by_reason.entry(reason).or_default() += count;
        }
        self.merged += line.merged;
        self.failed += line.failed;
        self.expired += line.expired;
        self.cancelled += line.cancelled;
        self.unknown += line.unknown;
        self.open += line.open;
        self.scheduled += line.scheduled;
        self.rejected += line.rejected;
    }
}
