//! The pages that recipients see: leaving with one click, and choosing what they get.
//!
//! In: a link that we signed. Out: pages in the reader's language that work without script, ask no other host and set no cookie.
//! Promise: the token in the address is the only authority, so no page of another site can act for its reader; what is
//! shown of a user or a category is text, never markup; and what is saved goes the way of `PUT /v1/users/{id}/preferences`.

pub(in crate::api) mod choices;
pub(in crate::api) mod link;
pub(in crate::api) mod unsubscribe;

mod changes;
mod form;
mod page;
mod reader;
mod words;

use axum::http::HeaderMap;
use axum::response::Response;

/// The page of a link that was not made here.
pub(in crate::api) fn unknown_link(headers: &HeaderMap) -> Response {
    reader::unknown(words::Words::of(None, headers))
}

#[cfg(test)]
pub(in crate::api) use words::ALL as LANGUAGES;
