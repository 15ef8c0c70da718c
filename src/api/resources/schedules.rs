//! `/v1/schedules`: what begins by itself at a time, when it will, and how it went.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::answer::{json, names, once, query, raw_json, written};
use super::definitions::Shelf;
use crate::api::auth::Caller;
use crate::api::body;
use crate::api::paging::{self, Page};
use crate::api::problem::{Kind, Problem};
use crate::api::profile::{Fields, Problems};
use crate::api::retry_key::RetryKey;
use crate::api::routes::Answer;
use crate::api::state::Api;
use crate::audience::Known;
use crate::domain::{ArchiveCounts, ArchiveOrder, CampaignProgress, DefinitionKind, ScheduleRun};
use crate::intake::FieldProblem;
use crate::schedules::{RunError, RunNowError, Schedule, Timetable, read_run_name, run_name};

/// Next times that are shown.
const NEXT_RUNS: usize = 5;
/// Campaigns that are asked about at once.
const CAMPAIGNS_AT_ONCE: usize = 512;

pub(in crate::api) struct ScheduleShelf;

impl Shelf for ScheduleShelf {
    const KIND: DefinitionKind = DefinitionKind::Schedule;
    const PATH: &'static str = "/v1/schedules";
    const RESERVED: &'static [&'static str] = &["preview"];

    async fn judge(api: &Api, tenant: &str, name: &str, body: &str) -> Vec<FieldProblem> {
        api.parts.schedules.check(tenant, name, body).await
    }

    fn besides(api: &Api, known: &Known) -> Map<String, Value> {
        let (definition, now) = (&known.definition, api.parts.clock.now());
        let read = Schedule::read(&definition.name, definition.body.as_deref().unwrap_or("{}"), now);
        let next = read.ok().filter(|schedule| schedule.is_active);
        let next = next.map_or_else(Vec::new, |schedule| next_runs(&schedule.timetable, api));
        Map::from_iter([("next_runs".to_owned(), json!(next))])
    }
}

/// With the offset of the zone.
fn next_runs(timetable: &Timetable, api: &Api) -> Vec<String> {
    let times = timetable.upcoming(api.parts.clock.now(), NEXT_RUNS);
    times.into_iter().map(|at| timetable.shown(at)).collect()
}

/// `POST /v1/schedules/preview`: when an expression that is not saved would run.
pub(in crate::api) async fn preview(State(api): State<Arc<Api>>, request: Request) -> Answer {
    #[derive(Serialize)]
    struct PreviewView<'a> {
        timezone: &'a str,
        next_runs: Vec<String>,
    }
    let (_, body) = body::read(&api, request, api.parts.http.max_body.as_usize()).await?;
    let mut fields = Fields::read(body.text()?, "").map_err(|problem| Problem::fields(vec![problem]))?;
    let mut problems = Problems::default();
    let said = |text: &str| Ok::<String, String>(text.to_owned());
    let cron = fields.required("cron", &mut problems, said);
    let zone = fields.text("timezone", &mut problems, said).flatten();
    fields.end(&mut problems);
    let (cron, zone) = problems.or((cron, zone)).map_err(Problem::fields)?;
    let (cron, zone) = (cron.unwrap_or_default(), zone.as_deref().unwrap_or("UTC"));
    let timetable = Timetable::read(&cron, zone, api.parts.clock.now()).map_err(Problem::fields)?;
    json(&PreviewView { timezone: timetable.zone(), next_runs: next_runs(&timetable, &api) })
}

