//! What an answer means. No adapter decides this for itself.

mod table;

use std::time::Duration;

use hyper::header::{CONTENT_TYPE, RETRY_AFTER};
use hyper::{HeaderMap, StatusCode};

use super::http::{Answer, HttpFailure};
use crate::domain::{Outcome, Timestamp};

pub(super) use table::{Said, Table};

/// Why there is no answer, as an outcome.
pub(super) fn no_answer(failure: HttpFailure) -> Outcome {
    match failure {
        HttpFailure::Refused(reason) => Outcome::BadRequest { reason: reason.into() },
        HttpFailure::Unreachable(reason) => {
            Outcome::Transient { reason: reason.into(), retry_after: None, unreachable: true }
        }
        HttpFailure::InDoubt(reason) => Outcome::Unknown { reason: reason.into() },
    }
}

/// What the answers of an API are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// JSON, plain words, or nothing: none of it begins with `<`.
    Json,
    Xml,
}

/// A success that may be none: somebody on the way (a captive portal, a proxy) answers 2xx with a page of its own, or with a status that
/// this API does not know. The message may have been sent all the same.
///
/// `usual`: what the API says when it takes a message. `has_id`: the id that it promises is there, which nobody else makes up.
/// Its own status with JSON or with nothing, and without an id, is no reason for doubt.
pub(super) fn doubt(answer: &Answer, has_id: bool, usual: &[StatusCode], form: Form) -> Option<Outcome> {
    let is_strange = is_page(answer, form) || (!has_id && !usual.contains(&answer.status));
    let status = answer.status.as_u16();
    (answer.status.is_success() && is_strange).then(|| Outcome::Unknown {
        reason: format!("the answer {status} is not one of the provider's: a proxy may have given it").into(),
    })
}

/// Whether a person is to read it.
fn is_page(answer: &Answer, form: Form) -> bool {
    let kind = answer.headers.get(CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    let begins =
        |text: &[u8], with: &str| text.get(..with.len()).is_some_and(|head| head.eq_ignore_ascii_case(with.as_bytes()));
    let body = answer.body.trim_ascii_start();
    begins(kind, "text/html")
        || match form {
            Form::Json => body.starts_with(b"<"),
            Form::Xml => begins(body, "<html") || begins(body, "<!doctype html"),
        }
}

/// `Retry-After` in seconds or as a date (RFC 9110 section 10.2.3).
pub(super) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
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
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_success_that_another_may_have_given_is_in_doubt() {
        let check = |status: u16, kind: &str, body: &'static str, has_id: bool, form: Form, expected: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, kind.parse().expect("a header"));
            let status = StatusCode::from_u16(status).expect("a status");
            let answer = Answer { status, headers, body: Bytes::from_static(body.as_bytes()), is_whole: true };
            let found = doubt(&answer, has_id, &[StatusCode::CREATED], form);
            assert_eq!(found.is_some(), expected, "{status} {kind} {body}");
            assert!(found.is_none_or(|outcome| outcome.name() == "unknown"));
        };
        check(201, "application/json", "{}", false, Form::Json, false);
        check(201, "text/plain", "", false, Form::Json, false);
        check(201, "text/html; charset=utf-8", "", false, Form::Json, true);
        check(201, "Text/HTML", "{}", true, Form::Xml, true);
        check(201, "text/plain", "\r\n <p>Sign in</p>", true, Form::Json, true);
        check(201, "text/xml", "<PublishResponse/>", false, Form::Xml, false);
        check(201, "text/plain", "<!DOCTYPE html><p>Sign in</p>", false, Form::Xml, true);
        check(200, "application/json", "{}", false, Form::Json, true);
        check(200, "application/json", "{\"id\":1}", true, Form::Json, false);
        check(204, "text/plain", "", false, Form::Json, true);
        // What is no success is the table's.
        check(502, "text/html", "<html>", false, Form::Json, false);
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
}
