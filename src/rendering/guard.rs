//! What a source may be, before it is parsed.
//!
//! The parser goes down the stack for every level of nesting and looks at the whole source for every tag, so a source of
//! nothing but `{{#if a}}` would end the process and one of nothing but `{{a}}` would keep a core busy. Here the tags
//! are found in one pass and counted. The pass must see every tag exactly as the parser does, or it could be talked into
//! counting too few; so the few notations that would need more than one pass are refused: partials, decorators, raw
//! blocks, object literals, and brackets that hold quotes or brackets. None of them is needed for a message.

use super::error::SyntaxProblem;

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

/// Refuses what must not be given to the parser. What passes may still be no template: that is the parser's to say.
pub(super) fn inspect(source: &str) -> Result<(), SyntaxProblem> {
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
        None => Ok(()),
    }
}

fn walk(source: &str) -> Result<Guard<'_>, SyntaxProblem> {
    let bytes = source.as_bytes();
    let mut guard = Guard { source, bytes, tags: 0, inside: 0, depth: 0, deepest: 0, blocks: Vec::new() };
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
    blocks: Vec<Block>,
}

struct Block {
    /// Where it was opened.
    at: usize,
    /// How much it adds to the depth.
    depth: usize,
}

impl Guard<'_> {
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
            Some(b'>') => return Err((at, "partials are not supported".into())),
            Some(b'*') => return Err((at, "decorators are not supported".into())),
            Some(b'#') => {
                start = self.skip_spaces(start + 1);
                match self.byte(start) {
                    Some(b'>') => return Err((at, "partials are not supported".into())),
                    Some(b'*') => return Err((at, "decorators are not supported".into())),
                    _ => self.open_block(at)?,
                }
            }
            Some(b'/') => self.close_block(at)?,
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

    fn open_block(&mut self, at: usize) -> Result<(), Refusal> {
        self.blocks.push(Block { at, depth: 0 });
        self.deepen(at)
    }

    fn close_block(&mut self, at: usize) -> Result<(), Refusal> {
        let Some(block) = self.blocks.pop() else {
            return Err((at, "the end of a block that was not opened".into()));
        };
        self.depth -= block.depth;
        Ok(())
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
    fn body_end(&self, at: usize, mut from: usize) -> Result<usize, Refusal> {
        let mut calls = 0usize;
        while let Some(byte) = self.byte(from) {
            match byte {
                b'}' if self.byte(from + 1) == Some(b'}') => return Ok(from + 2),
                b'{' => return Err((from, "a brace within an expression".into())),
                b'(' => calls += 1,
                b')' => calls = calls.saturating_sub(1),
                b'"' | b'\'' => from = self.quote_end(from, byte)?,
                b'[' => from = self.bracket_end(from)?,
                _ => {}
            }
            if calls > CALLS_MAX {
                return Err((from, format!("calls more than {CALLS_MAX} deep")));
            }
            from += 1;
        }
        Err((at, "an expression that is not closed".into()))
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
mod tests {
    use handlebars::Template;
    use handlebars::template::TemplateElement;
    use proptest::prelude::*;

    use super::*;

    fn check(source: &str, expected: &str) {
        let refusal = inspect(source).err().map_or(String::new(), |problem| problem.detail.into());
        let shown: String = source.chars().take(60).collect();
        if expected.is_empty() {
            assert_eq!(refusal, "", "{shown}");
        } else {
            assert!(refusal.contains(expected), "{shown}: {refusal}");
        }
    }

    #[test]
    fn ordinary_templates_pass() {
        for source in [
            "",
            "no tags at all }} ]",
            "Hello {{name}}, {{ user.name }} {{a.[0].b}} {{~ b ~}} {{{c}}} {{&d}} {{~{e}~}}",
            "{{#if a}}x{{else if b}}y{{else}}z{{/if}}{{#each list}}{{@index}}{{this}}{{/each}}",
            "{{default (upper (lower name)) \"}} and {{ in a text\"}}",
            "{{! a comment {{#if a}} {{!-- another {{#if a}} }} --}} \\{{#if escaped",
        ] {
            check(source, "");
        }
    }

    #[test]
    fn blocks_may_stand_in_each_other_but_not_without_end() {
        check(&format!("{}{}", "{{#if a}}".repeat(32), "{{/if}}".repeat(32)), "");
        check(&"{{#if a}}{{/if}}".repeat(400), "");
        check(&"{{#if a}}".repeat(33), "deep");
        check(&"{{ ~ \n# if a}}".repeat(33), "deep");
        check(&format!("{{{{#if a}}}}{}", "{{else if a}}".repeat(32)), "deep");
        check(&format!("{{{{#if a}}}}{}", "{{^ if a}}".repeat(32)), "deep");
    }

    #[test]
    fn what_only_looks_like_the_end_of_a_block_is_not_counted_as_one() {
        for fake in ["{{!-- {{/if}} --}}", "{{! -- {{/if}} --}}", "\\{{/if}}", "{{a \"{{/if}}\"}}", "{{a '}}{{/if}}'}}"]
        {
            check(&format!("{{{{#if a}}}}{fake}").repeat(33), "deep");
        }
    }

    #[test]
    fn calls_may_stand_in_each_other_but_not_without_end() {
        check("{{a (a (a (a (a (a (a (a (a b))))))))}}", "");
        check(&format!("{{{{a {}", "(a ".repeat(10_000)), "deep");
        check("{{a.[\"] \"}} ((((((((((((\" }}", "within brackets");
    }

    #[test]
    fn notations_that_are_not_supported_are_named() {
        check("{{> header}}", "partials");
        check("{{~ > header}}", "partials");
        check("{{#> layout}}{{/layout}}", "partials");
        check("{{# > layout}}{{/layout}}", "partials");
        check("{{#*inline \"a\"}}{{/inline}}", "decorators");
        check("{{* a}}", "decorators");
        check("{{{{raw}}}}{{a}}{{{{/raw}}}}", "raw blocks");
        check("{{a {\"b\": 1}}}", "brace");
        check("{{a [[1]]}}", "within brackets");
    }

    #[test]
    fn what_is_never_closed_is_refused() {
        check("Hello {{name", "not closed");
        check("{{a \"b}}", "not closed");
        check("{{a.[b}}", "not closed");
        check("{{", "not closed");
        check("a {{#if a}} b", "a block that is not closed");
        check("a {{/if}} b", "not opened");
    }

    #[test]
    fn a_source_may_be_long_and_have_many_tags_but_not_without_end() {
        check(&"{{a}}".repeat(1000), "");
        check(&"{{a}}".repeat(1001), "more than 1000");
        check(&" ".repeat(128 * 1024 + 1), "longer than");
        check(&format!("{{{{a {}}}}}", "(b c) ".repeat(6000)), "bytes of expressions");
        check(&format!("{}{}", " ".repeat(100 * 1024), "{{a}}".repeat(150)), "");
        check(&format!("{}{}", " ".repeat(100 * 1024), "{{a}}".repeat(200)), "too many expressions");
    }

    #[test]
    fn a_refusal_says_where() {
        let problem = inspect("first line\nsécond {{> header}}").expect_err("a partial");
        assert_eq!((problem.line, problem.column), (2, 8));
    }

    /// How deep the parser finds blocks in blocks.
    fn parsed_depth(template: &Template) -> usize {
        let depth = |element: &TemplateElement| match element {
            TemplateElement::HelperBlock(call) => {
                let branches = [&call.template, &call.inverse];
                1 + branches.into_iter().flatten().map(parsed_depth).max().unwrap_or(0)
            }
            _ => 0,
        };
        template.elements.iter().map(depth).max().unwrap_or(0)
    }

    /// Sources that are templates more often than not, with everything in them that could be misread.
    fn any_source() -> impl Strategy<Value = String> {
        let tag = prop::sample::select(vec![
            "{{a}}",
            "{{{a}}}",
            "{{~{a}~}}",
            "{{a.[\"]}}",
            "{{a.['] \" }}\"}}",
            "{{a \"{{/if}}\"}}",
            "{{a '\\'{{/if}}'}}",
            "{{a [1, 2]}}",
            "{{!-- {{/if}} --}}",
            "{{! -- {{/if}} --}}",
            "{{! }}",
            "{{!--}} {{/if}} --}}",
            "{{!-- }}",
            "\\{{/if}}",
            "\\\\{{a}}",
            "\\{{{{/if}}",
            "x\\",
            "{{^}}",
            "{{else}}",
            "{{elsea}}",
            "{{ else if b }}",
            "{{~^if c}}",
            "{{a (if b (if c d))}}",
            "}}",
            "}",
            "{",
            " ",
            "\n",
            "--",
            "{{/if}}",
            "{{#if a}}",
            "{{a '}}{{/if}}'}}",
        ]);
        let leaf = prop::collection::vec(tag, 0..4).prop_map(|tags| tags.concat());
        leaf.prop_recursive(4, 32, 4, |inner| {
            (inner.clone(), inner.clone(), inner).prop_map(|(a, b, c)| format!("{a}{{{{#if a}}}}{b}{{{{ ~/if}}}}{c}"))
        })
    }

    proptest! {
        #[test]
        fn the_guard_never_counts_less_than_the_parser_finds(source in any_source()) {
            if let (Ok(guard), Ok(template)) = (walk(&source), Template::compile(&source)) {
                prop_assert!(guard.deepest >= parsed_depth(&template), "{}", source);
                prop_assert!(guard.tags >= template.mapping.len() / 2, "{}", source);
            }
        }
    }
}
