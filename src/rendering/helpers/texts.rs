//! Letters, lengths, addresses.

use icu_segmenter::GraphemeClusterSegmenter;
use serde_json::Value;

use super::{Args, Made};

/// The longest text that is put together: no part may be longer.
const BYTES_MAX: usize = 1 << 20;

pub(super) fn upper(args: &Args<'_, '_>) -> Made {
    Ok(Value::from(args.text(0)?.to_uppercase()))
}

pub(super) fn lower(args: &Args<'_, '_>) -> Made {
    Ok(Value::from(args.text(0)?.to_lowercase()))
}

/// The first letter upper case, the others as they are.
pub(super) fn capitalize(args: &Args<'_, '_>) -> Made {
    let text = args.text(0)?;
    let mut letters = text.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    Ok(Value::from(first + letters.as_str()))
}

/// `{{truncate text 40 "…"}}`: at most 40 characters, with what stands for the rest among them.
pub(super) fn truncate(args: &Args<'_, '_>) -> Made {
    let text = args.text(0)?;
    let Some(length) = args.value(1)?.as_u64().and_then(|length| usize::try_from(length).ok()) else {
        return args.refuse("takes a whole number as its second value");
    };
    let end = if args.count() > 2 { args.text(2)? } else { "…".to_owned() };
    if character_starts(&text).nth(length).is_none() {
        return Ok(Value::from(text));
    }
    let kept = length.saturating_sub(character_starts(&end).count());
    let at = character_starts(&text).nth(kept).unwrap_or(text.len());
    Ok(Value::from(text[..at].trim_end().to_owned() + &end))
}

/// All values as they are written, one behind the other.
pub(super) fn concat(args: &Args<'_, '_>) -> Made {
    let mut text = String::new();
    for index in 0..args.count() {
        text.push_str(&args.text(index)?);
        if text.len() > BYTES_MAX {
            return args.refuse("makes a text that is too long");
        }
    }
    Ok(Value::from(text))
}

/// For a value within an address, as `encodeURIComponent` of JavaScript does it.
pub(super) fn url_encode(args: &Args<'_, '_>) -> Made {
    let text = args.text(0)?;
    let mut encoded = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            for digit in [byte >> 4, byte & 15] {
                encoded.push(char::from(b"0123456789ABCDEF"[usize::from(digit)]));
            }
        }
    }
    Ok(Value::from(encoded))
}

/// The language tag that the message is written in, for `lang=`.
pub(super) fn message_locale(args: &Args<'_, '_>) -> Made {
    Ok(Value::from(args.setting()?.locale.tag()))
}

/// `rtl` or `ltr`, for `dir=`.
pub(super) fn message_direction(args: &Args<'_, '_>) -> Made {
    Ok(Value::from(if args.setting()?.locale.is_right_to_left() { "rtl" } else { "ltr" }))
}

/// Where what people take for a character begins (UAX #29): not at marks over letters, nor within an emoji or a flag.
fn character_starts(text: &str) -> impl Iterator<Item = usize> {
    GraphemeClusterSegmenter::new().segment_str(text).filter(|at| *at < text.len())
}
