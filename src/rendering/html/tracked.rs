//! Links and a pixel that are counted, put into a rendered HTML part.
//!
//! One pass over the tokens; all that is not changed is copied as it is. In doubt a link stays as its author wrote it: one that is not
//! counted costs a figure, and one that leads elsewhere costs a reader.

use std::borrow::Cow;
use std::ops::Range;

use url::Url;

use super::markup::{Attribute, Element, Markup, Token};

/// Says of a link that it is not to be counted (`off`), and is never sent itself.
pub const TRACK_ATTRIBUTE: &str = "data-fanfare-track";

/// Links of a mail that are counted: each grows by about a hundred letters, and mail programs cut what is too long.
const LINKS_MAX: u16 = 500;

/// Gives the address in the place of a link's: see [`Tracks::link`].
pub type MakeLink<'l> = &'l dyn Fn(u16, &str) -> Option<String>;

/// What is put into a mail.
pub struct Tracks<'l> {
    /// The address of the pixel.
    pub pixel: Option<String>,
    /// The address that counts a click and leads on: given which link of the mail it is, from 1 on, and where it leads. `None`: it is
    /// to stay as it is.
    pub link: Option<MakeLink<'l>>,
}

/// Puts them in.
pub fn track(html: &str, tracks: &Tracks<'_>) -> String {
    let mut tracked = Tracked { html, out: String::with_capacity(html.len() * 5 / 4 + 256), copied: 0, ordinal: 0 };
    let mut markup = Markup::new(html, &[]);
    let mut body_end = None;
    loop {
        let at = markup.at();
        match markup.next() {
            Some(Token::Start(element)) if element.is(&["a", "area"]) => tracked.link(&element, tracks.link),
            Some(Token::End { name }) if name.eq_ignore_ascii_case("body") => {
                tracked.copy_to(at);
                body_end = Some(tracked.out.len());
            }
            Some(_) => {}
            None => break,
        }
    }
    tracked.copy_to(html.len());
    let mut out = tracked.out;
    if let Some(pixel) = &tracks.pixel {
        let image = format!(
            "<img src=\"{}\" width=\"1\" height=\"1\" alt=\"\" style=\"display:block;border:0;width:1px;height:1px\">",
            escaped(pixel)
        );
        out.insert_str(body_end.unwrap_or(out.len()), &image);
    }
    out
}

struct Tracked<'a> {
    html: &'a str,
    out: String,
    /// How much of the source is written.
    copied: usize,
    /// Of the last link that is counted.
    ordinal: u16,
}

impl Tracked<'_> {
    fn copy_to(&mut self, at: usize) {
        self.out.push_str(&self.html[self.copied..at]);
        self.copied = at;
    }

    fn leave_out(&mut self, span: Range<usize>) {
        self.copy_to(span.start);
        self.copied = span.end;
    }

    fn link(&mut self, element: &Element<'_>, link: Option<MakeLink<'_>>) {
        let mark = element.attribute(TRACK_ATTRIBUTE);
        let is_off = mark.is_some_and(|mark| self.html[mark.value.clone()].trim().eq_ignore_ascii_case("off"));
        let counted = || {
            let href = element.attribute("href")?;
            let target = target(&self.html[href.value.clone()])?;
            let ordinal = self.ordinal.checked_add(1).filter(|ordinal| *ordinal <= LINKS_MAX)?;
            Some((href, link?(ordinal, &target)?))
        };
        let counted = if is_off { None } else { counted() };
        // In the order in which they stand there.
        let mut changes: Vec<(&Attribute<'_>, Option<String>)> = Vec::new();
        changes.extend(mark.map(|mark| (mark, None)));
        changes.extend(counted.map(|(href, address)| (href, Some(address))));
        changes.sort_by_key(|(attribute, _)| attribute.span.start);
        for (attribute, address) in changes {
            match address {
                Some(address) => {
                    self.ordinal += 1;
                    self.leave_out(attribute.span.clone());
                    let name = attribute.name;
                    self.out.extend([name, "=\"", &escaped(&address), "\""]);
                }
                None => {
                    // With the space before it, unless what follows needs one: browsers take attributes without any between them.
                    let after = self.html.as_bytes().get(attribute.span.end);
                    let is_apart = after.is_none_or(|byte| byte.is_ascii_whitespace() || b"/>".contains(byte));
                    let start = attribute.span.start;
                    let before = self.html[..start].trim_ascii_end().len().max(self.copied);
                    self.leave_out(if is_apart { before } else { start }..attribute.span.end);
                }
            }
        }
    }
}

