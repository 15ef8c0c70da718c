//! Version 2 of the record of a request, frozen: version 1 and the key of the batch that it carries. A request that carries
//! none, as nearly all do, is still written as version 1.

use bincode::{Decode, Encode};

use super::{CodecError, v1};
use crate::domain::{ClaimKey, NotificationRequest};

#[derive(Encode)]
pub(super) struct RequestOut<'a> {
    first: v1::RequestOut<'a>,
    batch: u128,
}

impl<'a> RequestOut<'a> {
    pub(super) fn new(request: &'a NotificationRequest, batch: ClaimKey) -> Self {
        Self { first: request.into(), batch: batch.0 }
    }
}

#[derive(Decode)]
pub(super) struct Request {
    first: v1::Request,
    batch: u128,
}

impl Request {
    pub(super) fn into_domain(self) -> Result<NotificationRequest, CodecError> {
        let mut request = self.first.into_domain()?;
        match &mut request.idempotency {
            Some(retry) => retry.batch = Some(ClaimKey(self.batch)),
            None => return Err(CodecError::Damaged("it holds the key of a batch and none of its own".into())),
        }
        Ok(request)
    }
}
