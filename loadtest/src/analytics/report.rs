//! What came of it.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) notifications: u64,
    /// With those that came twice.
    pub(super) receipts: usize,
    /// Facts, each once.
    pub(super) events: u64,
    pub(super) kills: u64,
    pub(super) sent_seconds: f64,
    pub(super) told_seconds: f64,
    /// From the last answer until the analytics said what was told.
    pub(super) shown_seconds: f64,
    pub(super) told: BTreeMap<String, u64>,
    pub(super) differences: Vec<String>,
}

impl Report {
    pub(super) fn holds(&self) -> bool {
        self.differences.is_empty()
    }
}

/// The most differences that are printed.
const SHOWN_MAX: usize = 20;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} notifications sent in {:.1} s, {} receipts told in {:.1} s, {} facts in all, {} kills",
            self.notifications, self.sent_seconds, self.receipts, self.told_seconds, self.events, self.kills
        )?;
        for (name, count) in &self.told {
            writeln!(f, "  {name:14} {count:>10}")?;
        }
        if self.holds() {
            return writeln!(f, "The analytics say exactly that, {:.1} s after the last answer.", self.shown_seconds);
        }
        writeln!(f, "After {:.1} s the analytics say something else:", self.shown_seconds)?;
        for difference in self.differences.iter().take(SHOWN_MAX) {
            writeln!(f, "  {difference}")?;
        }
        Ok(())
    }
}
