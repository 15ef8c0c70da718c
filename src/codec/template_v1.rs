//! Version 1 of changes of templates, frozen: never edit a field here, make a `template_v2.rs`. The number is the row's key.

use bincode::{Decode, Encode};

use crate::domain::{TemplateAction, TemplateChange, Timestamp};

#[derive(Encode)]
pub(super) struct ChangeOut<'a> {
    code: &'a str,
    action: ActionOut<'a>,
    by: &'a str,
    at: u64,
}

#[derive(Encode)]
enum ActionOut<'a> {
    Saved { version: u32, body: [u8; 16], comment: Option<&'a str> },
    MadeCurrent { version: u32 },
    Activated,
    Deactivated,
    Deleted,
    VersionDeleted { version: u32 },
}

#[derive(Decode)]
pub(super) struct Change {
    code: Box<str>,
    action: Action,
    by: Box<str>,
    at: u64,
}

#[derive(Decode)]
enum Action {
    Saved { version: u32, body: [u8; 16], comment: Option<Box<str>> },
    MadeCurrent { version: u32 },
    Activated,
    Deactivated,
    Deleted,
    VersionDeleted { version: u32 },
}

impl<'a> From<&'a TemplateChange> for ChangeOut<'a> {
    fn from(change: &'a TemplateChange) -> Self {
        let action = match &change.action {
            TemplateAction::Saved { version, body, comment } => {
                ActionOut::Saved { version: *version, body: body.to_be_bytes(), comment: comment.as_deref() }
            }
            TemplateAction::MadeCurrent { version } => ActionOut::MadeCurrent { version: *version },
            TemplateAction::Activated => ActionOut::Activated,
            TemplateAction::Deactivated => ActionOut::Deactivated,
            TemplateAction::Deleted => ActionOut::Deleted,
            TemplateAction::VersionDeleted { version } => ActionOut::VersionDeleted { version: *version },
        };
        Self { code: &change.code, action, by: &change.by, at: change.at.millis() }
    }
}

impl Change {
    pub(super) fn into_domain(self, number: u64) -> TemplateChange {
        let action = match self.action {
            Action::Saved { version, body, comment } => {
                TemplateAction::Saved { version, body: u128::from_be_bytes(body), comment }
            }
            Action::MadeCurrent { version } => TemplateAction::MadeCurrent { version },
            Action::Activated => TemplateAction::Activated,
            Action::Deactivated => TemplateAction::Deactivated,
            Action::Deleted => TemplateAction::Deleted,
            Action::VersionDeleted { version } => TemplateAction::VersionDeleted { version },
        };
        TemplateChange { number, code: self.code, action, by: self.by, at: Timestamp(self.at) }
    }
}
