//! A declared type of events: what its data must look like.

use std::time::Duration;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{PatternOptions, Validator};
use serde_json::{Map, Value};

use super::json::{below, hint, kind_of, object, refuse_unknown, text};
use crate::config::parse_duration;
use crate::domain::{EVENT_TYPE_RULE, is_event_type};
use crate::intake::FieldProblem;

/// Problems of one event that are said: a caller mends the first ones first.
const PROBLEMS_MAX: usize = 50;

const FIELDS: &[&str] = &["description", "schema", "silent_after", "example"];

/// An event type as it is in force.
#[derive(Debug)]
pub struct KnownType {
    pub name: Box<str>,
    /// What `data` must fit, as it was declared.
    pub schema: Option<Value>,
    /// Without an event of the type for so long, somebody should look.
    pub silent_after: Option<Duration>,
    /// Data as it may come.
    pub example: Option<Value>,
    validator: Option<Validator>,
}

impl KnownType {
    /// From the JSON of its definition.
    pub(super) fn read(name: &str, body: &str) -> Result<Self, Vec<FieldProblem>> {
        let mut problems = Vec::new();
        if !is_event_type(name) {
            problems.push(FieldProblem::new("/name", EVENT_TYPE_RULE));
        } else if is_own(name) {
            problems.push(FieldProblem::new("/name", FEEDS_ITSELF));
        }
        let fields = object(body).map_err(|problem| vec![problem])?;
        refuse_unknown("", &fields, FIELDS, &mut problems);
        _ = text(&fields, "description", &mut problems);
        let silent_after = text(&fields, "silent_after", &mut problems).and_then(|text| silence(text, &mut problems));
        let schema = given(&fields, "schema").cloned();
        let validator = schema.as_ref().and_then(|schema| compiled(schema, &mut problems));
        let example = given(&fields, "example").cloned();
        let known = Self { name: name.into(), schema, silent_after, example, validator };
        if let Some(example) = &known.example {
            match example.is_object() {
                true => problems.extend(known.misfits(example, "/example")),
                false => {
                    let detail = format!("must be an object, not {}", kind_of(example));
                    problems.push(FieldProblem::new("/example", detail));
                }
            }
        }
        if problems.is_empty() { Ok(known) } else { Err(problems) }
    }

    /// What keeps data from being data of this type; values of it are not repeated.
    pub(super) fn misfits(&self, data: &Value, at: &str) -> Vec<FieldProblem> {
        let Some(validator) = &self.validator else { return Vec::new() };
        if validator.is_valid(data) {
            return Vec::new();
        }
        validator.iter_errors(data).take(PROBLEMS_MAX).flat_map(|error| self.in_words(&error, at)).collect()
    }

    fn in_words(&self, error: &jsonschema::ValidationError<'_>, at: &str) -> Vec<FieldProblem> {
        let pointer = format!("{at}{}", error.instance_path());
        match error.kind() {
            ValidationErrorKind::Required { property } => {
                let name = property.as_str().unwrap_or_default();
                vec![FieldProblem::new(below(&pointer, name), "is required")]
            }
            ValidationErrorKind::AdditionalProperties { unexpected }
            | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
                let properties = match error.instance_path().as_str() {
                    "" => self.schema.as_ref().and_then(|schema| schema.get("properties")).and_then(Value::as_object),
                    _ => None,
                };
                let known: Vec<&str> = properties.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
                let problem = |name: &String| {
                    let detail = format!("is no field of this event type{}", hint(name, &known));
                    FieldProblem::new(below(&pointer, name), detail)
                };
                unexpected.iter().take(PROBLEMS_MAX).map(problem).collect()
            }
            _ => vec![FieldProblem::new(pointer, error.masked_with("it").to_string())],
        }
    }
}

/// Whether it is the name of something that the engine itself tells.
pub(super) fn is_own(event_type: &str) -> bool {
    event_type == "fanfare" || event_type.starts_with("fanfare.")
}

pub(super) const FEEDS_ITSELF: &str =
    "names of events of the engine begin with `fanfare.`: rules for those would feed on themselves";

fn given<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    fields.get(name).filter(|value| !value.is_null())
}

fn silence(text: &str, problems: &mut Vec<FieldProblem>) -> Option<Duration> {
    let duration = parse_duration(text).filter(|duration| !duration.is_zero());
    if duration.is_none() {
        problems.push(FieldProblem::new(
            "/silent_after",
            "is no duration: write it as \"30s\", \"5m\", \"24h\" or \"30d\"",
        ));
    }
    duration
}

/// References in a schema: chains of them are followed anew for each event, and multiply.
const REFERENCES_MAX: usize = 16;
const PATTERNS_MAX: usize = 64;
/// Memory of one compiled pattern.
const PATTERN_BYTES_MAX: usize = 256 << 10;

/// What would make each event of the type dear, in words.
fn too_costly(schema: &Value) -> Option<String> {
    let (mut references, mut patterns) = (0, 0);
    let mut left = vec![schema];
    while let Some(value) = left.pop() {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    match name.as_str() {
                        "$ref" => references += 1,
                        "$dynamicRef" | "$recursiveRef" => return Some(format!("has a `{name}`, which is not taken")),
                        "pattern" => patterns += 1,
                        "patternProperties" => patterns += value.as_object().map_or(0, Map::len),
                        _ => {}
                    }
                    left.push(value);
                }
            }
            Value::Array(items) => left.extend(items),
            _ => {}
        }
    }
    if references > REFERENCES_MAX {
        return Some(format!("has {references} references, at most {REFERENCES_MAX} are taken"));
    }
    (patterns > PATTERNS_MAX).then(|| format!("has {patterns} patterns, at most {PATTERNS_MAX} are taken"))
}

