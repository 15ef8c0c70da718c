//! Small events beside a large one: one a second, each for ten people, timed from its POST until all ten notifications are sent.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::MissedTickBehavior;

use super::api::Api;
use crate::http_client::Server;

/// Who is told of a small event.
pub(super) const FOLLOWERS: u64 = 10;

const EVERY: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// After it a small event counts as never sent.
const SENT_MAX: Duration = Duration::from_secs(120);

/// Small events under way: a second's each for as long as one is waited for.
const UNDER_WAY_MAX: usize = 150;

/// One small event.
#[derive(Debug, Clone, Copy)]
pub(super) struct Probed {
    pub(super) began: Instant,
    /// `None`: not all ten were sent.
    pub(super) sent: Option<Instant>,
}

/// Posts small events until it is told to stop.
pub(super) struct Probes {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Vec<Probed>>,
}

#[derive(Deserialize)]
struct Notification {
    status: String,
}

impl Probes {
    /// `event` makes the event of a number.
    pub(super) fn start(server: &Server, event: impl Fn(u64) -> Value + Send + 'static) -> Self {
        let (stop, mut stopped) = oneshot::channel();
        let server = server.clone();
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            let (mut under_way, mut probed, mut number) = (JoinSet::new(), Vec::new(), 0);
            loop {
                tokio::select! {
                    _ = &mut stopped => break,
                    _ = ticks.tick() => {}
                }
                if under_way.len() < UNDER_WAY_MAX {
                    under_way.spawn(probe(server.clone(), event(number)));
                    number += 1;
                }
                while let Some(Ok(one)) = under_way.try_join_next() {
                    probed.push(one);
                }
            }
            probed.extend(under_way.join_all().await);
            probed
        });
        Self { stop, task }
    }

    /// All that were begun, once they are over.
    pub(super) async fn finish(self) -> Result<Vec<Probed>> {
        // It ended by itself only by a panic, which is reported below.
        let _ = self.stop.send(());
        self.task.await.context("the small events broke off")
    }
}

async fn probe(server: Server, event: Value) -> Probed {
    let began = Instant::now();
    let sent = tokio::time::timeout(SENT_MAX, all_sent(&server, &event)).await;
    let sent = sent.is_ok_and(|sent| sent.is_ok()).then(Instant::now);
    Probed { began, sent }
}

async fn all_sent(server: &Server, event: &Value) -> Result<()> {
    let mut api = Api::new(server);
    let answer = api.post_at_last("/v1/events", event).await?;
    let ids = ids_of(&answer);
    ensure!(ids.len() as u64 == FOLLOWERS, "{} were told of a small event, not {FOLLOWERS}", ids.len());
    for id in ids {
        loop {
            let told: Notification = api.get_at_last(&format!("/v1/notifications/{id}")).await?;
            match &*told.status {
                "sent" | "delivered" => break,
                "failed" | "skipped" | "expired" | "cancelled" | "merged" => anyhow::bail!("{id} is {}", told.status),
                _ => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }
    Ok(())
}

/// The notifications that were made at once.
fn ids_of(answer: &Value) -> Vec<String> {
    let none = json!([]);
    let made = answer.get("notifications").unwrap_or(&none).as_array().into_iter().flatten();
    made.filter_map(|one| one.get("id")?.as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_an_event_names_whom_it_told() {
        let answer = json!({"id": "e", "notifications": [{"rule": "r", "id": "ntf_a"}, {"rule": "r", "id": "ntf_b"}]});
        assert_eq!(ids_of(&answer), ["ntf_a", "ntf_b"]);
        assert!(ids_of(&json!({})).is_empty());
    }
}
