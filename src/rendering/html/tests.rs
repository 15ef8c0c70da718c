use proptest::prelude::*;

use super::tags::tags;
use super::*;
use crate::rendering::error::SyntaxProblem;

/// A frame as mails have it, with rules for what is put into it.
const FRAME: &str = r#"<!doctype html>
<html lang="{{message_locale}}"><head><meta charset="utf-8"><title>{{title}}</title>
<style>
  /* colours */
  body { margin: 0 } .content { padding: 24px; font-family: "Open Sans", Arial }
  .content h1, .title { font-size: 20px; color: {{@root.colour}} }
  a { color: #2563eb } a:hover { color: red }
  .amount { text-align: right } td.amount { width: 90px }
  @media (max-width: 600px) { .content { padding: 8px !important } }
</style></head>
<body><!--[if mso]><table><tr><td><![endif]--><table class="outer"><tr><td class="content">{{> @partial-block}}</td></tr></table><!--[if mso]></td></tr></table><![endif]-->&nbsp;&copy; {{brand}}</body></html>"#;

fn frames(name: &str) -> Option<&'static str> {
    match name {
        "mail_frame" => Some(FRAME),
        "rows" => {
            Some("<style>td { padding: 1px } tr td.a { color: {{b}} }</style><table>{{> @partial-block}}</table>")
        }
        "outer" => Some("<style>div p { margin: 0 }</style><div>{{#> inner}}{{> @partial-block}}{{/inner}}</div>"),
        "inner" => Some("<style>section p { padding: 0 }</style><section>{{> @partial-block}}</section>"),
        _ => None,
    }
}

fn check(source: &str, expected: &str) {
    let found = inline_css(source, &|name| frames(name)).unwrap_or_else(|problem| panic!("{source}\n{problem}"));
    assert_eq!(found, expected, "\n{found}\n{source}");
}

fn check_refused(source: &str, place: (usize, usize), expected: &str) {
    let problem = inline_css(source, &|name| frames(name)).expect_err(source);
    assert_eq!((problem.line, problem.column), place, "{source}: {problem}");
    assert!(problem.detail.contains(expected), "{source}: {problem}");
}

/// What a part is compiled from.
fn mail_html<'f>(source: &str, frames: &'f dyn Fn(&str) -> Option<&'f str>) -> Result<String, SyntaxProblem> {
    if !is_mjml(source) {
        return inline_css(source, frames);
    }
    let html = compile_mjml(source)?;
    if brings_style(source) { Ok(html) } else { inline_css(&html, frames) }
}

#[test]
fn rules_go_into_the_elements_and_leave_the_style_element() {
    check(
        "<style>p { color: red; margin: 0 }\n.a { color: blue }</style><p>x<p class=a>y",
        "<style>\n</style><p style=\"color: red;margin: 0\">x<p style=\"margin: 0;color: blue\" class=a>y",
    );
}

#[test]
fn what_cannot_be_inlined_stays() {
    check(
        "<style>a, a:hover { color: red } @media print { a { color: black } } p::before { content: 'x' }</style><a>x</a>",
        "<style>a:hover { color: red } @media print { a { color: black } } p::before { content: 'x' }</style><a style=\"color: red\">x</a>",
    );
    let source = "<style media=\"print\">p { x: y }</style>{{#if a}}<style>p { x: z }</style>{{/if}}<p>x</p>";
    check(source, source);
    check("<p>no rules</p>", "<p>no rules</p>");
    check("<style>.nobody { x: y }</style>", "<style>.nobody { x: y }</style>");
}

#[test]
fn the_style_of_an_element_wins_and_keeps_its_bytes() {
    check(
        "<style>p{font:a \"b c\";color:red}</style><p style='color: {{c}}'><p style=\"{{#if d}}x:y{{/if}}\"><p style=x:{{c}}><p style>",
        "<style></style><p style='font: a &#39;b c&#39;;color: red;color: {{c}}'>\
         <p style=\"font: a 'b c';color: red;{{#if d}}x:y{{/if}}\"><p style=\"font: a 'b c';color: red;x:{{c}}\">\
         <p style=\"font: a 'b c';color: red\">",
    );
}

