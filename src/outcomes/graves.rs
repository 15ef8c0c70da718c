//! Notes that an address takes nothing more: a device's token is marked dead, an e-mail address or a telephone number is
//! suppressed. Durable when it returns; noting the same again changes nothing.

use std::collections::HashMap;
use std::sync::Arc;

use crate::domain::{
    Address, AddressKind, Device, Plan, SuppressedAddress, Suppression, SuppressionCause, Timestamp, User, UserEntry,
    UserKey,
};
use crate::store::UserChange;
use crate::telemetry::{Counter, CounterMetric};
use crate::users::{Directory, DirectoryError};

/// Worry when it grows much faster than usual: a provider may be calling addresses dead that are not, or somebody bought a list.
pub(super) const DEAD: CounterMetric<1> = CounterMetric::new(
    "fanfare_dead_addresses_total",
    "Addresses that take nothing more, as a provider or who reads them said, by kind (device, email, phone), and `lost` where nobody could note it.",
    ["kind"],
);

/// One address that takes nothing more.
#[derive(Debug)]
pub(super) struct Dead {
    pub(super) tenant: Box<str>,
    user_id: Option<Box<str>>,
    /// When the message was accepted.
    accepted_at: Timestamp,
    address: Address,
    /// A token that was given later is another matter.
    since: Timestamp,
    cause: SuppressionCause,
}

impl Dead {
    /// The address of a task; `None`: nothing is noted of its kind.
    pub(super) fn of(plan: &Plan, ordinal: usize, since: Timestamp, cause: SuppressionCause) -> Option<Self> {
        if plan.is_erased() {
            return None;
        }
        let address = &plan.tasks().get(ordinal)?.address;
        let is_noted = match address {
            Address::Email(_) | Address::Phone(_) => true,
            // Whose it is must be known. Who takes the application off the list keeps the device.
            address => address.push_token().is_some() && plan.user_id.is_some() && cause != SuppressionCause::Complaint,
        };
        is_noted.then(|| Self {
            tenant: plan.tenant.clone(),
            user_id: plan.user_id.clone(),
            accepted_at: plan.accepted_at,
            address: address.clone(),
            since,
            cause,
        })
    }

    /// An address of nobody who is known.
    pub(super) fn email(tenant: Box<str>, address: Box<str>, since: Timestamp, cause: SuppressionCause) -> Self {
        Self { tenant, user_id: None, accepted_at: since, address: Address::Email(address), since, cause }
    }

    /// Whose it is, if that is said.
    fn user(&self) -> Option<UserKey> {
        Some(UserKey { tenant: self.tenant.clone(), user_id: self.user_id.clone()? })
    }
}

/// Who notes them.
pub(super) struct Graves {
    directory: Arc<Directory>,
    devices: Counter,
    emails: Counter,
    phones: Counter,
}

impl Graves {
    pub(super) fn new(directory: Arc<Directory>) -> Self {
        Self { directory, devices: DEAD.with(["device"]), emails: DEAD.with(["email"]), phones: DEAD.with(["phone"]) }
    }

    pub(super) async fn dig(&self, batch: Vec<Dead>) -> Result<(), DirectoryError> {
        let mut suppressed = HashMap::new();
        let mut tokens: HashMap<UserKey, Vec<(Box<str>, Timestamp)>> = HashMap::new();
        let forgotten = self.forgotten(&batch).await?;
        for (Dead { tenant, user_id, address, since, cause, .. }, is_forgotten) in batch.into_iter().zip(forgotten) {
            if let Some(key) = SuppressedAddress::of(&tenant, &address) {
                let address = (!is_forgotten).then(|| address.as_str().into());
                suppressed.insert(key, Suppression { address, sealed_address: None, cause, since, until: None });
            } else if let (Some(token), Some(user_id)) = (address.push_token(), user_id) {
                tokens.entry(UserKey { tenant, user_id }).or_default().push((token.into(), since));
            }
        }
        self.suppress(suppressed).await?;
        self.bury(tokens).await
    }

    /// Which of them belonged to users who were erased since, or of whom nothing is known: their addresses must not be written
    /// again, only that they take nothing more.
    async fn forgotten(&self, batch: &[Dead]) -> Result<Vec<bool>, DirectoryError> {
        let is_to_be_written = |dead: &Dead| SuppressedAddress::of(&dead.tenant, &dead.address).is_some();
        let user_of = |dead: &Dead| dead.user().filter(|_| is_to_be_written(dead));
        let keys: Vec<UserKey> = batch.iter().filter_map(user_of).collect();
        if keys.is_empty() {
            return Ok(vec![false; batch.len()]);
        }
        let mut users = self.directory.users(&keys).await?.into_iter();
        let is_forgotten = |dead: &Dead| match user_of(dead).map(|_| users.next().flatten()) {
            None => false,
            Some(None) => true,
            Some(Some(user)) => user.erased_at.is_some_and(|erased_at| dead.accepted_at <= erased_at),
        };
        Ok(batch.iter().map(is_forgotten).collect())
    }

    /// What is suppressed already stays as it is: an operator may have said why.
    async fn suppress(&self, wanted: HashMap<SuppressedAddress, Suppression>) -> Result<(), DirectoryError> {
        if wanted.is_empty() {
            return Ok(());
        }
        let (addresses, wanted): (Vec<SuppressedAddress>, Vec<Suppression>) = wanted.into_iter().unzip();
        let held = self.directory.suppressions(&addresses).await?;
        let new = addresses.into_iter().zip(wanted).zip(held).filter_map(|((address, wanted), held)| {
            let is_new = held.is_none_or(|held| !held.holds(wanted.since));
            is_new.then_some((address, Some(wanted)))
        });
        let new: Vec<_> = new.collect();
        let phones = new.iter().filter(|(address, _)| address.kind == AddressKind::Phone).count();
        let emails = new.len() - phones;
        self.directory.write_suppressions(new).await?;
        self.emails.increment(emails as u64);
        self.phones.increment(phones as u64);
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

/// The user's devices with one of these tokens, marked: those that had it when it died. Each token comes with when that was.
fn dead_devices(user: &User, tokens: &[(Box<str>, Timestamp)]) -> Vec<UserEntry> {
    let mut marked = Vec::new();
    for (id, device) in &user.devices {
        let own = tokens.iter().filter(|(token, _)| *token == device.token);
        let Some(since) = own.map(|(_, since)| *since).max() else { continue };
        if device.registered_at <= since && device.dead_since.is_none_or(|dead_since| dead_since < since) {
            let device = Device { dead_since: Some(since), ..device.clone() };
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
