//! THE table: what a provider's code means, as data.
//!
//! Codes are configuration, since providers change theirs: `config/outcomes.toml` is compiled in, and a provider's own `outcomes`
//! stands before it.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use hyper::StatusCode;

use crate::config::{OutcomeRule, OutcomeWord};
use crate::domain::{Death, Outcome, Whose};
use crate::providers::wire::is_code;

type Rules = BTreeMap<String, OutcomeRule>;

/// By kind of provider; `usual` holds what counts for all.
static COMPILED_IN: LazyLock<BTreeMap<String, Rules>> =
    LazyLock::new(|| toml::from_str(include_str!("../../../config/outcomes.toml")).expect("a test reads it"));

const USUAL: &str = "usual";

/// The table of one provider.
#[derive(Debug, Clone)]
pub(in crate::providers) struct Table {
    own: Rules,
    kind: &'static str,
}

/// What a provider answered, as the table sees it.
#[derive(Debug, Clone, Copy)]
pub(in crate::providers) struct Said<'a> {
    /// The most specific first: `["404 UNREGISTERED", "UNREGISTERED"]`. The status stands behind them by itself.
    pub(in crate::providers) codes: &'a [&'a str],
    pub(in crate::providers) status: StatusCode,
    pub(in crate::providers) retry_after: Option<Duration>,
    /// The provider's id of the message, where it took it.
    pub(in crate::providers) message_id: Option<&'a str>,
}

impl Table {
    pub(in crate::providers) fn new(kind: &'static str, own: &Rules) -> Self {
        Self { own: own.clone(), kind }
    }

    /// What the answer means.
    pub(in crate::providers) fn judge(&self, said: &Said<'_>) -> Outcome {
        let rule = self.rule(said);
        let reason = reason(said);
        let retry_after = said.retry_after.or(rule.after);
        let throttled = |whose| Outcome::Throttled { reason: reason.clone(), retry_after, whose };
        let dead = |is_opt_out| Outcome::DeadRecipient {
            reason: reason.clone(),
            death: Death { is_opt_out, ..Death::default() },
        };
        match rule.outcome {
            OutcomeWord::Accepted => Outcome::Accepted { message_id: said.message_id.map(Into::into) },
            OutcomeWord::DeadRecipient => dead(false),
            OutcomeWord::OptedOut => dead(true),
            OutcomeWord::BadRequest => Outcome::BadRequest { reason },
            // Adapters that can get new credentials did, and were refused once more.
            OutcomeWord::Config | OutcomeWord::StaleCredentials => Outcome::Config { reason },
            OutcomeWord::Throttled => throttled(Whose::Account),
            OutcomeWord::ThrottledRecipient => throttled(Whose::Recipient),
            // It says itself when: that is worth no attempt, and says nothing against the provider.
            OutcomeWord::Transient if rule.after.is_some() => throttled(Whose::Recipient),
            OutcomeWord::Transient => Outcome::Transient { reason, retry_after, unreachable: false },
            OutcomeWord::Unknown => Outcome::Unknown { reason },
        }
    }

    /// Whether new credentials may help.
    pub(in crate::providers) fn asks_for_new_credentials(&self, said: &Said<'_>) -> bool {
        self.rule(said).outcome == OutcomeWord::StaleCredentials
    }

    /// The rule of a code alone, as receipts carry them.
    pub(in crate::providers) fn rule_of(&self, code: &str) -> Option<OutcomeRule> {
        [self.own.get(code), COMPILED_IN.get(self.kind).and_then(|rules| rules.get(code))]
            .into_iter()
            .flatten()
            .next()
            .copied()
    }

