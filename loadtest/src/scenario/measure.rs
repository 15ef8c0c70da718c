//! One run of a scenario, from the first request until everything is accounted for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Map, Value};
use tokio::time::MissedTickBehavior;

use super::body::Letters;
use super::curve::Spacing;
use super::driver::{Driver, Sending, Shared, Tally};
use super::file::{Fault, Scenario, SpacingKind, Stream};
use super::place::{Place, PlaceArgs};
use super::watch::{Used, Watch, stored, sum_by};
use super::{figures, limit};
use crate::clock::now_us;
use crate::ledger::{Ledger, Missing};
use crate::measured::{Account, Engine, FORMAT, Machine, Measured, Sample};
use crate::mock::Behaviour;
use crate::progress::Progress;
use crate::run::TOTAL_MAX;
use crate::settle::{settle, settle_items};

const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What a run is to be like, beside its file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Way {
    pub(crate) scale: f64,
    /// Keeps the data of several runs apart.
    pub(crate) number: u32,
    /// Whether the data stays where it is.
    pub(crate) keep: bool,
}

/// When something about the providers changes.
struct Change<'a> {
    at: Duration,
    provider: &'a str,
    keys: Map<String, Value>,
}

/// What the load has come to.
struct Loaded {
    shared: Arc<Shared>,
    started_us: u64,
    /// When the warm-up was over, and when the load was.
    warm: Used,
    end: Used,
    tallies: Vec<Tally>,
    create: crate::measured::Percentiles,
    watch: Watch,
}

pub(crate) async fn measure(
    scenario: &Scenario,
    place: &PlaceArgs,
    way: Way,
    progress: &mut Progress,
) -> Result<Measured> {
    let place = place.prepare(scenario, way.scale, way.number).await?;
    let measured = on(&place, scenario, way.scale, progress).await;
    place.end(way.keep || measured.is_err()).await?;
    measured
}

async fn on(place: &Place, scenario: &Scenario, scale: f64, progress: &mut Progress) -> Result<Measured> {
    let stored_before = place.data.as_deref().map_or(0, stored);
    let mut loaded = load(place, scenario, scale, progress).await?;
    let wait = wait(place, scenario, &loaded.tallies, loaded.started_us, progress);
    let (missing, merged_missing) = tokio::select! {
        waited = wait => waited?,
        // How it recovers is a part of what is to be seen.
        failed = keep_looking(&mut loaded.watch, place, &loaded.shared) => failed?,
    };
    let accounts = accounts(place, scenario, &loaded, &missing, merged_missing).await?;
    let after = Used::look(place, Instant::now()).await?;
    let (hand_over, late) = figures::handed_over(scenario, &loaded.warm, &after);
    let seconds = loaded.end.at_seconds - loaded.warm.at_seconds;
    let mut measured = Measured {
        format: FORMAT,
        scenario: scenario.name.clone(),
        description: scenario.description.clone(),
        started_at: loaded.started_us / 1000,
        seconds,
        warmup_seconds: scenario.warmup.as_secs_f64(),
        machine: machine(place).await?,
        offered_rate: offered_rate(&loaded.watch.series, seconds),
        scale,
        objectives: Vec::new(),
        total: Account::default(),
        by_priority: BTreeMap::new(),
        by_channel: BTreeMap::new(),
        create: loaded.create.clone(),
        hand_over,
        received: place
            .mock
            .stats()
            .await?
            .latency
            .filter(|latency| latency.count > 0)
            .map(|latency| figures::of_mock(&latency)),
        engines: engines(place, &loaded, stored_before),
        harness_cpu_seconds: loaded.end.harness - loaded.warm.harness,
        mock_cpu_seconds: loaded.end.mock - loaded.warm.mock,
        limit: None,
        series: Vec::new(),
        refused_because: loaded.tallies.iter().find_map(|tally| tally.first_error.clone()),
        faults: scenario.faults.iter().map(told).collect(),
    };
    for (stream, account) in scenario.streams.iter().zip(&accounts) {
        figures::add(&mut measured.total, account);
        figures::add(measured.by_priority.entry(stream.priority.clone()).or_default(), account);
        figures::add(measured.by_channel.entry(stream.channel().name().to_owned()).or_default(), account);
    }
    for ((channel, priority), count) in late {
        measured.total.late += count;
        measured.by_priority.entry(priority).or_default().late += count;
        measured.by_channel.entry(channel).or_default().late += count;
    }
    measured.limit = limit::limit(scenario, &measured, &loaded.warm, &loaded.end);
    measured.series = loaded.watch.series;
    measured.objectives = figures::objectives(scenario, &measured);
    Ok(measured)
}

/// The mean of the looks after the warm-up.
fn offered_rate(series: &[Sample], seconds: f64) -> f64 {
    let is_of_load = |sample: &&Sample| sample.at_seconds > 0.0 && sample.at_seconds <= seconds + 0.5;
    let rates: Vec<f64> = series.iter().filter(is_of_load).map(|sample| sample.offered).collect();
    rates.iter().sum::<f64>() / rates.len().max(1) as f64
}

