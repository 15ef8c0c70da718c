//! When: not before the time asked for, and not while a gate holds it. Several holds follow upon each other: a holiday may begin
//! in a quiet night, and end in another.

use super::BudgetFact;
use super::gates::{Case, HOLD_GATES};
use crate::domain::{Decision, Step, Timestamp, Verdict};

/// When a notification goes out, and what each of the gates that hold said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Times {
    /// Not before this; `None`: at once.
    pub(super) due: Option<Timestamp>,
    /// By the places of [`HOLD_GATES`]: until when the gate held it at last.
    held: [Option<Timestamp>; HOLD_GATES.len()],
}

/// The gates are asked at most so often in a row; each time moves ahead by a night or by some days.
const ROUNDS_MAX: usize = 64;

/// Finds the first instant, from the time asked for on, at which no gate holds.
pub(super) fn find(case: &Case<'_>) -> Times {
    let (request, category) = (case.request, case.category);
    let is_free = category.ignores_quiet_hours && category.ignores_holidays;
    if is_free && request.local_time.is_none() {
        return Times { due: request.deliver_at.max(paid_from(case)).filter(|at| *at > case.now), ..Times::default() };
    }
    let zone = case.policy.zone(case.user());
    // From the acceptance on, so that a backlog does not make it a day later.
    let local = || request.local_time.map(|time| zone.next(time, request.accepted_at));
    find_from(case, request.deliver_at.or_else(local).unwrap_or(case.now).max(case.now))
}

/// What is paid for on another day goes out no earlier.
fn paid_from(case: &Case<'_>) -> Option<Timestamp> {
    match case.facts.budget {
        Some(BudgetFact::From(day)) => Some(day),
        _ => None,
    }
}

/// The same from another instant on, now or later.
pub(super) fn find_from(case: &Case<'_>, mut at: Timestamp) -> Times {
    let zone = case.policy.zone(case.user());
    at = at.max(paid_from(case).unwrap_or_default());
    let mut held = [None; HOLD_GATES.len()];
    for _ in 0..ROUNDS_MAX {
        let mut holds = HOLD_GATES.iter().map(|gate| (gate.until)(case, &zone, at)).enumerate();
        let hold = holds.find_map(|(index, until)| Some((index, until.filter(|until| *until > at)?)));
        let Some((index, until)) = hold else { break };
        held[index] = Some(until);
        at = until;
    }
    Times { due: Some(at).filter(|at| *at > case.now), held }
}

impl Times {
    /// Notes a verdict for every gate that may hold.
    pub(super) fn note_holds(&self, decisions: &mut Vec<Decision>) {
        for (gate, until) in HOLD_GATES.iter().zip(self.held) {
            decisions.push(Decision { step: gate.step, channel: None, verdict: verdict(until) });
        }
    }

    /// The same for the time of sending, which is after all of them.
    pub(super) fn note(&self, decisions: &mut Vec<Decision>) {
        self.note_holds(decisions);
        decisions.push(Decision { step: Step::SendTime, channel: None, verdict: verdict(self.due) });
    }

    pub(super) fn is_held(&self) -> bool {
        self.held.iter().any(Option::is_some)
    }
}

