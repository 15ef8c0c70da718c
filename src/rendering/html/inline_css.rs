//! Style rules become `style` attributes, since many mail programs read nothing else.
//!
//! Constraints: the source is a template. Its expressions stand wherever text may: between `<table>` and `<tr>`, in
//! values, between attributes. A parser of HTML would move or drop them. And it may be a fragment that a frame is put
//! around, whose rules are for it too.
//!
//! So the inliner gets a [`Skeleton`]: the start and end tags only, within those of the frames, each element with its
//! number. It says which declarations each element gets, and those are put into the source at that place. Whatever
//! else the source holds stays as it is, byte for byte.
//!
//! Rules that were inlined leave the `style` element only where the source shows every element that the message can
//! have: not with classes from the data, raw values, or partials. Rules that need the reader's program (`:hover`,
//! `@media`), and rules that depend on the data, always stay. An element's own `style` comes last, so it wins as before.

use std::collections::BTreeSet;
use std::ops::Range;

use css_inline::CSSInliner;

use super::super::error::SyntaxProblem;
use super::css::{Fill, Rule};
use super::markup::{Markup, Token};
use super::skeleton::{MARK, Place, RuleText, Skeleton};
use super::tags::{TagKind, tags};

/// The most tags times bytes of rules: what the time of matching grows with. 20 KB of rules for 1000 elements.
const MATCHES_MAX: usize = 40_000_000;

/// The most properties that rules may name: the inliner looks through those of an element for each declaration.
const PROPERTIES_MAX: usize = 128;

/// The longest result. Gmail shows no more than 102 KB of a message.
const RESULT_MAX: usize = 256 * 1024;

/// Inlines the rules of a source's `style` elements, and of the frames that it stands in (`{{#> frame}}…{{/frame}}`).
///
/// `frames` has the sources of partials by name, as HTML. The expressions of the source come out in the same order;
/// values within declarations are repeated wherever the declarations go.
///
/// # Errors
///
/// A place and a reason, where the source cannot be read or an element cannot get its declarations.
pub fn inline_css<'f>(source: &str, frames: &'f dyn Fn(&str) -> Option<&'f str>) -> Result<String, SyntaxProblem> {
    let skeleton = Skeleton::new(source, frames)?;
    if skeleton.css.is_empty() || skeleton.places.is_empty() {
        return Ok(source.to_owned());
    }
    if let Some(detail) = too_much(&skeleton) {
        return Err(SyntaxProblem::at(source, 0, detail));
    }
    let placeholders = Placeholders::new(&skeleton);
    let everywhere = declarations(source, &skeleton, &placeholders, |fill| fill != Fill::Here)?;
    let here = match skeleton.css.iter().any(|rule| rule.fill == Fill::Here) {
        true => Some(declarations(source, &skeleton, &placeholders, |_| true)?),
        false => None,
    };
    let mut edits = Vec::new();
    for (number, place) in skeleton.places.iter().enumerate() {
        let found = match &here {
            Some(here) if !place.is_moved => &here[number],
            _ => &everywhere[number],
        };
        if let Some(declared) = found {
            edits.push(edit(source, place, &placeholders.fill_in(declared))?);
        }
    }
    if !skeleton.is_partly_unknown {
        edits.extend(removals(source, &skeleton));
    }
    let longer: usize = edits.iter().map(|(_, text)| text.len()).sum();
    if source.len() + longer > RESULT_MAX {
        let detail = format!("more than {RESULT_MAX} bytes with its style rules in its elements");
        return Err(SyntaxProblem::at(source, 0, detail));
    }
    Ok(apply(source, edits))
}

/// Why inlining would take too long, if it would.
fn too_much(skeleton: &Skeleton<'_, '_>) -> Option<String> {
    let bytes: usize = skeleton.css.iter().map(|rule| rule.text.len()).sum();
    if bytes * skeleton.html.matches('<').count() > MATCHES_MAX {
        return Some("too many style rules for so many elements: write some of them as `style` attributes".into());
    }
    let blocks = skeleton.css.iter().filter_map(|rule| rule.text.split_once('{'));
    let declarations = blocks.flat_map(|(_, block)| block.split(';')).filter_map(|one| one.split_once(':'));
    let names: BTreeSet<&str> = declarations.map(|(name, _)| name.trim()).collect();
    (names.len() > PROPERTIES_MAX).then(|| format!("style rules with more than {PROPERTIES_MAX} different properties"))
}

/// The declarations for each element, as they stand in a value between `"`; `None`: there are none.
fn declarations(
    source: &str,
    skeleton: &Skeleton<'_, '_>,
    placeholders: &Placeholders,
    wanted: impl Fn(Fill) -> bool,
) -> Result<Vec<Option<String>>, SyntaxProblem> {
    let css: Vec<_> =
        skeleton.css.iter().filter(|rule| wanted(rule.fill)).map(|rule| placeholders.hide(rule)).collect();
    let inliner = CSSInliner::options()
        .load_remote_stylesheets(false)
        .resolve_css_variables(true)
        .extra_css(Some(css.concat().into()))
        .build();
    let context = context(&skeleton.html);
    let html = inliner
        .inline(&format!("{context}{}", skeleton.html))
        .map_err(|error| SyntaxProblem::at(source, 0, format!("the style rules cannot be read: {error}")))?;
    let mut found: Vec<Option<Option<String>>> = vec![None; skeleton.places.len()];
    for token in Markup::new(&html, &[]) {
        let Token::Start(element) = token else { continue };
        let value = |name| element.attribute(name).map(|attribute| &html[attribute.value.clone()]);
        let number = value(MARK).and_then(|number| number.parse::<usize>().ok());
        if let Some(place) = number.and_then(|number| found.get_mut(number)) {
            *place = Some(value("style").map(|style| style.trim().trim_end_matches(';').to_owned()));
        }
    }
    if let Some(lost) = found.iter().position(Option::is_none) {
        let detail = "an element where HTML does not allow it, which mail programs drop: \
                      a row needs a table, and a cell a row";
        return Err(SyntaxProblem::at(source, skeleton.places[lost].at, detail));
    }
    Ok(found.into_iter().flatten().collect())
}

