//! Version 2, frozen. Of the record of a request: version 1 and the key of the batch that it carries; a request that carries
//! none, as nearly all do, is still written as version 1. Of a dead letter: a record that another program wrote; every
//! other cause is still written as version 1. Of the books: version 1 and which rows they have, where rows and books are not
//! written as one.

use bincode::{Decode, Encode};

use super::{CodecError, v1};
use crate::domain::{ClaimKey, NotificationRequest};
use crate::store::{self, Counted, DeadLetterCause, DeadLetterKey, ForeignLetter, Uncounted};

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

#[derive(Encode)]
pub(super) struct ForeignOut<'a> {
    reason: &'a str,
    body: &'a [u8],
    size: u64,
    content_type: Option<&'a str>,
    idempotency_key: Option<&'a [u8]>,
    tenant: Option<&'a [u8]>,
    is_whole: bool,
}

impl<'a> ForeignOut<'a> {
    pub(super) fn new(reason: &'a str, letter: &'a ForeignLetter) -> Self {
        Self {
            reason,
            body: &letter.body,
            size: letter.size,
            content_type: letter.content_type.as_deref(),
            idempotency_key: letter.idempotency_key.as_deref(),
            tenant: letter.tenant.as_deref(),
            is_whole: letter.is_whole,
        }
    }
}

#[derive(Decode)]
pub(super) struct Foreign {
    reason: Box<str>,
    body: Vec<u8>,
    size: u64,
    content_type: Option<Box<str>>,
    idempotency_key: Option<Vec<u8>>,
    tenant: Option<Vec<u8>>,
    is_whole: bool,
}

impl Foreign {
    pub(super) fn into_domain(self, key: DeadLetterKey) -> store::DeadLetter {
        let letter = ForeignLetter {
            body: self.body.into(),
            size: self.size,
            content_type: self.content_type,
            idempotency_key: self.idempotency_key.map(Into::into),
            tenant: self.tenant.map(Into::into),
            is_whole: self.is_whole,
        };
        store::DeadLetter { key, reason: self.reason, cause: DeadLetterCause::Foreign(Box::new(letter)) }
    }
}

#[derive(Encode, Decode)]
pub(super) struct CountedBooks {
    books: v1::Books,
    up_to: i64,
    process: u32,
    /// First, last and blocks of each.
    but: Vec<(i64, i64, Vec<u64>)>,
}

impl CountedBooks {
    pub(super) fn new(books: &store::Books, counted: &Counted) -> Self {
        let but = counted.but.iter().map(|but| (but.first, but.last, but.blocks.clone()));
        Self { books: books.into(), up_to: counted.up_to, process: counted.process, but: but.collect() }
    }

    pub(super) fn into_store(self) -> (store::Books, Counted) {
        let but = self.but.into_iter().map(|(first, last, blocks)| Uncounted { first, last, blocks });
        (self.books.into(), Counted { up_to: self.up_to, process: self.process, but: but.collect() })
    }
}
