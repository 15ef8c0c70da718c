//! Intake: from the doors into the log, and from the log into the store.
//!
//! In: requests through the one door, [`accept`], and records from the log. Out: durable plans, handed on to dispatch and the
//! timers. Promise: nothing is acknowledged before it is durable; a record that cannot be used goes to the dead letters byte
//! for byte and never stops its partition.

mod partition;
mod batch;
mod unplanned;
mod metrics;

pub use partition::{PartitionActor, PartitionArguments, PartitionMessage};
pub use unplanned::remember_unplanned;
