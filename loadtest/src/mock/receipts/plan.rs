//! What becomes of a message: which receipts, when, and with which faults.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::What;
use crate::mock::kinds::{Delivery, Kind};
use crate::random::Dice;

/// Shares of messages, from 0 to 1, and times.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Plan {
    /// Reached whom it was for. What neither this nor `bounced` takes is never heard of again.
    delivered: f64,
    bounced: f64,
    /// Of those delivered by mail.
    opened: f64,
    /// Of the receipts: never posted.
    lost: f64,
    /// Of the receipts: posted twice.
    doubled: f64,
    /// The last one comes before the first one.
    disordered: f64,
    /// The receipt comes before the answer to the message.
    early: f64,
    late: f64,
    delay_ms: u64,
    late_ms: u64,
    early_ms: u64,
}

/// The receipts of one message, each with the time from now.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Course {
    pub(super) events: Vec<(What, Duration)>,
    pub(super) answer_after: Duration,
    pub(super) lost: u64,
    pub(super) doubled: u64,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            delivered: 1.0,
            bounced: 0.0,
            opened: 0.0,
            lost: 0.0,
            doubled: 0.0,
            disordered: 0.0,
            early: 0.0,
            late: 0.0,
            delay_ms: 100,
            late_ms: 30_000,
            early_ms: 50,
        }
    }
}

/// Aliyun tells the end only, and Twilio only who asked for it.
pub(super) fn has_receipts(kind: Kind, delivery: &Delivery) -> bool {
    match kind {
        Kind::Sendgrid | Kind::Mailgun | Kind::AliyunSms => true,
        Kind::TwilioSms | Kind::TwilioVoice => delivery.callback.is_some(),
        _ => false,
    }
}

impl Plan {
    pub(super) fn new(keys: &Map<String, Value>) -> Result<Self> {
        let mut plan: Self = serde_json::from_value(Value::Object(keys.clone()))?;
        if !keys.contains_key("delivered") {
            plan.delivered = 1.0 - plan.bounced;
        }
        let shares = [
            plan.delivered,
            plan.bounced,
            plan.opened,
            plan.lost,
            plan.doubled,
            plan.disordered,
            plan.early,
            plan.late,
        ];
        ensure!(shares.iter().all(|share| (0.0..=1.0).contains(share)), "a share is a number from 0 to 1");
        ensure!(plan.delivered + plan.bounced <= 1.0 + 1e-9, "`delivered` and `bounced` together are more than 1");
        Ok(plan)
    }

    /// The same plan for a message that nobody can get.
    pub(super) fn bounced(&self) -> Self {
        Self { delivered: 0.0, bounced: 1.0, ..self.clone() }
    }

    /// The same roll gives the same course.
    pub(super) fn course(&self, kind: Kind, roll: u64) -> Course {
        // Not the numbers that decided about the answer.
        let dice = Dice::new(!roll);
        let is = |share: f64| dice.share() < share;
        let end = dice.share();
        let (is_opened, is_late, is_disordered, is_early) =
            (is(self.opened), is(self.late), is(self.disordered), is(self.early));
        let delay = Duration::from_millis(if is_late { self.late_ms } else { self.delay_ms });
        let delay = if is_early { Duration::ZERO } else { delay };
        let mut planned = Vec::with_capacity(3);
        if kind != Kind::AliyunSms && kind != Kind::Mailgun {
            let underway_after = if is_disordered { delay * 2 + Duration::from_millis(1) } else { delay / 2 };
            planned.push((What::Underway, underway_after));
        }
        if end < self.bounced {
            planned.push((What::Bounced, delay));
        } else if end < self.bounced + self.delivered {
            planned.push((What::Delivered, delay));
            if is_opened && matches!(kind, Kind::Sendgrid | Kind::Mailgun) {
                planned.push((What::Opened, if is_disordered { Duration::ZERO } else { delay * 2 }));
            }
        }
        let answer_after = if is_early { Duration::from_millis(self.early_ms) } else { Duration::ZERO };
        let mut course = Course { events: Vec::with_capacity(planned.len()), answer_after, lost: 0, doubled: 0 };
        for (what, after) in planned {
            if is(self.lost) {
                course.lost += 1;
                continue;
            }
            course.events.push((what, after));
            if is(self.doubled) {
                course.doubled += 1;
                course.events.push((what, after + Duration::from_millis(self.delay_ms)));
            }
        }
        course
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(keys: &str) -> Result<Plan> {
        Plan::new(&crate::args::keys(keys).expect("legal"))
    }

    #[test]
    fn a_roll_fixes_the_course_and_shares_are_kept() {
        let plan = plan("delivered=0.6,bounced=0.3,opened=0.5,lost=0.1,doubled=0.2,disordered=0.1,early=0.1,late=0.2")
            .expect("legal");
        let dice = Dice::new(5);
        let (mut delivered, mut bounced, mut events, mut lost, mut doubled) = (0, 0, 0, 0, 0);
        for _ in 0..10_000 {
            let roll = dice.roll();
            let course = plan.course(Kind::Sendgrid, roll);
            assert_eq!(course, plan.course(Kind::Sendgrid, roll));
            let has = |what: What| u64::from(course.events.iter().any(|(one, _)| *one == what));
            delivered += has(What::Delivered);
            bounced += has(What::Bounced);
            events += course.events.len() as u64 - course.doubled;
            lost += course.lost;
            doubled += course.doubled;
        }
        let near = |count: u64, expected: u64| assert!(count.abs_diff(expected) < 300, "{count} for {expected}");
        near(delivered, 5400);
        near(bounced, 2700);
        near(lost, (events + lost) / 10);
        near(doubled, events / 5);
    }

    #[test]
    fn what_is_early_comes_before_the_answer() {
        let course = plan("early=1").expect("legal").course(Kind::AliyunSms, 1);
        assert_eq!(course.events, [(What::Delivered, Duration::ZERO)]);
        assert_eq!(course.answer_after, Duration::from_millis(50));
    }

    #[test]
    fn what_is_out_of_order_tells_the_end_first() {
        let course = plan("disordered=1").expect("legal").course(Kind::TwilioSms, 1);
        assert!(course.events[0].0 == What::Underway && course.events[0].1 > course.events[1].1);
    }

    #[test]
    fn impossible_plans_are_refused() {
        for keys in ["delivered=2", "delivered=0.9,bounced=0.2", "unknown=1", "lost=x"] {
            assert!(plan(keys).is_err(), "{keys}");
        }
    }
}
