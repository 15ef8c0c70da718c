//! What had the least left.

use super::file::Scenario;
use super::watch::Used;
use crate::measured::{Limit, Machine, Measured};

/// Of everything that can end, the one that was used most; `before` and `after` are the ends of the load.
pub(super) fn limit(scenario: &Scenario, measured: &Measured, before: &Used, after: &Used) -> Option<Limit> {
    let seconds = (after.at_seconds - before.at_seconds).max(1e-3);
    let mut limits = vec![
        processor(&measured.machine, before, after, seconds),
        harness(before, after, seconds),
        memory(measured),
        disk(before, after, seconds),
    ];
    limits.extend(providers(scenario, measured, seconds));
    limits.extend(rates(before, after, seconds));
    limits.into_iter().max_by(|one, other| one.share.total_cmp(&other.share))
}

fn processor(machine: &Machine, before: &Used, after: &Used, seconds: f64) -> Limit {
    let engine = (after.engine - before.engine) / seconds;
    let (harness, mock) = ((after.harness - before.harness) / seconds, (after.mock - before.mock) / seconds);
    let beside = if machine.is_shared { harness + mock } else { 0.0 };
    let cores = f64::from(machine.cores);
    let share = (engine + beside) / cores;
    let why = format!(
        "{:.2} of {cores} cores were used: the engine {engine:.2}, the harness {harness:.2}, the mock {mock:.2}",
        engine + beside
    );
    Limit { resource: "processor".into(), share, why }
}

/// It has one thread for everything that it sends.
fn harness(before: &Used, after: &Used, seconds: f64) -> Limit {
    let cores = (after.harness - before.harness) / seconds;
    let why = format!("the harness used {cores:.2} of the one core that it can use: it may not have kept its rate");
    Limit { resource: "harness".into(), share: cores, why }
}

fn memory(measured: &Measured) -> Limit {
    let most = measured.engines.iter().map(|engine| engine.memory_max).sum::<u64>();
    let share = most as f64 / measured.machine.memory.max(1) as f64;
    let why = format!("the engine took {:.0} MB of {:.0} MB", most as f64 / 1e6, measured.machine.memory as f64 / 1e6);
    Limit { resource: "memory".into(), share, why }
}

fn disk(before: &Used, after: &Used, seconds: f64) -> Limit {
    let share = (after.disk_busy - before.disk_busy) / seconds;
    let written = after.disk_written.saturating_sub(before.disk_written) as f64 / seconds / 1e6;
    let busy = share * 100.0;
    let why =
        format!("the busiest disk had something to do for {busy:.0} % of the time; the engine wrote {written:.1} MB/s");
    Limit { resource: "disk".into(), share, why }
}

/// Limits of the mock's own, where the scenario sets some.
fn providers(scenario: &Scenario, measured: &Measured, seconds: f64) -> Vec<Limit> {
    let mut limits = Vec::new();
    for (kind, keys) in &scenario.providers {
        let Some(most) = keys.get("limit_per_second").and_then(serde_json::Value::as_f64) else { continue };
        let of_kind =
            |stream: &&super::file::Stream| stream.kind().is_ok_and(|own| own.is_some_and(|own| own.name() == kind));
        let Some(stream) = scenario.streams.iter().find(of_kind) else { continue };
        let Some(account) = measured.by_channel.get(stream.channel().name()) else { continue };
        let rate = account.delivered as f64 / seconds;
        let why = format!("`{kind}` took {rate:.0} of the {most:.0} a second that it allows");
        limits.push(Limit { resource: format!("provider:{kind}"), share: rate / most, why });
    }
    limits
}

/// Rates that the engine itself keeps.
fn rates(before: &Used, after: &Used, seconds: f64) -> Vec<Limit> {
    let share = |(name, waited): (&String, &f64)| {
        let share = (waited - before.rate_wait.get(name).unwrap_or(&0.0)) / seconds;
        let why = format!("provider `{name}` waited for its rate for {:.0} % of the time", share * 100.0);
        Limit { resource: format!("provider:{name}"), share: share.min(1.0), why }
    };
    after.rate_wait.iter().map(share).filter(|limit| limit.share > 0.01).collect()
}
