//! A list while it comes: read, checked and written a chunk at a time. What is read and not written is bounded by [`CHUNK_MEMBERS`] and
//! [`CHUNK_BYTES`]; while a chunk is written nothing more is read, and so the sender waits.

use std::sync::Arc;

use axum::body::{Body, BodyDataStream};
use futures_util::StreamExt;
use serde::Serialize;
use xxhash_rust::xxh3::Xxh3;

use super::BODY_BYTES_MAX;
use crate::api::body::ListFormat;
use crate::api::problem::{Kind, Problem};
use crate::api::resources::import::lines::{Line, Lines};
use crate::api::state::Api;
use crate::campaigns::{CsvMembers, ListMember, SavedList, read_member};
use crate::intake::{FieldProblem, KeyHold};

/// Members that are written together.
const CHUNK_MEMBERS: usize = 1000;
/// Of members that wait to be written, as they came.
const CHUNK_BYTES: usize = 1 << 20;
/// Bytes of one line.
const LINE_BYTES_MAX: usize = 64 * 1024;
/// Lines that are checked before others get their turn.
const LINES_PER_TURN: usize = 64;
/// Bad lines that are told one by one; more are only counted.
const TOLD_MAX: u64 = 1000;
/// Problems of one line that are told.
const PROBLEMS_MAX: usize = 8;

/// What an upload is of.
pub(super) struct UploadParts {
    pub(super) api: Arc<Api>,
    pub(super) tenant: Arc<str>,
    pub(super) list: Box<str>,
    /// The list is there: nothing is written, only whether it is the same body is looked at.
    pub(super) is_known: bool,
    pub(super) format: ListFormat,
    /// The retry key, while it is written.
    pub(super) held: Option<KeyHold>,
}

enum Reading {
    Lines(Lines),
    Csv(Box<CsvMembers>),
}

/// A line that was looked at.
type Read = (u64, Result<ListMember, Vec<FieldProblem>>);

/// An upload under way.
pub(super) struct Upload {
    api: Arc<Api>,
    tenant: Arc<str>,
    list: Box<str>,
    is_known: bool,
    held: Option<KeyHold>,
    body: BodyDataStream,
    reading: Reading,
    hash: Xxh3,
    bytes: u64,
    waiting: Vec<ListMember>,
    waiting_bytes: usize,
    good: u64,
    bad: u64,
    told: Vec<BadLineView>,
}

#[derive(Debug, Serialize)]
struct BadLineView {
    line: u64,
    errors: Vec<ErrorView>,
}

#[derive(Debug, Serialize)]
struct ErrorView {
    pointer: Box<str>,
    detail: Box<str>,
}

#[derive(Debug, Serialize)]
pub(super) struct ReportView {
    id: Box<str>,
    name: Option<Box<str>>,
    /// Those that are different.
    members: u64,
    /// Lines whose member another line has too.
    duplicates: u64,
    bad_lines: BadLinesView,
    bytes: u64,
    created_at: String,
}

#[derive(Debug, Serialize)]
struct BadLinesView {
    count: u64,
    first: Vec<BadLineView>,
}

impl Upload {
    pub(super) fn new(parts: UploadParts, body: Body) -> Self {
        let UploadParts { api, tenant, list, is_known, format, held } = parts;
        let reading = match format {
            ListFormat::Lines => Reading::Lines(Lines::new(LINE_BYTES_MAX)),
            ListFormat::Csv => Reading::Csv(Box::default()),
        };
        Self {
            api,
            tenant,
            list,
            is_known,
            held,
            body: body.into_data_stream(),
            reading,
            hash: Xxh3::new(),
            bytes: 0,
            waiting: Vec::new(),
            waiting_bytes: 0,
            good: 0,
            bad: 0,
            told: Vec::new(),
        }
    }

