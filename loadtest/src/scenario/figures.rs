//! From what was counted to what is reported: percentiles, accounts and objectives.

use std::collections::{BTreeMap, HashSet};

use hdrhistogram::Histogram;

use super::driver::Tally;
use super::file::Scenario;
use super::watch::Used;
use crate::engine::{Buckets, Quantile, notification};
use crate::http_client::Server;
use crate::ids::ShortId;
use crate::ledger::{Ledger, Missing};
use crate::measured::{Account, Measured, Objective, Percentiles, Sample};
use crate::mock::LatencyStats;

/// Shares of the curve of a latency: dense where people look.
const CURVE: [f64; 17] =
    [0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9999, 1.0];
/// Of those that did not arrive, the engine is asked about so many at most; a call each.
const ASKED_MAX: usize = 5000;

pub(super) fn milliseconds(quantile: Quantile) -> f64 {
    match quantile {
        Quantile::Seconds(seconds) | Quantile::Above(seconds) => seconds * 1000.0,
    }
}

/// Of a histogram in microseconds.
pub(super) fn of_histogram(histogram: &Histogram<u64>) -> Percentiles {
    let at = |share: f64| histogram.value_at_quantile(share) as f64 / 1000.0;
    Percentiles {
        count: histogram.len(),
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        p999: at(0.999),
        max: histogram.max() as f64 / 1000.0,
        curve: CURVE.map(|share| [share, at(share)]).to_vec(),
    }
}

/// Of the engine's buckets; nothing where nothing was recorded.
pub(super) fn of_buckets(buckets: &Buckets) -> Percentiles {
    let at = |share: f64| buckets.quantile(share).map_or(0.0, milliseconds);
    Percentiles {
        count: buckets.count() as u64,
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        p999: at(0.999),
        max: at(1.0),
        curve: CURVE.map(|share| [share, at(share)]).to_vec(),
    }
}

/// As the mock measured it: it keeps no curve.
pub(super) fn of_mock(latency: &LatencyStats) -> Percentiles {
    let ms = |us: u64| us as f64 / 1000.0;
    Percentiles {
        count: latency.count,
        p50: ms(latency.p50_us),
        p90: ms(latency.p90_us),
        p99: ms(latency.p99_us),
        p999: ms(latency.p999_us),
        max: ms(latency.max_us),
        curve: [(0.5, latency.p50_us), (0.9, latency.p90_us), (0.99, latency.p99_us), (0.999, latency.p999_us)]
            .map(|(share, us)| [share, ms(us)])
            .to_vec(),
    }
}

/// What was handed over since `before`, by priority, and how much of it late by `(channel, priority)`.
pub(super) fn handed_over(
    scenario: &Scenario,
    before: &Used,
    after: &Used,
) -> (BTreeMap<String, Percentiles>, BTreeMap<(String, String), u64>) {
    let mut by_priority = BTreeMap::<String, Buckets>::new();
    let mut late = BTreeMap::new();
    for (channel, latencies) in &after.handed {
        for (priority, buckets) in latencies {
            let earlier = before.handed.get(channel).and_then(|latencies| latencies.get(priority));
            let since = buckets.since(earlier);
            if since.count() <= 0.0 {
                continue;
            }
            let limit = hand_over_limit(scenario, priority);
            let count = limit.map_or(0.0, |limit| since.count() - since.within(limit / 1000.0));
            late.insert((channel.clone(), priority.clone()), count.round() as u64);
            by_priority.entry(priority.clone()).or_default().merge(&since);
        }
    }
    (by_priority.iter().map(|(priority, buckets)| (priority.clone(), of_buckets(buckets))).collect(), late)
}

/// In milliseconds.
fn hand_over_limit(scenario: &Scenario, priority: &str) -> Option<f64> {
    let own = scenario.objectives.get(&format!("hand_over_p99_ms.{priority}"));
    own.or_else(|| scenario.objectives.get("hand_over_p99_ms")).copied()
}

/// What became of a stream; `ids` are those that the mocks saw.
pub(super) async fn account(tally: &Tally, missing: &Missing, server: &Server) -> Account {
    let lost = missing.count();
    let explained = match missing {
        Missing::Named(ids) => explained(ids, server).await,
        Missing::Counted(_) => 0,
    };
    Account {
        offered: tally.offered,
        accepted: tally.accepted.len(),
        refused: tally.refused,
        unanswered: tally.unanswered,
        delivered: tally.accepted.len() - lost,
        lost: lost - explained,
        explained,
        duplicated: 0,
        late: 0,
    }
}