/// `POST /v1/schedules/{name}/run`: out of turn.
pub(in crate::api) async fn run(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Answer {
    let name = names(path)?;
    let (head, body) = body::read(&api, request, api.parts.http.max_body.as_usize()).await?;
    let text = body.text()?.trim();
    if !text.is_empty() {
        let fields = Fields::read(text, "").map_err(|problem| Problem::fields(vec![problem]))?;
        let mut problems = Problems::default();
        fields.end(&mut problems);
        problems.or(()).map_err(Problem::fields)?;
    }
    let key =
        RetryKey::read(&head.headers, &caller.tenant, &format!("POST /v1/schedules/{name}/run"), text.as_bytes())?;
    let answer = once(&api, key, async || {
        let run = api.parts.schedules.run_now(&caller.tenant, &name, key.map(RetryKey::number)).await?;
        written(&RunView::new(&run, &[], None))
    });
    Ok(raw_json(StatusCode::ACCEPTED, answer.await?))
}

impl From<RunNowError> for Problem {
    fn from(error: RunNowError) -> Self {
        match error {
            RunNowError::Unknown => Self::not_found(),
            RunNowError::Invalid(problems) => {
                let first = problems.first().map(|problem| format!(": {} {}", problem.pointer, problem.detail));
                let first = first.unwrap_or_default();
                Self::new(Kind::State, format!("the schedule cannot be used as it is defined{first}"))
            }
            RunNowError::Later(RunError::Store(error)) => error.into(),
            RunNowError::Later(RunError::Accept(error)) => error.into(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct RunsQuery {
    limit: Option<usize>,
    cursor: Option<String>,
}

/// `GET /v1/schedules/{name}/runs`: the newest first.
pub(in crate::api) async fn runs(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<String>, PathRejection>,
    parameters: Result<Query<RunsQuery>, QueryRejection>,
) -> Answer {
    let name = names(path)?;
    let RunsQuery { limit, cursor } = query(parameters)?;
    let limit = paging::limit(limit)?;
    let after = paging::read_cursor(cursor.as_deref(), read_hex)?;
    if api.parts.definitions.found(&caller.tenant, DefinitionKind::Schedule, &name).is_none() {
        return Err(Problem::not_found());
    }
    let runs = api.parts.schedules.runs(&caller.tenant, &name, after.as_deref(), limit + 1).await?;
    let ids: Vec<_> = runs.iter().take(limit).flat_map(|run| run.campaigns.iter().copied()).collect();
    let mut progress = Vec::with_capacity(ids.len());
    for ids in ids.chunks(CAMPAIGNS_AT_ONCE) {
        progress.extend(api.parts.schedules.progress(&caller.tenant, ids).await?);
    }
    let archived = api.parts.schedules.archived(&caller.tenant, &name, &runs).await?;
    let mut rest = &progress[..];
    let views = runs.iter().zip(&archived).map(|(run, archived)| {
        let (of_run, others) = rest.split_at(run.campaigns.len().min(rest.len()));
        rest = others;
        RunView::new(run, of_run, archived.as_ref())
    });
    json(&Page::of(views, limit, |last| last.id.clone()))
}

/// One run, and what became of its campaigns so far.
#[derive(Debug, Serialize)]
struct RunView {
    id: String,
    /// When it was due; of a manual one when it was asked for.
    due_at: String,
    started_at: String,
    kind: &'static str,
    status: &'static str,
    /// Due times before it that passed while nobody ran it.
    missed: u32,
    /// Of the definition.
    version: u64,
    campaigns: Vec<String>,
    events: u32,
    error: Option<Box<str>>,
    /// Null: it has no campaigns, or nothing is known of them yet.
    totals: Option<TotalsView>,
    /// Of a run that archives.
    #[serde(skip_serializing_if = "Option::is_none")]
    archive: Option<ArchiveView>,
}

/// What a run archived so far.
#[derive(Debug, Serialize)]
struct ArchiveView {
    status: &'static str,
    /// Those accepted before this are old enough.
    before: String,
    /// Written to files that were read back.
    written: u64,
    /// Not in the store any more.
    dropped: u64,
    files: u64,
    bytes: u64,
    /// Old enough, and not over for a day yet.
    left_open: u64,
    ended_at: Option<String>,
    /// Why it failed, or stands still.
    error: Option<Box<str>>,
}

impl ArchiveView {
    fn new(order: &ArchiveOrder) -> Self {
        let ArchiveCounts { written, dropped, files, bytes, left_open } = order.counts;
        Self {
            status: order.state.name(),
            before: order.before.to_string(),
            written,
            dropped,
            files,
            bytes,
            left_open,
            ended_at: order.ended_at.map(|at| at.to_string()),
            error: order.error.clone(),
        }
    }
}

/// All campaigns of a run together.
#[derive(Debug, Default, Serialize)]
struct TotalsView {
    /// Null: not all were walked through yet.
    total: Option<u64>,
    processed: u64,
    succeeded: u64,
    failed: u64,
    skipped: u64,
    /// Rows of the index that were read for it.
    rows_read: u64,
    /// Campaigns that are not over.
    open: usize,
}

impl RunView {
    fn new(run: &ScheduleRun, progress: &[Option<CampaignProgress>], archived: Option<&ArchiveOrder>) -> Self {
        Self {
            id: hex(&run_name(run)),
            due_at: run.due_at.to_string(),
            started_at: run.started_at.to_string(),
            kind: run.kind.name(),
            status: run.state.name(),
            missed: run.missed,
            version: run.version,
            campaigns: run.campaigns.iter().map(ToString::to_string).collect(),
            events: run.events,
            error: run.error.clone(),
            totals: TotalsView::of(progress),
            archive: archived.map(ArchiveView::new),
        }
    }
}

impl TotalsView {
    fn of(progress: &[Option<CampaignProgress>]) -> Option<Self> {
        progress.iter().flatten().next()?;
        let mut totals = Self { total: Some(0), ..Self::default() };
        for campaign in progress {
            let Some(campaign) = campaign else {
                totals.total = None;
                totals.open += 1;
                continue;
            };
            totals.total = totals.total.zip(campaign.total).map(|(sum, total)| sum + total);
            totals.processed += campaign.processed();
            totals.succeeded += campaign.succeeded;
            totals.failed += campaign.failed;
            totals.skipped += campaign.skipped();
            totals.rows_read += campaign.rows_read;
            totals.open += usize::from(!campaign.status.is_over());
        }
        Some(totals)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold("run_".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

/// The name of the row that an id is made of.
fn read_hex(id: &str) -> Option<Vec<u8>> {
    let digits = id.strip_prefix("run_").filter(|digits| digits.is_ascii() && digits.len() % 2 == 0)?;
    let bytes: Option<Vec<u8>> =
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()).collect();
    bytes.filter(|bytes| read_run_name(bytes))
}
