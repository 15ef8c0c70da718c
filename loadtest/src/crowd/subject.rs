//! One event about a subject with very many followers, while the engine is killed, and small events beside it.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use hyper::Method;
use serde::Serialize;
use serde_json::{Value, json};

use super::CrowdArgs;
use super::api::{Api, Campaign, Line, text_at};
use super::every::{self, Found};
use super::host::{Host, Outage};
use super::import::Import;
use super::probe::{FOLLOWERS, Probed, Probes};
use super::series::{self, Latency, Memory, Pace, Sample};
use crate::http_client::Server;
use crate::progress::Progress;

const LARGE: &str = "crowd-large";
const SMALL: &str = "crowd-small";
const EVENT_TYPE: &str = "crowd.news";

const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Memory and progress are written down so often.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);

/// What other nodes than the one that was told take to know a rule.
const SPREAD: Duration = Duration::from_secs(2);

/// Times are in seconds where they do not say milliseconds.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) followers: u64,
    pub(super) nodes: u16,
    pub(super) import_seconds: f64,
    pub(super) subscribe_seconds: f64,
    pub(super) campaign: Campaign,
    /// None: not all were handed on.
    pub(super) pace: Option<Pace>,
    /// From the event until the campaign was over.
    pub(super) over_seconds: f64,
    pub(super) memory: Memory,
    /// From each kill until the engine was ready, since the event.
    pub(super) outages: Vec<Range<f64>>,
    /// The event again after the first kill was answered with the same campaign; none without a kill.
    pub(super) repeated_is_same: Option<bool>,
    pub(super) small: Small,
    pub(super) sources: Vec<Line>,
    pub(super) unaccounted: i64,
    pub(super) found: Found,
    /// A second each; JSON only.
    pub(super) samples: Vec<Sample>,
}

/// Of small events.
#[derive(Debug, Serialize)]
pub(super) struct Small {
    /// While the engine was there.
    pub(super) alive: Latency,
    /// Those that touch a time in which it was dead.
    pub(super) dead: Latency,
    /// Not all ten were sent.
    pub(super) unsent: usize,
}

/// An event under way.
struct Watch<'a> {
    args: &'a CrowdArgs,
    host: Host,
    api: Api,
    event: Value,
    campaign: String,
    posted: Instant,
    outages: Vec<Outage>,
    samples: Vec<Sample>,
    repeated_is_same: Option<bool>,
}

pub(super) async fn measure(args: &CrowdArgs, directory: &Path, server: &Server, run: u64) -> Result<Report> {
    let mut progress = Progress::new(args.json);
    let host = Host::start(args, directory, server, None, run).await?;
    let import = users(server, args.followers).run("users", &mut progress).await?;
    let subscribe = followers(server, LARGE, args.followers, 0).run("followers", &mut progress).await?;
    followers(server, SMALL, FOLLOWERS, args.followers).run("followers", &mut progress).await?;
    let mut api = Api::new(server);
    declare(&mut api).await?;
    if args.nodes > 1 {
        tokio::time::sleep(SPREAD).await;
    }

    let event = about(LARGE, format!("large-{run}"), 0);
    let posted = Instant::now();
    let answer = api.post("/v1/events", &event).await?;
    let campaign = text_at(&answer, "/fan_outs/0/id")?.to_owned();
    let probes = Probes::start(server, move |number| about(SMALL, format!("small-{run}-{number}"), number + 1));
    let mut watch = Watch {
        args,
        host,
        api,
        event,
        campaign,
        posted,
        outages: Vec::new(),
        samples: Vec::new(),
        repeated_is_same: None,
    };
    let last = watch.until_over(&mut progress).await?;
    let over_seconds = posted.elapsed().as_secs_f64();
    let probed = probes.finish().await?;
    progress.finish();

    let samples = args.check.unwrap_or(args.followers);
    let found = every::look(server, args.followers, samples, user, &mut progress).await?;
    let books = watch.api.books().await?;
    watch.host.terminate().await?;
    let since = |at: Instant| at.saturating_duration_since(posted).as_secs_f64();
    let outages: Vec<Range<f64>> =
        watch.outages.iter().map(|outage| since(outage.began)..since(outage.ended)).collect();
    Ok(Report {
        followers: args.followers,
        nodes: args.nodes,
        import_seconds: import.as_secs_f64(),
        subscribe_seconds: subscribe.as_secs_f64(),
        pace: series::pace(&watch.samples, &outages, args.followers),
        over_seconds,
        memory: series::memory(&watch.samples, &outages),
        repeated_is_same: watch.repeated_is_same,
        small: Small::of(&probed, &outages, posted),
        campaign: last,
        outages,
        sources: books.by_source(),
        unaccounted: books.unaccounted,
        found,
        samples: watch.samples,
    })
}

fn user(number: u64) -> String {
    format!("u{number}")
}

fn users(server: &Server, followers: u64) -> Import {
    let write_line = |number: u64, out: &mut String| {
        let user = user(number);
        *out += &format!("{{\"id\":\"{user}\",\"email\":\"{user}@load.example\"}}\n");
    };
    Import {
        server: server.clone(),
        method: Method::POST,
        path: "/v1/users/import".into(),
        count: followers + FOLLOWERS,
        write_line: Arc::new(write_line),
    }
}