/// Sends everything, and looks once a second.
async fn load(place: &Place, scenario: &Scenario, scale: f64, progress: &mut Progress) -> Result<Loaded> {
    let mut changes = changes(scenario).into_iter().peekable();
    let mut driver = Driver::start(&place.server, sendings(place, scenario, scale)?, scenario.warmup)?;
    let shared = Arc::clone(&driver.shared);
    let mut watch = Watch::start(place, shared.started, scenario.warmup.as_secs_f64()).await?;
    let mut warm = scenario.warmup.is_zero().then(|| watch.last().clone());
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks.tick().await;
    loop {
        tokio::select! {
            ended = driver.ended() => if !ended? { break },
            _ = ticks.tick() => {
                while let Some(change) = changes.next_if(|change| shared.started.elapsed() >= change.at) {
                    place.change(change.provider, &change.keys).await?;
                }
                watch.look(place, &shared).await?;
                if warm.is_none() && shared.started.elapsed() >= scenario.warmup {
                    warm = Some(watch.last().clone());
                }
                show(&watch, scenario, progress);
            }
        }
    }
    // What is still to change must not outlive the load: a provider would stay out for good.
    for change in changes {
        place.change(change.provider, &change.keys).await?;
    }
    let end = watch.look(place, &shared).await?.clone();
    let started_us = shared.started_us;
    let (tallies, latency) = driver.finish()?;
    let warm = warm.context("the load ended before its warm-up did: is the engine there?")?;
    Ok(Loaded { shared, started_us, warm, end, tallies, create: figures::of_histogram(&latency), watch })
}

fn sendings(place: &Place, scenario: &Scenario, scale: f64) -> Result<Vec<Sending>> {
    let run = now_us();
    let mut sendings = Vec::new();
    let mut total = 0.0;
    for (number, stream) in scenario.streams.iter().enumerate() {
        let curve = scenario.curve(stream, scale)?;
        total += curve.total() * stream.batch as f64;
        let seed = scenario.seed.wrapping_mul(1000).wrapping_add(number as u64);
        sendings.push(Sending {
            letters: Letters::new(stream, number, &place.mock_http, run, scenario.seed),
            curve,
            spacing: match scenario.spacing {
                SpacingKind::Even => Spacing::Even,
                SpacingKind::Poisson => Spacing::Poisson { seed },
            },
            batch: stream.batch,
            connections: stream.connections,
            later: stream.scheduled_in.map(|after| (after, stream.scheduled_over)),
        });
    }
    anyhow::ensure!(
        total <= TOTAL_MAX as f64,
        "{total:.0} notifications are more than {TOTAL_MAX}: make it shorter or slower"
    );
    Ok(sendings)
}

/// In the order of time: what each fault does, and takes back.
fn changes(scenario: &Scenario) -> Vec<Change<'_>> {
    let mut changes = Vec::new();
    for fault in &scenario.faults {
        let at = scenario.warmup + fault.at;
        changes.push(Change { at, provider: &fault.provider, keys: fault.behaviour.clone() });
        changes.push(Change { at: at + fault.lasting, provider: &fault.provider, keys: usual(scenario, fault) });
    }
    changes.sort_by_key(|change| change.at);
    changes
}

/// How the provider behaves without the fault: as the scenario begins, else as a mock does.
fn usual(scenario: &Scenario, fault: &Fault) -> Map<String, Value> {
    let plain = serde_json::to_value(Behaviour::default()).unwrap_or_default();
    let usual = |key: &String| {
        let set = [fault.provider.as_str(), "all"].into_iter().find_map(|kind| scenario.providers.get(kind)?.get(key));
        let stem = key.strip_suffix("_ms").map_or_else(|| key.clone(), |stem| format!("{stem}_us"));
        (key.clone(), set.or(plain.get(&stem)).cloned().unwrap_or(Value::Null))
    };
    fault.behaviour.keys().map(usual).collect()
}

fn told(fault: &Fault) -> crate::measured::Disturbance {
    let what = Value::Object(fault.behaviour.clone()).to_string();
    crate::measured::Disturbance {
        from_seconds: fault.at.as_secs_f64(),
        to_seconds: (fault.at + fault.lasting).as_secs_f64(),
        what: format!("{}: {}", fault.provider, what.replace(['{', '}', '"'], "")),
    }
}

fn show(watch: &Watch, scenario: &Scenario, progress: &mut Progress) {
    let Some(sample) = watch.series.last() else { return };
    let whole = scenario.whole().as_secs_f64();
    let at = sample.at_seconds + scenario.warmup.as_secs_f64();
    let queued: f64 = sample.queued.values().sum();
    let text = format!(
        "{at:.0} s  offered {:.0}/s  delivered {:.0}/s  create P99 {:.1} ms  hand-over P99 {:.0} ms  queued {queued:.0}  engine {:.2} cores",
        sample.offered,
        sample.delivered,
        sample.create_p99.unwrap_or(0.0),
        sample.hand_over_p99.unwrap_or(0.0),
        sample.engine_cores,
    );
    progress.show(at / whole, &text);
}

