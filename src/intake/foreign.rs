//! Records that other programs wrote: the same requests as the API takes, with the same checks. Pure.
//!
//! What the headers and the topic say counts for more than what the body says: the lane is the topic's, the tenant the
//! header's. All times are relative to when the log took the record, so that it is read the same however often and late
//! it is read.

use std::sync::Arc;

use bytes::Bytes;

use super::retry_key;
use super::validate::{ContentCheck, Envelope, FieldProblem, check_decoded, limits, read_request};
use crate::codec;
use crate::domain::{Categories, Idempotency, NotificationRequest, Priority, Source, Timestamp, cut};
use crate::log::Foreign;
use crate::store::ForeignLetter;

/// What is needed to judge a record of another program.
#[derive(Clone)]
pub struct Reading {
    pub contents: Arc<dyn ContentCheck>,
    pub categories: Arc<Categories>,
    /// Bytes of a body, as at the API.
    pub body_max: usize,
}

/// Who a record is from that does not say it.
const TENANT: &str = "default";
/// A tenant stands in keys of the store.
const TENANT_BYTES_MAX: usize = 64;
/// Bytes of a reason: it stands in a list, and in a header.
const REASON_BYTES_MAX: usize = 1024;

/// How a body is written.
enum Format {
    Json,
    Bincode,
}

impl Reading {
    /// A dead letter as a request, if it can be used by now: its template may be there, or the limit larger. It counts as accepted now,
    /// or it would have expired at once. It becomes a record of our own: [`super::Seals::records`].
    pub fn read_again(&self, letter: &ForeignLetter, lane: Priority, now: Timestamp) -> Option<NotificationRequest> {
        let ForeignLetter { content_type, idempotency_key, tenant, .. } = letter.clone();
        let foreign = Foreign { content_type, idempotency_key, tenant, cloud_event: Vec::new(), appended_at: now };
        letter.is_whole.then(|| self.read(&letter.body, &foreign, lane, now))?.ok()
    }

    /// The request in a record of `lane`, or why there is none, for people.
    pub(super) fn read(
        &self,
        body: &Bytes,
        foreign: &Foreign,
        lane: Priority,
        now: Timestamp,
    ) -> Result<NotificationRequest, String> {
        if body.len() > self.body_max {
            return Err(format!(
                "is too large: {} bytes, at most {} are taken (`http.max_body`)",
                body.len(),
                self.body_max
            ));
        }
        let format = format(foreign.content_type.as_deref())?;
        let tenant = tenant(foreign.tenant.as_deref())?;
        let idempotency = idempotency(foreign.idempotency_key.as_deref(), tenant, body)?;
        // A producer may stamp its records as it likes; what it calls the future is now.
        let accepted_at = foreign.appended_at.min(now);
        let envelope = Envelope {
            tenant,
            source: Source::Kafka,
            idempotency,
            now: accepted_at,
            categories: &self.categories,
            contents: &*self.contents,
        };
        let read = match format {
            Format::Json => {
                let text = std::str::from_utf8(body).map_err(|_| "is no JSON: it is not UTF-8".to_owned())?;
                read_request(text, &envelope)
            }
            Format::Bincode => {
                let request = codec::decode_request(body).map_err(|error| format!("cannot be decoded: {error}"))?;
                check_decoded(&request, &envelope)
            }
        };
        let mut request = read.map_err(|problems| reason(&problems))?;
        request.priority = lane;
        self.contents.check(&request).map_err(|problem| reason(&[problem]))?;
        Ok(request)
    }
}

/// Parameters, as a charset, change nothing: JSON is UTF-8.
fn format(content_type: Option<&str>) -> Result<Format, String> {
    let Some(content_type) = content_type else { return Ok(Format::Json) };
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(Format::Json);
    }
    if essence.eq_ignore_ascii_case("application/x-bincode") {
        return Ok(Format::Bincode);
    }
    let shown: String = essence.chars().take(80).collect();
    Err(format!("has the content type `{shown}`: use application/json or application/x-bincode"))
}

/// The tenant that the header of a record names; the default one where there is none.
pub fn tenant(header: Option<&[u8]>) -> Result<&str, String> {
    let Some(bytes) = header else { return Ok(TENANT) };
    let text = std::str::from_utf8(bytes).ok().filter(|text| (1..=TENANT_BYTES_MAX).contains(&text.len()));
    text.filter(|text| !text.chars().any(char::is_control)).ok_or_else(|| {
        format!("has a header `tenant` that is none: 1 to {TENANT_BYTES_MAX} bytes without control characters")
    })
}

fn idempotency(header: Option<&[u8]>, tenant: &str, body: &[u8]) -> Result<Option<Idempotency>, String> {
    let Some(key) = header else { return Ok(None) };
    if key.is_empty() || key.len() > limits::IDEMPOTENCY_KEY_BYTES_MAX {
        let max = limits::IDEMPOTENCY_KEY_BYTES_MAX;
        return Err(format!("has a header `idempotency-key` that is none: 1 to {max} bytes"));
    }
    Ok(Some(retry_key::of_notification(tenant, key, body)))
}

/// All that is wrong, as one line.
pub fn reason(problems: &[FieldProblem]) -> String {
    let lines = problems.iter().map(|problem| match &*problem.pointer {
        "" => problem.detail.clone(),
        pointer => format!("{pointer} {}", problem.detail),
    });
    cut(&lines.collect::<Vec<_>>().join("; "), REASON_BYTES_MAX).to_owned()
}

#[cfg(test)]
mod tests;
