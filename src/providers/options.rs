//! Reads the settings that only one kind knows.

use crate::config;

/// A text in quotes; `None`: it is not set.
pub(super) fn text<'a>(settings: &'a config::Provider, key: &str) -> Result<Option<&'a str>, String> {
    match text_or_none(settings, key)? {
        Some("") => Err(format!("`options.{key}` is empty: write a text, or leave the line out")),
        found => Ok(found),
    }
}

/// A text in quotes, where an empty one means something of its own.
pub(super) fn text_or_none<'a>(settings: &'a config::Provider, key: &str) -> Result<Option<&'a str>, String> {
    match settings.options.get(key) {
        None => Ok(None),
        Some(toml::Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("`options.{key}` is no text: write it in quotes")),
    }
}

/// One text, or several in brackets.
pub(super) fn texts(settings: &config::Provider, key: &str) -> Result<Vec<String>, String> {
    let wrong = || format!("`options.{key}` is a text, or several in brackets: [\"a\", \"b\"]");
    let text = |value: &toml::Value| match value {
        toml::Value::String(text) if !text.is_empty() => Ok(text.clone()),
        _ => Err(wrong()),
    };
    match settings.options.get(key) {
        None => Ok(Vec::new()),
        Some(toml::Value::Array(values)) => values.iter().map(text).collect(),
        Some(value) => Ok(vec![text(value)?]),
    }
}

/// `true` or `false`; off where it is not set.
pub(super) fn switch(settings: &config::Provider, key: &str) -> Result<bool, String> {
    match settings.options.get(key) {
        None => Ok(false),
        Some(toml::Value::Boolean(is_on)) => Ok(*is_on),
        Some(_) => Err(format!("`options.{key}` is true or false")),
    }
}

/// A whole number.
pub(super) fn number(
    settings: &config::Provider,
    key: &str,
    range: std::ops::RangeInclusive<i64>,
) -> Result<Option<i64>, String> {
    let Some(value) = settings.options.get(key) else { return Ok(None) };
    let number = value.as_integer().filter(|number| range.contains(number));
    let wrong = || format!("`options.{key}` must be a whole number from {} to {}", range.start(), range.end());
    number.map(Some).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::testing::settings;

    #[test]
    fn a_text_is_in_quotes_and_not_empty() {
        let settings = settings("name = \"a\"\nkind = \"b\"\n[options]\nfull = \"x\"\nempty = \"\"\nnumber = 5");
        assert_eq!(text(&settings, "full"), Ok(Some("x")));
        assert_eq!(text(&settings, "other"), Ok(None));
        assert_eq!(text_or_none(&settings, "empty"), Ok(Some("")));
        for key in ["empty", "number"] {
            assert!(text(&settings, key).is_err_and(|error| error.contains(&format!("`options.{key}`"))));
        }
    }
}
