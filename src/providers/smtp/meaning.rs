//! What replies mean (RFC 5321 section 4.2, RFC 3463 for the enhanced codes): the section `smtp` of `config/outcomes.toml` says, by
//! keys that begin with the step.

use hyper::StatusCode;

use super::reply::Reply;
use crate::domain::Outcome;
use crate::providers::outcome::{Said, Table};

/// What a reply is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// MAIL: about the sender, and so about our settings.
    Sender,
    /// RCPT: about the address.
    Recipient,
    /// DATA and the content: about this mail.
    Content,
}

/// The outcome of a reply; its reason holds the codes and no text of the server, which may quote an address.
///
/// Looked for are, in this order: `rcpt 550 5.1.1`, `rcpt 550 5.1.x`, `rcpt 5.1.1`, `rcpt 5.1.x`, `rcpt 550 x.x.x` (any enhanced
/// code), `rcpt 550`, `rcpt 5xx`, `550`, `5xx`. An enhanced code of another class than the reply's contradicts it, and only counts as one.
pub(super) fn meaning(table: &Table, step: Step, reply: Reply) -> Outcome {
    if reply.is_positive() {
        return Outcome::Accepted { message_id: None };
    }
    let (word, code) = (step.word(), reply.code);
    let mut codes = Vec::with_capacity(7);
    if let Some((class, subject, detail)) = reply.enhanced {
        codes.push(format!("{word} {code} {class}.{subject}.{detail}"));
        if class == code / 100 {
            codes.push(format!("{word} {code} {class}.{subject}.x"));
            codes.push(format!("{word} {class}.{subject}.{detail}"));
            codes.push(format!("{word} {class}.{subject}.x"));
        }
        codes.push(format!("{word} {code} x.x.x"));
    }
    codes.push(format!("{word} {code}"));
    codes.push(format!("{word} {}xx", code / 100));
    let codes: Vec<&str> = codes.iter().map(String::as_str).collect();
    // The reader of replies lets no other numbers through.
    let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    table.judge(&Said { codes: &codes, status, retry_after: None, message_id: None })
}

impl Step {
    fn word(self) -> &'static str {
        match self {
            Step::Sender => "mail",
            Step::Recipient => "rcpt",
            Step::Content => "data",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::Step::{Content, Recipient, Sender};
    use super::*;
    use crate::domain::Whose;

    fn said(step: Step, code: u16, enhanced: Option<(u16, u16, u16)>) -> Outcome {
        meaning(&Table::new("smtp", &BTreeMap::new()), step, Reply { code, enhanced })
    }

    #[test]
    fn a_reply_means_what_the_table_says() {
        let check = |step: Step, code: u16, enhanced: Option<(u16, u16, u16)>, expected: &str| {
            assert_eq!(said(step, code, enhanced).name(), expected, "{step:?} {code} {enhanced:?}");
        };
        check(Content, 250, None, "accepted");
        check(Recipient, 421, None, "transient");
        check(Recipient, 451, Some((4, 7, 1)), "transient");
        check(Sender, 454, None, "throttled");
        check(Sender, 530, Some((5, 7, 0)), "config");
        check(Sender, 550, None, "config");
        check(Sender, 553, None, "config");
        check(Sender, 552, None, "bad_request");
        check(Recipient, 550, Some((5, 1, 1)), "dead_recipient");
        // Without an enhanced code it may be relaying or policy as well.
        check(Recipient, 550, None, "bad_request");
        check(Recipient, 550, Some((5, 7, 1)), "config");
        check(Recipient, 551, None, "dead_recipient");
        check(Recipient, 552, Some((5, 2, 2)), "transient");
        check(Recipient, 553, None, "bad_request");
        check(Recipient, 553, Some((5, 1, 3)), "dead_recipient");
        check(Content, 550, None, "bad_request");
        check(Content, 550, Some((5, 7, 1)), "bad_request");
        check(Content, 550, Some((5, 7, 26)), "config");
        check(Content, 554, None, "bad_request");
    }

    /// The rules as a program; the table says the same of every reply that agrees with itself.
    fn by_rule(step: Step, code: u16, enhanced: Option<(u16, u16, u16)>) -> &'static str {
        match (step, code, enhanced) {
            (_, 454, _) => "throttled",
            // They wait half an hour.
            (Recipient | Content, 400..500, Some((4, 7, 23 | 26..=30 | 32))) => "throttled",
            (_, 400..500, _) => "transient",
            (_, 530 | 534 | 535 | 538, _) => "config",
            (Sender, 552, _) => "bad_request",
            (Sender, _, _) => "config",
            (Recipient, 552, _) | (Recipient, _, Some((5, 2, 2))) => "transient",
            (Recipient, _, Some((5, 7, _))) => "config",
            (Recipient, 551, _) | (Recipient, _, Some((5, 1, 1 | 2 | 3 | 6 | 10) | (5, 2, 1))) => "dead_recipient",
            (Content, _, Some((5, 7, 20..=27))) => "config",
            _ => "bad_request",
        }
    }

    #[test]
    fn every_reply_means_what_the_rules_say() {
        let classes = [4, 5].into_iter().flat_map(|class| (0..8).map(move |subject| (class, subject)));
        let enhanced: Vec<_> = classes
            .flat_map(|(class, subject)| (0..40).map(move |detail| Some((class, subject, detail))))
            .chain([None])
            .collect();
        for code in (300..600).filter(|code| !(400..500).contains(code)).chain([400, 421, 450, 451, 452, 454, 455]) {
            for step in [Sender, Recipient, Content] {
                for enhanced in &enhanced {
                    let is_odd = match (code, enhanced) {
                        (300..400, Some(_)) => true,
                        (530 | 534 | 535 | 538, Some((_, subject, _))) => *subject != 7,
                        (_, Some((class, ..))) => *class != code / 100,
                        (_, None) => false,
                    };
                    if !is_odd {
                        let expected = by_rule(step, code, *enhanced);
                        assert_eq!(said(step, code, *enhanced).name(), expected, "{step:?} {code} {enhanced:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn an_enhanced_code_of_another_class_buries_no_address() {
        assert_eq!(said(Recipient, 450, Some((5, 1, 1))).name(), "transient");
        assert_eq!(said(Recipient, 550, Some((4, 1, 1))).name(), "bad_request");
    }

    #[test]
    fn what_gmail_says_of_our_settings_waits_longer_and_is_named() {
        for code in [23, 26, 27, 29, 30, 32] {
            let outcome = said(Content, 421, Some((4, 7, code)));
            let wait = Some(Duration::from_secs(30 * 60));
            assert!(
                matches!(&outcome, Outcome::Throttled { retry_after, whose: Whose::Recipient, .. } if *retry_after == wait),
                "{outcome:?}"
            );
            assert!(outcome.reason().contains(&format!("data 421 4.7.{code}")), "{outcome:?}");
        }
    }

    #[test]
    fn a_rule_of_the_configuration_stands_before_the_rest() {
        let own = toml::from_str("\"rcpt 5.4.1\" = \"dead_recipient\"\n").expect("rules");
        let reply = Reply { code: 550, enhanced: Some((5, 4, 1)) };
        assert_eq!(meaning(&Table::new("smtp", &own), Recipient, reply).name(), "dead_recipient");
        assert_eq!(said(Recipient, 550, Some((5, 4, 1))).name(), "bad_request");
    }
}
