//! How full the mailboxes are. Mailboxes are bounded by what the work in them holds, not by themselves, and no actor library
//! counts them: a message that brings work carries an [`InMailbox`], which counts it until it was handled or lost.

use super::GaugeMetric;
use ::metrics::Gauge;

/// Worry when it grows for minutes: the actors of this kind do not keep up.
const DEPTH: GaugeMetric<1> = GaugeMetric::new(
    "fanfare_mailbox_depth",
    "Messages with work that wait or are being handled, by the kind of the actor; for settlers the answers in their queue.",
    ["kind"],
);

/// The mailboxes of all actors of a kind.
#[derive(Debug, Clone)]
pub struct Mailboxes(Gauge);

/// One message in a mailbox, until it is dropped.
#[derive(Debug)]
pub struct InMailbox(Gauge);

impl Mailboxes {
    pub fn of(kind: &'static str) -> Self {
        Self(DEPTH.with([kind]))
    }

    /// A message that is cast now, and travels with what is returned.
    pub fn enter(&self) -> InMailbox {
        self.0.increment(1.0);
        InMailbox(self.0.clone())
    }

    /// For work that waits in a queue beside the mailbox, which no crash of the actor empties.
    pub fn queued(&self, count: usize) {
        self.0.increment(count as f64);
    }

    /// What was queued is done.
    pub fn done(&self, count: usize) {
        self.0.decrement(count as f64);
    }
}

impl Drop for InMailbox {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::install;

    #[test]
    fn a_message_counts_until_it_is_handled_or_lost() {
        let page = install();
        let depth = || {
            let text = page.render();
            let line = text.lines().find_map(|line| line.strip_prefix("fanfare_mailbox_depth{kind=\"test\"} "));
            line.map(str::to_owned).expect("the series is there")
        };
        let mailboxes = Mailboxes::of("test");
        let one = mailboxes.enter();
        mailboxes.queued(5);
        assert_eq!(depth(), "6");
        drop(one);
        mailboxes.done(5);
        assert_eq!(depth(), "0");
    }
}
