//! Addresses that a provider says are gone: a device's token is marked dead, and an e-mail address is suppressed.
//!
//! Beside the settlers, and bounded: what does not fit in, or is lost with a crash or an outage of the store, is learnt again from
//! the next message to the address.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::answer::{Answer, AnswerKind};
use crate::domain::{
    Address, AddressKind, Device, Outcome, SuppressedAddress, Suppression, SuppressionCause, Timestamp, User,
    UserEntry, UserKey,
};
use crate::store::UserChange;
use crate::telemetry::{Counter, CounterMetric};
use crate::users::{Directory, DirectoryError};

/// Worry when it grows much faster than usual: a provider may be calling addresses dead that are not, or somebody bought a list.
const DEAD: CounterMetric<1> = CounterMetric::new(
    "fanfare_dead_addresses_total",
    "Addresses that a provider said are gone, by kind (device, email), and `lost` where nobody could note it.",
    ["kind"],
);

/// Addresses that may wait; some 200 bytes each.
const WAITING_MAX: usize = 4096;
/// Written together.
const BATCH_MAX: usize = 256;
/// The longest that the end waits for the last of them.
const CLOSE_WAIT_MAX: Duration = Duration::from_secs(5);

/// One address that is gone.
#[derive(Debug)]
struct Dead {
    tenant: Box<str>,
    user_id: Option<Box<str>>,
    address: Address,
    /// When the provider was asked: a token that was given later is another matter.
    asked_at: Timestamp,
}

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
        let noting = Noting { directory, waiting, devices: DEAD.with(["device"]), emails: DEAD.with(["email"]) };
        let running = tokio::spawn(noting.run(stop.clone()));
        Arc::new(Self { queue, stop, running: Mutex::new(Some(running)), lost: DEAD.with(["lost"]) })
    }

    /// Notes what an answer says of its address, if it says that it is gone. Waits for nothing.
    pub(super) fn learn(&self, answer: &Answer) {
        let AnswerKind::Outcome(Outcome::DeadRecipient { .. }) = &answer.kind else { return };
        let Some(spec) = answer.plan.tasks().get(usize::from(answer.task.ordinal)) else { return };
        let is_kept = match &spec.address {
            Address::Email(_) => true,
            Address::PushToken(_) => answer.plan.user_id.is_some(),
            _ => false,
        };
        if !is_kept {
            return;
        }
        let dead = Dead {
            tenant: answer.plan.tenant.clone(),
            user_id: answer.plan.user_id.clone(),
            address: spec.address.clone(),
            asked_at: answer.asked_at,
        };
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

struct Noting {
    directory: Arc<Directory>,
    waiting: mpsc::Receiver<Dead>,
    devices: Counter,
    emails: Counter,
}

impl Noting {
    async fn run(mut self, stop: CancellationToken) {
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                biased;
                count = self.waiting.recv_many(&mut batch, BATCH_MAX) => {
                    if count == 0 {
                        return;
                    }
                }
                () = stop.cancelled() => return,
            }
            let count = batch.len();
            if let Err(error) = self.note(std::mem::take(&mut batch)).await {
                tracing::warn!(%error, count, "cannot note that addresses are gone: the next messages to them will say it again");
                DEAD.with(["lost"]).increment(count as u64);
            }
        }
    }

    async fn note(&self, batch: Vec<Dead>) -> Result<(), DirectoryError> {
        let mut emails = HashMap::new();
        let mut tokens: HashMap<UserKey, Vec<(Box<str>, Timestamp)>> = HashMap::new();
        for Dead { tenant, user_id, address, asked_at } in batch {
            match (address, user_id) {
                (Address::Email(text), _) => {
                    emails.insert(SuppressedAddress::new(&tenant, AddressKind::Email, &text), (text, asked_at));
                }
                (Address::PushToken(token), Some(user_id)) => {
                    tokens.entry(UserKey { tenant, user_id }).or_default().push((token, asked_at));
                }
                _ => {}
            }
        }
        self.suppress(emails).await?;
        self.bury(tokens).await
    }

    /// What is suppressed already stays as it is: an operator may have said why.
    async fn suppress(&self, emails: HashMap<SuppressedAddress, (Box<str>, Timestamp)>) -> Result<(), DirectoryError> {
        if emails.is_empty() {
            return Ok(());
        }
        let (addresses, facts): (Vec<SuppressedAddress>, Vec<_>) = emails.into_iter().unzip();
        let held = self.directory.suppressions(&addresses).await?;
        let new = addresses.into_iter().zip(facts).zip(held).filter_map(|((address, (text, since)), held)| {
            let is_new = held.is_none_or(|held| !held.holds(since));
            let cause = SuppressionCause::HardBounce;
            is_new.then_some((address, Some(Suppression { address: Some(text), cause, since, until: None })))
        });
        let new: Vec<_> = new.collect();
        let count = new.len();
        self.directory.write_suppressions(new).await?;
        self.emails.increment(count as u64);
        Ok(())
    }

    async fn bury(&self, tokens: HashMap<UserKey, Vec<(Box<str>, Timestamp)>>) -> Result<(), DirectoryError> {
        if tokens.is_empty() {
            return Ok(());
        }
        let (keys, tokens): (Vec<UserKey>, Vec<_>) = tokens.into_iter().unzip();
        let users = self.directory.users(&keys).await?;
        let changes = keys.into_iter().zip(tokens).zip(users).filter_map(|((key, tokens), user)| {
            let entries = dead_devices(&user?, &tokens);
            (!entries.is_empty()).then_some(UserChange { key, entries })
        });
        let changes: Vec<UserChange> = changes.collect();
        let count: usize = changes.iter().map(|change| change.entries.len()).sum();
        self.directory.write_users(changes).await?;
        self.devices.increment(count as u64);
        Ok(())
    }
}

/// The user's devices with one of these tokens, marked: those that had it when the provider was asked. Each token comes with when
/// that was.
fn dead_devices(user: &User, tokens: &[(Box<str>, Timestamp)]) -> Vec<UserEntry> {
    let mut marked = Vec::new();
    for (id, device) in &user.devices {
        let own = tokens.iter().filter(|(token, _)| *token == device.token);
        let Some(asked_at) = own.map(|(_, asked_at)| *asked_at).max() else { continue };
        if device.registered_at <= asked_at && device.dead_since.is_none_or(|since| since < asked_at) {
            let device = Device { dead_since: Some(asked_at), ..device.clone() };
            marked.push(UserEntry::Device { id: id.clone(), device: Some(device) });
        }
    }
    marked
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Platform;

    #[test]
    fn a_device_dies_with_its_token_unless_it_was_given_after_the_provider_was_asked() {
        let device = |token: &str, registered_at, dead_since: Option<u64>| Device {
            platform: Platform::Ios,
            token: token.into(),
            registered_at: Timestamp(registered_at),
            seen_at: Timestamp(registered_at),
            dead_since: dead_since.map(Timestamp),
        };
        let entry = |id: &str, device| UserEntry::Device { id: id.into(), device: Some(device) };
        let user = User::from_entries([
            entry("old", device("gone", 10, None)),
            entry("later", device("gone", 21, None)),
            entry("known", device("gone", 10, Some(20))),
            entry("other", device("there", 10, None)),
        ]);
        let marked = dead_devices(&user.expect("known"), &[("gone".into(), Timestamp(20))]);
        assert_eq!(marked, [entry("old", device("gone", 10, Some(20)))]);
    }
}
