//! `fanfare-load run`: load at a set rate, and what came of it. In: an engine, a mock, a rate. Out: a [`Report`].
//! Promised: arrivals follow the schedule whatever the engine does, and no latency leaves out the time that a request
//! had to wait for its turn.

mod schedule;
mod load;
mod report;

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::args;
use crate::channel::Channel;
use crate::clock::now_us;
use crate::engine::{Latencies, Merge, Options, PROVIDER, ResidentSampler, Shape, Stamp, delivery_latencies};
use crate::http_client::{Server, Url, fetch};
use crate::mock_process::MockHandle;
use crate::progress::Progress;
use crate::settle::{settle, settle_items};
pub(crate) use load::{Load, Sent};
use report::{AcceptLatency, Deliveries, Report};
pub(crate) use schedule::Schedule;

/// The most notifications of one run: their ids are kept, 32 bytes each.
pub(crate) const TOTAL_MAX: u64 = 20_000_000;

/// Puts load on an engine at a set rate, and waits until everything has arrived.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The engine.
    #[arg(long, default_value = "http://127.0.0.1:8080", value_parser = Url::parse)]
    pub(crate) url: Url,
    /// Its API key.
    #[arg(long, env = "FANFARE_KEY", default_value = "dev", hide_env_values = true)]
    pub(crate) key: String,
    /// Notifications per second.
    #[arg(long, default_value = "1000", value_parser = args::rate)]
    pub(crate) rate: f64,
    /// How long, the warm-up included.
    #[arg(long, default_value = "30s", value_parser = args::duration)]
    pub(crate) duration: Duration,
    #[arg(long, value_enum, default_value_t = Channel::Webhook)]
    pub(crate) channel: Channel,
    /// Where webhooks go, the mock's `/hook` otherwise; the subscription that pushes go to, else each has a token of its own (with
    /// this before its number if it ends in a colon: FCM takes no token of digits alone); the chat
    /// provider's name, `load` otherwise.
    #[arg(long)]
    pub(crate) target: Option<String>,
    /// Notifications in a request; above 1 they go to the batch call.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(crate) batch: u16,
    /// The most requests under way at once. What has to wait for one of them waits as part of its latency.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) connections: u16,
    #[arg(long, default_value = "normal")]
    pub(crate) priority: String,
    /// The mock that takes the deliveries.
    #[arg(long, default_value = "http://127.0.0.1:9090", value_parser = Url::parse)]
    pub(crate) mock: Url,
    /// How many users take turns; otherwise each notification has a user of its own.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) users: Option<u64>,
    /// Ask to have each user's notifications merged, by so many keys in turn. The mock must be started with `--count-items`:
    /// delivered is then what the messages stand for.
    #[arg(long, requires = "users", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) merge: Option<u64>,
    /// From the first notification of a merged message until it is sent.
    #[arg(long, default_value = "60s", value_parser = args::duration)]
    pub(crate) window: Duration,
    /// The code of a template with the variables `order_id` and `name`; content of the request's own otherwise.
    #[arg(long)]
    pub(crate) template: Option<String>,
    /// Notifications are to be delivered so long after the start; `received` then shows how late they are.
    #[arg(long, value_parser = args::duration)]
    pub(crate) scheduled_in: Option<Duration>,
    /// Spread over so long.
    #[arg(long, default_value = "0", value_parser = args::duration, requires = "scheduled_in")]
    pub(crate) over: Duration,
    /// Latencies of the first so long are left out.
    #[arg(long, default_value = "0", value_parser = args::duration)]
    pub(crate) warmup: Duration,
    /// How long to wait for deliveries after the load has ended (and after the last is due).
    #[arg(long, default_value = "60s", value_parser = args::duration)]
    pub(crate) drain_timeout: Duration,
    /// Do not wait for deliveries at all.
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// Do not reset the mock before: another run uses it too. Duplicates are then those of all runs.
    #[arg(long)]
    pub(crate) keep: bool,
    /// Write the ids of what was accepted to this file, for `drain-check`.
    #[arg(long)]
    pub(crate) ids: Option<PathBuf>,
    /// The engine's process id: its memory is then read from /proc instead of its metrics.
    #[arg(long)]
    pub(crate) pid: Option<u32>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

impl RunArgs {
    /// Whether nothing was lost.
    pub(crate) async fn run(self) -> Result<bool> {
        let report = self.measure().await?;
        if self.json {
            println!("{}", serde_json::to_string_pretty(&report)?);
        } else {
            print!("{report}");
        }
        Ok(report.holds())
    }

