//! Reads of what stands under leaders.

use async_trait::async_trait;

use super::{EmbeddedStore, keys};
use crate::codec;
use crate::disk::Disk;
use crate::domain::Position;
use crate::store::{GroupEntry, Groups, StoreError};

#[async_trait]
impl Groups for EmbeddedStore {
    async fn groups(&self, leaders: &[Position]) -> Result<Vec<Vec<GroupEntry>>, StoreError> {
        let leaders = leaders.to_vec();
        self.beside(move |disk| leaders.iter().map(|leader| entries(disk, *leader)).collect()).await
    }
}

fn entries(disk: &Disk, leader: Position) -> Result<Vec<GroupEntry>, StoreError> {
    let mut entries = Vec::new();
    for row in disk.keyspaces.groups.prefix(keys::group_of(leader)) {
        let value = row.value().map_err(|cause| disk.read_error(&cause))?;
        entries.push(codec::decode_group_entry(&value)?);
    }
    Ok(entries)
}