#[test]
fn expressions_stay_where_they_are() {
    check(
        "<style>td{padding:0}</style><table>{{#each rows}}<tr>{{#if a}}<td>{{a}}&nbsp;</td>{{else}}\
         <td colspan={{n}} {{#if b}}class=\"x\"{{/if}}>{{{b}}}{{/if}}</tr>{{/each}}</table>",
        "<style>td{padding:0}</style><table>{{#each rows}}<tr>{{#if a}}<td style=\"padding: 0\">{{a}}&nbsp;</td>{{else}}\
         <td style=\"padding: 0\" colspan={{n}} {{#if b}}class=\"x\"{{/if}}>{{{b}}}{{/if}}</tr>{{/each}}</table>",
    );
    check(
        "<style>p{a:b}</style><title>{{t \"</title>\"}}</title><!-- {{#if a}} <p> --><p>{{!-- <p> --}}\\{{<p>{{a \"<p>\"}}</p></p>",
        "<style></style><title>{{t \"</title>\"}}</title><!-- {{#if a}} <p> --><p style=\"a: b\">{{!-- <p> --}}\\{{<p style=\"a: b\">{{a \"<p>\"}}</p></p>",
    );
}

#[test]
fn rules_may_be_filled_from_the_data() {
    check(
        "<style>p { color: {{default c \"a}\"}}; margin: {{@root.m}}px }</style><p>x</p>",
        "<style>p { color: {{default c \"a}\"}}; margin: {{@root.m}}px }</style><p style=\"color: {{default c \"a}\"}};margin: {{@root.m}}px\">x</p>",
    );
    // In a list `c` is another one, and `@root.m` is not.
    check(
        "<style>p{color:{{c}}} b{color:{{@root.m}}}</style>{{#each l}}<p><b>x</b></p>{{/each}}",
        "<style>p{color:{{c}}} b{color:{{@root.m}}}</style>{{#each l}}<p><b style=\"color: {{@root.m}}\">x</b></p>{{/each}}",
    );
}

#[test]
fn classes_that_only_the_data_knows_keep_their_rules() {
    let style = "<style>.a{x:1}.b{x:2}</style>";
    for (source, expected) in [
        ("<p class=\"a {{c}}\">", "<p style=\"x: 1\" class=\"a {{c}}\">"),
        ("<p class=\"a{{#if c}} b{{/if}}\">", "<p style=\"x: 1\" class=\"a{{#if c}} b{{/if}}\">"),
        ("<p class=\"a\" {{#if c}}class=\"b\"{{/if}}>", "<p style=\"x: 1\" class=\"a\" {{#if c}}class=\"b\"{{/if}}>"),
        ("<p class=a>{{> b}}", "<p style=\"x: 1\" class=a>{{> b}}"),
    ] {
        check(&format!("{style}{source}"), &format!("{style}{expected}"));
    }
}

#[test]
fn a_fragment_gets_the_rules_of_its_frame() {
    check(
        "{{#> mail_frame colour=\"x\"}}\n<h1>Hello {{name}}</h1><table>{{#each items}}<tr><td class=\"amount\">{{price}}</td></tr>\
         {{/each}}</table>\n{{/mail_frame}}",
        "{{#> mail_frame colour=\"x\"}}\n<h1 style=\"font-size: 20px;color: {{@root.colour}}\">Hello {{name}}</h1><table>\
         {{#each items}}<tr><td style=\"text-align: right;width: 90px\" class=\"amount\">{{price}}</td></tr>\
         {{/each}}</table>\n{{/mail_frame}}",
    );
    // What a frame takes from the data is not known by that name outside of it.
    check(
        "{{#> rows}}<tr><td class=\"a\">{{b}}</td></tr>{{/rows}}",
        "{{#> rows}}<tr><td style=\"padding: 1px\" class=\"a\">{{b}}</td></tr>{{/rows}}",
    );
    check(
        "{{#> outer}}<p>a</p>{{/outer}}<p>b</p>{{#> unknown}}<p>c</p>{{/unknown}}",
        "{{#> outer}}<p style=\"margin: 0;padding: 0\">a</p>{{/outer}}<p>b</p>{{#> unknown}}<p>c</p>{{/unknown}}",
    );
}

