//! Version 3 of the record of a request, frozen: version 1, the key of the batch that it carries, and the local time at which it
//! is to come. A request without a local time, as nearly all are, is still written as version 1 or 2.

use bincode::{Decode, Encode};

use super::CodecError;
use super::groups_v1::{carry_batch, local_time};
use super::v1;
use crate::domain::{NotificationRequest, TimeOfDay};

#[derive(Encode)]
pub(super) struct RequestOut<'a> {
    first: v1::RequestOut<'a>,
    batch: Option<u128>,
    /// Minutes since midnight.
    local_time: u16,
}

impl<'a> RequestOut<'a> {
    pub(super) fn new(request: &'a NotificationRequest, local_time: TimeOfDay) -> Self {
        let batch = request.idempotency.and_then(|retry| retry.batch).map(|key| key.0);
        Self { first: request.into(), batch, local_time: local_time.minutes() }
    }
}

#[derive(Decode)]
pub(super) struct Request {
    first: v1::Request,
    batch: Option<u128>,
    local_time: u16,
}

impl Request {
    pub(super) fn into_domain(self) -> Result<NotificationRequest, CodecError> {
        let mut request = self.first.into_domain()?;
        request.local_time = Some(local_time(self.local_time)?);
        carry_batch(&mut request, self.batch)?;
        Ok(request)
    }
}
