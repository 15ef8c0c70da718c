//! Rendering as the engine and the API use it.

use handlebars::{Context, Handlebars};
use proptest::prelude::*;

use super::engine::Engine;
use super::program::Program;
use super::scene::Scene;
use super::*;
use crate::config::{self, ByteSize};
use crate::domain::{
    Address, Channel, Content, Disposition, NotificationRequest, Parts, Plan, Position, Priority, Recipient, Routing,
    ShardId, Source, TaskSpec, Timestamp, Zone,
};

const OUTPUT_MAX: usize = 16 << 10;

fn renderer() -> Renderer {
    let config = config::Templates { max_output: ByteSize(OUTPUT_MAX as u64), ..config::defaults().templates };
    Renderer::new(&config, Zone::UTC).expect("the shipped templates are usable")
}

fn inline(title: &str, body: &str) -> Content {
    Content::Inline { title: title.into(), body: body.into(), html: None, sms: None }
}

fn template(code: &str) -> Content {
    Content::Template { code: code.into() }
}

fn plan(content: Content, data: &str, channel: Channel) -> Plan {
    let shard = ShardId { generation: 0, lane: Priority::High, partition: 3 };
    let address = Address::Email("alice@example.com".into());
    Plan {
        position: Position::new(shard, 7),
        tenant: "default".into(),
        user_id: None,
        category: None,
        source: Source::Http,
        routing: Routing::All,
        accepted_at: Timestamp(1),
        expires_at: Some(Timestamp(2)),
        content,
        data: data.into(),
        metadata: "{\"m\":1}".into(),
        decisions: Vec::new(),
        disposition: Disposition::Tasks(vec![TaskSpec { channel, address, due: None, endpoint: 0 }]),
        claims: Vec::new(),
        group: None,
        presentation: Default::default(),
        delivery: Default::default(),
        campaign: None,
        personal: Default::default(),
    }
}

fn render(content: Content, data: &str) -> Result<Parts, RenderError> {
    renderer().render(&plan(content, data, Channel::Email))
}

/// The body, or the error as people see it.
fn body(source: &str, data: &str) -> String {
    render(inline("title", source), data).map_or_else(|error| error.to_string(), |parts| parts.body)
}

fn html(source: &str, data: &str) -> String {
    let content =
        Content::Inline { title: "t".into(), body: "b".into(), html: Some(source.into()), sms: Some(source.into()) };
    render(content, data).map_or_else(|error| error.to_string(), |parts| parts.html.unwrap_or_default())
}

pub(super) fn request(tenant: &str, content: Content, data: &str) -> NotificationRequest {
    NotificationRequest {
        campaign: None,
        tenant: tenant.into(),
        user_id: None,
        to: Recipient::default(),
        content,
        data: data.into(),
        category: None,
        locale: None,
        priority: Priority::Normal,
        channels: Vec::new(),
        routing: Routing::All,
        deliver_at: None,
        local_time: None,
        expires_at: None,
        dedup_key: None,
        dedup_window_seconds: None,
        aggregate: None,
        attachments: Vec::new(),
        collapse_key: None,
        idempotency: None,
        metadata: "{}".into(),
        source: Source::Http,
        accepted_at: Timestamp(0),
    }
}

/// The pointer and the words with which the API refuses a content; empty: it does not.
fn refusal(content: Content, data: &str) -> (String, String) {
    let request = request("default", content, data);
    renderer().check(&request).err().map_or_else(Default::default, |problem| (problem.pointer, problem.detail))
}

#[test]
fn the_data_fills_the_variables() {
    let data = r#"{"name":"Alice","n":3,"price":99.5,"ok":true,"none":null,"user":{"tags":["a","b"]}}"#;
    assert_eq!(body("Hello {{name}}!", data), "Hello Alice!");
    assert_eq!(body("{{n}} {{price}} {{ok}} [{{none}}]", data), "3 99.5 true []");
    assert_eq!(body("{{user.tags.[1]}} {{user.tags}} {{user}}", data), "b a,b [object Object]");
    assert_eq!(body("{{#each user.tags}}{{@index}}{{this}}{{#unless @last}}, {{/unless}}{{/each}}", data), "0a, 1b");
    assert_eq!(body("{{upper name}} {{lower name}} {{upper n}}", data), "ALICE alice 3");
    assert_eq!(
        body("{{default nick \"friend\"}} {{default name \"friend\"}} {{default none 1}}", data),
        "friend Alice 1"
    );
    assert_eq!(body("{{#if (eq name \"Alice\")}}yes{{else}}no{{/if}} {{#ne n 3}}yes{{else}}no{{/ne}}", data), "yes no");
    assert_eq!(body("{{#if (gt n 2)}}many{{/if}}{{#if missing}}x{{/if}}", data), "many");
    assert_eq!(body("\\{{name}} {{! nothing }}{{!-- {{nothing}} --}}", data), "{{name}} ");
}

