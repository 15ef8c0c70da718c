//! Analytics: how many messages were sent, delivered, opened, by what they were and when, computed from the rows of the messages.
//!
//! In: the stories of blocks, and the store's marks of which of them were written. Out: roll-ups by tenant, day and hour, and answers made
//! of them. Promise: what is answered is what a count of all stories would give, as of a time that is said, whatever came twice, late or out
//! of order, and whoever crashed; nothing is ever incremented from an event, so there is nothing to count twice.
//!
//! What a block comes to is a pure function of its stories ([`tally`]). It is computed again when the block was written, and the
//! difference to what it came to before goes into the roll-ups ([`step`]), once: see docs/decisions/0036-analytics.md.

mod blocks;
mod experiment;
mod metrics;
mod pending;
mod query;
mod roller;
mod rows;
mod step;
mod tally;

#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use experiment::{Arm, Comparison, ExperimentReport, Interval, compare};
pub use query::{Filters, Group, GroupValue, Report, ReportLine, ReportQuery};
pub use roller::AnalyticsWork;

use crate::clock::SharedClock;
use crate::domain::Categories;
use crate::store::{KeyedRows, TaskLog};

/// What analytics are made of.
pub struct AnalyticsParts {
    /// The stories.
    pub log: Arc<dyn TaskLog>,
    /// The roll-ups, and what leads to them.
    pub rows: Arc<dyn KeyedRows>,
    /// By which the category of a message is resolved.
    pub categories: Arc<Categories>,
    pub clock: SharedClock,
}

/// The analytics of a node: answers, and what [`AnalyticsWork`] does at homes.
pub struct Analytics {
    parts: AnalyticsParts,
}

impl Analytics {
    pub fn new(parts: AnalyticsParts) -> Arc<Self> {
        Arc::new(Self { parts })
    }
}
