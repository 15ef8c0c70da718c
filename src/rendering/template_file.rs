//! One template as a TOML file: its code, its parts, and its variables with an example each.

use std::fmt;
use std::ops::Range;

use handlebars::Context;
use serde::Deserialize;
use toml::Spanned;

use super::catalog::Template;
use super::engine::Engine;
use super::error::{Part, RenderError, SyntaxProblem, line_column};
use super::program::Program;

/// What is wrong with a file, and where in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileProblem {
    pub line: usize,
    pub column: usize,
    pub detail: String,
}

impl fmt::Display for FileProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.detail)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TemplateFile {
    code: Spanned<String>,
    #[serde(default)]
    category: Option<Box<str>>,
    title: Spanned<String>,
    body: Spanned<String>,
    #[serde(default)]
    html: Option<Spanned<String>>,
    #[serde(default)]
    sms: Option<Spanned<String>>,
    /// Each variable with an example, with which the template is tried when it is loaded.
    #[serde(default)]
    variables: toml::Table,
}

/// Reads and compiles a template, and renders it once with the examples of its variables.
pub(super) fn read(text: &str, engine: &Engine) -> Result<Template, FileProblem> {
    let file: TemplateFile = toml::from_str(text).map_err(|error| {
        let detail = error.message().to_owned();
        at(text, error.span().unwrap_or(0..0), detail)
    })?;
    let code = file.code.get_ref();
    if !is_code(code) {
        let detail = "a code has 1 to 100 letters, digits, dots, dashes and underscores".to_owned();
        return Err(at(text, file.code.span(), detail));
    }
    let examples = serde_json::to_value(&file.variables)
        .map_err(|error| at(text, 0..0, format!("the variables are no JSON: {error}")))?;
    let examples = Context::from(examples);

    let sources = [Some(&file.title), Some(&file.body), file.html.as_ref(), file.sms.as_ref()];
    let mut programs = [const { None }; 4];
    for (part, source) in Part::ALL.into_iter().zip(sources) {
        let Some(source) = source else { continue };
        // The line break before the closing quotes belongs to the file, not to the message.
        let program = Program::compile(source.get_ref().trim_end())
            .map_err(|problem| within(text, source.span(), part, &problem))?;
        engine.run(&program, part, &examples).map_err(|error| at(text, source.span(), trial(&error)))?;
        programs[part as usize] = Some(program);
    }
    Ok(Template { code: code.as_str().into(), category: file.category, programs })
}

fn is_code(code: &str) -> bool {
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    (1..=100).contains(&code.len()) && code.bytes().all(is_fit)
}

fn trial(error: &RenderError) -> String {
    match error {
        RenderError::MissingVariable { part, variable } => {
            format!("{part}: `{variable}` is not in the template's [variables]: add it with an example")
        }
        other => other.to_string(),
    }
}

fn at(text: &str, span: Range<usize>, detail: String) -> FileProblem {
    let (line, column) = line_column(text, span.start);
    FileProblem { line, column, detail }
}

/// Where in the file a problem of a part stands: exactly, unless the text before it on its line has escapes.
fn within(text: &str, span: Range<usize>, part: Part, problem: &SyntaxProblem) -> FileProblem {
    let value = text.get(span.clone()).unwrap_or_default();
    let (line, column) = line_column(text, span.start);
    let quotes = if value.starts_with("\"\"\"") || value.starts_with("'''") { 3 } else { 1 };
    let starts_on_next_line = quotes == 3 && value[3..].trim_start_matches('\r').starts_with('\n');
    let line = line + problem.line - 1 + usize::from(starts_on_next_line);
    let is_first_line = problem.line == 1 && !starts_on_next_line;
    let column = if is_first_line { column + quotes + problem.column - 1 } else { problem.column };
    FileProblem { line, column, detail: format!("{part}: {}", problem.detail) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let shown = match read(text, &Engine::new(4096)) {
            Ok(template) => template.code.to_string(),
            Err(problem) => problem.to_string(),
        };
        assert!(shown.starts_with(expected), "{shown}");
    }

    #[test]
    fn a_template_has_a_code_a_title_and_a_body_and_examples_of_its_variables() {
        check("code = \"a\"\ntitle = \"t\"\nbody = \"b\"", "a");
        check(
            "code = \"a.b_c-d\"\ntitle = \"{{x}}\"\nbody = \"{{y.z}}\"\n[variables]\nx = 1\ny = { z = [1] }",
            "a.b_c-d",
        );
    }

    #[test]
    fn what_is_no_template_file_is_refused_where_it_is_wrong() {
        check("code = \"a\"\ntitle = \"t\"", "line 1, column 1: missing field `body`");
        check("code = \"a\"\ntitle = \"t\"\nbody = \"b\"\ntext = \"c\"", "line 4, column 1: unknown field `text`");
        check("code = \"../a\"\ntitle = \"t\"\nbody = \"b\"", "line 1, column 8: a code has");
        check("code = \"a\"\ntitle = t\n", "line 2, column 9");
    }

    #[test]
    fn a_part_that_is_no_template_is_refused_where_it_is_wrong() {
        let part = |body: &str| format!("code = \"a\"\ntitle = \"t\"\nbody = {body}\n[variables]\nx = \"X\"\n");
        check(&part("\"{{x}} {{#if x}}\""), "line 3, column 15: body: a block that is not closed");
        check(&part("\"{{x}} {{shout x}}\""), "line 3, column 15: body: there is no helper `shout`");
        check(&part("\"\"\"\nHello\n{{> header}}\"\"\""), "line 5, column 1: body: partials are not supported");
        check(&part("'''Hello\nthere {{shout x}}'''"), "line 4, column 7: body: there is no helper");
        check(&part("\"{{y}}\""), "line 3, column 8: body: `y` is not in the template's [variables]");
    }
}
