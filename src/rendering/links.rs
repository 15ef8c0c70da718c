//! Addresses that run what their author wants wherever they are opened: none of them leaves in an HTML part, wherever it came from.

/// The schemes whose address is a program (HTML, 2.4.2 and 7.4.2; `vbscript` of old mail programs).
const SCRIPT_SCHEMES: [&str; 2] = ["javascript", "vbscript"];

/// Whether an attribute of rendered HTML begins with such a scheme. What comes from data cannot stand outside of a value: quotes and
/// `=` are escaped there. Of an address, browsers leave out line ends and tabs wherever they stand, and spaces before it.
pub(super) fn has_script(html: &str) -> bool {
    html.match_indices(':')
        .any(|(at, _)| SCRIPT_SCHEMES.iter().any(|scheme| begins_a_value(&html.as_bytes()[..at], scheme)))
}

/// Whether these bytes end with the beginning of an attribute's value that is the scheme.
fn begins_a_value(before: &[u8], scheme: &str) -> bool {
    let mut rest = before.iter().rev().filter(|byte| !matches!(byte, b'\t' | b'\n' | b'\r'));
    if !scheme.bytes().rev().all(|letter| rest.next().is_some_and(|byte| byte.eq_ignore_ascii_case(&letter))) {
        return false;
    }
    let mut rest = rest.skip_while(|byte| **byte <= b' ').peekable();
    if matches!(rest.peek(), Some(b'"' | b'\'')) {
        rest.next();
    }
    rest.find(|byte| **byte > b' ') == Some(&b'=')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_a_program_is_found_however_it_is_written() {
        for html in [
            "<a href=\"javascript:alert(1)\">",
            "<a href='JavaScript:alert(1)'>",
            "<a href=javascript:alert(1)>",
            "<a href = \"  java\tscr\nipt\r:alert(1)\">",
            "<img src=\"\u{1}vbscript:x\">",
        ] {
            assert!(has_script(html), "{html}");
        }
        for html in [
            "<p>javascript: the good parts</p>",
            "<p>\"javascript: the good parts\"</p>",
            "<a href=\"https://example.com/javascript:x\">",
            "<a href=\"https://example.com/?q&#x3D;javascript:x\">",
            "<a href=\"notjavascript:x\">",
            ":",
            "",
        ] {
            assert!(!has_script(html), "{html}");
        }
    }
}
