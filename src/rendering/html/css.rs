//! A style sheet taken apart as far as inlining needs it: which rules can become `style` attributes, and which cannot.

use std::ops::Range;

use super::tags::{Tag, TagKind};

/// One rule, by its places in the source.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rule {
    pub span: Range<usize>,
    /// With its braces.
    pub block: Range<usize>,
    /// Selectors that say of an element itself, as it stands in the source, whether the rule is for it.
    pub settled: Vec<Range<usize>>,
    /// Selectors that only the reader's program can decide: `a:hover`.
    pub open: Vec<Range<usize>>,
    /// What its declarations are filled from.
    pub fill: Fill,
}

/// Expressions in the declarations of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fill {
    None,
    /// Values that mean the same everywhere in a message: `{{@root.colour}}`.
    Anywhere,
    /// Values that mean the same where no block or partial lies between.
    Here,
}

/// The rules of one `style` element that may be inlined, at least for some of their selectors.
///
/// At-rules, rules within blocks or with blocks, raw values and nested rules stay what they are.
pub(super) fn rules(source: &str, span: Range<usize>, tags: &[Tag<'_>], siblings_are_known: bool) -> Vec<Rule> {
    let from = tags.partition_point(|tag| tag.start < span.start);
    let to = tags.partition_point(|tag| tag.start < span.end);
    let mut sheet = Sheet { source, end: span.end, tags: &tags[from..to], siblings_are_known };
    sheet.rules(span.start)
}

struct Sheet<'a> {
    source: &'a str,
    end: usize,
    tags: &'a [Tag<'a>],
    siblings_are_known: bool,
}

impl Sheet<'_> {
    fn rules(&mut self, mut at: usize) -> Vec<Rule> {
        let mut found = Vec::new();
        let mut depth = 0usize;
        while at < self.end {
            let rest = &self.source[at..self.end];
            if let Some(tag) = self.tag_at(at) {
                match tag.kind {
                    TagKind::Open | TagKind::OpenPartial => depth += 1,
                    TagKind::Close => depth = depth.saturating_sub(1),
                    _ => {}
                }
                at = tag.end;
            } else if rest.starts_with("/*") {
                at = self.comment_end(at);
            } else if let Some(mark) = ["<!--", "-->"].into_iter().find(|mark| rest.starts_with(mark)) {
                at += mark.len();
            } else if rest.starts_with(|c: char| c.is_ascii_whitespace() || matches!(c, ';' | '}')) {
                at += 1;
            } else {
                let Some(brace) = self.find(at..self.end, b"{;") else { break };
                if rest.starts_with('@') && self.source.as_bytes()[brace] == b';' {
                    at = brace + 1;
                    continue;
                }
                let Some(brace) = self.find(at..self.end, b"{") else { break };
                let Some(end) = self.block_end(brace) else { break };
                if !rest.starts_with('@') && depth == 0 {
                    found.extend(self.rule(at..brace, brace..end));
                }
                at = end;
            }
        }
        found
    }

    fn rule(&self, prelude: Range<usize>, block: Range<usize>) -> Option<Rule> {
        let inside = block.start + 1..block.end - 1;
        if self.find(inside.clone(), b"{").is_some() {
            return None;
        }
        let fill = self.fill(inside)?;
        let span = prelude.start..block.end;
        let (settled, open) = self.selectors(prelude).into_iter().partition(|one| self.is_settled(one.clone()));
        Some(Rule { span, block, settled, open, fill })
    }

    /// `None` for expressions that cannot be carried into an attribute.
    fn fill(&self, inside: Range<usize>) -> Option<Fill> {
        let mut fill = Fill::None;
        for tag in self.tags.iter().filter(|tag| inside.contains(&tag.start)) {
            match tag.kind {
                TagKind::Comment => {}
                TagKind::Value if tag.name.starts_with("@root.") && fill != Fill::Here => fill = Fill::Anywhere,
                TagKind::Value => fill = Fill::Here,
                _ => return None,
            }
        }
        Some(fill)
    }

    fn selectors(&self, prelude: Range<usize>) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        let mut from = prelude.start;
        while let Some(comma) = self.find(from..prelude.end, b",") {
            found.push(from..comma);
            from = comma + 1;
        }
        found.push(from..prelude.end);
        for range in &mut found {
            let text = &self.source[range.clone()];
            range.start += text.len() - text.trim_start().len();
            range.end = range.start + text.trim().len();
        }
        found
    }

    /// Whether the source alone says which elements a selector is for.
    fn is_settled(&self, selector: Range<usize>) -> bool {
        let text = &self.source[selector.clone()];
        if text.is_empty() || text.contains(['\\', '&', '|']) || text.contains("/*") {
            return false;
        }
        if self.tags.iter().any(|tag| selector.contains(&tag.start)) {
            return false;
        }
        let mut rest = text;
        while let Some(at) = rest.find(['[', ':', '+', '~']) {
            let mark = rest.as_bytes()[at];
            rest = &rest[at + 1..];
            match mark {
                // Texts in an attribute selector may hold anything.
                b'[' => match rest.find(']') {
                    Some(end) if !rest[..end].contains('[') => rest = &rest[end + 1..],
                    _ => return false,
                },
                b':' if rest.starts_with("root") && rest[4..].trim_start().is_empty() => {}
                b':' => match structural_end(rest) {
                    Some(end) if self.siblings_are_known => rest = &rest[end..],
                    _ => return false,
                },
                _ if !self.siblings_are_known => return false,
                _ => {}
            }
        }
        true
    }

    fn tag_at(&self, at: usize) -> Option<&Tag<'_>> {
        self.tags.binary_search_by_key(&at, |tag| tag.start).ok().map(|found| &self.tags[found])
    }

    fn comment_end(&self, at: usize) -> usize {
        self.source[at + 2..self.end].find("*/").map_or(self.end, |end| at + 2 + end + 2)
    }

    /// The first of these bytes that stands by itself: not in a text, a comment, brackets or an expression.
    fn find(&self, within: Range<usize>, wanted: &[u8]) -> Option<usize> {
        let bytes = self.source.as_bytes();
        let mut at = within.start;
        let mut brackets = 0usize;
        while at < within.end {
            let byte = bytes[at];
            if byte == b'{'
                && let Some(tag) = self.tag_at(at)
            {
                at = tag.end;
                continue;
            }
            if brackets == 0 && wanted.contains(&byte) {
                return Some(at);
            }
            match byte {
                b'(' | b'[' => brackets += 1,
                b')' | b']' => brackets = brackets.saturating_sub(1),
                // A brace ends what was left open, as browsers recover.
                b'{' | b'}' => brackets = 0,
                b'"' | b'\'' => at = self.quote_end(at),
                b'/' if self.source[at..].starts_with("/*") => {
                    at = self.comment_end(at);
                    continue;
                }
                b'\\' => at += 1,
                _ => {}
            }
            at += 1;
        }
        None
    }

    fn quote_end(&self, start: usize) -> usize {
        let bytes = self.source.as_bytes();
        let mut at = start + 1;
        while at < self.end && bytes[at] != bytes[start] && bytes[at] != b'\n' {
            at = match self.tag_at(at) {
                Some(tag) => tag.end,
                None if bytes[at] == b'\\' => at + 2,
                None => at + 1,
            };
        }
        at
    }

    /// Past the brace that closes the one at `open`.
    fn block_end(&self, open: usize) -> Option<usize> {
        let mut depth = 0usize;
        let mut at = open;
        loop {
            at = self.find(at..self.end, b"{}")?;
            if self.source.as_bytes()[at] == b'{' {
                depth += 1
            } else {
                depth -= 1
            }
            at += 1;
            if depth == 0 {
                return Some(at);
            }
        }
    }
}

