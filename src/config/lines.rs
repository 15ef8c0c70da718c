//! Where a key stands in a file, for messages.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The line of the key at `path`, or of the nearest table around it; `None` if not even its first key is in the file.
pub(super) fn line_of(text: &str, path: &[String]) -> Option<usize> {
    let document = DeTable::parse(text).ok()?;
    let mut table = Some(document.get_ref());
    let mut list: Option<&[Spanned<DeValue<'_>>]> = None;
    let mut offset = None;
    for part in path {
        let value = if let Some(current) = table {
            let Some((key, value)) = current.iter().find(|(key, _)| key.get_ref() == part) else { break };
            offset = Some(key.span().start);
            value
        } else if let Some(current) = list {
            let Some(value) = part.parse().ok().and_then(|index: usize| current.get(index)) else { break };
            offset = Some(value.span().start);
            value
        } else {
            break;
        };
        table = value.get_ref().as_table();
        list = value.get_ref().as_array().map(|array| &array[..]);
    }
    offset.map(|offset| line_at(text, offset))
}

/// The line, counted from 1, in which the byte at `offset` stands.
pub(super) fn line_at(text: &str, offset: usize) -> usize {
    1 + text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count()
}

/// Whether the file has exactly this key.
pub(super) fn has(text: &str, path: &[String]) -> bool {
    let Ok(document) = text.parse::<toml::Table>() else { return false };
    let mut value = toml::Value::Table(document);
    for part in path {
        let next = match value {
            toml::Value::Table(mut table) => table.remove(part),
            toml::Value::Array(mut array) => part
                .parse()
                .ok()
                .filter(|index: &usize| *index < array.len())
                .map(|index: usize| array.swap_remove(index)),
            _ => None,
        };
        let Some(next) = next else { return false };
        value = next;
    }
    true
}
