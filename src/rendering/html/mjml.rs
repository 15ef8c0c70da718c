//! MJML becomes HTML when a template is compiled, with its expressions in it.
//!
//! The parser of MJML knows no expressions, so each gets a word in its place: a value of an attribute as a whole, since
//! the renderer copies it to several places; text as it stands; between elements that hold only elements a comment,
//! which is kept where text is dropped. Afterwards the expressions come back, and each is counted.

use std::ops::Range;

use mrml::prelude::parser::Error;
use mrml::prelude::render::RenderOptions;

use super::super::error::SyntaxProblem;
use super::markup::{Element, Markup, Token, VOID, is_one_of};
use super::tags::{Tag, TagKind, tags};

/// How deep elements may stand in each other: parser and renderer go down the stack for each. Layouts have some 10.
const DEPTH_MAX: usize = 64;

/// The longest source: what the renderer makes of it is several times as long, and mail programs cut at 102 KB.
const SOURCE_MAX: usize = 128 * 1024;

/// Elements that hold elements only: text in them is lost.
const LAYOUT: &[&str] = &[
    "mjml",
    "mj-body",
    "mj-wrapper",
    "mj-section",
    "mj-group",
    "mj-column",
    "mj-hero",
    "mj-social",
    "mj-navbar",
    "mj-carousel",
    "mj-accordion",
    "mj-accordion-element",
];

/// All elements that MJML has.
const ELEMENTS: &[&str] = &[
    "mj-head",
    "mj-attributes",
    "mj-all",
    "mj-class",
    "mj-breakpoint",
    "mj-font",
    "mj-html-attributes",
    "mj-selector",
    "mj-html-attribute",
    "mj-preview",
    "mj-style",
    "mj-title",
    "mj-include",
    "mj-body",
    "mj-wrapper",
    "mj-section",
    "mj-group",
    "mj-column",
    "mj-hero",
    "mj-social",
    "mj-social-element",
    "mj-navbar",
    "mj-navbar-link",
    "mj-carousel",
    "mj-carousel-image",
    "mj-accordion",
    "mj-accordion-element",
    "mj-accordion-title",
    "mj-accordion-text",
    "mj-button",
    "mj-divider",
    "mj-image",
    "mj-raw",
    "mj-spacer",
    "mj-table",
    "mj-text",
];

/// Elements of the head in which nothing may depend on the data.
const SETTINGS: &[&str] = &["mj-head", "mj-attributes", "mj-html-attributes", "mj-selector"];

/// Whether MJML brings all its style rules where they belong: no rule of its own asks to be put into the elements.
pub(in crate::rendering) fn brings_style(source: &str) -> bool {
    let asks = |(at, name): (usize, &str)| {
        let Some(value) = source[at + name.len()..].trim_start().strip_prefix('=') else { return false };
        value.trim_start().starts_with(['"', '\'']) && value.trim_start()[1..].starts_with("inline")
    };
    !source.match_indices("inline").any(asks)
}

/// Whether a source is MJML.
pub(in crate::rendering) fn is_mjml(source: &str) -> bool {
    let Some(rest) = source.trim_start().strip_prefix("<mjml") else { return false };
    rest.starts_with(|c: char| c.is_ascii_whitespace() || matches!(c, '>' | '/'))
}

/// Makes HTML of MJML. Nothing is fetched: `mj-include` is an error.
///
/// # Errors
///
/// A place and a reason, where the source is no MJML, too deep or too long, or an expression stands where the result
/// could not hold it.
pub fn compile_mjml(source: &str) -> Result<String, SyntaxProblem> {
    let problem = |at, detail: String| SyntaxProblem::at(source, at, detail);
    if source.len() > SOURCE_MAX {
        return Err(problem(0, format!("longer than {SOURCE_MAX} bytes, which is the most for MJML")));
    }
    let tags = tags(source).map_err(|(at, detail)| problem(at, detail.to_owned()))?;
    let cover = Cover::new(source, &tags).map_err(|(at, detail)| problem(at, detail))?;
    readable(&cover.text).map_err(|(at, detail)| problem(cover.source_offset(at), detail))?;
    let failed = |error: Error| {
        let at = position(&error, &cover.text).map_or(0, |at| cover.source_offset(at));
        problem(at, format!("no MJML: {}", reason(&error)))
    };
    let parsed = mrml::parse(&cover.text).map_err(failed)?;
    let html =
        parsed.element.render(&RenderOptions::default()).map_err(|error| problem(0, format!("no MJML: {error}")))?;
    cover.uncover(&html).map_err(|(at, detail)| problem(at, detail))
}

