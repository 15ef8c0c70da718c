//! A request, and how its parts are read: headers, query, forms of both kinds, JSON.

use std::borrow::Cow;
use std::collections::hash_map::DefaultHasher;
use std::hash::Hasher;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::http::request::Parts;
use memchr::memmem;
use serde_json::Value;

use super::Said;

/// A request that was read to its end.
pub(crate) struct Call<'a> {
    pub(crate) head: &'a Parts,
    pub(crate) body: &'a [u8],
    /// What signatures are made with, where the mock was told.
    pub(crate) secret: Option<&'a str>,
}

impl<'a> Call<'a> {
    pub(super) fn header(&self, name: &str) -> Option<&'a str> {
        self.head.headers.get(name)?.to_str().ok()
    }

    pub(super) fn path(&self) -> &'a str {
        self.head.uri.path()
    }

    /// What stands in the path at this place, from 0.
    pub(super) fn segment(&self, at: usize) -> &'a str {
        self.path().split('/').nth(at + 1).unwrap_or_default()
    }

    /// The fields of the query.
    pub(super) fn query(&self) -> Fields<'a> {
        fields(self.head.uri.query().unwrap_or_default())
    }

    /// The value behind the scheme in `Authorization`, whose name has no case (RFC 9110 section 11.1).
    pub(super) fn authorization(&self, scheme: &str) -> Option<&'a str> {
        let (name, value) = self.header("authorization")?.split_once(' ')?;
        (name.eq_ignore_ascii_case(scheme) && !value.trim().is_empty()).then(|| value.trim())
    }

    /// Basic authentication: the user and the password.
    pub(super) fn basic(&self) -> Option<(String, String)> {
        let text = String::from_utf8(STANDARD.decode(self.authorization("basic")?).ok()?).ok()?;
        let (user, password) = text.split_once(':')?;
        Some((user.to_owned(), password.to_owned()))
    }

    /// The body as JSON, which the content type must say.
    pub(super) fn json(&self) -> Result<Value, Said> {
        let kind = self.header("content-type").unwrap_or_default();
        if !kind.starts_with("application/json") && !kind.starts_with("application/x-amz-json") {
            return Said::invalid("the content type is not JSON");
        }
        serde_json::from_slice(self.body).or_else(|_| Said::invalid("the body is not JSON"))
    }

    /// The fields of a form of either kind.
    pub(super) fn form(&self) -> Result<Fields<'a>, Said> {
        let kind = self.header("content-type").unwrap_or_default();
        if kind.starts_with("application/x-www-form-urlencoded") {
            let text = std::str::from_utf8(self.body).or_else(|_| Said::invalid("the form is not UTF-8"))?;
            return Ok(fields(text));
        }
        match kind.strip_prefix("multipart/form-data") {
            Some(rest) => parts(self.body, rest).map_or_else(|| Said::invalid("the multipart form is broken"), Ok),
            None => Said::invalid("the content type is not that of a form"),
        }
    }

    /// An id for what has none: equal bodies for the same place are the same message.
    pub(super) fn fingerprint(&self) -> String {
        let mut hasher = DefaultHasher::new();
        hasher.write(self.path().as_bytes());
        hasher.write(self.body);
        format!("body_{:016x}", hasher.finish())
    }
}

/// Names and values, decoded, in their order.
pub(crate) struct Fields<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl Fields<'_> {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_ref())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), value.as_ref()))
    }

    pub(super) fn all<'f>(&'f self, name: &'f str) -> impl Iterator<Item = &'f str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_ref())
    }

    /// A field that is there and not empty.
    pub(super) fn filled(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// How many of these are there.
    pub(super) fn count_of(&self, names: &[&str]) -> usize {
        names.iter().filter(|name| self.filled(name).is_some()).count()
    }
}

/// Reads `application/x-www-form-urlencoded`, which a query is too.
pub(crate) fn fields(text: &str) -> Fields<'_> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    Fields(
        pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).map(|(n, v)| (decoded(n), decoded(v))).collect(),
    )
}

fn decoded(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(|byte| matches!(byte, b'+' | b'%')) {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, others)) = rest.split_first() {
        let hex = |at: usize| others.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        rest = others;
        match (first, hex(0), hex(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push((high * 16 + low) as u8);
                rest = &others[2..];
            }
            (b'+', ..) => bytes.push(b' '),
            _ => bytes.push(*first),
        }
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

/// As a form or a query carries it (RFC 3986 section 2.3 says what stays).
pub(crate) fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// Reads multipart/form-data (RFC 7578); `parameters` are those of the content type.
fn parts<'a>(body: &'a [u8], parameters: &str) -> Option<Fields<'a>> {
    let boundary = parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("boundary="))?;
    let delimiter = format!("--{}", boundary.trim_matches('"'));
    let mut places = memmem::find_iter(body, delimiter.as_bytes()).peekable();
    let mut fields = Vec::new();
    while let Some(at) = places.next() {
        let begin = at + delimiter.len();
        if body[begin..].starts_with(b"--") {
            return Some(Fields(fields));
        }
        let part = body[begin..*places.peek()?].strip_prefix(b"\r\n")?.strip_suffix(b"\r\n")?;
        let end = memmem::find(part, b"\r\n\r\n")?;
        let head = std::str::from_utf8(&part[..end]).ok()?;
        let (_, name) = head.split_once("name=\"")?;
        let (name, _) = name.split_once('"')?;
        fields.push((Cow::Owned(name.to_owned()), String::from_utf8_lossy(&part[end + 4..])));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_decoded_field_by_field() {
        let form = fields("To=%2B1555&Body=a+b%26c&Event=x&Event=y&empty=&odd%2");
        assert_eq!((form.get("To"), form.get("Body")), (Some("+1555"), Some("a b&c")));
        assert_eq!(form.all("Event").collect::<Vec<_>>(), ["x", "y"]);
        assert_eq!((form.filled("empty"), form.get("odd%2")), (None, Some("")));
        assert_eq!(fields(&percent_encoded("ü&= +")).0[0].0, "ü&= +");
    }

    #[test]
    fn a_multipart_form_is_read_or_refused() {
        let body = b"--b\r\nContent-Disposition: form-data; name=\"to\"\r\n\r\na@x\r\n--b\r\ncontent-disposition: form-data; name=\"v:task\"\r\n\r\ntsk_1\r\n--b--\r\n";
        let form = parts(body, "; boundary=\"b\"").expect("a whole form");
        assert_eq!((form.get("to"), form.get("v:task")), (Some("a@x"), Some("tsk_1")));
        assert!(parts(&body[..body.len() - 8], "; boundary=b").is_none());
        assert!(parts(body, "").is_none());
    }
}
