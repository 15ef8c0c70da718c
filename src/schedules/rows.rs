//! Runs as rows: a part for each schedule, the newest first.

use bytes::Bytes;

use super::Schedules;
use crate::codec;
use crate::domain::{RunKind, ScheduleRun, Timestamp};
use crate::store::{KeyedKind, KeyedPart, KeyedRow, NamedRow, StoreError};

/// Marks behind the time in a row's name, and what stands behind it.
const OF_TIME: u8 = 0;
const OF_ASKING: u8 = 1;

/// The rows of a schedule; its key also says at which home it is looked after.
pub(super) fn part(tenant: &str, schedule: &str) -> KeyedPart {
    KeyedPart::of(KeyedKind::ScheduleRuns, &[tenant.as_bytes(), schedule.as_bytes()])
}

/// The name of a run's row: later ones come first.
pub fn run_name(run: &ScheduleRun) -> Box<[u8]> {
    let mut name = after(run.due_at).to_vec();
    match run.kind {
        RunKind::Due | RunKind::CaughtUp => name.push(OF_TIME),
        RunKind::Manual => {
            name.push(OF_ASKING);
            name.extend(run.key.to_be_bytes());
        }
    }
    name.into()
}

/// Whether these bytes are the name of a run's row.
pub fn read_run_name(bytes: &[u8]) -> bool {
    match bytes.get(8) {
        Some(&OF_TIME) => bytes.len() == 9,
        Some(&OF_ASKING) => bytes.len() == 25,
        _ => false,
    }
}

/// What stands before the names of all runs of a time, and after those of later ones.
fn after(time: Timestamp) -> [u8; 8] {
    (u64::MAX - time.millis()).to_be_bytes()
}

impl Schedules {
    /// Durable on return; written over one of its name.
    pub(super) async fn write(&self, tenant: &str, schedule: &str, run: &ScheduleRun) -> Result<(), StoreError> {
        let body = Some(Bytes::from(codec::encode_schedule_run(run)));
        self.parts.store.put_keyed(vec![KeyedRow { part: part(tenant, schedule), name: run_name(run), body }]).await
    }

    /// Runs of a schedule, the newest first, those after the row of this name; at most `limit`.
    pub async fn runs(
        &self,
        tenant: &str,
        schedule: &str,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<ScheduleRun>, StoreError> {
        let rows = self.parts.store.keyed_between(&part(tenant, schedule), after, None, limit).await?;
        rows.into_iter().map(|(_, body)| Ok(codec::decode_schedule_run(&body)?)).collect()
    }

    /// Takes away runs of `time` and before it, at most `limit`.
    pub(super) async fn forget(
        &self,
        tenant: &str,
        schedule: &str,
        time: Timestamp,
        limit: usize,
    ) -> Result<(), StoreError> {
        let part = part(tenant, schedule);
        let old: Vec<NamedRow> = self.parts.store.keyed_between(&part, Some(&after(time)), None, limit).await?;
        if old.is_empty() {
            return Ok(());
        }
        let rows = old.into_iter().map(|(name, _)| KeyedRow { part: part.clone(), name, body: None });
        self.parts.store.put_keyed(rows.collect()).await
    }
}
