//! `GET /v1/campaigns/{id}/missed`: who got nothing and why, as a download that is read while it is sent.

use std::io;
use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use serde::{Deserialize, Serialize};

use super::held;
use crate::api::auth::Caller;
use crate::api::problem::{Kind, Problem};
use crate::api::resources::answer::{id, query};
use crate::api::routes::Answer;
use crate::api::state::Api;
use crate::campaigns::Known;
use crate::domain::Missed;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct MissedQuery {
    format: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Lines,
    Csv,
}

impl Format {
    fn parse(name: Option<&str>) -> Result<Self, Problem> {
        match name {
            None | Some("ndjson") => Ok(Self::Lines),
            Some("csv") => Ok(Self::Csv),
            Some(_) => Err(Problem::new(Kind::BadRequest, "`format` must be ndjson or csv")),
        }
    }

    /// Media type, and the end of a file's name.
    fn facts(self) -> (&'static str, &'static str) {
        match self {
            Self::Lines => ("application/x-ndjson", "ndjson"),
            Self::Csv => ("text/csv; charset=utf-8", "csv"),
        }
    }

    fn write(self, missed: &[Missed], out: &mut Vec<u8>) {
        for one in missed {
            match self {
                Self::Lines => {
                    // Texts can always be written into memory.
                    _ = serde_json::to_writer(&mut *out, &MissedView::new(one));
                    out.push(b'\n');
                }
                Self::Csv => write_row([&one.member, &one.notification, &one.status, &one.reason], out),
            }
        }
    }
}

#[derive(Debug, Serialize)]
struct MissedView<'a> {
    member: &'a str,
    /// Null: none could be made.
    notification: Option<&'a str>,
    status: &'a str,
    reason: &'a str,
}

impl<'a> MissedView<'a> {
    fn new(missed: &'a Missed) -> Self {
        let Missed { member, notification, status, reason } = missed;
        Self { member, notification: Some(&**notification).filter(|id| !id.is_empty()), status, reason }
    }
}

/// What spreadsheets take for the beginning of a formula: a member's name may be anything, and is to be read only.
const FORMULAS: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// RFC 4180. What a spreadsheet would calculate has a `'` before it.
fn write_row(fields: [&str; 4], out: &mut Vec<u8>) {
    for (place, field) in fields.into_iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        let field = match field.starts_with(FORMULAS) {
            true => format!("'{field}"),
            false => field.to_owned(),
        };
        match field.contains([',', '"', '\r', '\n']) {
            true => out.extend(format!("\"{}\"", field.replace('"', "\"\"")).into_bytes()),
            false => out.extend(field.bytes()),
        }
    }
    out.extend(b"\r\n");
}

pub(in crate::api) async fn missed(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<String>, PathRejection>,
    parameters: Result<Query<MissedQuery>, QueryRejection>,
) -> Answer {
    let format = Format::parse(query(parameters)?.format.as_deref())?;
    let known = held(&api, &caller, id(path)?).await?;
    let (media_type, ending) = format.facts();
    let name = format!("attachment; filename=\"missed-{}.{ending}\"", known.campaign.id);
    let mut response = Response::new(Body::from_stream(stream::unfold(
        Some(Download { api, known, format, after: None, has_begun: false }),
        |download| async move { download?.next().await },
    )));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    if let Ok(name) = HeaderValue::try_from(name) {
        headers.insert(header::CONTENT_DISPOSITION, name);
    }
    Ok(response)
}

/// A download under way.
struct Download {
    api: Arc<Api>,
    known: Known,
    format: Format,
    /// The chunk that was sent last.
    after: Option<u32>,
    has_begun: bool,
}

impl Download {
    /// What is sent next, with what is left to do; an error breaks the download off.
    async fn next(mut self) -> Option<(io::Result<Bytes>, Option<Self>)> {
        if self.format == Format::Csv && !self.has_begun {
            self.has_begun = true;
            return Some((Ok(Bytes::from_static(b"member,notification,status,reason\r\n")), Some(self)));
        }
        match self.api.parts.campaigns.missed(&self.known, self.after).await {
            Ok(Some((chunk, missed))) => {
                let mut out = Vec::with_capacity(missed.len() * 96);
                self.format.write(&missed, &mut out);
                self.after = Some(chunk);
                Some((Ok(out.into()), Some(self)))
            }
            Ok(None) => None,
            Err(error) => {
                tracing::warn!(%error, "a download broke off");
                Some((Err(io::Error::other("the store cannot be read")), None))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_spreadsheet_would_calculate_is_only_a_text_there() {
        let written = |field: &str| {
            let mut out = Vec::new();
            write_row([field, "", "", ""], &mut out);
            String::from_utf8(out).expect("text")
        };
        for (field, expected) in [
            ("=1+1", "'=1+1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("+49 30", "'+49 30"),
            ("-1", "'-1"),
            ("\tx", "'\tx"),
            ("=\"a\",1", "\"'=\"\"a\"\",1\""),
            ("a=b", "a=b"),
        ] {
            assert_eq!(written(field), format!("{expected},,,\r\n"));
        }
    }
}
