//! What decides which rules of a style sheet are for which element: the elements of a source, without all else.
//!
//! The inliner gets this in the source's place. So nothing of the source passes through a parser of HTML: no expression
//! can be moved out of a table, no entity or conditional comment rewritten, no tag of a fragment dropped.

use std::ops::Range;

use super::super::error::SyntaxProblem;
use super::css::{self, Fill};
use super::markup::{Attribute, Element, Markup, Token, VOID, is_one_of};
use super::tags::{Tag, TagKind, tags};

/// How deep elements may stand in each other; the deepest mails of layout tables have some 60.
const DEPTH_MAX: usize = 120;

/// How deep frames may stand in each other.
const FRAMES_MAX: usize = 8;

/// How many frames may be read for one source, those of frames included.
const FRAMES_READ_MAX: usize = 64;

/// The attribute by which an element is found again.
pub(super) const MARK: &str = "data-place";

/// Stands in a skeleton where the content of a frame goes; no source may hold it.
const CONTENT: char = '\0';

/// Elements that nothing is drawn of, and so no style is for.
const UNSEEN: &[&str] = &["head", "title", "meta", "link", "base", "script", "style", "template"];

/// The sources of partials by name.
pub(super) type Frames<'f> = &'f dyn Fn(&str) -> Option<&'f str>;

pub(super) struct Skeleton<'a, 'f> {
    source: &'a str,
    frames: Frames<'f>,
    /// How many frames this source is within.
    level: usize,
    /// How many frames may still be read.
    frames_left: usize,
    /// Start and end tags, as the inliner reads them.
    pub html: String,
    /// The rules that may be inlined, those of frames first.
    pub css: Vec<RuleText>,
    /// Of the source itself, by number.
    pub places: Vec<Place<'a>>,
    /// Rules of the source itself, with the number of selectors that elements of the source can settle.
    pub own: Vec<css::Rule>,
    /// Whether the message may have elements, or names of elements, that this source does not show.
    pub is_partly_unknown: bool,
}

/// A rule for the inliner.
pub(super) struct RuleText {
    pub text: String,
    pub fill: Fill,
}

/// An element of the source.
pub(super) struct Place<'a> {
    pub at: usize,
    /// Past its name: where an attribute can be put in.
    pub name_end: usize,
    /// Its own `style`.
    pub style: Option<Attribute<'a>>,
    /// Whether names mean something else here than at the top of the source.
    pub is_moved: bool,
}

/// What is open where the walk is.
struct Walk<'a> {
    open: Vec<&'a str>,
    /// Elements closed while others in them were open: a parser may see them stay open.
    crossed: usize,
    blocks: Vec<Block>,
}

struct Block {
    /// The rest of the frame, if the block is one.
    after: Option<String>,
    /// Whether names mean something else within.
    moves: bool,
    is_condition: bool,
}

impl<'a, 'f> Skeleton<'a, 'f> {
    pub(super) fn new(source: &'a str, frames: Frames<'f>) -> Result<Skeleton<'a, 'f>, SyntaxProblem> {
        let skeleton = Self::at_level(source, frames, 0, FRAMES_READ_MAX)?;
        // With its frames around it a source is deeper than by itself.
        let mut walk = Walk { open: Vec::new(), crossed: 0, blocks: Vec::new() };
        for token in Markup::new(&skeleton.html, &[]) {
            match token {
                Token::Start(element) if !element.is(VOID) => walk.push(element.name),
                Token::End { name } => walk.pop(name),
                _ => {}
            }
            if walk.depth() > DEPTH_MAX {
                return Err(SyntaxProblem::at(source, 0, too_deep()));
            }
        }
        Ok(skeleton)
    }

    fn at_level(
        source: &'a str,
        frames: Frames<'f>,
        level: usize,
        frames_left: usize,
    ) -> Result<Skeleton<'a, 'f>, SyntaxProblem> {
        let tags = tags(source).map_err(|(at, detail)| SyntaxProblem::at(source, at, detail))?;
        if let Some(at) = source.find(CONTENT) {
            return Err(SyntaxProblem::at(source, at, "a control character, which HTML does not have"));
        }
        let mut skeleton = Skeleton {
            source,
            frames,
            level,
            frames_left,
            html: String::new(),
            css: Vec::new(),
            places: Vec::new(),
            own: Vec::new(),
            is_partly_unknown: false,
        };
        let mut walk = Walk { open: Vec::new(), crossed: 0, blocks: Vec::new() };
        let siblings_are_known = !tags.iter().any(|tag| !matches!(tag.kind, TagKind::Value | TagKind::Comment));
        let mut style = false;
        for token in Markup::new(source, &tags) {
            match token {
                Token::Start(element) => {
                    style = element.is(&["style"]) && is_for_all(source, &element);
                    style &= !walk.blocks.iter().any(|block| block.is_condition);
                    skeleton.start(&mut walk, &element)?;
                }
                Token::RawText(span) if style => skeleton.style(span, &tags, siblings_are_known),
                Token::End { name } => skeleton.end(&mut walk, name),
                Token::Expression(tag) => skeleton.expression(&mut walk, tag)?,
                Token::Broken(at) => return Err(SyntaxProblem::at(source, at, "a tag that is not closed by `>`")),
                Token::Text(_) | Token::RawText(_) | Token::Comment => {}
            }
        }
        Ok(skeleton)
    }

