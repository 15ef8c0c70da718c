//! What rendering costs: microseconds for each message, on one thread, for the kinds of content there are.
//!
//! `cargo bench --bench render`

use std::hint::black_box;
use std::time::{Duration, Instant};

use fanfare::config::{ByteSize, Templates};
use fanfare::domain::{
    Address, Channel, Content, Disposition, Plan, Position, Priority, Routing, ShardId, Source, TaskSpec, Timestamp,
};
use fanfare::rendering::{Renderer, message};

const DATA: &str =
    r#"{"order_id":"12345","total":"99.99","name":"Alice","items":[{"name":"a","price":1},{"name":"b","price":2}]}"#;

fn main() {
    let config = Templates { dir: None, max_output: ByteSize(256 << 10) };
    let renderer = Renderer::new(&config).expect("the shipped templates are usable");
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
}

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
    }
}