#[test]
fn a_frame_keeps_its_rules_for_what_is_put_into_it() {
    let expected = FRAME
        .replace("<body>", "<body style=\"margin: 0\">")
        .replace("<td class=", "<td style=\"padding: 24px;font-family: 'Open Sans', Arial\" class=");
    check(FRAME, &expected);
}

#[test]
fn a_bare_row_or_cell_keeps_its_tags() {
    check("<style>td{a:b}</style><tr><td>x</td></tr>", "<style></style><tr><td style=\"a: b\">x</td></tr>");
    check("<style>td{a:b}</style><td>x</td>", "<style></style><td style=\"a: b\">x</td>");
    check("<style>li{a:b}</style><li>x", "<style></style><li style=\"a: b\">x");
}

#[test]
fn what_cannot_be_done_is_said_with_its_place() {
    check_refused("<style>p{a:b}</style>\n<p {{#if a}}style=\"b:c\"{{/if}}>", (2, 13), "put the block into its value");
    check_refused("<style>p{a:b}</style>\n<div><tr><td>x</td></tr></div>", (2, 6), "a row needs a table");
    check_refused("<style>td{a:b}</style>\n<p>x</p><td>y</td>", (2, 9), "a cell a row");
    check_refused("<p>\n<h{{level}}>", (2, 1), "must be written out");
    check_refused("<p>\n <a href=\"x>", (2, 2), "not closed by `>`");
    check_refused("a\n{{b", (2, 1), "not closed");
    check_refused(&format!("<style>p{{a:b}}</style>{}", "<div>".repeat(1000)), (1, 622), "more than 120 deep");
    let problem = inline_css("{{#> a}}{{/a}}", &|_| Some("{{#> a}}{{/a}}")).expect_err("a frame within itself");
    assert!(problem.detail.contains("partials more than 8 deep"), "{problem}");
    let problem = inline_css(&"{{#> a}}{{/a}}".repeat(65), &|_| Some("<p>")).expect_err("many frames");
    assert!(problem.detail.contains("more than 64"), "{problem}");
    let nested = |_: &str| Some("<div><div><div><div><div><div><div><div><div><div>{{> @partial-block}}");
    let problem = inline_css(&format!("{}{}", "{{#> a}}".repeat(13), "{{/a}}".repeat(13)), &nested).expect_err("deep");
    assert!(problem.detail.contains("deep"), "{problem}");
    let long = format!("<style>p{{a:{}}}</style>{}", "b".repeat(200), "<p>".repeat(2_000));
    check_refused(&long, (1, 1), "more than 262144 bytes");
    let many: String = (0..200).map(|n| format!("a{n}:b;")).collect();
    check_refused(&format!("<style>p{{{many}}}</style><p>"), (1, 1), "more than 128 different properties");
}

fn check_mjml(body: &str, expected: &[&str]) {
    let source = format!("<mjml><mj-body>{body}</mj-body></mjml>");
    let html = compile_mjml(&source).unwrap_or_else(|problem| panic!("{source}\n{problem}"));
    let mut rest = html.as_str();
    for part in expected {
        let at = rest.find(part).unwrap_or_else(|| panic!("no {part} in order\n{html}"));
        rest = &rest[at + part.len()..];
    }
}

