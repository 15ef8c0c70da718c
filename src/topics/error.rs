//! Why a topic did not do what was asked.

use serde::{Deserialize, Serialize};

use crate::codec::CodecError;
use crate::store::StoreError;

/// Why a topic did not do what was asked. It goes between nodes, so that the store's errors are sentences here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum TopicError {
    /// A part of what was asked is wrong: where (a JSON pointer), and what to do.
    #[error("{pointer} {detail}")]
    Invalid { pointer: Box<str>, detail: Box<str> },
    /// There is no such topic.
    #[error("there is no such topic: create it first")]
    NoTopic,
    /// The topic has no such group, or no such message waits.
    #[error("the topic has nothing under this name")]
    Nothing,
    #[error("the topic is there already: delete it first, or take another name")]
    Exists,
    /// A message was published under the retry key before, and was another one.
    #[error("this retry key was used before with another message: use a new key")]
    Conflict,
    /// A bound is reached; the sentence says which, and what to do.
    #[error("{0}")]
    Full(Box<str>),
    /// Not possible at the moment: try again shortly.
    #[error("{0}")]
    Busy(Box<str>),
    /// The store failed. What was asked may have happened: ask again.
    #[error("{0}")]
    Store(Box<str>),
}

impl TopicError {
    pub(super) fn invalid(pointer: impl Into<Box<str>>, detail: impl Into<Box<str>>) -> Self {
        Self::Invalid { pointer: pointer.into(), detail: detail.into() }
    }

    /// For a moment nobody has the topic.
    pub fn between_owners() -> Self {
        Self::Busy("the topic is being taken over by another node: try again shortly".into())
    }
}

impl From<StoreError> for TopicError {
    fn from(error: StoreError) -> Self {
        Self::Store(error.to_string().into())
    }
}

impl From<CodecError> for TopicError {
    fn from(error: CodecError) -> Self {
        StoreError::from(error).into()
    }
}
