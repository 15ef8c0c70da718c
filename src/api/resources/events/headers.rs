//! The headers of an event, and what they say of its body.

use axum::http::HeaderMap;

use crate::api::problem::{Kind, Problem};

/// How a body tells of events.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Format {
    One,
    Batch { of_cloud_events: bool },
}

/// The headers that are looked at, by their names in small letters.
#[derive(Debug, Default)]
pub(super) struct EventHeaders(Vec<(String, String)>);

impl EventHeaders {
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut read = Vec::new();
        for (name, value) in headers {
            let name = name.as_str();
            let is_attribute = name.starts_with("ce-");
            if !is_attribute && !matches!(name, "content-type" | "idempotency-key") {
                continue;
            }
            let text = std::str::from_utf8(value.as_bytes()).ok();
            let text = if is_attribute { text.and_then(decoded) } else { text.map(str::to_owned) };
            // An id that is not read would be made anew, and the event would be another one at each retry.
            let text =
                text.ok_or_else(|| Problem::new(Kind::BadRequest, format!("the header `{name}` is not UTF-8")))?;
            read.push((name.to_owned(), text));
        }
        Ok(Self(read))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// What the body is. A list that is no batch by name is one, unless it is the data of an event in the binary mode.
    pub(super) fn format(&self, text: &str) -> Format {
        let essence = self.get("content-type").unwrap_or_default().split(';').next().unwrap_or_default().trim();
        if essence.eq_ignore_ascii_case("application/cloudevents-batch+json") {
            return Format::Batch { of_cloud_events: true };
        }
        let is_one =
            essence.eq_ignore_ascii_case("application/cloudevents+json") || self.get("ce-specversion").is_some();
        if !is_one && text.trim_ascii_start().starts_with('[') {
            return Format::Batch { of_cloud_events: false };
        }
        Format::One
    }
}

/// An attribute as it was before it became a header (CloudEvents HTTP protocol binding 1.0.2, 3.1.3.2): out of its quotes, if it has any,
/// and percent-decoded. `None`: it is no UTF-8.
fn decoded(value: &str) -> Option<String> {
    let quoted = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = quoted.unwrap_or(value).bytes();
    while let Some(byte) = rest.next() {
        let decoded = match byte {
            b'\\' if quoted.is_some() => rest.next(),
            b'%' => hexadecimal(&mut rest),
            _ => None,
        };
        bytes.push(decoded.unwrap_or(byte));
    }
    String::from_utf8(bytes).ok()
}

/// The byte of two digits, which are consumed; anything else is left where it is.
fn hexadecimal(rest: &mut std::str::Bytes<'_>) -> Option<u8> {
    let mut digits = rest.clone();
    let (high, low) = (char::from(digits.next()?).to_digit(16)?, char::from(digits.next()?).to_digit(16)?);
    *rest = digits;
    u8::try_from(high * 16 + low).ok()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn an_attribute_is_read_as_it_was_before_it_became_a_header() {
        for (value, expected) in [
            ("plain", Some("plain")),
            ("Euro%20%E2%82%AC%20%F0%9F%98%80", Some("Euro € 😀")),
            ("100%", Some("100%")),
            ("%zz%4", Some("%zz%4")),
            (r#""a \"b\" c""#, Some(r#"a "b" c"#)),
            ("%ff", None),
        ] {
            assert_eq!(decoded(value).as_deref(), expected, "{value}");
        }
    }

    #[test]
    fn what_the_headers_say_decides_how_a_body_is_read() {
        let format = |headers: &[(&'static str, &'static str)], text: &str| {
            let map = headers
                .iter()
                .map(|(name, value)| (axum::http::HeaderName::from_static(name), HeaderValue::from_static(value)));
            EventHeaders::read(&map.collect()).expect("UTF-8").format(text)
        };
        let batch = |of_cloud_events| Format::Batch { of_cloud_events };
        assert_eq!(format(&[], "{}"), Format::One);
        assert_eq!(format(&[], " []"), batch(false));
        assert_eq!(format(&[("content-type", "application/cloudevents-batch+json; charset=utf-8")], "{}"), batch(true));
        assert_eq!(format(&[("content-type", "application/cloudevents+json")], "[]"), Format::One);
        assert_eq!(format(&[("ce-specversion", "1.0")], "[]"), Format::One);
    }
}
