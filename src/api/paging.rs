//! Lists: `limit` and `cursor` in, `{data, next_cursor}` out. A cursor is opaque to callers; it says after what to go on.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

use super::problem::{Kind, Problem};

/// Entries of a page when the caller says nothing.
const LIMIT_DEFAULT: usize = 50;
/// The most entries of a page.
pub(super) const LIMIT_MAX: usize = 200;

/// A page of a list.
#[derive(Debug, Serialize)]
pub(super) struct Page<T> {
    pub(super) data: Vec<T>,
    /// Where the next page begins; null: this is the last.
    pub(super) next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// A page of what comes next, of which one more than `limit` was asked for; `name` is what a cursor after an entry is made of.
    pub(super) fn of(next: impl IntoIterator<Item = T>, limit: usize, name: impl Fn(&T) -> String) -> Self {
        let mut data: Vec<T> = next.into_iter().take(limit + 1).collect();
        let has_more = data.len() > limit;
        data.truncate(limit);
        let next_cursor = data.last().filter(|_| has_more).map(|last| cursor(&name(last)));
        Self { data, next_cursor }
    }
}

pub(super) fn limit(wanted: Option<usize>) -> Result<usize, Problem> {
    let limit = wanted.unwrap_or(LIMIT_DEFAULT);
    if (1..=LIMIT_MAX).contains(&limit) {
        return Ok(limit);
    }
    Err(Problem::new(Kind::BadRequest, format!("`limit` must be 1 to {LIMIT_MAX}")))
}

/// Makes a cursor of what comes before the next page.
pub(super) fn cursor(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

/// Reads a cursor back; `parse` knows what it is made of.
pub(super) fn read_cursor<T>(cursor: Option<&str>, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Problem> {
    let Some(cursor) = cursor else { return Ok(None) };
    let text = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let read = text.and_then(|text| parse(&text));
    let wrong = || Problem::new(Kind::BadRequest, "`cursor` is none that this list gave: leave it out to begin anew");
    read.map(Some).ok_or_else(wrong)
}