    fn start(&mut self, walk: &mut Walk<'a>, element: &Element<'a>) -> Result<(), SyntaxProblem> {
        if element.name.contains("{{") {
            let detail = "the name of an element must be written out, since style rules are for names";
            return Err(SyntaxProblem::at(self.source, element.at, detail));
        }
        if element.is(UNSEEN) {
            return Ok(());
        }
        self.is_partly_unknown |= element.has_expressions;
        self.html.push('<');
        self.html.push_str(element.name);
        for attribute in &element.attributes {
            self.attribute(attribute);
        }
        if self.level == 0 {
            self.html.push_str(&format!(" {MARK}=\"{}\"", self.places.len()));
            let style = element.attribute("style").cloned();
            self.places.push(Place {
                at: element.at,
                name_end: element.at + 1 + element.name.len(),
                style,
                is_moved: walk.blocks.iter().any(|block| block.moves),
            });
        }
        self.html.push('>');
        if element.is(VOID) {
            return Ok(());
        }
        walk.push(element.name);
        if walk.depth() > DEPTH_MAX {
            return Err(SyntaxProblem::at(self.source, element.at, too_deep()));
        }
        Ok(())
    }

    /// What rules can ask for of an attribute; what depends on the data is left out or stands for itself.
    fn attribute(&mut self, attribute: &Attribute<'a>) {
        let value = &self.source[attribute.value.clone()];
        let name = attribute.name;
        let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b':'));
        if attribute.is_conditional || !is_plain || is_one_of(name, &["style", MARK]) {
            return;
        }
        if value.contains("{{") {
            self.is_partly_unknown = true;
        }
        // `[align={{a}}]` cannot be known; such rules are kept as well.
        let known = if name.eq_ignore_ascii_case("class") { known_words(value) } else { value.to_owned() };
        if known.contains("{{") && name.eq_ignore_ascii_case("id") {
            return;
        }
        let quoted = known.replace('"', "&quot;");
        self.html.push_str(&format!(" {name}=\"{quoted}\""));
    }

    fn end(&mut self, walk: &mut Walk<'a>, name: &str) {
        if is_one_of(name, UNSEEN) || is_one_of(name, VOID) || name.contains("{{") {
            return;
        }
        self.html.push_str(&format!("</{name}>"));
        walk.pop(name);
    }

    fn style(&mut self, span: Range<usize>, tags: &[Tag<'a>], siblings_are_known: bool) {
        for rule in css::rules(self.source, span, tags, siblings_are_known) {
            // What a frame fills in means something else outside of it.
            if !rule.settled.is_empty() && (self.level == 0 || rule.fill != Fill::Here) {
                let selectors: Vec<_> = rule.settled.iter().map(|one| &self.source[one.clone()]).collect();
                let text = format!("{}{}", selectors.join(","), &self.source[rule.block.clone()]);
                self.css.push(RuleText { text, fill: rule.fill });
            }
            if self.level == 0 {
                self.own.push(rule);
            }
        }
    }

    fn expression(&mut self, walk: &mut Walk<'a>, tag: Tag<'a>) -> Result<(), SyntaxProblem> {
        match tag.kind {
            TagKind::Raw => self.is_partly_unknown = true,
            TagKind::Partial => {
                self.is_partly_unknown = true;
                if self.level > 0 && tag.name == "@partial-block" {
                    self.html.push(CONTENT);
                }
            }
            TagKind::OpenPartial => {
                self.is_partly_unknown = true;
                let after = self.frame(tag)?;
                walk.blocks.push(Block { after, moves: false, is_condition: false });
            }
            TagKind::Open => {
                let moves = !matches!(tag.name, "if" | "unless");
                walk.blocks.push(Block { after: None, moves, is_condition: true });
            }
            TagKind::Close => {
                if let Some(Block { after: Some(after), .. }) = walk.blocks.pop() {
                    self.html.push_str(&after);
                }
            }
            TagKind::Value | TagKind::Comment | TagKind::Else => {}
        }
        Ok(())
    }

    /// Puts in what stands before the content of a frame; returns what stands after it.
    fn frame(&mut self, tag: Tag<'a>) -> Result<Option<String>, SyntaxProblem> {
        let Some(source) = (self.frames)(tag.name) else { return Ok(None) };
        let problem = |detail| SyntaxProblem::at(self.source, tag.start, detail);
        if self.level >= FRAMES_MAX || self.frames_left == 0 {
            let detail =
                format!("partials more than {FRAMES_MAX} deep, or more than {FRAMES_READ_MAX} with those in them");
            return Err(problem(detail));
        }
        let frame = Skeleton::at_level(source, self.frames, self.level + 1, self.frames_left - 1)
            .map_err(|within| problem(format!("`{}` cannot be read: {within}", tag.name)))?;
        self.frames_left = frame.frames_left;
        let (before, after) = frame.html.split_once(CONTENT).unwrap_or((&frame.html, ""));
        self.html.push_str(before);
        self.css.extend(frame.css);
        Ok(Some(after.replace(CONTENT, "")))
    }
}

