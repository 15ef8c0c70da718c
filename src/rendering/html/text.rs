//! Plain text of a rendered HTML part, as one would type it into a mail.
//!
//! `html2text` writes it: paragraphs, lists, quotes, tables in columns. It gets what [`visible`] leaves of the HTML, and
//! so can neither show what is hidden nor be kept busy. It would break a word that is longer than a line or a column;
//! such a word, an address most of all, is held back and put into the finished text.

use html2text::config;
use html2text::render::TextDecorator;

use super::visible::{HELD_FIRST, HELD_WIDTH, visible};

/// Columns of a line; a word that was held back may reach over it. RFC 5322, 2.1.1.
const WIDTH: usize = 78;

/// The plain text of a rendered HTML part; empty where it shows none.
pub fn text_of(html: &str) -> String {
    let seen = visible(html);
    let text = render(&seen.html, WIDTH);
    if !seen.held.iter().any(|word| word.contains('&')) {
        return finish(&text, &seen.held.iter().map(String::as_str).collect::<Vec<_>>());
    }
    // References in a word are read as those in the text are.
    let width = seen.held.iter().map(String::len).max().unwrap_or(0).max(WIDTH);
    let held = render(&seen.held.join("<br>"), width);
    finish(&text, &held.lines().collect::<Vec<_>>())
}

/// It fails where a width is too small, which is allowed here, and where reading fails, which a slice does not.
fn render(html: &str, width: usize) -> String {
    let config = config::with_decorator(Plain);
    let config = config.no_table_borders().allow_width_overflow().min_wrap_width(HELD_WIDTH);
    config.string_from_read(html.as_bytes(), width).unwrap_or_default()
}

/// Puts the words into their places, and leaves out what nobody sees: fillers, spaces at line ends, further empty lines.
fn finish(text: &str, held: &[&str]) -> String {
    let mut finished = String::with_capacity(text.len());
    let mut next = 0;
    for line in text.lines() {
        for character in line.chars() {
            match character {
                '\u{a0}' | '\u{2007}' => finished.push(' '),
                // What fills the preview of the inbox, and hyphens that show at line ends only.
                '\u{ad}' | '\u{34f}' | '\u{200b}' | '\u{feff}' => {}
                _ if character >= HELD_FIRST => {
                    // It stands there several times, to be as wide as a word.
                    let at = (u32::from(character) - u32::from(HELD_FIRST)) as usize;
                    if at >= next {
                        finished.push_str(held.get(at).unwrap_or(&""));
                        next = at + 1;
                    }
                }
                _ if character.is_control() => {}
                _ => finished.push(character),
            }
        }
        finished.truncate(finished.trim_end_matches(' ').len());
        if !finished.is_empty() && !finished.ends_with("\n\n") {
            finished.push('\n');
        }
    }
    finished.truncate(finished.trim_end().len());
    finished
}

/// Text alone, but for the marks of lists and quotes.
struct Plain;

/// What stands around the text of an element: nothing.
const NOTHING: (String, ()) = (String::new(), ());

impl TextDecorator for Plain {
    type Annotation = ();

    fn decorate_link_start(&mut self, _: &str) -> (String, ()) {
        NOTHING
    }

    fn decorate_link_end(&mut self) -> String {
        String::new()
    }

    fn decorate_em_start(&self) -> (String, ()) {
        NOTHING
    }

    fn decorate_em_end(&self) -> String {
        String::new()
    }

    fn decorate_strong_start(&self) -> (String, ()) {
        NOTHING
    }

    fn decorate_strong_end(&self) -> String {
        String::new()
    }

    fn decorate_strikeout_start(&self) -> (String, ()) {
        NOTHING
    }

    fn decorate_strikeout_end(&self) -> String {
        String::new()
    }

    fn decorate_code_start(&self) -> (String, ()) {
        NOTHING
    }

    fn decorate_code_end(&self) -> String {
        String::new()
    }

    fn decorate_superscript_start(&self) -> (String, ()) {
        NOTHING
    }

    fn decorate_superscript_end(&self) -> String {
        String::new()
    }

    fn decorate_preformat_first(&self) {}

    fn decorate_preformat_cont(&self) {}

    fn decorate_image(&mut self, _: &str, alt: &str) -> (String, ()) {
        (alt.to_owned(), ())
    }

    fn header_prefix(&self, _: usize) -> String {
        String::new()
    }

    fn quote_prefix(&self) -> String {
        "> ".to_owned()
    }

    fn unordered_item_prefix(&self) -> String {
        "- ".to_owned()
    }

    fn ordered_item_prefix(&self, number: i64) -> String {
        format!("{number}. ")
    }

    fn make_subblock_decorator(&self) -> Self {
        Plain
    }
}
