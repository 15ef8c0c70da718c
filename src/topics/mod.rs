//! Topics for programs: publish now or later, and read in groups that acknowledge.
//!
//! In: messages, as JSON text. Out: each to every group of readers, at least once, in the order of their numbers, until the group has
//! acknowledged it or it is too old. Promise: what is answered as published or acknowledged is durable; a message that is to come later
//! comes, after any restart, once into its topic, or was cancelled, and the answer says which; memory and waits are bounded.
//!
//! A topic has one writer, the node that has its home. It gives the numbers, so that they have no order but one. Who has which message
//! in hand is in memory only: after a restart a group gets again what it had not acknowledged.
//!
//! # As a library
//!
//! [`Topics`] has all topics of a store to itself. It needs a store ([`crate::store::KeyedRows`]), a clock, and a number that no other
//! process has; what can be asked of it is in [`TopicDesk`]. It runs on tokio.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use fanfare::clock::SharedClock;
//! use fanfare::disk::{Disk, DiskSettings, MachineSpace};
//! use fanfare::runtime::SystemClock;
//! use fanfare::store::EmbeddedStore;
//! use fanfare::topics::{NewMessage, Receive, Settle, TopicDesk, TopicName, TopicSettings, Topics, Which};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = std::env::temp_dir().join(format!("fanfare-topics-doc-{}", std::process::id()));
//! let clock: SharedClock = Arc::new(SystemClock);
//! let disk = Disk::open(DiskSettings {
//!     dir: folder.clone(),
//!     cache_bytes: 16 << 20,
//!     write_buffer_bytes: 16 << 20,
//!     group_commit_max: Duration::from_millis(1),
//!     min_free_bytes: 0,
//!     free_space: Arc::new(MachineSpace),
//!     clock: clock.clone(),
//!     kept: Default::default(),
//! })?;
//! let topics = Topics::start(EmbeddedStore::open(disk)?, clock, u64::from(std::process::id()));
//!
//! let orders = TopicName::new("shop", "orders");
//! topics.create(&orders, TopicSettings::default()).await?;
//! topics.publish(&orders, vec![NewMessage::of(r#"{"order": 1}"#)]).await?;
//!
//! let received = topics.receive(&orders, Receive::of("billing")).await?;
//! assert_eq!(&*received[0].data, r#"{"order": 1}"#);
//! topics.settle(&orders, "billing", Settle::Ack, vec![Which::Number(received[0].number)]).await?;
//! assert!(topics.receive(&orders, Receive::of("billing")).await?.is_empty());
//! # drop(topics);
//! # std::fs::remove_dir_all(folder)?;
//! # Ok(())
//! # }
//! ```

mod alone;
mod ask;
mod check;
mod copying;
mod desk;
mod error;
mod group;
mod metrics;
mod rows;
mod topic;
mod work;

#[cfg(test)]
mod tests;

pub use alone::Topics;
pub use ask::{
    Ask, Cancelled, CopyState, GroupState, NewMessage, Published, Receive, Received, Settle, Settled, StartAt, Told,
    TopicListed, TopicName, TopicSettings, TopicState, Which,
};
pub use check::{DATA_BYTES_MAX, PUBLISH_BYTES_MAX, PUBLISH_MAX, RECEIVE_MAX, RECEIVE_WAIT_MAX, VISIBILITY_MAX};
pub use copying::TopicCopies;
pub use desk::{Desk, TOPICS_MAX, TopicDesk};
pub use error::TopicError;
pub use rows::home_of_topic;
pub use work::TopicWork;
