//! What rendering costs: microseconds for each message, on one thread, for the kinds of content there are.
//!
//! `cargo bench --bench render`

use std::hint::black_box;
use std::time::{Duration, Instant};

use fanfare::config::Secret;
use fanfare::domain::{
    Address, Channel, Content, Disposition, Plan, Position, Priority, Routing, ShardId, Source, TaskId, TaskSpec,
    Timestamp, Zone,
};
use fanfare::links::{Links, TrackedMail};
use fanfare::rendering::{Renderer, Tracks, compile_mjml, inline_css, message, text_of, track};

const DATA: &str =
    r#"{"order_id":"12345","total":"99.99","name":"Alice","items":[{"name":"a","price":1},{"name":"b","price":2}]}"#;

fn main() {
    let renderer =
        Renderer::new(&fanfare::config::defaults().templates, Zone::UTC).expect("the shipped templates are usable");
    let inline =
        |title: &str, body: &str| Content::Inline { title: title.into(), body: body.into(), html: None, sms: None };
    let shipped = |code: &str| Content::Template { code: code.into() };
    let loops = "{{#if name}}Hello {{upper name}}, {{/if}}{{#each items}}{{this.name}}: {{this.price}} {{/each}}";
    let cases = [
        ("inline, literal, two parts", inline("Your order", "It is on its way."), Channel::Webhook),
        (
            "inline, variables, two parts",
            inline("Order {{order_id}}", "Order {{order_id}} over {{total}}."),
            Channel::Webhook,
        ),
        ("inline, condition and loop", inline("Order {{order_id}}", loops), Channel::Webhook),
        ("order_confirm as a webhook", shipped("order_confirm"), Channel::Webhook),
        ("order_confirm as an e-mail", shipped("order_confirm"), Channel::Email),
    ];
    for (name, content, channel) in cases {
        let plan = plan(content, channel);
        let cost = measure(|| drop(black_box(message(black_box(&plan), 0, 1, &renderer).expect("renders"))));
        println!("{name:<32} {:>8.2} µs", cost.as_secs_f64() * 1e6);
    }
    html();
}

/// What is done to HTML: once for a template, but the plain text for each message that has none of its own.
fn html() {
    let mjml = format!("<mjml><mj-body>{}</mj-body></mjml>", MJML_SECTION.repeat(4));
    let mail = format!("<html><head>{STYLE}</head><body>{}</body></html>", MAIL_SECTION.repeat(4));
    html_case("MJML", &mjml, |source| compile_mjml(source).expect("MJML"));
    html_case("style rules inlined", &mail, |source| inline_css(source, &|_| None).expect("HTML"));
    html_case("plain text of HTML", &mail, text_of);
    let (links, large) = (links(), format!("<html><body>{}</body></html>", MAIL_SECTION.repeat(40)));
    for mail in [&mail, &large] {
        html_case("opens and clicks", mail, |source| tracked(&links, source));
    }
}

fn links() -> Links {
    Links::new("https://notify.example.com", &Secret::new("a".repeat(32)), &[]).expect("long enough")
}

/// A mail with its pixel, and links that are counted, as right before it is sent.
fn tracked(links: &Links, html: &str) -> String {
    let shard = ShardId { generation: 0, lane: Priority::Normal, partition: 0 };
    let task = TaskId { position: Position::new(shard, 7), ordinal: 0 };
    let mail = TrackedMail { tenant: "default".into(), task, made_at: Timestamp(1_795_000_000_000) };
    let link = |ordinal: u16, target: &str| links.click(&mail, ordinal, target);
    track(html, &Tracks { pixel: links.open(&mail), link: Some(&link) })
}

fn html_case(name: &str, source: &str, run: impl Fn(&str) -> String) {
    let cost = measure(|| drop(black_box(run(black_box(source)))));
    let name = format!("{name}, {:.1} KB", source.len() as f64 / 1e3);
    println!("{name:<32} {:>8.2} µs", cost.as_secs_f64() * 1e6);
}

const MJML_SECTION: &str = r##"<mj-section background-color="#fff"><mj-column><mj-text font-size="20px">Hello {{name}}</mj-text>
<mj-text>Thank you for your order &mdash; it is on its way.</mj-text>{{#each items}}<mj-text>{{this.name}}: {{this.price}}</mj-text>{{/each}}
<mj-button href="{{url}}">See it</mj-button></mj-column></mj-section>"##;

const STYLE: &str = "<style>body{margin:0;background:#f4f5f7} .wrap{max-width:560px;padding:32px} h1{margin:0 0 16px;font-size:20px}
p{margin:0 0 16px;line-height:1.5} a{color:#2563eb} a:hover{color:red} .items{width:100%;border-collapse:collapse} .items td{padding:8px 0}
td.price{text-align:right} .note{font-size:13px;color:#616e7c} @media (max-width:600px){.wrap{padding:8px !important}}</style>";

const MAIL_SECTION: &str = r#"<div class="wrap"><h1>Thank you, {{name}}</h1><p>We have received your payment of <strong>{{amount}}</strong>.</p>
<table role="presentation" class="items">{{#each items}}<tr><td>{{this.name}}</td><td class="price">&euro;&nbsp;{{this.price}}</td></tr>{{/each}}
<tr><td>Total</td><td class="price">&euro;&nbsp;99.99</td></tr></table><p><a href="https://example.com/receipts/1?a=b&amp;c=d">See your receipt</a></p>
<p class="note">You get this since you have an account. <a href="https://example.com/u">Unsubscribe</a> or write to <a href="mailto:help@example.com">help@example.com</a>.</p></div>
"#;

/// The best mean of several rounds: the machine's other work only ever adds.
fn measure(run: impl Fn()) -> Duration {
    const ROUNDS: u32 = 20;
    const RUNS: u32 = 5_000;
    let round = || {
        let start = Instant::now();
        (0..RUNS).for_each(|_| run());
        start.elapsed() / RUNS
    };
    (0..ROUNDS).map(|_| round()).min().unwrap_or_default()
}

fn plan(content: Content, channel: Channel) -> Plan {
    let address = Address::Url("https://hooks.example.com/orders".into());
    Plan {
        position: Position::new(ShardId { generation: 0, lane: Priority::Normal, partition: 0 }, 1),
        tenant: "default".into(),
        user_id: Some("alice".into()),
        category: None,
        source: Source::Http,
        routing: Routing::All,
        accepted_at: Timestamp(0),
        expires_at: None,
        content,
        data: DATA.into(),
        metadata: "{}".into(),
        decisions: Vec::new(),
        disposition: Disposition::Tasks(vec![TaskSpec { channel, address, due: None, endpoint: 1 }]),
        claims: Vec::new(),
        group: None,
        presentation: Default::default(),
        delivery: Default::default(),
        campaign: None,
        personal: Default::default(),
    }
}
