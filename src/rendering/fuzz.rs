//! Sources and data made to harm, with partials and helpers, on a stack as small as a worker's: no panic, no overflow of the stack,
//! no text over the bound, no render that takes long. Runs for [`SECONDS`], or for `FANFARE_FUZZ_SECONDS`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use handlebars::Context;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{RngSeed, TestRunner};
use serde_json::{Value, json};

use super::engine::Engine;
use super::error::Part;
use super::locale::Locale;
use super::program::Program;
use super::scene::Scene;
use crate::domain::Zone;

const SECONDS: u64 = 2;
const OUTPUT_MAX: usize = 64 * 1024;

/// What tokio's workers have.
const STACK_BYTES: usize = 2 << 20;

const PARTIALS: [&str; 4] = ["p", "q", "r", "frame"];

fn word() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "a",
        "b",
        "l",
        "o",
        "s",
        "n",
        "big",
        "at",
        "this",
        ".",
        "..",
        "../l",
        "../this",
        "@root",
        "@root.big",
        "@index",
        "@key",
        "@../index",
        "o.k",
        "l.[1]",
        "l.length",
        "1",
        "-1.5",
        "1e9",
        "\"x\"",
        "'2026-11-22'",
        "\"EUR\"",
        "\"#\"",
        "\"\\u0000\"",
        "true",
        "null",
        "(concat s s)",
        "(lookup l 1)",
        "(len big)",
        "(upper big)",
        "(concat big big big)",
        "(default missing (format_number n))",
        "k=a",
        "zone=\"Asia/Tokyo\"",
        "zone=s",
        "decimals=20",
        "decimals=n",
        "other=\"#\"",
        "one=big",
        "as |x y|",
        "as |l|",
        "{{",
        "}}",
        "(",
        ")",
        "[",
        "\"",
        "\\",
    ])
}

fn call() -> impl Strategy<Value = String> {
    let name = prop::sample::select(super::helpers::NAMES.to_vec());
    (name, prop::collection::vec(word(), 0..4)).prop_map(|(name, words)| format!("{name} {}", words.join(" ")))
}

fn source() -> impl Strategy<Value = String> {
    let partial = || prop::sample::select(PARTIALS.to_vec());
    let leaf = prop_oneof![
        4 => prop::sample::select(vec!["text ", "<b>", "\n", "  ", "é李👩‍👩‍👧", "\\", "{{", "}}", "{{{{", "~}}", "{{~", "{{! c }}", "{{!--", "--}}", "{{else}}", "{{^}}"]).prop_map(str::to_owned),
        3 => word().prop_map(|word| format!("{{{{{word}}}}}")),
        1 => word().prop_map(|word| format!("{{{{{{{word}}}}}}}")),
        3 => call().prop_map(|call| format!("{{{{{call}}}}}")),
        3 => (partial(), prop::collection::vec(word(), 0..3)).prop_map(|(name, words)| format!("\n  {{{{> {name} {}}}}}\n", words.join(" "))),
        1 => Just("{{> @partial-block}}".to_owned()),
        1 => (0usize..400).prop_map(|count| "{{#if a}}".repeat(count)),
        1 => (0usize..40).prop_map(|count| format!("{}x{}", "{{#..}}".repeat(count), "{{/..}}".repeat(count))),
        1 => (0usize..40).prop_map(|count| format!("{}x{}", "{{#each l}}".repeat(count), "{{/each}}".repeat(count))),
        1 => (0usize..3000).prop_map(|count| "long text ".repeat(count)),
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        let several = prop::collection::vec(inner, 0..5).prop_map(|parts| parts.concat());
        prop_oneof![
            2 => several.clone(),
            2 => (call(), several.clone()).prop_map(|(call, body)| {
                let name = call.split(' ').next().unwrap_or_default().to_owned();
                format!("{{{{#{call}}}}}{body}{{{{/{name}}}}}")
            }),
            2 => (prop::sample::select(vec!["#", "^"]), prop::sample::select(vec!["l", "o.k", ".", "..", "t", "@root", "b", "none"]), several.clone())
                .prop_map(|(sigil, name, body)| format!("{{{{{sigil}{name}}}}}{body}{{{{/{name}}}}}")),
            2 => several.clone().prop_map(|body| format!("{{{{#each l}}}}{body}{{{{/each}}}}")),
            1 => several.clone().prop_map(|body| format!("{{{{#with o as |x|}}}}{body}{{{{else}}}}n{{{{/with}}}}")),
            2 => (partial(), several.clone()).prop_map(|(name, body)| format!("{{{{#> {name} k=big}}}}{body}{{{{/{name}}}}}")),
            2 => (partial(), several).prop_map(|(name, body)| format!("{{{{#*inline \"{name}\"}}}}{body}{{{{/inline}}}}")),
        ]
    })
}

