//! From an event and a rule to requests: as the JSON of a request, read by the one reader of requests, so that every rule of the
//! contract holds for what events make as well.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::json;

use super::{Audience, KnownRule, Part};
use crate::audience::Rulings;
use crate::audience::field::Happened;
use crate::domain::{ClaimKey, DomainEvent, Idempotency, NotificationRequest};
use crate::intake::{Envelope, FieldProblem, dedup_key_of, hashed_key, read_request};

/// What the retry keys of what events make are for; no door of the API has this name.
const KEYS_OF: &str = "rule of an event";

/// Bytes of an event's data over all users of a rule: each of their requests has it.
const DATA_BYTES_MAX: usize = 16 << 20;

/// What stands for a text that an event cannot fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// The rule cannot be applied.
    Fails,
    /// The field is left out: the event is an example.
    LeftOut,
}

/// The requests of a rule, one for each of its audience; their contents were not tried. `data`: the text of [`event_data`].
pub(in crate::audience) fn made(
    rule: &KnownRule,
    happened: Happened<'_>,
    data: &str,
    rulings: Rulings<'_>,
) -> Result<Vec<NotificationRequest>, Vec<FieldProblem>> {
    let event = happened.event;
    let (first, others) = match &rule.audience {
        Audience::Users(users) => (users.first().map(|user| &**user), users.get(1..).unwrap_or_default()),
        Audience::User | Audience::Subscribers => (event.user_id.as_deref(), &[][..]),
    };
    if first.is_none() && !rule.send.fields.iter().any(|(name, _)| &**name == "to") {
        let detail = "is required: the rule sends to the user of the event, and the event says of none";
        return Err(vec![FieldProblem::new("/user_id", detail)]);
    }
    if data.len().saturating_mul(others.len()) > DATA_BYTES_MAX {
        let detail = format!("is too large for so many users: {DATA_BYTES_MAX} bytes over all of them");
        return Err(vec![FieldProblem::new("/data", detail)]);
    }
    let request = first_request(rule, happened, first, data, rulings, Missing::Fails)?;
    let Some((first, others)) = first.zip((!others.is_empty()).then_some(others)) else { return Ok(vec![request]) };
    let of_user = |user: &str| NotificationRequest {
        dedup_key: request.dedup_key.as_ref().map(|key| dedup_key_of(key, user)),
        user_id: Some(user.into()),
        idempotency: Some(retry_key(event, &rule.name, user)),
        ..request.clone()
    };
    Ok([first].into_iter().chain(others.iter().map(|user| &**user)).map(of_user).collect())
}

/// What those who follow the subject of the event are told: a request without a recipient, channels and a retry key; its content was
/// not tried.
pub(in crate::audience) fn message_for_followers(
    rule: &KnownRule,
    happened: Happened<'_>,
    data: &str,
    rulings: Rulings<'_>,
) -> Result<NotificationRequest, Vec<FieldProblem>> {
    if happened.event.subject.is_none() {
        let detail = "is required: the rule sends to those who follow the subject, and the event says of none";
        return Err(vec![FieldProblem::new("/subject", detail)]);
    }
    // The reader of requests wants somebody; who it is makes no difference to it.
    let request = first_request(rule, happened, Some("subscriber"), data, rulings, Missing::Fails)?;
    Ok(NotificationRequest { user_id: None, channels: Vec::new(), idempotency: None, ..request })
}

/// The request for one user. Problems point into the event, or to `/send` of the rule.
pub(super) fn first_request(
    rule: &KnownRule,
    happened: Happened<'_>,
    user_id: Option<&str>,
    data: &str,
    rulings: Rulings<'_>,
    missing: Missing,
) -> Result<NotificationRequest, Vec<FieldProblem>> {
    let event = happened.event;
    let mut text = String::with_capacity(data.len() + 512);
    let mut problems = Vec::new();
    text.push_str("{\"metadata\":");
    text.push_str(&json!({"event_id": event.id, "event_type": event.event_type, "rule": rule.name}).to_string());
    if let Some(user_id) = user_id {
        _ = write!(text, ",\"user_id\":{}", json!(user_id));
    }
    write_parts(&mut text, &rule.send.fields, happened, missing, &mut problems);
    write_times(&mut text, rule, event);
    text.push_str(",\"data\":");
    text.push_str(data);
    text.push('}');
    if !problems.is_empty() {
        return Err(problems);
    }
    let envelope = Envelope {
        tenant: &event.tenant,
        source: event.told_by,
        idempotency: Some(retry_key(event, &rule.name, user_id.unwrap_or_default())),
        now: event.accepted_at,
        categories: rulings.categories,
        contents: rulings.contents,
    };
    read_request(&text, &envelope).map_err(|problems| problems.into_iter().map(placed).collect())
}

