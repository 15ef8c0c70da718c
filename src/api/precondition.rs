//! `If-Match` and `If-None-Match` (RFC 9110, 13.1): a template is changed only in the state in which its writer has seen it.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use super::problem::{Kind, Problem};
use crate::templates::Condition;

/// The tag of the state after a change; 0: nobody ever saved it.
pub(super) fn etag(last_change: u64) -> HeaderValue {
    let tag = HeaderValue::try_from(format!("\"{last_change}\""));
    tag.expect("digits in quotes")
}

/// What the headers want.
pub(super) fn condition(headers: &HeaderMap) -> Result<Condition, Problem> {
    let wrong = |detail| Err(Problem::new(Kind::BadRequest, detail));
    match (joined(headers, &header::IF_MATCH)?, joined(headers, &header::IF_NONE_MATCH)?) {
        (None, None) => Ok(Condition::Any),
        (Some(_), Some(_)) => wrong("send `If-Match` or `If-None-Match`, not both"),
        (Some(tags), None) if tags.trim() == "*" => Ok(Condition::IsThere),
        (Some(tags), None) => Ok(Condition::IsAt(tags.split(',').filter_map(number).collect())),
        (None, Some(tags)) if tags.trim() == "*" => Ok(Condition::NothingSaved),
        (None, Some(_)) => wrong("`If-None-Match` must be `*` here: the change is made only if nothing is saved"),
    }
}

/// Several lines of a header are one list (RFC 9110, 5.3).
fn joined(headers: &HeaderMap, name: &HeaderName) -> Result<Option<String>, Problem> {
    let mut texts = Vec::new();
    for value in headers.get_all(name) {
        let text = value.to_str();
        texts.push(text.map_err(|_| Problem::new(Kind::BadRequest, format!("`{name}` must be entity tags or `*`")))?);
    }
    Ok(if texts.is_empty() { None } else { Some(texts.join(",")) })
}

/// The state that a tag names. A weak one names none (RFC 9110, 13.1.1), and nor does one that was never given.
fn number(tag: &str) -> Option<u64> {
    tag.trim().strip_prefix('"')?.strip_suffix('"')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(headers: &[(&str, &str)]) -> Option<Condition> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::try_from(*name).expect("a name"), HeaderValue::try_from(*value).expect("a value"));
        }
        condition(&map).ok()
    }

    #[test]
    fn tags_are_read_as_the_states_they_name() {
        assert_eq!(read(&[]), Some(Condition::Any));
        assert_eq!(read(&[("if-match", "*")]), Some(Condition::IsThere));
        assert_eq!(read(&[("if-match", "\"7\"")]), Some(Condition::IsAt(vec![7])));
        assert_eq!(read(&[("if-match", "\"7\", \"8\""), ("if-match", "\"9\"")]), Some(Condition::IsAt(vec![7, 8, 9])));
        assert_eq!(read(&[("if-match", "W/\"7\", x, 7")]), Some(Condition::IsAt(vec![])));
        assert_eq!(read(&[("if-none-match", "*")]), Some(Condition::NothingSaved));
        assert_eq!(read(&[("if-none-match", "\"7\"")]), None);
        assert_eq!(read(&[("if-none-match", "*"), ("if-match", "*")]), None);
        assert_eq!(etag(7), "\"7\"");
    }
}