/// Nothing is fetched for a schema, and its patterns are matched in time linear to the text.
fn compiled(schema: &Value, problems: &mut Vec<FieldProblem>) -> Option<Validator> {
    if !schema.is_object() {
        problems.push(FieldProblem::new("/schema", format!("must be an object, not {}", kind_of(schema))));
        return None;
    }
    if let Some(detail) = too_costly(schema) {
        problems.push(FieldProblem::new("/schema", detail));
        return None;
    }
    let patterns = PatternOptions::regex().size_limit(PATTERN_BYTES_MAX).dfa_size_limit(PATTERN_BYTES_MAX);
    let options =
        jsonschema::draft202012::options().with_pattern_options(patterns).should_validate_formats(true).offline();
    match options.build(schema) {
        Ok(validator) => Some(validator),
        Err(error) => {
            let detail = format!("is no JSON Schema (draft 2020-12): {error}");
            problems.push(FieldProblem::new(format!("/schema{}", error.instance_path()), detail));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = r#"{"silent_after": "24h", "schema": {"type": "object", "required": ["email"],
        "properties": {"email": {"type": "string", "format": "email"}, "age": {"type": "integer", "minimum": 0}},
        "additionalProperties": false}, "example": {"email": "a@example.com"}}"#;

    #[test]
    fn a_schema_whose_references_multiply_or_with_many_patterns_is_refused() {
        let chain: Map<String, Value> = (0..40)
            .map(|number| {
                let next = serde_json::json!({"$ref": format!("#/$defs/a{}", number + 1)});
                (format!("a{number}"), serde_json::json!({"allOf": [next, next]}))
            })
            .collect();
        let patterns: Map<String, Value> =
            (0..65).map(|number| (format!("p{number}"), serde_json::json!({"pattern": "a"}))).collect();
        for schema in [
            serde_json::json!({"$defs": chain, "$ref": "#/$defs/a0"}),
            serde_json::json!({"properties": patterns}),
            serde_json::json!({"properties": {"a": {"pattern": r"\pL{9999}"}}}),
            serde_json::json!({"$dynamicRef": "#a"}),
        ] {
            let body = serde_json::json!({"schema": schema}).to_string();
            assert!(KnownType::read("user.registered", &body).is_err(), "{body}");
        }
    }

    #[test]
    fn data_is_refused_with_every_problem_and_none_of_its_values() {
        let known = KnownType::read("user.registered", BODY).expect("usable");
        assert_eq!(known.silent_after, Some(Duration::from_secs(86_400)));
        let data = serde_json::json!({"age": -77, "emial": "hidden@example.com"});
        let problems = known.misfits(&data, "/data");
        let mut pointers: Vec<&str> = problems.iter().map(|problem| &*problem.pointer).collect();
        pointers.sort();
        assert_eq!(pointers, ["/data/age", "/data/email", "/data/emial"]);
        let all = format!("{problems:?}");
        assert!(!all.contains("hidden") && !all.contains("77"), "{all}");
        assert!(all.contains("did you mean `email`"), "{all}");
        let unfit = known.misfits(&serde_json::json!({"email": "nobody"}), "/data");
        assert_eq!(unfit.len(), 1, "formats are checked: {unfit:?}");
    }

    #[test]
    fn a_type_that_cannot_be_used_is_refused_with_a_pointer() {
        let check = |name: &str, body: &str, pointer: &str, words: &str| {
            let problems = KnownType::read(name, body).expect_err(body);
            let found = problems.iter().find(|problem| problem.pointer == pointer);
            let found = found.unwrap_or_else(|| panic!("{body}: {problems:?}"));
            assert!(found.detail.contains(words), "{problems:?}");
        };
        check("User", "{}", "/name", "must be words");
        check("fanfare.sent", "{}", "/name", "feed on themselves");
        check("a", "[]", "", "must be an object");
        check("a", "{", "", "is no JSON");
        check("a", r#"{"shema": {}}"#, "/shema", "did you mean `schema`");
        check("a", r#"{"silent_after": "soon"}"#, "/silent_after", "is no duration");
        check("a", r#"{"schema": true}"#, "/schema", "must be an object");
        check("a", r#"{"schema": {"type": "strin"}}"#, "/schema/type", "JSON Schema");
        check("a", r#"{"schema": {"$ref": "http://localhost/x.json"}}"#, "/schema", "JSON Schema");
        let looking_back = r#"{"schema": {"properties": {"a": {"pattern": "(a)\\1"}}}}"#;
        let problems = KnownType::read("a", looking_back).expect_err("patterns are matched in linear time");
        assert!(problems[0].pointer.starts_with("/schema"), "{problems:?}");
        check("a", r#"{"schema": {"required": ["a"]}, "example": {}}"#, "/example/a", "is required");
        check("a", r#"{"example": 3}"#, "/example", "must be an object");
    }
}
