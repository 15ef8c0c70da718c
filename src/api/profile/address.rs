//! Addresses, in the one form in which they are kept.

use crate::intake::addresses;

/// Longer than any number with its blanks.
const PHONE_TEXT_BYTES_MAX: usize = 40;

pub(in crate::api) fn email(text: &str) -> Result<Box<str>, &'static str> {
    addresses::email(text)?;
    Ok(text.into())
}

/// A telephone number as E.164 writes it. Blanks, points, hyphens and brackets are left out, and `00` stands for `+`; but not
/// a zero in brackets, which is dialled from within the country only.
pub(in crate::api) fn phone(text: &str) -> Result<Box<str>, &'static str> {
    if text.len() > PHONE_TEXT_BYTES_MAX || text.contains("(0)") {
        // It is refused as it stands there.
        return addresses::phone(text).map(|()| text.into());
    }
    let between = |letter: char| matches!(letter, ' ' | '\u{a0}' | '.' | '-' | '(' | ')' | '/');
    let digits: String = text.chars().filter(|letter| !between(*letter)).collect();
    let number = match digits.strip_prefix("00") {
        Some(rest) => format!("+{rest}"),
        None => digits,
    };
    addresses::phone(&number)?;
    Ok(number.into())
}
