//! A campaign for an uploaded list with bad addresses: looked at all the time, paused in the middle, its numbers held against those of the
//! mail server.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use hyper::Method;
use serde::Serialize;
use serde_json::{Value, json};

use super::CrowdArgs;
use super::api::{Api, Campaign, LINES, Line, text_at};
use super::host::Host;
use super::polls::Polls;
use crate::clock::now_us;
use crate::http_client::Server;
use crate::mock::ChannelStats;
use crate::mock_process::MockHandle;
use crate::progress::Progress;

const MEMBERS: u64 = 100_000;

/// In addresses that the mail server does not know.
const GONE: &str = "gone-";
/// Lines that come a second time.
const DUPLICATES: u64 = 10;

const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How often the mail server is looked at in the pause.
const COUNT_EVERY: Duration = Duration::from_millis(20);
/// The longest that an upload may take.
const UPLOAD_MAX: Duration = Duration::from_secs(15 * 60);

#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) upload_seconds: f64,
    /// What was sent, and what the engine says of it.
    pub(super) sent: Lines,
    pub(super) list: Lines,
    pub(super) campaign: Campaign,
    /// From the POST until it was over; the pause counts.
    pub(super) over_seconds: f64,
    /// From the last mail that was taken until the campaign said that it was over.
    pub(super) told_seconds: f64,
    pub(super) polls: u64,
    pub(super) wrong_polls: u64,
    pub(super) wrong: Vec<String>,
    /// None: it was over before it could be paused.
    pub(super) pause: Option<Pause>,
    pub(super) mail: Mail,
    pub(super) missed_lines: u64,
    pub(super) books: Option<Line>,
    pub(super) unaccounted: i64,
}

/// Of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Lines {
    pub(super) members: u64,
    pub(super) duplicates: u64,
    pub(super) bad: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Pause {
    /// From the call until the mail server got its last mail.
    pub(super) last_mail_ms: f64,
    /// From the call until it was answered.
    pub(super) answered_ms: f64,
    pub(super) held_seconds: f64,
    /// From the call that let it go on until the next mail came; none when none did.
    pub(super) next_mail_ms: Option<f64>,
    /// Mails that came after the call.
    pub(super) mails_after: u64,
}

/// What the mail server counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Mail {
    pub(super) taken: u64,
    /// Of those taken, different ones.
    pub(super) distinct: u64,
    pub(super) refused: u64,
}

pub(super) async fn measure(args: &CrowdArgs, directory: &Path, server: &Server, run: u64) -> Result<Report> {
    let mut progress = Progress::new(args.json);
    let mock = MockHandle::start(&["--http", &args.mock, "--smtp", &args.mock_smtp]).await?;
    mock.behave(&json!({ "dead_pattern": GONE })).await?;
    let host = Host::start(args, directory, server, Some(&args.mock_smtp), run).await?;
    let mut api = Api::new(server);

    let sent = Lines::of(args.members.unwrap_or(MEMBERS), args.bad);
    let began = Instant::now();
    let (list, id) = upload(&mut api, list_text(&sent)).await?;
    let upload_seconds = began.elapsed().as_secs_f64();
    let campaign = begin(&mut api, &id).await?;
    let began = Instant::now();
    let mut watch = Watch { args, api, mock, campaign, polls: Polls::default(), began };
    let (last, pause) = watch.until_over(&sent, &mut progress).await?;
    let (over_seconds, over_ms) = (began.elapsed().as_secs_f64(), now_us() / 1000);
    let stats = watch.mock.stats().await?.smtp;
    progress.finish();

    let missed = watch.api.text(&format!("/v1/campaigns/{}/missed", watch.campaign)).await?;
    let books = watch.api.books().await?;
    host.terminate().await?;
    Ok(Report {
        upload_seconds,
        sent,
        list,
        campaign: last,
        over_seconds,
        told_seconds: over_ms.saturating_sub(stats.last_at_ms) as f64 / 1000.0,
        polls: watch.polls.count,
        wrong_polls: watch.polls.wrong_count,
        wrong: watch.polls.wrong,
        pause,
        mail: Mail::of(&stats),
        missed_lines: missed.iter().filter(|byte| **byte == b'\n').count() as u64,
        books: books.by_source().into_iter().find(|line| line.source == "campaign"),
        unaccounted: books.unaccounted,
    })
}

/// Sends the list; what the engine says of it, and its id.
async fn upload(api: &mut Api, text: String) -> Result<(Lines, String)> {
    let answer = api.send(Method::POST, "/v1/lists?name=crowd", LINES, Bytes::from(text), Some(UPLOAD_MAX)).await?;
    let said = String::from_utf8_lossy(&answer.body);
    ensure!(answer.status.is_success(), "`POST /v1/lists` answers {}: {said}", answer.status);
    let answer: Value = serde_json::from_str(&said).context("cannot read the answer to the list")?;
    let number = |pointer| answer.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
    let list =
        Lines { members: number("/members"), duplicates: number("/duplicates"), bad: number("/bad_lines/count") };
    Ok((list, text_at(&answer, "/id")?.to_owned()))
}

async fn begin(api: &mut Api, list: &str) -> Result<String> {
    let body = json!({
        "name": "crowd",
        "audience": {"list": list},
        "content": {"title": "News", "body": "There is something new."},
        "channels": ["email"],
        "category": "transactional",
        "priority": "normal",
    });
    Ok(text_at(&api.post("/v1/campaigns", &body).await?, "/id")?.to_owned())
}

struct Watch<'a> {
    args: &'a CrowdArgs,
    api: Api,
    mock: MockHandle,
    campaign: String,
    polls: Polls,
    began: Instant,
}

