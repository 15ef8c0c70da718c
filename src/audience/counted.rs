//! Counts what comes through a door for events, and notes which types were heard of.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;

use super::silence::Heard;
use super::{EventDoor, Refusal, RuleOutcome, Taken};
use crate::clock::SharedClock;
use crate::domain::DomainEvent;
use crate::intake::AcceptError;
use crate::telemetry::CounterMetric;

/// Events by what became of them. Worry about `unknown_type`, `invalid` and `impossible`, and when `used` stays behind.
const EVENTS: CounterMetric<2> = CounterMetric::new(
    "fanfare_events_total",
    "Events by type (unknown: one that nobody declared) and by what became of them.",
    ["type", "outcome"],
);

/// A door that counts. All doors of a node go through one, so that a type counts as heard of whichever way it came.
pub struct CountedDoor {
    inner: Arc<dyn EventDoor>,
    heard: Arc<Heard>,
}

impl CountedDoor {
    pub fn over(inner: Arc<dyn EventDoor>, clock: SharedClock) -> Arc<Self> {
        Arc::new(Self { inner, heard: Heard::since_now(clock) })
    }

    /// When this process heard of which type.
    pub fn heard(&self) -> Arc<Heard> {
        self.heard.clone()
    }
}

#[async_trait]
impl EventDoor for CountedDoor {
    async fn take(&self, events: Vec<DomainEvent>) -> Result<Vec<Taken>, AcceptError> {
        let types: Vec<Box<str>> = events.iter().map(|event| event.event_type.clone()).collect();
        let taken = self.inner.take(events).await?;
        let mut counts: HashMap<(&str, &'static str), u64> = HashMap::new();
        for (event_type, taken) in types.iter().zip(&taken) {
            let outcome = outcome(taken);
            // Whoever makes up types must not make up series as well.
            let label = if outcome == UNKNOWN_TYPE { "unknown" } else { event_type };
            *counts.entry((label, outcome)).or_default() += 1;
        }
        for ((label, outcome), count) in counts {
            if outcome != UNKNOWN_TYPE {
                self.heard.note(label);
            }
            EVENTS.with([label, outcome]).increment(count);
        }
        Ok(taken)
    }
}

const UNKNOWN_TYPE: &str = "unknown_type";

/// What became of an event, as a word. That a rule holds and nothing can be made of it is said before that others were used: it is
/// what somebody has to mend.
fn outcome(taken: &Taken) -> &'static str {
    match taken {
        Taken::Refused(Refusal::UnknownType { .. }) => UNKNOWN_TYPE,
        Taken::Refused(Refusal::Invalid(_)) => "invalid",
        Taken::Used(applied) => {
            let is_any = |wanted: fn(&RuleOutcome) -> bool| applied.iter().any(|one| wanted(&one.outcome));
            if is_any(|outcome| matches!(outcome, RuleOutcome::Impossible(_))) {
                "impossible"
            } else if is_any(|outcome| matches!(outcome, RuleOutcome::Made { .. } | RuleOutcome::FannedOut { .. })) {
                "used"
            } else if is_any(|outcome| matches!(outcome, RuleOutcome::NobodyFollows)) {
                "nobody"
            } else {
                "no_rule"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audience::Applied;
    use crate::audience::topic::testing::{FakeDoor, event};
    use crate::domain::{NotificationId, Position, ShardId};
    use crate::intake::fakes::StoppedClock;
    use crate::telemetry;

    #[test]
    fn an_event_counts_once_and_what_is_to_be_mended_first() {
        let id = NotificationId(Position::new(ShardId::of_events(0), 0));
        let applied = |outcome| Applied { rule: "r".into(), outcome };
        let made = || applied(RuleOutcome::Made { id, repeated: false });
        let fails = || applied(RuleOutcome::ConditionFails);
        let impossible = || applied(RuleOutcome::Impossible(Vec::new()));
        for (rules, expected) in [
            (vec![], "no_rule"),
            (vec![fails()], "no_rule"),
            (vec![fails(), applied(RuleOutcome::NobodyFollows)], "nobody"),
            (vec![applied(RuleOutcome::NobodyFollows), made()], "used"),
            (vec![applied(RuleOutcome::FannedOut { id: crate::domain::CampaignId(1) })], "used"),
            (vec![fails(), made()], "used"),
            (vec![made(), impossible()], "impossible"),
        ] {
            assert_eq!(outcome(&Taken::Used(rules)), expected);
        }
    }

    #[tokio::test]
    async fn a_type_that_nobody_declared_makes_no_series_and_counts_as_not_heard_of() {
        let page = telemetry::install();
        let clock = StoppedClock::at("2026-11-21T12:00:00Z");
        let door = CountedDoor::over(FakeDoor::declaring(&["test.counted"]), clock);
        let taken = door.take(vec![event("1", "test.counted"), event("2", "made.up")]).await.expect("taken");
        assert_eq!(taken.len(), 2);
        let text = page.render();
        assert!(text.contains(r#"fanfare_events_total{type="test.counted",outcome="no_rule"} 1"#), "{text}");
        assert!(text.contains(r#"fanfare_events_total{type="unknown",outcome="unknown_type"}"#), "{text}");
        assert!(!text.contains("made.up"), "{text}");
        assert!(door.heard().last("test.counted").is_some() && door.heard().last("made.up").is_none());
    }
}
