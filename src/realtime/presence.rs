//! Who is there: this node says whose connections it has, and looks after those whom its own connections watch.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::courier::kept_up;
use super::{Live, coordination_key};
use crate::coordination::PRESENCE_TTL;
use crate::domain::UserKey;

/// How long changes gather until they are said.
const GATHER: Duration = Duration::from_millis(50);

/// How often a node says all of it again: what was lost is known again after it.
pub(super) const SAY_INTERVAL: Duration = PRESENCE_TTL.checked_div(3).expect("three is not zero");

/// How often those who are watched are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// Of so many together.
const TOGETHER: usize = 500;

pub(super) fn start(live: Arc<Live>, stop: CancellationToken) -> JoinHandle<()> {
    let saying = Arc::new(Saying { live: live.clone(), said: tokio::sync::Mutex::default() });
    let (ended, last) = (stop.clone(), saying.clone());
    let tasks = kept_up(live, stop, "presence", move |live| {
        let saying = saying.clone();
        async move {
            tokio::join!(saying.changes(), saying.all(), look(&live));
        }
    });
    tokio::spawn(async move {
        if let Err(error) = tasks.await {
            tracing::error!(%error, "presence ended with a panic");
        }
        if ended.is_cancelled() {
            last.nobody().await;
        }
    })
}

/// Says whose connections this node has.
struct Saying {
    live: Arc<Live>,
    /// Those of whom coordination may believe that they are here. Held while it is told, so that nothing older is said after something newer.
    said: tokio::sync::Mutex<HashSet<UserKey>>,
}

impl Saying {
    /// How many connections these have now.
    async fn say(&self, users: Vec<UserKey>, count: impl Fn(&UserKey) -> u32) {
        for chunk in users.chunks(TOGETHER) {
            let mut said = self.said.lock().await;
            said.extend(chunk.iter().cloned());
            let counts: Vec<u32> = chunk.iter().map(&count).collect();
            let keyed: Vec<_> = chunk.iter().map(coordination_key).zip(counts.iter().copied()).collect();
            self.live.parts.coordination.set_present(&self.live.parts.node, &keyed).await;
            for (user, _) in chunk.iter().zip(counts).filter(|(_, count)| *count == 0) {
                said.remove(user);
            }
        }
    }

    async fn changes(&self) {
        let hub = &self.live.parts.hub;
        loop {
            hub.something_changed.notified().await;
            self.live.parts.clock.sleep(GATHER).await;
            self.say(hub.changes(), |user| hub.connections(user)).await;
        }
    }

    async fn all(&self) {
        let hub = &self.live.parts.hub;
        loop {
            self.live.parts.clock.sleep(SAY_INTERVAL).await;
            self.say(hub.everybody(), |user| hub.connections(user)).await;
        }
    }

    /// The node ends: others need not wait until it is forgotten.
    async fn nobody(&self) {
        let said = self.said.lock().await.iter().cloned().collect();
        self.say(said, |_| 0).await;
    }
}

/// Who is missing in one look may be between two connections: only who is missing in two has gone.
async fn look(live: &Live) {
    let mut missing: HashSet<UserKey> = HashSet::new();
    loop {
        live.parts.clock.sleep(LOOK_INTERVAL).await;
        let watched = live.parts.hub.watched();
        let mut missing_now = HashSet::new();
        for users in watched.chunks(TOGETHER) {
            for (user, is_online) in users.iter().zip(live.online(users).await) {
                let Some(is_online) = is_online else { continue };
                if is_online || missing.contains(user) {
                    live.parts.hub.tell_watchers(user, is_online);
                }
                if !is_online {
                    missing_now.insert(user.clone());
                }
            }
        }
        missing = missing_now;
    }
}
