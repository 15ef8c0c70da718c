//! Bodies: bounded in size, time and memory, and JSON in UTF-8.

use std::error::Error;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, header, request};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::problem::{Kind, Problem};
use super::state::{Api, BODY_MEMORY_KIB, STRANGER_MEMORY_KIB};
use crate::intake::FieldProblem;

/// Bodies up to this size are bounded by the number of requests alone.
const SMALL_BYTES: usize = 16 * 1024;

/// A body that was read. Its share of the memory for bodies is given back when it is dropped.
pub(super) struct JsonBody {
    pub(super) bytes: Bytes,
    _memory: Option<OwnedSemaphorePermit>,
}

impl JsonBody {
    /// The text, if it is UTF-8.
    pub(super) fn text(&self) -> Result<&str, Problem> {
        std::str::from_utf8(&self.bytes).map_err(|error| {
            let detail = format!("is not UTF-8: byte {} begins no character", error.valid_up_to());
            Problem::fields(vec![FieldProblem::new("", detail)])
        })
    }
}

/// Reads the whole body, of at most `limit` bytes.
pub(super) async fn read(api: &Api, request: Request, limit: usize) -> Result<(request::Parts, JsonBody), Problem> {
    let (head, body) = request.into_parts();
    check_media_type(&head.headers)?;
    let announced = content_length(&head.headers);
    if announced.is_some_and(|length| length > limit) {
        return Err(too_large(limit));
    }
    let memory = reserve(&api.body_memory, announced.unwrap_or(limit), BODY_MEMORY_KIB).await;
    let reading = tokio::time::timeout(api.parts.http.request_timeout, collect(body, limit));
    let bytes = reading.await.map_err(|_| Problem::new(Kind::Timeout, "the body did not come in time"))??;
    Ok((head, JsonBody { bytes, _memory: memory }))
}

/// Reads the whole body of a stranger, of whatever type and at most `limit` bytes. What strangers send takes no memory from what
/// callers with a key do.
pub(super) async fn read_of_stranger(
    api: &Api,
    request: Request,
    limit: usize,
) -> Result<(request::Parts, Bytes, Option<OwnedSemaphorePermit>), Problem> {
    let (head, body) = request.into_parts();
    let announced = content_length(&head.headers);
    if announced.is_some_and(|length| length > limit) {
        return Err(too_large(limit));
    }
    let memory = reserve(&api.stranger_memory, announced.unwrap_or(limit), STRANGER_MEMORY_KIB).await;
    let reading = tokio::time::timeout(api.parts.http.request_timeout, collect(body, limit));
    let bytes = reading.await.map_err(|_| Problem::new(Kind::Timeout, "the body did not come in time"))??;
    Ok((head, bytes, memory))
}

async fn collect(body: Body, limit: usize) -> Result<Bytes, Problem> {
    let collected = Limited::new(body, limit).collect().await;
    collected.map(|body| body.to_bytes()).map_err(|error| {
        if error.downcast_ref::<LengthLimitError>().is_some() {
            return too_large(limit);
        }
        tracing::debug!(error = error.as_ref() as &dyn Error, "a body broke off");
        Problem::new(Kind::BadRequest, "the body broke off")
    })
}

async fn reserve(memory: &Arc<Semaphore>, bytes: usize, most: usize) -> Option<OwnedSemaphorePermit> {
    if bytes <= SMALL_BYTES {
        return None;
    }
    let share = bytes.div_ceil(1024).min(most);
    // Never closed; the wait is bounded by that of the whole request.
    memory.clone().acquire_many_owned(u32::try_from(share).unwrap_or(u32::MAX)).await.ok()
}

fn content_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// JSON, or nothing said, which is taken as JSON.
fn check_media_type(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(essence) = media_type(headers)? else { return Ok(()) };
    if essence == b"application/json" || essence.ends_with(b"+json") {
        return Ok(());
    }
    Err(Problem::new(Kind::MediaType, "send the header `Content-Type: application/json`"))
}

/// Lines of JSON, or nothing said, which is taken as such. There is no registered name: these are in use.
pub(super) fn check_lines(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(essence) = media_type(headers)? else { return Ok(()) };
    let names: [&[u8]; 5] = [
        b"application/x-ndjson",
        b"application/ndjson",
        b"application/jsonl",
        b"application/x-jsonlines",
        b"text/plain",
    ];
    if names.contains(&&essence[..]) {
        return Ok(());
    }
    Err(Problem::new(Kind::MediaType, "send the header `Content-Type: application/x-ndjson`, and a user on each line"))
}

/// How a list is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ListFormat {
    /// A JSON object on each line.
    Lines,
    Csv,
}

/// The format of a list that is uploaded, which must be said.
pub(super) fn list_format(headers: &HeaderMap) -> Result<ListFormat, Problem> {
    match media_type(headers)?.as_deref() {
        Some(b"text/csv") => Ok(ListFormat::Csv),
        Some(b"application/x-ndjson" | b"application/ndjson" | b"application/jsonl" | b"application/x-jsonlines") => {
            Ok(ListFormat::Lines)
        }
        _ => {
            let detail =
                "send the header `Content-Type: text/csv`, or `application/x-ndjson` with a member on each line";
            Err(Problem::new(Kind::MediaType, detail))
        }
    }
}

/// What the body is said to be, in small letters. Compressed bodies are not unpacked: a small one may hold any amount.
fn media_type(headers: &HeaderMap) -> Result<Option<Vec<u8>>, Problem> {
    if headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return Err(Problem::new(Kind::MediaType, "send the body without `Content-Encoding`"));
    }
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(None) };
    let essence = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    Ok(Some(essence.trim_ascii().to_ascii_lowercase()))
}

fn too_large(limit: usize) -> Problem {
    Problem::new(Kind::TooLarge, format!("the body may have at most {limit} bytes"))
}
