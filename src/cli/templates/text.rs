//! A template as a file: written always the same, so that a change of one word is a change of one line, and read back exactly.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::{Context, anyhow, bail};
use serde_json::Value;

use crate::domain::{PartSources, PushSource, TemplateSource, Variable, VariableKind};
use crate::rendering::read_file;

/// The file of a template.
pub(super) fn write(source: &TemplateSource) -> anyhow::Result<String> {
    let TemplateSource {
        code,
        kind,
        description,
        category,
        default_locale,
        sms_segments_max,
        variables,
        locales,
        experiment,
    } = source;
    let mut file = String::new();
    line(&mut file, "code", Some(code));
    if !kind.is_message() {
        line(&mut file, "kind", Some("partial"));
    }
    line(&mut file, "category", category.as_deref());
    line(&mut file, "description", description.as_deref());
    line(&mut file, "default_locale", Some(default_locale));
    if let Some(max) = sms_segments_max {
        file += &format!("sms_segments_max = {max}\n");
    }
    for variable in variables {
        write_variable(&mut file, variable)?;
    }
    write_locales(&mut file, "", locales);
    if let Some(experiment) = experiment {
        file += "\n[experiment]\n";
        line(&mut file, "name", experiment.name.as_deref());
        file += &format!("hold_back = {}\n", experiment.hold_back);
        for variant in &experiment.variants {
            file += "\n[[experiment.variants]]\n";
            line(&mut file, "name", Some(&variant.name));
            file += &format!("weight = {}\n", variant.weight);
            write_locales(&mut file, "experiment.variants.", &variant.locales);
        }
        if experiment.variants.is_empty() {
            file += "variants = []\n";
        }
    }
    if locales.is_empty() {
        file += "\n[locales]\n";
    }
    Ok(file)
}

fn write_variable(file: &mut String, variable: &Variable) -> anyhow::Result<()> {
    let Variable { name, kind, required, description, example } = variable;
    *file += "\n[[variables]]\n";
    line(file, "name", Some(name));
    if *kind != VariableKind::Any {
        let kind = serde_json::to_value(kind).context("a kind is a word")?;
        line(file, "type", kind.as_str());
    }
    if !required {
        *file += "required = false\n";
    }
    line(file, "description", description.as_deref());
    let example = inline(example).with_context(|| format!("the example of `{name}` cannot stand in a file"))?;
    *file += &format!("example = {example}\n");
    Ok(())
}

fn write_locales(file: &mut String, below: &str, locales: &BTreeMap<Box<str>, PartSources>) {
    for (locale, parts) in locales {
        let table = format!("{below}locales.{}", key(locale));
        let PartSources { title, body, html, sms, push, voice } = parts;
        *file += &format!("\n[{table}]\n");
        for (name, text) in [("title", title), ("body", body), ("html", html), ("sms", sms), ("voice", voice)] {
            line(file, name, text.as_deref());
        }
        let Some(PushSource { title, body, data }) = push else { continue };
        *file += &format!("\n[{table}.push]\n");
        line(file, "title", title.as_deref());
        line(file, "body", body.as_deref());
        if !data.is_empty() {
            *file += &format!("\n[{table}.push.data]\n");
            for (name, text) in data {
                line(file, &key(name), Some(text));
            }
        }
    }
}

fn line(file: &mut String, name: &str, text: Option<&str>) {
    let Some(text) = text else { return };
    let text = if text.contains('\n') { several_lines(text) } else { one_line(text) };
    *file += &format!("{name} = {text}\n");
}

fn key(name: &str) -> String {
    let is_bare = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if is_bare { name.to_owned() } else { quoted(name) }
}

/// As it is where that can be, so that nobody reads escapes.
fn one_line(text: &str) -> String {
    let is_plain = !text.chars().any(|letter| letter.is_control() && letter != '\t');
    let has_escapes = text.contains(['"', '\\']);
    if is_plain && has_escapes && !text.contains('\'') { format!("'{text}'") } else { quoted(text) }
}

/// The line break after the opening quotes is not part of the text; what stands before the closing ones is.
fn several_lines(text: &str) -> String {
    let is_plain = !text.chars().any(|letter| letter.is_control() && !['\t', '\n'].contains(&letter));
    if is_plain && !text.contains("'''") && !text.ends_with('\'') {
        return format!("'''\n{text}'''");
    }
    format!("\"\"\"\n{}\"\"\"", escaped(text, true))
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", escaped(text, false))
}