/// Refuses what the parser of MJML would go too deep for or panic at. It reads the text as that parser does (htmlparser 0.2.1,
/// `Tokenizer`): for it there is no raw text, and elements within conditional comments are elements.
fn readable(text: &str) -> Result<(), (usize, String)> {
    let mut depth = 0usize;
    let mut at = 0;
    while let Some(found) = text[at..].find('<') {
        let start = at + found;
        let rest = &text[start..];
        let length = if let Some(length) = conditional_comment(rest) {
            length.ok_or_else(|| (start, "a conditional comment that cannot be read".to_owned()))?
        } else if let Some(comment) = rest.strip_prefix("<!--") {
            let Some(end) = comment.find("-->") else { return Ok(()) };
            end + "<!---->".len()
        } else if rest.starts_with("</") {
            depth = depth.saturating_sub(1);
            2
        } else if rest.starts_with("<!") || rest.starts_with("<?") {
            // The parser ends here with an error.
            return Ok(());
        } else {
            let Some(end) = end_of_start_tag(rest) else { return Ok(()) };
            let name = rest[1..].split(|c: char| c.is_ascii_whitespace() || matches!(c, '>' | '/')).next();
            if !rest[..end].ends_with('/') && !name.is_some_and(|name| VOID.contains(&name)) {
                depth += 1;
            }
            end + 1
        };
        if depth > DEPTH_MAX {
            return Err((start, format!("elements more than {DEPTH_MAX} deep")));
        }
        at = start + length;
    }
    Ok(())
}

/// The length of a conditional comment's begin or end. `Some(None)`: it is one that the parser panics at; `None`: it is none.
fn conditional_comment(rest: &str) -> Option<Option<usize>> {
    let begins = ["<!--[if", "<![if", "<![endif", "<!--<![endif"];
    let begin = begins.iter().find(|begin| rest.starts_with(**begin))?;
    if *begin == "<![endif" && !rest.starts_with("<![endif]") {
        return Some(None);
    }
    let closed = rest.find(']').map(|at| at + 1);
    Some(closed.and_then(|at| {
        let end = [">-->", "><!-->", "-->", ">"].iter().find(|end| rest[at..].starts_with(**end))?;
        Some(at + end.len())
    }))
}

/// Where the `>` of a start tag is, which a value may have, too: values have quotes, or the parser ends with an error.
fn end_of_start_tag(rest: &str) -> Option<usize> {
    let mut quote = None;
    for (at, byte) in rest.bytes().enumerate() {
        match (quote, byte) {
            (Some(open), _) if byte == open => quote = None,
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b'>') => return Some(at),
            _ => {}
        }
    }
    None
}

/// Where a word stands for an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// A whole value: may be copied, or not be used.
    Attribute,
    Text,
    /// In a comment of its own.
    Layout,
}

struct Piece {
    span: Range<usize>,
    place: Place,
    /// Whether it decides on what stands around it.
    is_branch: bool,
}

/// A source whose expressions are words.
struct Cover<'a> {
    source: &'a str,
    text: String,
    /// Occurs in no source.
    word: String,
    pieces: Vec<Piece>,
}