/// What a fragment has to stand in so that its first elements are allowed.
fn context(html: &str) -> &'static str {
    let first = html[1..].split([' ', '>']).next().unwrap_or_default().to_ascii_lowercase();
    match first.as_str() {
        "tr" => "<table><tbody>",
        "td" | "th" => "<table><tbody><tr>",
        "tbody" | "thead" | "tfoot" | "caption" | "colgroup" => "<table>",
        "col" => "<table><colgroup>",
        "option" | "optgroup" => "<select>",
        _ => "",
    }
}

type Edit = (Range<usize>, String);

/// Puts declarations into an element, before its own.
fn edit(source: &str, place: &Place<'_>, declared: &str) -> Result<Edit, SyntaxProblem> {
    let Some(own) = &place.style else {
        return Ok((place.name_end..place.name_end, format!(" style=\"{declared}\"")));
    };
    if own.is_conditional {
        let detail = "a `style` within a block, on an element that style rules are for: put the block into its value, \
                      `style=\"{{#if a}}…{{/if}}\"`";
        return Err(SyntaxProblem::at(source, own.span.start, detail));
    }
    let value = source[own.value.clone()].trim();
    let separator = if value.is_empty() { "" } else { ";" };
    let text = match own.quote {
        Some(b'\'') => format!("style='{}{separator}{value}'", declared.replace('\'', "&#39;")),
        _ => format!("style=\"{declared}{separator}{value}\""),
    };
    Ok((own.span.clone(), text))
}

/// Takes the rules out that every element got; selectors that are still open keep theirs.
fn removals<'s>(source: &'s str, skeleton: &'s Skeleton<'_, '_>) -> impl Iterator<Item = Edit> + 's {
    // Custom properties may be asked for by the rules that stay.
    let goes = |rule: &&Rule| {
        rule.fill == Fill::None && !rule.settled.is_empty() && !source[rule.block.clone()].contains("--")
    };
    skeleton.own.iter().filter(goes).map(|rule| {
        let open: Vec<_> = rule.open.iter().map(|one| &source[one.clone()]).collect();
        match open.is_empty() {
            true => (rule.span.clone(), String::new()),
            false => (rule.span.start..rule.block.start, format!("{} ", open.join(", "))),
        }
    })
}

fn apply(source: &str, mut edits: Vec<Edit>) -> String {
    edits.sort_by_key(|(span, _)| span.start);
    let mut text = String::with_capacity(source.len() * 2);
    let mut from = 0;
    for (span, replacement) in edits {
        text.push_str(&source[from..span.start]);
        text.push_str(&replacement);
        from = span.end;
    }
    text.push_str(&source[from..]);
    text
}

/// Words that stand for the expressions in declarations while the inliner reads them.
struct Placeholders {
    /// Occurs in no rule.
    word: String,
    expressions: Vec<String>,
}

impl Placeholders {
    fn new(skeleton: &Skeleton<'_, '_>) -> Placeholders {
        let mut word = String::from("filled");
        while skeleton.css.iter().any(|rule| rule.text.contains(&word)) {
            word.push('x');
        }
        let mut expressions = Vec::new();
        for rule in skeleton.css.iter().filter(|rule| rule.fill != Fill::None) {
            for tag in tags(&rule.text).unwrap_or_default() {
                let text = &rule.text[tag.start..tag.end];
                if tag.kind != TagKind::Comment && !expressions.iter().any(|known| known == text) {
                    expressions.push(text.to_owned());
                }
            }
        }
        Placeholders { word, expressions }
    }

    fn word(&self, number: usize) -> String {
        format!("{}{number}z", self.word)
    }

    fn hide(&self, rule: &RuleText) -> String {
        let mut text = String::new();
        let mut from = 0;
        for tag in tags(&rule.text).unwrap_or_default() {
            text.push_str(&rule.text[from..tag.start]);
            let expression = &rule.text[tag.start..tag.end];
            if let Some(number) = self.expressions.iter().position(|known| known == expression) {
                text.push_str(&self.word(number));
            }
            from = tag.end;
        }
        text.push_str(&rule.text[from..]);
        text
    }

    fn fill_in(&self, declared: &str) -> String {
        let mut text = String::with_capacity(declared.len());
        let mut rest = declared;
        while let Some(at) = rest.find(&self.word) {
            let number = &rest[at + self.word.len()..];
            let number = &number[..number.find('z').unwrap_or(0)];
            text.push_str(&rest[..at]);
            if let Some(expression) = number.parse().ok().and_then(|number: usize| self.expressions.get(number)) {
                text.push_str(expression);
            }
            rest = rest[at + self.word.len() + number.len()..].strip_prefix('z').unwrap_or_default();
        }
        text.push_str(rest);
        text
    }
}
