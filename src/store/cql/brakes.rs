//! Brakes: one partition, read as a whole.

use async_trait::async_trait;
use bytes::Bytes;
use scylla::value::CqlValue;

use super::CqlStore;
use super::runner::{Row, Traffic, blob, small};
use crate::codec;
use crate::domain::{Brake, BrakeEffect, BrakeKind, BrakeScope};
use crate::store::{BrakeRows, StoreError};

/// The one partition.
const PART: CqlValue = CqlValue::TinyInt(0);

#[async_trait]
impl BrakeRows for CqlStore {
    async fn brakes(&self) -> Result<Vec<Brake>, StoreError> {
        type Cells = (String, i16, String, i16, Bytes);
        let rows = self.runner.rows::<Cells>("read brakes", &self.statements.brakes, &[PART]).await?;
        let brakes = rows.into_iter().map(|(tenant, kind, name, effect, body)| {
            let unreadable = || StoreError::Unreadable("the key of a brake".to_owned());
            let kind = usize::try_from(kind).ok().and_then(BrakeKind::from_index).ok_or_else(unreadable)?;
            let effect = usize::try_from(effect).ok().and_then(BrakeEffect::from_index).ok_or_else(unreadable)?;
            let scope = BrakeScope { tenant: tenant.into(), kind, name: name.into() };
            Ok(codec::decode_brake(scope, effect, &body)?)
        });
        let mut brakes = brakes.collect::<Result<Vec<_>, StoreError>>()?;
        brakes.sort();
        Ok(brakes)
    }

    async fn write_brake(&self, brake: &Brake) -> Result<(), StoreError> {
        let Brake { scope, effect, .. } = brake;
        let mut values = vec![
            PART,
            CqlValue::Text(scope.tenant.to_string()),
            small(scope.kind as u8),
            CqlValue::Text(scope.name.to_string()),
            small(*effect as u8),
        ];
        self.come_after(&values).await?;
        values.push(blob(codec::encode_brake(brake)));
        let rows = vec![Row { partition: 0, values }];
        self.runner.write("write a brake", Traffic::Critical, &self.statements.add_brake, rows).await
    }
}

impl CqlStore {
    /// Makes the next write later than the brake which stands there, though this node's clock may be behind that of the node that
    /// wrote it: the write would be answered and have no effect otherwise.
    async fn come_after(&self, key: &[CqlValue]) -> Result<(), StoreError> {
        type Cells = (Option<i64>,);
        let written =
            self.runner.rows::<Cells>("read when a brake was written", &self.statements.brake_written, key).await?;
        written.into_iter().filter_map(|(time,)| time).for_each(|time| self.numbers.raise(time));
        Ok(())
    }
}
