//! The plan file: what is to be carried, by what, and what may fail. Everything in it is an assumption, and is called so wherever it is used.
//!
//! Promised: a plan that was read has only finite numbers within sensible bounds, and names that fit together.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

/// A plan.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plan {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) description: String,
    pub(crate) demand: Demand,
    pub(crate) channels: Vec<Channel>,
    #[serde(default)]
    pub(crate) providers: Vec<Provider>,
    pub(crate) failures: Failures,
    pub(crate) node: Node,
    #[serde(default)]
    pub(crate) engine: Engine,
    #[serde(default)]
    pub(crate) objectives: Objectives,
    #[serde(default)]
    pub(crate) scaling: Scaling,
    /// What is kept, by its kind.
    pub(crate) retention: BTreeMap<String, Kept>,
    pub(crate) kafka: Option<Kafka>,
    pub(crate) store: Option<Store>,
    pub(crate) redis: Option<Redis>,
    /// Prices a month of what does not grow: a load balancer, monitoring.
    #[serde(default)]
    pub(crate) fixed: BTreeMap<String, f64>,
    /// A table of costs that somebody published for the same demand, to be compared.
    pub(crate) published: Option<Published>,
}

/// How much there is to tell.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Demand {
    pub(crate) daily_users: f64,
    /// To each of them a day.
    pub(crate) notifications_each: f64,
    /// The busiest second beside the average one.
    pub(crate) peak_factor: f64,
    /// More users after a year, as a share: 0.5 is half more.
    #[serde(default)]
    pub(crate) growth_a_year: f64,
    /// For when the plan is made.
    #[serde(default)]
    pub(crate) months_ahead: f64,
    /// Notifications that wait (after an outage, or of a campaign) and are to be drained while more come.
    #[serde(default)]
    pub(crate) backlog: f64,
    #[serde(default = "thirty")]
    pub(crate) days_a_month: f64,
}

/// A way to people.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Channel {
    pub(crate) name: String,
    /// Of all notifications. They add up to 1.
    pub(crate) share: f64,
    /// Of a message, in dollars.
    #[serde(default)]
    pub(crate) price: f64,
    /// Calls of a provider for one notification: above 1 by retries, or several devices of a user.
    #[serde(default = "one")]
    pub(crate) calls_each: f64,
}

/// Who delivers, and how much of it they take.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Provider {
    pub(crate) name: String,
    pub(crate) channel: String,
    /// Calls a second.
    pub(crate) rate_per_second: f64,
    /// Where the limit is said.
    #[serde(default = "the_plan")]
    pub(crate) why: String,
}

/// What may be gone at once, with everything else going on as promised.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Failures {
    pub(crate) nodes: u32,
    /// Of each channel.
    pub(crate) providers: u32,
}

/// A machine with an engine.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Node {
    pub(crate) cores: f64,
    pub(crate) memory_gb: f64,
    pub(crate) disk_gb: f64,
    pub(crate) price_a_month: f64,
    /// The share of cores, memory and disk that may be used at the peak, with nodes gone.
    pub(crate) utilisation: f64,
    /// What its disk writes, in MB a second, where that is known.
    pub(crate) disk_write_mb: Option<f64>,
    /// How much faster a core is than those that were measured.
    #[serde(default = "one")]
    pub(crate) core_speed: f64,
}

/// What stands in for measurements where there are none.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Engine {
    /// Microseconds of processor time for a notification, by channel; `default` is that of the others.
    #[serde(default)]
    pub(crate) processor_us: BTreeMap<String, f64>,
    #[serde(default)]
    pub(crate) idle_cores: f64,
    pub(crate) memory_mb: Option<f64>,
    /// Bytes written to the disk for a notification.
    pub(crate) written_bytes: Option<f64>,
    /// Where these are from.
    #[serde(default = "the_plan")]
    pub(crate) why: String,
}

/// What is promised.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Objectives {
    pub(crate) create_p99_ms: Option<f64>,
    pub(crate) hand_over_p99_ms: Option<f64>,
    pub(crate) drain_minutes: Option<f64>,
}

