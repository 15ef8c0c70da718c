//! The syntax of addresses. What passes can stand in a header, a command line of SMTP or a request line without escaping;
//! whether anybody is there only the provider knows.

use axum::http::Uri;

use super::{limits, not_one_line};

/// A mail address `local@domain` (RFC 5321, 4.1.2) with a dot-string before the `@`; letters beyond ASCII are taken
/// (RFC 6531), quoted strings and address literals are not.
pub fn email(text: &str) -> Result<(), &'static str> {
    one_line(text)?;
    if text.len() > limits::EMAIL_BYTES_MAX {
        return Err("is too long: a mail address has at most 254 bytes");
    }
    let Some((local, domain)) = text.rsplit_once('@') else {
        return Err("is no mail address: write it as name@example.com");
    };
    if local.is_empty() || local.len() > limits::EMAIL_LOCAL_BYTES_MAX {
        return Err("is no mail address: 1 to 64 bytes must stand before the @");
    }
    let atom = |letter: char| letter.is_alphanumeric() || "!#$%&'*+/=?^_`{|}~-".contains(letter);
    if !local.split('.').all(|part| !part.is_empty() && part.chars().all(atom)) {
        return Err("is no mail address: the part before the @ has a character or a dot that cannot stand there");
    }
    if !is_domain(domain) {
        return Err("is no mail address: what stands after the @ is no domain");
    }
    Ok(())
}

fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        (1..=limits::DOMAIN_LABEL_BYTES_MAX).contains(&label.len())
            && label.chars().all(|letter| letter.is_alphanumeric() || letter == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= limits::DOMAIN_BYTES_MAX && text.split('.').all(label)
}

/// A telephone number as E.164 writes it internationally: `+` and the digits.
pub fn phone(text: &str) -> Result<(), &'static str> {
    let digits = text.strip_prefix('+').unwrap_or_default();
    let fits = limits::PHONE_DIGITS.contains(&digits.len());
    if fits && digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0') {
        return Ok(());
    }
    Err("is no telephone number: write it as +4930123456, with + and 7 to 15 digits (E.164)")
}

/// A device's token: opaque, printable.
pub fn push_token(text: &str) -> Result<(), &'static str> {
    one_line(text)?;
    if text.is_empty() || text.len() > limits::PUSH_TOKEN_BYTES_MAX {
        return Err("must have 1 to 4096 bytes");
    }
    Ok(())
}

/// An absolute http or https address without credentials. Whether it may be reached is asked later.
pub fn url(text: &str) -> Result<(), &'static str> {
    one_line(text)?;
    if text.len() > limits::URL_BYTES_MAX {
        return Err("is too long: an address has at most 2048 bytes");
    }
    let uri: Uri = text.parse().map_err(|_| "is no absolute http or https address")?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().unwrap_or_default().is_empty() {
        return Err("is no absolute http or https address");
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err("must not carry a name or password before the host");
    }
    Ok(())
}

/// What can stand in a header: no line breaks and no other control characters.
pub fn one_line(text: &str) -> Result<(), &'static str> {
    not_one_line(text).map_or(Ok(()), Err)
}