/// Once a second, while deliveries are waited for. Returns only when a look fails.
async fn keep_looking(watch: &mut Watch, place: &Place, shared: &Shared) -> Result<(Vec<Missing>, u64)> {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        watch.look(place, shared).await?;
    }
}

/// Until everything has arrived: what did not of each stream that is compared by ids, and how many merged ones did not.
async fn wait(
    place: &Place,
    scenario: &Scenario,
    tallies: &[Tally],
    started_us: u64,
    progress: &mut Progress,
) -> Result<(Vec<Missing>, u64)> {
    let elapsed = Duration::from_micros(now_us().saturating_sub(started_us));
    let last_due = |stream: &Stream| stream.scheduled_in.map_or(Duration::ZERO, |after| after + stream.scheduled_over);
    let latest = scenario.streams.iter().map(last_due).max().unwrap_or_default();
    let wait_max = scenario.drain + latest.saturating_sub(elapsed);
    let mut all = Ledger::default();
    let mut merged = None;
    for (stream, tally) in scenario.streams.iter().zip(tallies) {
        match stream.merge_window {
            None => all.add(tally.accepted.ids().iter().copied()),
            Some(window) => merged = Some((tally.accepted.len(), window)),
        }
    }
    let mut merged_missing = 0;
    if let Some((accepted, window)) = merged {
        merged_missing = settle_items(&place.mock, accepted, wait_max + window, progress).await?.missing.count();
    }
    settle(&place.mock, &all, wait_max, progress).await?;
    let ids = place.mock.ids().await?;
    Ok((tallies.iter().map(|tally| tally.accepted.missing(&ids)).collect(), merged_missing))
}

/// Of each stream.
async fn accounts(
    place: &Place,
    scenario: &Scenario,
    loaded: &Loaded,
    missing: &[Missing],
    merged_missing: u64,
) -> Result<Vec<Account>> {
    let ids = place.mock.ids().await?;
    let ledgers: Vec<&Ledger> = loaded.tallies.iter().map(|tally| &tally.accepted).collect();
    let duplicates = figures::duplicates(&ledgers, &ids);
    let mut accounts = Vec::new();
    for (((stream, tally), missing), duplicated) in
        scenario.streams.iter().zip(&loaded.tallies).zip(missing).zip(duplicates)
    {
        // A merged notification's id is in no message: what messages stand for is added up instead.
        let by_items = Missing::Counted(merged_missing);
        let missing = if stream.merge_window.is_some() { &by_items } else { missing };
        accounts.push(Account { duplicated, ..figures::account(tally, missing, &place.server).await });
    }
    Ok(accounts)
}

async fn machine(place: &Place) -> Result<Machine> {
    let scrape = place.scrape().await?;
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total =
        meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse::<u64>().ok());
    Ok(Machine {
        cores: std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32),
        memory: total.unwrap_or(0) * 1024,
        engine_version: place.version.clone(),
        nodes: place.metrics.len() as u32,
        backends: if place.metrics.len() > 1 { "distributed".into() } else { "embedded".into() },
        partitions: sum_by(&scrape, "fanfare_partition_lag", "partition").len() as u32,
        is_shared: !place.pids.is_empty() && place.mock.pid().is_some(),
    })
}

fn engines(place: &Place, loaded: &Loaded, stored_before: u64) -> Vec<Engine> {
    let (warm, end) = (&loaded.warm, &loaded.end);
    let count = end.engines.len().max(1) as u64;
    let series = || loaded.watch.series.iter().filter(|sample| sample.at_seconds >= 0.0).map(|sample| sample.memory);
    let grown = place.data.as_deref().map_or(0, stored).saturating_sub(stored_before);
    let operation = |(name, after): (&String, &f64)| {
        (format!("store.{name}"), ((after - warm.operations.get(name).unwrap_or(&0.0)).max(0.0) as u64) / count)
    };
    let used = |(index, cpu): (usize, &f64)| Engine {
        name: format!("engine-{}", index + 1),
        cpu_seconds: cpu - warm.engines.get(index).unwrap_or(&0.0),
        // Of several engines the mean: they are looked at together.
        memory_start: warm.memory / count,
        memory_end: end.memory / count,
        memory_max: series().max().unwrap_or(0) / count,
        disk_read: end.disk_read.saturating_sub(warm.disk_read) / count,
        disk_written: end.disk_written.saturating_sub(warm.disk_written) / count,
        stored: grown / count,
        operations: end.operations.iter().map(operation).filter(|(_, count)| *count > 0).collect(),
    };
    end.engines.iter().enumerate().map(used).collect()
}
