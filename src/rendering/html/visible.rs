//! What a reader sees of a rendered HTML part, as HTML of few elements, strictly nested and bounded.
//!
//! A parser of HTML mends whatever it gets, and mending may take the square of the length in time and memory: deep
//! nesting, formatting that is never closed, text between the rows of a table, rows of very many cells. None of that gets
//! out of here. Elements that change only how text looks are left out, links become text with their address.

use super::markup::{Element, Markup, Token, VOID, is_one_of};

/// How many elements stand within each other; what is deeper shows its text only.
const DEPTH_MAX: usize = 100;

/// The most elements that are read, some ten times as many as a long newsletter has; from there on there is text alone.
const ELEMENTS_MAX: usize = 5_000;

/// How many lists, quotes and tables stand within each other: each costs a pass over its lines.
const INDENTS_MAX: usize = 10;

/// The most columns of a table; further cells stand in a row of their own.
const COLUMNS_MAX: usize = 16;

/// Line ends after each other: there is no more than one empty line.
const BREAKS_MAX: usize = 2;

/// A longer word (of ASCII: other scripts may be broken) is held back; no column has less if its text is as long.
pub(super) const HELD_WIDTH: usize = 24;

/// Room for what may stand around such a word without a space.
const BRACKETS: usize = 4;

/// Stands for the first word that was held back, the next one for the second: characters for private use.
pub(super) const HELD_FIRST: char = '\u{f0000}';

/// As many as there are such characters in their plane.
const HELD_MAX: u32 = 0xfffe;

pub(super) struct Visible {
    pub html: String,
    /// Words of ASCII that are longer than [`HELD_WIDTH`], as HTML.
    pub held: Vec<String>,
}

/// The elements that are written, and those that they stand for.
const ELEMENTS: &[(&str, &[&str])] = &[
    ("p", &["p", "h1", "h2", "h3", "h4", "h5", "h6", "figure", "fieldset"]),
    (
        "div",
        &[
            "div",
            "section",
            "article",
            "header",
            "footer",
            "main",
            "nav",
            "aside",
            "address",
            "center",
            "form",
            "dt",
            "dd",
            "caption",
            "figcaption",
            "legend",
        ],
    ),
    ("table", &["table"]),
    ("tr", &["tr"]),
    ("td", &["td", "th"]),
    ("ul", &["ul"]),
    ("ol", &["ol"]),
    ("li", &["li"]),
    ("blockquote", &["blockquote"]),
    ("pre", &["pre"]),
    ("sup", &["sup"]),
];

/// Elements whose content nobody reads; those whose content is no markup are none of the tokens that are looked at.
const SILENT: &[&str] = &["template", "svg", "math", "select", "object", "audio", "video"];

/// The visible part of a rendered HTML part.
pub(super) fn visible(html: &str) -> Visible {
    let mut writer = Writer { html: String::with_capacity(html.len()), ..Writer::default() };
    // The element that is left out, and how many of its name are open.
    let mut unseen: Option<(&str, usize)> = None;
    for token in Markup::new(html, &[]) {
        if let Some((name, depth)) = unseen {
            match &token {
                // A paragraph ends where the next begins.
                Token::Start(element) if element.is(&[name]) && element.is(&["p"]) => unseen = None,
                Token::Start(element) if element.is(&[name]) => unseen = Some((name, depth + 1)),
                Token::End { name: ended } if ended.eq_ignore_ascii_case(name) => {
                    unseen = (depth > 1).then_some((name, depth - 1));
                    continue;
                }
                _ => {}
            }
            if unseen.is_some() {
                continue;
            }
        }
        match token {
            Token::Start(element) if element.is(SILENT) || is_hidden(html, &element) => {
                let is_empty = element.is(VOID) || (element.is_closed && element.is(&["svg", "math"]));
                unseen = (!is_empty).then_some((element.name, 1));
            }
            Token::Start(element) if element.is(VOID) => writer.void(html, &element),
            Token::Start(element) => writer.start(html, &element),
            Token::End { name } => writer.end(name),
            Token::Text(text) => writer.text(text),
            Token::RawText(_) | Token::Comment | Token::Expression(_) | Token::Broken(_) => {}
        }
    }
    writer.end_link();
    writer.close_to(0);
    Visible { html: writer.html, held: writer.held }
}