impl<'a> Cover<'a> {
    fn new(source: &'a str, tags: &[Tag<'a>]) -> Result<Cover<'a>, (usize, String)> {
        let mut word = String::from("covered");
        while source.contains(&word) {
            word.push('x');
        }
        let mut cover = Cover { source, text: String::new(), word, pieces: pieces(source, tags)? };
        let mut from = 0;
        for number in 0..cover.pieces.len() {
            let span = cover.pieces[number].span.clone();
            cover.text.push_str(&source[from..span.start]);
            cover.text.push_str(&cover.cover_of(number));
            from = span.end;
        }
        cover.text.push_str(&source[from..]);
        Ok(cover)
    }

    fn cover_of(&self, number: usize) -> String {
        match self.pieces[number].place {
            Place::Layout => format!("<!--{}{number}z-->", self.word),
            Place::Attribute | Place::Text => format!("{}{number}z", self.word),
        }
    }

    /// The place in the source of one in the covered text.
    fn source_offset(&self, covered: usize) -> usize {
        let mut longer = 0isize;
        for (number, piece) in self.pieces.iter().enumerate() {
            if piece.span.start as isize + longer > covered as isize {
                break;
            }
            longer += self.cover_of(number).len() as isize - piece.span.len() as isize;
        }
        usize::try_from(covered as isize - longer).unwrap_or(0).min(self.source.len())
    }

    /// Puts the expressions back.
    fn uncover(&self, html: &str) -> Result<String, (usize, String)> {
        let mut text = String::with_capacity(html.len());
        let mut seen = vec![0usize; self.pieces.len()];
        let mut last_branch = 0;
        let mut rest = html;
        while let Some(at) = rest.find(&self.word) {
            let digits = &rest[at + self.word.len()..];
            let digits = &digits[..digits.find('z').unwrap_or(0)];
            let Some((number, piece)) =
                digits.parse().ok().and_then(|number: usize| Some((number, self.pieces.get(number)?)))
            else {
                return Err((0, "an expression that the result cannot hold".into()));
            };
            if piece.place != Place::Attribute && piece.is_branch {
                if number < last_branch {
                    return Err((piece.span.start, MOVED.into()));
                }
                last_branch = number;
            }
            seen[number] += 1;
            let is_layout = piece.place == Place::Layout;
            text.push_str(if is_layout { rest[..at].strip_suffix("<!--").unwrap_or(&rest[..at]) } else { &rest[..at] });
            text.push_str(&self.source[piece.span.clone()]);
            rest = &rest[at + self.word.len() + digits.len() + 1..];
            rest = if is_layout { rest.strip_prefix("-->").unwrap_or(rest) } else { rest };
        }
        text.push_str(rest);
        for (piece, times) in self.pieces.iter().zip(seen) {
            let fits = match piece.place {
                Place::Attribute => true,
                _ if piece.is_branch => times == 1,
                _ => times > 0,
            };
            if !fits {
                return Err((piece.span.start, MOVED.into()));
            }
        }
        Ok(text)
    }
}

const MOVED: &str = "an expression where MJML does not keep it: put it into `<mj-raw>` or into the text of an element";

