//! What a body, or a line, says of somebody who follows a subject.

use super::fields::{Fields, Problems};
use super::user_id;
use crate::domain::SubscriptionChannel;
use crate::intake::FieldProblem;
use crate::subscriptions::Wish;

/// What is said of a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::api) struct SubscriptionSaid {
    channel: SubscriptionChannel,
    is_active: bool,
}

impl SubscriptionSaid {
    /// `None` only together with a problem.
    pub(in crate::api) fn read(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<Self> {
        let channel = fields.required("channel", problems, |text| {
            SubscriptionChannel::parse(text).ok_or("must be app, email, sms or none")
        });
        let is_active = fields.text("status", problems, |text| match text {
            "active" => Ok(true),
            "inactive" => Ok(false),
            _ => Err("must be active or inactive"),
        });
        // When it began and changed is not the caller's to say.
        fields.take("since");
        fields.take("changed_at");
        Some(Self { channel: channel?, is_active: is_active.flatten().unwrap_or(true) })
    }

    /// The same of a user.
    pub(in crate::api) fn of(self, user_id: Box<str>) -> Wish {
        Wish { user_id, channel: self.channel, is_active: self.is_active }
    }
}

/// A line of an upload of followers.
pub(in crate::api) fn follower_line(text: &str) -> Result<Wish, Vec<FieldProblem>> {
    let mut problems = Problems::default();
    let mut fields = Fields::read(text, "").map_err(|problem| vec![problem])?;
    let id = fields.required("user_id", &mut problems, |text| user_id(text, "").map_err(|problem| problem.detail));
    let said = SubscriptionSaid::read(&mut fields, &mut problems);
    fields.end(&mut problems);
    let (id, said) = problems.or((id, said))?;
    id.zip(said).map(|(id, said)| said.of(id)).ok_or_else(Vec::new)
}
