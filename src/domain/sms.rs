//! How many text messages a text becomes: the alphabet it needs, and the segments that the network cuts it into.
//!
//! 3GPP TS 23.038, sections 6.2.1 and 6.2.1.1 (alphabet and extension table); the lengths of one segment and of the
//! parts of several are those of TS 23.040, section 9.2.3.24.1 (140 bytes, less 6 for the header that joins them; a
//! septet stays unused there). No national tables: networks do not agree on them.

/// In what alphabet a text is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmsEncoding {
    /// Seven bits for each character; a few take two.
    Gsm7,
    /// Sixteen bits for each unit of UTF-16: one character that GSM 7 has not makes the whole text so.
    Ucs2,
}

/// What a text costs as a text message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SmsSegments {
    pub encoding: SmsEncoding,
    /// The text's Unicode characters.
    pub characters: usize,
    /// Septets of GSM 7 or units of UTF-16. What is left free before a pair that may not be split is not counted.
    pub units: usize,
    /// How many messages are paid for; an empty text is one.
    pub segments: usize,
    /// How many units more the last segment could hold.
    pub units_left_in_last: usize,
    /// The first character that GSM 7 has not, and so why the encoding is UCS-2.
    pub first_foreign: Option<char>,
}

impl SmsEncoding {
    /// The units of a message that is the only one.
    const fn single(self) -> usize {
        match self {
            SmsEncoding::Gsm7 => 160,
            SmsEncoding::Ucs2 => 70,
        }
    }

    /// The units of each of several.
    const fn part(self) -> usize {
        match self {
            SmsEncoding::Gsm7 => 153,
            SmsEncoding::Ucs2 => 67,
        }
    }

    /// The units of a character, which always stand in one segment.
    fn units(self, character: char) -> usize {
        match self {
            SmsEncoding::Gsm7 => gsm7_septets(character).unwrap_or(1),
            SmsEncoding::Ucs2 => character.len_utf16(),
        }
    }
}

/// How a text is cut into text messages.
pub fn sms_segments(text: &str) -> SmsSegments {
    let first_foreign = text.chars().find(|character| gsm7_septets(*character).is_none());
    let encoding = if first_foreign.is_none() { SmsEncoding::Gsm7 } else { SmsEncoding::Ucs2 };
    let characters = text.chars().count();
    let units: usize = text.chars().map(|character| encoding.units(character)).sum();
    let (segments, units_left_in_last) =
        if units <= encoding.single() { (1, encoding.single() - units) } else { parts(text, encoding) };
    SmsSegments { encoding, characters, units, segments, units_left_in_last, first_foreign }
}

/// The segments of a text that needs several, and what is left in the last.
fn parts(text: &str, encoding: SmsEncoding) -> (usize, usize) {
    let mut segments = 1;
    let mut left = encoding.part();
    for character in text.chars() {
        let units = encoding.units(character);
        if units > left {
            segments += 1;
            left = encoding.part();
        }
        left -= units;
    }
    (segments, left)
}

