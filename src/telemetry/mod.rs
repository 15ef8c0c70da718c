//! Metrics, logs and health: what a running engine says about itself.
//!
//! In: facts, as counts, times and conditions. Out: the page at `/metrics`, lines on standard error, and the answer of
//! `/readyz`. Promise: no personal datum and no secret passes through here, because labels are names from the code and the
//! configuration only.

mod metrics;
mod mailbox;
mod process;
mod logs;
mod health;

pub use self::metrics::{CounterMetric, GaugeMetric, HistogramMetric, MetricsPage, install};
pub use ::metrics::{Counter, Gauge, Histogram};
pub use health::{Condition, Health};
pub use logs::{check_log_filter, start_logs};
pub use mailbox::{InMailbox, Mailboxes};
