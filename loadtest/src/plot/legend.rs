//! The names of a plot's series, in lines below its title.

use std::fmt::Write;

use super::page::escape;

/// How a series looks: its number among the colours, and what is drawn for it.
pub(super) struct Entry<'a> {
    pub(super) name: &'a str,
    pub(super) colour: usize,
    pub(super) is_area: bool,
}

/// How wide a letter is at the size of a legend: an estimate, for nothing measures text here.
const LETTER: f64 = 6.6;
const KEY: f64 = 22.0;
const GAP: f64 = 16.0;
pub(super) const LINE_HEIGHT: f64 = 18.0;

/// Draws the entries from `(left, top)` on, at most `width` wide; how high it became.
pub(super) fn draw(entries: &[Entry<'_>], left: f64, top: f64, width: f64, out: &mut String) -> f64 {
    let (mut x, mut y) = (left, top);
    for entry in entries {
        let needed = KEY + LETTER * entry.name.chars().count() as f64;
        if x > left && x + needed > left + width {
            (x, y) = (left, y + LINE_HEIGHT);
        }
        let colour = entry.colour;
        // Writing to a string cannot fail.
        let _ = match entry.is_area {
            true => write!(out, r#"<rect class="a{colour}" x="{x:.1}" y="{:.1}" width="16" height="10"/>"#, y - 9.0),
            false => write!(
                out,
                r#"<line class="l{colour}" x1="{x:.1}" y1="{0:.1}" x2="{1:.1}" y2="{0:.1}"/>"#,
                y - 4.0,
                x + 16.0
            ),
        };
        let _ = write!(out, r#"<text class="key" x="{:.1}" y="{y:.1}">{}</text>"#, x + KEY, escape(entry.name));
        x += needed + GAP;
    }
    if entries.is_empty() { 0.0 } else { y - top + LINE_HEIGHT }
}
