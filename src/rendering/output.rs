//! Where a part is written: bounded in bytes and in writes.

use std::io;

use handlebars::Output;

/// The most writes for one part: two for each turn of a loop at least, so that a loop without output ends as well.
const WRITES_MAX: u32 = 50_000;

/// The text of one part as it grows.
pub(super) struct Bounded {
    text: String,
    bytes_max: usize,
    writes_left: u32,
    stop: Option<Stop>,
}

/// Which bound was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    TooLong,
    TooMuchWork,
}

impl Bounded {
    pub(super) fn new(bytes_max: usize, bytes_expected: usize) -> Self {
        let text = String::with_capacity(bytes_expected.min(bytes_max));
        Self { text, bytes_max, writes_left: WRITES_MAX, stop: None }
    }

    pub(super) fn push(&mut self, text: &str) -> Result<(), Stop> {
        if self.writes_left == 0 {
            self.stop = Some(Stop::TooMuchWork);
            return Err(Stop::TooMuchWork);
        }
        self.writes_left -= 1;
        if self.text.len() + text.len() > self.bytes_max {
            self.stop = Some(Stop::TooLong);
            return Err(Stop::TooLong);
        }
        self.text.push_str(text);
        Ok(())
    }

    /// Writes the text with the characters replaced that mean something in HTML: as handlebars does.
    pub(super) fn push_html(&mut self, text: &str) -> Result<(), Stop> {
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

    /// Which bound was met, whatever error came of it.
    pub(super) fn stop(&self) -> Option<Stop> {
        self.stop
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }
}

impl Output for Bounded {
    fn write(&mut self, text: &str) -> io::Result<()> {
        self.push(text).map_err(|_| io::Error::other("a bound was met"))
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
        assert_eq!(output.push("!"), Err(Stop::TooLong));
        assert_eq!(output.stop(), Some(Stop::TooLong));
        assert_eq!(output.into_text(), "four");
    }

    #[test]
    fn writes_of_nothing_count() {
        let mut output = Bounded::new(4, 0);
        for _ in 0..WRITES_MAX {
            assert_eq!(output.push(""), Ok(()));
        }
        assert_eq!(output.push(""), Err(Stop::TooMuchWork));
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
