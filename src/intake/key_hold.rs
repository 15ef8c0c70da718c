//! Retry keys of what is written besides requests: lists and campaigns. Of two calls under one key that come at once, on whatever nodes,
//! one writes, and the other waits until it has, or is told to come again.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::cluster_keys::{ClusterHold, ClusterKeys};
use crate::clock::{Moment, SharedClock};
use crate::coordination::CLAIM_HOLD;
use crate::domain::ClaimKey;

/// How long a call waits for another one under its key.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// A part of the time that a claim among the processes lasts unless it is renewed.
const RENEW_INTERVAL: Duration = Duration::from_secs(CLAIM_HOLD.as_secs() / 4);

/// The keys that calls of this process have in hand.
#[derive(Debug, Default)]
pub(super) struct HeldKeys {
    held: Mutex<BTreeSet<ClaimKey>>,
    released: Notify,
}

impl HeldKeys {
    /// `None`: another call has it, and still had after the wait.
    pub(super) async fn hold(
        self: &Arc<Self>,
        key: ClaimKey,
        clock: &SharedClock,
        cluster: Option<&Arc<ClusterKeys>>,
    ) -> Option<KeyHold> {
        let began = clock.moment();
        let mut limit = clock.sleep(WAIT_MAX);
        let here = loop {
            // From before it is asked for: who lets go meanwhile is heard.
            let mut released = Box::pin(self.released.notified());
            released.as_mut().enable();
            if self.held().insert(key) {
                break Here { keys: self.clone(), key };
            }
            tokio::select! {
                () = released => {}
                () = &mut limit => return None,
            }
        };
        let among = match cluster {
            Some(cluster) => {
                let left = WAIT_MAX.saturating_sub(clock.moment().since(began));
                Some(cluster.reserve(vec![key], left, CLAIM_HOLD).await?)
            }
            None => None,
        };
        Some(KeyHold { renewed: clock.moment(), clock: clock.clone(), among, _here: here })
    }

    fn held(&self) -> MutexGuard<'_, BTreeSet<ClaimKey>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A key that no other call has meanwhile. Dropped, it is let go.
pub struct KeyHold {
    clock: SharedClock,
    renewed: Moment,
    among: Option<ClusterHold>,
    _here: Here,
}

impl KeyHold {
    /// Keeps it for longer; called now and then by whoever writes for long.
    pub async fn renew(&mut self) {
        let now = self.clock.moment();
        if let Some(among) = self.among.as_ref().filter(|_| now.since(self.renewed) >= RENEW_INTERVAL) {
            among.renew().await;
            self.renewed = now;
        }
    }
}

struct Here {
    keys: Arc<HeldKeys>,
    key: ClaimKey,
}

impl Drop for Here {
    fn drop(&mut self) {
        self.keys.held().remove(&self.key);
        self.keys.released.notify_waiters();
    }
}
