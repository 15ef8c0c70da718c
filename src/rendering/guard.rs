//! What a source may be, before it is parsed.
//!
//! The parser goes down the stack for every level of nesting and looks at the whole source for every tag, so a source of
//! nothing but `{{#if a}}` would end the process and one of nothing but `{{a}}` would keep a core busy. Here the tags
//! are found in one pass and counted. The pass must see every tag exactly as the parser does, or it could be talked into
//! counting too few; so the few notations that would need more than one pass are refused: decorators but `#*inline`, raw
//! blocks, names of partials that are no plain words, object literals, and brackets that hold quotes or brackets. None of
//! them is needed for a message.

use super::error::SyntaxProblem;
use super::helpers;
use super::notation::{Edit, INVERSE, SECTION, Source};

/// The longest source of one part with tags. Gmail shows no more than 102 KB of a message.
const SOURCE_MAX: usize = 128 * 1024;

/// The most tags in one part.
const TAGS_MAX: usize = 1000;

/// The most tags times bytes: what the time of parsing grows with. 40 ms at worst; a mail of 100 KB may have 160 tags.
const TAG_BYTES_MAX: usize = 16 << 20;

/// The most bytes within tags, all together: a microsecond of parsing each.
const INSIDE_MAX: usize = 32 * 1024;

/// How deep blocks may stand in each other; every `else if` counts, since it is a block within the block.
const BLOCKS_MAX: usize = 32;

/// How deep helper calls may stand in each other.
const CALLS_MAX: usize = 8;

/// Refuses what must not be given to the parser, and gives back what it is to get. What passes may still be no template:
/// that is the parser's to say.
pub(super) fn inspect(source: &str) -> Result<Source<'_>, SyntaxProblem> {
    let edits = within_bounds(source)?;
    let edited = Source::edit(source, &edits);
    // What the parser gets is what must be within the bounds.
    if !edits.is_empty() && !within_bounds(&edited.text).map_err(|problem| edited.problem(problem))?.is_empty() {
        return Err(SyntaxProblem::at(source, edits[0].at, "an expression that cannot be read"));
    }
    Ok(edited)
}

fn within_bounds(source: &str) -> Result<Vec<Edit>, SyntaxProblem> {
    if source.len() > SOURCE_MAX {
        let detail = format!("longer than {SOURCE_MAX} bytes, which is the most for a part with expressions");
        return Err(SyntaxProblem::at(source, 0, detail));
    }
    let guard = walk(source)?;
    if guard.tags * source.len() > TAG_BYTES_MAX {
        return Err(SyntaxProblem::at(source, 0, "too many expressions for a part of this length"));
    }
    match guard.blocks.last() {
        Some(block) => Err(SyntaxProblem::at(source, block.at, "a block that is not closed")),
        None => Ok(guard.edits),
    }
}

fn walk(source: &str) -> Result<Guard<'_>, SyntaxProblem> {
    let bytes = source.as_bytes();
    let (blocks, edits) = (Vec::new(), Vec::new());
    let mut guard = Guard { source, bytes, tags: 0, inside: 0, depth: 0, deepest: 0, blocks, edits };
    let mut from = 0;
    while let Some(found) = source[from..].find("{{") {
        from = guard.tag(from, from + found).map_err(|(at, detail)| SyntaxProblem::at(source, at, detail))?;
    }
    Ok(guard)
}

type Refusal = (usize, String);

struct Guard<'a> {
    source: &'a str,
    bytes: &'a [u8],
    tags: usize,
    inside: usize,
    depth: usize,
    deepest: usize,
    blocks: Vec<Block<'a>>,
    /// What the parser is to get in other words.
    edits: Vec<Edit>,
}

struct Block<'a> {
    /// Where it was opened.
    at: usize,
    /// How much it adds to the depth.
    depth: usize,
    /// The variable that it is a section of, and the helper that it becomes a call of.
    section: Option<(&'a str, &'static str)>,
}