/// Whether nothing of an element is to be seen: what a mail holds for the preview of the inbox only.
fn is_hidden(html: &str, element: &Element<'_>) -> bool {
    if element.attribute("hidden").is_some() {
        return true;
    }
    let Some(style) = element.attribute("style") else { return false };
    html[style.value.clone()].split(';').filter_map(|declaration| declaration.split_once(':')).any(|(name, value)| {
        let value = value.split('!').next().unwrap_or_default().trim();
        let is = |wanted: &str| name.trim().eq_ignore_ascii_case(wanted);
        (is("display") && value.eq_ignore_ascii_case("none"))
            || (is("visibility") && value.eq_ignore_ascii_case("hidden"))
            || (is("opacity") && value == "0")
            || (is("max-height") && matches!(value, "0" | "0px"))
    })
}

#[derive(Default)]
struct Writer<'a> {
    html: String,
    held: Vec<String>,
    open: Vec<Open<'a>>,
    link: Option<Link<'a>>,
    /// Line ends since the last word.
    breaks: usize,
    /// Begun so far.
    elements: usize,
}

struct Open<'a> {
    /// As it was written.
    name: &'a str,
    /// What it is written as.
    tag: &'static str,
    /// The columns of a row so far.
    columns: usize,
}

struct Link<'a> {
    address: &'a str,
    text: String,
}

impl<'a> Writer<'a> {
    fn start(&mut self, html: &'a str, element: &Element<'a>) {
        self.elements += 1;
        if self.elements >= ELEMENTS_MAX {
            self.end_link();
            return self.close_to(0);
        }
        let value = |name| element.attribute(name).map_or("", |attribute| html[attribute.value.clone()].trim());
        if element.is(&["a"]) {
            self.end_link();
            self.link = Some(Link { address: value("href"), text: String::new() });
            return;
        }
        let Some((tag, _)) = ELEMENTS.iter().find(|(_, names)| element.is(names)) else { return };
        match *tag {
            "tr" => self.row(element.name),
            "td" => self.cell(element.name, value("colspan").parse().unwrap_or(1)),
            "li" => self.item(element.name),
            "ol" => match value("start").parse::<i32>() {
                Ok(start) => self.block(element.name, tag, &format!(" start={start}")),
                Err(_) => self.block(element.name, tag, ""),
            },
            _ => self.block(element.name, tag, ""),
        }
    }

    fn void(&mut self, html: &'a str, element: &Element<'a>) {
        if element.is(&["br"]) {
            self.break_lines(1);
        } else if element.is(&["hr"]) {
            self.break_lines(2);
        } else if element.is(&["img"])
            && let Some(alt) = element.attribute("alt")
        {
            self.text(&as_text(&html[alt.value.clone()]));
        }
    }

    fn break_lines(&mut self, count: usize) {
        if !self.stands_between() {
            for _ in 0..count.min(BREAKS_MAX.saturating_sub(self.breaks)) {
                self.html.push_str("<br>");
                self.breaks += 1;
            }
        }
    }