#[test]
fn mjml_keeps_expressions_wherever_they_stand() {
    check_mjml(
        "{{#if a}}<mj-section>{{#each b}}<mj-column><mj-text>Hello&nbsp;{{name}}</mj-text></mj-column>{{/each}}</mj-section>{{/if}}{{> c}}",
        &[
            "{{#if a}}<!--[if mso",
            "{{#each b}}<!--[if mso",
            "Hello&nbsp;{{name}}",
            "{{/each}}<!--[if mso",
            "{{/if}}{{> c}}",
        ],
    );
    check_mjml(
        "<mj-section><mj-column><mj-button href=\"https://a.b/{{id}}?{{#if c}}d{{/if}}\" background-color=\"{{e}}\">{{f \"</\"}}</mj-button>\
         <mj-table>{{#each rows}}<tr><td>{{this}}</td></tr>{{/each}}</mj-table><mj-raw>{{{g}}}<!-- {{h}} --></mj-raw></mj-column></mj-section>",
        &[
            "background:{{e}}",
            "href=\"https://a.b/{{id}}?{{#if c}}d{{/if}}\"",
            "{{f \"</\"}}",
            ">{{#each rows}}<tr><td>{{this}}</td></tr>{{/each}}</table>",
            "{{{g}}}<!-- {{h}} -->",
        ],
    );
    let head = "<mjml lang=\"{{l}}\"><mj-head><mj-title>{{t}}</mj-title><mj-style inline=\"inline\">.x{color:{{c}}}</mj-style></mj-head>\
                <mj-body><mj-raw><p class=\"x\">a</p></mj-raw></mj-body></mjml>";
    let html = mail_html(head, &|_| None).expect("MJML");
    for part in ["<html lang=\"{{l}}\"", "<title>{{t}}</title>", "color: {{c}}\" class=\"x\">a</p>"] {
        assert!(html.contains(part), "{part}\n{html}");
    }
}

#[test]
fn mjml_that_cannot_be_used_is_refused_with_its_place() {
    for (body, place, expected) in [
        ("\n<mj-sectoin></mj-sectoin>", (2, 1), "no element of MJML"),
        ("\n<mj-text>a<b></mj-text>", (2, 11), "`<b>` is not closed"),
        ("{{a}}\n<mj-section {{b}}></mj-section>", (2, 1), "only stand within a value"),
        ("{{a}}{{b}}\n{{c}}<mj-include path=\"/etc/passwd\"/>", (2, 7), "`mj-include` is not supported"),
        ("{{a}}\n<mj-text color=red>", (2, 1), "not closed"),
        ("{{a}}\n<mj-text color=red></mj-text>", (2, 9), "invalid attribute"),
        ("<mj-accordion>{{a}}{{/b}}", (1, 16), "not closed"),
        ("{{a", (1, 16), "not closed"),
    ] {
        let source = format!("<mjml><mj-body>{body}</mj-body></mjml>");
        let problem = compile_mjml(&source).expect_err(body);
        assert!(problem.detail.contains(expected), "{body}: {problem}");
        assert_eq!((problem.line, problem.column), place, "{body}: {problem}");
    }
    let settings = "<mjml><mj-head><mj-attributes>{{a}}</mj-attributes></mj-head></mjml>";
    assert!(compile_mjml(settings).expect_err("settings").detail.contains("nothing may depend on the data"));
    assert!(!is_mjml("<mjmlx>") && !is_mjml("a <mjml>") && is_mjml("\n <mjml>"));
}

fn check_text(html: &str, expected: &str) {
    assert_eq!(text_of(html), expected, "{html}");
}

#[test]
fn blocks_stand_apart_and_spaces_are_one() {
    check_text(
        "<h1>Your \n order</h1><p>a<br>b<p>c</p><div>d</div><div>e</div>f",
        "Your order\n\na\nb\n\nc\n\nd\ne\nf",
    );
    check_text("a<hr>b<br><br><br>c", "a\n\nb\n\nc");
    check_text("<center>a</center><section>b</section><dl><dt>c<dd>d</dl>", "a\nb\nc\nd");
    check_text("<pre>a  b\n c</pre>d", "a  b\n c\n\nd");
    check_text("<blockquote>a<br>b</blockquote>", "> a\n> b");
    check_text("&lt;b&gt; &euro;&nbsp;5 &copy 2026 a&shy;b\u{200b} 1 < 2", "<b> € 5 © 2026 ab 1 < 2");
    check_text("&#8364; &#x27;a&#39; &#128; &hellip; &nosuch; &; &amp", "€ 'a' € … &nosuch; &; &");
    check_text("<b>a</b>b<i>c</i> <s>d</s> 10<sup>2</sup> e<sup>f</sup>", "abc d 10² ef");
}

