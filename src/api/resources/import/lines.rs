//! From a body that comes in parts to its lines. Pure.

use super::refused;
use crate::intake::FieldProblem;

/// A line with its number, counted from 1.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::api) struct Line {
    pub(in crate::api) number: u64,
    /// `Err`: it is longer than so many bytes, and nothing is kept of it.
    text: Result<Vec<u8>, usize>,
}

impl Line {
    /// What it costs to keep it.
    pub(in crate::api) fn bytes(&self) -> usize {
        size_of::<Self>() + self.text.as_ref().map_or(0, Vec::len)
    }

    pub(in crate::api) fn text(&self) -> Result<&str, Vec<FieldProblem>> {
        match &self.text {
            Err(limit) => Err(refused(format!("is too long: a line may have at most {limit} bytes"))),
            Ok(bytes) => std::str::from_utf8(bytes).map_err(|error| {
                refused(format!("is not UTF-8: byte {} of the line begins no character", error.valid_up_to()))
            }),
        }
    }
}

/// Cuts lines out of what comes. Empty ones are counted and left out.
#[derive(Debug)]
pub(in crate::api) struct Lines {
    line_bytes_max: usize,
    /// The beginning of a line whose end has not come.
    begun: Vec<u8>,
    /// That line is too long already.
    is_too_long: bool,
    /// Lines that have ended.
    count: u64,
}

/// Some editors begin a text with it; it means nothing in UTF-8.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

impl Lines {
    pub(in crate::api) fn new(line_bytes_max: usize) -> Self {
        Self { line_bytes_max, begun: Vec::new(), is_too_long: false, count: 0 }
    }

    /// Adds the lines that end in `part`.
    pub(in crate::api) fn push(&mut self, part: &[u8], lines: &mut Vec<Line>) {
        let mut rest = part;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.add(&rest[..end]);
            lines.extend(self.end());
            rest = &rest[end + 1..];
        }
        self.add(rest);
    }

    fn add(&mut self, bytes: &[u8]) {
        self.is_too_long = self.is_too_long || self.begun.len() + bytes.len() > self.line_bytes_max;
        if self.is_too_long {
            self.begun = Vec::new();
        } else {
            self.begun.extend_from_slice(bytes);
        }
    }

    /// The line that ends here, if there is anything in it.
    pub(in crate::api) fn end(&mut self) -> Option<Line> {
        self.count += 1;
        let number = self.count;
        if std::mem::take(&mut self.is_too_long) {
            return Some(Line { number, text: Err(self.line_bytes_max) });
        }
        let text = std::mem::take(&mut self.begun);
        let text = if number == 1 { text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&text) } else { &text };
        let text = text.trim_ascii();
        (!text.is_empty()).then(|| Line { number, text: Ok(text.to_vec()) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The lines of a body that comes in parts of this size.
    fn lines(body: &[u8], part: usize) -> Vec<(u64, Option<String>)> {
        let mut lines = Lines::new(10);
        let mut found = Vec::new();
        for part in body.chunks(part.max(1)) {
            lines.push(part, &mut found);
        }
        found.extend(lines.end());
        let shown = |line: Line| (line.number, line.text.ok().map(|text| String::from_utf8_lossy(&text).into_owned()));
        found.into_iter().map(shown).collect()
    }

    fn check(body: &str, expected: &[(u64, Option<&str>)]) {
        for part in [1, 2, 3, 100] {
            let expected: Vec<_> = expected.iter().map(|(number, text)| (*number, text.map(str::to_owned))).collect();
            assert_eq!(lines(body.as_bytes(), part), expected, "{body:?} in parts of {part}");
        }
    }

    #[test]
    fn lines_are_cut_whatever_parts_they_come_in() {
        check("", &[]);
        check("a\nb", &[(1, Some("a")), (2, Some("b"))]);
        check("a\r\n\n  \n b \n", &[(1, Some("a")), (4, Some("b"))]);
        check("\u{feff}a\n\u{feff}b", &[(1, Some("a")), (2, Some("\u{feff}b"))]);
    }

    #[test]
    fn a_line_that_is_too_long_is_one_line_and_the_next_is_whole() {
        check("0123456789\n", &[(1, Some("0123456789"))]);
        check("0123456789a\nb\n", &[(1, None), (2, Some("b"))]);
        check("b\n01234567890123456789012345678901234567890", &[(1, Some("b")), (2, None)]);
    }

    proptest! {
        #[test]
        fn every_body_is_cut_the_same_in_any_parts(body in "[ab \n\r]{0,60}", part in 1usize..20) {
            prop_assert_eq!(lines(body.as_bytes(), part), lines(body.as_bytes(), 100));
        }
    }
}
