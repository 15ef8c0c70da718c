//! What users were planned to get. Rows stand in the atomic batch of their plans, and are dropped by compactions once they expire.

use async_trait::async_trait;

use super::{EmbeddedStore, keys};
use crate::codec;
use crate::disk::Disk;
use crate::domain::UserKey;
use crate::store::{RECEIVED_MAX, ReceivedEntry, ReceivedRow, ReceivedRows, StoreError};

#[async_trait]
impl ReceivedRows for EmbeddedStore {
    async fn received(&self, users: &[UserKey]) -> Result<Vec<Vec<ReceivedEntry>>, StoreError> {
        let users = users.to_vec();
        self.beside(move |disk| users.iter().map(|user| read(disk, user)).collect()).await
    }
}

fn read(disk: &Disk, user: &UserKey) -> Result<Vec<ReceivedEntry>, StoreError> {
    let mut entries = Vec::new();
    for row in disk.keyspaces.received.prefix(keys::received_of(user)).take(RECEIVED_MAX) {
        let (key, value) = row.into_inner().map_err(|cause| disk.read_error(&cause))?;
        let position = keys::read_received(&key);
        let position = position.ok_or_else(|| StoreError::Unreadable("the key of what a user got".to_owned()))?;
        entries.push(codec::decode_received(position, value.get(8..).unwrap_or(&[]))?);
    }
    Ok(entries)
}

/// The expiry stands before the entry, for the filter.
pub(super) fn row(row: &ReceivedRow) -> (Vec<u8>, Vec<u8>) {
    let mut value = row.expires_at.millis().to_be_bytes().to_vec();
    value.extend(codec::encode_received(&row.entry));
    (keys::received(&row.user, row.entry.position), value)
}