/// Of those that did not arrive, how many the engine has a reason for: it skipped them, or they expired, or failed for good.
async fn explained(ids: &[ShortId], server: &Server) -> u64 {
    let mut explained = 0;
    for id in ids.iter().take(ASKED_MAX) {
        let said = notification(server, &id.to_string()).await;
        let reasons = ["skipped", "expired", "failed", "cancelled"];
        let has = |reason: &&str| {
            said.contains(&format!(r#""status":"{reason}""#)) || said.contains(&format!(r#""status": "{reason}""#))
        };
        explained += u64::from(reasons.iter().any(has));
    }
    explained
}

/// Ids that were taken more than once, by stream: `lines` of the mock, `id count` each.
pub(super) fn duplicates(ledgers: &[&Ledger], lines: &[u8]) -> Vec<u64> {
    let mut repeated = Ledger::default();
    let mut times = BTreeMap::new();
    for line in lines.split(|byte| *byte == b'\n') {
        let Some(at) = line.iter().rposition(|byte| *byte == b' ') else { continue };
        let count: u64 = std::str::from_utf8(&line[at + 1..]).ok().and_then(|count| count.parse().ok()).unwrap_or(1);
        if count > 1
            && let Some(id) = ShortId::new(&line[..at])
        {
            repeated.add([id]);
            times.insert(id.to_string(), count - 1);
        }
    }
    // Few, if any: each is looked for among the accepted by what the ids have in common.
    let mut counts = vec![0; ledgers.len()];
    if times.is_empty() {
        return counts;
    }
    for (count, ledger) in counts.iter_mut().zip(ledgers) {
        let stems: HashSet<String> = ledger.ids().iter().map(|id| id.to_string().replacen("ntf_", "", 1)).collect();
        for (id, more) in &times {
            let task = id.strip_prefix("tsk_").unwrap_or(id);
            let is_own = (1..=task.len()).any(|length| task.get(..length).is_some_and(|stem| stems.contains(stem)));
            *count += if is_own { *more } else { 0 };
        }
    }
    counts
}

/// Sums one account into another.
pub(super) fn add(sum: &mut Account, one: &Account) {
    sum.offered += one.offered;
    sum.accepted += one.accepted;
    sum.refused += one.refused;
    sum.unanswered += one.unanswered;
    sum.delivered += one.delivered;
    sum.lost += one.lost;
    sum.explained += one.explained;
    sum.duplicated += one.duplicated;
    sum.late += one.late;
}

/// What the scenario wants, and what was reached.
pub(super) fn objectives(scenario: &Scenario, measured: &Measured) -> Vec<Objective> {
    let judge = |(name, limit): (&String, &f64)| {
        let value = value_of(name, measured);
        Objective { name: name.clone(), limit: *limit, value, holds: value.is_some_and(|value| value <= *limit) }
    };
    scenario.objectives.iter().map(judge).collect()
}

fn value_of(name: &str, measured: &Measured) -> Option<f64> {
    let (name, priority) = name.split_once('.').map_or((name, None), |(name, priority)| (name, Some(priority)));
    let account = match priority {
        None => &measured.total,
        Some(priority) => measured.by_priority.get(priority)?,
    };
    let share = |count: u64, of: u64| (of > 0).then(|| count as f64 / of as f64);
    match name {
        "create_p50_ms" => (measured.create.count > 0).then_some(measured.create.p50),
        "create_p99_ms" => (measured.create.count > 0).then_some(measured.create.p99),
        "hand_over_p99_ms" => match priority {
            Some(priority) => measured.hand_over.get(priority).map(|latency| latency.p99),
            // The worst of them: one slow priority is not to be hidden by a fast one.
            None => measured.hand_over.values().map(|latency| latency.p99).max_by(f64::total_cmp),
        },
        "lost" => Some(account.lost as f64),
        "duplicated" => Some(account.duplicated as f64),
        "refused_share" => share(account.refused + account.unanswered, account.offered),
        "late_share" => share(account.late, account.delivered),
        "memory_growth" => memory_growth(&measured.series, measured.seconds),
        _ => None,
    }
}

/// By how much the mean of the last fifth of the load is above that of the second one, as a share: the first still fills what is
/// bounded.
pub(super) fn memory_growth(series: &[Sample], seconds: f64) -> Option<f64> {
    let mean = |from: f64, to: f64| {
        let within =
            |sample: &&Sample| (from * seconds..to * seconds).contains(&sample.at_seconds) && sample.memory > 0;
        let values: Vec<f64> = series.iter().filter(within).map(|sample| sample.memory as f64).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    };
    Some(mean(0.8, 1.0)? / mean(0.2, 0.4)? - 1.0)
}