#[test]
fn lines_end_between_words_only() {
    let long = "https://example.com/a/long/address/that/is/longer/than/a/line?with=parameters&amp;more=of&amp;them=1";
    let plain = long.replace("&amp;", "&");
    let text = text_of(&format!("<p>{} {long}. {}</p>", "word ".repeat(20), "word ".repeat(20)));
    assert!(text.contains(&format!("{plain}.")), "{text}");
    assert!(text.lines().all(|line| line.len() <= 78 || line.contains(&plain)), "{text}");
    check_text(&format!("<ul><li>{long}</ul>"), &format!("- {plain}"));
    let stand_in = "\u{f0000}";
    check_text(&format!("a{stand_in} {long}"), &format!("a{plain}"));
    check_text(&"长".repeat(40), &format!("{}\n长", "长".repeat(39)));
}

#[test]
fn what_is_not_shown_is_left_out() {
    check_text(
        "<!doctype html><html><head><title>t</title><style>s{}</style></head><body><div style=\"Display : none !important\">p<div>q</div>r</div>\
         <span hidden>h</span><!--[if mso]>m<![endif]--><script>x < y</script><p style=\"max-height:0px\">z<p>seen</p></body></html>",
        "seen",
    );
    check_text("<svg><title>a</title><td><td></svg><img hidden alt=b><select><option>c</select>d", "d");
    check_text("<title>t</title>&zwnj;", "\u{200c}");
    check_text("", "");
}

#[test]
fn lists_have_dashes_or_numbers() {
    check_text("<p>a</p><ul><li>b<li>c<ul><li>d</ul></li></ul>e", "a\n- b\n- c\n  - d\n\ne");
    check_text("<ol start=9><li>a</li><li><p>b</p><p>c</p></li></ol>", "9.  a\n10. b\n\n    c");
    check_text("<ol start=9999999999999999999>a<li>b</ol><li>c", "1. a\n2. b\nc");
}

#[test]
fn a_link_is_followed_by_its_address() {
    check_text("<p><a href=\"https://a.b/?c=1&amp;d=2\">Pay now</a></p>", "Pay now <https://a.b/?c=1&d=2>");
    check_text("<a href=\"https://a.b/?a=1&copy=2&lt=3\">Pay</a>", "Pay <https://a.b/?a=1&copy=2&lt=3>");
    check_text("Read <a href='https://a.b/t'>our terms</a>.", "Read our terms <https://a.b/t>.");
    check_text(
        "<a href=\"https://a.b/\">a.b</a> <a href=\"mailto:a@b.c\">a@b.c</a> <a href=\"tel:1\">call</a>",
        "a.b a@b.c call <1>",
    );
    check_text("<a href=\"https://a.b\"><img src=x alt=\"Acme\"></a>", "Acme <https://a.b>");
    check_text("<a href=\"https://a.b\"><img src=x></a>", "https://a.b");
    check_text("<a href=\"#top\">a</a> <a>b</a> <a href=\"javascript:x\">c</a>", "a b c");
    check_text("<table><tr><td><a href=\"x:y\"><div>Go!</div></a></td></tr></table>", "Go!\n<x:y>");
}

#[test]
fn tables_of_amounts_stand_in_columns() {
    check_text(
        "<p>Hello</p><table><tr><th>Item</th><th>Qty</th><th>Price</th></tr><tr><td>Pie</td><td>12</td><td>€ 10.00</td></tr>\
         <tr><td colspan=\"2\">Total</td><td><b>€ 9.00</b></td></tr></table><p>Bye</p>",
        "Hello\n\nItem  Qty  Price\nPie   12   € 10.00\nTotal      € 9.00\n\nBye",
    );
    let long = "A product with a rather long name that does not fit into one line of a mail";
    check_text(
        &format!("<table><tr><td>{long}<td>2<td>€&nbsp;1,234.00</table>"),
        "A product with a rather long name that does not fit into one    2  € 1,234.00\nline of a mail",
    );
    // What stands between the cells is shown, as in a browser, but where it stands.
    check_text("<table>x<tr>y<td>z</table>", "x\ny  z");
    check_text("<table><tr><td>a</div></p><td>b</table>", "a  b");
    // Layout: empty cells and single columns are not drawn.
    check_text(
        "<table><tr><td></td><td><table><tr><td>a</td></tr><tr><td>b</td></tr></table></td></tr></table>",
        "a\nb",
    );
    // Many wide cells stand under each other.
    let wide = "wide enough for a column of its own";
    check_text(&format!("<table><tr>{}</table>", format!("<td>{wide}").repeat(4)), &[wide; 4].join("\n"));
}

