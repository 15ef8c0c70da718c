//! The variables that a template declares: what is wrong with a declaration, and with the values that come for it.

use serde_json::{Map, Value};
use url::Url;

use super::parsed::escaped;
use crate::domain::{TemplateSource, Timestamp, Variable, VariableKind};
use crate::rendering::RenderError;
use crate::templates::TemplateProblem;

const VARIABLES_MAX: usize = 200;
const NAME_BYTES_MAX: usize = 100;

/// What is wrong with the declarations.
pub(super) fn problems(variables: &[Variable]) -> Vec<TemplateProblem> {
    let mut problems = Vec::new();
    if variables.len() > VARIABLES_MAX {
        problems.push(TemplateProblem::new("/variables", format!("must be at most {VARIABLES_MAX}")));
    }
    for (index, variable) in variables.iter().enumerate() {
        let pointer = |field: &str| format!("/variables/{index}/{}", escaped(field));
        let name = &*variable.name;
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if !(1..=NAME_BYTES_MAX).contains(&name.len()) || !name.bytes().all(is_name) {
            let detail = "must have 1 to 100 letters, digits and underscores".to_owned();
            problems.push(TemplateProblem::new(pointer("name"), detail));
        } else if variables[..index].iter().any(|before| *before.name == *name) {
            problems.push(TemplateProblem::new(pointer("name"), format!("`{name}` is there twice")));
        }
        if let Some(expected) = mismatch(variable.kind, &variable.example) {
            problems.push(TemplateProblem::new(pointer("example"), format!("must be {expected}")));
        }
    }
    problems
}

/// What a template is tried with: an example of each variable that has no value in `usual`.
pub(in crate::rendering) fn examples(source: &TemplateSource, usual: &Map<String, Value>) -> Value {
    let own = source.variables.iter().filter(|variable| !usual.contains_key(&*variable.name));
    own.map(|variable| (variable.name.to_string(), variable.example.clone())).collect::<Map<_, _>>().into()
}

/// Whether the data has what is declared. A value that is null counts as missing.
pub(in crate::rendering) fn check(variables: &[Variable], data: &Map<String, Value>) -> Result<(), RenderError> {
    for variable in variables {
        match data.get(&*variable.name).filter(|value| !value.is_null()) {
            None if variable.required => {
                return Err(RenderError::Required { variable: variable.name.clone() });
            }
            None => {}
            Some(value) => {
                if let Some(expected) = mismatch(variable.kind, value) {
                    return Err(RenderError::WrongType { variable: variable.name.clone(), expected });
                }
            }
        }
    }
    Ok(())
}

/// What a value would have to be; `None`: it is so.
fn mismatch(kind: VariableKind, value: &Value) -> Option<&'static str> {
    let (fits, expected) = match kind {
        VariableKind::Any => (true, ""),
        VariableKind::String => (value.is_string(), "a text"),
        VariableKind::Number => (is_number(value), "a number, or a text that is one"),
        VariableKind::Boolean => (value.is_boolean(), "true or false"),
        VariableKind::Time => {
            (is_time(value), "a time: RFC 3339 with an offset, a date (2026-11-22), or seconds since 1970")
        }
        VariableKind::Url => (is_url(value), "an address with its scheme, such as https://example.com"),
        VariableKind::List => (value.is_array(), "a list"),
        VariableKind::Object => (value.is_object(), "an object"),
    };
    (!fits).then_some(expected)
}

fn is_number(value: &Value) -> bool {
    match value {
        Value::Number(_) => true,
        Value::String(text) => text.trim().parse::<f64>().is_ok_and(f64::is_finite),
        _ => false,
    }
}

fn is_time(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_f64().is_some_and(|seconds| seconds >= 0.0),
        Value::String(text) => Timestamp::parse(text).is_some() || crate::domain::LocalDate::parse(text).is_some(),
        _ => false,
    }
}

/// A link with `javascript:` or `data:` runs what its author wants, wherever it is opened.
fn is_url(value: &Value) -> bool {
    let Some(url) = value.as_str().and_then(|text| Url::parse(text).ok()) else { return false };
    !matches!(url.scheme(), "javascript" | "data" | "vbscript" | "file" | "blob")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_is_of_its_declared_type() {
        use VariableKind::*;
        for (kind, value, fits) in [
            (Any, json!([1]), true),
            (String, json!("a"), true),
            (String, json!(1), false),
            (Number, json!(1.5), true),
            (Number, json!("99.99"), true),
            (Number, json!("€ 99"), false),
            (Number, json!("NaN"), false),
            (Boolean, json!(true), true),
            (Boolean, json!("true"), false),
            (Time, json!("2026-11-22T10:00:00+01:00"), true),
            (Time, json!("2026-11-22"), true),
            (Time, json!(1_795_262_400), true),
            (Time, json!("tomorrow"), false),
            (Url, json!("https://example.com/a?b=c"), true),
            (Url, json!("myapp://open/1"), true),
            (Url, json!("mailto:a@example.com"), true),
            (Url, json!("javascript:alert(1)"), false),
            (Url, json!(" JavaScript:alert(1)"), false),
            (Url, json!("data:text/html,x"), false),
            (Url, json!("/relative"), false),
            (List, json!([]), true),
            (List, json!({}), false),
            (Object, json!({}), true),
        ] {
            assert_eq!(mismatch(kind, &value).is_none(), fits, "{kind:?} {value}");
        }
    }
}
