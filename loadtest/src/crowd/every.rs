//! Whether every follower has exactly one notification: each is asked for, by the history of the user.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::api::Api;
use crate::http_client::Server;
use crate::progress::Progress;

const CONNECTIONS: usize = 32;
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Users that are named.
const NAMED_MAX: usize = 5;

/// What was found.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(super) struct Found {
    pub(super) looked_at: u64,
    pub(super) one: u64,
    pub(super) none: u64,
    pub(super) several: u64,
    /// Of all notifications.
    pub(super) statuses: BTreeMap<String, u64>,
    /// The first few with none or several.
    pub(super) named: Vec<String>,
    pub(super) seconds: f64,
}

#[derive(Deserialize)]
struct Page {
    data: Vec<Told>,
}

#[derive(Deserialize)]
struct Told {
    status: String,
}

impl Found {
    fn add(&mut self, user: String, told: &[Told]) {
        self.looked_at += 1;
        match told {
            [] => self.none += 1,
            [_] => self.one += 1,
            _ => self.several += 1,
        }
        if told.len() != 1 && self.named.len() < NAMED_MAX {
            self.named.push(format!("{user}: {}", told.len()));
        }
        for one in told {
            // Most are the same.
            match self.statuses.get_mut(&one.status) {
                Some(count) => *count += 1,
                None => _ = self.statuses.insert(one.status.clone(), 1),
            }
        }
    }

    fn merge(&mut self, other: Self) {
        self.looked_at += other.looked_at;
        self.one += other.one;
        self.none += other.none;
        self.several += other.several;
        for (status, count) in other.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
        let room = NAMED_MAX.saturating_sub(self.named.len());
        self.named.extend(other.named.into_iter().take(room));
    }
}

/// Looks at `samples` of `count` users, evenly spread; `user` names one by the number.
pub(super) async fn look(
    server: &Server,
    count: u64,
    samples: u64,
    user: fn(u64) -> String,
    progress: &mut Progress,
) -> Result<Found> {
    let (began, samples) = (Instant::now(), samples.min(count));
    let next = Arc::new(AtomicU64::new(0));
    let mut looks = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (server, next) = (server.clone(), next.clone());
        looks.spawn(async move {
            let (mut api, mut found) = (Api::new(&server), Found::default());
            loop {
                let sample = next.fetch_add(1, Relaxed);
                if sample >= samples {
                    return Ok::<_, anyhow::Error>(found);
                }
                let user = user(place(sample, samples, count));
                let page: Page = api.get_at_last(&format!("/v1/notifications?user_id={user}&limit=5")).await?;
                found.add(user, &page.data);
            }
        });
    }
    let mut found = Found::default();
    loop {
        let ended = tokio::time::timeout(LOOK_EVERY, looks.join_next()).await;
        match ended {
            Ok(None) => break,
            Ok(Some(ended)) => found.merge(ended.context("a look at the followers broke off")??),
            Err(_) => {}
        }
        let done = next.load(Relaxed).min(samples);
        progress.show(done as f64 / samples.max(1) as f64, &format!("looking at followers: {done} of {samples}"));
    }
    progress.finish();
    found.seconds = began.elapsed().as_secs_f64();
    Ok(found)
}

/// The number of a sample.
fn place(sample: u64, samples: u64, count: u64) -> u64 {
    (u128::from(sample) * u128::from(count) / u128::from(samples.max(1))) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_all_or_evenly_spread() {
        let places: Vec<u64> = (0..4).map(|sample| place(sample, 4, 10)).collect();
        assert_eq!(places, [0, 2, 5, 7]);
        assert!((0..1000).all(|sample| place(sample, 1000, 1000) == sample));
    }

    #[test]
    fn none_and_several_are_counted_and_named() {
        let told = |count| (0..count).map(|_| Told { status: "sent".into() }).collect::<Vec<_>>();
        let mut found = Found::default();
        for (user, count) in [("a", 1), ("b", 0), ("c", 2)] {
            found.add(user.into(), &told(count));
        }
        let mut all = Found::default();
        all.merge(found);
        assert_eq!((all.looked_at, all.one, all.none, all.several), (3, 1, 1, 1));
        assert_eq!(all.named, ["b: 0", "c: 2"]);
        assert_eq!(all.statuses["sent"], 3);
    }
}
