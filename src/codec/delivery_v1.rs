//! What goes along with a message, frozen: version 6 of the record of a request (version 5, whose language need not be there, a chat,
//! attachments and a key that collapses) and version 5 of a plan (version 4, and the same of it). What has none of it is still
//! written in the version before.

use bincode::{Decode, Encode};

use super::groups_v1::{
    AggregateRow, GroupRow, aggregate_in, aggregate_row, carry_batch, group_in, group_row, local_time,
};
use super::presentation_v1::{PresentationRow, presentation_in, presentation_row};
use super::v1::{self, Text};
use super::{CodecError, plan_v2};
use crate::domain::{self, AttachmentReference, Delivery, NotificationRequest, Position, TimeOfDay};

/// URL, name, media type.
pub(super) type AttachmentRow<T> = (T, T, Option<T>);

pub(super) fn attachment_rows(attachments: &[AttachmentReference]) -> Vec<AttachmentRow<&str>> {
    attachments.iter().map(|one| (&*one.url, &*one.name, one.media_type.as_deref())).collect()
}

pub(super) fn attachments_in(rows: Vec<AttachmentRow<Text>>) -> Vec<AttachmentReference> {
    rows.into_iter().map(|(url, name, media_type)| AttachmentReference { url, name, media_type }).collect()
}

#[derive(Encode)]
pub(super) struct RequestOut<'a> {
    first: v1::RequestOut<'a>,
    batch: Option<u128>,
    /// Minutes since midnight.
    local_time: Option<u16>,
    aggregate: Option<AggregateRow<&'a str>>,
    locale: Option<&'a str>,
    chat: Option<&'a str>,
    attachments: Vec<AttachmentRow<&'a str>>,
    collapse_key: Option<&'a str>,
}

impl<'a> From<&'a NotificationRequest> for RequestOut<'a> {
    fn from(request: &'a NotificationRequest) -> Self {
        Self {
            first: request.into(),
            batch: request.idempotency.and_then(|retry| retry.batch).map(|key| key.0),
            local_time: request.local_time.map(TimeOfDay::minutes),
            aggregate: request.aggregate.as_ref().map(aggregate_row),
            locale: request.locale.as_deref(),
            chat: request.to.chat.as_deref(),
            attachments: attachment_rows(&request.attachments),
            collapse_key: request.collapse_key.as_deref(),
        }
    }
}

#[derive(Decode)]
pub(super) struct Request {
    first: v1::Request,
    batch: Option<u128>,
    local_time: Option<u16>,
    aggregate: Option<AggregateRow<Text>>,
    locale: Option<Text>,
    chat: Option<Text>,
    attachments: Vec<AttachmentRow<Text>>,
    collapse_key: Option<Text>,
}

impl Request {
    pub(super) fn into_domain(self) -> Result<NotificationRequest, CodecError> {
        let mut request = self.first.into_domain()?;
        request.local_time = self.local_time.map(local_time).transpose()?;
        carry_batch(&mut request, self.batch)?;
        request.aggregate = self.aggregate.map(aggregate_in);
        request.locale = self.locale;
        request.to.chat = self.chat;
        request.attachments = attachments_in(self.attachments);
        request.collapse_key = self.collapse_key;
        Ok(request)
    }
}

#[derive(Encode)]
pub(super) struct PlanOut<'a> {
    plan: plan_v2::PlanOut<'a>,
    group: Option<GroupRow<&'a str>>,
    presentation: PresentationRow<&'a str>,
    attachments: Vec<AttachmentRow<&'a str>>,
    collapse_key: Option<&'a str>,
}

impl<'a> From<&'a domain::Plan> for PlanOut<'a> {
    fn from(plan: &'a domain::Plan) -> Self {
        Self {
            plan: plan.into(),
            group: plan.group.as_ref().map(group_row),
            presentation: presentation_row(&plan.presentation),
            attachments: attachment_rows(&plan.delivery.attachments),
            collapse_key: plan.delivery.collapse_key.as_deref(),
        }
    }
}

#[derive(Decode)]
pub(super) struct Plan {
    plan: plan_v2::Plan,
    group: Option<GroupRow<Text>>,
    presentation: PresentationRow<Text>,
    attachments: Vec<AttachmentRow<Text>>,
    collapse_key: Option<Text>,
}

impl Plan {
    pub(super) fn into_domain(self, position: Position) -> Result<domain::Plan, CodecError> {
        let delivery = Delivery { attachments: attachments_in(self.attachments), collapse_key: self.collapse_key };
        let group = self.group.map(group_in);
        let presentation = presentation_in(self.presentation);
        Ok(domain::Plan { group, presentation, delivery, ..self.plan.into_domain(position)? })
    }
}
