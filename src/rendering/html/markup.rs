//! HTML as a row of tokens, each with its place in the source.
//!
//! It reads as a browser does, for what a mail may hold, and is never at a loss: what is no markup is text. Expressions
//! stand in it as wholes, wherever they are. One pass, no recursion, time that grows with the length only.

use std::ops::Range;

use super::tags::{Tag, TagKind};

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token<'a> {
    Start(Element<'a>),
    End {
        name: &'a str,
    },
    /// Between tags; may hold a `<` that begins nothing.
    Text(&'a str),
    /// What stands in an element whose content is no markup (`style`, `title`, …), expressions and all.
    RawText(Range<usize>),
    /// A comment, conditional or not, a doctype, or what a browser takes for one.
    Comment,
    /// An expression that stands where text may stand.
    Expression(Tag<'a>),
    /// A tag that is never closed: it begins here.
    Broken(usize),
}

/// A start tag.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Element<'a> {
    /// Where its `<` is.
    pub at: usize,
    /// As written: compare without regard to case.
    pub name: &'a str,
    pub attributes: Vec<Attribute<'a>>,
    /// Whether an expression stands among the attributes or within the names.
    pub has_expressions: bool,
    pub is_closed: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Attribute<'a> {
    pub name: &'a str,
    /// From the name to past the value and its quotes.
    pub span: Range<usize>,
    /// Within the quotes.
    pub value: Range<usize>,
    /// `"`, `'`, or none.
    pub quote: Option<u8>,
    /// Whether it stands within a block that begins in the same start tag.
    pub is_conditional: bool,
}

impl<'a> Element<'a> {
    /// The attribute of this name; of two the first counts, as in a browser.
    pub(super) fn attribute(&self, name: &str) -> Option<&Attribute<'a>> {
        self.attributes.iter().find(|attribute| attribute.name.eq_ignore_ascii_case(name))
    }

    pub(super) fn is(&self, names: &[&str]) -> bool {
        is_one_of(self.name, names)
    }
}

pub(super) fn is_one_of(name: &str, names: &[&str]) -> bool {
    names.iter().any(|one| name.eq_ignore_ascii_case(one))
}

/// Elements that hold nothing and are never closed.
pub(super) const VOID: &[&str] =
    &["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"];

/// Elements whose content is no markup.
const RAW_TEXT: &[&str] = &["style", "script", "title", "textarea", "xmp", "iframe", "noembed", "noframes"];

pub(super) struct Markup<'a, 't> {
    source: &'a str,
    tags: &'t [Tag<'a>],
    at: usize,
    /// The element whose raw text begins here.
    raw: Option<&'a str>,
}

impl<'a, 't> Markup<'a, 't> {
    /// Reads a source; `tags` are the expressions in it, none for a text that is rendered.
    pub(super) fn new(source: &'a str, tags: &'t [Tag<'a>]) -> Self {
        Markup { source, tags, at: 0, raw: None }
    }

    /// Where the next token begins.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The expression that begins here.
    fn tag_at(&self, at: usize) -> Option<Tag<'a>> {
        if self.source.as_bytes().get(at) != Some(&b'{') {
            return None;
        }
        self.tags.binary_search_by_key(&at, |tag| tag.start).ok().map(|found| self.tags[found])
    }

    /// From `from` to the first place where `stop` says so; expressions are passed over.
    fn seek(&self, mut from: usize, stop: impl Fn(&[u8]) -> bool) -> Option<usize> {
        let bytes = self.source.as_bytes();
        while from < bytes.len() {
            if let Some(tag) = self.tag_at(from) {
                from = tag.end;
            } else if stop(&bytes[from..]) {
                return Some(from);
            } else {
                from += 1;
            }
        }
        None
    }

