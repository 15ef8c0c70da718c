//! Announcements over the log, where several processes share it: each tells all, and each follows what is told.
//!
//! Whether this process is current it knows by itself: several times a second it tells a beat, which says when, and hears it
//! come back. All that was told before the beat was heard before it, since one partition carries all. Where beats stay away
//! (the brokers are out, or slow, or this process is) it is not current, until one comes that was told less than
//! [`STALE_MAX`] before.
//!
//! Who begins to follow, at the start or after a failure, has missed what was told before: writes that were announced then may
//! still be under way for [`DISTRUST`], and so it is not current for as long.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::task::JoinSet;

use super::changes::{ChangeKey, Changes, DISTRUST, Listener, Listeners, STALE_MAX};
use crate::clock::{Moment, SharedClock};
use crate::log::{LogError, Outlet, SharedLog, Told};
use crate::telemetry::{Gauge, GaugeMetric};

/// Between two beats: some of them may be late before one is missed.
const BEAT: Duration = Duration::from_millis(250);

/// Before following is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// The longest that an announcement may take; after it nothing is written.
const ANNOUNCE_WAIT_MAX: Duration = Duration::from_secs(5);

/// What a record begins with; another one is of a newer version, and not understood.
const VERSION: u8 = 1;

/// Worry when it stays at 0: the brokers are out or slow, and every batch asks the store for its users.
const CURRENT: GaugeMetric<0> = GaugeMetric::new(
    "fanfare_users_current",
    "1 while this node hears of changes of users, and so may believe its copies.",
    [],
);

/// Changes among the processes that share a log.
pub struct LogChanges {
    parts: Arc<Parts>,
    /// Ends with this.
    _tasks: JoinSet<()>,
}

struct Parts {
    log: SharedLog,
    clock: SharedClock,
    /// Tells this process's records from those of others.
    process: u64,
    listeners: Listeners,
    state: Mutex<State>,
    current: Gauge,
}

#[derive(Debug, Default)]
struct State {
    /// Since when this process follows; none: it does not.
    following_since: Option<Moment>,
    /// When the last record of this process was told that came back.
    heard: Option<Moment>,
}

/// A record of the outlet.
#[derive(Debug, PartialEq, Eq)]
struct Announcement {
    process: u64,
    /// On the clock of that process.
    told_at: Moment,
    /// None: it is a beat.
    keys: Vec<ChangeKey>,
}

impl LogChanges {
    /// `process`: a number that no other process has.
    pub fn start(log: SharedLog, clock: SharedClock, process: u64) -> Arc<Self> {
        let (listeners, state) = (Listeners::default(), Mutex::default());
        let parts = Arc::new(Parts { log, clock, process, listeners, state, current: CURRENT.with([]) });
        let mut tasks = JoinSet::new();
        tasks.spawn(follow(parts.clone()));
        tasks.spawn(beat(parts.clone()));
        Arc::new(Self { parts, _tasks: tasks })
    }
}

#[async_trait]
impl Changes for LogChanges {
    async fn announce(&self, keys: &[ChangeKey]) -> Result<(), LogError> {
        self.parts.listeners.tell(keys);
        match tokio::time::timeout(ANNOUNCE_WAIT_MAX, self.parts.tell(keys)).await {
            Ok(told) => told,
            Err(_) => Err(LogError::Failed(format!("the brokers took no announcement within {ANNOUNCE_WAIT_MAX:?}"))),
        }
    }

    fn listen(&self, listener: Weak<dyn Listener>) {
        self.parts.listeners.add(listener);
    }

    fn is_current(&self) -> bool {
        self.parts.is_current()
    }
}

impl Parts {
    fn is_current(&self) -> bool {
        let now = self.clock.moment();
        let state = self.state();
        let settled = state.following_since.is_some_and(|since| now.since(since) >= DISTRUST);
        settled && state.heard.is_some_and(|heard| now.since(heard) < STALE_MAX)
    }

    async fn tell(&self, keys: &[ChangeKey]) -> Result<(), LogError> {
        let body = encode(self.process, self.clock.moment(), keys);
        self.log.tell(vec![Told { outlet: Outlet::Changes, key: Bytes::new(), body, headers: Vec::new() }]).await
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was announced until now may be unknown here.
    fn begin_anew(&self) {
        *self.state() = State { following_since: Some(self.clock.moment()), heard: None };
        self.listeners.tell_missed();
    }

    fn hear(&self, body: &[u8]) {
        let Some(announcement) = decode(body) else {
            // Of a newer version: what it says is not known, so nothing is trusted for a while.
            tracing::warn!("an announcement of another version is not understood: copies are not kept for a while");
            self.begin_anew();
            return;
        };
        if !announcement.keys.is_empty() {
            self.listeners.tell(&announcement.keys);
        }
        if announcement.process == self.process {
            let mut state = self.state();
            state.heard = state.heard.max(Some(announcement.told_at));
        }
    }
}

/// Says several times a second that this process is there, to hear it come back.
async fn beat(parts: Arc<Parts>) {
    loop {
        // One that fails is one that does not come back.
        if let Err(error) = parts.tell(&[]).await {
            tracing::debug!(%error, "a beat could not be told");
        }
        parts.current.set(f64::from(u8::from(parts.is_current())));
        parts.clock.sleep(BEAT).await;
    }
}

async fn follow(parts: Arc<Parts>) {
    loop {
        let reason = match parts.log.follow(Outlet::Changes).await {
            Ok(mut follower) => {
                parts.begin_anew();
                loop {
                    match follower.next().await {
                        Ok(body) => parts.hear(&body),
                        Err(error) => break error,
                    }
                }
            }
            Err(error) => error,
        };
        *parts.state() = State::default();
        tracing::warn!(%reason, "changes of users are not heard of: what is known of them is read anew every second");
        parts.clock.sleep(AGAIN).await;
    }
}

/// Version, process, microseconds, keys; numbers big-endian.
fn encode(process: u64, told_at: Moment, keys: &[ChangeKey]) -> Bytes {
    let micros = u64::try_from(told_at.0.as_micros()).unwrap_or(u64::MAX);
    let mut body = Vec::with_capacity(17 + keys.len() * 16);
    body.push(VERSION);
    body.extend_from_slice(&process.to_be_bytes());
    body.extend_from_slice(&micros.to_be_bytes());
    keys.iter().for_each(|key| body.extend_from_slice(&key.0.to_be_bytes()));
    body.into()
}

fn decode(body: &[u8]) -> Option<Announcement> {
    let (&version, rest) = body.split_first()?;
    let (process, rest) = rest.split_first_chunk::<8>()?;
    let (micros, rest) = rest.split_first_chunk::<8>()?;
    let keys = rest.chunks_exact(16);
    if version != VERSION || !keys.remainder().is_empty() {
        return None;
    }
    let key = |bytes: &[u8]| bytes.try_into().ok().map(|bytes| ChangeKey(u128::from_be_bytes(bytes)));
    Some(Announcement {
        process: u64::from_be_bytes(*process),
        told_at: Moment(Duration::from_micros(u64::from_be_bytes(*micros))),
        keys: keys.filter_map(key).collect(),
    })
}

#[cfg(test)]
mod tests;
