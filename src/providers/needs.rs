//! What an adapter needs of its section, with errors that name the key and say what to write.

use crate::config::Secret;

/// A key that must be there.
pub(super) fn text<'a>(value: Option<&'a String>, key: &str, what: &str) -> Result<&'a str, String> {
    match value.map(|text| text.trim()) {
        Some(text) if !text.is_empty() => Ok(text),
        _ => Err(missing(key, what)),
    }
}

/// A secret that must be there.
pub(super) fn secret<'a>(value: Option<&'a Secret>, key: &str, what: &str) -> Result<&'a str, String> {
    match value.map(|secret| secret.expose().trim()) {
        Some(text) if !text.is_empty() => Ok(text),
        _ => Err(missing(key, what)),
    }
}

pub(super) fn missing(key: &str, what: &str) -> String {
    format!("`{key}` is missing: write {what}")
}