/// Where a link leads, as browsers read it and [`Url`] writes it out; `None`: not into the web, or it depends on where it stands.
fn target(value: &str) -> Option<String> {
    let value = decoded(value)?;
    let trimmed = value.trim_matches(|letter: char| letter <= ' ');
    let has_scheme = |scheme: &str| trimmed.get(..scheme.len()).is_some_and(|found| found.eq_ignore_ascii_case(scheme));
    if !has_scheme("http://") && !has_scheme("https://") {
        return None;
    }
    let url = Url::parse(trimmed).ok()?;
    url.has_host().then(|| url.into())
}

/// An attribute's value without its character references (HTML, 13.2.5.72). Those that addresses are written with are known by name;
/// `None`: there is another.
fn decoded(value: &str) -> Option<Cow<'_, str>> {
    if !value.contains('&') {
        return Some(value.into());
    }
    let mut out = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let length = after.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '#').unwrap_or(after.len());
        let (name, following) = after.split_at(length);
        if let Some(following) = following.strip_prefix(';').filter(|_| !name.is_empty()) {
            out.push(referred(name)?);
            rest = following;
            continue;
        }
        // Without a semicolon it is a reference only where nothing follows that could be a name or its value.
        let is_parameter = name.len() < 2 || following.starts_with('=');
        if name.starts_with('#') || !is_parameter {
            return None;
        }
        out.push('&');
        rest = after;
    }
    out.push_str(rest);
    Some(out.into())
}

fn referred(name: &str) -> Option<char> {
    let number = match name.strip_prefix('#') {
        Some(number) => match number.strip_prefix(['x', 'X']) {
            Some(digits) => u32::from_str_radix(digits, 16).ok()?,
            None => number.parse().ok()?,
        },
        None => {
            return match name {
                "amp" | "AMP" => Some('&'),
                "lt" | "LT" => Some('<'),
                "gt" | "GT" => Some('>'),
                "quot" | "QUOT" => Some('"'),
                "apos" => Some('\''),
                "equals" => Some('='),
                "sol" => Some('/'),
                "colon" => Some(':'),
                "quest" => Some('?'),
                "num" => Some('#'),
                "percnt" => Some('%'),
                "nbsp" => Some('\u{a0}'),
                _ => None,
            };
        }
    };
    // Those of Windows' code page are read as other letters.
    char::from_u32(number).filter(|letter| !letter.is_control())
}