fn too_deep() -> String {
    format!("elements more than {DEPTH_MAX} deep, or as many that are closed in another order")
}

impl<'a> Walk<'a> {
    fn depth(&self) -> usize {
        self.open.len() + self.crossed
    }

    /// Opens an element; those that it ends by itself are closed.
    fn push(&mut self, name: &'a str) {
        while self.open.last().is_some_and(|open| ends_by_itself(open, name)) {
            self.open.pop();
        }
        self.open.push(name);
    }

    fn pop(&mut self, name: &str) {
        let Some(found) = self.open.iter().rposition(|open| open.eq_ignore_ascii_case(name)) else { return };
        self.crossed += self.open[found + 1..].iter().filter(|open| !is_one_of(open, END_TAG_OPTIONAL)).count();
        self.open.truncate(found);
    }
}

/// Elements whose end tag may be left out.
const END_TAG_OPTIONAL: &[&str] =
    &["p", "li", "dt", "dd", "td", "th", "tr", "tbody", "thead", "tfoot", "option", "optgroup", "colgroup"];

/// Whether an open element ends where the other begins, as HTML has it (section 13.1.2.4 of the standard).
fn ends_by_itself(open: &str, next: &str) -> bool {
    const GROUPS: &[&[&str]] = &[
        &["li"],
        &["dt", "dd"],
        &["td", "th"],
        &["td", "th", "tr"],
        &["td", "th", "tr", "tbody", "thead", "tfoot"],
        &["option"],
    ];
    let starts: &[&str] = match GROUPS.iter().position(|group| is_one_of(next, group)) {
        Some(group) => GROUPS[group],
        None if is_one_of(next, &["p", "div", "table", "ul", "ol", "dl", "h1", "h2", "h3", "h4", "h5", "h6"]) => &["p"],
        None => &[],
    };
    is_one_of(open, starts)
}

/// Whether a style sheet is for every reader.
fn is_for_all(source: &str, style: &Element<'_>) -> bool {
    let value = |name| style.attribute(name).map(|attribute| source[attribute.value.clone()].trim());
    let media = value("media").is_none_or(|media| is_one_of(media, &["", "all", "screen"]));
    media && !style.has_expressions && value("type").is_none_or(|kind| is_one_of(kind, &["", "text/css"]))
}

/// The words of a class that are there whatever the data is.
fn known_words(value: &str) -> String {
    const FILLED: char = '\u{1}';
    const BRANCH: char = '\u{2}';
    let Ok(tags) = tags(value) else { return String::new() };
    let (mut all, mut outside, mut depth, mut from) = (String::new(), String::new(), 0usize, 0);
    for tag in &tags {
        let text = &value[from..tag.start];
        all.push_str(text);
        outside.push_str(if depth == 0 { text } else { "" });
        match tag.kind {
            TagKind::Open | TagKind::OpenPartial => depth += 1,
            TagKind::Close => depth = depth.saturating_sub(1),
            _ => {}
        }
        let mark = if tag.kind.is_branch() { BRANCH } else { FILLED };
        all.push(mark);
        outside.push(mark);
        from = tag.end;
    }
    all.push_str(&value[from..]);
    outside.push_str(&value[from..]);
    // Whether no branch begins, or ends, with what would become part of the word beside it.
    let parts = |c: char| c == BRANCH || c.is_ascii_whitespace();
    let begins_apart = all.split(BRANCH).skip(1).all(|text| text.is_empty() || text.starts_with(parts));
    let ends_apart = all.rsplit(BRANCH).skip(1).all(|text| text.is_empty() || text.ends_with(parts));
    let mut known = String::new();
    for word in outside.split_ascii_whitespace() {
        let plain = word.trim_matches(BRANCH);
        let joined = word.ends_with(BRANCH) && !begins_apart || word.starts_with(BRANCH) && !ends_apart;
        if !plain.is_empty() && !plain.contains([BRANCH, FILLED]) && !joined {
            known.push_str(plain);
            known.push(' ');
        }
    }
    known
}

#[cfg(test)]
mod tests {
    use super::known_words;

    #[test]
    fn the_classes_that_an_element_has_in_any_case_are_known() {
        for (class, expected) in [
            ("a b", "a b "),
            ("a {{b}} c{{d}} {{e}}f", "a "),
            ("a{{#if b}} c{{/if}}", "a "),
            ("a {{#if b}}c{{/if}}", "a "),
            ("a {{#if b}}c{{else}}d{{/if}} e", "a e "),
            ("a{{#if b}}c{{/if}}", ""),
            ("{{#if b}}c {{/if}}a", "a "),
            ("{{#if b}}c{{/if}}a", ""),
            ("a{{#if b}} c{{else}}d{{/if}}", ""),
            ("a{{#if b}}{{/if}}c d", "d "),
            ("{{b", ""),
        ] {
            assert_eq!(known_words(class), expected, "{class}");
        }
    }
}
