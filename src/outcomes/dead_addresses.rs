//! Addresses that a provider says are gone in its answer to a send. They are noted ([`Graves`]) beside the settlers, and bounded:
//! what does not fit in, or is lost with a crash or an outage of the store, is learnt again from the next message to the address.
//! What receipts say is noted by whoever takes those, before they are answered.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::answer::{Answer, AnswerKind};
use super::graves::{DEAD, Dead, Graves};
use crate::domain::{Outcome, SuppressionCause};
use crate::telemetry::Counter;
use crate::users::Directory;

/// Addresses that may wait; some 200 bytes each.
const WAITING_MAX: usize = 4096;
/// Written together.
const BATCH_MAX: usize = 256;
/// The longest that the end waits for the last of them.
const CLOSE_WAIT_MAX: Duration = Duration::from_secs(5);

/// The door to who notes them.
pub struct DeadAddresses {
    queue: mpsc::Sender<Dead>,
    stop: CancellationToken,
    running: Mutex<Option<JoinHandle<()>>>,
    lost: Counter,
}

impl DeadAddresses {
    /// Runs until [`DeadAddresses::close`].
    pub fn start(directory: Arc<Directory>) -> Arc<Self> {
        let (queue, waiting) = mpsc::channel(WAITING_MAX);
        let stop = CancellationToken::new();
        let running = tokio::spawn(run(Graves::new(directory), waiting, stop.clone()));
        Arc::new(Self { queue, stop, running: Mutex::new(Some(running)), lost: DEAD.with(["lost"]) })
    }

    /// Notes what an answer says of its address, if it says that it is gone. Waits for nothing.
    pub(super) fn learn(&self, answer: &Answer) {
        let AnswerKind::Outcome(Outcome::DeadRecipient { death, .. }) = &answer.kind else { return };
        let cause = if death.is_opt_out { SuppressionCause::OptOut } else { SuppressionCause::HardBounce };
        // By our own clock where the provider says nothing, and never later than that.
        let since = death.since.map_or(answer.asked_at, |since| since.min(answer.asked_at));
        let Some(dead) = Dead::of(&answer.plan, usize::from(answer.task.ordinal), since, cause) else { return };
        if self.queue.try_send(dead).is_err() {
            self.lost.increment(1);
        }
    }

    /// Notes what waits, and ends.
    pub async fn close(&self) {
        self.stop.cancel();
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut running) = running
            && tokio::time::timeout(CLOSE_WAIT_MAX, &mut running).await.is_err()
        {
            running.abort();
        }
    }
}

async fn run(graves: Graves, mut waiting: mpsc::Receiver<Dead>, stop: CancellationToken) {
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            biased;
            count = waiting.recv_many(&mut batch, BATCH_MAX) => {
                if count == 0 {
                    return;
                }
            }
            () = stop.cancelled() => return,
        }
        let count = batch.len();
        if let Err(error) = graves.dig(std::mem::take(&mut batch)).await {
            tracing::warn!(%error, count, "cannot note that addresses are gone: the next messages to them will say it again");
            DEAD.with(["lost"]).increment(count as u64);
        }
    }
}