/// The septets of a character in GSM 7: two for the extension table, whose characters follow an escape.
fn gsm7_septets(character: char) -> Option<usize> {
    match character {
        '\n' | '\r' | ' '..='#' | '%'..='?' | 'A'..='Z' | 'a'..='z' => Some(1),
        '@' | '£' | '$' | '¥' | 'è' | 'é' | 'ù' | 'ì' | 'ò' | 'Ç' | 'Ø' | 'ø' | 'Å' | 'å' => Some(1),
        'Δ' | '_' | 'Φ' | 'Γ' | 'Λ' | 'Ω' | 'Π' | 'Ψ' | 'Σ' | 'Θ' | 'Ξ' | 'Æ' | 'æ' | 'ß' | 'É' => {
            Some(1)
        }
        '¤' | '¡' | 'Ä' | 'Ö' | 'Ñ' | 'Ü' | '§' | '¿' | 'ä' | 'ö' | 'ñ' | 'ü' | 'à' => Some(1),
        '\u{c}' | '^' | '{' | '}' | '\\' | '[' | '~' | ']' | '|' | '€' => Some(2),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, encoding: SmsEncoding, units: usize, segments: usize, left: usize) {
        let found = sms_segments(text);
        let shown: String = text.chars().take(20).collect();
        let seen = (found.encoding, found.units, found.segments, found.units_left_in_last);
        assert_eq!(seen, (encoding, units, segments, left), "{shown}…");
    }

    #[test]
    fn the_alphabet_has_128_places_and_an_extension_of_ten() {
        let septets =
            |count| (0..=0x10ffff).filter_map(char::from_u32).filter(move |c| gsm7_septets(*c) == Some(count));
        // 128 places, less the escape; one of them is the capital Ç of which older tables say ç.
        assert_eq!(septets(1).count(), 127);
        assert_eq!(septets(2).count(), 10);
        assert_eq!(gsm7_septets('`'), None);
        assert_eq!(gsm7_septets('ç'), None);
        assert_eq!(gsm7_septets('\t'), None);
    }

    #[test]
    fn a_text_of_the_alphabet_has_160_septets_or_153_in_each_part() {
        use SmsEncoding::Gsm7;
        check("", Gsm7, 0, 1, 160);
        check("Hello", Gsm7, 5, 1, 155);
        check(&"a".repeat(160), Gsm7, 160, 1, 0);
        check(&"a".repeat(161), Gsm7, 161, 2, 145);
        check(&"a".repeat(306), Gsm7, 306, 2, 0);
        check(&"a".repeat(307), Gsm7, 307, 3, 152);
        check(&"a".repeat(459), Gsm7, 459, 3, 0);
    }

    #[test]
    fn a_character_of_the_extension_takes_two_septets_and_is_never_split() {
        use SmsEncoding::Gsm7;
        check("€", Gsm7, 2, 1, 158);
        check(&"€".repeat(80), Gsm7, 160, 1, 0);
        check(&"€".repeat(81), Gsm7, 162, 2, 153 - 10);
        // The pair would begin in the last septet of the first part.
        check(&format!("{}€{}", "a".repeat(152), "a".repeat(10)), Gsm7, 164, 2, 141);
        check(&format!("{}€{}", "a".repeat(151), "a".repeat(10)), Gsm7, 163, 2, 143);
        check(&"€".repeat(153), Gsm7, 306, 3, 151);
    }

    #[test]
    fn one_foreign_character_makes_the_whole_text_ucs2() {
        use SmsEncoding::Ucs2;
        check("Привет", Ucs2, 6, 1, 64);
        check(&"я".repeat(70), Ucs2, 70, 1, 0);
        check(&"я".repeat(71), Ucs2, 71, 2, 63);
        check(&"я".repeat(134), Ucs2, 134, 2, 0);
        check(&"я".repeat(135), Ucs2, 135, 3, 66);
        check("ç", Ucs2, 1, 1, 69);
        assert_eq!(sms_segments("it’s — so").first_foreign, Some('’'));
        assert_eq!(sms_segments("it's so").first_foreign, None);
    }

    #[test]
    fn a_surrogate_pair_is_never_split() {
        use SmsEncoding::Ucs2;
        check("😀", Ucs2, 2, 1, 68);
        check(&"😀".repeat(35), Ucs2, 70, 1, 0);
        // 33 pairs in each part, one unit unused.
        check(&"😀".repeat(36), Ucs2, 72, 2, 61);
        check(&format!("{}😀{}", "я".repeat(66), "я".repeat(5)), Ucs2, 73, 2, 60);
        assert_eq!(sms_segments(&"😀".repeat(36)).characters, 36);
    }

    proptest! {
        #[test]
        fn segments_hold_the_text_and_none_is_wasted(text in "[a-z€😀я\\^ ]{0,400}") {
            let found = sms_segments(&text);
            let (single, part) = (found.encoding.single(), found.encoding.part());
            prop_assert_eq!(found.segments == 1, found.units <= single);
            if found.segments > 1 {
                let used = found.segments * part - found.units_left_in_last;
                prop_assert!(used >= found.units);
                prop_assert!(used - found.units < found.segments, "at most one unit is unused in each part");
                prop_assert!(found.units_left_in_last < part);
            }
        }

        #[test]
        fn more_text_never_costs_less(text in "\\PC{0,200}", more in "\\PC{0,20}") {
            let longer = sms_segments(&format!("{text}{more}"));
            prop_assert!(longer.segments >= sms_segments(&text).segments);
        }
    }
}
