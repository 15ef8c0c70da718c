//! The archive: notifications past their age are written to compressed files, read back, and only then dropped from the store.
//!
//! In: orders, from schedules (of one tenant) and from the retention of the embedded store (of all), as rows. Out: files at an
//! [`ArchivePlace`], and rows of the store that are gone. Promise: nothing is dropped that is not over for a day and, where there is a
//! place, stands in a file that was read back; whatever crashes, the same file is written again under the same name; memory holds one
//! piece of an order, whose size is bounded; and half of the time of its one worker is left to the sends.
//!
//! Why so long: dropped rows must not be missed. The books have them, claims stand by themselves, no cursor and no reader of the log
//! comes to their blocks again ([`choice`] and [`walk`] see to that), and what looks back reads a missing notification as one that was sent.

mod choice;
mod file;
mod folder;
mod metrics;
mod orders;
mod piece;
mod place;
mod rows;
mod s3;
mod walk;
mod work;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

pub use folder::FolderPlace;
pub use place::{ArchivePlace, PlaceError, SharedPlace, place_of};
pub use s3::S3Place;
pub use work::ArchiveWork;

use crate::clock::SharedClock;
use crate::domain::{CampaignId, ShardId, Story};
use crate::homes::Wake;
use crate::log::SharedLog;
use crate::store::{GroupEntry, SharedStore, StoreError};

/// The smallest age: so long after the last thing that happened to it a notification is left alone. Far more than any cursor, commit or
/// reader of a log lags behind while its owner lives, and as long as a receipt may be late and still be believed by most.
pub const AGE_MIN: Duration = Duration::from_secs(86_400);

/// How a notification reads in a file: one line of JSON, without its end. Called beside the runtime.
pub trait Lines: Send + Sync + 'static {
    /// `entries`: what stands under it, where it leads a group.
    fn line(&self, story: &Story, entries: Option<&[GroupEntry]>) -> Vec<u8>;
}

/// Who still needs what is over.
#[async_trait]
pub trait Needs: Send + Sync + 'static {
    /// Whether a campaign is not over: it counts its results from the rows of its messages.
    async fn is_open(&self, tenant: &str, campaign: CampaignId) -> Result<bool, StoreError>;
}

/// Who keeps something of notifications that are dropped.
#[async_trait]
pub trait Keeps: Send + Sync + 'static {
    /// Durable on return. May be called again with the same ones, also if some are gone.
    async fn keep(&self, shard: ShardId, block: u64, offsets: &[u64]) -> Result<(), StoreError>;
}

/// What the archive is made of.
pub struct ArchiveParts {
    pub store: SharedStore,
    pub log: SharedLog,
    /// Where files go; `None`: nothing is archived, and dropped only where `retention` says so.
    pub place: Option<SharedPlace>,
    pub lines: Arc<dyn Lines>,
    pub needs: Arc<dyn Needs>,
    pub keeps: Arc<dyn Keeps>,
    /// Shards that the configuration names, besides those that the store knows.
    pub shards: Vec<ShardId>,
    /// After so long everything that is over is taken, of all tenants; `None`: only what schedules ask for.
    pub retention: Option<Duration>,
    pub clock: SharedClock,
}

/// The archive, as those know it who ask for something. [`ArchiveWork`] carries it out.
pub struct Archive {
    parts: ArchiveParts,
    wake: Arc<Wake>,
}

impl Archive {
    pub fn new(parts: ArchiveParts) -> Arc<Self> {
        Arc::new(Self { parts, wake: Arc::default() })
    }

    /// Whether there is a place for files.
    pub fn has_place(&self) -> bool {
        self.parts.place.is_some()
    }
}
