//! What all adapters write, and read, in the same way.

use std::fmt::Write as _;

use hyper::header::HeaderValue;

/// Who we are, in every request (RFC 9110 section 10.1.5).
pub(super) const AGENT: HeaderValue = HeaderValue::from_static(concat!("fanfare/", env!("CARGO_PKG_VERSION")));

/// The longest that a code may be.
const CODE_MAX: usize = 64;

/// Whether a provider's text is a code, which may be shown: what does not look like one may quote an address.
pub(super) fn is_code(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:/".contains(&byte);
    (1..=CODE_MAX).contains(&text.len()) && text.bytes().all(is_part)
}

/// Two small letters or digits for each byte.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        write!(text, "{byte:02x}").expect("a string takes all text");
    }
    text
}