/// As a value between quotes.
fn escaped(address: &str) -> Cow<'_, str> {
    if !address.contains(['&', '"', '\'', '<', '>']) {
        return address.into();
    }
    let mut out = String::with_capacity(address.len() + 16);
    for letter in address.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            letter => out.push(letter),
        }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With links that say their number and target, and a pixel.
    fn tracked(html: &str) -> String {
        let link = |ordinal: u16, target: &str| Some(format!("https://t.example/{ordinal}?to={target}&k=1"));
        track(html, &Tracks { pixel: None, link: Some(&link) })
    }

    #[track_caller]
    fn check(html: &str, expected: &str) {
        assert_eq!(tracked(html), expected);
    }

    #[test]
    fn links_into_the_web_are_counted_in_their_order() {
        check(
            "<p>a <a class=\"x\" href=\"https://shop.example/1\">b</a> <AREA HREF='HTTP://Shop.example'></p>",
            "<p>a <a class=\"x\" href=\"https://t.example/1?to=https://shop.example/1&amp;k=1\">b</a> <AREA \
             HREF=\"https://t.example/2?to=http://shop.example/&amp;k=1\"></p>",
        );
        check(
            "<a href=https://shop.example/?q=1>x</a><a href = \"\n https://shop.example/a b \">y</a>",
            "<a href=\"https://t.example/1?to=https://shop.example/?q=1&amp;k=1\">x</a>\
             <a href=\"https://t.example/2?to=https://shop.example/a%20b&amp;k=1\">y</a>",
        );
    }

    #[test]
    fn what_is_no_link_into_the_web_stays_as_it_is() {
        for html in [
            "<a href=\"mailto:a@example.com\">x</a>",
            "<a href='tel:+4930'>x</a>",
            "<a href=\"#top\">x</a><a href=\"/orders\">x</a><a href=\"orders\">x</a><a href=\"//cdn.example/x\">x</a>",
            "<a name=\"https://shop.example\">x</a><a>x</a><a href>x</a><a href=\"\">x</a>",
            "<a href=\"https://\">x</a><a href=\"https:shop.example\">x</a><a href=\"http://[::1\">x</a>",
            "<img src=\"https://shop.example/a.png\"><link href=\"https://shop.example/a.css\">",
            "<!-- <a href=\"https://shop.example\">x</a> --><style>a[href=\"https://shop.example\"]{}</style>",
            "<!--[if mso]><a href=\"https://shop.example\">x</a><![endif]-->",
            "<title><a href=\"https://shop.example\"></title>",
            "<a href=\"https://shop.example",
            "a < b && c > d {{a}} &amp; ü",
            "",
        ] {
            check(html, html);
        }
    }

    #[test]
    fn references_in_an_address_are_read_as_browsers_read_them() {
        let reads = |written: &str, read: &str| {
            let html = format!("<a href=\"{written}\">x</a>");
            let expected = format!("<a href=\"https://t.example/1?to={}&amp;k=1\">x</a>", escaped(read));
            assert_eq!(tracked(&html), expected, "{written}");
        };
        reads("https://a.example/?b&#x3D;1&amp;c=2", "https://a.example/?b=1&c=2");
        reads("https://a.example/?b=1&c=2&d", "https://a.example/?b=1&c=2&d");
        reads("https://a.example/?copy=1&copy=2", "https://a.example/?copy=1&copy=2");
        reads("https&colon;//a.example/&#47;x", "https://a.example//x");
        reads("https://a.example/?q=&quot;&lt;&#39;", "https://a.example/?q=%22%3C%27");
        // In doubt.
        for html in [
            "<a href=\"https://a.example/?b=1&copy\">x</a>",
            "<a href=\"https://a.example/&eacute;\">x</a>",
            "<a href=\"https://a.example/&#150;\">x</a>",
        ] {
            check(html, html);
        }
    }

    #[test]
    fn a_link_that_is_marked_is_not_counted_and_the_mark_is_not_sent() {
        check(
            "<a data-fanfare-track=\"off\" href=\"https://shop.example\">x</a><a href=\"https://shop.example\" DATA-fanfare-track=OFF>y</a>",
            "<a href=\"https://shop.example\">x</a><a href=\"https://shop.example\">y</a>",
        );
        check(
            "<a href=\"https://shop.example/a\" data-fanfare-track='on' id=\"b\">x</a>",
            "<a href=\"https://t.example/1?to=https://shop.example/a&amp;k=1\" id=\"b\">x</a>",
        );
        let html = "<a data-fanfare-track=\"off\" href=\"https://shop.example\">x</a>";
        let nothing = Tracks { pixel: None, link: None };
        assert_eq!(track(html, &nothing), "<a href=\"https://shop.example\">x</a>");
    }

    #[test]
    fn the_pixel_stands_at_the_end_of_what_is_shown() {
        let pixel = |html: &str| track(html, &Tracks { pixel: Some("https://t.example/o?a&b".into()), link: None });
        let image = "<img src=\"https://t.example/o?a&amp;b\" width=\"1\" height=\"1\" alt=\"\" \
                     style=\"display:block;border:0;width:1px;height:1px\">";
        assert_eq!(pixel("<p>x</p>"), format!("<p>x</p>{image}"));
        assert_eq!(
            pixel("<html><body><p>x</p></BODY ></html>\n"),
            format!("<html><body><p>x</p>{image}</BODY ></html>\n")
        );
        let quoted = "<body><pre>&lt;/body></pre><!-- </body> --></body></html>";
        assert_eq!(pixel(quoted), format!("<body><pre>&lt;/body></pre><!-- </body> -->{image}</body></html>"));
    }

    #[test]
    fn a_link_that_does_not_fit_stays_and_the_next_one_has_its_number() {
        let link =
            |ordinal: u16, target: &str| (!target.contains("long")).then(|| format!("https://t.example/{ordinal}"));
        let html = "<a href=\"https://a.example/long\">x</a><a href=\"https://a.example\">y</a>";
        let expected = "<a href=\"https://a.example/long\">x</a><a href=\"https://t.example/1\">y</a>";
        assert_eq!(track(html, &Tracks { pixel: None, link: Some(&link) }), expected);
        let many = "<a href=\"https://a.example\">y</a>".repeat(usize::from(LINKS_MAX) + 10);
        let found = tracked(&many);
        assert_eq!(found.matches("https://t.example/").count(), usize::from(LINKS_MAX));
    }
}
