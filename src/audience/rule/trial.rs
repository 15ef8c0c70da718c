//! A rule tried with the example of its event type, before it is saved.

use serde_json::Value;

use super::making::{Missing, event_data, first_request, placed};
use super::{Audience, KnownRule};
use crate::audience::field::Happened;
use crate::audience::{KnownType, Rulings};
use crate::domain::{DomainEvent, NotificationRequest, Source, Timestamp};
use crate::intake::{ContentCheck, FieldProblem};

/// A time long ago: nothing of an example is ever kept.
const LONG_AGO: Timestamp = Timestamp(1_000_000_000_000);

/// An event as the type's example has it; without data where it has none.
pub(in crate::audience) fn example_event(tenant: &str, known: &KnownType) -> DomainEvent {
    DomainEvent {
        tenant: tenant.into(),
        id: "example".into(),
        event_type: known.name.clone(),
        source: None,
        subject: Some("example".into()),
        user_id: Some("example".into()),
        data: known.example.as_ref().map_or_else(|| "{}".into(), |example| example.to_string().into()),
        at: LONG_AGO,
        deliver_at: None,
        told_by: Source::Http,
        accepted_at: LONG_AGO,
    }
}

/// The request of the example, without rendering it: whether category, priority, channels and the like are right.
pub(in crate::audience) fn example_request(
    rule: &KnownRule,
    event: &DomainEvent,
    data: &Value,
    rulings: Rulings<'_>,
) -> Result<NotificationRequest, Vec<FieldProblem>> {
    let happened = Happened { event, data };
    let user = match &rule.audience {
        Audience::User | Audience::Subscribers => event.user_id.as_deref(),
        Audience::Users(users) => users.first().map(|user| &**user),
    };
    first_request(rule, happened, user, &event_data(happened), rulings, Missing::LeftOut)
}

/// What is wrong with a rule's content: its template does not exist, or cannot be made of the example.
pub(in crate::audience) fn unfit_content(
    request: &NotificationRequest,
    known: &KnownType,
    contents: &dyn ContentCheck,
) -> Option<FieldProblem> {
    let problem = placed(contents.check(request).err()?);
    if !problem.pointer.starts_with("/data") {
        return Some(problem);
    }
    // Without an example nobody knows what the data will have.
    known.example.as_ref()?;
    let detail = format!("the example of `{}` does not do: {} {}", known.name, problem.pointer, problem.detail);
    Some(FieldProblem::new("/send/template", detail))
}