    fn rule(&self, said: &Said<'_>) -> OutcomeRule {
        if let Some(rule) = said.codes.iter().find_map(|code| self.rule_of(code)) {
            return rule;
        }
        let exact = said.status.as_u16().to_string();
        let class = format!("{}xx", said.status.as_u16() / 100);
        let usual = |code: &str| COMPILED_IN.get(USUAL).and_then(|rules| rules.get(code)).copied();
        // A provider's rule for a class is still the provider's.
        let found =
            self.rule_of(&exact).or_else(|| self.rule_of(&class)).or_else(|| usual(&exact)).or_else(|| usual(&class));
        found.unwrap_or(OutcomeRule { outcome: OutcomeWord::BadRequest, after: None })
    }
}

/// For people. Of what the provider says only its code is shown, and only where it looks like one: texts may quote an address.
fn reason(said: &Said<'_>) -> Box<str> {
    let status = said.status.as_u16();
    // Some are made of several.
    let is_shown = |code: &&&str| code.split(' ').all(is_code);
    match said.codes.iter().find(is_shown) {
        Some(code) => format!("the provider answered {status} ({code})").into(),
        None => format!("the provider answered {status}").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said<'a>(codes: &'a [&'a str], status: u16) -> Said<'a> {
        let status = StatusCode::from_u16(status).expect("a status");
        Said { codes, status, retry_after: None, message_id: None }
    }

    #[test]
    fn the_table_that_is_compiled_in_can_be_read() {
        assert!(COMPILED_IN.contains_key(USUAL));
    }

    #[test]
    fn without_a_code_the_status_decides() {
        let table = Table::new("none", &Rules::new());
        let check =
            |status: u16, expected: &str| assert_eq!(table.judge(&said(&[], status)).name(), expected, "{status}");
        check(200, "accepted");
        check(302, "config");
        check(400, "bad_request");
        check(401, "config");
        check(403, "config");
        check(408, "transient");
        check(413, "bad_request");
        check(429, "throttled");
        check(500, "transient");
        check(599, "transient");
    }

    #[test]
    fn a_providers_own_rule_stands_before_the_rest_and_a_code_before_a_status() {
        let own: Rules =
            toml::from_str("\"4711\" = \"opted_out\"\n\"503\" = { outcome = \"throttled\", after = \"9s\" }\n")
                .expect("rules");
        let table = Table::new("none", &own);
        let dead = table.judge(&said(&["4711"], 503));
        assert!(matches!(dead, Outcome::DeadRecipient { death: Death { is_opt_out: true, .. }, .. }), "{dead:?}");
        let throttled = table.judge(&said(&["12"], 503));
        let Outcome::Throttled { reason, retry_after, .. } = throttled else { panic!("{throttled:?}") };
        assert_eq!((&*reason, retry_after), ("the provider answered 503 (12)", Some(Duration::from_secs(9))));
    }

    #[test]
    fn what_is_to_be_tried_after_a_while_waits_as_long_and_spends_no_attempt() {
        let own: Rules = toml::from_str("\"4711\" = { outcome = \"transient\", after = \"1h\" }\n").expect("rules");
        let table = Table::new("none", &own);
        let waits = |retry_after: Option<Duration>| {
            let Outcome::Throttled { retry_after, whose, .. } =
                table.judge(&Said { retry_after, ..said(&["4711"], 400) })
            else {
                panic!("it waits")
            };
            (retry_after, whose)
        };
        assert_eq!(waits(None), (Some(Duration::from_secs(3600)), Whose::Recipient));
        assert_eq!(waits(Some(Duration::from_secs(9))), (Some(Duration::from_secs(9)), Whose::Recipient));
        // One without is an attempt, whatever the answer asks for.
        let plain = table.judge(&Said { retry_after: Some(Duration::from_secs(9)), ..said(&[], 503) });
        assert!(matches!(plain, Outcome::Transient { retry_after: Some(_), .. }), "{plain:?}");
    }

    #[test]
    fn what_a_provider_says_is_shown_only_where_it_is_a_code() {
        let table = Table::new("none", &Rules::new());
        let refused = table.judge(&said(&["alice@example.com is unknown"], 400));
        assert_eq!(refused.reason(), "the provider answered 400");
    }
}