    fn block(&mut self, name: &'a str, tag: &'static str, attributes: &str) {
        let ends = |open: &Open<'_>| {
            (open.tag == "p" && tag != "sup") || (is_one_of(open.name, &["dt", "dd"]) && is_one_of(name, &["dt", "dd"]))
        };
        if self.open.last().is_some_and(ends) {
            self.close_to(self.open.len() - 1);
        }
        self.open_part();
        let indents = |tag: &str| matches!(tag, "table" | "ul" | "ol" | "blockquote");
        if self.open.len() >= DEPTH_MAX {
            return;
        }
        if indents(tag) && self.open.iter().filter(|open| indents(open.tag)).count() >= INDENTS_MAX {
            return self.push(name, "div", "");
        }
        self.push(name, tag, attributes);
    }

    fn row(&mut self, name: &'a str) {
        match self.nearest(&["table"]) {
            Some(table) => {
                self.close_to(table + 1);
                self.push(name, "tr", "");
            }
            None => self.block(name, "div", ""),
        }
    }

    fn cell(&mut self, name: &'a str, span: usize) {
        let Some(row) = self.nearest(&["table", "tr"]) else { return self.block(name, "div", "") };
        self.close_to(row + 1);
        let span = span.clamp(1, COLUMNS_MAX);
        if self.open[row].tag == "table" {
            self.push("tr", "tr", "");
        } else if self.open[row].columns + span > COLUMNS_MAX {
            self.row("tr");
        }
        if let Some(row) = self.open.last_mut() {
            row.columns += span;
        }
        let attributes = if span > 1 { format!(" colspan={span}") } else { String::new() };
        self.push(name, "td", &attributes);
    }

    fn item(&mut self, name: &'a str) {
        match self.nearest(&["ul", "ol", "td"]) {
            Some(list) if self.open[list].tag != "td" => {
                self.close_to(list + 1);
                self.push(name, "li", "");
            }
            _ => self.block(name, "div", ""),
        }
    }

    fn nearest(&self, tags: &[&str]) -> Option<usize> {
        self.open.iter().rposition(|open| tags.contains(&open.tag))
    }

    /// Whether this is a place in a table or list for cells and items only.
    fn stands_between(&self) -> bool {
        self.open.last().is_some_and(|open| matches!(open.tag, "table" | "tr" | "ul" | "ol"))
    }

    /// What stands between cells or items gets one of its own.
    fn open_part(&mut self) {
        match self.open.last().map(|open| open.tag) {
            Some("table" | "tr") => self.cell("td", 1),
            Some("ul" | "ol") => self.item("li"),
            _ => {}
        }
    }

    fn push(&mut self, name: &'a str, tag: &'static str, attributes: &str) {
        self.html.extend(["<", tag, attributes, ">"]);
        self.open.push(Open { name, tag, columns: 0 });
    }

    fn end(&mut self, name: &str) {
        if is_one_of(name, &["a"]) {
            return self.end_link();
        }
        // An end tag within a cell means nothing outside of it, nor within a table that of a row around it.
        let ends_parts = is_one_of(name, &["td", "th", "tr"]);
        let border = if ends_parts { "table" } else { "td" };
        for at in (0..self.open.len()).rev() {
            if self.open[at].name.eq_ignore_ascii_case(name) {
                return self.close_to(at);
            }
            if self.open[at].tag == border && !is_one_of(name, &["table"]) {
                return;
            }
        }
    }

    /// Closes elements until so many are open.
    fn close_to(&mut self, count: usize) {
        while self.open.len() > count
            && let Some(open) = self.open.pop()
        {
            if open.tag == "td" && !self.html.ends_with('>') {
                // Columns stand two spaces apart.
                self.html.truncate(self.html.trim_end().len());
                self.html.push_str("&nbsp;");
            }
            self.html.extend(["</", open.tag, ">"]);
        }
    }

    fn text(&mut self, text: &str) {
        if let Some(link) = &mut self.link {
            link.text.push_str(text);
        }
        let is_blank = text.trim_ascii().is_empty();
        if is_blank && self.stands_between() {
            return;
        }
        if !is_blank {
            self.open_part();
            self.breaks = 0;
        }
        let is_verbatim = self.nearest(&["pre"]).is_some();
        for piece in text.split_inclusive(|c: char| c.is_ascii_whitespace()) {
            let word = piece.trim_end_matches(|c: char| c.is_ascii_whitespace());
            self.word(word);
            if piece.len() > word.len() {
                self.html.push_str(if is_verbatim { &piece[word.len()..] } else { " " });
            }
        }
    }

    fn word(&mut self, word: &str) {
        let escaped = word.replace('<', "&lt;");
        let stand_in = u32::try_from(self.held.len()).ok().filter(|count| *count < HELD_MAX);
        let stand_in = stand_in.and_then(|count| char::from_u32(u32::from(HELD_FIRST) + count));
        match stand_in {
            Some(stand_in) if word.len() > HELD_WIDTH && word.is_ascii() => {
                self.html.extend(std::iter::repeat_n(stand_in, HELD_WIDTH - BRACKETS));
                self.held.push(escaped);
            }
            _ => self.html.push_str(&escaped),
        }
    }

    /// The address after the text of a link; the text alone if it says the same.
    fn end_link(&mut self) {
        let Some(link) = self.link.take() else { return };
        let address: String = link.address.split_ascii_whitespace().collect();
        let scheme = address.split_once(':').map_or("", |(scheme, _)| scheme);
        if scheme.is_empty() || is_one_of(scheme, &["javascript", "data", "cid"]) {
            return;
        }
        let shown = ["mailto:", "tel:", "sms:"].into_iter().find_map(|scheme| address.strip_prefix(scheme));
        let shown = as_text(shown.unwrap_or(&address));
        let bare = |text: &str| -> String {
            let text = text.trim_start_matches("https://").trim_start_matches("http://").trim_start_matches("www.");
            text.trim_end_matches('/').replace("&amp;", "&").to_ascii_lowercase()
        };
        let text = link.text.trim();
        if text.is_empty() {
            self.text(&shown);
        } else if bare(text) != bare(&shown) {
            // Apart from the brackets: without a reference in it an address needs no reading.
            self.text(" &lt;");
            self.text(&shown);
            self.text("&gt;");
        }
    }
}

/// The value of an attribute as text: there `&copy=1` is no reference, for want of a semicolon.
fn as_text(value: &str) -> String {
    let mut parts = value.split('&');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let name = part.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '#');
        text.push_str(if name.starts_with(';') { "&" } else { "&amp;" });
        text.push_str(part);
    }
    text
}
