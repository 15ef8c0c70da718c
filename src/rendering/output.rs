//! Where a part is written: bounded in bytes.

use std::borrow::Cow;
use std::io;

use handlebars::{JsonRender, Output};
use serde_json::Value;

/// The text of one part as it grows.
pub(super) struct Bounded {
    text: String,
    bytes_max: usize,
    is_full: bool,
}

/// The bound was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

impl Bounded {
    pub(super) fn new(bytes_max: usize, bytes_expected: usize) -> Self {
        let text = String::with_capacity(bytes_expected.min(bytes_max));
        Self { text, bytes_max, is_full: false }
    }

    pub(super) fn push(&mut self, text: &str) -> Result<(), Full> {
        if self.text.len() + text.len() > self.bytes_max {
            self.is_full = true;
            return Err(Full);
        }
        self.text.push_str(text);
        Ok(())
    }

    /// Writes the text with the characters replaced that mean something in HTML: as handlebars does.
    pub(super) fn push_html(&mut self, text: &str) -> Result<(), Full> {
        let mut rest = text;
        while let Some(at) = rest.find(['<', '>', '"', '&', '\'', '`', '=']) {
            let replacement = match rest.as_bytes()[at] {
                b'<' => "&lt;",
                b'>' => "&gt;",
                b'"' => "&quot;",
                b'&' => "&amp;",
                b'\'' => "&#x27;",
                b'`' => "&#x60;",
                _ => "&#x3D;",
            };
            self.push(&rest[..at])?;
            self.push(replacement)?;
            rest = &rest[at + 1..];
        }
        self.push(rest)
    }

    /// Whether the bound was met, whatever error came of it.
    pub(super) fn is_full(&self) -> bool {
        self.is_full
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }
}

/// A value as it is written: lists and objects as JavaScript does it.
pub(super) fn written(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        Value::Array(items) => {
            let mut list = String::new();
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    list.push(',');
                }
                list.push_str(&written(item));
            }
            Cow::Owned(list)
        }
        Value::Object(_) => Cow::Borrowed("[object Object]"),
        other => Cow::Owned(other.render()),
    }
}

impl Output for Bounded {
    fn write(&mut self, text: &str) -> io::Result<()> {
        self.push(text).map_err(|_| io::Error::other("the part is full"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_part_may_be_as_long_as_the_bound_and_no_longer() {
        let mut output = Bounded::new(4, 100);
        assert_eq!(output.push("four"), Ok(()));
        assert_eq!(output.push("!"), Err(Full));
        assert!(output.is_full());
        assert_eq!(output.into_text(), "four");
    }

    proptest! {
        #[test]
        fn html_is_escaped_as_handlebars_does(text in "[a-z<>\"&'`= é{}]{0,40}") {
            let mut output = Bounded::new(10_000, 0);
            prop_assert_eq!(output.push_html(&text), Ok(()));
            prop_assert_eq!(output.into_text(), handlebars::html_escape(&text));
        }
    }
}
