//! What is known of users, and the addresses that nothing is sent to.

use std::collections::HashMap;

use async_trait::async_trait;
use ring::digest::{Context, SHA256};

use super::StoreError;
use crate::domain::{AddressKind, SuppressedAddress, Suppression, User, UserEntry, UserKey};

/// Some of what is known of one user, to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserChange {
    pub key: UserKey,
    pub entries: Vec<UserEntry>,
}

/// What is known of users. Each entry is a row by itself, so writers never read before they write; of two writes to one
/// entry the later counts: of one call the later in the list, of one process the later call, of two processes that whose clock
/// says so.
#[async_trait]
pub trait Users: Send + Sync + 'static {
    /// In the order asked for; `None`: nothing is known of that user.
    async fn users(&self, keys: &[UserKey]) -> Result<Vec<Option<User>>, StoreError>;

    /// Durable on return. May be called again with the same changes after an error.
    async fn write_users(&self, changes: Vec<UserChange>) -> Result<(), StoreError>;

    /// The users of all tenants, those that were erased among them, in an order that never changes, after `after` (exclusive), at most
    /// `limit`: fewer only if there are no more. `None`: this store cannot walk through them.
    async fn all_users(&self, _after: Option<UserKey>, _limit: usize) -> Result<Option<Vec<UserKey>>, StoreError> {
        Ok(None)
    }
}

/// One address with what is known of it; `None`: nothing any more.
pub type SuppressionChange = (SuppressedAddress, Option<Suppression>);

/// The addresses that nothing is sent to. Of two writes to one address the later counts, as with [`Users`].
#[async_trait]
pub trait Suppressions: Send + Sync + 'static {
    /// In the order asked for.
    async fn suppressions(&self, addresses: &[SuppressedAddress]) -> Result<Vec<Option<Suppression>>, StoreError>;

    /// Durable on return. May be called again with the same changes after an error.
    async fn write_suppressions(&self, changes: Vec<SuppressionChange>) -> Result<(), StoreError>;

    /// Those of a tenant in an order that never changes, after `after` (exclusive), at most `limit`: fewer only if there are no
    /// more. What is written meanwhile may be there or not; what was there all the time is listed once.
    async fn all_suppressions(
        &self,
        tenant: &str,
        after: Option<SuppressionPlace>,
        limit: usize,
    ) -> Result<Vec<ListedSuppression>, StoreError>;
}

/// A suppression of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedSuppression {
    /// What to go on after.
    pub place: SuppressionPlace,
    pub suppression: Suppression,
}

/// Where a suppression stands among those of its tenant: the kind of its address, and a hash (SHA-256) that takes its place,
/// so that the address of somebody who was erased stands nowhere any more. What is hashed is a keyed hash already ([`crate::sealing`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SuppressionPlace([u8; PLACE_BYTES]);

/// The kind, and the hash.
const PLACE_BYTES: usize = 1 + 32;

impl SuppressionPlace {
    pub fn of(address: &SuppressedAddress) -> Self {
        let mut hash = Context::new(&SHA256);
        // The length keeps ("ab", "c") apart from ("a", "bc").
        hash.update(&(address.tenant.len() as u64).to_be_bytes());
        hash.update(address.tenant.as_bytes());
        hash.update(address.address().as_bytes());
        let mut place = [0; PLACE_BYTES];
        place[0] = address.kind as u8;
        place[1..].copy_from_slice(hash.finish().as_ref());
        Self(place)
    }

    /// `None`: it is none.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let place = Self(bytes.try_into().ok()?);
        AddressKind::from_index(usize::from(place.0[0])).map(|_| place)
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn kind(&self) -> AddressKind {
        AddressKind::from_index(usize::from(self.0[0])).expect("no place is made with another")
    }

    pub(super) fn hash(&self) -> &[u8] {
        &self.0[1..]
    }
}

/// A user's entries, each with its slot.
pub(super) type Slotted = (UserKey, Vec<((u8, String), UserEntry)>);

/// The entries of some users with their keys and slots, of each slot the last; users in the order of their first change.
pub(super) fn last_entries(changes: Vec<UserChange>) -> Vec<Slotted> {
    let mut users: Vec<Slotted> = Vec::with_capacity(changes.len());
    let mut places: HashMap<UserKey, usize> = HashMap::with_capacity(changes.len());
    for UserChange { key, entries } in changes {
        let place = *places.entry(key.clone()).or_insert_with(|| {
            users.push((key, Vec::new()));
            users.len() - 1
        });
        users[place].1.extend(entries.into_iter().map(|entry| (entry.slot(), entry)));
    }
    for (_, entries) in &mut users {
        // It keeps the order of equal ones.
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut rest = std::mem::take(entries).into_iter().peekable();
        while let Some((slot, entry)) = rest.next() {
            if rest.peek().is_none_or(|(next, _)| *next != slot) {
                entries.push((slot, entry));
            }
        }
    }
    users
}
