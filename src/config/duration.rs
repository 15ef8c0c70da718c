//! Durations as configuration writes them: `"300ms"`, `"5s"`, `"5m"`, `"24h"`, `"30d"`.

use std::time::Duration;

use serde::{Deserialize, Deserializer};

/// Reads one duration; `None` if it is none.
pub fn parse(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.find(|letter: char| !letter.is_ascii_digit())?;
    let number: u64 = text[..digits].parse().ok()?;
    let millis = match &text[digits..] {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(millis).map(Duration::from_millis)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).ok_or_else(|| invalid(&text))
}

/// The same for a list.
pub(super) mod list {
    use super::*;

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Duration>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        texts.iter().map(|text| parse(text).ok_or_else(|| invalid(text))).collect()
    }
}

/// The same where it may be left out.
pub(super) mod option {
    use super::*;

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        super::deserialize(deserializer).map(Some)
    }
}

/// The same, or `"off"`.
pub(super) mod or_off {
    use super::*;

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.trim() == "off" {
            return Ok(None);
        }
        parse(&text).map(Some).ok_or_else(|| invalid(&text))
    }
}

fn invalid<E: serde::de::Error>(text: &str) -> E {
    E::custom(format!("`{text}` is no duration: write it as \"300ms\", \"5s\", \"5m\", \"24h\" or \"30d\""))
}
