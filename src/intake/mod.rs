//! Intake: from the doors into the log, and from the log into the store.
//!
//! In: requests through the one door, [`Acceptor`], and records from the log. Out: durable plans, handed on to dispatch and
//! the timers. Promise: nothing is acknowledged before it is durable; a retry with the same key is answered the same; a
//! record that cannot be used goes to the dead letters byte for byte and never stops its partition; whoever was erased is planned as
//! erased, from what is known without the contents.

mod validate;
mod accepted_keys;
mod cluster_keys;
mod patience;
mod accept;
mod key_hold;
mod partition;
mod batch;
mod foreign;
mod rejects;
mod retry_key;
mod seals;
mod unplanned;
mod merged;
mod metrics;

#[cfg(feature = "simulation")]
pub mod broken;
#[cfg(not(feature = "simulation"))]
mod broken;

#[cfg(test)]
pub(crate) mod fakes;

pub use accept::{AcceptError, Accepted, Acceptor};
pub(crate) use accept::{refused_counter, repeated_counter};
pub use accepted_keys::AcceptedKeys;
pub use cluster_keys::ClusterKeys;
pub use foreign::{Reading, reason as reason_of, tenant as tenant_of};
pub use key_hold::KeyHold;
pub use metrics::events_lag;
pub use partition::{PartitionActor, PartitionArguments, PartitionMessage};
pub use rejects::{Reject, bury};
pub use retry_key::{NOTIFY, campaign_key, dedup_key_of, hashed_key};
pub use seals::Seals;
pub use unplanned::remember_unplanned;
pub use validate::{
    ContentCheck, Defaults, EndpointCheck, Envelope, FieldProblem, JsonObject, addresses, delivery_time, json_fields,
    json_fields_once, json_object, json_value, limits, read_item, read_request,
};