/// Where a pseudo-class ends that asks for the place among siblings; `None`: it is another.
fn structural_end(text: &str) -> Option<usize> {
    let name_end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(text.len());
    match &text[..name_end] {
        "first-child" | "last-child" | "only-child" | "first-of-type" | "last-of-type" | "only-of-type" => {
            Some(name_end)
        }
        "nth-child" | "nth-last-child" | "nth-of-type" | "nth-last-of-type" => {
            let arguments = text[name_end..].strip_prefix('(')?;
            let end = arguments.find(')')?;
            // `+` in `2n+1` is no sibling; ` of .name` has a selector of its own.
            (!arguments[..end].contains("of")).then_some(name_end + 1 + end + 1)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tags::tags;
    use super::*;

    /// The selectors that can be inlined and those that cannot, of each rule.
    fn check(css: &str, expected: &[(&str, &str)]) {
        let found = rules(css, 0..css.len(), &tags(css).unwrap(), false);
        let join = |ranges: &[Range<usize>]| ranges.iter().map(|one| &css[one.clone()]).collect::<Vec<_>>().join(",");
        let seen: Vec<_> = found.iter().map(|rule| (join(&rule.settled), join(&rule.open))).collect();
        let seen: Vec<_> = seen.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        assert_eq!(seen, expected, "{css}");
    }

    #[test]
    fn rules_and_their_selectors_are_told_apart() {
        check("a{color:red} .b , #c > p{x:y}", &[("a", ""), (".b,#c > p", "")]);
        check("a, a:hover { color: red }", &[("a", "a:hover")]);
        check(
            "a::before{x:y} p:first-child{x:y} h1 + p{x:y}",
            &[("", "a::before"), ("", "p:first-child"), ("", "h1 + p")],
        );
        check("/* a{ */ <!-- b{x:'}'} --> c{x:\"{\"}", &[("b", ""), ("c", "")]);
        check("a[href=\"x:y,z\"]{x:y} b:not(.c){x:y}", &[("a[href=\"x:y,z\"]", ""), ("", "b:not(.c)")]);
    }

    #[test]
    fn what_is_no_plain_rule_stays() {
        check("@media (max-width: 600px) { a{x:y} } @import url(a;b); b{x:y}", &[("b", "")]);
        check("@font-face{x:y} a{x:y; b{x:y}} c{x:y}", &[("c", "")]);
        check("a{x:y", &[]);
        check("a}b{x:y}", &[("a}b", "")]);
        check("{{#if dark}} a{x:y} {{else}} b{x:y} {{/if}} c{x:y}", &[("c", "")]);
        check("a{ {{#if b}}x:y{{/if}} } .{{b}}{x:y} c{x:{{d}}} e{x:{{{f}}}}", &[("", ".{{b}}"), ("c", "")]);
    }

    #[test]
    fn siblings_count_where_they_are_known() {
        let css = "tr:nth-child(2n+1) td{x:y} h1 + p{x:y} p:nth-child(2 of .a){x:y}";
        let found = rules(css, 0..css.len(), &[], true);
        assert_eq!(found.iter().map(|rule| rule.settled.len()).collect::<Vec<_>>(), [1, 1, 0]);
    }

    #[test]
    fn expressions_in_declarations_are_known_by_where_they_mean_the_same() {
        let css = "a{x:{{b}}} c{x:{{@root.b}}} d{x:{{!-- b --}}y} e{x:{{@root.b}} {{default b \"}\"}}}";
        let found = rules(css, 0..css.len(), &tags(css).unwrap(), false);
        let fills: Vec<_> = found.iter().map(|rule| rule.fill).collect();
        assert_eq!(fills, [Fill::Here, Fill::Anywhere, Fill::None, Fill::Here]);
    }
}
