//! What somebody did with a key: the lines of the audit log.

use std::time::Duration;

use super::{NotificationId, Timestamp, UserKey};

/// How long lines of the audit log are kept at most.
pub const AUDIT_KEPT: Duration = Duration::from_secs(400 * 86_400);

/// One act. No user's id and no address stand in it: users are told apart by a keyed hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// When it began.
    pub at: Timestamp,
    pub tenant: Box<str>,
    /// The name of the key.
    pub by: Box<str>,
    /// Of HTTP.
    pub method: Box<str>,
    /// The pattern of the address: `/v1/templates/{code}`.
    pub route: Box<str>,
    /// What it was done to: the names in the address, or in the answer of what was made; users as hashes.
    pub object: Box<str>,
    /// The hash of the user it was about.
    pub user: Option<Box<str>>,
    /// The status that was answered. `None`: it began, and nothing is known of how it ended.
    pub status: Option<u16>,
}

/// A user who was erased, and of whom something is still to be taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasure {
    pub user: UserKey,
    /// When they were erased: what was accepted later is not cancelled.
    pub at: Timestamp,
    /// Of their history, newest first, what was looked at last.
    pub after: Option<(Timestamp, NotificationId)>,
    /// Nothing of their history is left to be cancelled.
    pub is_walked: bool,
    /// Their addresses as owners of what names nobody, until their secrets are destroyed.
    pub addresses: Vec<UserKey>,
    /// What was known when they were erased is taken back, and the secrets that it was sealed under are destroyed.
    pub is_destroyed: bool,
    /// What was written by who had not heard of it is taken back and destroyed as well.
    pub is_settled: bool,
}

impl Erasure {
    /// One that begins.
    pub fn new(user: UserKey, at: Timestamp, addresses: Vec<UserKey>) -> Self {
        Self { user, at, after: None, is_walked: false, addresses, is_destroyed: false, is_settled: false }
    }

    /// Adds addresses of theirs; whether one of them is new.
    pub fn add_addresses(&mut self, addresses: Vec<UserKey>) -> bool {
        let count = self.addresses.len();
        for address in addresses {
            if !self.addresses.contains(&address) {
                self.addresses.push(address);
            }
        }
        self.addresses.len() > count
    }
}