#[test]
fn nothing_can_overflow_the_stack_or_keep_a_core_busy() {
    let rules = |count: usize| (0..count).map(|n| format!(".a{n} b i {{color:red}}")).collect::<String>();
    let selectors = format!("<style>{} {{a:b}}</style>", "b ".repeat(60_000));
    let hostile = [
        "<div>".repeat(25_000),
        "<b><i></b>".repeat(12_000),
        "<p><b id=a>".repeat(11_000),
        "<a><table><tr><td></a>".repeat(5_000),
        format!("<style>{}</style>{}", rules(3_000), "<b><i>x</i></b>".repeat(3_000)),
        format!("<style>{}</style>{}", rules(300), "<b><i>x</i></b>".repeat(7_000)),
        format!("{selectors}{}", "<b></b>".repeat(1_000)),
        format!("{selectors}{}{}", "<b>".repeat(100), "</b>".repeat(100)),
        format!("<style>{}</style><p>", "{".repeat(100_000)),
        format!("<style>{}</style><p>", ":not(".repeat(25_000)),
        format!("<style>{}{{a:b}}</style><p>", "p:nth-child(".repeat(10_000)),
        format!("<style>p{{a:{}b{}}}</style><p>", "(".repeat(60_000), ")".repeat(60_000)),
        format!("<style>p{{{}}}</style><p>", "a:b;".repeat(30_000)),
        format!("<style>{}</style><p>", "p{--a:var(--a);b:var(--a)}".repeat(4_000)),
        format!(
            "<style>p{{{}x:var(--a0)}}</style><p>",
            (0..24).map(|n| format!("--a{n}:var(--a{0}) var(--a{0});", n + 1)).collect::<String>()
        ),
        format!(
            "<style>*{{{}}}</style>{}",
            (0..3_000).map(|n| format!("a{n}:b;")).collect::<String>(),
            "<b></b>".repeat(1_600)
        ),
        format!("<style>{}</style>{}", "p{a:{{b}}}".repeat(1_000), "<p>".repeat(2_500)),
        format!(
            "<style>p{{{}}}</style>{}",
            (0..1_000).map(|n| format!("a{n}:{{{{b{n}}}}};")).collect::<String>(),
            "<p>".repeat(2_500)
        ),
        format!(
            "<style>*{{{}}}</style>{}",
            (0..2_000).map(|n| format!("a{}:b;", n % 100)).collect::<String>(),
            "<b></b>".repeat(1_500)
        ),
        format!(
            "<style>*{{{}}}</style>{}",
            (0..100).map(|n| format!("a{n}:b;")).collect::<String>(),
            "<b></b>".repeat(10_000)
        ),
        "<div>".repeat(100_000),
        format!("<p>{}</p>{}", (0..3_000).map(|n| format!("<b id={n}>")).collect::<String>(), "<p>x".repeat(15_000)),
        format!("<table><tr>{}{}", "<td>x".repeat(10_000), "<tr>".repeat(15_000)),
        format!("<table><tr><td colspan=1000000000 rowspan=1000000000>{}", "<tr><td rowspan=9>x".repeat(5_000)),
        format!("<table>{}", "x<br>".repeat(10_000)),
        format!("{}{}", "<br>".repeat(12_000), "<p>x".repeat(12_000)),
        format!("{}{}", "<table><tr><td>".repeat(20), "<p>x".repeat(5_000)),
        "<mjml>".repeat(20_000),
        format!("<mjml><mj-body>{}", "<mj-wrapper>".repeat(10_000)),
        format!("<mjml><mj-body>{}{}</mj-body></mjml>", "<mj-wrapper>".repeat(60), "</mj-wrapper>".repeat(60)),
        format!(
            "<mjml><mj-body>{}{}</mj-body></mjml>",
            "<mj-section><mj-column>".repeat(31),
            "</mj-column></mj-section>".repeat(31)
        ),
        format!("<mjml><mj-body><mj-raw>{}{}</mj-raw></mj-body></mjml>", "<div>".repeat(60), "</div>".repeat(60)),
        format!(
            "<mjml><mj-body>{}</mj-body></mjml>",
            "<mj-section><mj-column><mj-text>a</mj-text></mj-column></mj-section>".repeat(1_900)
        ),
        format!("<mjml><mj-body><mj-section>{}</mj-section></mj-body></mjml>", "<mj-column/>".repeat(10_000)),
        format!(
            "<mjml><mj-head><mj-attributes>{}</mj-attributes></mj-head><mj-body>{}</mj-body></mjml>",
            (0..2_000).map(|n| format!("<mj-class name=\"a{n}\" a{n}=\"b\"/>")).collect::<String>(),
            "<mj-text/>".repeat(5_000)
        ),
    ];
    // A debug build on a busy machine: a release takes a tenth.
    for source in hostile {
        let shown: String = source.chars().take(60).collect();
        let work = move || {
            let started = std::time::Instant::now();
            let _ = mail_html(&source, &|_| None);
            let made = started.elapsed();
            let _ = text_of(&source.repeat(2));
            (made, started.elapsed())
        };
        let worker = std::thread::Builder::new().stack_size(2 << 20).spawn(work).expect("a thread");
        let (made, all) = worker.join().expect("no panic");
        assert!(all.as_secs() < 10, "{shown}: {made:?}, {all:?}");
    }
}