impl<'a> Guard<'a> {
    /// Looks at the tag whose braces stand at `at`, in text that began at `text_start`; returns where text goes on.
    fn tag(&mut self, text_start: usize, at: usize) -> Result<usize, Refusal> {
        let backslashes = self.bytes[text_start..at].iter().rev().take_while(|byte| **byte == b'\\').count();
        // One backslash makes the braces text; of more the last one is not what escapes them.
        if backslashes == 1 {
            let after = at + 2;
            return Ok(if self.source[after..].starts_with("{{") { after + 2 } else { after });
        }
        self.tags += 1;
        if self.tags > TAGS_MAX {
            return Err((at, format!("more than {TAGS_MAX} expressions in one part")));
        }
        if self.byte(at + 2) == Some(b'!') {
            return Ok(self.comment_end(at));
        }
        let mut start = self.skip_spaces(at + 2);
        if self.byte(start) == Some(b'~') {
            start = self.skip_spaces(start + 1);
        }
        match self.byte(start) {
            Some(b'{') if self.byte(start + 1) == Some(b'{') => {
                return Err((at, "raw blocks are not supported".into()));
            }
            Some(b'{') => start += 1,
            Some(b'>') => start = self.partial_name(at, start + 1)?,
            Some(b'*') => return Err((at, "there is no decorator but `#*inline`".into())),
            Some(b'#' | b'^') if let Some(section) = self.section(start) => {
                start = self.open_section(at, start, section)?;
            }
            Some(b'#') => {
                start = self.skip_spaces(start + 1);
                match self.byte(start) {
                    Some(b'>') => {
                        start = self.partial_name(at, start + 1)?;
                        self.open_block(at)?;
                    }
                    Some(b'*') => {
                        start = self.skip_spaces(start + 1);
                        if !self.source[start..].starts_with("inline") {
                            return Err((at, "there is no decorator but `#*inline`".into()));
                        }
                        self.open_block(at)?;
                    }
                    _ => self.open_block(at)?,
                }
            }
            Some(b'/') => start = self.close_block(at, start)?,
            Some(b'^') => self.next_branch(at, start + 1)?,
            _ if self.source[start..].starts_with("else") => self.next_branch(at, start + 4)?,
            _ => {}
        }
        let end = self.body_end(at, start)?;
        self.inside += end - at;
        if self.inside > INSIDE_MAX {
            return Err((at, format!("more than {INSIDE_MAX} bytes of expressions in one part")));
        }
        Ok(end)
    }

    /// Where the name of a partial ends: a plain word, for a call or a text there would have braces of its own.
    fn partial_name(&self, at: usize, from: usize) -> Result<usize, Refusal> {
        let start = self.skip_spaces(from);
        let is_name = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(**byte, b'.' | b'-' | b'_' | b'@' | b'/');
        let length = self.bytes[start..].iter().take_while(is_name).count();
        match self.byte(start + length) {
            Some(b' ' | b'\t' | b'\r' | b'\n' | b'}' | b'~') if length > 0 => Ok(start + length),
            _ => Err((at, "a partial is named by a word of letters, digits, dots, dashes and underscores".into())),
        }
    }

    fn open_block(&mut self, at: usize) -> Result<(), Refusal> {
        self.blocks.push(Block { at, depth: 0, section: None });
        self.deepen(at)
    }