    fn text(&mut self) -> Token<'a> {
        let bytes = self.source.as_bytes();
        let start = self.at;
        let mut end = start;
        while end < bytes.len() {
            let ends = match bytes[end] {
                b'<' => end > start && begins_markup(&bytes[end..]),
                b'{' => self.tag_at(end).is_some(),
                _ => false,
            };
            if ends {
                break;
            }
            end += 1;
        }
        self.at = end;
        Token::Text(&self.source[start..end])
    }

    /// A comment, or what begins like one; unclosed it reaches to the end.
    fn comment(&mut self) -> Token<'a> {
        let rest = &self.source[self.at..];
        let (inside, close) = if rest.starts_with("<!--") { (4, "-->") } else { (2, ">") };
        // `<!-->` and `<!--->` are comments too.
        let from = if close == "-->" { self.at + inside - 2 } else { self.at + inside };
        let end = self.seek(from, |bytes| bytes.starts_with(close.as_bytes()));
        self.at = end.map_or(self.source.len(), |end| end + close.len());
        Token::Comment
    }

    fn end_tag(&mut self) -> Token<'a> {
        let start = self.at + 2;
        let name_end = self.seek(start, |bytes| ends_name(bytes[0])).unwrap_or(self.source.len());
        let end = self.seek(name_end, |bytes| bytes[0] == b'>');
        self.at = end.map_or(self.source.len(), |end| end + 1);
        Token::End { name: &self.source[start..name_end] }
    }

    fn raw_text(&mut self, name: &str) -> Token<'a> {
        let start = self.at;
        let end = self.seek(start, |bytes| {
            bytes.starts_with(b"</")
                && bytes.get(2..2 + name.len()).is_some_and(|found| found.eq_ignore_ascii_case(name.as_bytes()))
                && bytes.get(2 + name.len()).is_none_or(|after| ends_name(*after))
        });
        self.at = end.unwrap_or(self.source.len());
        Token::RawText(start..self.at)
    }

    fn start_tag(&mut self) -> Token<'a> {
        let at = self.at;
        let name_end = self.seek(at + 1, |bytes| ends_name(bytes[0])).unwrap_or(self.source.len());
        let name = &self.source[at + 1..name_end];
        let mut element =
            Element { at, name, attributes: Vec::new(), has_expressions: name.contains("{{"), is_closed: false };
        self.at = name_end;
        if !self.attributes(&mut element) {
            self.at = self.source.len();
            return Token::Broken(at);
        }
        if element.is(RAW_TEXT) {
            self.raw = Some(name);
        }
        Token::Start(element)
    }

    /// Reads to past the `>`; false where there is none.
    fn attributes(&mut self, element: &mut Element<'a>) -> bool {
        let bytes = self.source.as_bytes();
        let mut depth = 0usize;
        while let Some(byte) = bytes.get(self.at).copied() {
            if let Some(tag) = self.tag_at(self.at) {
                element.has_expressions |= tag.kind != TagKind::Comment;
                match tag.kind {
                    TagKind::Open | TagKind::OpenPartial => depth += 1,
                    TagKind::Close => depth = depth.saturating_sub(1),
                    _ => {}
                }
                self.at = tag.end;
                continue;
            }
            match byte {
                b'>' => {
                    self.at += 1;
                    return true;
                }
                b'/' => {
                    element.is_closed = bytes.get(self.at + 1) == Some(&b'>');
                    self.at += 1;
                }
                _ if byte.is_ascii_whitespace() => self.at += 1,
                _ => match self.attribute(depth > 0) {
                    Some(attribute) => {
                        element.has_expressions |= attribute.name.contains("{{");
                        element.attributes.push(attribute);
                    }
                    None => return false,
                },
            }
        }
        false
    }

    fn attribute(&mut self, is_conditional: bool) -> Option<Attribute<'a>> {
        let bytes = self.source.as_bytes();
        let start = self.at;
        // A name may begin with `=`, and only there has one.
        let mut name_end = self.seek(start + 1, |bytes| bytes[0] == b'=' || ends_name(bytes[0]))?;
        // A block that follows a name directly belongs to what comes next: `<td a{{#if b}} c{{/if}}>`.
        let following = &self.tags[self.tags.partition_point(|tag| tag.start <= start)..];
        if let Some(tag) = following.iter().take_while(|tag| tag.start < name_end).find(|tag| tag.kind.is_branch()) {
            name_end = tag.start;
        }
        let name = &self.source[start..name_end];
        let spaces = |from: usize| from + bytes[from..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let equals = spaces(name_end);
        if bytes.get(equals) != Some(&b'=') {
            self.at = name_end;
            return Some(Attribute {
                name,
                span: start..name_end,
                value: name_end..name_end,
                quote: None,
                is_conditional,
            });
        }
        let value_start = spaces(equals + 1);
        let (value, quote, end) = match bytes.get(value_start)? {
            quote @ (b'"' | b'\'') => {
                let end = self.seek(value_start + 1, |bytes| bytes[0] == *quote)?;
                (value_start + 1..end, Some(*quote), end + 1)
            }
            _ => {
                let end = self.seek(value_start, |bytes| bytes[0] == b'>' || bytes[0].is_ascii_whitespace())?;
                (value_start..end, None, end)
            }
        };
        self.at = end;
        Some(Attribute { name, span: start..end, value, quote, is_conditional })
    }
}

impl<'a> Iterator for Markup<'a, '_> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        if let Some(name) = self.raw.take() {
            return Some(self.raw_text(name));
        }
        let rest = &self.source.as_bytes()[self.at..];
        if let Some(tag) = self.tag_at(self.at) {
            self.at = tag.end;
            return Some(Token::Expression(tag));
        }
        Some(match rest {
            [] => return None,
            [b'<', b'!' | b'?', ..] => self.comment(),
            [b'<', b'/', letter, ..] if letter.is_ascii_alphabetic() => self.end_tag(),
            [b'<', b'/', after, ..] if *after != b'{' => self.comment(),
            [b'<', letter, ..] if letter.is_ascii_alphabetic() => self.start_tag(),
            _ => self.text(),
        })
    }
}

fn begins_markup(bytes: &[u8]) -> bool {
    match bytes {
        [b'<', b'!' | b'?', ..] => true,
        [b'<', b'/', after, ..] => *after != b'{',
        [b'<', after, ..] => after.is_ascii_alphabetic(),
        _ => false,
    }
}

fn ends_name(byte: u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, b'/' | b'>')
}