proptest! {
    #[test]
    fn inlining_adds_attributes_and_changes_nothing_else(pieces in prop::collection::vec(any_piece(), 0..30)) {
        let source = format!("<style>p, td, b {{ color: red }}</style>{{{{{{raw}}}}}}{}", pieces.concat());
        if let Ok(inlined) = inline_css(&source, &|name| frames(name)) {
            prop_assert_eq!(inlined.replace(" style=\"color: red\"", ""), source);
        }
    }

    #[test]
    fn expressions_come_through_in_their_order(pieces in prop::collection::vec(any_piece(), 0..30)) {
        let source = format!("<style>p, td {{ color: red }} a:hover{{x:y}}</style>{}", pieces.concat());
        let told = |text: &str| -> Vec<String> {
            tags(text).unwrap().iter().map(|tag| text[tag.start..tag.end].to_owned()).collect()
        };
        if let Ok(inlined) = inline_css(&source, &|name| frames(name)) {
            prop_assert_eq!(told(&inlined), told(&source));
        }
        let source = format!("<mjml><mj-body><mj-section><mj-column><mj-text>{}</mj-text></mj-column></mj-section></mj-body></mjml>", pieces.concat());
        if let Ok(html) = compile_mjml(&source) {
            prop_assert_eq!(told(&html), told(&source));
        }
    }

    #[test]
    fn no_input_is_too_odd(text in "[<>/a-c=\"' {}#!&;:-]{0,80}") {
        let _ = mail_html(&text, &|_| None);
        let _ = mail_html(&format!("<style>{text}p{{a:b}}</style><p {text}><p>"), &|_| None);
        let _ = mail_html(&format!("<mjml><mj-body>{text}</mj-body></mjml>"), &|_| None);
        let _ = text_of(&text);
    }

    #[test]
    fn every_word_is_in_the_text(pieces in prop::collection::vec(any_visible(), 0..40)) {
        let html: String = pieces.iter().enumerate().map(|(at, piece)| format!("{piece} word{at} ")).collect();
        let text = text_of(&html);
        for at in 0..pieces.len() {
            let word = format!("word{at}");
            prop_assert_eq!(text.split(|c: char| !c.is_alphanumeric()).filter(|found| **found == word).count(), 1, "{} in {}\n{}", word, html, text);
        }
    }
}

