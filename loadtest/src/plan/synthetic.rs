//! Results of an engine that behaves exactly as the laws say, for tests.

use std::collections::BTreeMap;

use serde_json::json;

use super::numbers::waiting;
use super::runs::Run;
use crate::measured::{Engine as Used, FORMAT, Measured, Sample};

/// What such an engine costs.
#[derive(Debug, Clone)]
pub(crate) struct Engine {
    pub(crate) idle: f64,
    pub(crate) email_us: f64,
    pub(crate) push_us: f64,
}

impl Default for Engine {
    fn default() -> Self {
        Self { idle: 0.05, email_us: 60.0, push_us: 40.0 }
    }
}

/// A minute at a rate, with a share of e-mails, on two cores that the harness shares (10 µs each).
pub(crate) fn measured(engine: &Engine, rate: f64, email: f64) -> Measured {
    let seconds = 60.0;
    let cores = engine.idle + rate * (email * engine.email_us + (1.0 - email) * engine.push_us) / 1e6;
    let beside = rate * 10.0 / 1e6;
    // A run ends some time, and so does the wait in it.
    let wait = waiting((cores + beside) / 2.0, 2.0).min(1e6);
    let account = |share: f64| {
        let count = (rate * share * seconds).round() as u64;
        let none = 0;
        json!({"offered": count, "accepted": count, "delivered": count, "refused": none, "unanswered": none, "lost": none,
            "duplicated": none, "late": none})
    };
    let percentiles = |p50: f64| json!({"count": 1000, "p50": p50, "p90": 3.0 * p50, "p99": 6.0 * p50, "p999": 8.0 * p50, "max": 9.0 * p50, "curve": []});
    let sample = |second: u32| Sample {
        at_seconds: f64::from(second),
        engine_cores: cores * (1.0 + 0.02 * f64::from(second * 7 % 11) - 0.1),
        ..Sample::default()
    };
    let used = Used {
        name: "a".into(),
        cpu_seconds: cores * seconds,
        memory_max: (100e6 + 5e3 * rate) as u64,
        disk_written: (rate * seconds * 2000.0) as u64,
        stored: (rate * seconds * 400.0) as u64,
        operations: BTreeMap::from([("store.write".to_owned(), (seconds * (20.0 + rate / 50.0)) as u64)]),
        ..Used::default()
    };
    // As a file has it, so that a field that is added needs no word here.
    let file = json!({
        "format": FORMAT, "scenario": "synthetic", "description": "", "started_at": 0, "seconds": seconds, "warmup_seconds": 0.0,
        "machine": {"cores": 2, "memory": 8_000_000_000u64, "engine_version": "0", "nodes": 1, "backends": "embedded", "partitions": 8, "is_shared": true},
        "offered_rate": rate, "scale": 1.0, "objectives": [], "total": account(1.0), "by_priority": {},
        "by_channel": {"email": account(email), "push": account(1.0 - email)},
        "create": percentiles(1.0 + 2.0 * wait), "hand_over": {"normal": percentiles(2.0 + 4.0 * wait)}, "received": null,
        "engines": [used], "harness_cpu_seconds": beside * seconds, "mock_cpu_seconds": 0.0, "limit": null,
        "series": (0..60).map(sample).collect::<Vec<_>>(),
    });
    serde_json::from_value(file).expect("a result as it is written")
}

/// The same, as the planner looks at it.
pub(crate) fn run(engine: &Engine, rate: f64, email: f64) -> Run {
    Run::of(&measured(engine, rate, email), &format!("{rate}.json")).expect("sound")
}