fn verdict(until: Option<Timestamp>) -> Verdict {
    until.map_or(Verdict::Pass, |until| Verdict::Hold { until })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Calendar, NotificationRequest, SpecialDay, TimeOfDay, UserEntry};
    use crate::planning::CandidateFacts;
    use crate::planning::testing::{NOW, known, policy, request};

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).expect("a time")
    }

    fn check_plain(deliver_at: Option<u64>, expected: Option<u64>) {
        let mut request = request();
        request.deliver_at = deliver_at.map(Timestamp);
        let (facts, policy) = (CandidateFacts::default(), policy());
        let case = Case::new(&request, &facts, &policy, NOW);
        assert_eq!(case.times.due, expected.map(Timestamp));
        let mut decisions = Vec::new();
        case.times.note(&mut decisions);
        let verdict = expected.map_or(Verdict::Pass, |until| Verdict::Hold { until: Timestamp(until) });
        assert_eq!(decisions.last(), Some(&Decision { step: Step::SendTime, channel: None, verdict }));
    }

    #[test]
    fn what_has_a_time_in_the_future_is_held_until_then() {
        check_plain(Some(NOW.0 + 1), Some(NOW.0 + 1));
    }

    #[test]
    fn what_has_no_time_or_one_that_has_come_goes_at_once() {
        check_plain(None, None);
        check_plain(Some(NOW.0), None);
        check_plain(Some(NOW.0 - 1), None);
    }

    /// Of somebody in a zone who speaks German, where Christmas is two special days: when a request goes out, and what each
    /// gate said.
    fn check(zone: &str, change: impl FnOnce(&mut NotificationRequest), now: &str, expected: [Option<&str>; 3]) {
        let mut request = request();
        request.category = Some("marketing".into());
        request.accepted_at = at(now);
        change(&mut request);
        let facts = known([UserEntry::Timezone(Some(zone.into())), UserEntry::Locale(Some("de".into()))]);
        let mut policy = policy();
        let days = ["12-25", "12-26"].map(|day| SpecialDay::parse(day).expect("a day"));
        policy.calendars = vec![Calendar { locales: vec!["de".into()], days: days.into() }];
        let case = Case::new(&request, &facts, &policy, at(now));
        let [quiet, holidays, due] = expected.map(|text| text.map(at));
        assert_eq!(case.times, Times { due, held: [quiet, holidays] }, "in {zone} at {now}");
    }

    fn local(time: &str) -> impl FnOnce(&mut NotificationRequest) {
        let time = TimeOfDay::parse(time).expect("a time of day");
        move |request| {
            request.category = Some("security".into());
            request.local_time = Some(time);
        }
    }

    #[test]
    fn a_mail_at_night_waits_for_the_morning_of_the_users_zone() {
        let eight = Some("2026-06-01T23:00:00Z");
        check("Asia/Tokyo", |_| (), "2026-06-01T14:00:00Z", [eight, None, eight]);
        check("Asia/Tokyo", |_| (), "2026-06-01T12:00:00Z", [None, None, None]);
        check("Europe/Berlin", |_| (), "2026-06-01T14:00:00Z", [None, None, None]);
    }

    #[test]
    fn holds_follow_upon_each_other_until_none_is_left() {
        // The night before Christmas ends in the first day, the two days end at midnight, and then it is night.
        let (quiet, holidays) = (Some("2026-12-27T07:00:00Z"), Some("2026-12-26T23:00:00Z"));
        check("Europe/Berlin", |_| (), "2026-12-24T22:30:00Z", [quiet, holidays, quiet]);
        let wanted = |request: &mut NotificationRequest| request.deliver_at = Some(at("2026-12-25T12:00:00Z"));
        check("Europe/Berlin", wanted, "2026-12-01T12:00:00Z", [quiet, holidays, quiet]);
    }

    #[test]
    fn a_local_time_is_the_next_of_the_users_clock_across_changes_of_the_clocks() {
        let eight = Some("2026-06-01T23:00:00Z");
        check("Asia/Tokyo", local("08:00"), "2026-06-01T14:00:00Z", [None, None, eight]);
        // Left out by the clocks: the moment they are set forward.
        let forward = Some("2026-03-08T07:00:00Z");
        check("America/New_York", local("02:30"), "2026-03-08T06:00:00Z", [None, None, forward]);
        // It comes twice: the first that is ahead.
        let first = Some("2026-11-01T05:30:00Z");
        check("America/New_York", local("01:30"), "2026-11-01T04:00:00Z", [None, None, first]);
    }

    #[test]
    fn a_local_time_in_quiet_hours_is_held_as_well() {
        let eight = Some("2026-06-02T08:00:00Z");
        let night = |request: &mut NotificationRequest| request.local_time = TimeOfDay::new(23, 0);
        check("UTC", night, "2026-06-01T12:00:00Z", [eight, None, eight]);
    }

    #[test]
    fn a_local_time_that_came_while_the_request_waited_in_the_log_is_not_put_off_by_a_day() {
        let mut request = request();
        local("08:00")(&mut request);
        request.accepted_at = at("2026-06-01T07:00:00Z");
        let (facts, policy) = (CandidateFacts::default(), policy());
        let case = Case::new(&request, &facts, &policy, at("2026-06-01T09:00:00Z"));
        assert_eq!(case.times.due, None);
    }
}
