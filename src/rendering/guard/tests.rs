use handlebars::Template;
use handlebars::template::TemplateElement;
use proptest::prelude::*;

use super::*;

fn check(source: &str, expected: &str) {
    let refusal = inspect(source).err().map_or(String::new(), |problem| problem.detail.into());
    let shown: String = source.chars().take(60).collect();
    if expected.is_empty() {
        assert_eq!(refusal, "", "{shown}");
    } else {
        assert!(refusal.contains(expected), "{shown}: {refusal}");
    }
}

#[test]
fn ordinary_templates_pass() {
    for source in [
        "",
        "no tags at all }} ]",
        "Hello {{name}}, {{ user.name }} {{a.[0].b}} {{~ b ~}} {{{c}}} {{&d}} {{~{e}~}}",
        "{{#if a}}x{{else if b}}y{{else}}z{{/if}}{{#each list}}{{@index}}{{this}}{{/each}}",
        "{{default (upper (lower name)) \"}} and {{ in a text\"}}",
        "{{> header}} {{~ > header ~}} {{> a.b-c_d/e user title=\"x}}\" }}{{#> frame a=(upper b)}}x{{/frame}}",
        "{{#*inline \"a\"}}{{> @partial-block}}{{/inline}}",
        "{{#a}}{{^b.c}}x{{else}}y{{/b.c}}{{/a}}{{#.}}{{ . }}{{upper ..}}{{/.}}",
        "{{! a comment {{#if a}} {{!-- another {{#if a}} }} --}} \\{{#if escaped",
    ] {
        check(source, "");
    }
}

#[test]
fn blocks_may_stand_in_each_other_but_not_without_end() {
    check(&format!("{}{}", "{{#if a}}".repeat(32), "{{/if}}".repeat(32)), "");
    check(&"{{#if a}}{{/if}}".repeat(400), "");
    check(&"{{#if a}}".repeat(33), "deep");
    check(&"{{ ~ \n# if a}}".repeat(33), "deep");
    check(&format!("{{{{#if a}}}}{}", "{{else if a}}".repeat(32)), "deep");
    check(&format!("{{{{#if a}}}}{}", "{{^ if a}}".repeat(32)), "deep");
}

#[test]
fn what_only_looks_like_the_end_of_a_block_is_not_counted_as_one() {
    for fake in ["{{!-- {{/if}} --}}", "{{! -- {{/if}} --}}", "\\{{/if}}", "{{a \"{{/if}}\"}}", "{{a '}}{{/if}}'}}"] {
        check(&format!("{{{{#if a}}}}{fake}").repeat(33), "deep");
    }
}

#[test]
fn calls_may_stand_in_each_other_but_not_without_end() {
    check("{{a (a (a (a (a (a (a (a (a b))))))))}}", "");
    check(&format!("{{{{a {}", "(a ".repeat(10_000)), "deep");
    check("{{a.[\"] \"}} ((((((((((((\" }}", "within brackets");
}

#[test]
fn notations_that_are_not_supported_are_named() {
    check("{{> (lookup a b)}}", "named by a word");
    check("{{> \"header\"}}", "named by a word");
    check("{{> [header]}}", "named by a word");
    check("{{#> 'a'}}{{/'a'}}", "named by a word");
    check("{{#*other \"a\"}}{{/other}}", "decorator");
    check("{{* a}}", "decorator");
    check("{{{{raw}}}}{{a}}{{{{/raw}}}}", "raw blocks");
    check("{{a {\"b\": 1}}}", "brace");
    check("{{a [[1]]}}", "within brackets");
}

#[test]
fn what_is_never_closed_is_refused() {
    check("Hello {{name", "not closed");
    check("{{a \"b}}", "not closed");
    check("{{a.[b}}", "not closed");
    check("{{", "not closed");
    check("a {{#if a}} b", "a block that is not closed");
    check("a {{/if}} b", "not opened");
    check("{{#a}}{{/b}}", "the one about `a`");
}

