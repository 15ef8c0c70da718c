//! What `compare` found, for people and for programs.

use std::fmt;

use serde::Serialize;

use crate::channel::Channel;
use crate::engine::Resident;
use crate::mock::Kind;
use crate::text::Megabytes;

/// Rates are deliveries per second.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) channel: Channel,
    /// The provider's API, where it is not the channel's usual one.
    pub(super) kind: Option<Kind>,
    pub(super) count: u64,
    pub(super) bare_before: f64,
    pub(super) engine: Engine,
    pub(super) bare_after: f64,
    /// The engine's rate by the mean of the bare rates.
    pub(super) ratio: f64,
}

/// The engine's part.
#[derive(Debug, Serialize)]
pub(super) struct Engine {
    /// From the first POST to the last delivery.
    pub(super) rate: f64,
    /// From the first POST to the last answer.
    pub(super) accept_rate: f64,
    pub(super) accepted: u64,
    pub(super) refused_items: u64,
    /// Answers of 429 and 503.
    pub(super) pushed_back: u64,
    pub(super) unanswered: u64,
    pub(super) lost: u64,
    /// The first few of the lost by name.
    pub(super) lost_ids: Vec<String>,
    pub(super) duplicates: u64,
    /// In bytes.
    pub(super) resident: Option<Resident>,
    pub(super) processor_seconds: Processor,
}

/// Processor time while the engine was measured, where the process is known.
#[derive(Debug, Serialize)]
pub(super) struct Processor {
    pub(super) engine: Option<f64>,
    pub(super) mock: Option<f64>,
    pub(super) harness: Option<f64>,
}

impl Report {
    pub(super) fn new(
        channel: Channel,
        kind: Option<Kind>,
        count: u64,
        bare_before: f64,
        engine: Engine,
        bare_after: f64,
    ) -> Self {
        let ratio = engine.rate / ((bare_before + bare_after) / 2.0);
        Self { channel, kind, count, bare_before, engine, bare_after, ratio }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let engine = &self.engine;
        writeln!(f, "{} deliveries each, by {}", self.count, self.kind.map_or(self.channel.name(), Kind::name))?;
        writeln!(f, "bare before  {:.0}/s", self.bare_before)?;
        writeln!(f, "engine       {:.0}/s (accepted at {:.0}/s)", engine.rate, engine.accept_rate)?;
        writeln!(f, "bare after   {:.0}/s", self.bare_after)?;
        writeln!(f, "ratio        {:.3}", self.ratio)?;
        writeln!(f, "accepted     {} ({} answers of 429 or 503)", engine.accepted, engine.pushed_back)?;
        if engine.refused_items + engine.unanswered > 0 {
            writeln!(f, "refused      {}, unanswered {}", engine.refused_items, engine.unanswered)?;
        }
        writeln!(f, "lost         {}", engine.lost)?;
        for id in &engine.lost_ids {
            writeln!(f, "             {id}")?;
        }
        writeln!(f, "duplicates   {}", engine.duplicates)?;
        if let Some(resident) = &engine.resident {
            writeln!(f, "memory       {}", Megabytes(resident))?;
        }
        let seconds = |time: Option<f64>| time.map_or("unknown".into(), |time| format!("{time:.2} s"));
        let Processor { engine, mock, harness } = &engine.processor_seconds;
        writeln!(f, "processor    engine {}  mock {}  harness {}", seconds(*engine), seconds(*mock), seconds(*harness))
    }
}
