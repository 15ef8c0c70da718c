//! Brakes.

use async_trait::async_trait;

use super::{EmbeddedStore, keys};
use crate::codec;
use crate::disk::Disk;
use crate::domain::Brake;
use crate::store::{BrakeRows, StoreError};

#[async_trait]
impl BrakeRows for EmbeddedStore {
    async fn brakes(&self) -> Result<Vec<Brake>, StoreError> {
        let mut brakes = self.beside(read_all).await?;
        brakes.sort();
        Ok(brakes)
    }

    async fn write_brake(&self, brake: &Brake) -> Result<(), StoreError> {
        let row = (keys::brake(&brake.scope, brake.effect), Some(codec::encode_brake(brake)));
        self.put(&self.disk.keyspaces.brakes, vec![row]).await
    }
}

fn read_all(disk: &Disk) -> Result<Vec<Brake>, StoreError> {
    let rows = disk.keyspaces.brakes.iter().map(|row| {
        let (key, value) = row.into_inner().map_err(|cause| disk.read_error(&cause))?;
        let (scope, effect) =
            keys::read_brake(&key).ok_or_else(|| StoreError::Unreadable("the key of a brake".to_owned()))?;
        Ok(codec::decode_brake(scope, effect, &value)?)
    });
    rows.collect()
}