/// How several nodes hinder each other, where runs do not tell it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scaling {
    pub(crate) sigma: f64,
    pub(crate) kappa: f64,
    #[serde(default = "the_plan")]
    pub(crate) why: String,
}

impl Default for Scaling {
    fn default() -> Self {
        let why = "docs/performance.md, several nodes: +23 % and +35 % of processor time at two and three nodes and 1,000/s, where what each node does anyway \
                   weighs most; no agreement between pairs was seen";
        Self { sigma: 0.18, kappa: 0.0, why: why.into() }
    }
}

/// A kind of what is kept.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kept {
    pub(crate) days: f64,
    /// Of them for a notification.
    #[serde(default = "one")]
    pub(crate) each: f64,
    /// Of one; left out for `notifications` it is what the runs stored.
    pub(crate) bytes: Option<f64>,
}

/// The log that nodes share.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kafka {
    pub(crate) brokers: u32,
    pub(crate) price_a_month: f64,
    pub(crate) replication: u32,
    /// For a notification: what is asked for, and what is told of it.
    pub(crate) records_each: f64,
    pub(crate) record_bytes: f64,
    pub(crate) retention_hours: f64,
    pub(crate) disk_gb: f64,
    /// Notifications a second that one partition carries; left out, the most that a run had in one.
    pub(crate) partition_rate: Option<f64>,
    /// The largest share of the peak that is of one priority: each has a topic of its own.
    #[serde(default = "one")]
    pub(crate) largest_priority: f64,
}

/// The database that nodes share.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Store {
    pub(crate) price_a_month: f64,
    pub(crate) replication: u32,
    /// Statements for a notification; left out, what the runs on distributed backends had.
    pub(crate) writes_each: Option<f64>,
    pub(crate) reads_each: Option<f64>,
    /// Statements a second that one node of it carries, copies counted.
    pub(crate) node_operations: f64,
    pub(crate) disk_gb: f64,
    /// The share of the disk that may be full: compaction needs the rest.
    pub(crate) disk_fill: f64,
}

/// What nodes agree on quickly.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Redis {
    pub(crate) nodes: u32,
    pub(crate) price_a_month: f64,
    /// Questions for a notification; left out, what the runs on distributed backends had.
    pub(crate) operations_each: Option<f64>,
    /// Questions a second that one of them carries.
    pub(crate) node_operations: f64,
    /// Of a key, and how long it is kept.
    pub(crate) key_bytes: f64,
    pub(crate) key_minutes: f64,
    pub(crate) memory_gb: f64,
}

/// Somebody's table of costs a month.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Published {
    pub(crate) source: String,
    /// By the names of the channels.
    pub(crate) channels: BTreeMap<String, f64>,
    /// Machines and services.
    pub(crate) infrastructure: BTreeMap<String, f64>,
    pub(crate) total: f64,
    /// For a user.
    pub(crate) each_user: f64,
    /// Machines that carry the work there.
    pub(crate) workers: f64,
    /// What is known of why it differs.
    #[serde(default)]
    pub(crate) notes: Vec<String>,
}

fn one() -> f64 {
    1.0
}

fn thirty() -> f64 {
    30.0
}

fn the_plan() -> String {
    "plan file".into()
}

impl Plan {
    /// From a file; an error names it and says what is wrong with it.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| {
            format!("cannot read the plan `{}`: see loadtest/plans/ for some to begin with", path.display())
        })?;
        Self::parse(&text).with_context(|| format!("the plan `{}` cannot be used", path.display()))
    }

    /// From TOML; an error says which key is wrong and what it may be.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let plan: Self = toml::from_str(text)
            .context("it cannot be read: mend what is named here, or see docs/capacity.md for the keys")?;
        plan.check()?;
        Ok(plan)
    }

    /// Of each channel, by name.
    pub(crate) fn shares(&self) -> BTreeMap<String, f64> {
        self.channels.iter().map(|channel| (channel.name.clone(), channel.share)).collect()
    }
}
