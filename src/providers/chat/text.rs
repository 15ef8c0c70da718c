//! What is said in a chat.

use std::borrow::Cow;

use crate::config;
use crate::domain::Parts;
use crate::providers::options;

/// How the text is to be read there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Text,
    /// The markup of the place, as the template has it.
    Markdown,
}

/// What is put at the end of a text that was cut.
const ELLIPSIS: &str = "…";

impl Format {
    pub(super) fn read(settings: &config::Provider) -> Result<Self, String> {
        match options::text(settings, "format")? {
            None | Some("text") => Ok(Format::Text),
            Some("markdown") => Ok(Format::Markdown),
            Some(other) => Err(format!("`options.format` is `{other}`: write \"text\" or \"markdown\"")),
        }
    }
}

/// Title and body as one text; either may be empty.
pub(super) fn joined<'a>(parts: &'a Parts, before_title: &str, between: &str) -> Cow<'a, str> {
    match (parts.title.as_str(), parts.body.as_str()) {
        ("", body) => body.into(),
        (title, "") if before_title.is_empty() => title.into(),
        (title, "") => format!("{before_title}{title}").into(),
        (title, body) => format!("{before_title}{title}{between}{body}").into(),
    }
}

/// As much of a text as weighs `max` at most, with an ellipsis where something is missing.
pub(super) fn cut(text: Cow<'_, str>, max: usize, weight: fn(char) -> usize) -> Cow<'_, str> {
    let room = max.saturating_sub(ELLIPSIS.len());
    let (mut total, mut end) = (0, 0);
    for (at, letter) in text.char_indices() {
        if total <= room {
            end = at;
        }
        total += weight(letter);
        if total > max {
            return format!("{}{ELLIPSIS}", &text[..end]).into();
        }
    }
    text
}

/// Its bytes.
pub(super) fn plain(letter: char) -> usize {
    letter.len_utf8()
}

/// Its bytes as they stand in JSON.
pub(super) fn in_json(letter: char) -> usize {
    match letter {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        letter if u32::from(letter) < 0x20 => 6,
        letter => letter.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_too_long_is_cut_at_a_character() {
        let check = |text: &str, max: usize, expected: &str| {
            let cut = cut(text.into(), max, plain);
            assert_eq!(cut, expected);
            assert!(cut.len() <= max.max(ELLIPSIS.len()), "{text}");
        };
        check("hello", 5, "hello");
        check("hello!", 5, "he…");
        check("你好吗", 9, "你好吗");
        check("你好吗", 8, "你…");
        check("你好吗", 6, "你…");
        check("你好吗", 5, "…");
        check("", 5, "");
    }

    #[test]
    fn what_json_writes_longer_weighs_as_much() {
        for text in ["a", "\"", "\\", "\n", "\u{1}", "\u{7f}", "好"] {
            let weight: usize = text.chars().map(in_json).sum();
            assert_eq!(serde_json::to_string(text).expect("JSON").len(), weight + 2, "{text:?}");
        }
    }

    #[test]
    fn title_and_body_are_joined_where_both_are_there() {
        let joined = |title: &str, body: &str| {
            let parts = Parts { title: title.into(), body: body.into(), ..Parts::default() };
            super::joined(&parts, "### ", "\n").into_owned()
        };
        assert_eq!(joined("a", "b"), "### a\nb");
        assert_eq!(joined("a", ""), "### a");
        assert_eq!(joined("", "b"), "b");
    }
}