    /// The variable that the block beginning with `#` or `^` at `sigil` is about, if it names nothing else and no helper.
    fn section(&self, sigil: usize) -> Option<&'a str> {
        let start = self.skip_spaces(sigil + 1);
        let name = self.word(start);
        let is_last = matches!(self.byte(self.skip_spaces(start + name.len())), Some(b'}' | b'~'));
        let is_path = |byte: &u8| !b"\"'()[]{=|>*&!#^".contains(byte);
        let is_literal =
            matches!(name, "true" | "false" | "null") || name.starts_with(|first: char| first.is_ascii_digit());
        let is_section = !name.is_empty() && !is_literal && is_last && name.as_bytes().iter().all(is_path);
        (is_section && !helpers::NAMES.contains(&name)).then_some(name)
    }

    /// Returns where its name stands.
    fn open_section(&mut self, at: usize, sigil: usize, name: &'a str) -> Result<usize, Refusal> {
        let (helper, put) = match self.byte(sigil) {
            Some(b'^') => (INVERSE, "#$inverse "),
            _ => (SECTION, "#$section "),
        };
        self.edits.push(Edit { at: sigil, removed: 1, put });
        self.blocks.push(Block { at, depth: 0, section: Some((name, helper)) });
        self.deepen(at)?;
        Ok(self.skip_spaces(sigil + 1))
    }

    /// Returns where the tag goes on.
    fn close_block(&mut self, at: usize, sigil: usize) -> Result<usize, Refusal> {
        let Some(block) = self.blocks.pop() else {
            return Err((at, "the end of a block that was not opened".into()));
        };
        self.depth -= block.depth;
        let Some((section, helper)) = block.section else { return Ok(sigil) };
        let start = self.skip_spaces(sigil + 1);
        if self.word(start) != section {
            return Err((at, format!("the end of another block than the one about `{section}`")));
        }
        self.edits.push(Edit { at: start, removed: section.len(), put: helper });
        Ok(start + section.len())
    }

    /// What stands at `start`, up to a space or the end of the tag.
    fn word(&self, start: usize) -> &'a str {
        let is_word = |byte: &&u8| !byte.is_ascii_whitespace() && !matches!(**byte, b'}' | b'~');
        let length = self.bytes[start..].iter().take_while(is_word).count();
        &self.source[start..start + length]
    }

    /// An `else` with a condition is a block within the block; a plain one, whose tag ends at `after`, is not.
    fn next_branch(&mut self, at: usize, after: usize) -> Result<(), Refusal> {
        match self.byte(self.skip_spaces(after)) {
            Some(b'}' | b'~') => Ok(()),
            _ => self.deepen(at),
        }
    }

    fn deepen(&mut self, at: usize) -> Result<(), Refusal> {
        if let Some(block) = self.blocks.last_mut() {
            block.depth += 1;
            self.depth += 1;
            self.deepest = self.deepest.max(self.depth);
        }
        if self.depth > BLOCKS_MAX {
            return Err((at, format!("blocks more than {BLOCKS_MAX} deep")));
        }
        Ok(())
    }

    /// A comment that starts with two dashes ends with two dashes, if it can; any other ends with its first braces.
    fn comment_end(&self, at: usize) -> usize {
        let start = self.skip_spaces(at + 3);
        if self.source[start..].starts_with("--")
            && let Some(end) = self.source[start + 2..].find("--}}")
        {
            return start + 2 + end + 4;
        }
        self.source[at + 3..].find("}}").map_or(self.source.len(), |end| at + 3 + end + 2)
    }

    /// Where the tag at `at` ends, whose inside starts at `from`.
    fn body_end(&mut self, at: usize, mut from: usize) -> Result<usize, Refusal> {
        let mut calls = 0usize;
        while let Some(byte) = self.byte(from) {
            match byte {
                b'}' if self.byte(from + 1) == Some(b'}') => return Ok(from + 2),
                b'{' => return Err((from, "a brace within an expression".into())),
                b'(' => calls += 1,
                b')' => calls = calls.saturating_sub(1),
                b'"' | b'\'' => from = self.quote_end(from, byte)?,
                b'[' => from = self.bracket_end(from)?,
                b'.' => self.dots(from),
                _ => {}
            }
            if calls > CALLS_MAX {
                return Err((from, format!("calls more than {CALLS_MAX} deep")));
            }
            from += 1;
        }
        Err((at, "an expression that is not closed".into()))
    }

    /// Dots that are a whole path: the parser wants a word behind them.
    fn dots(&mut self, at: usize) {
        let is_border = |byte: Option<u8>| byte.is_none_or(|byte| b" \t\r\n{}()~=&#^".contains(&byte));
        if !is_border(self.byte(at - 1)) {
            return;
        }
        if is_border(self.byte(at + 1)) {
            self.edits.push(Edit { at, removed: 1, put: "this" });
        } else if self.byte(at + 1) == Some(b'.') && is_border(self.byte(at + 2)) {
            self.edits.push(Edit { at, removed: 2, put: "../this" });
        }
    }

    fn quote_end(&self, start: usize, quote: u8) -> Result<usize, Refusal> {
        let mut at = start + 1;
        while let Some(byte) = self.byte(at) {
            match byte {
                b'\\' => at += 1,
                _ if byte == quote => return Ok(at),
                _ => {}
            }
            at += 1;
        }
        Err((start, "a text that is not closed".into()))
    }

    fn bracket_end(&self, start: usize) -> Result<usize, Refusal> {
        for (offset, byte) in self.bytes[start + 1..].iter().enumerate() {
            match byte {
                b']' => return Ok(start + 1 + offset),
                b'[' | b'"' | b'\'' => return Err((start, "quotes or brackets within brackets".into())),
                _ => {}
            }
        }
        Err((start, "a bracket that is not closed".into()))
    }

    fn skip_spaces(&self, from: usize) -> usize {
        let spaces = self.bytes[from..].iter().take_while(|byte| matches!(**byte, b' ' | b'\t' | b'\r' | b'\n'));
        from + spaces.count()
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.bytes.get(at).copied()
    }
}

#[cfg(test)]
mod tests;
