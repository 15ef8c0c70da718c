//! What is known of users and addresses, and keyed rows about people: sealed where they are written, opened where they are read.
//!
//! Whose secret was destroyed is read as if nothing had been written. What was written before anything was sealed is read as it is.

mod keyed;
mod suppressions;
mod users;

#[cfg(test)]
mod tests;

use super::{Keyring, SealError, SecretId, open, seal, secret_of};
use crate::domain::UserKey;
use crate::store::{StoreError, UserSecret};

/// What is sealed, as the first byte of its place. They never change.
const ENTRY: u8 = b'e';
const KEYED: u8 = b'k';
const SUPPRESSED: u8 = b's';

/// The secrets of some rows that are written together: one call of the keyring, each owner asked for once where their rows follow each
/// other.
#[derive(Default)]
struct ToSeal {
    owners: Vec<UserKey>,
    /// Of each row, which of the owners.
    rows: Vec<usize>,
}

impl ToSeal {
    fn note(&mut self, owner: UserKey) {
        if self.owners.last() != Some(&owner) {
            self.owners.push(owner);
        }
        self.rows.push(self.owners.len() - 1);
    }

    fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// One for each row, in the order they were noted.
    async fn secrets(self, keyring: &Keyring) -> Result<Secrets<UserSecret>, StoreError> {
        let found = keyring.to_seal(&self.owners).await?;
        Ok(Secrets { found, rows: self.rows.into_iter() })
    }
}

/// The same for rows that are read together.
#[derive(Default)]
struct ToOpen {
    wanted: Vec<SecretId>,
    rows: Vec<usize>,
}

impl ToOpen {
    fn note(&mut self, owner: &UserKey, sealed: &[u8]) -> Result<(), StoreError> {
        let id = secret_of(sealed).map_err(unreadable)?;
        if self.wanted.last().is_none_or(|(last, last_id)| (last, *last_id) != (owner, id)) {
            self.wanted.push((owner.clone(), id));
        }
        self.rows.push(self.wanted.len() - 1);
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// One for each row, in the order they were noted; `None`: it was destroyed.
    async fn secrets(self, keyring: &Keyring) -> Result<Secrets<Option<UserSecret>>, StoreError> {
        let found = keyring.to_open(&self.wanted).await?;
        Ok(Secrets { found, rows: self.rows.into_iter() })
    }
}

/// Secrets in the order of the rows they are for.
struct Secrets<T> {
    found: Vec<T>,
    rows: std::vec::IntoIter<usize>,
}

impl<T: Copy> Secrets<T> {
    /// That of the next row.
    fn of_next(&mut self) -> Result<T, StoreError> {
        let secret = self.rows.next().and_then(|row| self.found.get(row).copied());
        secret.ok_or_else(|| StoreError::Failed("fewer secrets than rows: this is a bug".to_owned()))
    }
}

fn seal_at(secret: &UserSecret, place: &[u8], plain: &[u8], into: &mut Vec<u8>) -> Result<(), StoreError> {
    seal(secret, place, plain, into).map_err(|error| StoreError::Failed(format!("cannot seal a row: {error}")))
}

fn open_at(secret: &UserSecret, place: &[u8], sealed: &[u8]) -> Result<Vec<u8>, StoreError> {
    open(secret, place, sealed).map_err(unreadable)
}

fn unreadable(error: SealError) -> StoreError {
    StoreError::Unreadable(format!("sealed bytes: {error}"))
}