#[test]
fn a_source_may_be_long_and_have_many_tags_but_not_without_end() {
    check(&"{{a}}".repeat(1000), "");
    check(&"{{a}}".repeat(1001), "more than 1000");
    check(&" ".repeat(128 * 1024 + 1), "longer than");
    check(&format!("{{{{a {}}}}}", "(b c) ".repeat(6000)), "bytes of expressions");
    check(&format!("{{{{a {}}}}}", ". ".repeat(10_000)), "bytes of expressions");
    check(&format!("{}{}", " ".repeat(100 * 1024), "{{a}}".repeat(150)), "");
    check(&format!("{}{}", " ".repeat(100 * 1024), "{{a}}".repeat(200)), "too many expressions");
}

#[test]
fn a_refusal_says_where() {
    let problem = inspect("first line\nsécond {{* header}}").expect_err("a decorator");
    assert_eq!((problem.line, problem.column), (2, 8));
}

/// How deep the parser finds blocks in blocks.
fn parsed_depth(template: &Template) -> usize {
    let depth = |element: &TemplateElement| match element {
        TemplateElement::HelperBlock(call) => {
            let branches = [&call.template, &call.inverse];
            1 + branches.into_iter().flatten().map(parsed_depth).max().unwrap_or(0)
        }
        TemplateElement::PartialBlock(call) | TemplateElement::DecoratorBlock(call) => {
            1 + call.template.as_ref().map_or(0, parsed_depth)
        }
        _ => 0,
    };
    template.elements.iter().map(depth).max().unwrap_or(0)
}

/// Sources that are templates more often than not, with everything in them that could be misread.
fn any_source() -> impl Strategy<Value = String> {
    let tag = prop::sample::select(vec![
        "{{a}}",
        "{{{a}}}",
        "{{~{a}~}}",
        "{{a.[\"]}}",
        "{{a.['] \" }}\"}}",
        "{{a \"{{/if}}\"}}",
        "{{a '\\'{{/if}}'}}",
        "{{a [1, 2]}}",
        "{{!-- {{/if}} --}}",
        "{{! -- {{/if}} --}}",
        "{{! }}",
        "{{!--}} {{/if}} --}}",
        "{{!-- }}",
        "\\{{/if}}",
        "\\\\{{a}}",
        "\\{{{{/if}}",
        "x\\",
        "{{^}}",
        "{{else}}",
        "{{elsea}}",
        "{{ else if b }}",
        "{{~^if c}}",
        "{{a (if b (if c d))}}",
        "{{.}}",
        "{{a . ..}}",
        "{{> p .}}",
        "{{^b}}",
        "{{/b}}",
        "}}",
        "}",
        "{",
        " ",
        "\n",
        "--",
        "{{/if}}",
        "{{#if a}}",
        "{{a '}}{{/if}}'}}",
        "{{> p}}",
        "{{~ > p.q-r ~}}",
        "{{> p '}}{{/if}}' a=\"{{\"}}",
        "{{> @partial-block}}",
        "{{> p/q b}}",
        "{{# > p a=(b c) }}",
        "{{#> p}}",
        "{{/p}}",
        "{{#*inline 'p'}}",
        "{{/inline}}",
    ]);
    let leaf = prop::collection::vec(tag, 0..4).prop_map(|tags| tags.concat());
    leaf.prop_recursive(4, 32, 4, |inner| {
        let tags = prop::sample::select(vec![
            ("{{#if a}}", "{{ ~/if}}"),
            ("{{# a.b }}", "{{ ~/ a.b}}"),
            ("{{~^a~}}", "{{/a~}}"),
            ("{{#.}}", "{{/.}}"),
            ("{{#> p b=\"}}\"}}", "{{/p}}"),
            ("{{#*inline \"p\"}}", "{{~/ inline}}"),
        ]);
        (inner.clone(), tags, inner.clone(), inner)
            .prop_map(|(a, (open, close), b, c)| format!("{a}{open}{b}{close}{c}"))
    })
}

proptest! {
    #[test]
    fn the_guard_never_counts_less_than_the_parser_finds(source in any_source()) {
        let Ok(edited) = inspect(&source) else { return Ok(()) };
        if let (Ok(guard), Ok(template)) = (walk(&edited.text), Template::compile(&edited.text)) {
            prop_assert!(guard.deepest >= parsed_depth(&template), "{}", source);
            prop_assert!(guard.tags >= template.mapping.len() / 2, "{}", source);
        }
    }
}
