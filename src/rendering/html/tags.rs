//! Where the expressions of a source stand: what the pipeline carries through unread.

/// One expression, braces and all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag<'a> {
    pub start: usize,
    pub end: usize,
    pub kind: TagKind,
    /// The first word within: of a value its path or helper, of a block its helper or partial.
    pub name: &'a str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TagKind {
    /// `{{a}}`: a text that is escaped.
    Value,
    /// `{{{a}}}`, `{{&a}}`: a text that may be markup.
    Raw,
    Comment,
    /// `{{#if a}}`
    Open,
    /// `{{else}}`, `{{^}}`
    Else,
    /// `{{/if}}`
    Close,
    /// `{{> a}}`
    Partial,
    /// `{{#> a}}`
    OpenPartial,
}

impl TagKind {
    /// Whether it decides what is written, and writes nothing itself.
    pub(super) fn is_branch(self) -> bool {
        matches!(self, TagKind::Open | TagKind::Else | TagKind::Close | TagKind::OpenPartial)
    }
}

/// The expressions of a source, in order; the offset and the reason where one cannot be told.
pub(super) fn tags(source: &str) -> Result<Vec<Tag<'_>>, (usize, &'static str)> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(braces) = source[from..].find("{{") {
        let at = from + braces;
        let backslashes = source.as_bytes()[from..at].iter().rev().take_while(|byte| **byte == b'\\').count();
        // One backslash makes the braces text, as in the parser of the expressions.
        if backslashes == 1 {
            from = if source[at + 2..].starts_with("{{") { at + 4 } else { at + 2 };
            continue;
        }
        let tag = tag(source, at)?;
        from = tag.end;
        found.push(tag);
    }
    Ok(found)
}

fn tag(source: &str, at: usize) -> Result<Tag<'_>, (usize, &'static str)> {
    if source[at + 2..].starts_with('!') {
        return Ok(Tag { start: at, end: comment_end(source, at), kind: TagKind::Comment, name: "" });
    }
    let inside = source[at + 2..].trim_start();
    let inside = inside.strip_prefix('~').unwrap_or(inside).trim_start();
    let (kind, rest) = match inside.as_bytes().first() {
        Some(b'{') if inside.starts_with("{{") => return Err((at, "raw blocks are not supported")),
        Some(b'{' | b'&') => (TagKind::Raw, &inside[1..]),
        Some(b'>') => (TagKind::Partial, &inside[1..]),
        Some(b'/') => (TagKind::Close, &inside[1..]),
        Some(b'^') => (TagKind::Else, &inside[1..]),
        Some(b'#') => match inside[1..].trim_start().strip_prefix('>') {
            Some(rest) => (TagKind::OpenPartial, rest),
            None => (TagKind::Open, &inside[1..]),
        },
        _ => (TagKind::Value, inside),
    };
    let name = first_word(rest);
    let kind = if kind == TagKind::Value && name == "else" { TagKind::Else } else { kind };
    let from = source.len() - rest.len();
    let Some(end) = body_end(source.as_bytes(), from) else { return Err((at, "an expression that is not closed")) };
    // Raw braces end with three; the parser says so if they do not.
    let braces = usize::from(inside.starts_with('{') && source[end..].starts_with('}'));
    Ok(Tag { start: at, end: end + braces, kind, name })
}

fn first_word(text: &str) -> &str {
    let text = text.trim_start();
    let end = text.find(|c: char| c.is_ascii_whitespace() || matches!(c, '}' | '~' | '(' | ')' | '"' | '\''));
    &text[..end.unwrap_or(text.len())]
}

/// A comment that starts with two dashes ends with two dashes, if it can; any other ends with its first braces.
fn comment_end(source: &str, at: usize) -> usize {
    let after = source[at + 3..].trim_start();
    if let Some(inside) = after.strip_prefix("--")
        && let Some(end) = inside.find("--}}")
    {
        return source.len() - inside.len() + end + 4;
    }
    source[at + 3..].find("}}").map_or(source.len(), |end| at + 3 + end + 2)
}

/// Past the braces that close an expression; those within its texts and brackets do not.
fn body_end(bytes: &[u8], mut from: usize) -> Option<usize> {
    while let Some(byte) = bytes.get(from) {
        match byte {
            b'}' if bytes.get(from + 1) == Some(&b'}') => return Some(from + 2),
            b'"' | b'\'' => from = quote_end(bytes, from)?,
            b'[' => from += bytes[from..].iter().position(|byte| *byte == b']')?,
            _ => {}
        }
        from += 1;
    }
    None
}

fn quote_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    while bytes.get(at)? != &bytes[start] {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_told_and_ends_where_the_parser_ends_it() {
        use TagKind::*;
        for (source, kind, name) in [
            ("{{a}}", Value, "a"),
            ("{{ ~ a.b ~}}", Value, "a.b"),
            ("{{default (upper a) \"}}\"}}", Value, "default"),
            ("{{a.[}}]}}", Value, "a.[}}]"),
            ("{{{a}}}", Raw, "a"),
            ("{{~{a}~}}", Raw, "a"),
            ("{{&a}}", Raw, "a"),
            ("{{! a }}", Comment, ""),
            ("{{!-- }} --}}", Comment, ""),
            ("{{#if a}}", Open, "if"),
            ("{{else if b}}", Else, "else"),
            ("{{^}}", Else, ""),
            ("{{/if}}", Close, "if"),
            ("{{> footer}}", Partial, "footer"),
            ("{{# > frame a=\"b\"}}", OpenPartial, "frame"),
        ] {
            let text = format!("x \\{{{{ {source} y");
            let found = tags(&text).unwrap_or_else(|problem| panic!("{source}: {problem:?}"));
            let seen: Vec<_> = found.iter().map(|tag| (&text[tag.start..tag.end], tag.kind)).collect();
            assert_eq!(seen, [(source, kind)], "{source}");
            if !name.contains('}') {
                assert_eq!(found[0].name, name, "{source}");
            }
        }
        assert_eq!(tags("a {{b").unwrap_err().0, 2);
        assert_eq!(tags("a {{b \"}}").unwrap_err().0, 2);
        assert_eq!(tags("{{{{raw}}}}").unwrap_err().0, 0);
    }
}
