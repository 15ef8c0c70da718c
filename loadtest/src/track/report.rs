//! What was found, for people and for programs.

use std::fmt;

use serde::Serialize;

use super::TrackArgs;
use super::load::Tracked;
use crate::engine::{Latencies, Quantile};
use crate::text::millis;

/// Latencies in milliseconds, from the time that each was due.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    rate: f64,
    send_rate: f64,
    seconds: u32,
    killed: bool,
    answered: u64,
    p50_ms: f64,
    p99_ms: f64,
    p999_ms: f64,
    max_ms: f64,
    unanswered: u64,
    wrong: u64,
    first_error: Option<String>,
    /// Answered, and not noted, as the engine says.
    unrecorded: u64,
    /// Mails that had nothing to be counted by.
    untracked: u64,
    sending_alone: Sending,
    sending_together: Sending,
    read: Read,
}

/// Mails that were sent, and how long after they were accepted they were with their provider, in milliseconds.
#[derive(Debug, Serialize)]
pub(super) struct Sending {
    accepted: u64,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
}

/// What stands in the stories.
#[derive(Debug, Default, Serialize)]
pub(super) struct Read {
    found: u64,
    answered: u64,
    asked: u64,
    /// Answered, and not there.
    lost: u64,
    /// There, and never asked for.
    too_many: u64,
}

impl Read {
    /// Of one mail and kind.
    pub(super) fn add(&mut self, found: u64, answered: u64, asked: u64) {
        self.found += found;
        self.answered += answered;
        self.asked += asked;
        self.lost += answered.saturating_sub(found);
        self.too_many += found.saturating_sub(asked);
    }
}

impl Sending {
    pub(super) fn new(accepted: u64, before: &Latencies, after: &Latencies) -> Self {
        let buckets = after.get("normal").map(|buckets| buckets.since(before.get("normal")));
        let quantile = |share| match buckets.as_ref()?.quantile(share)? {
            Quantile::Seconds(seconds) | Quantile::Above(seconds) => Some(seconds * 1e3),
        };
        Self { accepted, p50_ms: quantile(0.5), p99_ms: quantile(0.99) }
    }
}

impl Report {
    pub(super) fn new(
        args: &TrackArgs,
        untracked: u64,
        alone: Sending,
        together: Sending,
        tracked: &Tracked,
        unrecorded: u64,
        read: Read,
    ) -> Self {
        let quantile = |share| tracked.latencies.value_at_quantile(share) as f64 / 1e3;
        Self {
            rate: args.rate,
            send_rate: args.send_rate,
            seconds: args.seconds,
            killed: args.kill,
            answered: tracked.latencies.len(),
            p50_ms: quantile(0.5),
            p99_ms: quantile(0.99),
            p999_ms: quantile(0.999),
            max_ms: tracked.latencies.max() as f64 / 1e3,
            unanswered: tracked.unanswered,
            wrong: tracked.wrong,
            first_error: tracked.first_error.clone(),
            unrecorded,
            untracked,
            sending_alone: alone,
            sending_together: together,
            read,
        }
    }

    /// Whether what was answered is there once. How fast it was is for the reader to judge.
    pub(super) fn holds(&self) -> bool {
        let is_exact = self.killed || (self.read.found == self.read.asked && self.unanswered == 0);
        self.read.lost <= self.unrecorded
            && self.read.too_many == 0
            && self.wrong == 0
            && self.untracked == 0
            && is_exact
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |ms: Option<f64>| ms.map_or_else(|| "-".to_owned(), millis);
        writeln!(f, "opens and clicks   {:.0}/s for {} s, {} answered", self.rate, self.seconds, self.answered)?;
        writeln!(
            f,
            "answered after     p50 {}  p99 {}  p99.9 {}  max {}",
            millis(self.p50_ms),
            millis(self.p99_ms),
            millis(self.p999_ms),
            millis(self.max_ms)
        )?;
        for (name, sending) in [("without", &self.sending_alone), ("with", &self.sending_together)] {
            let (p50, p99) = (shown(sending.p50_ms), shown(sending.p99_ms));
            writeln!(
                f,
                "sending {name:<10} {:.0}/s, {} accepted: p50 {p50}  p99 {p99}",
                self.send_rate, sending.accepted
            )?;
        }
        let Read { found, answered, asked, lost, too_many } = self.read;
        writeln!(
            f,
            "in the stories     {found} of {answered} answered and {asked} asked: {lost} lost, {too_many} too many"
        )?;
        writeln!(f, "not noted          {} as the engine says", self.unrecorded)?;
        writeln!(
            f,
            "no answer          {}, wrong {}, mails without links {}",
            self.unanswered, self.wrong, self.untracked
        )?;
        match &self.first_error {
            Some(error) => writeln!(f, "first error        {error}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_answered_is_there_and_no_more_than_was_asked() {
        let mut read = Read::default();
        read.add(3, 3, 4);
        read.add(1, 2, 2);
        read.add(5, 4, 4);
        assert_eq!((read.found, read.lost, read.too_many), (9, 1, 1));
    }
}
