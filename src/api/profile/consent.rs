//! What a body says of consent to a purpose.

use std::time::Duration;

use super::fields::{Fields, Problems};
use crate::domain::{Consent, Timestamp};

/// Of a version, a source.
const WORD_BYTES_MAX: usize = 256;
const NOTE_BYTES_MAX: usize = 1024;
/// Purposes of one user.
pub(in crate::api) const PURPOSES_MAX: usize = 64;
/// How far the clock of who says it may be ahead.
const AHEAD_MAX: Duration = Duration::from_secs(300);

/// A purpose: its rule is that of the names of categories.
pub(in crate::api) fn purpose(text: &str) -> Result<Box<str>, String> {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "_-.".contains(letter);
    match (1..=64).contains(&text.len()) && text.chars().all(is_plain) {
        true => Ok(text.into()),
        false => Err("must have 1 to 64 letters, digits, _, - or .".to_owned()),
    }
}

/// `granted`, `text_version` and `source` must be there; without `at` it was said now.
pub(in crate::api) fn read_consent(
    fields: &mut Fields<'_>,
    now: Timestamp,
    problems: &mut Problems,
) -> Option<Consent> {
    let granted_at = fields.pointer("granted");
    let granted = match fields.value("granted", problems) {
        Some(serde_json::Value::Bool(granted)) => Some(granted),
        _ => {
            problems.add(&granted_at, "must be true or false");
            None
        }
    };
    let word = |text: &str| bounded(text, WORD_BYTES_MAX);
    let text_version = fields.required("text_version", problems, word);
    let source = fields.required("source", problems, word);
    let note = fields.text("note", problems, |text| bounded(text, NOTE_BYTES_MAX)).flatten();
    let at = fields.text("at", problems, |text| {
        let at = Timestamp::parse(text).ok_or("is no time: write it as 2026-01-31T12:00:00Z")?;
        if at > now + AHEAD_MAX { Err("lies in the future") } else { Ok(at) }
    });
    // By a clock that is ahead: what is said next must not be older.
    let at = at.flatten().unwrap_or(now).min(now);
    Some(Consent { granted: granted?, at, text_version: text_version?, source: source?, note, recorded_at: now })
}

fn bounded(text: &str, bytes_max: usize) -> Result<Box<str>, String> {
    if text.is_empty() || text.len() > bytes_max {
        return Err(format!("must have 1 to {bytes_max} bytes"));
    }
    if text.chars().any(|letter| letter.is_control() && letter != '\n') {
        return Err("has control characters".to_owned());
    }
    Ok(text.into())
}