#[test]
fn text_of_every_script_passes_unharmed() {
    let data = r#"{"name":"Zoë 李雷 مرحبا 👩‍👩‍👧 \u00e9"}"#;
    assert_eq!(body("¡Hola {{name}}! Ω", data), "¡Hola Zoë 李雷 مرحبا 👩‍👩‍👧 é! Ω");
    assert_eq!(html("<p>¡Hola {{name}}!</p>", data), "<p>¡Hola Zoë 李雷 مرحبا 👩‍👩‍👧 é!</p>");
}

#[test]
fn a_missing_variable_is_an_error_that_names_it() {
    let check = |source: &str, variable: &str| {
        let error = render(inline("t", source), r#"{"user":{"name":"Alice"},"list":[{}],"one":1}"#).err();
        let expected = RenderError::MissingVariable { part: Part::Body, variable: variable.into() };
        assert_eq!(error, Some(expected), "{source}");
    };
    check("{{order_id}}", "order_id");
    check("{{user.nick}}", "user.nick");
    check("{{one.two}}", "one.two");
    check("{{#if user}}{{order_id}}{{/if}}", "order_id");
    check("{{#each list}}{{this.name}}{{/each}}", "this.name");
    check("{{#each lists}}x{{/each}}", "lists");
    check("{{upper order_id}}", "order_id");
    check("{{#if (eq order_id 1)}}x{{/if}}", "order_id");
    check("{{default nick order_id}}", "order_id");
}

#[test]
fn a_link_that_would_run_a_script_fails_its_message() {
    let link = "<a href=\"{{x}}\">{{x}}</a>";
    assert!(html(link, r#"{"x":"https://example.com/"}"#).contains("href"));
    for value in ["javascript:alert(1)", " JAVA\\tSCRIPT:alert(1)"] {
        let error = html(link, &format!("{{\"x\":\"{value}\"}}"));
        assert_eq!(error, "html: a link would run a script: `javascript:` is no address");
    }
    assert!(html("<p>{{x}}</p>", r#"{"x":"\"javascript:alert(1)\""}"#).contains("javascript"));
}

#[test]
fn what_goes_into_html_is_escaped_and_what_goes_into_text_is_not() {
    let data = r#"{"name":"<script>alert('x')</script> & \"co\""}"#;
    let escaped = "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt; &amp; &quot;co&quot;";
    assert_eq!(html("<b>{{name}}</b>", data), format!("<b>{escaped}</b>"));
    assert_eq!(html("{{#if name}}{{name}}{{/if}}", data), escaped);
    assert_eq!(html("{{lower name}}", data), escaped);
    assert_eq!(html("{{default nick name}}", data), escaped);
    assert_eq!(html("{{#each this}}{{this}}{{/each}}", data), escaped);
    let content = Content::Inline {
        title: "{{name}}".into(),
        body: "{{name}}{{#if name}}{{name}}{{/if}}".into(),
        html: None,
        sms: Some("{{name}}".into()),
    };
    let parts = render(content, data).expect("renders");
    let plain = "<script>alert('x')</script> & \"co\"";
    assert_eq!((parts.title.as_str(), parts.sms.as_deref()), (plain, Some(plain)));
    assert_eq!(parts.body, plain.repeat(2));
}

#[test]
fn three_braces_write_html_as_it_is_for_those_who_ask_for_it() {
    assert_eq!(html("{{{a}}}{{&a}}", r#"{"a":"<b>"}"#), "<b><b>");
    assert_eq!(html("{{#if a}}{{{a}}}{{/if}}{{a}}", r#"{"a":"<b>"}"#), "<b>&lt;b&gt;");
}

#[test]
fn the_value_of_a_variable_is_never_taken_for_a_template() {
    assert_eq!(body("{{a}}", r#"{"a":"{{b}}","b":"secret"}"#), "{{b}}");
    assert_eq!(body("{{upper a}}", r#"{"a":"{{b}}","b":"secret"}"#), "{{B}}");
}

#[test]
fn a_title_is_one_line_whatever_it_is_made_of() {
    for value in ["a\\r\\nBcc: eve@example.com", "a\\nb", "a\\rb", "a\\u0000b", "a\\u0085b", "a\\u2028b", "a\\tb"] {
        let data = format!("{{\"name\":\"{value}\"}}");
        assert_eq!(
            render(inline("Hello {{name}}", "b"), &data).err(),
            Some(RenderError::TitleLines { part: Part::Title }),
            "{value}"
        );
        let by_helper = inline("{{#if name}}{{lower name}}{{/if}}", "b");
        assert_eq!(render(by_helper, &data).err(), Some(RenderError::TitleLines { part: Part::Title }), "{value}");
        assert!(render(inline("Hello", "{{name}}"), &data).is_ok(), "{value}");
    }
    assert_eq!(render(inline("one\ntwo", "b"), "{}").err(), Some(RenderError::TitleLines { part: Part::Title }));
}

#[test]
fn text_without_expressions_is_its_own_result_and_its_data_is_not_read() {
    assert_eq!(body("No } expressions { here \\ {", "this is no JSON"), "No } expressions { here \\ {");
    assert!(matches!(Program::compile("plain text"), Ok(Program::Literal(_))));
}

#[test]
fn text_and_plain_variables_need_no_template_engine() {
    for source in ["{{a}}", "x {{a.b}} {{{c}}} y", "{{~ a.[0] ~}} {{! note }}"] {
        assert!(matches!(Program::compile(source), Ok(Program::Plain(_))), "{source}");
    }
    for source in ["{{#if a}}b{{/if}}", "{{upper a}}", "{{this}}", "{{@root.a}}", "{{../a}}", "{{default}}"] {
        assert!(matches!(Program::compile(source), Ok(Program::Full(_))), "{source}");
    }
}

#[test]
fn unknown_helpers_are_refused_before_anything_is_rendered() {
    for source in [
        "{{shout name}}",
        "{{#shout a}}x{{/shout}}",
        "{{upper (shout name)}}",
        "{{#if a}}{{#each b}}{{shout c}}{{/each}}{{/if}}",
        "{{#if a}}{{else}}{{shout c}}{{/if}}",
        "{{default a x=(shout b)}}",
        "{{log \"a\"}}",
        "{{#raw a}}x{{/raw}}",
    ] {
        let error = body(source, "{}");
        assert!(error.contains("there is no helper `"), "{source}: {error}");
    }
    assert!(body("{{(lookup this \"a\")}}", r#"{"a":"upper"}"#).contains("by its name"));
    assert!(body("{{#each (lookup this \"a\")}}{{/each}}", r#"{"a":[]}"#).contains("take a variable"));
}

#[test]
fn a_content_that_comes_with_a_request_includes_only_what_it_defines_itself() {
    for source in ["{{> self}}", "{{> mail_frame}}"] {
        assert!(body(source, "{}").contains("there is no partial"), "{source}");
    }
    assert_eq!(body("{{#*inline \"a\"}}[{{x}}]{{/inline}}{{> a}}{{> a x=2}}", r#"{"x":1}"#), "[1][2]");
}

#[test]
fn a_partial_that_contains_itself_ends_with_an_error() {
    for source in [
        "{{#*inline \"a\"}}{{> a}}{{/inline}}{{> a}}",
        "{{#*inline \"a\"}}{{> b}}{{/inline}}{{#*inline \"b\"}}{{#if 1}}{{> a}}{{/if}}{{/inline}}{{> a}}",
        "{{#*inline \"a\"}}{{#> a}}{{> a}}{{/a}}{{/inline}}{{> a}}",
    ] {
        let error = body(source, "{}");
        assert!(error.contains("partials more than 16 deep"), "{source}: {error}");
    }
    assert_eq!(body("{{> self}}", "{}"), "body: there is no partial `self`");
}

#[test]
fn what_a_partial_repeats_is_bounded() {
    let list = format!("{{\"a\":[{}1],\"s\":\"{}\"}}", "1,".repeat(999), "x".repeat(50_000));
    let text = "t".repeat(50_000);
    for inner in [text.as_str(), "{{../s}}", "{{{../s}}}", "{{@root.s}}"] {
        let within =
            format!("{{{{#*inline \"l\"}}}}{{{{/inline}}}}{{{{#> l}}}}{{{{#each a}}}}{inner}{{{{/each}}}}{{{{/l}}}}");
        let error = render(inline("t", &within), &list).err();
        assert_eq!(error, Some(RenderError::TooMuchWork { part: Part::Body }), "{}", &inner[..8]);
    }
    let wide = "{{#*inline \"p\"}}{{#each @root.a}}{{#each @root.a}}{{> p}}{{/each}}{{/each}}{{/inline}}{{#each a}}{{> p}}{{/each}}";
    assert!(render(inline("t", wide), &list).is_err());
}

#[test]
fn ten_thousand_levels_are_refused_and_the_deepest_allowed_ones_render() {
    let nested = |depth: usize| format!("{}x{}", "{{#if a}}".repeat(depth), "{{/if}}".repeat(depth));
    assert_eq!(body(&nested(32), r#"{"a":1}"#), "x");
    assert!(body(&nested(33), r#"{"a":1}"#).contains("deep"));
    assert!(render(inline("t", &nested(10_000)), r#"{"a":1}"#).is_err());
    let chain = format!("{{{{#if a}}}}{}{{{{else}}}}x{{{{/if}}}}", "{{else if a}}".repeat(31));
    assert_eq!(body(&chain, r#"{"a":0}"#), "x");
    let data = format!("{{\"a\":{}1{}}}", "[".repeat(10_000), "]".repeat(10_000));
    assert_eq!(body("{{a}}", &data), "the data cannot be used: it is no valid JSON");
}

#[test]
fn a_loop_can_neither_write_without_bound_nor_run_without_end() {
    let list = format!("{{\"a\":[{}1]}}", "1,".repeat(999));
    let limit = RenderError::TooLong { part: Part::Body, limit: OUTPUT_MAX };
    assert_eq!(render(inline("t", "{{#each a}}01234567890123456789{{/each}}"), &list).err(), Some(limit.clone()));
    assert_eq!(render(inline("t", &"{{a}}".repeat(20)), &list).err(), Some(limit));
    let silent = "{{#each a}}{{#each ../a}}{{#each ../../a}}{{/each}}{{/each}}{{/each}}";
    assert_eq!(render(inline("t", silent), &list).err(), Some(RenderError::TooMuchWork { part: Part::Body }));
    let hidden = "{{#each a}}{{#if @first}}{{/if}}{{#each ../a}}{{#if (eq this 2)}}x{{/if}}{{/each}}{{/each}}";
    assert_eq!(render(inline("t", hidden), &list).err(), Some(RenderError::TooMuchWork { part: Part::Body }));
    let large = format!("{{\"a\":[{}1],\"s\":\"{}\"}}", "1,".repeat(999), "x".repeat(100_000));
    for call in ["upper ../s", "default ../s 1", "eq ../s ../s", "lookup ../this \"s\""] {
        let costly = format!("{{{{#each a}}}}{{{{#if ({call})}}}}{{{{/if}}}}{{{{/each}}}}");
        let error = render(inline("t", &costly), &large).err();
        assert_eq!(error, Some(RenderError::TooMuchWork { part: Part::Body }), "{call}");
    }
    assert_eq!(body("{{#each a}}{{/each}}done", &list), "done");
}

#[test]
fn a_part_without_expressions_is_bounded_too() {
    let limit = RenderError::TooLong { part: Part::Body, limit: OUTPUT_MAX };
    assert_eq!(render(inline("t", &"x".repeat(OUTPUT_MAX + 1)), "{}").err(), Some(limit));
    assert!(render(inline("t", &"x".repeat(OUTPUT_MAX)), "{}").is_ok());
}

#[test]
fn errors_hold_no_value_of_the_data() {
    let data = r#"{"secret":"s3cr3t","list":["s3cr3t"]}"#;
    for source in [
        "{{secret.length}}",
        "{{list.s}}",
        "{{#each secret}}x{{/each}}",
        "{{lookup list secret}}",
        "{{#if (lookup list 9)}}{{/if}}",
        "{{gt secret missing}}",
        "{{len 1}}{{missing}}",
    ] {
        let error = render(inline("t", source), data).expect_err(source).to_string();
        assert!(!error.contains("s3cr3t"), "{error}");
    }
}

#[test]
fn a_template_of_the_catalog_is_rendered_by_its_code() {
    let parts = render(template("order_confirm"), r#"{"order_id":"12345","total":"<99.99>"}"#).expect("renders");
    assert_eq!(parts.title, "Order 12345 is confirmed");
    assert!(parts.body.ends_with("order 12345 over <99.99> and will let you know when it is on its way."));
    assert!(parts.html.is_some_and(|html| html.contains("<strong>&lt;99.99&gt;</strong>")));
    assert_eq!(parts.sms.as_deref(), Some("Fanfare: Order 12345 over <99.99> is confirmed. Thank you!"));
    assert_eq!(render(template("none"), "{}").err(), Some(RenderError::NoTemplate { code: "none".into() }));
}

#[test]
fn optional_variables_of_the_shipped_templates_may_be_left_out() {
    for (code, data) in [
        ("user.registered", r#"{"name":"Alice"}"#),
        ("user.password_reset", r#"{"reset_url":"https://example.com/r"}"#),
        ("billing.payment_succeeded", r#"{"amount":"€ 1"}"#),
    ] {
        let parts = render(template(code), data).expect(code);
        assert!(!parts.body.contains("\n\n\n") && !parts.body.contains("  "), "{code}: {}", parts.body);
    }
}

#[test]
fn a_message_has_the_parts_that_its_channel_uses() {
    let renderer = renderer();
    let check = |channel, has_html, has_sms| {
        let plan = plan(template("order_confirm"), r#"{"order_id":"1","total":"2"}"#, channel);
        let message = message(&plan, 0, 2, &renderer).expect("renders");
        assert_eq!(message.parts.title, "Order 1 is confirmed");
        assert_eq!((message.parts.html.is_some(), message.parts.sms.is_some()), (has_html, has_sms), "{channel}");
        assert_eq!((message.attempt, message.priority, message.channel), (2, Priority::High, channel));
        assert_eq!((message.task, &*message.metadata), (plan.task_id(0), "{\"m\":1}"));
    };
    check(Channel::Email, true, false);
    check(Channel::Sms, false, true);
    check(Channel::Voice, false, true);
    check(Channel::Webhook, false, false);
    check(Channel::Push, false, false);
}

#[test]
fn a_request_is_refused_at_the_field_that_has_to_be_mended() {
    let check = |content: Content, data: &str, pointer: &str, words: &str| {
        let refusal = refusal(content, data);
        assert_eq!(refusal.0, pointer, "{}", refusal.1);
        assert!(refusal.1.contains(words), "{}", refusal.1);
    };
    check(inline("t", "b"), "{}", "", "");
    check(template("order_confirm"), r#"{"order_id":"1","total":"2"}"#, "", "");
    check(template("order_confirmed"), "{}", "/template", "there is no template `order_confirmed`");
    check(template("order_confirm"), r#"{"total":"2"}"#, "/data/order_id", "`order_id`");
    check(inline("t", "{{user.name}}"), "{}", "/data/user/name", "`user.name`");
    check(inline("{{a", "b"), "{}", "/content/title", "not closed");
    check(inline("t", "{{#if a}}b"), "{}", "/content/body", "line 1, column 1: a block");
    check(inline("{{a}}", "b"), r#"{"a":"x\r\ny"}"#, "/content/title", "one line");
    check(template("order_confirm"), r#"{"order_id":"1\n2","total":"2"}"#, "/data", "one line");
    check(inline("t", &"x".repeat(OUTPUT_MAX + 1)), "{}", "/content/body", "more than the 16384 bytes");
    check(inline("t", "b"), "[]", "/data", "must be an object");
    check(inline("t", "b"), &format!("{{\"a\":{}", "[".repeat(10_000)), "/data", "nested more than 64 deep");
}

/// Sources and data that know of each other's names.
fn any_source() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "{{a}}",
        "{{{a}}}",
        "{{&b.c}}",
        "{{b.c}}",
        "{{ l.[1] }}",
        "{{~ n ~}}",
        "{{x}}",
        "{{l.a}}",
        "{{a.a}}",
        "{{! c }}",
        " ",
        "\n",
        "text <b>",
        "\\{{a}}",
        "}} ",
        "é",
    ]);
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

const DATA: &str = r#"{"a":"<A&'>","b":{"c":"C"},"l":[1,"two",[3]],"n":null,"t":true}"#;

proptest! {
    #[test]
    fn plain_variables_are_filled_in_as_the_template_engine_does(source in any_source()) {
        let data = Context::from(serde_json::from_str::<serde_json::Value>(DATA).expect("valid"));
        let mut reference = Handlebars::new();
        reference.set_strict_mode(true);
        let expected = reference.render_template_with_context(&source, &data).ok();
        let engine = Engine::new(OUTPUT_MAX);
        let ours = Program::compile(&source).ok().and_then(|program| engine.run(&program, Part::Html, &data, &Scene::english()).ok());
        prop_assert_eq!(ours, expected);
    }

    #[test]
    fn no_source_ends_in_a_panic(source in "(\\{\\{|\\}\\}|#if |#each |/if|/each|else|\\(|\\)|\\[|\\]|\"|'|~|!|--|>|&|\\\\|a|\\.| |@|=|\n){0,24}") {
        let engine = Engine::new(OUTPUT_MAX);
        let data = Context::from(serde_json::from_str::<serde_json::Value>(DATA).expect("valid"));
        if let Ok(program) = Program::compile(&source) {
            let _ = engine.run(&program, Part::Body, &data, &Scene::english());
        }
    }
}
