//! What the tests here share.

use std::sync::Arc;

use crate::config;
use crate::domain::{Categories, Definition, DefinitionKind, DomainEvent, NotificationRequest, Source, Timestamp};
use crate::intake::{ContentCheck, FieldProblem};

/// An event of alice, under the id `e1`.
pub(super) fn event(event_type: &str, data: &str) -> DomainEvent {
    let now = Timestamp::parse("2026-11-22T12:00:00Z").expect("a time");
    DomainEvent {
        tenant: "default".into(),
        id: "e1".into(),
        event_type: event_type.into(),
        source: None,
        subject: None,
        user_id: Some("alice".into()),
        data: data.into(),
        at: now,
        deliver_at: None,
        told_by: Source::Http,
        accepted_at: now,
    }
}

pub(super) fn categories() -> Arc<Categories> {
    Arc::new(config::defaults().categories().expect("the default is there"))
}

pub(super) fn definition(kind: DefinitionKind, name: &str, body: &str) -> Definition {
    Definition { kind, name: name.into(), version: 1, body: Some(body.into()), changed_at: Timestamp(0) }
}

/// There is one template, `welcome`, which needs `name`.
pub(super) struct OneTemplate;

impl ContentCheck for OneTemplate {
    fn category(&self, _: &str, code: &str) -> Option<Box<str>> {
        (code == "welcome").then(|| "security".into())
    }

    fn check(&self, request: &NotificationRequest) -> Result<(), FieldProblem> {
        match &request.content {
            crate::domain::Content::Template { code } if **code != *"welcome" => {
                Err(FieldProblem::new("/template", format!("there is no template `{code}`")))
            }
            _ if request.data.contains("\"name\":") => Ok(()),
            _ => Err(FieldProblem::new("/data/name", "is missing")),
        }
    }
}
