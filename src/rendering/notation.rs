//! Notations of Handlebars that the parser does not know, in words that it does: `{{#name}}` and `{{^name}}` about a variable
//! become calls of a helper, `{{.}}` becomes `{{this}}`, and `..` alone becomes `../this`.

use std::borrow::Cow;

use handlebars::Template;
use handlebars::template::TemplateElement;

use super::error::SyntaxProblem;

/// The helpers that sections call. A template has no use for these names.
pub(super) const SECTION: &str = "$section";
pub(super) const INVERSE: &str = "$inverse";

/// Some bytes of a source, and what stands in their place.
pub(super) struct Edit {
    pub(super) at: usize,
    pub(super) removed: usize,
    pub(super) put: &'static str,
}

/// A source as the parser gets it.
#[derive(Debug)]
pub(super) struct Source<'a> {
    pub(super) text: Cow<'a, str>,
    /// In the order of the source.
    shifts: Vec<Shift>,
}

#[derive(Debug)]
struct Shift {
    /// Where the edit begins, in the source as the parser gets it.
    line: usize,
    column: usize,
    /// How many characters longer the line is behind it, all its edits together.
    grown: isize,
}

impl<'a> Source<'a> {
    /// `edits`: in the order of the source, none within another, none over a line break.
    pub(super) fn edit(source: &'a str, edits: &[Edit]) -> Self {
        if edits.is_empty() {
            return Self { text: Cow::Borrowed(source), shifts: Vec::new() };
        }
        let mut text = String::with_capacity(source.len() + edits.len() * 16);
        let mut shifts = Vec::with_capacity(edits.len());
        let (mut from, mut line, mut column, mut grown) = (0, 1, 1, 0);
        for edit in edits {
            let before = &source[from..edit.at];
            if let Some(line_end) = before.rfind('\n') {
                line += before.matches('\n').count();
                (column, grown) = (1 + before[line_end + 1..].chars().count(), 0);
            } else {
                column += before.chars().count();
            }
            let removed = &source[edit.at..edit.at + edit.removed];
            text.push_str(before);
            text.push_str(edit.put);
            let put = edit.put.chars().count();
            grown += put as isize - removed.chars().count() as isize;
            shifts.push(Shift { line, column, grown });
            column += put;
            from = edit.at + edit.removed;
        }
        text.push_str(&source[from..]);
        Self { text: Cow::Owned(text), shifts }
    }

    /// The same problem, with its place in the source as it was written.
    pub(super) fn problem(&self, problem: SyntaxProblem) -> SyntaxProblem {
        SyntaxProblem { column: self.column(problem.line, problem.column), ..problem }
    }

    /// Gives all of a template the places in the source as it was written.
    pub(super) fn place(&self, template: &mut Template) {
        if self.shifts.is_empty() {
            return;
        }
        for place in &mut template.mapping {
            place.1 = self.column(place.0, place.1);
        }
        for element in &mut template.elements {
            let branches = match element {
                TemplateElement::HelperBlock(call) => [call.template.as_mut(), call.inverse.as_mut()],
                TemplateElement::PartialBlock(call) | TemplateElement::DecoratorBlock(call) => {
                    [call.template.as_mut(), None]
                }
                _ => [None, None],
            };
            branches.into_iter().flatten().for_each(|branch| self.place(branch));
        }
    }

    fn column(&self, line: usize, column: usize) -> usize {
        let before = self.shifts.partition_point(|shift| (shift.line, shift.column) < (line, column));
        let last = before.checked_sub(1).map(|last| &self.shifts[last]).filter(|shift| shift.line == line);
        column.saturating_add_signed(-last.map_or(0, |shift| shift.grown)).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_those_of_the_source_as_it_was_written() {
        let source = "é{{.}}\n{{.}}{{#a}}{{b}}{{/a}}x\n{{c}}";
        let edit = |what: &str, removed, put| {
            source.match_indices(what).map(move |(at, _)| Edit { at: at + 2, removed, put }).collect::<Vec<_>>()
        };
        let mut edits = edit("{{.}}", 1, "this");
        edits.extend(edit("{{#a}}", 1, "#$section "));
        edits.extend(edit("{{/a}}", 2, "/$section"));
        let edited = Source::edit(source, &edits);
        assert_eq!(edited.text, "é{{this}}\n{{this}}{{#$section a}}{{b}}{{/$section}}x\n{{c}}");
        for (line, column, expected) in [(1, 2, 2), (2, 1, 1), (2, 9, 6), (2, 24, 12), (2, 42, 23), (3, 1, 1)] {
            assert_eq!(edited.column(line, column), expected, "{line}:{column}");
        }
    }
}
