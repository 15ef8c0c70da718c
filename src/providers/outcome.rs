//! THE table: what an answer means. No adapter decides this for itself.

use std::time::Duration;

use hyper::header::RETRY_AFTER;
use hyper::{HeaderMap, StatusCode};

use crate::domain::{Outcome, Timestamp};

/// What a webhook's answer means. Any 2xx is a delivery, whatever its body says; everything else is tried again, as the
/// Standard Webhooks specification has it (an endpoint that answers 404 or 401 is usually one that is being deployed), but for
/// 410, which says that nobody will ever listen there again, and 429, which asks for a pause. Redirects are not followed: the
/// address was checked, where it points to was not.
pub(super) fn webhook(status: StatusCode, headers: &HeaderMap, now: Timestamp) -> Outcome {
    if status.is_success() {
        return Outcome::Accepted { message_id: None };
    }
    let reason: Box<str> = format!("the endpoint answered {}", status.as_u16()).into();
    match status {
        StatusCode::GONE => Outcome::DeadRecipient { reason },
        StatusCode::TOO_MANY_REQUESTS => Outcome::Throttled { reason, retry_after: retry_after(headers, now) },
        _ => Outcome::Transient { reason, retry_after: retry_after(headers, now), unreachable: false },
    }
}

/// What a reply of an SMTP server was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SmtpStep {
    /// MAIL: about the sender, and so about our settings.
    Sender,
    /// RCPT: about the address.
    Recipient,
    /// DATA and the content: about this mail.
    Content,
}

/// What an SMTP reply means (RFC 5321 section 4.2, RFC 3463 for the enhanced codes). The reason holds the codes and no address.
pub(super) fn smtp(step: SmtpStep, code: u16, enhanced: Option<(u16, u16, u16)>) -> Outcome {
    let shown = match enhanced {
        Some((class, subject, detail)) => format!("the server answered {code} {class}.{subject}.{detail}"),
        None => format!("the server answered {code}"),
    };
    let reason: Box<str> = shown.into();
    match (step, code, enhanced) {
        (_, 200..300, _) => Outcome::Accepted { message_id: None },
        (_, 454, _) => Outcome::Throttled { reason, retry_after: None },
        (_, 400..500, _) => Outcome::Transient { reason, retry_after: None, unreachable: false },
        // Authentication required or refused: RFC 4954 section 6.
        (_, 530 | 534 | 535 | 538, _) => Outcome::Config { reason },
        // The announced size is too much: RFC 1870 section 6.1.
        (SmtpStep::Sender, 552, _) => Outcome::BadRequest { reason },
        (SmtpStep::Sender, _, _) => Outcome::Config { reason },
        // The mailbox is full, or was: tried again, not buried at the first time.
        (SmtpStep::Recipient, 552, _) | (SmtpStep::Recipient, _, Some((5, 2, 2))) => {
            Outcome::Transient { reason, retry_after: None, unreachable: false }
        }
        // Policy and reputation: it is about us, not about the address.
        (SmtpStep::Recipient, _, Some((5, 7, _))) => Outcome::Config { reason },
        (SmtpStep::Recipient, 551 | 553, _)
        | (SmtpStep::Recipient, _, Some((5, 1, 1 | 2 | 3 | 6 | 10) | (5, 2, 1)))
        | (SmtpStep::Recipient, 550, None) => Outcome::DeadRecipient { reason },
        // Failed authentication of the sender (SPF, DKIM, DMARC: RFC 7372, RFC 7489) fails for every mail; any other refusal of
        // a content is about that content.
        (SmtpStep::Content, _, Some((5, 7, 20..=27))) => Outcome::Config { reason },
        _ => Outcome::BadRequest { reason },
    }
}

/// `Retry-After` in seconds or as a date (RFC 9110 section 10.2.3).
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?;
    let millis = u64::try_from(date.timestamp().as_millisecond()).ok()?;
    Some(Timestamp(millis).since(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhooks_answer_means_what_the_table_says() {
        let check = |status: u16, expected: &str| {
            let status = StatusCode::from_u16(status).expect("a status");
            assert_eq!(webhook(status, &HeaderMap::new(), Timestamp(0)).name(), expected, "{status}");
        };
        check(200, "accepted");
        check(204, "accepted");
        check(302, "transient");
        check(400, "transient");
        check(404, "transient");
        check(410, "dead_recipient");
        check(429, "throttled");
        check(500, "transient");
        check(503, "transient");
    }

    #[test]
    fn a_retry_after_is_read_as_seconds_and_as_a_date() {
        let check = |text: &str, expected: Option<u64>| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().expect("a header"));
            let noon = Timestamp::parse("2026-11-21T12:00:00Z").expect("a time");
            assert_eq!(retry_after(&headers, noon), expected.map(Duration::from_secs), "{text}");
        };
        check("120", Some(120));
        check("Sat, 21 Nov 2026 12:01:00 GMT", Some(60));
        check("Sat, 21 Nov 2026 11:00:00 GMT", Some(0));
        check("soon", None);
    }

    #[test]
    fn an_smtp_reply_means_what_the_table_says() {
        use SmtpStep::{Content, Recipient, Sender};
        let check = |step: SmtpStep, code: u16, enhanced: Option<(u16, u16, u16)>, expected: &str| {
            assert_eq!(smtp(step, code, enhanced).name(), expected, "{step:?} {code} {enhanced:?}");
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
        check(Recipient, 550, None, "dead_recipient");
        check(Recipient, 550, Some((5, 7, 1)), "config");
        check(Recipient, 551, None, "dead_recipient");
        check(Recipient, 552, Some((5, 2, 2)), "transient");
        check(Recipient, 553, None, "dead_recipient");
        check(Content, 550, None, "bad_request");
        check(Content, 550, Some((5, 7, 1)), "bad_request");
        check(Content, 550, Some((5, 7, 26)), "config");
        check(Content, 554, None, "bad_request");
    }
}