fn escaped(text: &str, keeps_line_breaks: bool) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for letter in text.chars() {
        match letter {
            '\n' if keeps_line_breaks => out.push('\n'),
            '\n' => out += "\\n",
            '\r' => out += "\\r",
            '"' => out += "\\\"",
            '\\' => out += "\\\\",
            '\t' => out.push('\t'),
            letter if letter.is_control() => {
                // Writing into a text cannot fail.
                let _ = write!(out, "\\u{:04X}", u32::from(letter));
            }
            letter => out.push(letter),
        }
    }
    out
}

/// A value on one line.
fn inline(value: &Value) -> anyhow::Result<String> {
    Ok(match value {
        Value::Null => bail!("null is nothing that TOML can say"),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) if number.is_u64() && !number.is_i64() => bail!("{number} is too large for TOML"),
        Value::Number(number) => number.to_string(),
        Value::String(text) => one_line(text),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(inline).collect::<anyhow::Result<_>>()?;
            format!("[{}]", items.join(", "))
        }
        Value::Object(fields) if fields.is_empty() => "{}".to_owned(),
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| Ok(format!("{} = {}", key(name), inline(value)?));
            let fields: Vec<String> = fields.iter().map(field).collect::<anyhow::Result<_>>()?;
            format!("{{ {} }}", fields.join(", "))
        }
    })
}

/// Reads a file, in either form.
pub(super) fn read(text: &str) -> anyhow::Result<TemplateSource> {
    read_file(text).map_err(|problem| anyhow!("{problem}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn source(text: Value) -> TemplateSource {
        serde_json::from_value(text).expect("a template")
    }

    #[test]
    fn a_file_has_a_line_for_a_line_of_the_text() {
        let source = source(json!({
            "code": "order", "kind": "partial", "category": "orders", "sms_segments_max": 2,
            "variables": [{"name": "items", "type": "list", "required": false, "example": [{"a b": 1.0}, "it's"]}],
            "locales": {"en": {"title": "An \"order\"", "html": "<p>\n</p>\n", "body": "a\nb",
                "push": {"title": "p", "data": {"a.b": "c"}}}},
            "experiment": {"name": "x", "hold_back": 10,
                "variants": [{"name": "b", "weight": 90, "locales": {"en": {"title": "It's \"new\""}}}]},
        }));
        let expected = r#"code = "order"
kind = "partial"
category = "orders"
default_locale = "en"
sms_segments_max = 2

[[variables]]
name = "items"
type = "list"
required = false
example = [{ "a b" = 1.0 }, "it's"]

[locales.en]
title = 'An "order"'
body = '''
a
b'''
html = '''
<p>
</p>
'''

[locales.en.push]
title = "p"

[locales.en.push.data]
"a.b" = "c"

[experiment]
name = "x"
hold_back = 10

[[experiment.variants]]
name = "b"
weight = 90

[experiment.variants.locales.en]
title = "It's \"new\""
"#;
        let written = write(&source).expect("written");
        assert_eq!(written, expected);
        assert_eq!(read(&written).expect("read"), source);
    }

    #[test]
    fn the_short_form_and_times_are_read() {
        let read =
            read("code = \"a\"\ntitle = \"t\"\nbody = \"\"\"\nb\n\"\"\"\n[variables]\nat = 2026-11-22T05:00:00Z\n");
        let expected = json!({"code": "a", "locales": {"en": {"title": "t", "body": "b"}},
            "variables": [{"name": "at", "required": false, "example": "2026-11-22T05:00:00Z"}]});
        assert_eq!(read.expect("read"), source(expected));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let check = |text: &str, expected: &str| {
            let error = read(text).expect_err("refused").to_string();
            assert!(error.contains(expected), "{error}");
        };
        check("code = \"a\"\n[locales.en]\ntitel = \"t\"\n", "line 3");
        check("code = \"a\"\n[locales.en]\ntitel = \"t\"\n", "unknown field `titel`");
        check("code = a\n", "line 1");
        check("code = \"a\"\ntitle = \"t\"\n[locales.en]\nbody = \"b\"\n", "unknown field `locales`");
        check("title = \"t\"\n", "missing field `code`");
    }

    proptest! {
        #[test]
        fn whatever_a_text_has_is_read_back(text in any::<String>(), other in "['\"\\\\\n\r\t a]{0,12}", name in "[a-z.\" ]{1,6}") {
            let source = source(json!({
                "code": "a",
                "description": other,
                "variables": [{"name": text, "example": {"x": text, name.clone(): [other]}}],
                "locales": {"en": {"title": other, "body": text, "push": {"data": {name: text}}}, "de": {}},
            }));
            let written = write(&source).expect("written");
            prop_assert_eq!(read(&written).expect("read"), source, "{}", written);
        }
    }
}