    async fn measure(&self) -> Result<Report> {
        ensure!(self.warmup < self.duration, "the warm-up is as long as the run");
        let server = Server::new(&self.url, Some(&self.key))?;
        let mock = MockHandle::attach(&self.mock).await?;
        if !self.keep {
            mock.reset().await?;
        }
        let load = self.load(&server, &mock).await?;
        ensure!(load.total() <= TOTAL_MAX, "{} notifications are more than {TOTAL_MAX}", load.total());

        let mut progress = Progress::new(self.json);
        let before = Mutex::new(scrape(&server).await.context("cannot read the engine's metrics")?);
        let resident = ResidentSampler::start(self.pid, &server);
        let warm = async {
            if !self.warmup.is_zero()
                && let Ok(latencies) = scrape(&server).await
            {
                *before.lock().unwrap_or_else(PoisonError::into_inner) = latencies;
            }
        };
        let sent = load.send(&mut progress, warm).await?;
        if let Some(path) = &self.ids {
            write_ids(path, &sent)?;
        }

        let mut report = Report {
            offered: sent.tally.offered,
            offered_rate: sent.tally.offered as f64 / sent.elapsed.as_secs_f64(),
            accepted: sent.tally.accepted.len(),
            refused: sent.tally.refused.clone(),
            unanswered: sent.tally.unanswered,
            first_error: sent.tally.first_error.clone(),
            accept_latency: AcceptLatency::of(&sent.tally.latency),
            deliveries: None,
            delivery_latency: Default::default(),
            stamp_to_receipt: None,
            resident: None,
        };
        if !self.no_wait {
            let later = self.scheduled_in.unwrap_or_default() + self.over;
            let wait_max = self.drain_timeout + later.saturating_sub(sent.elapsed);
            let accepted = &sent.tally.accepted;
            let settlement = match self.merge {
                None => settle(&mock, accepted, wait_max, &mut progress).await?,
                Some(_) => settle_items(&mock, accepted.len(), wait_max + self.window, &mut progress).await?,
            };
            report.stamp_to_receipt = settlement.stats.latency;
            report.deliveries = Some(deliveries(&sent, &settlement));
        }
        let before = before.into_inner().unwrap_or_else(PoisonError::into_inner);
        report.delivery_latency = report::delivery_latency(&before, &scrape(&server).await?);
        report.resident = resident.finish().await;
        Ok(report)
    }

    async fn load(&self, server: &Server, mock: &MockHandle) -> Result<Load> {
        let stats = mock.stats().await?;
        let options = Options {
            channel: self.channel,
            target: self.target.clone().unwrap_or_else(|| match self.channel {
                Channel::Webhook => format!("http://{}/hook", stats.listen.http),
                Channel::Chat => PROVIDER.to_owned(),
                _ => String::new(),
            }),
            priority: self.priority.clone(),
            users: self.users,
            template: self.template.clone(),
            merge: self.merge.map(|keys| Merge { keys, window_seconds: self.window.as_secs() }),
            stamp: match stats.latency {
                Some(_) if self.channel != Channel::Webhook => Stamp::InText,
                _ => Stamp::InData,
            },
            run: now_us(),
        };
        Ok(Load {
            server: server.clone(),
            shape: Shape::new(&options),
            schedule: Schedule::new(self.rate / f64::from(self.batch), self.duration),
            batch: u64::from(self.batch),
            connections: usize::from(self.connections),
            warmup: self.warmup,
            later: self.scheduled_in.map(|after| (after, self.over)),
        })
    }
}

fn deliveries(sent: &Sent, settlement: &crate::settle::Settlement) -> Deliveries {
    let total = settlement.stats.total();
    let lost = settlement.missing.count();
    let delivered = sent.tally.accepted.len() - lost;
    let elapsed_ms = total.last_at_ms.saturating_sub(sent.started_us / 1000).max(1);
    Deliveries {
        delivered,
        lost,
        messages: total.accepted,
        too_many: settlement.stats.items.unwrap_or_default().saturating_sub(sent.tally.accepted.len()),
        lost_ids: settlement.missing.names(),
        duplicates: total.duplicates,
        deduplicated: total.deduplicated,
        rate: delivered as f64 * 1000.0 / elapsed_ms as f64,
    }
}

async fn scrape(server: &Server) -> Result<Latencies> {
    let metrics = fetch(server, "/metrics").await?;
    Ok(delivery_latencies(&String::from_utf8_lossy(&metrics)))
}

fn write_ids(path: &std::path::Path, sent: &Sent) -> Result<()> {
    let mut lines = String::new();
    for id in sent.tally.accepted.ids() {
        lines += &format!("{id}\n");
    }
    std::fs::write(path, lines).with_context(|| format!("cannot write `{}`", path.display()))
}

#[cfg(test)]
mod tests;
