//! What a JSON Schema declares at a path: as much of it as is needed to say that a rule asks for what never comes.

use serde_json::Value;

/// `$ref`s followed in a row: more is a circle.
const REFERENCES_MAX: usize = 16;

/// What is known of a path before any event came.
#[derive(Debug)]
pub(super) enum Declared<'a> {
    /// Whatever comes: nothing is declared.
    Open,
    /// What comes fits this schema.
    As(&'a Value),
    /// Nothing can stand there: `name` is not among what may.
    Never { name: &'a str, known: Vec<&'a str> },
}

/// A kind of JSON value, by the word of JSON Schema.
pub(super) type Kind = &'static str;

/// Looks a path up in the schema of the data.
pub(super) fn declared<'a>(schema: &'a Value, path: &'a [Box<str>]) -> Declared<'a> {
    let mut current = schema;
    for name in path {
        current = resolved(schema, current);
        current = match step(current, name) {
            Declared::As(next) => next,
            other => return other,
        };
    }
    match resolved(schema, current) {
        Value::Object(_) => Declared::As(resolved(schema, current)),
        _ => Declared::Open,
    }
}

fn step<'a>(schema: &'a Value, name: &'a str) -> Declared<'a> {
    let Value::Object(keywords) = schema else {
        return match schema {
            Value::Bool(false) => Declared::Never { name, known: Vec::new() },
            _ => Declared::Open,
        };
    };
    let properties = keywords.get("properties").and_then(Value::as_object);
    if let Some(found) = properties.and_then(|properties| properties.get(name)) {
        return Declared::As(found);
    }
    let kinds = kinds(schema);
    let may_be = |kind: Kind| kinds.as_ref().is_none_or(|kinds| kinds.contains(&kind));
    if name.bytes().all(|byte| byte.is_ascii_digit()) && may_be("array") {
        return keywords
            .get("items")
            .filter(|_| !keywords.contains_key("prefixItems"))
            .map_or(Declared::Open, Declared::As);
    }
    if !may_be("object") {
        return Declared::Never { name, known: Vec::new() };
    }
    match keywords.get("additionalProperties") {
        _ if keywords.contains_key("patternProperties") => Declared::Open,
        Some(Value::Bool(false)) => {
            let known = properties.map(|properties| properties.keys().map(String::as_str).collect());
            Declared::Never { name, known: known.unwrap_or_default() }
        }
        Some(others @ Value::Object(_)) => Declared::As(others),
        _ => Declared::Open,
    }
}

/// What a schema within the same document refers to; itself where it refers to nothing, or to what is not found.
fn resolved<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let mut current = schema;
    for _ in 0..REFERENCES_MAX {
        let Some(reference) = current.get("$ref").and_then(Value::as_str) else { return current };
        let Some(next) = reference.strip_prefix('#').and_then(|pointer| root.pointer(pointer)) else {
            return &Value::Null;
        };
        current = next;
    }
    &Value::Null
}

/// The kinds that a schema lets through; `None`: it does not say.
pub(super) fn kinds(schema: &Value) -> Option<Vec<Kind>> {
    if let Some(values) = choices(schema) {
        return Some(values.iter().map(|value| kind(value)).collect());
    }
    match schema.get("type")? {
        Value::String(name) => known_kind(name).map(|kind| vec![kind]),
        Value::Array(names) => names.iter().map(|name| known_kind(name.as_str()?)).collect(),
        _ => None,
    }
}

/// The only values that a schema lets through.
pub(super) fn choices(schema: &Value) -> Option<&[Value]> {
    if let Some(only) = schema.get("const") {
        return Some(std::slice::from_ref(only));
    }
    schema.get("enum").and_then(Value::as_array).map(Vec::as_slice)
}

pub(super) fn kind(value: &Value) -> Kind {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn known_kind(name: &str) -> Option<Kind> {
    ["null", "boolean", "number", "string", "array", "object"]
        .into_iter()
        .find(|kind| *kind == name || (*kind == "number" && name == "integer"))
}

/// Kinds as people call them.
pub(super) fn in_words(kinds: &[Kind]) -> String {
    let word = |kind: &Kind| match *kind {
        "boolean" => "true or false",
        "number" => "a number",
        "string" => "a text",
        "array" => "a list",
        "object" => "an object",
        other => other,
    };
    let mut words: Vec<&str> = kinds.iter().map(word).collect();
    words.dedup();
    words.join(" or ")
}
