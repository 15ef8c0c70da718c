//! What a template must be to be saved, whatever it says: so that it can be named, and written as a file.

use serde_json::Value;

use super::TemplateProblem;
use crate::domain::{TEMPLATE_CODE_RULE, TemplateSource, is_template_code};

/// They stand in addresses in the place of a code.
const RESERVED: [&str; 2] = ["render", "validate"];

pub(super) fn problems(source: &TemplateSource) -> Vec<TemplateProblem> {
    let mut problems = Vec::new();
    if !is_template_code(&source.code) {
        problems.push(TemplateProblem::new("/code", TEMPLATE_CODE_RULE));
    }
    if RESERVED.contains(&&*source.code) {
        problems.push(TemplateProblem::new("/code", "is the name of a call of the API: take another one"));
    }
    for (index, variable) in source.variables.iter().enumerate() {
        if !fits_a_file(&variable.example) {
            problems.push(TemplateProblem::new(
                format!("/variables/{index}/example"),
                "has a null or a number above 9223372036854775807, which no file of templates can have: leave it out",
            ));
        }
    }
    problems
}

/// Whether TOML can say it.
fn fits_a_file(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Number(number) => !number.is_u64() || number.is_i64(),
        Value::Array(items) => items.iter().all(fits_a_file),
        Value::Object(fields) => fields.values().all(fits_a_file),
        Value::Bool(_) | Value::String(_) => true,
    }
}
