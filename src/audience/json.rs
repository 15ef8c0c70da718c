//! Reading the JSON of definitions by hand: every problem is said, with a pointer to its place.

use serde_json::{Map, Value};

use crate::config::nearest;
use crate::intake::FieldProblem;

/// What a value is, as people call it.
pub(crate) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// The pointer of a field below another one (RFC 6901, 3).
pub(crate) fn below(at: &str, name: &str) -> String {
    let short: String = name.chars().take(80).collect();
    format!("{at}/{}", short.replace('~', "~0").replace('/', "~1"))
}

/// `: did you mean …?`, where something is near enough to be meant.
pub(crate) fn hint(wrong: &str, names: &[&str]) -> String {
    near(wrong, names).map(|near| format!(": did you mean `{near}`?")).unwrap_or_default()
}

/// The nearest name. Only names of about the same length are compared: how long that takes must not be for a caller to choose.
pub(crate) fn near<'a>(wrong: &str, names: &[&'a str]) -> Option<&'a str> {
    const COMPARED_MAX: usize = 64;
    const BYTES_MAX: usize = 128;
    if wrong.len() > BYTES_MAX {
        return None;
    }
    let alike = |name: &&&str| name.len().abs_diff(wrong.len()) <= 4 && name.len() <= BYTES_MAX;
    let candidates: Vec<&str> = names.iter().filter(alike).take(COMPARED_MAX).copied().collect();
    nearest(wrong, &candidates).or_else(|| names.iter().copied().find(|name| name.starts_with(wrong)))
}

/// Refuses every field that is not among those that are known.
pub(crate) fn refuse_unknown(at: &str, fields: &Map<String, Value>, known: &[&str], problems: &mut Vec<FieldProblem>) {
    for name in fields.keys().filter(|name| !known.contains(&name.as_str())) {
        let detail = format!("is no field that is known here{}", hint(name, known));
        problems.push(FieldProblem::new(below(at, name), detail));
    }
}

/// The object in a text.
pub(crate) fn object(text: &str) -> Result<Map<String, Value>, FieldProblem> {
    match serde_json::from_str(text) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(other) => Err(FieldProblem::new("", format!("must be an object, not {}", kind_of(&other)))),
        Err(error) => Err(FieldProblem::new("", format!("is no JSON: {error}"))),
    }
}

/// A field that may be missing and is a text.
pub(crate) fn text<'a>(
    fields: &'a Map<String, Value>,
    name: &str,
    problems: &mut Vec<FieldProblem>,
) -> Option<&'a str> {
    match fields.get(name)? {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => {
            problems.push(FieldProblem::of_field(name, format!("must be a text, not {}", kind_of(other))));
            None
        }
    }
}
