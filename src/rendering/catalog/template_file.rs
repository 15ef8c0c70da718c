//! One template as a TOML file, in either form: the whole one, with parts by language, or the short one, with the parts of one
//! language at the top and a table of examples.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::domain::{PartSources, TemplateSource, Variable, VariableKind};
use crate::rendering::error::line_column;
use crate::templates::TemplateProblem;

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

/// The short form.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ShortFile {
    code: Box<str>,
    #[serde(default)]
    category: Option<Box<str>>,
    title: Box<str>,
    body: Box<str>,
    #[serde(default)]
    html: Option<Box<str>>,
    #[serde(default)]
    sms: Option<Box<str>>,
    /// Each variable with an example.
    #[serde(default)]
    variables: toml::Table,
}

/// The language of a file in the short form.
const SHORT_LOCALE: &str = "en";

/// The fields that only the short form has.
const SHORT_FIELDS: [&str; 4] = ["title", "body", "html", "sms"];

/// Reads a file. That it can be used as a template is not looked at.
pub fn read(text: &str) -> Result<TemplateSource, FileProblem> {
    let refuse = |error: &toml::de::Error| at(text, error.span().unwrap_or(0..0), error.message().to_owned());
    let table = DeTable::parse(text).map_err(|error| refuse(&error))?;
    if !is_short(table.get_ref()) {
        let mut source: TemplateSource = toml::from_str(text).map_err(|error| refuse(&error))?;
        source.variables.iter_mut().for_each(|variable| write_times(&mut variable.example));
        return Ok(source);
    }
    let file: ShortFile = toml::from_str(text).map_err(|error| refuse(&error))?;
    let mut variables = serde_json::to_value(&file.variables)
        .map_err(|error| at(text, 0..0, format!("the variables are no JSON: {error}")))?;
    write_times(&mut variables);
    let variables = variables.as_object().into_iter().flatten().map(|(name, example)| Variable {
        name: name.as_str().into(),
        kind: VariableKind::Any,
        required: false,
        description: None,
        example: example.clone(),
    });
    // The line break before the closing quotes belongs to the file, not to the message.
    let text = |text: Box<str>| Some(text.trim_end().into());
    let parts = PartSources {
        title: text(file.title),
        body: text(file.body),
        html: file.html.and_then(text),
        sms: file.sms.and_then(text),
        ..Default::default()
    };
    Ok(TemplateSource {
        code: file.code,
        category: file.category,
        default_locale: SHORT_LOCALE.into(),
        variables: variables.collect(),
        locales: BTreeMap::from([(SHORT_LOCALE.into(), parts)]),
        ..TemplateSource::default()
    })
}

/// What TOML has as a time is a text in JSON; the reader of TOML hands it on as an object with this one field.
fn write_times(value: &mut Value) {
    match value {
        Value::Object(fields) => match fields.get("$__toml_private_datetime").and_then(Value::as_str) {
            Some(time) => *value = time.into(),
            None => fields.values_mut().for_each(write_times),
        },
        Value::Array(items) => items.iter_mut().for_each(write_times),
        _ => {}
    }
}

fn is_short(table: &DeTable<'_>) -> bool {
    table.iter().any(|(key, _)| SHORT_FIELDS.contains(&key.get_ref().as_ref()))
}

/// Where in the file a problem of its template stands: exactly, unless the text before it on its line has escapes.
pub fn locate(text: &str, problem: &TemplateProblem) -> FileProblem {
    let detail = match &problem.part {
        Some(part) => format!("{part}: {}", problem.detail),
        None => problem.detail.to_string(),
    };
    let Some(span) = span_of(text, &problem.pointer) else { return at(text, 0..0, detail) };
    match (problem.line, problem.column) {
        (Some(line), Some(column)) => within(text, span, line as usize, column as usize, detail),
        _ => at(text, span, detail),
    }
}

/// The value at a JSON pointer, or what is the nearest above it.
fn span_of(text: &str, pointer: &str) -> Option<Range<usize>> {
    let table = DeTable::parse(text).ok()?;
    let pointer = if is_short(table.get_ref()) {
        pointer.strip_prefix(&format!("/locales/{SHORT_LOCALE}")).unwrap_or(pointer)
    } else {
        pointer
    };
    let mut steps = pointer.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~"));
    let mut value: &Spanned<DeValue<'_>> = table.get_ref().get(steps.next()?.as_str())?;
    for step in steps {
        let next = match value.get_ref() {
            DeValue::Table(table) => table.get(step.as_str()),
            DeValue::Array(items) => step.parse::<usize>().ok().and_then(|index| items.get(index)),
            _ => None,
        };
        match next {
            Some(next) => value = next,
            None => break,
        }
    }
    Some(value.span())
}

