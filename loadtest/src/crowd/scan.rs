//! A schedule that tells those whose membership ends in three days, among members spread over many days.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hyper::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::CrowdArgs;
use super::api::{Api, Line};
use super::host::Host;
use super::import::Import;
use crate::clock::{date, now_us};
use crate::http_client::Server;
use crate::progress::Progress;

const MEMBERS: u64 = 5_000_000;
const ATTRIBUTE: &str = "membership_expires_at";
const DAYS_AHEAD: u64 = 3;
const SCHEDULE: &str = "crowd-reminder";

/// The path of its runs.
const RUNS: &str = "/v1/schedules/crowd-reminder/runs";

const LOOK_EVERY: Duration = Duration::from_millis(100);
const DAY_US: u64 = 86_400_000_000;

/// What is read beyond those who are due, for each of them, at the most.
const READ_BEYOND_MAX: f64 = 0.1;

#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) members: u64,
    pub(super) days: u64,
    pub(super) nodes: u16,
    pub(super) import_seconds: f64,
    /// Members whose day it is.
    pub(super) due: u64,
    pub(super) totals: Totals,
    /// That the run began.
    pub(super) campaigns: usize,
    /// From the call until all who are due had been found, and until all messages were over.
    pub(super) found_seconds: f64,
    pub(super) over_seconds: f64,
    pub(super) sources: Vec<Line>,
    pub(super) unaccounted: i64,
}

/// All campaigns of a run together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Totals {
    pub(super) total: Option<u64>,
    pub(super) processed: u64,
    pub(super) succeeded: u64,
    pub(super) failed: u64,
    pub(super) skipped: u64,
    pub(super) rows_read: u64,
    pub(super) open: usize,
}

#[derive(Deserialize)]
struct Runs {
    data: Vec<Run>,
}

#[derive(Deserialize)]
struct Run {
    status: String,
    campaigns: Vec<String>,
    error: Option<String>,
    totals: Option<Totals>,
}

impl Report {
    /// That the rows of other days were left alone.
    pub(super) fn reads_only_the_day(&self) -> bool {
        self.totals.rows_read as f64 <= self.due as f64 * (1.0 + READ_BEYOND_MAX)
    }
}

pub(super) async fn measure(args: &CrowdArgs, directory: &Path, server: &Server, run: u64) -> Result<Report> {
    let mut progress = Progress::new(args.json);
    let host = Host::start(args, directory, server, None, run).await?;
    let (members, today) = (args.members.unwrap_or(MEMBERS), day_of(now_us()));
    let import = people(server, members, args.days, today).run("members", &mut progress).await?;
    host.keep_alive().await?;
    let mut api = Api::new(server);
    api.post("/v1/schedules", &schedule()).await?;

    let began = Instant::now();
    let run_day = day_of(now_us());
    api.post(&format!("/v1/schedules/{SCHEDULE}/run"), &json!({})).await?;
    let (mut found_seconds, mut campaigns) = (None, 0);
    let totals = loop {
        let runs: Runs = api.get_at_last(RUNS).await?;
        let run = runs.data.into_iter().next().context("the schedule has no run")?;
        ensure!(run.status != "failed", "the run failed: {:?}", run.error);
        campaigns = campaigns.max(run.campaigns.len());
        let totals = run.totals.unwrap_or_default();
        if totals.total.is_some() {
            found_seconds.get_or_insert(began.elapsed().as_secs_f64());
        }
        if run.status == "begun" && totals.total.is_some() && totals.open == 0 {
            break totals;
        }
        ensure!(began.elapsed() < args.timeout, "the run is not over after {:?}: {totals:?}", args.timeout);
        let share = totals.total.map_or(0.0, |total| totals.processed as f64 / total.max(1) as f64);
        progress.show(share, &format!("{} rows read, {} over", totals.rows_read, totals.processed));
        host.keep_alive().await?;
        tokio::time::sleep(LOOK_EVERY).await;
    };
    let over_seconds = began.elapsed().as_secs_f64();
    progress.finish();
    let books = api.books().await?;
    host.terminate().await?;
    Ok(Report {
        members,
        days: args.days,
        nodes: args.nodes,
        import_seconds: import.as_secs_f64(),
        due: due(members, args.days, run_day - today + DAYS_AHEAD),
        totals,
        campaigns,
        found_seconds: found_seconds.unwrap_or(over_seconds),
        over_seconds,
        sources: books.by_source(),
        unaccounted: books.unaccounted,
    })
}

fn day_of(at_us: u64) -> u64 {
    at_us / DAY_US
}

/// How many members have the day so many days after the first; they take turns.
fn due(members: u64, days: u64, offset: u64) -> u64 {
    if offset >= days { 0 } else { members / days + u64::from(members % days > offset) }
}

fn people(server: &Server, count: u64, days: u64, today: u64) -> Import {
    let dates: Vec<String> = (0..days).map(|offset| date((today + offset) as i64)).collect();
    let write_line = move |number: u64, out: &mut String| {
        let day = &dates[(number % days) as usize];
        *out += &format!(
            "{{\"id\":\"m{number}\",\"email\":\"m{number}@load.example\",\"attributes\":{{\"{ATTRIBUTE}\":\"{day}T12:00:00Z\"}}}}\n"
        );
    };
    Import {
        server: server.clone(),
        method: Method::POST,
        path: "/v1/users/import".into(),
        count,
        write_line: Arc::new(write_line),
    }
}

/// On its own it runs once a year.
fn schedule() -> Value {
    json!({
        "name": SCHEDULE,
        "cron": "0 0 1 1 *",
        "timezone": "UTC",
        "scan": {
            "attribute": ATTRIBUTE,
            "days_ahead": [DAYS_AHEAD],
            "send": {
                "content": {"title": "{{days_ahead}} days left", "body": "Your membership ends on {{scan_day}}."},
                "channels": ["email"],
                "category": "transactional",
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_due_is_who_has_the_day() {
        for (members, days) in [(1000, 400), (1203, 400), (1204, 400), (5, 4), (3, 4)] {
            for offset in [0, 3, days - 1, days] {
                let expected = (0..members).filter(|number| number % days == offset).count() as u64;
                assert_eq!(due(members, days, offset), expected, "{members} {days} {offset}");
            }
        }
    }

    #[test]
    fn members_take_the_days_in_turn() {
        let server =
            Server::new(&crate::http_client::Url::parse("http://127.0.0.1:1").expect("legal"), None).expect("legal");
        let mut text = String::new();
        (people(&server, 10, 4, 20_454).write_line)(5, &mut text);
        let line: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(line["attributes"][ATTRIBUTE], "2026-01-02T12:00:00Z");
        assert_eq!(RUNS, format!("/v1/schedules/{SCHEDULE}/runs"));
    }
}