/// What is covered, in order.
fn pieces(source: &str, tags: &[Tag<'_>]) -> Result<Vec<Piece>, (usize, String)> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut open: Vec<(&str, usize)> = Vec::new();
    let mut layout = Vec::new();
    let mut values: Vec<Range<usize>> = Vec::new();
    for token in Markup::new(source, tags) {
        match token {
            Token::Start(element) => {
                if element.name.starts_with("mj-") && !element.is(ELEMENTS) {
                    return Err((element.at, format!("`<{}>` is no element of MJML", element.name)));
                }
                values.extend(expressions_in_values(source, &element, tags)?);
                if !element.is(VOID) && !element.is_closed {
                    open.push((element.name, element.at));
                }
                if open.len() > DEPTH_MAX {
                    return Err((element.at, format!("elements more than {DEPTH_MAX} deep")));
                }
            }
            Token::End { name } => match open.pop() {
                Some((last, at)) if last != name => {
                    return Err((at, format!("`<{last}>` is not closed before `</{name}>`")));
                }
                _ => {}
            },
            Token::Expression(tag) => {
                let within = open.last().map_or("mjml", |(name, _)| *name);
                if is_one_of(within, SETTINGS) && tag.kind != TagKind::Comment {
                    return Err((
                        tag.start,
                        format!("an expression in `<{within}>`, where nothing may depend on the data"),
                    ));
                }
                if is_one_of(within, LAYOUT) {
                    layout.push(tag.start);
                }
            }
            Token::Broken(at) => return Err((at, "a tag that is not closed by `>`".into())),
            Token::Text(_) | Token::RawText(_) | Token::Comment => {}
        }
    }
    if let Some((name, at)) = open.last() {
        return Err((*at, format!("`<{name}>` is not closed")));
    }
    let mut values = values.into_iter().peekable();
    for tag in tags {
        if pieces.last().is_some_and(|piece| tag.start < piece.span.end) {
            continue;
        }
        while values.next_if(|value| value.end <= tag.start).is_some() {}
        if let Some(value) = values.next_if(|value| value.start <= tag.start) {
            pieces.push(Piece { span: value, place: Place::Attribute, is_branch: false });
            continue;
        }
        let place = if layout.binary_search(&tag.start).is_ok() { Place::Layout } else { Place::Text };
        pieces.push(Piece { span: tag.start..tag.end, place, is_branch: tag.kind.is_branch() });
    }
    Ok(pieces)
}

/// The values of an element that hold expressions.
fn expressions_in_values(
    source: &str,
    element: &Element<'_>,
    tags: &[Tag<'_>],
) -> Result<Vec<Range<usize>>, (usize, String)> {
    let holds = |span: &Range<usize>| {
        let first = tags.partition_point(|tag| tag.start < span.start);
        tags.get(first).is_some_and(|tag| tag.start < span.end)
    };
    let mut values = Vec::new();
    let mut outside = 0;
    for attribute in &element.attributes {
        let name = attribute.span.start..attribute.span.start + attribute.name.len();
        outside += usize::from(holds(&name) || attribute.is_conditional);
        if !attribute.value.is_empty() && holds(&attribute.value) {
            values.push(attribute.value.clone());
        }
    }
    if outside > 0
        || (element.has_expressions && element.attributes.is_empty())
        || source[element.at..].starts_with("<{{")
    {
        let detail = "an expression between attributes: in MJML it can only stand within a value, `name=\"{{a}}\"`";
        return Err((element.at, detail.into()));
    }
    Ok(values)
}

/// Where in the text that was parsed.
fn position(error: &Error, text: &str) -> Option<usize> {
    match error {
        Error::ParserError { source, .. } => {
            let (row, column) = (source.pos().row as usize, source.pos().col as usize);
            let line = text.split_inclusive('\n').nth(row.checked_sub(1)?)?;
            let within = line.char_indices().nth(column.checked_sub(1)?).map_or(line.len(), |(at, _)| at);
            Some(line.as_ptr() as usize - text.as_ptr() as usize + within)
        }
        Error::UnexpectedElement { position, .. }
        | Error::UnexpectedToken { position, .. }
        | Error::MissingAttribute { position, .. }
        | Error::InvalidAttribute { position, .. }
        | Error::InvalidFormat { position, .. }
        | Error::IncludeLoaderError { position, .. } => Some(position.start),
        Error::EndOfStream { .. } | Error::SizeLimit { .. } | Error::NoRootNode => None,
    }
}

fn reason(error: &Error) -> String {
    match error {
        Error::UnexpectedElement { .. } => "an element that may not stand here".into(),
        Error::UnexpectedToken { .. } => "something that may not stand here; every element needs its end tag".into(),
        Error::MissingAttribute { name, .. } => format!("the attribute `{name}` is missing"),
        Error::InvalidAttribute { .. } => "an attribute that cannot be read: values need quotes".into(),
        Error::InvalidFormat { .. } => "a value that cannot be read".into(),
        Error::IncludeLoaderError { .. } => {
            "`mj-include` is not supported: use `{{> partial}}` within `<mj-raw>`".into()
        }
        Error::EndOfStream { .. } => "it ends within an element".into(),
        Error::SizeLimit { .. } => "it is too long".into(),
        // The rest is its own words for the place.
        Error::ParserError { source, .. } => source.to_string().split(" at ").next().unwrap_or_default().into(),
        Error::NoRootNode => "there is no `<mjml>` element".into(),
    }
}
