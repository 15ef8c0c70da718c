//! What FCM's answers say.

use hyper::StatusCode;
use serde::Deserialize;

use crate::domain::{Outcome, Timestamp};
use crate::providers::http::Answer;
use crate::providers::outcome::{self, Form, Said, Table};

/// What an answer means.
pub(super) struct Judged {
    pub(super) outcome: Outcome,
    pub(super) asks_for_new_token: bool,
}

#[derive(Deserialize)]
struct Taken {
    name: Box<str>,
}

#[derive(Deserialize)]
struct Wrong {
    error: ErrorBody,
}

/// <https://cloud.google.com/apis/design/errors>
#[derive(Deserialize)]
struct ErrorBody {
    #[serde(default)]
    status: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    details: Vec<Detail>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    #[serde(rename = "@type", default)]
    kind: String,
    #[serde(default)]
    error_code: String,
    #[serde(default)]
    field_violations: Vec<Violation>,
}

#[derive(Deserialize)]
struct Violation {
    #[serde(default)]
    field: String,
}

/// The type of the detail that holds FCM's own code; others hold codes of other services.
const OWN_DETAIL: &str = "google.firebase.fcm.v1.FcmError";

pub(super) fn judge(table: &Table, answer: &Answer, now: Timestamp) -> Judged {
    let retry_after = outcome::retry_after(&answer.headers, now);
    if answer.status.is_success() {
        let taken: Option<Taken> = serde_json::from_slice(&answer.body).ok();
        let message_id = taken.as_ref().map(|taken| &*taken.name);
        let doubt = outcome::doubt(answer, message_id.is_some(), &[StatusCode::OK], Form::Json);
        let said = Said { codes: &[], status: answer.status, retry_after, message_id };
        let outcome = doubt.unwrap_or_else(|| table.judge(&said));
        return Judged { outcome, asks_for_new_token: false };
    }
    let wrong: Option<Wrong> = serde_json::from_slice(&answer.body).ok();
    let code = wrong.as_ref().map_or("", |wrong| wrong.error.code());
    // The same code is said of a token and of a message: only where it names the token is the token at fault.
    let about_token = format!("{code} token");
    let codes = [&*about_token, code];
    let codes = match &wrong {
        Some(wrong) if wrong.error.names_token() => &codes[..],
        _ => &codes[1..],
    };
    let said = Said { codes, status: answer.status, retry_after, message_id: None };
    Judged { outcome: table.judge(&said), asks_for_new_token: table.asks_for_new_credentials(&said) }
}

impl ErrorBody {
    /// FCM's own code, or else the general one.
    fn code(&self) -> &str {
        let own = self.details.iter().find(|detail| detail.kind.ends_with(OWN_DETAIL) && !detail.error_code.is_empty());
        own.map_or(&self.status, |detail| &detail.error_code)
    }

    fn names_token(&self) -> bool {
        let violations = || self.details.iter().flat_map(|detail| &detail.field_violations);
        match violations().next() {
            // A field is named: what the sentences say beside it is about anything.
            Some(_) => violations().any(|found| found.field == "message.token"),
            None => self.message.to_ascii_lowercase().contains("registration token"),
        }
    }
}