    /// Reads the body to its end; all good lines are durable then.
    pub(super) async fn read_all(&mut self) -> Result<(), Problem> {
        let wait = self.api.parts.http.request_timeout;
        loop {
            let next = tokio::time::timeout(wait, self.body.next()).await;
            match next {
                Err(_) => {
                    let detail = "nothing more came of the body, and it has not ended";
                    return Err(Problem::new(Kind::Timeout, detail));
                }
                Ok(Some(Err(error))) => {
                    tracing::debug!(%error, "the body of a list broke off");
                    return Err(Problem::new(Kind::BadRequest, "the body broke off"));
                }
                Ok(Some(Ok(part))) => {
                    self.bytes += part.len() as u64;
                    if self.bytes > BODY_BYTES_MAX {
                        let detail =
                            format!("a list may have at most {BODY_BYTES_MAX} bytes: make several lists of it");
                        return Err(Problem::new(Kind::TooLarge, detail));
                    }
                    self.hash.update(&part);
                    // A part may have any size: it is looked at in pieces, so that what is made of it stays small.
                    for piece in part.chunks(CHUNK_BYTES) {
                        let read = self.take(piece)?;
                        self.keep(read, piece.len()).await?;
                    }
                }
                Ok(None) => break,
            }
        }
        let read = self.end()?;
        self.keep(read, 0).await?;
        self.write().await
    }

    fn take(&mut self, part: &[u8]) -> Result<Vec<Read>, Problem> {
        match &mut self.reading {
            Reading::Lines(lines) => {
                let mut cut = Vec::new();
                lines.push(part, &mut cut);
                Ok(cut.into_iter().map(read_line).collect())
            }
            Reading::Csv(csv) => {
                let mut rows = Vec::new();
                csv.push(part, &mut rows).map_err(|error| unusable(&error))?;
                Ok(rows.into_iter().map(|row| (row.line, row.member)).collect())
            }
        }
    }

    fn end(&mut self) -> Result<Vec<Read>, Problem> {
        match &mut self.reading {
            Reading::Lines(lines) => Ok(lines.end().into_iter().map(read_line).collect()),
            Reading::Csv(csv) => {
                let mut rows = Vec::new();
                csv.end(&mut rows).map_err(|error| unusable(&error))?;
                Ok(rows.into_iter().map(|row| (row.line, row.member)).collect())
            }
        }
    }

    async fn keep(&mut self, read: Vec<Read>, bytes: usize) -> Result<(), Problem> {
        self.waiting_bytes += bytes;
        for (place, (line, member)) in read.into_iter().enumerate() {
            if place > 0 && place.is_multiple_of(LINES_PER_TURN) {
                tokio::task::yield_now().await;
            }
            match member {
                Ok(member) => {
                    self.good += 1;
                    self.waiting.push(member);
                }
                Err(problems) => self.refuse(line, problems),
            }
            if self.waiting.len() >= CHUNK_MEMBERS {
                self.write().await?;
            }
        }
        if self.waiting_bytes >= CHUNK_BYTES {
            self.write().await?;
        }
        Ok(())
    }

    async fn write(&mut self) -> Result<(), Problem> {
        let members = std::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        if !self.is_known && !members.is_empty() {
            self.api.parts.lists.put(&self.tenant, &self.list, &members).await?;
            if let Some(held) = &mut self.held {
                held.renew().await;
            }
        }
        Ok(())
    }

    fn refuse(&mut self, line: u64, problems: Vec<FieldProblem>) {
        self.bad += 1;
        if self.bad > TOLD_MAX {
            return;
        }
        let view = |problem: FieldProblem| ErrorView { pointer: problem.pointer.into(), detail: problem.detail.into() };
        self.told.push(BadLineView { line, errors: problems.into_iter().take(PROBLEMS_MAX).map(view).collect() });
    }

    pub(super) fn body_hash(&self) -> u64 {
        self.hash.digest()
    }

    /// The list exists from now on.
    pub(super) async fn complete(&mut self, tenant: &str, name: Option<Box<str>>) -> Result<SavedList, Problem> {
        let list = SavedList {
            id: self.list.clone(),
            name,
            members: self.api.parts.lists.count(&self.list).await?,
            bytes: self.bytes,
            created_at: self.api.parts.clock.now(),
            body_hash: self.body_hash(),
        };
        self.api.parts.lists.complete(tenant, &list).await?;
        Ok(list)
    }

    pub(super) fn report(self, list: SavedList) -> ReportView {
        let SavedList { id, name, members, bytes, created_at, .. } = list;
        ReportView {
            id,
            name,
            members,
            duplicates: self.good.saturating_sub(members),
            bad_lines: BadLinesView { count: self.bad, first: self.told },
            bytes,
            created_at: created_at.to_string(),
        }
    }
}

fn read_line(line: Line) -> Read {
    (line.number, line.text().and_then(read_member))
}

fn unusable(error: &crate::campaigns::CsvError) -> Problem {
    Problem::unusable(vec![FieldProblem::new("", error.to_string())])
}
