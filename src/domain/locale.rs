//! Language tags.

/// A language tag of BCP 47 (RFC 5646, 2.1) in the usual letters: the language small, the script with one capital, the region in
/// capitals. `_` is taken for `-`, as many systems write it. `None`: it is none. Whether such a language exists is not asked.
pub fn canonical_locale(text: &str) -> Option<String> {
    // RFC 5646, 4.4.1: 35 are enough for every registered tag; private parts may be longer.
    if text.len() > TAG_BYTES_MAX || !text.is_ascii() {
        return None;
    }
    let mut parts = text.split(['-', '_']).collect::<Vec<_>>().into_iter().peekable();
    let mut tag: Vec<String> = Vec::new();
    // Longer ones could be registered, and none is: whoever writes `english` means something else.
    let language = parts.next().filter(|part| is_alphabetic(part, 2..=3))?;
    tag.push(language.to_ascii_lowercase());
    for _ in 0..3 {
        let extended = parts.next_if(|part| is_alphabetic(part, 3..=3));
        tag.extend(extended.map(str::to_ascii_lowercase));
    }
    if let Some(script) = parts.next_if(|part| is_alphabetic(part, 4..=4)) {
        tag.push(script[..1].to_ascii_uppercase() + &script[1..].to_ascii_lowercase());
    }
    if let Some(region) = parts.next_if(|part| is_alphabetic(part, 2..=2) || is_number(part)) {
        tag.push(region.to_ascii_uppercase());
    }
    while let Some(variant) = parts.next_if(|part| is_variant(part)) {
        tag.push(variant.to_ascii_lowercase());
    }
    rest_of_tag(parts, &mut tag)?;
    Some(tag.join("-"))
}

const TAG_BYTES_MAX: usize = 64;

/// Extensions: a letter or digit and what belongs to it. After `x` comes what people agreed among themselves.
fn rest_of_tag<'a>(mut parts: impl Iterator<Item = &'a str>, tag: &mut Vec<String>) -> Option<()> {
    let Some(mut singleton) = parts.next() else { return Some(()) };
    loop {
        if singleton.len() != 1 || !is_alphanumeric(singleton, 1..=1) {
            return None;
        }
        let is_private = singleton.eq_ignore_ascii_case("x");
        tag.push(singleton.to_ascii_lowercase());
        let mut count = 0;
        let next = loop {
            match parts.next() {
                Some(part) if is_alphanumeric(part, if is_private { 1..=8 } else { 2..=8 }) => {
                    tag.push(part.to_ascii_lowercase());
                    count += 1;
                }
                other => break other,
            }
        };
        match next {
            _ if count == 0 => return None,
            None => return Some(()),
            Some(next) => singleton = next,
        }
    }
}

fn is_alphabetic(part: &str, lengths: std::ops::RangeInclusive<usize>) -> bool {
    lengths.contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphabetic())
}

fn is_alphanumeric(part: &str, lengths: std::ops::RangeInclusive<usize>) -> bool {
    lengths.contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// A region of the United Nations.
fn is_number(part: &str) -> bool {
    part.len() == 3 && part.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_variant(part: &str) -> bool {
    is_alphanumeric(part, 5..=8)
        || (is_alphanumeric(part, 4..=4) && part.starts_with(|first: char| first.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_tag_is_read_in_any_letters_and_written_in_the_usual_ones() {
        for (text, expected) in [
            ("de", "de"),
            ("DE-de", "de-DE"),
            ("en_US", "en-US"),
            ("zh-hant-tw", "zh-Hant-TW"),
            ("zh-cmn-Hans-CN", "zh-cmn-Hans-CN"),
            ("es-419", "es-419"),
            ("sl-rozaj-biske", "sl-rozaj-biske"),
            ("de-CH-1996", "de-CH-1996"),
            ("en-a-myext-b-another", "en-a-myext-b-another"),
            ("de-DE-u-co-phonebk-x-Own", "de-DE-u-co-phonebk-x-own"),
        ] {
            assert_eq!(canonical_locale(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_language_tag_is_refused() {
        let long = format!("de-x{}", "-abcdefgh".repeat(8));
        for text in [
            "",
            "d",
            "-",
            "de-",
            "-de",
            "de--DE",
            "german",
            "de_DE.UTF-8",
            "de DE",
            "1234",
            "de-u",
            "de-x-",
            "dé",
            "de-DE-DE",
            "en-a",
            &long,
        ] {
            assert_eq!(canonical_locale(text), None, "{text}");
        }
    }
}