/// So many users from the `first` on follow a subject.
fn followers(server: &Server, subject: &str, count: u64, first: u64) -> Import {
    let write_line = move |number: u64, out: &mut String| {
        *out += &format!("{{\"user_id\":\"{}\",\"channel\":\"email\"}}\n", user(first + number));
    };
    Import {
        server: server.clone(),
        method: Method::PUT,
        path: format!("/v1/subjects/{subject}/subscriptions"),
        count,
        write_line: Arc::new(write_line),
    }
}

/// The event type, and the rule that tells all who follow.
async fn declare(api: &mut Api) -> Result<()> {
    api.post("/v1/event-types", &json!({"name": EVENT_TYPE})).await?;
    let content = json!({"title": "News", "body": "Number {{number}} is there."});
    let send = json!({"content": content, "category": "transactional", "priority": "normal"});
    let rule = json!({"name": "crowd-news", "event": EVENT_TYPE, "audience": "subscribers", "send": send});
    api.post("/v1/rules", &rule).await?;
    Ok(())
}

fn about(subject: &str, id: String, number: u64) -> Value {
    json!({"type": EVENT_TYPE, "id": id, "subject": subject, "data": {"number": number}})
}

impl Watch<'_> {
    /// Looks at the campaign until it is over, and kills the engine where it is to be.
    async fn until_over(&mut self, progress: &mut Progress) -> Result<Campaign> {
        let mut sampled = None::<Instant>;
        loop {
            let now = self.api.campaign(&self.campaign).await?;
            if now.is_over() || sampled.is_none_or(|at| at.elapsed() >= SAMPLE_EVERY) {
                sampled = Some(Instant::now());
                self.sample(&now);
                self.host.keep_alive().await?;
            }
            let share = now.processed as f64 / self.args.followers as f64;
            progress.show(share, &format!("{} handed on, {} over", now.handed_on, now.processed));
            if now.is_over() {
                return Ok(now);
            }
            if self.posted.elapsed() > self.args.timeout {
                bail!("the campaign is not over after {:?}: {now:?}", self.args.timeout);
            }
            if is_time_to_kill(now.handed_on, self.args.followers, self.outages.len(), self.args.kills) {
                self.kill().await?;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn sample(&mut self, now: &Campaign) {
        self.samples.push(Sample {
            at_s: self.posted.elapsed().as_secs_f64(),
            handed_on: now.handed_on,
            processed: now.processed,
            resident_bytes: self.host.resident(),
        });
    }

    async fn kill(&mut self) -> Result<()> {
        let number = self.outages.len();
        self.outages.push(self.host.kill(number).await?);
        if number == 0 {
            let again = self.api.post_at_last("/v1/events", &self.event).await?;
            self.repeated_is_same = Some(text_at(&again, "/fan_outs/0/id")? == self.campaign);
        }
        ensure!(self.posted.elapsed() < self.args.timeout, "the engine was not back in time");
        Ok(())
    }
}

/// The kills divide those who are told into equal parts.
fn is_time_to_kill(handed_on: u64, followers: u64, killed: usize, kills: u16) -> bool {
    let (next, parts) = (killed as u64 + 1, u64::from(kills) + 1);
    next < parts && handed_on * parts >= followers * next
}

impl Small {
    fn of(probed: &[Probed], outages: &[Range<f64>], posted: Instant) -> Self {
        let (mut alive, mut dead, mut unsent) = (Vec::new(), Vec::new(), 0);
        let since = |at: Instant| at.saturating_duration_since(posted).as_secs_f64();
        for one in probed {
            let Some(sent) = one.sent else {
                unsent += 1;
                continue;
            };
            let took_ms = sent.saturating_duration_since(one.began).as_secs_f64() * 1000.0;
            let is_touched = series::is_touched(&(since(one.began)..since(sent)), outages);
            if is_touched { dead.push(took_ms) } else { alive.push(took_ms) }
        }
        Self { alive: series::latency(alive), dead: series::latency(dead), unsent }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kills_divide_the_followers_into_equal_parts() {
        for (handed_on, killed, kills, expected) in [
            (333, 0, 2, false),
            (334, 0, 2, true),
            (334, 1, 2, false),
            (667, 1, 2, true),
            (1000, 2, 2, false),
            (1000, 0, 0, false),
            (500, 0, 1, true),
        ] {
            assert_eq!(is_time_to_kill(handed_on, 1000, killed, kills), expected, "{handed_on} {killed} {kills}");
        }
    }

    #[test]
    fn small_events_of_dead_time_stand_apart() {
        let posted = Instant::now();
        let probed = |began: u64, sent: Option<u64>| {
            let at = |millis| posted + Duration::from_millis(millis);
            Probed { began: at(began), sent: sent.map(at) }
        };
        let small = Small::of(&[probed(0, Some(20)), probed(900, Some(2100)), probed(3000, None)], &[1.0..2.0], posted);
        assert_eq!((small.alive.count, small.dead.count, small.unsent), (1, 1, 1));
        assert!((small.alive.max_ms - 20.0).abs() < 0.001);
    }

    #[test]
    fn lines_are_what_the_engine_takes() {
        let server =
            Server::new(&crate::http_client::Url::parse("http://127.0.0.1:1").expect("legal"), None).expect("legal");
        let mut text = String::new();
        (users(&server, 5).write_line)(3, &mut text);
        (followers(&server, SMALL, 10, 5).write_line)(2, &mut text);
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(
            lines,
            [json!({"id": "u3", "email": "u3@load.example"}), json!({"user_id": "u7", "channel": "email"})]
        );
    }
}
