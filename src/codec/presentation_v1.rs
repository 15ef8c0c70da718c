//! What has to do with how a message reads, frozen: version 5 of the record of a request (version 4, whose group need not be there,
//! and a language) and version 4 of a plan (version 2, its group if it has one, and its presentation). Whatever reads as usual is
//! still written in the version before.

use bincode::{Decode, Encode};

use super::groups_v1::{
    AggregateRow, GroupRow, aggregate_in, aggregate_row, bare_row, carry_batch, group_in, group_row, local_time,
};
use super::v1::{self, Text};
use super::{CodecError, plan_v2};
use crate::domain::{self, NotificationRequest, Position, Presentation, TimeOfDay};

#[derive(Encode)]
pub(super) struct RequestOut<'a> {
    first: v1::RequestOut<'a>,
    batch: Option<u128>,
    /// Minutes since midnight.
    local_time: Option<u16>,
    aggregate: Option<AggregateRow<&'a str>>,
    locale: &'a str,
}

impl<'a> RequestOut<'a> {
    pub(super) fn new(request: &'a NotificationRequest, locale: &'a str) -> Self {
        Self {
            first: request.into(),
            batch: request.idempotency.and_then(|retry| retry.batch).map(|key| key.0),
            local_time: request.local_time.map(TimeOfDay::minutes),
            aggregate: request.aggregate.as_ref().map(aggregate_row),
            locale,
        }
    }
}

#[derive(Decode)]
pub(super) struct Request {
    first: v1::Request,
    batch: Option<u128>,
    local_time: Option<u16>,
    aggregate: Option<AggregateRow<Text>>,
    locale: Text,
}

impl Request {
    pub(super) fn into_domain(self) -> Result<NotificationRequest, CodecError> {
        let mut request = self.first.into_domain()?;
        request.local_time = self.local_time.map(local_time).transpose()?;
        carry_batch(&mut request, self.batch)?;
        request.aggregate = self.aggregate.map(aggregate_in);
        request.locale = Some(self.locale);
        Ok(request)
    }
}

/// Locale, zone, variant.
pub(super) type PresentationRow<T> = (Option<T>, Option<T>, Option<T>);

pub(super) fn presentation_row(presentation: &Presentation) -> PresentationRow<&str> {
    let Presentation { locale, zone, variant } = presentation;
    (locale.as_deref(), zone.as_deref(), variant.as_deref())
}

pub(super) fn presentation_in((locale, zone, variant): PresentationRow<Text>) -> Presentation {
    Presentation { locale, zone, variant }
}

#[derive(Encode)]
pub(super) struct PlanOut<'a> {
    plan: plan_v2::PlanOut<'a>,
    group: Option<GroupRow<&'a str>>,
    presentation: PresentationRow<&'a str>,
}

impl<'a> From<&'a domain::Plan> for PlanOut<'a> {
    fn from(plan: &'a domain::Plan) -> Self {
        Self {
            plan: plan.into(),
            group: plan.group.as_ref().map(group_row),
            presentation: presentation_row(&plan.presentation),
        }
    }
}

impl<'a> PlanOut<'a> {
    /// Without what is personal.
    pub(super) fn bare(plan: &'a domain::Plan) -> Self {
        let (locale, _, variant) = presentation_row(&plan.presentation);
        Self {
            plan: plan_v2::PlanOut::bare(plan),
            group: plan.group.as_ref().map(bare_row),
            presentation: (locale, None, variant),
        }
    }
}

#[derive(Decode)]
pub(super) struct Plan {
    plan: plan_v2::Plan,
    group: Option<GroupRow<Text>>,
    presentation: PresentationRow<Text>,
}

impl Plan {
    pub(super) fn into_domain(self, position: Position) -> Result<domain::Plan, CodecError> {
        let presentation = presentation_in(self.presentation);
        Ok(domain::Plan { group: self.group.map(group_in), presentation, ..self.plan.into_domain(position)? })
    }
}
