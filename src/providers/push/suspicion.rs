//! Tells tokens that are wrong from a provider that is set up wrongly (the environments mixed up, the credentials of another
//! project): where most tokens are refused, it is not the tokens.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hyper::StatusCode;

use crate::domain::{Outcome, Whose};

/// Remembers what the last answers said of their tokens.
#[derive(Default)]
pub(in crate::providers) struct Suspicion(Mutex<Last>);

#[derive(Default)]
struct Last {
    /// Whether each refused its token as wrong; the newest stands last.
    answers: VecDeque<bool>,
    wrong: usize,
    /// A message was taken since the start: the settings fit some token at least.
    was_taken: bool,
}

/// So many answers are looked at. Fewer say nothing of the settings.
const ANSWERS: usize = 50;
/// How long a token waits that nothing speaks for and nothing against.
const HELD_BACK: Duration = Duration::from_secs(30);

impl Suspicion {
    /// Looks at an outcome that the table gave for an answer of this status. A death is passed on, or held back while nothing
    /// shows that our settings are right, or is `Config` with `advice` where more than half of the last answers are like it.
    ///
    /// A token that the service says is *gone* (404, 410) is one that it knew: that is never doubted.
    pub(in crate::providers) fn weigh(&self, outcome: Outcome, status: StatusCode, advice: &str) -> Outcome {
        let was_taken = matches!(outcome, Outcome::Accepted { .. });
        let is_dead = matches!(outcome, Outcome::DeadRecipient { .. });
        // All else says nothing of the token.
        if !was_taken && !is_dead {
            return outcome;
        }
        let is_wrong = is_dead && ![StatusCode::NOT_FOUND, StatusCode::GONE].contains(&status);
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.count(is_wrong, was_taken);
        if !is_wrong {
            return outcome;
        }
        let is_full = last.answers.len() >= ANSWERS;
        if is_full && last.wrong * 2 > ANSWERS {
            return Outcome::Config { reason: advice.into() };
        }
        if is_full || last.was_taken {
            return outcome;
        }
        let reason = format!("{}: held back until another message shows that our settings are right", outcome.reason());
        Outcome::Throttled { reason: reason.into(), retry_after: Some(HELD_BACK), whose: Whose::Recipient }
    }
}

impl Last {
    fn count(&mut self, is_wrong: bool, was_taken: bool) {
        if self.answers.len() >= ANSWERS && self.answers.pop_front() == Some(true) {
            self.wrong -= 1;
        }
        self.answers.push_back(is_wrong);
        self.wrong += usize::from(is_wrong);
        self.was_taken |= was_taken;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken() -> Outcome {
        Outcome::Accepted { message_id: None }
    }

    fn wrong(suspicion: &Suspicion) -> Outcome {
        suspicion.weigh(Outcome::dead("wrong"), StatusCode::BAD_REQUEST, "look at the settings")
    }

    #[test]
    fn a_wrong_token_dies_at_once_where_another_message_was_taken() {
        let suspicion = Suspicion::default();
        suspicion.weigh(taken(), StatusCode::OK, "");
        assert_eq!(wrong(&suspicion), Outcome::dead("wrong"));
    }

    #[test]
    fn a_wrong_token_waits_while_nothing_shows_that_the_settings_are_right() {
        let suspicion = Suspicion::default();
        for _ in 0..49 {
            let held = wrong(&suspicion);
            let wait = Some(Duration::from_secs(30));
            let is_held = matches!(&held, Outcome::Throttled { whose: Whose::Recipient, retry_after, .. } if *retry_after == wait);
            assert!(is_held, "{held:?}");
        }
        assert_eq!(wrong(&suspicion), Outcome::Config { reason: "look at the settings".into() });
    }

    #[test]
    fn what_is_gone_was_known_and_is_never_doubted() {
        let suspicion = Suspicion::default();
        for status in [StatusCode::NOT_FOUND, StatusCode::GONE].into_iter().cycle().take(100) {
            assert_eq!(suspicion.weigh(Outcome::dead("gone"), status, ""), Outcome::dead("gone"));
        }
    }

    #[test]
    fn up_to_half_of_the_last_answers_are_no_reason_for_suspicion_and_more_are_until_others_follow() {
        let suspicion = Suspicion::default();
        for _ in 0..500 {
            suspicion.weigh(taken(), StatusCode::OK, "");
            assert_eq!(wrong(&suspicion).name(), "dead_recipient");
        }
        assert_eq!(wrong(&suspicion).name(), "config", "26 of the last 50");
        suspicion.weigh(taken(), StatusCode::OK, "");
        suspicion.weigh(taken(), StatusCode::OK, "");
        assert_eq!(wrong(&suspicion).name(), "dead_recipient");
    }

    #[test]
    fn what_says_nothing_of_the_token_is_not_counted() {
        let suspicion = Suspicion::default();
        for _ in 0..100 {
            let busy = Outcome::throttled("busy", None);
            assert_eq!(suspicion.weigh(busy.clone(), StatusCode::TOO_MANY_REQUESTS, ""), busy);
        }
        assert_eq!(wrong(&suspicion).name(), "throttled");
    }
}
