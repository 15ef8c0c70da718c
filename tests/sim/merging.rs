//! Requests that are merged: which world has them, when they come, and what their messages say.
//!
//! They are drawn by chances of their own, so that a world without them is the same as before there were any.

use std::time::Duration;

use fanfare::domain::{Aggregate, Channel, Content, NotificationRequest, Routing, ShardId, Timestamp};

use super::rng::Rng;
use super::schedule::{Incident, request};

/// What is merged with each other.
#[derive(Debug, Clone, Copy)]
pub struct Like {
    pub shard: ShardId,
    pub user: u64,
    pub post: u64,
    pub window: Duration,
    /// How long ago it was accepted: the log takes a moment.
    pub ago: Duration,
}

/// The category of everything that is merged.
pub const CATEGORY: &str = "social";
/// The message begins with it, and goes on with the count and the numbers of those that it tells of.
const TOLD: &str = "told ";

/// The bursts of a world, and the cancellations of those that just came.
pub fn draw(rng: &mut Rng, shards: &[ShardId], rough_for: Duration) -> Vec<(Duration, Incident)> {
    let mut incidents = Vec::new();
    let last = rough_for.saturating_sub(Duration::from_millis(500));
    let mut add = |at: Duration, incident| incidents.push((at.min(last), incident));
    for _ in 0..rng.between(2, 7) {
        let Some(shard) = rng.pick(shards).copied() else { continue };
        let (user, post, window) = (rng.below(2), rng.below(2), Duration::from_secs(rng.between(2, 20)));
        let start = rng.millis(200, last.as_millis() as u64);
        let mut like = |rng: &mut Rng, at: Duration| {
            let ago = rng.millis(0, 200);
            add(at, Incident::Like(Like { shard, user, post, window, ago }));
        };
        like(rng, start);
        let at_once = rng.chance(0.3);
        for _ in 0..rng.between(0, 6) {
            let wait = if at_once { rng.millis(0, 3) } else { rng.millis(0, window.as_millis() as u64) };
            like(rng, start + wait);
        }
        // About the end of the window: clocks do not agree on when that is.
        for _ in 0..rng.between(0, 3) {
            let at = start + window + rng.millis(0, 500);
            like(rng, at.saturating_sub(Duration::from_millis(400)));
        }
        for _ in 0..rng.between(0, 2) {
            add(start + rng.millis(0, window.as_millis() as u64 + 200), Incident::CancelLate);
        }
    }
    incidents
}

/// A request that is merged. `number`: among all records.
pub fn like(rng: &mut Rng, number: usize, like: &Like, now: Timestamp) -> NotificationRequest {
    let mut request = request(rng, number, like.shard, now - like.ago);
    request.user_id = Some(format!("user {}", like.user).into());
    // What asks for another address or other channels is not merged: all of a user's and a post's ask for the same.
    request.to.email = Some(format!("user{}@example.com", like.user).into());
    request.channels = if like.post == 0 { vec![Channel::Email] } else { vec![Channel::Email, Channel::Sms] };
    request.routing = if like.user == 0 { Routing::All } else { Routing::Fallback };
    request.category = Some(CATEGORY.into());
    request.content = Content::Inline {
        title: "{{count}} likes".into(),
        body: format!("{TOLD}{{{{count}}}} {{{{#each items}}}}{{{{n}}}} {{{{/each}}}}").into(),
        html: None,
        sms: None,
    };
    request.data = format!(r#"{{"n":{number}}}"#).into();
    request.dedup_key = None;
    request.deliver_at = request.deliver_at.filter(|_| rng.chance(0.3));
    request.aggregate = Some(Aggregate {
        key: format!("post {}", like.post).into(),
        actor: Some(format!("actor {}", number % 5).into()),
        window_seconds: Some(like.window.as_secs() as u32),
    });
    request
}

/// What a message says of the records that it tells of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub count: usize,
    /// In the order of the message.
    pub numbers: Vec<usize>,
}

/// `None`: it is none of those that are merged.
pub fn told(body: &str) -> Option<Told> {
    let mut words = body.strip_prefix(TOLD)?.split_whitespace().map(str::parse);
    let count = words.next()?.ok()?;
    let numbers = words.collect::<Result<_, _>>().ok()?;
    Some(Told { count, numbers })
}