fn data() -> Value {
    let list: Vec<Value> = (0..50).map(|index| json!({ "a": index, "s": "text", "l": [1, 2, 3] })).collect();
    let mut deep = json!(1);
    for _ in 0..60 {
        deep = json!([deep]);
    }
    json!({
        "a": "<A&>", "b": deep, "l": list, "o": { "k": "v", "": 1, "a b": [] }, "s": "short", "n": 1e300, "big": "B".repeat(20_000),
        "at": "2026-11-22T10:00:00Z", "t": true, "nul": null, "neg": -99_999_999_999_999_999i64,
    })
}

#[test]
fn neither_sources_nor_data_can_harm() {
    let seconds =
        std::env::var("FANFARE_FUZZ_SECONDS").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(SECONDS);
    let worker = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || fuzz(Duration::from_secs(seconds)));
    let (inputs, rendered, slowest) = worker.expect("a thread").join().expect("no panic");
    eprintln!("{inputs} inputs in {seconds} s, {rendered} of them rendered, the slowest in {slowest:?}");
    assert!(rendered > 0);
}

fn fuzz(time: Duration) -> (usize, usize, Duration) {
    let seed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    eprintln!("seed {seed}");
    let mut runner = TestRunner::new(ProptestConfig { rng_seed: RngSeed::Fixed(seed), ..ProptestConfig::default() });
    let strategy = (source(), prop::collection::vec(source(), PARTIALS.len()), 0usize..4, 0usize..4);
    let engine = Engine::new(OUTPUT_MAX);
    let data = Context::from(data());
    let locales = ["en", "ar", "zh-Hans", "xx-Abcd-QQ"].map(|tag| Locale::get(tag).expect("a tag"));
    let zone = Zone::parse("Europe/Berlin").expect("a zone");
    let (started, mut inputs, mut rendered, mut slowest) = (Instant::now(), 0, 0, Duration::ZERO);
    while started.elapsed() < time {
        let (source, sources, locale, part) = strategy.new_tree(&mut runner).expect("a case").current();
        inputs += 1;
        let begin = Instant::now();
        let program = Program::compile(&source);
        let compiled: BTreeMap<&str, Program> = PARTIALS
            .iter()
            .zip(&sources)
            .filter_map(|(name, source)| Some((*name, Program::compile(source).ok()?)))
            .collect();
        let parsed = begin.elapsed();
        assert!(parsed < Duration::from_secs(2), "{parsed:?} to read {source:?} {sources:?}");
        let Ok(program) = program else { continue };
        let find = |name: &str| compiled.get(name);
        let scene = Scene { locale: &locales[locale], zone: &zone, partials: &find };
        let begin = Instant::now();
        let result = engine.run(&program, Part::ALL[part], &data, &scene);
        let taken = begin.elapsed();
        slowest = slowest.max(taken);
        assert!(taken < Duration::from_secs(2), "{taken:?} for {source:?} {sources:?}");
        if let Ok(text) = result {
            rendered += 1;
            assert!(text.len() <= OUTPUT_MAX, "{source:?}");
        }
    }
    (inputs, rendered, slowest)
}
