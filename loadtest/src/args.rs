//! How values are written on the command line.

use std::time::Duration;

use serde_json::{Map, Value};

/// Reads `250us`, `5ms`, `30s`, `2m`, `1h` or `0`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let refusal = || format!("`{text}` is not a duration: write it as `5ms`, `30s` or `2m`");
    let digits = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: f64 = number.parse().map_err(|_| refusal())?;
    let seconds = match unit {
        "us" => number / 1e6,
        "ms" => number / 1e3,
        "s" => number,
        "m" => number * 60.0,
        "h" => number * 3600.0,
        "" if number == 0.0 => 0.0,
        _ => return Err(refusal()),
    };
    Duration::try_from_secs_f64(seconds).map_err(|_| refusal())
}

/// Reads a share from 0 to 1.
pub(crate) fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err(format!("`{text}` is not a share: write a number from 0 to 1")),
    }
}

/// Reads a rate per second: above 0, at most a million.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 1e6 => Ok(rate),
        _ => Err(format!("`{text}` is not a rate: write a number above 0, at most 1000000")),
    }
}

/// Reads `key=value,key=value`; a value that is no JSON is a text.
pub(crate) fn keys(text: &str) -> Result<Map<String, Value>, String> {
    let mut keys = Map::new();
    for pair in text.split(',').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').ok_or_else(|| format!("`{pair}` is not of the form `key=value`"))?;
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
        keys.insert(key.trim().to_owned(), value);
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_a_number_and_a_unit() {
        let cases = [
            ("250us", Some(Duration::from_micros(250))),
            ("5ms", Some(Duration::from_millis(5))),
            ("1.5s", Some(Duration::from_millis(1500))),
            ("2m", Some(Duration::from_secs(120))),
            ("1h", Some(Duration::from_secs(3600))),
            ("0", Some(Duration::ZERO)),
            ("5", None),
            ("", None),
            ("ms", None),
            ("-1s", None),
            ("1e999s", None),
        ];
        for (text, expected) in cases {
            assert_eq!(duration(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn keys_have_numbers_or_texts() {
        let keys = keys("error_rate=0.1,dead_pattern=gone").expect("legal");
        assert_eq!(Value::Object(keys), serde_json::json!({"error_rate": 0.1, "dead_pattern": "gone"}));
        assert!(super::keys("error_rate").is_err());
    }

    #[test]
    fn a_share_lies_between_nothing_and_everything() {
        assert_eq!(share("0.25"), Ok(0.25));
        assert!(share("1.01").is_err());
        assert!(share("NaN").is_err());
    }
}