impl Watch<'_> {
    /// Looks at it until it is over; with a third of it over it is paused.
    async fn until_over(&mut self, sent: &Lines, progress: &mut Progress) -> Result<(Campaign, Option<Pause>)> {
        let mut pause = None;
        loop {
            let now = self.look().await?;
            let share = now.processed as f64 / sent.members.max(1) as f64;
            progress.show(share, &format!("{} handed on, {} over", now.handed_on, now.processed));
            if now.is_over() {
                return Ok((now, pause));
            }
            ensure!(self.began.elapsed() < self.args.timeout, "not over after {:?}: {now:?}", self.args.timeout);
            if pause.is_none() && now.processed * 3 >= sent.members {
                pause = Some(self.pause().await?);
            }
            // The mock closes connections that are idle for long.
            self.mock.stats().await?;
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn look(&mut self) -> Result<Campaign> {
        let now = self.api.campaign(&self.campaign).await?;
        self.polls.look(&now);
        Ok(now)
    }

    async fn mails(&self) -> Result<u64> {
        let mail = Mail::of(&self.mock.stats().await?.smtp);
        Ok(mail.taken + mail.refused)
    }

    /// Pauses it, looks at the mail server for the time of the pause, and lets it go on.
    async fn pause(&mut self) -> Result<Pause> {
        let (called, before) = (Instant::now(), self.mails().await?);
        self.api.post(&format!("/v1/campaigns/{}/pause", self.campaign), &json!({})).await?;
        let answered = called.elapsed();
        let (mut mails, mut last_mail, mut looked) = (before, Duration::ZERO, called);
        while called.elapsed() < self.args.pause {
            let now = self.mails().await?;
            if now > mails {
                (mails, last_mail) = (now, called.elapsed());
            }
            if looked.elapsed() >= LOOK_EVERY {
                looked = Instant::now();
                self.look().await?;
            }
            tokio::time::sleep(COUNT_EVERY).await;
        }
        let held_seconds = called.elapsed().as_secs_f64();
        self.api.post(&format!("/v1/campaigns/{}/resume", self.campaign), &json!({})).await?;
        let next_mail = self.next_mail(mails).await?;
        let millis = |time: Duration| time.as_secs_f64() * 1000.0;
        Ok(Pause {
            last_mail_ms: millis(last_mail),
            answered_ms: millis(answered),
            held_seconds,
            next_mail_ms: next_mail.map(millis),
            mails_after: mails - before,
        })
    }
}

impl Watch<'_> {
    /// How long it takes until there is another mail; none when it is over without one.
    async fn next_mail(&mut self, before: u64) -> Result<Option<Duration>> {
        let began = Instant::now();
        while self.mails().await? == before {
            if self.look().await?.is_over() || began.elapsed() > self.args.timeout {
                return Ok(None);
            }
            tokio::time::sleep(COUNT_EVERY).await;
        }
        Ok(Some(began.elapsed()))
    }
}

impl Lines {
    /// So many different ones, of which a share is bad; half of those cannot be taken.
    fn of(members: u64, bad: f64) -> Self {
        let bad = (members as f64 * bad) as u64 / 2;
        Self { members: members - bad, duplicates: DUPLICATES.min(members - bad), bad }
    }

    /// Addresses of members that are gone: as many as there are bad lines.
    pub(super) fn gone(&self) -> u64 {
        self.bad.min(self.members)
    }
}

/// Bad lines and those who are gone are spread evenly among the others; those that come twice stand at the end.
fn list_text(lines: &Lines) -> String {
    let mut text = String::new();
    let every = lines.members / lines.gone().max(1);
    let (mut gone, mut bad) = (0, 0);
    for number in 0..lines.members {
        let is_gone = gone < lines.gone() && number % every == every / 2;
        let prefix = if is_gone { GONE } else { "m" };
        gone += u64::from(is_gone);
        text += &format!("{{\"email\":\"{prefix}{number}@load.example\"}}\n");
        if is_gone && bad < lines.bad {
            bad += 1;
            text += &format!("{{\"email\":\"nobody {number}\"}}\n");
        }
    }
    for _ in bad..lines.bad {
        text += "{\"email\":\"nobody\"}\n";
    }
    let all = text.lines().filter(|line| !line.contains("nobody")).take(lines.duplicates as usize);
    let again: Vec<String> = all.map(|line| format!("{line}\n")).collect();
    text.extend(again);
    text
}

impl Mail {
    fn of(stats: &ChannelStats) -> Self {
        Self { taken: stats.accepted, distinct: stats.distinct, refused: stats.rejected }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_as_many_of_each_sort_as_it_says() {
        for (members, bad) in [(1000, 0.01), (100_000, 0.01), (100, 0.5), (7, 0.0), (10, 1.0)] {
            let lines = Lines::of(members, bad);
            let text = list_text(&lines);
            let count = |part: &str| text.lines().filter(|line| line.contains(part)).count() as u64;
            assert_eq!(text.lines().count() as u64, members + lines.duplicates, "{members} {bad}");
            assert_eq!(count("nobody"), lines.bad, "{members} {bad}");
            let distinct: std::collections::BTreeSet<&str> =
                text.lines().filter(|line| !line.contains("nobody")).collect();
            assert_eq!(distinct.len() as u64, lines.members, "{members} {bad}");
            let gone = distinct.iter().filter(|line| line.contains(GONE)).count() as u64;
            assert_eq!(gone, lines.gone(), "{members} {bad}");
        }
        assert_eq!(Lines::of(100_000, 0.01), Lines { members: 99_500, duplicates: 10, bad: 500 });
    }
}