/// Elements in an order that makes sense or none. Without `pre`: a line of it that is too long ends within a word.
fn any_visible() -> impl Strategy<Value = &'static str> {
    prop::sample::select(
        "<p> </p> <div> </div> <table> </table> <tr> </tr> <td> <td/colspan=2> <td/colspan=5> </td> <ul> <ol> <li> </li> </ul> </ol> \
         <blockquote> </blockquote> <h1> </h1> <br> <hr> <sup> </sup> <dt> <dd> <a/href=a:b> </a> <center> <th> </th> \
         <tbody> &nbsp; 汉 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
            .split(' ')
            .collect::<Vec<_>>(),
    )
}

/// Pieces of sources, in an order that makes sense or none.
fn any_piece() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "<p>",
        "</p>",
        "<table>",
        "</table>",
        "<tr>",
        "</tr>",
        "<td>",
        "</td>",
        "<b>",
        "</b>",
        "<div class=\"{{a}}\">",
        "</div>",
        "<br>",
        "<br/>",
        "&nbsp;",
        "&copy",
        "<!-- {{a}} -->",
        "<!--[if mso]><td>{{b}}<![endif]-->",
        "<!doctype html>",
        "text",
        "{{a}}",
        "{{{b}}}",
        "{{#each c}}",
        "{{/each}}",
        "{{#if d}}",
        "{{else}}",
        "{{/if}}",
        "{{!-- <p> --}}",
        "{{> e}}",
        "{{#> f}}",
        "{{/f}}",
        "\\{{a}}",
        "{{a \"<p>\"}}",
        "<a href=\"{{a}}{{#if b}}c{{/if}}\" {{d}}>",
        "</a>",
        "<td {{#if a}}class=\"x\"{{/if}} b='{{c}}'>",
        "<img src={{a}}>",
        "<title>{{a}}<p></title>",
        " ",
        "\n",
        "<",
        ">",
    ])
}

#[test]
fn mjml_in_raw_text_and_in_comments_cannot_overflow_the_stack_nor_make_its_parser_panic() {
    let within = |text: &str| format!("<mjml><mj-body><mj-raw>{text}</mj-raw></mj-body></mjml>");
    let deep = "<a>".repeat(40_000);
    let hidden = ["<a><!--</a>-->", "<a x='</a>'>", "<a x=\"/>\">"].map(|text| text.repeat(8_000));
    let mut sources = Vec::new();
    for begin in ["", "<xmp>", "<textarea>", "<iframe>", "<title>", "<!--[if mso]>", "<![if mso]>"] {
        sources.extend([&deep].into_iter().chain(&hidden).map(|text| within(&format!("{begin}{text}"))));
    }
    let broken = ["<!--[if mso x", "<!--[if mso]x", "<![endif", "<![endif]x", "<!--<![endif x"];
    sources.extend(broken.map(within));
    let on_a_small_stack = std::thread::Builder::new().stack_size(2 << 20).spawn(move || {
        for source in sources {
            assert!(compile_mjml(&source).is_err(), "{}", &source[..100]);
        }
        let table = "<!--[if mso | IE]><table><tr><td><![endif]--><p title=\"a > b\">x<br></p><!--[if mso]></td></tr></table><![endif]-->";
        compile_mjml(&within(&table.repeat(100))).map(drop)
    });
    let usual = on_a_small_stack.expect("a thread").join().expect("no panic");
    assert_eq!(usual.map_err(|problem| problem.to_string()), Ok(()));
}

#[test]
fn rules_of_mjml_that_go_into_elements_are_seen_however_they_are_asked_for() {
    for (style, expected) in [
        ("<mj-style>", true),
        ("<mj-style inline=\"inline\">", false),
        ("<mj-style inline='inline'>", false),
        ("<mj-style inline = 'inline'>", false),
        ("<mj-style>p { display: inline }", true),
    ] {
        assert_eq!(brings_style(style), expected, "{style}");
    }
}