/// A problem of a request, where the event or the rule has what is wrong.
pub(in crate::audience) fn placed(problem: FieldProblem) -> FieldProblem {
    let of_event = ["/data", "/user_id", "/deliver_at"].iter().any(|at| problem.pointer.starts_with(at));
    match &*problem.pointer {
        "/expires_at" => FieldProblem { pointer: "/send/expires_after_seconds".into(), ..problem },
        _ if of_event => problem,
        _ => problem.below("/send"),
    }
}

/// An event that comes again is the same whatever it says now: the body counts for nothing.
fn retry_key(event: &DomainEvent, rule: &str, user_id: &str) -> Idempotency {
    // CloudEvents 1.0: an id is one of its source. A rule's name has no spaces, and the lengths say where the others end.
    let source = event.source.as_deref().unwrap_or_default();
    let key = format!("{} {source} {} {} {rule} {user_id}", source.len(), event.id.len(), event.id);
    Idempotency { key: ClaimKey(hashed_key(&event.tenant, KEYS_OF, key.as_bytes())), body_hash: 0, batch: None }
}

/// Each with a comma before it.
fn write_parts(
    text: &mut String,
    parts: &[(Box<str>, Part)],
    happened: Happened<'_>,
    missing: Missing,
    problems: &mut Vec<FieldProblem>,
) {
    for (name, part) in parts {
        let value = match part {
            Part::Fixed(json) => json.to_string(),
            Part::Filled(fill) => match fill.fill(happened) {
                Ok(filled) => json!(filled).to_string(),
                Err(problem) => {
                    problems.extend((missing == Missing::Fails).then_some(problem));
                    continue;
                }
            },
            Part::Object(inner) => {
                let mut fields = String::new();
                if missing == Missing::LeftOut && cannot_be_filled(inner, happened) {
                    continue;
                }
                write_parts(&mut fields, inner, happened, missing, problems);
                format!("{{{}}}", fields.trim_start_matches(','))
            }
        };
        _ = write!(text, ",{}:{value}", json!(&**name));
    }
}

fn cannot_be_filled(parts: &[(Box<str>, Part)], happened: Happened<'_>) -> bool {
    parts.iter().any(|(_, part)| matches!(part, Part::Filled(fill) if fill.fill(happened).is_err()))
}

/// A rule's delay counts from the time that the event names, if it names one.
fn write_times(text: &mut String, rule: &KnownRule, event: &DomainEvent) {
    let begin = event.deliver_at.map_or(event.accepted_at, |at| at.max(event.accepted_at));
    let deliver_at = begin + Duration::from_secs(rule.send.delay_seconds.unwrap_or_default());
    if deliver_at > event.accepted_at {
        _ = write!(text, ",\"deliver_at\":\"{deliver_at}\"");
    }
    if let Some(seconds) = rule.send.expires_after_seconds {
        _ = write!(text, ",\"expires_at\":\"{}\"", deliver_at + Duration::from_secs(seconds));
    }
}

/// What templates see: the data as it came, and `event` besides, unless the data has one.
pub(in crate::audience) fn event_data(happened: Happened<'_>) -> Box<str> {
    let event = happened.event;
    let Some(inner) = event.data.trim().strip_prefix('{').filter(|_| happened.data.get("event").is_none()) else {
        return event.data.clone();
    };
    let told = json!({
        "id": event.id,
        "type": event.event_type,
        "subject": event.subject,
        "at": event.at.to_string(),
    });
    let comma = if inner.trim_start().starts_with('}') { "" } else { "," };
    format!("{{\"event\":{told}{comma}{inner}").into()
}