fn at(text: &str, span: Range<usize>, detail: String) -> FileProblem {
    let (line, column) = line_column(text, span.start);
    FileProblem { line, column, detail }
}

fn within(text: &str, span: Range<usize>, inner_line: usize, inner_column: usize, detail: String) -> FileProblem {
    let value = text.get(span.clone()).unwrap_or_default();
    let (line, column) = line_column(text, span.start);
    let quotes = if value.starts_with("\"\"\"") || value.starts_with("'''") { 3 } else { 1 };
    let starts_on_next_line = quotes == 3 && value[3..].trim_start_matches('\r').starts_with('\n');
    let line = line + inner_line - 1 + usize::from(starts_on_next_line);
    let is_first_line = inner_line == 1 && !starts_on_next_line;
    let column = if is_first_line { column + quotes + inner_column - 1 } else { inner_column };
    FileProblem { line, column, detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> String {
        read(text).map_or_else(|problem| problem.to_string(), |template| template.code.to_string())
    }

    #[test]
    fn a_file_has_its_parts_by_language_or_those_of_one_language_at_the_top() {
        let short = read("code = \"a\"\ntitle = \"t\"\nbody = \"b\"\n[variables]\nx = 1\n").expect("readable");
        let whole = "code = \"a\"\n[[variables]]\nname = \"x\"\nrequired = false\ntype = \"any\"\nexample = 1\n\
                     [locales.en]\ntitle = \"t\"\nbody = \"b\"\n";
        assert_eq!(read(whole).expect("readable"), short);
    }

    #[test]
    fn a_time_is_a_text() {
        let at = "2026-11-22T05:00:00Z";
        for text in [
            format!("code = \"a\"\ntitle = \"t\"\nbody = \"b\"\n[variables]\nat = {at}\n"),
            format!("code = \"a\"\n[[variables]]\nname = \"at\"\nexample = {at}\n[locales.en]\n"),
        ] {
            assert_eq!(read(&text).expect("readable").variables[0].example, at);
        }
    }

    #[test]
    fn what_is_no_template_file_is_refused_where_it_is_wrong() {
        for (text, expected) in [
            ("code = \"a\"\ntitle = \"t\"", "line 1, column 1: missing field `body`"),
            ("code = \"a\"\ntitle = \"t\"\nbody = \"b\"\ntext = \"c\"", "line 4, column 1: unknown field `text`"),
            ("code = \"a\"\ntitle = t\n", "line 2, column 9"),
            ("code = \"a\"\n[locales.en]\ntext = \"c\"", "line 3, column 1: unknown field `text`"),
            ("code = \"a\"", "line 1, column 1: missing field `locales`"),
        ] {
            assert!(problem(text).starts_with(expected), "{}", problem(text));
        }
    }

    #[test]
    fn a_problem_of_a_text_is_found_in_the_file() {
        let check = |text: &str, pointer: &str, line, column, expected: (usize, usize)| {
            let problem = TemplateProblem { line, column, ..TemplateProblem::new(pointer, "x") };
            let found = locate(text, &problem);
            assert_eq!((found.line, found.column), expected, "{text}");
        };
        let short = |body: &str| format!("code = \"a\"\ntitle = \"t\"\nbody = {body}\n");
        check(&short("\"{{x}} {{#if x}}\""), "/locales/en/body", Some(1), Some(7), (3, 15));
        check(&short("\"\"\"\nHello\n{{> header}}\"\"\""), "/locales/en/body", Some(2), Some(1), (5, 1));
        check(&short("'''Hello\nthere {{shout x}}'''"), "/locales/en/body", Some(2), Some(7), (4, 7));
        check("code = \"a\"\n[locales.en]\ntitle = \"{{x\"\n", "/locales/en/title", Some(1), Some(1), (3, 10));
        check("code = \"a\"\n[locales.en]\ntitle = \"t\"\n", "/locales/en", None, None, (2, 1));
        check("code = \"a b\"\n", "/code", None, None, (1, 8));
        check("code = \"a\"\n", "/nothing", None, None, (1, 1));
    }
}
