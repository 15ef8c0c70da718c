//! What happens in a world, drawn from its seed: what is asked for, and what goes wrong meanwhile.

use std::time::Duration;

use fanfare::domain::{
    Channel, ClaimKey, Content, Idempotency, NotificationRequest, Priority, Recipient, Routing, ShardId, Source,
    Timestamp,
};

use super::merging::Like;
use super::rng::Rng;

/// A thing that happens to the world at some time.
#[derive(Debug, Clone)]
pub enum Incident {
    Append,
    Kill,
    /// A node stops in order, and another takes its place.
    Drain,
    Pause(Duration),
    /// The log gives a partition to another node.
    Move,
    /// The store is out of reach: for all nodes, or for one of them.
    Outage {
        for_all: bool,
        lasts: Duration,
    },
    /// Coordination forgets everything.
    Flush,
    Cancel,
    /// A request that is merged with others.
    Like(Like),
    /// Someone pauses or resumes a category, at any node.
    Brake {
        is_on: bool,
    },
    /// One of those that came last is cancelled: its group may be open still.
    CancelLate,
    /// The cursors are looked at.
    Look,
}

/// A whole world, before it begins.
pub struct Schedule {
    pub nodes: usize,
    pub shards: Vec<ShardId>,
    /// The wall clock at the beginning: the end of a timer bucket is near.
    pub base: Timestamp,
    pub with_sweep: bool,
    /// After so long everything heals.
    pub rough_for: Duration,
    pub incidents: Vec<(Duration, Incident)>,
    /// The most by which offsets jump.
    pub gap_max: u64,
}

/// Noon of a day in 2026: the beginning of a timer bucket.
const NOON: u64 = 1_795_262_400_000;

impl Schedule {
    pub fn draw(rng: &mut Rng, without_sweep: bool) -> Self {
        let rough_for = rng.seconds(40, 90);
        let mut shards = vec![shard(Priority::Normal, 0), shard(Priority::Normal, 1)];
        if rng.chance(0.4) {
            shards.push(shard(Priority::Critical, 0));
        }
        let mut incidents = Vec::new();
        let last = rough_for.as_millis() as u64;
        let mut add = |rng: &mut Rng, count: u64, draw: &mut dyn FnMut(&mut Rng) -> Incident| {
            for _ in 0..count {
                let at = rng.millis(200, last - 1000);
                incidents.push((at, draw(rng)));
            }
        };
        let records = rng.between(25, 50);
        add(rng, records, &mut |_| Incident::Append);
        add(rng, 5, &mut |_| Incident::Look);
        // One world in ten is calm: there nothing is sent twice.
        if rng.chance(0.9) {
            let mut up_to = |rng: &mut Rng, most: u64, draw: &mut dyn FnMut(&mut Rng) -> Incident| {
                let count = rng.between(0, most);
                add(rng, count, draw);
            };
            up_to(rng, 3, &mut |_| Incident::Kill);
            up_to(rng, 1, &mut |_| Incident::Drain);
            up_to(rng, 3, &mut |rng| Incident::Pause(rng.seconds(1, 60)));
            up_to(rng, 6, &mut |_| Incident::Move);
            up_to(rng, 2, &mut |rng| Incident::Outage { for_all: rng.chance(0.5), lasts: rng.seconds(1, 15) });
            up_to(rng, 2, &mut |_| Incident::Flush);
            up_to(rng, 3, &mut |_| Incident::Cancel);
        }
        incidents.sort_by_key(|(at, _)| *at);
        Self {
            nodes: rng.between(2, 3) as usize,
            shards,
            base: Timestamp(NOON - rng.below(120_000)),
            with_sweep: !without_sweep && rng.chance(0.5),
            rough_for,
            incidents,
            gap_max: *rng.pick(&[0, 40, 300]).unwrap_or(&0),
        }
    }
}

impl Schedule {
    /// Lets more happen.
    pub fn add(&mut self, incidents: Vec<(Duration, Incident)>) {
        self.incidents.extend(incidents);
        self.incidents.sort_by_key(|(at, _)| *at);
    }
}

pub fn shard(lane: Priority, partition: u16) -> ShardId {
    ShardId { generation: 0, lane, partition }
}

/// A request as somebody might make it.
pub fn request(rng: &mut Rng, number: usize, shard: ShardId, now: Timestamp) -> NotificationRequest {
    let is_fallback = rng.chance(0.15);
    let channels = match rng.below(3) {
        _ if is_fallback => vec![Channel::Email, Channel::Sms],
        0 => vec![Channel::Sms],
        _ => vec![Channel::Email],
    };
    let deliver_at = rng.chance(0.2).then(|| now + rng.seconds(1, 60));
    // Few keys, so that they meet.
    let dedup_key = rng.chance(0.2).then(|| format!("order {}", rng.below(4)).into());
    let retry_key = rng.chance(0.15).then(|| u128::from(rng.below(4)) + 1);
    NotificationRequest {
        campaign: None,
        tenant: "default".into(),
        user_id: None,
        to: Recipient {
            email: Some(format!("a{number}@example.com").into()),
            phone: Some("+15550100".into()),
            ..Recipient::default()
        },
        content: Content::Inline { title: "Hello".into(), body: "World".into(), html: None, sms: None },
        data: "{}".into(),
        category: None,
        locale: None,
        priority: shard.lane,
        channels,
        routing: if is_fallback { Routing::Fallback } else { Routing::All },
        deliver_at,
        local_time: None,
        expires_at: None,
        dedup_key,
        dedup_window_seconds: None,
        aggregate: None,
        attachments: Vec::new(),
        collapse_key: None,
        idempotency: retry_key.map(|key| Idempotency { key: ClaimKey(key), body_hash: 1, batch: None }),
        metadata: "{}".into(),
        source: Source::Http,
        accepted_at: now,
    }
}
