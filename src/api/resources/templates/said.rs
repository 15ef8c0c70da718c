//! What a body says about a template.

use std::sync::Arc;

use serde_json::value::RawValue;

use crate::api::problem::Problem;
use crate::api::profile::{Fields, Problems};
use crate::domain::{TEMPLATE_CODE_RULE, TemplateSource};
use crate::templates::{TemplateProblem, is_code};

/// Where the template stands in a body.
pub(super) const TEMPLATE: &str = "/template";

/// The longest comment: a sentence or two.
const COMMENT_BYTES_MAX: usize = 500;

/// What `take` finds in the fields of a body, which has no others; an empty body has none.
pub(super) fn read<'a, T>(text: &'a str, take: impl FnOnce(&mut Fields<'a>, &mut Problems) -> T) -> Result<T, Problem> {
    let text = if text.trim_ascii().is_empty() { "{}" } else { text };
    let mut fields = Fields::read(text, "").map_err(|problem| Problem::fields(vec![problem]))?;
    let mut problems = Problems::default();
    let taken = take(&mut fields, &mut problems);
    fields.end(&mut problems);
    problems.or(taken).map_err(Problem::fields)
}

/// The same of one field that must be there: without it there is a problem.
pub(super) fn read_one<'a, T>(
    text: &'a str,
    take: impl FnOnce(&mut Fields<'a>, &mut Problems) -> Option<T>,
) -> Result<T, Problem> {
    read(text, take)?.ok_or_else(Problem::not_found)
}

/// The template in the body.
pub(super) fn template(raw: Option<&RawValue>) -> Result<Arc<TemplateSource>, Problem> {
    let refused = |problem| Err(Problem::templates(&[problem], TEMPLATE));
    let Some(raw) = raw else { return refused(TemplateProblem::new("", "is required")) };
    match serde_json::from_str(raw.get()) {
        Ok(source) => Ok(Arc::new(source)),
        Err(error) => {
            let detail = error.to_string();
            // The place has fields of its own.
            let detail = detail.rsplit_once(" at line ").map_or(&*detail, |(detail, _)| detail);
            let place = |number: usize| u32::try_from(number).ok().filter(|number| *number > 0);
            refused(TemplateProblem {
                line: place(error.line()),
                column: place(error.column()),
                ..TemplateProblem::new("", detail)
            })
        }
    }
}

/// A template and why it is saved.
pub(super) struct Saved {
    pub(super) source: Arc<TemplateSource>,
    pub(super) comment: Option<Box<str>>,
}

impl Saved {
    /// `code`: that of the address, which the template must have.
    pub(super) fn read(text: &str, code: Option<&str>) -> Result<Self, Problem> {
        let (raw, comment) = read(text, |fields, problems| (fields.take("template"), comment(fields, problems)))?;
        let source = template(raw)?;
        if code.is_some_and(|code| *code != *source.code) {
            let problem = TemplateProblem::new("/code", "is another than in the address");
            return Err(Problem::templates(&[problem], TEMPLATE));
        }
        Ok(Self { source, comment })
    }
}

pub(super) fn comment(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<Box<str>> {
    let comment = fields.text("comment", problems, |text| match text.len() {
        0..=COMMENT_BYTES_MAX => Ok(Box::from(text)),
        _ => Err(format!("must have at most {COMMENT_BYTES_MAX} bytes")),
    });
    comment.flatten()
}

/// A code that somebody wants to give.
pub(super) fn new_code(text: &str) -> Result<Box<str>, String> {
    if is_code(text) {
        return Ok(text.into());
    }
    Err(TEMPLATE_CODE_RULE.to_owned())
}

/// A version that must be there.
pub(super) fn version(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<u32> {
    let pointer = fields.pointer("version");
    let value = fields.value("version", problems)?;
    let version = value.as_u64().and_then(|number| u32::try_from(number).ok());
    problems.check(&pointer, version.ok_or("must be the number of a version"))
}
