//! The language beside Handlebars.js, and what ICU writes beside Node's Intl. What these make of the cases is recorded in
//! `tests/handlebars/` by `./dev handlebars`; where ours differs, the case says why, and must differ.

use handlebars::Context;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

use super::engine::Engine;
use super::error::Part;
use super::locale::Locale;
use super::program::Program;
use super::scene::Scene;
use crate::domain::Zone;

#[derive(Deserialize)]
struct Cases {
    data: Value,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    template: String,
    data: Option<Value>,
    #[serde(default)]
    partials: BTreeMap<String, String>,
    #[serde(default)]
    html: bool,
    expected: Option<String>,
    #[serde(default)]
    error: bool,
    difference: Option<String>,
}

/// What ours makes of a case; an error is text, too.
fn ours(case: &Case, data: &Value) -> Result<String, String> {
    let compile = |source: &String| Program::compile(source).map_err(|error| error.to_string());
    let program = compile(&case.template)?;
    let mut partials = BTreeMap::new();
    for (name, source) in &case.partials {
        partials.insert(name.as_str(), compile(source)?);
    }
    let find = |name: &str| partials.get(name);
    let scene = Scene { partials: &find, ..Scene::english() };
    let part = if case.html { Part::Html } else { Part::Body };
    let data = Context::from(case.data.clone().unwrap_or_else(|| data.clone()));
    Engine::new(4096).run(&program, part, &data, &scene).map_err(|error| error.to_string())
}

#[test]
fn the_language_agrees_with_handlebars_js_but_for_the_differences_that_are_named() {
    let Cases { data, cases } = serde_json::from_str(include_str!("../../tests/handlebars/cases.json")).expect("cases");
    let mut wrong = Vec::new();
    for case in &cases {
        let ours = ours(case, &data);
        let agrees = match (&ours, &case.expected) {
            (Ok(ours), Some(expected)) => ours == expected,
            (Err(_), None) => case.error,
            _ => false,
        };
        if agrees == case.difference.is_some() {
            let Case { name, template, expected, difference, .. } = case;
            wrong.push(
                json!([name, template, ours.unwrap_or_else(|error| format!("ERROR {error}")), expected, difference])
                    .to_string(),
            );
        }
    }
    assert!(cases.len() >= 150);
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[derive(Deserialize)]
struct IntlCase {
    locale: String,
    zone: String,
    helper: String,
    value: Value,
    argument: Option<String>,
    decimals: Option<u8>,
    expected: String,
    /// What ours writes in its place.
    ours: Option<String>,
    difference: Option<String>,
}

#[test]
fn dates_numbers_money_and_plurals_are_written_as_intl_does_but_for_the_differences_that_are_named() {
    let cases: Vec<IntlCase> = serde_json::from_str(include_str!("../../tests/handlebars/intl.json")).expect("cases");
    let mut wrong = Vec::new();
    for case in &cases {
        let argument = case.argument.as_ref().map_or(String::new(), |argument| format!(" \"{argument}\""));
        let decimals = case.decimals.map_or(String::new(), |decimals| format!(" decimals={decimals}"));
        let categories = r#" zero="zero" one="one" two="two" few="few" many="many" other="other""#;
        let categories = if case.helper == "plural" { categories } else { "" };
        let source = format!("{{{{{} v{argument}{decimals}{categories}}}}}", case.helper);
        let locale = Locale::get(&case.locale).expect("a locale");
        let zone = Zone::parse(&case.zone).expect("a zone");
        let scene = Scene { locale: &locale, zone: &zone, partials: &|_| None };
        let data = Context::from(json!({ "v": case.value }));
        let program = Program::compile(&source).expect("a template");
        let written =
            Engine::new(4096).run(&program, Part::Body, &data, &scene).unwrap_or_else(|error| error.to_string());
        let expected = case.ours.as_ref().unwrap_or(&case.expected);
        if written != *expected || case.difference.is_some() != (written != case.expected) {
            wrong.push(json!([case.locale, source, case.value, written, case.expected]).to_string());
        }
    }
    assert!(cases.len() >= 60);
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
