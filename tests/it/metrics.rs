//! What the page at `/metrics` says of a running engine.

use fanfare::domain::Channel;
use fanfare::telemetry;

use crate::world::{Place, TestProvider, World, mail, on_both};

on_both! {
    the_page_tells_of_the_store_the_mailboxes_and_the_waits_for_a_rate
}

async fn the_page_tells_of_the_store_the_mailboxes_and_the_waits_for_a_rate(place: Place) {
    let page = telemetry::install();
    let provider = TestProvider::with_rate("metered", &[Channel::Email], 1.0);
    let world = World::start(place, vec![provider]).await;
    let first = world.send(mail()).await;
    world.expect_states(first, &["sent"]).await;
    for _ in 0..3 {
        world.send(mail()).await;
    }
    let series = [
        r#"fanfare_rate_limit_wait_seconds_count{channel="email",provider="metered"}"#,
        r#"fanfare_store_latency_seconds_count{operation="write"}"#,
        r#"fanfare_store_latency_seconds_count{operation="stories"}"#,
        r#"fanfare_store_errors_total{operation="write"}"#,
        r#"fanfare_mailbox_depth{kind="channel"}"#,
        r#"fanfare_mailbox_depth{kind="sender"}"#,
        r#"fanfare_mailbox_depth{kind="timer"}"#,
        r#"fanfare_mailbox_depth{kind="settler"}"#,
    ];
    world
        .until(async || {
            let text = page.render();
            series.iter().all(|series| text.contains(series)).then_some(())
        })
        .await;
}
